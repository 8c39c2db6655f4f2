// Package stack brings the whole demo up on one machine: Postgres, the Temporal server, the simulated systems, and
// Lockstep's own processes, each a part under the supervisor.
package stack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"sync"
	"time"

	"lockstep/demo/endpoints"
	"lockstep/demo/supervisor"
	"lockstep/internal/localpg"
	"lockstep/internal/loopback"
)

// Options says what to bring up and where.
type Options struct {
	// Folder keeps the state; empty means Folder().
	Folder string
	// Fresh begins without what an earlier run left.
	Fresh bool
	// SQLite keeps Temporal's state in a file instead of in Postgres.
	SQLite bool
	// Workers is how many worker processes run; 0 means 1.
	Workers int
	// Together runs intake, dispatch and worker in one process.
	Together bool
	// Map is the integration map.
	Map string
	// Binaries is the folder that holds lockstep and worker.
	Binaries string
	// Executable is the demo's own program, which also runs Temporal and the simulators.
	Executable string
	// Endpoints is a file to write when everything is ready, and whenever a part was started again; empty means none.
	Endpoints string
	// Say hears of each step in plain words.
	Say func(text string)
	// Log hears of parts that die.
	Log *slog.Logger
}

// Stack is the running demo.
type Stack struct {
	opts       Options
	folder     *folder
	postgres   *localpg.Cluster
	supervisor *supervisor.Supervisor
	landscape  *landscape
	addresses  addresses

	mu    sync.Mutex
	ready bool
}

// addresses are picked once: a part that is started again comes back at its own.
type addresses struct {
	intake               string
	admin                map[string]string
	temporal, temporalUI int
	databases            databases
}

// patience bounds the way up. The parts' own bounds are tighter and say more.
const patience = 10 * time.Minute

// Up brings everything up and returns when all parts are ready. A second start on the folder carries on where the first
// one ended, however it ended. The caller calls Down, also after an error.
func Up(ctx context.Context, opts Options) (*Stack, error) {
	if opts.Say == nil {
		opts.Say = func(string) {}
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if opts.Folder == "" {
		opts.Folder = Folder()
	}
	opts.Workers = max(1, opts.Workers)
	s := &Stack{opts: opts}
	// The parts run in the demo's folder.
	for _, path := range []*string{&s.opts.Map, &s.opts.Binaries, &s.opts.Executable} {
		if err := absolute(path); err != nil {
			return s, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"the demo's folder", s.openFolder},
		{"Postgres", s.startPostgres},
		{"the Temporal server and the simulated systems", s.startNeighbours},
		{"the database's schema, the map and the systems", s.prepare},
		{"Lockstep: intake, dispatch and worker", s.startLockstep},
	} {
		if err := s.narrate(ctx, step.what, step.do); err != nil {
			return s, err
		}
	}
	s.mu.Lock()
	s.ready = true
	s.mu.Unlock()
	if err := s.publish(); err != nil {
		return s, err
	}
	opts.Say(fmt.Sprintf("ready after %.1f s", time.Since(began).Seconds()))
	return s, nil
}

func absolute(path *string) (err error) {
	if *path, err = filepath.Abs(*path); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

// narrate says what begins, and every ten seconds that it is still under way.
func (s *Stack) narrate(ctx context.Context, what string, do func(context.Context) error) error {
	s.opts.Say("starting " + what)
	began := time.Now()
	ended := make(chan struct{})
	var talk sync.WaitGroup
	talk.Go(func() {
		tick := time.NewTicker(10 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
				s.opts.Say(fmt.Sprintf("still starting %s, %.0f s", what, time.Since(began).Seconds()))
			}
		}
	})
	err := do(ctx)
	close(ended)
	talk.Wait()
	return err
}

func (s *Stack) openFolder(context.Context) error {
	f, err := openFolder(s.opts.Folder, s.opts.Fresh)
	if err != nil {
		return err
	}
	s.folder = f
	s.supervisor, err = supervisor.New(supervisor.Options{
		Dir: f.join("logs"), Log: s.opts.Log, Restarted: s.restarted,
	})
	if err != nil {
		return err
	}
	return s.pickAddresses()
}

func (s *Stack) pickAddresses() error {
	names := append([]string{"intake", "dispatch"}, s.workers()...)
	ports, err := loopback.Ports(3 + len(names))
	if err != nil {
		return err
	}
	s.addresses = addresses{
		intake: listenOn(ports[0]), temporal: ports[1], temporalUI: ports[2], admin: map[string]string{},
	}
	for i, name := range names {
		s.addresses.admin[name] = listenOn(ports[3+i])
	}
	return nil
}

func (s *Stack) workers() []string {
	names := make([]string, s.opts.Workers)
	for i := range names {
		names[i] = fmt.Sprintf("worker-%d", i+1)
	}
	return names
}

func (s *Stack) startPostgres(ctx context.Context) error {
	cluster, err := localpg.Prepare(ctx, localpg.Options{Dir: s.folder.join("postgres"), Durable: true})
	if err != nil {
		return err
	}
	s.postgres = cluster
	if err := s.supervisor.Start(ctx, s.postgresPart()); err != nil {
		return err
	}
	s.addresses.databases, err = roles(ctx, cluster.URL("postgres"))
	return err
}

// startNeighbours starts what Lockstep needs, at once.
func (s *Stack) startNeighbours(ctx context.Context) error {
	var err error
	if s.landscape, err = survey(s.opts.Map, "http://"+s.addresses.intake); err != nil {
		return err
	}
	maps.Copy(s.landscape.files, map[string]string{
		applicationAddress: s.addresses.databases.application, ownerAddress: s.addresses.databases.owner, temporalAddress: s.addresses.databases.temporal,
	})
	if err := s.landscape.write(s.Secrets()); err != nil {
		return err
	}
	if err := s.landscape.systems.Write(s.simulatorsFile()); err != nil {
		return err
	}
	return s.startAtOnce(ctx, s.temporalPart(), s.simulatorsPart())
}

func (s *Stack) startLockstep(ctx context.Context) error {
	if s.opts.Together {
		return s.supervisor.Start(ctx, s.everythingPart())
	}
	parts := []supervisor.Part{s.intakePart(), s.dispatchPart()}
	for _, name := range s.workers() {
		parts = append(parts, s.workerPart(name))
	}
	return s.startAtOnce(ctx, parts...)
}

func (s *Stack) startAtOnce(ctx context.Context, parts ...supervisor.Part) error {
	errs := make([]error, len(parts))
	var all sync.WaitGroup
	for i, part := range parts {
		all.Go(func() { errs[i] = s.supervisor.Start(ctx, part) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// Endpoints returns where everything can be reached now. While a part is down its number is missing.
func (s *Stack) Endpoints() endpoints.Endpoints {
	e := endpoints.Endpoints{
		Intake: "http://" + s.addresses.intake, Admin: "http://" + s.addresses.admin["intake"],
		Temporal: listenOn(s.addresses.temporal), TemporalUI: "http://" + listenOn(s.addresses.temporalUI),
		Postgres: s.addresses.databases.application, Systems: s.landscape.describe(),
		PIDs: endpoints.PIDs{
			Worker: s.supervisor.PIDs("worker"), Intake: s.supervisor.PIDs("intake"), Dispatch: s.supervisor.PIDs("dispatch"),
			Temporal: s.one("temporal"), Postgres: s.one("postgres"), Simulators: s.one("simulators"),
		},
	}
	if s.opts.Together {
		e.PIDs.Worker, e.PIDs.Dispatch = e.PIDs.Intake, e.PIDs.Intake
	}
	return e
}

// Logs returns the folder with one log file for each part.
func (s *Stack) Logs() string { return s.folder.join("logs") }

// Postgres returns the server that holds both databases.
func (s *Stack) Postgres() *localpg.Cluster { return s.postgres }

// Admins returns the base URLs of the admin listeners of Lockstep's processes, by the part's name.
func (s *Stack) Admins() map[string]string {
	all := map[string]string{}
	for name, listen := range s.addresses.admin {
		all[name] = "http://" + listen
	}
	return all
}

// Restarts returns how often parts were started again.
func (s *Stack) Restarts() int { return s.supervisor.Restarts() }

func (s *Stack) one(role string) int {
	if pids := s.supervisor.PIDs(role); len(pids) > 0 {
		return pids[0]
	}
	return 0
}

// restarted writes the endpoints anew. While another part is still down they would be incomplete; its own return
// writes them then.
func (s *Stack) restarted(name string) {
	s.mu.Lock()
	ready := s.ready
	s.mu.Unlock()
	if !ready {
		return
	}
	s.opts.Say(name + " is back")
	if name == simulatorsName {
		// What they held went with them.
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.prepareSystems(ctx); err != nil {
			s.opts.Log.Error("the systems cannot be prepared anew", "error", err)
		}
	}
	if err := s.publish(); err != nil {
		s.opts.Log.Info("the endpoints file waits for a part that is still down", "error", err)
	}
}

func (s *Stack) publish() error {
	if s.opts.Endpoints == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return endpoints.Write(s.opts.Endpoints, s.Endpoints())
}

// Down stops everything, in reverse order, and gives the folder back. Safe to repeat and after a failed Up.
func (s *Stack) Down() error {
	var err error
	if s.supervisor != nil {
		err = s.supervisor.Stop()
	}
	if s.postgres != nil {
		err = errors.Join(err, s.postgres.Release())
	}
	if s.folder != nil {
		err = errors.Join(err, s.folder.close())
		s.folder = nil
	}
	return err
}
