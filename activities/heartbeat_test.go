package activities_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"lockstep/activities"
	"lockstep/connectors"
	"lockstep/connectors/salesforce"
	"lockstep/schema"
)

// slow is a system that keeps its writers waiting: begun is closed when the first write has come, and it is made once the
// test closes goOn, or is not made because its caller went away.
type slow struct {
	*salesforce.Connector
	begun chan struct{}
	goOn  chan struct{}
	left  atomic.Bool
}

// Write waits, then writes.
func (s *slow) Write(ctx context.Context, object connectors.Object, changes []connectors.Change) ([]connectors.Answer, error) {
	close(s.begun)
	select {
	case <-s.goOn:
	case <-ctx.Done():
		s.left.Store(true)
		return nil, &connectors.Error{System: "crm", Kind: schema.UnknownOutcome, Code: connectors.CodeCanceled}
	}
	return s.Connector.Write(ctx, object, changes)
}

// attempt is one attempt of the activity as a worker makes it, at a write that the system is slow with.
type attempt struct {
	*office
	slow  *slow
	event schema.ID
	claim schema.ID
	// cancel ends the attempt's context, as the SDK does.
	cancel context.CancelCauseFunc
	// heard is closed at the first heartbeat.
	heard chan struct{}
	beats atomic.Int64
	ended chan error
}

// begin makes the attempt beside the test. It has a minute: who waits for its end waits for something else to end it.
func begin(t *testing.T, every time.Duration) *attempt {
	t.Helper()
	o := newOffice(t)
	o.customer(1)
	o.Settle()
	return beginWith(t, o, every, schema.Fields{"name": "Newer"})
}

// beginWith is begin for another word about the customer.
func beginWith(t *testing.T, o *office, every time.Duration, word schema.Fields) *attempt {
	t.Helper()
	a := &attempt{office: o, heard: make(chan struct{}), ended: make(chan error, 1)}
	a.event = a.says(1, word)
	claim := a.next(schema.OpWrite)
	a.claim = claim.ID
	w := a.worker(a.Store)
	crm := w.Systems["crm"]
	a.slow = &slow{Connector: crm.Connector.(*salesforce.Connector), begun: make(chan struct{}), goOn: make(chan struct{})}
	crm.Connector = a.slow
	w.Systems, w.Beat = maps.Clone(w.Systems), every
	w.Systems["crm"] = crm
	var ctx context.Context
	ctx, a.cancel = context.WithCancelCause(context.WithoutCancel(t.Context()))
	t.Cleanup(func() { a.cancel(nil) })
	var s testsuite.WorkflowTestSuite
	s.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := s.NewTestActivityEnvironment()
	env.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
	env.SetTestTimeout(time.Minute)
	env.SetOnActivityHeartbeatListener(func(*activity.Info, converter.EncodedValues) {
		if a.beats.Add(1) == 1 {
			close(a.heard)
		}
	})
	w.RegisterCalls(env)
	in := a.Input(claim, 0)
	in.Policy.Call = time.Minute
	go func() {
		_, err := env.ExecuteActivity(activities.NameApply, in)
		a.ended <- err
	}()
	return a
}

// end waits for the attempt.
func (a *attempt) end() error {
	a.t.Helper()
	select {
	case err := <-a.ended:
		return err
	case <-time.After(20 * time.Second):
		a.t.Fatal("the attempt does not end")
		return nil
	}
}

// wait waits for a moment of the attempt.
func (a *attempt) wait(what string, moment chan struct{}) {
	a.t.Helper()
	select {
	case <-moment:
	case err := <-a.ended:
		a.t.Fatalf("before %s the attempt ends with %v", what, err)
	case <-time.After(20 * time.Second):
		a.t.Fatalf("not in time: %s", what)
	}
}

func TestAnAttemptSaysThatItGoesOn(t *testing.T) {
	a := begin(t, time.Millisecond)
	a.wait("the first heartbeat", a.heard)
	close(a.slow.goOn)
	if err := a.end(); err != nil {
		t.Error(err)
	}
	a.Settle()
	if e := a.Event(a.event); e.Outcome != schema.Applied || a.contact(1)["LastName"] != "Newer" {
		t.Errorf("it is %s %s", e.State, e.Outcome)
	}
}

// A heartbeat costs a request to Temporal: an attempt that is over soon makes none.
func TestAQuickAttemptSaysNothing(t *testing.T) {
	a := begin(t, 0)
	close(a.slow.goOn)
	if err := a.end(); err != nil || a.beats.Load() != 0 {
		t.Errorf("%d heartbeats, %v", a.beats.Load(), err)
	}
}

// A person who cancels a run does not wait for a system that does not answer; what the system may have done is looked at
// before it is told again.
func TestACancelledAttemptEndsAtOnce(t *testing.T) {
	a := begin(t, time.Millisecond)
	a.wait("the call", a.slow.begun)
	a.cancel(temporal.NewCanceledError())
	var cancelled *temporal.CanceledError
	if err := a.end(); !errors.As(err, &cancelled) || !a.slow.left.Load() {
		t.Errorf("it ends with %v, left the system %t", err, a.slow.left.Load())
	}
	if got := a.Text(`SELECT state FROM call ORDER BY id DESC LIMIT 1`); got != "sent" {
		t.Errorf("the call is %s", got)
	}
	_, err := a.Park(t.Context(), a.claim, schema.ReasonParkedByPerson, "ops", "dana")
	must(t, err)
	if got := a.Text(`SELECT state || ' ' || op FROM delivery WHERE state <> 'idle'`); got != "parked read" {
		t.Errorf("the delivery is %s", got)
	}
	a.Sound()
}

func TestAWorkerThatStopsLeavesTheSystem(t *testing.T) {
	a := begin(t, time.Millisecond)
	a.wait("the call", a.slow.begun)
	a.cancel(worker.ErrWorkerShutdown)
	var app *temporal.ApplicationError
	if err := a.end(); !errors.As(err, &app) || app.NonRetryable() || !a.slow.left.Load() {
		t.Errorf("it ends with %v, left the system %t", err, a.slow.left.Load())
	}
}

// An attempt that Temporal has given up, or cannot be asked about, finishes what it has under way, once: its answer is
// written down, and the attempt that takes its place finds nothing left.
func TestAnAttemptThatWasGivenUpFinishesItsCall(t *testing.T) {
	for name, cause := range map[string]error{
		"after a heartbeat timeout": serviceerror.NewNotFound("activity not found"),
		"while Temporal is away":    serviceerror.NewUnavailable("nobody there"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := begin(t, time.Millisecond)
			a.wait("the call", a.slow.begun)
			a.cancel(cause)
			// Another attempt, on another worker: the first one's call may still arrive.
			second := a.Input(schema.Claim{ID: a.claim, System: "crm"}, 0)
			_, err := a.Activities.Attempt(context.WithoutCancel(t.Context()), second, 2, 0)
			var app *temporal.ApplicationError
			if !errors.As(err, &app) || app.NextRetryDelay() < 30*time.Second {
				t.Errorf("the second attempt ends with %v", err)
			}
			close(a.slow.goOn)
			if err := a.end(); err != nil || a.slow.left.Load() {
				t.Errorf("it ends with %v, left the system %t", err, a.slow.left.Load())
			}
			if result, err := a.Activities.Attempt(context.WithoutCancel(t.Context()), second, 3, 0); err != nil || !result.Done {
				t.Errorf("the third attempt finds %+v, %v", result, err)
			}
			a.Settle()
			if e := a.Event(a.event); e.Outcome != schema.Applied {
				t.Errorf("it is %s %s", e.State, e.Outcome)
			}
			a.onlyOnce("LastName", "Newer")
		})
	}
}

// An answer is written down whoever wants the attempt to end by then: else it would have to be asked for again.
func TestAnAnswerIsWrittenDownAfterACancellation(t *testing.T) {
	o := newOffice(t)
	o.customer(1)
	o.Settle()
	event := o.says(1, schema.Fields{"name": "Newer"})
	c := o.next(schema.OpWrite)
	stopped := newPaused(o.Store, beforeClose)
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(t.Context()))
	result := make(chan error, 1)
	go func() {
		_, err := o.worker(stopped).Attempt(ctx, o.Input(c, 0), 1, 0)
		result <- err
	}()
	<-stopped.reached
	cancel(temporal.NewCanceledError())
	close(stopped.goOn)
	if err := <-result; err != nil {
		t.Error(err)
	}
	if e := o.Event(event); e.Outcome != schema.Applied {
		t.Errorf("it is %s %s", e.State, e.Outcome)
	}
	o.Settle()
	o.onlyOnce("LastName", "Newer")
}
