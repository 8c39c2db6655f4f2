package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"lockstep/internal/leash"
)

const (
	// firstTries is how often a part may fail before it was ever ready.
	firstTries = 3
	// The pause before a restart: none for the first, then doubling. A part that ran for a while begins anew.
	shortestPause = 100 * time.Millisecond
	longestPause  = 5 * time.Second
	healthyAfter  = 20 * time.Second
	// tailShown is how much of a failed part's output is shown.
	tailShown = 20
)

// runner keeps one part running.
type runner struct {
	part  Part
	out   *output
	log   *slog.Logger
	leash *leash.Leash
	again func(name string)
	// first tells how the first start went.
	first chan error
	stop  chan struct{}
	done  chan struct{}

	mu      sync.Mutex
	process int
	starts  int
}

func newRunner(part Part, opts Options, l *leash.Leash) (*runner, error) {
	if part.Role == "" {
		part.Role = part.Name
	}
	if part.ReadyWithin == 0 {
		part.ReadyWithin = time.Minute
	}
	if part.StopSignal == 0 {
		part.StopSignal = syscall.SIGTERM
	}
	if part.Grace == 0 {
		part.Grace = 10 * time.Second
	}
	out, err := newOutput(opts.Dir, part.Name, opts.LogCap)
	if err != nil {
		return nil, err
	}
	return &runner{
		part: part, out: out, log: opts.Log.With("part", part.Name), leash: l, again: opts.Restarted,
		first: make(chan error, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}, nil
}

// run starts the part until it is told to stop.
func (r *runner) run() {
	defer close(r.done)
	var pause time.Duration
	wasReady := false
	for try := 1; ; try++ {
		began := time.Now()
		ready, err := r.live(wasReady)
		wasReady = wasReady || ready
		if r.stopping() {
			r.settle(errors.New("supervisor: stopped"))
			return
		}
		if !wasReady && try == firstTries {
			r.settle(fmt.Errorf("supervisor: %s does not start: %w\n%s", r.part.Name, err, r.out.tail(tailShown)))
			return
		}
		if time.Since(began) > healthyAfter {
			pause = 0
		}
		r.tell(err)
		if !r.rest(pause) {
			r.settle(errors.New("supervisor: stopped"))
			return
		}
		pause = min(max(2*pause, shortestPause), longestPause)
	}
}

// live runs the process once and returns when it has ended: whether it was ready, and how it ended.
func (r *runner) live(again bool) (ready bool, err error) {
	r.out.expect(r.part.ReadyLine)
	reader, writer, err := os.Pipe()
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	cmd, err := r.launch(writer)
	err = errors.Join(err, writer.Close()) // the part has its own
	if err != nil {
		return false, err
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(r.out, reader) // ends with the part, or by the deadline below
	}()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	err = r.watch(cmd, ended, func() {
		ready = true
		if again && r.again != nil {
			r.again(r.part.Name)
		}
		r.settle(nil)
	})
	// A helper in a session of its own, as Postgres has them, may hold the output open a little longer.
	if err := reader.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return ready, err
	}
	<-copied
	return ready, err
}

func (r *runner) launch(out *os.File) (*exec.Cmd, error) {
	cmd, err := r.part.Command()
	if err != nil {
		return nil, fmt.Errorf("make the command: %w", err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopping() {
		return nil, errors.New("stopped")
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	r.process = cmd.Process.Pid
	r.starts++
	if err := r.leash.Hold(-cmd.Process.Pid, r.part.StopSignal); err != nil {
		r.log.Warn("the leash is gone: the parts would outlive the demo", "error", err)
	}
	return cmd, nil
}

// watch waits for the process: until it is ready, then until it ends or is told to.
func (r *runner) watch(cmd *exec.Cmd, ended <-chan error, becameReady func()) error {
	ctx, cancel := context.WithTimeout(context.Background(), r.part.ReadyWithin)
	defer cancel()
	ready := make(chan error, 1)
	go func() { ready <- r.askReady(ctx) }()
	stop := r.stop
	var kill <-chan time.Time
	var why error
	for {
		select {
		case err := <-ended:
			cancel()
			r.forget(cmd.Process.Pid)
			return errors.Join(why, describe(err))
		case err := <-ready:
			ready = nil
			if err == nil {
				becameReady()
				continue
			}
			why = fmt.Errorf("not ready within %s: %w", r.part.ReadyWithin, err)
			r.killGroup(cmd.Process.Pid)
		case <-stop:
			stop = nil
			if err := cmd.Process.Signal(r.part.StopSignal); err != nil {
				r.log.Debug("the part ended before it was told to", "error", err)
			}
			timer := time.NewTimer(r.part.Grace)
			defer timer.Stop()
			kill = timer.C
		case <-kill:
			r.killGroup(cmd.Process.Pid)
		}
	}
}

// askReady returns nil as soon as the part says that it is ready.
func (r *runner) askReady(ctx context.Context) error {
	if r.part.ReadyLine != "" {
		select {
		case <-r.out.seen():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if r.part.Ready == nil {
		return ctx.Err()
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		step, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := r.part.Ready(step)
		cancel()
		if err == nil {
			return ctx.Err()
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// end tells the part to stop and waits until it has.
func (r *runner) end() error {
	r.mu.Lock()
	if !r.stopping() {
		close(r.stop)
	}
	r.mu.Unlock()
	<-r.done
	return r.out.close()
}

// forget lets the ended process go, and whatever it left in its group.
func (r *runner) forget(pid int) {
	r.mu.Lock()
	r.process = 0
	r.mu.Unlock()
	r.killGroup(pid)
	if err := r.leash.Release(-pid); err != nil {
		r.log.Warn("the leash is gone: the parts would outlive the demo", "error", err)
	}
}

func (r *runner) killGroup(pid int) {
	if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		r.log.Warn("cannot kill the part's processes", "error", err)
	}
}

// settle tells Start how the first start went; later calls change nothing.
func (r *runner) settle(err error) {
	select {
	case r.first <- err:
	default:
	}
}

// tell says what ended, and shows its last words unless somebody killed it.
func (r *runner) tell(err error) {
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ProcessState.Exited() || !errors.As(err, &exit) {
		r.log.Error("ended; starting it again", "how", err, "output", r.out.tail(tailShown))
		return
	}
	r.log.Warn("ended; starting it again", "how", err)
}

// rest waits, and reports whether to go on.
func (r *runner) rest(pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return !r.stopping()
	case <-r.stop:
		return false
	}
}

func (r *runner) stopping() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}

func (r *runner) pid() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process
}

func (r *runner) restarts() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(0, r.starts-1)
}

func describe(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}
