// Package supervisor runs the demo's parts as processes of their own: it starts them in order, waits until each is
// ready, starts again what dies, and ends all of them in reverse order. When the supervisor itself dies, however it
// does, its parts end too.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"lockstep/internal/leash"
)

// Part is a process to keep running.
type Part struct {
	// Name is the part's own, and its log file's.
	Name string
	// Role groups parts that do the same; empty means Name.
	Role string
	// Command makes the command of one start; the supervisor sets its output and its process group.
	Command func() (*exec.Cmd, error)
	// Ready is asked until it returns nil. Nil means ready as soon as it runs.
	Ready func(ctx context.Context) error
	// ReadyLine is a text that the part prints when it is ready; empty means that it prints none.
	ReadyLine string
	// ReadyWithin bounds a start; 0 means a minute. A part that takes longer is killed and started again.
	ReadyWithin time.Duration
	// StopSignal asks the part to end; 0 means SIGTERM.
	StopSignal syscall.Signal
	// Grace is how long it has then before SIGKILL; 0 means 10 s.
	Grace time.Duration
}

// Options says where output goes and who hears of restarts.
type Options struct {
	// Dir takes one log file for each part.
	Dir string
	// LogCap bounds a log file in bytes; a full one becomes the single .old. 0 means 8 MiB.
	LogCap int64
	// Log hears of what dies and comes back.
	Log *slog.Logger
	// Restarted is called when a part is ready again after it died. It may be called from several goroutines.
	Restarted func(name string)
}

// Supervisor keeps parts running. Its methods may be called from several goroutines.
type Supervisor struct {
	opts  Options
	leash *leash.Leash

	mu      sync.Mutex
	runners []*runner
	stopped bool
}

// New makes the log folder and the leash.
func New(opts Options) (*Supervisor, error) {
	if opts.LogCap == 0 {
		opts.LogCap = 8 << 20
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("supervisor: %w", err)
	}
	l, err := leash.New()
	if err != nil {
		return nil, err
	}
	return &Supervisor{opts: opts, leash: l}, nil
}

// Start runs the part and waits until it is ready. A part that ends or stalls three times before it was ever ready is
// given up, with the end of its output in the error.
func (s *Supervisor) Start(ctx context.Context, part Part) error {
	r, err := newRunner(part, s.opts, s.leash)
	if err != nil {
		return err
	}
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return errors.Join(errors.New("supervisor: stopped"), r.out.close())
	}
	s.runners = append(s.runners, r)
	s.mu.Unlock()
	go r.run() //nolint:contextcheck // the part outlives the context of its start
	select {
	case err := <-r.first:
		return err
	case <-ctx.Done():
		return fmt.Errorf("supervisor: %s is not ready: %w", part.Name, ctx.Err())
	}
}

// PIDs returns the numbers of the running processes of a role, in the order their parts were started.
func (s *Supervisor) PIDs(role string) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var pids []int
	for _, r := range s.runners {
		if r.part.Role != role {
			continue
		}
		if pid := r.pid(); pid != 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Restarts returns how often parts were started again.
func (s *Supervisor) Restarts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.runners {
		n += r.restarts()
	}
	return n
}

// Stop ends the parts, the last one started first, and waits for them. Safe to repeat.
func (s *Supervisor) Stop() error {
	s.mu.Lock()
	runners := s.runners
	stopped := s.stopped
	s.stopped = true
	s.mu.Unlock()
	if stopped {
		return nil
	}
	var err error
	for _, r := range slices.Backward(runners) {
		err = errors.Join(err, r.end())
	}
	return errors.Join(err, s.leash.Close())
}
