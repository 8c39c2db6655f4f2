package telemetry

import (
	"context"
	"io"
	"sync"
)

// maxPending is how many bytes of log lines wait for a slow writer before lines are dropped.
const maxPending = 1 << 20

// sink hands lines to a writer that may block for ever. Lines that find no room are counted and dropped.
type sink struct {
	writer io.Writer
	// notice returns the line that tells of dropped ones.
	notice func(dropped uint64) []byte
	wake   chan struct{}
	done   chan struct{}

	mu sync.Mutex
	// pending are the lines not yet given to the writer; spare is the buffer that they go to next.
	pending, spare []byte
	lines          uint64
	// taken and written count lines.
	taken, written uint64
	dropped, told  uint64
	closed         bool
	waiting        []waiter
}

// waiter waits until a number of lines are written.
type waiter struct {
	lines uint64
	ready chan struct{}
}

func newSink(writer io.Writer, notice func(uint64) []byte) *sink {
	s := &sink{writer: writer, notice: notice, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go s.run()
	return s
}

// put takes a line, or drops it. It never waits for the writer.
func (s *sink) put(line []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.pending)+len(line) > maxPending {
		s.dropped++
		return
	}
	s.pending = append(s.pending, line...)
	s.lines++
	s.taken++
	s.rouse()
}

// rouse wakes the writing goroutine; the caller holds mu.
func (s *sink) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run writes until the sink is closed and empty.
func (s *sink) run() {
	defer close(s.done)
	for range s.wake {
		for s.write() {
		}
		s.mu.Lock()
		finished := s.closed && len(s.pending) == 0
		s.mu.Unlock()
		if finished {
			return
		}
	}
}

// write gives the writer what is pending; more is false when there was nothing.
func (s *sink) write() (more bool) {
	s.mu.Lock()
	if s.dropped > s.told {
		s.pending = append(s.pending, s.notice(s.dropped-s.told)...)
		s.told = s.dropped
	}
	batch, lines := s.pending, s.lines
	if len(batch) == 0 {
		s.mu.Unlock()
		return false
	}
	s.pending, s.spare, s.lines = s.spare[:0], nil, 0
	s.mu.Unlock()
	_, err := s.writer.Write(batch)
	s.mu.Lock()
	if err != nil {
		s.dropped += lines
		s.told += lines // a broken writer has nobody to tell
	}
	s.spare = batch[:0]
	s.written += lines
	s.mu.Unlock()
	s.release()
	return true
}

// release tells those who wait for what is written now.
func (s *sink) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	still := s.waiting[:0]
	for _, w := range s.waiting {
		if w.lines <= s.written {
			close(w.ready)
		} else {
			still = append(still, w)
		}
	}
	s.waiting = still
}

// flush waits until every line taken so far is written.
func (s *sink) flush(ctx context.Context) error {
	s.mu.Lock()
	w := waiter{s.taken, make(chan struct{})}
	if s.written >= w.lines {
		s.mu.Unlock()
		return nil
	}
	s.waiting = append(s.waiting, w)
	s.rouse()
	s.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close takes no more lines and waits until the goroutine has ended.
func (s *sink) close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.rouse()
	s.mu.Unlock()
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lost returns how many lines were dropped.
func (s *sink) lost() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}
