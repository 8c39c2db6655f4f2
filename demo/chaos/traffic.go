package chaos

import (
	"context"
	"fmt"
	"time"

	"lockstep/demo/checker"
)

// errand is something that goes on in the background until it is ended.
type errand struct {
	stop chan struct{}
	done chan error
}

// end stops it and returns what went wrong.
func (e errand) end() error {
	close(e.stop)
	return <-e.done
}

// every calls do each time the interval has passed, until the errand is ended or do fails.
func every(ctx context.Context, interval time.Duration, do func(n int) error) errand {
	e := errand{stop: make(chan struct{}), done: make(chan error, 1)}
	go func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-e.stop:
				e.done <- nil
				return
			case <-ctx.Done():
				e.done <- ctx.Err()
				return
			case <-tick.C:
			}
			if err := do(n); err != nil {
				e.done <- err
				return
			}
		}
	}()
	return e
}

const (
	// betweenChanges is the pace of the people.
	betweenChanges = 40 * time.Millisecond
	// newcomers arrive together, one group for so many changes.
	newcomers     = 10
	perArrival    = 50
	perAcquainted = 25
)

// busy has people create and change customers at both systems, whatever happens to Lockstep.
func (r *Runner) busy(ctx context.Context) errand {
	return every(ctx, betweenChanges, func(n int) error {
		if n%perArrival == 0 {
			if err := r.cast.Arrive(ctx, newcomers); err != nil {
				return err
			}
		}
		if n%perAcquainted == 0 {
			if err := r.land.Adopt(ctx, r.cast.All()); err != nil {
				return err
			}
		}
		return r.cast.Change(ctx)
	})
}

// watch holds conservation all the while (INV-02): every accepted event is in exactly one place, and whatever a sender has
// a 2xx for is among them. While Lockstep does not answer there is nothing to hold.
func (r *Runner) watch(ctx context.Context, before standing) errand {
	return every(ctx, 500*time.Millisecond, func(int) error {
		told, err := r.acknowledged(ctx)
		if err != nil {
			return err
		}
		stats, err := r.lockstep.Stats(ctx)
		if err != nil {
			return nil //nolint:nilerr // a part is down
		}
		if err := checker.Conserved(stats); err != nil {
			return fmt.Errorf("INV-02: %w", err)
		}
		for source, n := range told {
			if got := stats.Sources[source].Accepted - before.stats.Sources[source].Accepted; got < n-before.sent[source] {
				return fmt.Errorf("INV-02: %s has %d times a 2xx, and only %d events are accepted", source, n-before.sent[source], got)
			}
		}
		return nil
	})
}
