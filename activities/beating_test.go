package activities

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
)

// Whoever wants an attempt to end, ends it. A server that cannot be asked, or has no use for the attempt any more, does not.
func TestWhoEndsAnAttempt(t *testing.T) {
	for _, c := range []struct {
		cause error
		ends  bool
	}{
		{temporal.NewCanceledError(), true}, {worker.ErrWorkerShutdown, true}, {context.Canceled, true},
		{serviceerror.NewNotFound("given up"), false}, {serviceerror.NewUnavailable("away"), false}, {serviceerror.NewDeadlineExceeded("slow"), false},
		{serviceerror.NewResourceExhausted(0, "busy"), false}, {activity.ErrActivityPaused, false}, {activity.ErrActivityReset, false},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		beats := make(chan struct{})
		var over atomic.Bool
		work, stop := beating(ctx, time.Millisecond, func(ctx context.Context) {
			if over.Load() {
				t.Errorf("%v: a beat after the end", c.cause)
			}
			select {
			case beats <- struct{}{}:
			case <-ctx.Done():
			}
		})
		hear := func() {
			t.Helper()
			select {
			case <-beats:
			case <-time.After(10 * time.Second):
				t.Fatalf("%v: it is silent", c.cause)
			}
		}
		hear()
		cancel(c.cause)
		if c.ends {
			<-work.Done()
			if got := context.Cause(work); !errors.Is(got, c.cause) {
				t.Errorf("%v: it ends because of %v", c.cause, got)
			}
		}
		// It says so until it is over: what is under way may still take a while.
		hear()
		hear()
		if work.Err() != nil != c.ends {
			t.Errorf("%v: it ended %t", c.cause, !c.ends)
		}
		stop()
		over.Store(true)
		if work.Err() == nil {
			t.Errorf("%v: its context outlives it", c.cause)
		}
	}
}

func TestAnAttemptKeepsItsDeadline(t *testing.T) {
	deadline := time.Now().Add(time.Millisecond)
	ctx, cancel := context.WithDeadline(t.Context(), deadline)
	defer cancel()
	work, stop := beating(ctx, time.Hour, func(context.Context) { t.Error("a beat an hour early") })
	defer stop()
	if got, ok := work.Deadline(); !ok || !got.Equal(deadline) {
		t.Errorf("its deadline is %s", got)
	}
	<-work.Done()
	if !errors.Is(work.Err(), context.DeadlineExceeded) {
		t.Errorf("it ends because of %v", work.Err())
	}
}

func TestTheLastBeatIsWaitedFor(t *testing.T) {
	for range 20 {
		begun := make(chan struct{})
		var once sync.Once
		over := false
		_, stop := beating(t.Context(), time.Millisecond, func(ctx context.Context) {
			once.Do(func() { close(begun) })
			<-ctx.Done()
			for range 100 {
				runtime.Gosched()
			}
			over = true
		})
		<-begun
		stop()
		if !over {
			t.Fatal("it goes on after the attempt")
		}
	}
}
