package simulator

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handClock is a time that tests move.
type handClock struct{ at chan time.Time }

func newHandClock() *handClock {
	h := &handClock{at: make(chan time.Time, 1)}
	h.at <- time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return h
}

func (h *handClock) now() time.Time {
	at := <-h.at
	h.at <- at
	return at
}

func (h *handClock) advance(d time.Duration) { h.at <- (<-h.at).Add(d) }

// eventually polls until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never happened: %s", what)
}
