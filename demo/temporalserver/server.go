// Package temporalserver runs a Temporal server and its UI inside this process, for the demo and for tests: one node,
// every port on loopback, state in Postgres or in an SQLite file. It is no way to run production, which has a cluster.
package temporalserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	uioptions "github.com/temporalio/ui-server/v2/server/server_options"
	"go.temporal.io/sdk/client"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/temporal"

	"lockstep/internal/loopback"
)

// Options says where the server listens and keeps its state. Exactly one of Postgres and SQLite is set.
type Options struct {
	// Postgres is the address of a Postgres server whose user may create databases; the server makes two there.
	Postgres string
	// SQLite is a file, made where it does not exist. Only one process may use it at a time.
	SQLite string
	// Namespace is made with its search attributes where it does not exist.
	Namespace string
	// Port of the gRPC front end on 127.0.0.1; 0 picks a free one.
	Port int
	// UIPort of the web page on 127.0.0.1; 0 picks a free one.
	UIPort int
	// Log takes warnings and errors; nil means slog.Default.
	Log *slog.Logger
}

// Server is a running server with its UI.
type Server struct {
	namespace    string
	port, uiPort int
	temporal     temporal.Server
	ui           *uiserver.Server
	uiEnded      chan struct{}
	log          *adapter
	stop         sync.Once
}

// Start sets the schema up, runs server and UI, and makes sure of the namespace and its search attributes. It returns
// when workflows can be started. A second start on the state of a killed server carries its workflows on.
func Start(ctx context.Context, opts Options) (*Server, error) {
	if (opts.Postgres == "") == (opts.SQLite == "") {
		return nil, errors.New("temporalserver: set either Postgres or SQLite")
	}
	if opts.Namespace == "" {
		return nil, errors.New("temporalserver: set Namespace")
	}
	s := &Server{namespace: opts.Namespace, port: opts.Port, uiPort: opts.UIPort, log: newAdapter(opts.Log)}
	if err := s.pickPorts(); err != nil {
		return nil, err
	}
	store, shards, err := prepare(opts)
	if err != nil {
		return nil, err
	}
	if err := s.startTemporal(store, shards); err != nil {
		return nil, err
	}
	s.startUI() //nolint:contextcheck // the page outlives the context of its start
	if err := s.ready(ctx); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// Address returns host and port of the gRPC front end.
func (s *Server) Address() string { return address(s.port) }

// UIURL returns the address of the UI.
func (s *Server) UIURL() string { return "http://" + address(s.uiPort) }

// Failed is closed when the server met an error that it cannot live with; the process should end then.
func (s *Server) Failed() <-chan struct{} { return s.log.failed }

// Stop ends UI and server; it takes about a second. Safe to repeat.
func (s *Server) Stop() {
	s.stop.Do(func() {
		s.log.quiet()
		s.ui.Stop()
		<-s.uiEnded
		if err := s.temporal.Stop(); err != nil {
			s.log.out.Warn("temporal server did not stop cleanly", "error", err)
		}
	})
}

func (s *Server) pickPorts() error {
	for _, port := range []*int{&s.port, &s.uiPort} {
		if *port != 0 {
			// The server itself would panic, and the UI end the process.
			if err := loopback.Free(*port); err != nil {
				return fmt.Errorf("temporalserver: %w", err)
			}
			continue
		}
		picked, err := loopback.Port()
		if err != nil {
			return err
		}
		*port = picked
	}
	return nil
}

func (s *Server) startTemporal(store *storage, shards int32) error {
	ports, err := loopback.Ports(3)
	if err != nil {
		return err
	}
	cfg, hosts := configure(store, shards, s.port, ports)
	authorizer, err := authorization.GetAuthorizerFromConfig(&cfg.Global.Authorization)
	if err != nil {
		return fmt.Errorf("temporalserver: %w", err)
	}
	mapper, err := authorization.GetClaimMapperFromConfig(&cfg.Global.Authorization, s.log)
	if err != nil {
		return fmt.Errorf("temporalserver: %w", err)
	}
	s.temporal, err = temporal.NewServer(
		temporal.WithConfig(cfg),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts), // no membership protocol: fewer ports and a faster start
		temporal.WithLogger(s.log),
		temporal.WithAuthorizer(authorizer),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return mapper }),
		temporal.WithDynamicConfigClient(dynamicConfig()),
	)
	if err != nil {
		return fmt.Errorf("temporalserver: %w", err)
	}
	if err := s.temporal.Start(); err != nil {
		return errors.Join(fmt.Errorf("temporalserver: start: %w", err), s.temporal.Stop())
	}
	return nil
}

func (s *Server) startUI() {
	s.ui = uiserver.NewServer(uioptions.WithConfigProvider(&uiconfig.Config{
		Host: "127.0.0.1", Port: s.uiPort, TemporalGRPCAddress: s.Address(), EnableUI: true, DefaultNamespace: s.namespace,
		DisableNewsFetch: true, HideLogs: true,
		// The page is served over plain HTTP on loopback: a cookie for TLS only would never come back.
		CORS: uiconfig.CORS{CookieInsecure: true},
	}))
	s.uiEnded = make(chan struct{})
	go func() {
		defer close(s.uiEnded)
		if err := s.ui.Start(); err != nil {
			s.log.Fatal("the Temporal UI ended: " + err.Error())
		}
	}()
}

// ready makes sure of the namespace and waits until the UI answers.
func (s *Server) ready(ctx context.Context) error {
	c, err := client.NewLazyClient(client.Options{HostPort: s.Address(), Namespace: s.namespace, Logger: silent{}})
	if err != nil {
		return fmt.Errorf("temporalserver: %w", err)
	}
	defer c.Close()
	if err := ensureNamespace(ctx, c, s.namespace); err != nil {
		return err
	}
	return until(ctx, "the UI answers", func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.UIURL()+"/healthz", nil)
		if err != nil {
			return err
		}
		resp, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
		if err != nil {
			return err
		}
		if err := resp.Body.Close(); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return nil
	})
}

// until repeats step until it succeeds or ctx is done, and tells what it waited for.
func until(ctx context.Context, what string, step func() error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := step()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("temporalserver: waiting until %s: %w", what, errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
