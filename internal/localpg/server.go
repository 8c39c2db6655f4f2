package localpg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"lockstep/internal/leash"
)

// attempts is how often Start tries another port when somebody took the picked one in between.
const attempts = 3

// Server is a running server. It starts no goroutine, so leak checks see nothing of it.
type Server struct {
	*Cluster
	leash *leash.Leash
	// alive is open at its other end in the server and every process of it: it ends when the last one has.
	alive *os.File
	cmd   *exec.Cmd
	mu    sync.Mutex
	ended bool
}

// Start prepares the cluster, runs the server and waits until it takes connections. The server ends with this process,
// however that ends. Errors: ErrNoPostgres, ctx's, or what the server's log says.
func Start(ctx context.Context, opts Options) (*Server, error) {
	var last error
	for range attempts {
		s, err := start(ctx, opts)
		if err == nil {
			return s, nil
		}
		last = err
		if opts.Port != 0 || !errors.Is(err, errExited) {
			break
		}
	}
	return nil, last
}

var errExited = errors.New("localpg: the server ended while starting")

func start(ctx context.Context, opts Options) (*Server, error) {
	tie, err := leash.New()
	if err != nil {
		return nil, err
	}
	cluster, err := prepare(ctx, opts, tie.Remove)
	if err != nil {
		return nil, errors.Join(err, tie.Close())
	}
	s := &Server{Cluster: cluster, leash: tie}
	if err := s.run(); err != nil {
		return nil, errors.Join(err, s.Kill(), s.abandon())
	}
	if err := s.ready(ctx); err != nil {
		if errors.Is(err, errExited) {
			err = fmt.Errorf("%w: %s", err, s.said())
		}
		return nil, errors.Join(err, s.Kill(), s.abandon())
	}
	return s, nil
}

// run starts the process on the leash.
func (s *Server) run() error {
	reader, writer, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("localpg: %w", err)
	}
	s.alive = reader
	cmd := s.Command()
	cmd.ExtraFiles = []*os.File{writer}
	err = cmd.Start()
	_ = writer.Close() // the server has its own
	if err != nil {
		return fmt.Errorf("localpg: start the server: %w", err)
	}
	s.cmd, s.ended = cmd, false
	return s.leash.Hold(cmd.Process.Pid, syscall.SIGQUIT)
}

// ready waits until the server answers, has ended, or ctx is done.
func (s *Server) ready(ctx context.Context) error {
	for {
		err := s.Ping(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("localpg: the server does not become ready: %w", ctx.Err())
		}
		if s.goneWithin(20 * time.Millisecond) {
			return errExited
		}
	}
}

// PID returns the number of the server's first process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Stop ends the server cleanly, with connections cut and a last checkpoint, and gives the folder back. Safe to repeat.
func (s *Server) Stop() error {
	return errors.Join(s.end(syscall.SIGINT), s.abandon())
}

// Kill ends the first process with SIGKILL and waits until its helpers have noticed and gone, as after a crash. The
// folder stays taken; call Restart to serve it again, or Stop. Safe to repeat.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL) }

// Restart serves the folder again, at the same address, after Kill.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended || s.lock == nil {
		return errors.New("localpg: only a killed server can be restarted")
	}
	if err := errors.Join(s.alive.Close(), s.run()); err != nil {
		return err
	}
	return s.ready(ctx)
}

// end signals the server until it is gone: a minute of patience, then SIGKILL.
func (s *Server) end(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.cmd == nil {
		return nil
	}
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("localpg: signal the server: %w", err)
	}
	if !s.goneWithin(time.Minute) {
		if err := s.cmd.Process.Kill(); err != nil {
			return fmt.Errorf("localpg: kill the server: %w", err)
		}
		if !s.goneWithin(time.Minute) {
			return errors.New("localpg: the server does not end")
		}
	}
	// Its exit code says how it was told to end, which we know.
	if err := s.cmd.Wait(); err != nil && s.cmd.ProcessState == nil {
		return fmt.Errorf("localpg: wait for the server: %w", err)
	}
	s.ended = true
	return s.leash.Release(s.cmd.Process.Pid)
}

// goneWithin reports whether every process of the server has ended, waiting at most that long.
func (s *Server) goneWithin(patience time.Duration) bool {
	if err := s.alive.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return false
	}
	_, err := s.alive.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

// abandon closes what Start opened.
func (s *Server) abandon() error {
	err := s.leash.Close()
	if s.alive != nil {
		if e := s.alive.Close(); !errors.Is(e, os.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	return errors.Join(err, s.Release())
}

// said returns the last complaint in the server's log.
func (s *Server) said() string {
	text, err := os.ReadFile(s.LogFile())
	if err != nil {
		return "its log is elsewhere"
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, line := range slices.Backward(lines) {
		for _, mark := range []string{"FATAL:", "PANIC:", "ERROR:"} {
			if _, complaint, ok := strings.Cut(line, mark); ok {
				return strings.TrimSpace(complaint)
			}
		}
	}
	return lines[len(lines)-1]
}
