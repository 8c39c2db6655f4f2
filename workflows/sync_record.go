package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"lockstep/activities"
	"lockstep/schema"
)

// SyncRecord carries one record in trouble in one system: the sync that a person sees, pauses and resets. Every attempt
// renders afresh, so that later changes are picked up; beside the attempts a timer opens the incident, and after a day
// the record is parked: people are waited for in Postgres, never here (protocol F27). Both count from the record's first
// failure, which may be older than the run.
func SyncRecord(ctx workflow.Context, in ClaimInput) (ClaimResult, error) {
	describe(ctx, in, "Retrying until it is through.")
	var result ClaimResult
	attempts, stop := workflow.WithCancel(ctx)
	escalate := after(ctx, in.Policy.EscalateAfter, in.Failing, "escalate to "+in.Owner)
	giveUp := after(ctx, in.Policy.GiveUp, in.Failing, "give up")
	defer escalate.stop()
	defer giveUp.stop()

	// What is due already is done before an attempt that may end the claim.
	switch {
	case giveUp.fired():
		return result, parkRecord(ctx, in, &result, true)
	case escalate.fired():
		if err := escalateRecord(ctx, in); err != nil && ctx.Err() == nil {
			return result, err
		}
	}
	for {
		f := workflow.ExecuteActivity(applyOptions(attempts, in), activities.NameApply,
			activities.ApplyInput{Claim: in.Claim, System: in.System, Single: true, Policy: in.Policy})
		for !f.IsReady() {
			cancelled := workflow.Await(ctx, func() bool { return f.IsReady() || escalate.due() || giveUp.due() }) != nil
			switch {
			case cancelled || giveUp.fired():
				stop()
				_ = f.Get(ctx, nil) // the attempt has to be over before the record is parked; how it ended does not matter
				return result, parkRecord(ctx, in, &result, !cancelled)
			case escalate.fired():
				if err := escalateRecord(ctx, in); err != nil && ctx.Err() == nil {
					return result, err
				}
			}
		}
		var r activities.ApplyResult
		failed := f.Get(ctx, &r)
		result.add(r)
		switch trouble := troubleOf(failed); {
		case temporal.IsCanceledError(failed), failed != nil && ctx.Err() != nil:
			// The last attempt may have ended in any way before it heard of the cancellation.
			return result, parkRecord(ctx, in, &result, false)
		case trouble != nil:
			result.GivenBack = trouble.Reason
			return result, giveBack(ctx, activities.GiveBackInput{Claim: in.Claim, Reason: trouble.Reason, Pause: trouble.Pause})
		case failed != nil:
			return result, failed
		case r.Done:
			return result, nil
		}
	}
}

func parkRecord(ctx workflow.Context, in ClaimInput, result *ClaimResult, gaveUp bool) error {
	reason, sentence := schema.ReasonParkedByPerson, "Stopped by a person."
	if gaveUp {
		reason, sentence = schema.ReasonGivenUp, "A day of retries has not helped; it waits for a person."
	}
	describe(ctx, in, sentence)
	result.Parked++
	return park(ctx, activities.ParkInput{Claim: in.Claim, Reason: reason, Owner: in.Owner, Cancelled: !gaveUp})
}

// escalateRecord marks the run as stuck and opens its incident. The attempts go on beside it.
func escalateRecord(ctx workflow.Context, in ClaimInput) error {
	describe(ctx, in, "Retrying for longer than agreed; its owner is told.")
	if err := workflow.UpsertTypedSearchAttributes(ctx, AttributeState.ValueSet(StateRetrying), AttributeOwner.ValueSet(in.Owner)); err != nil {
		return err
	}
	ctx = ownOptions(ctx, "open the incident for "+in.Owner)
	return workflow.ExecuteActivity(ctx, activities.NameEscalate,
		activities.IncidentInput{Claim: in.Claim, System: in.System, Object: in.Object, Owner: in.Owner}).Get(ctx, &activities.Empty{})
}

// alarm is a timer that goes off at most once.
type alarm struct {
	// future is nil where nothing is left to wait for.
	future workflow.Future
	stop   func()
	heard  bool
}

// after sets an alarm to the end of a span that began a while before. A span of 0 has no end.
func after(ctx workflow.Context, span, before time.Duration, summary string) *alarm {
	left := span - before
	if span == 0 || left <= 0 {
		return &alarm{heard: span == 0, stop: func() {}}
	}
	ctx, stop := workflow.WithCancel(ctx)
	return &alarm{future: workflow.NewTimerWithOptions(ctx, left, workflow.TimerOptions{Summary: summary}), stop: stop}
}

// due reports whether the alarm went off and nobody has heard it.
func (a *alarm) due() bool { return !a.heard && (a.future == nil || a.future.IsReady()) }

// fired hears the alarm, once.
func (a *alarm) fired() bool {
	if !a.due() {
		return false
	}
	a.heard = true
	return true
}
