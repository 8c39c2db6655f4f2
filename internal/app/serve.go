package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/client"

	"lockstep/connectors"
	"lockstep/internal/admin"
	"lockstep/internal/dispatch"
	"lockstep/internal/intake"
	"lockstep/internal/payload"
	"lockstep/internal/signature"
	"lockstep/internal/store"
	"lockstep/internal/telemetry"
	"lockstep/schema"
	"lockstep/workflows"
)

// The roles of a serving process.
const (
	RoleIntake   = "intake"
	RoleDispatch = "dispatch"
	RoleWorker   = "worker"
)

// process is what all roles of one process share.
type process struct {
	*wiring
	journal *store.Store
	log     *telemetry.Logger
	metrics *telemetry.Metrics
	// stopping is set as soon as the process is told to stop: it is not ready from then on.
	stopping atomic.Bool
}

// Serve runs roles until the context ends: intake takes webhooks, dispatch decides and starts workflows, worker carries them
// out. out gets one line once everything is ready.
func Serve(ctx context.Context, c Config, roles []string, out, logs io.Writer) error {
	w, err := c.wire()
	if err != nil {
		return err
	}
	defer w.close()
	p, err := w.start(ctx, roles, logs)
	if err != nil {
		return err
	}
	defer p.end() //nolint:contextcheck // what is open is closed after the context has ended
	return p.run(ctx, roles, out)
}

func (w *wiring) start(ctx context.Context, roles []string, logs io.Writer) (*process, error) {
	metrics, err := telemetry.NewMetrics(w.metricNames())
	if err != nil {
		return nil, err
	}
	journal, err := w.openJournal(ctx)
	if err != nil {
		return nil, err
	}
	component := "lockstep"
	if len(roles) == 1 {
		component = roles[0]
	}
	p := &process{wiring: w, journal: journal, metrics: metrics, log: telemetry.New(component, logs, w.Log)}
	active, err := w.prepareJournal(ctx, journal)
	if err != nil {
		p.end() //nolint:contextcheck // as in serve
		return nil, err
	}
	if err := journal.MakePartitions(ctx); err != nil {
		p.log.WarnContext(ctx, "the partitions of the coming days could not be made; it will be tried again", "error", err)
	}
	if active != w.bundle.Digest {
		p.log.Warn("another bundle is active; this process takes webhooks and decides nothing", "digest", w.bundle.Digest, "active", active)
	}
	return p, nil
}

// metricNames are the label values that the map allows.
func (w *wiring) metricNames() telemetry.Names {
	n := telemetry.Names{
		Sources: append(slices.Collect(maps.Keys(w.bundle.Map.Sources)), schema.OwnSource), Systems: slices.Collect(maps.Keys(w.bundle.Map.Systems)),
		Temporal: []string{w.Namespace, workflows.QueueSync, workflows.TypeSync, workflows.TypeSyncRecord},
	}
	for name := range w.bundle.Map.Systems {
		n.Temporal = append(n.Temporal, workflows.QueueOf(name))
	}
	for _, c := range signature.Causes {
		n.Causes = append(n.Causes, string(c))
	}
	return n
}

// end closes what start opened.
func (p *process) end() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = p.journal.Close()
	_ = p.metrics.Close(ctx)
	_ = p.log.Close(ctx)
}

// part is something that runs until the context ends.
type part func(ctx context.Context) error

// run runs the roles' parts beside each other. The first that fails ends the others. The admin listener answers until
// they are all over, so that readiness turns before anything stops.
func (p *process) run(ctx context.Context, roles []string, out io.Writer) error {
	parts, adminPart, ready, err := p.parts(ctx, roles)
	if err != nil {
		return err
	}
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(work, func() { p.stopping.Store(true) })()
	adminContext, endAdmin := context.WithCancel(context.WithoutCancel(ctx))
	defer endAdmin()
	var wg, adminWG sync.WaitGroup
	run := func(wg *sync.WaitGroup, ctx context.Context, part part) {
		wg.Go(func() {
			if err := part(ctx); err != nil {
				cancel(err)
			}
		})
	}
	run(&adminWG, adminContext, adminPart)
	for _, part := range parts {
		run(&wg, work, part)
	}
	_, _ = fmt.Fprintln(out, ready)
	wg.Wait()
	endAdmin()
	adminWG.Wait()
	if cause := context.Cause(work); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// parts wires the roles. ready is the line that tells where they listen.
func (p *process) parts(ctx context.Context, roles []string) (parts []part, adminPart part, ready string, err error) {
	adminListener, err := listen(ctx, p.Admin)
	if err != nil {
		return nil, nil, "", err
	}
	ready = "ready admin=" + adminListener.Addr().String()
	parts = append(parts, p.housekeeping)
	var temporal client.Client
	if slices.Contains(roles, RoleDispatch) || slices.Contains(roles, RoleWorker) {
		if temporal, err = p.temporalClient("lockstep-"+roles[0], p.log.Logger, p.metrics.Temporal()); err != nil { //nolint:contextcheck // the client lives as long as the process
			return nil, nil, "", err
		}
		parts = append(parts, func(ctx context.Context) error {
			<-ctx.Done()
			temporal.Close()
			return nil
		})
	}
	for _, role := range roles {
		var running part
		switch role {
		case RoleIntake:
			var listener net.Listener
			if listener, err = listen(ctx, p.Listen); err == nil {
				ready += " intake=" + listener.Addr().String()
				running, err = p.intakePart(listener)
			}
		case RoleDispatch:
			running, err = p.dispatchPart(temporal)
		case RoleWorker:
			running, err = p.workerPart(temporal) //nolint:contextcheck // a worker has a lifetime of its own, not a context
		default:
			err = fmt.Errorf("there is no role %q; there are intake, dispatch, worker", role)
		}
		if err != nil {
			return nil, nil, "", err
		}
		parts = append(parts, running)
	}
	return parts, p.adminPart(adminListener), ready, nil
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
	}
	return l, nil
}

const (
	// drainPause is how long a stopping process goes on taking requests: whoever looks at readiness, or is told that the
	// connection closes, has gone elsewhere by then.
	drainPause = 500 * time.Millisecond
	// drainLimit is how long connections that say nothing may stay open after that.
	drainLimit = time.Second
)

// serveHTTP serves until the context ends, then finishes what it began. stop, where there is one, is told first; nobody
// that the server has taken is left without an answer (E19).
func (p *process) serveHTTP(ctx context.Context, server *http.Server, l net.Listener, stop func()) error {
	listener := intake.Listen(l, intake.Limits{})
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.Stop)
	defer cancel()
	if stop != nil {
		stop()
		pause(end, drainPause)
	}
	quiet, cancel := context.WithTimeout(end, drainLimit)
	defer cancel()
	_ = listener.Drain(quiet) // a listener that cannot be closed takes nobody after the shutdown either
	if err := server.Shutdown(end); err != nil {
		_ = server.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (p *process) adminPart(l net.Listener) part {
	handler := admin.Handler(admin.Options{
		Journal: p.journal, WorkflowID: workflows.ID, Metrics: p.metrics.Handler(), Log: p.log.Logger,
		Ready: func() error {
			if p.stopping.Load() {
				return errors.New("stopping")
			}
			return nil
		},
	})
	return func(ctx context.Context) error {
		return p.serveHTTP(ctx, intake.NewServer(handler, p.log.Logger), l, nil)
	}
}

// housekeeping makes partitions, forgets bodies and rotates dedupe keys, at once and then hourly.
func (p *process) housekeeping(ctx context.Context) error {
	for {
		if err := p.journal.Housekeep(ctx, p.retention()); err != nil && ctx.Err() == nil {
			p.log.WarnContext(ctx, "housekeeping failed; it will be tried again in an hour", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Hour):
		}
	}
}

func (p *process) intakePart(l net.Listener) (part, error) {
	sources, err := p.sources()
	if err != nil {
		return nil, err
	}
	in, err := intake.New(p.journal, p.metrics, p.log.Logger, time.Now, sources)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		return p.serveHTTP(ctx, intake.NewServer(in.Handler(), p.log.Logger), l, in.Stop)
	}, nil
}

// sources wires every path of the map.
func (w *wiring) sources() ([]*intake.Source, error) {
	owners := map[string]string{}
	for name, o := range w.bundle.Map.Objects {
		owners[name] = o.Owner
	}
	envelopes, err := w.envelopes()
	if err != nil {
		return nil, err
	}
	var out []*intake.Source
	for _, name := range slices.Sorted(maps.Keys(w.bundle.Map.Sources)) {
		def := w.bundle.Map.Sources[name]
		covers, err := signature.Covered(def.Signature)
		if err != nil {
			return nil, fmt.Errorf("%s: sources.%s.signature: %w", w.Map, name, err)
		}
		verifier, err := signature.New(def.Signature, func() ([][]byte, error) { return w.secrets.Live(def.Signature.Secrets) }, time.Now)
		if err != nil {
			return nil, fmt.Errorf("%s: sources.%s.signature: %w", w.Map, name, err)
		}
		out = append(out, &intake.Source{
			Name: name, Def: def, Verifier: verifier, Covers: covers, Envelope: envelopes[name], Rulesets: w.bundle.Rulesets, Owners: owners, Shapes: w.shapes,
		})
	}
	return out, nil
}

// envelopes returns how each source wraps its events, in the present version.
func (w *wiring) envelopes() (map[string]connectors.Envelope, error) {
	out := map[string]connectors.Envelope{}
	for name, def := range w.bundle.Map.Sources {
		inner, err := envelopeOf(w.bundle.Map, def)
		if err != nil {
			return nil, usage{fmt.Errorf("%s: sources.%s.envelope: %w", w.Map, name, err)}
		}
		families := map[string]string{}
		for vendorObject, o := range def.Objects {
			families[vendorObject] = o.Schema
		}
		out[name] = payload.Upcasting{Envelope: inner, Catalogue: w.shapes, Families: families}
	}
	return out, nil
}

func (p *process) dispatchPart(temporal client.Client) (part, error) {
	systems, err := p.connect(p.log.Logger, nil)
	if err != nil {
		return nil, err
	}
	envelopes, err := p.envelopes()
	if err != nil {
		return nil, err
	}
	d := dispatch.New(dispatch.Options{
		Journal: p.journal, Log: p.log.Logger, Now: time.Now, Sizes: sizes(systems), Start: p.starter(temporal),
		Bundle: dispatch.Bundle{Map: p.bundle.Map, Rulesets: p.bundle.Rulesets, Envelopes: envelopes},
	})
	return func(ctx context.Context) error {
		d.Run(ctx)
		return nil
	}, nil
}
