package simulators

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"lockstep/connectors/genesys/genesystest"
	"lockstep/connectors/salesforce/salesforcetest"
	"lockstep/connectors/simulator"
)

// Simulator is what every system's simulator offers.
type Simulator interface {
	// Handler serves the vendor's API, LoginHandler its login host, ControlHandler the control API.
	Handler() http.Handler
	LoginHandler() http.Handler
	ControlHandler() http.Handler
	// Run sends webhooks until ctx ends or Close is called.
	Run(ctx context.Context)
	Close()
}

// kinds make the simulators, by the kind that the integration map names.
var kinds = map[string]func(System, simulator.WebhookSettings) (Simulator, error){
	"salesforce": func(s System, webhook simulator.WebhookSettings) (Simulator, error) {
		return salesforcetest.New(salesforcetest.Options{
			ClientID: s.ClientID, ClientSecret: s.ClientSecret, WebhookSecret: s.WebhookSecret, Webhook: webhook,
		})
	},
	"genesys": func(s System, webhook simulator.WebhookSettings) (Simulator, error) {
		return genesystest.New(genesystest.Options{
			ClientID: s.ClientID, ClientSecret: s.ClientSecret, WebhookKey: s.WebhookSecret, WebhookHeader: s.WebhookHeader,
			Webhook: webhook,
		})
	},
}

// Serve serves every system until ctx ends, and calls ready once all of them answer. An address that is taken or a
// system of an unknown kind is an error.
func Serve(ctx context.Context, c Config, ready func()) (err error) {
	if err := c.check(); err != nil {
		return err
	}
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	failed := make(chan error, 3*len(c))
	var stops []func() error
	defer func() {
		cancel()
		for _, stop := range slices.Backward(stops) {
			err = errors.Join(err, stop())
		}
		all.Wait()
	}()
	for _, name := range slices.Sorted(maps.Keys(c)) {
		sim, err := open(c[name])
		if err != nil {
			return fmt.Errorf("simulators: %s: %w", name, err)
		}
		stops = append(stops, func() error { sim.Close(); return nil })
		all.Go(func() { sim.Run(ctx) })
		for _, front := range []struct {
			address string
			handler http.Handler
		}{
			{c[name].Listen, sim.Handler()}, {c[name].LoginListen, sim.LoginHandler()}, {c[name].ControlListen, sim.ControlHandler()},
		} {
			listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", front.address)
			if err != nil {
				return fmt.Errorf("simulators: %s: %w", name, err)
			}
			server := &http.Server{Handler: front.handler, ReadHeaderTimeout: 10 * time.Second}
			stops = append(stops, server.Close)
			all.Go(func() {
				if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
					failed <- fmt.Errorf("simulators: %s: %w", name, err)
				}
			})
		}
	}
	ready()
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

func open(s System) (Simulator, error) {
	build, ok := kinds[s.Kind]
	if !ok {
		return nil, fmt.Errorf("no simulator of kind %q; there are %v", s.Kind, slices.Sorted(maps.Keys(kinds)))
	}
	webhook := simulator.DefaultWebhook()
	webhook.URL = s.WebhookURL
	return build(s, webhook)
}
