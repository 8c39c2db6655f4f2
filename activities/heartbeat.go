package activities

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
)

const (
	// HeartbeatInterval is how often an attempt says that it goes on, and hears whether a person has cancelled it. One that
	// is over before says nothing.
	HeartbeatInterval = 2 * time.Second
	// HeartbeatTimeout is how long an attempt may be silent before another one begins: how late a killed worker is noticed
	// at most. The call's row fences the two: nobody calls for its records before its deadline, and a late answer changes
	// nothing.
	HeartbeatTimeout = 4 * HeartbeatInterval
)

// beating calls say at every beat until stop is called, which waits for the last one. work is what the attempt runs
// under. It ends when somebody wants the attempt to end: a person who cancels the run, a worker that stops, the attempt's
// deadline. It goes on when the server does not answer, or has given the attempt up: what is under way in a system is
// finished and written down.
func beating(ctx context.Context, every time.Duration, say func(ctx context.Context)) (work context.Context, stop func()) {
	work, end := context.WithCancelCause(context.WithoutCancel(ctx))
	release := func() {}
	if deadline, ok := ctx.Deadline(); ok {
		work, release = context.WithDeadline(work, deadline)
	}
	unhook := context.AfterFunc(ctx, func() {
		if cause := context.Cause(ctx); wanted(cause) {
			end(cause)
		}
	})
	// Another context than the attempt's: one beat that fails must not silence the others.
	mouth, shut := context.WithCancel(context.WithoutCancel(ctx))
	var ended sync.WaitGroup
	ended.Go(func() {
		ticks := time.NewTicker(every)
		defer ticks.Stop()
		for {
			select {
			case <-mouth.Done():
				return
			case <-ticks.C:
				say(mouth)
			}
		}
	})
	return work, func() {
		shut()
		ended.Wait()
		unhook()
		release()
		end(nil)
	}
}

// wanted reports whether a context ended because somebody wants the attempt to end.
func wanted(cause error) bool {
	return temporal.IsCanceledError(cause) || errors.Is(cause, worker.ErrWorkerShutdown) || errors.Is(cause, context.Canceled)
}
