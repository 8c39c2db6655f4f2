package workflows

import (
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"lockstep/activities"
	"lockstep/schema"
)

// Sync carries one claim: each part is one vendor call. activities.Trouble of one record leaves the claim by itself; trouble of
// the whole system is retried for a moment, then everything that is left is given back to wait in Postgres.
func Sync(ctx workflow.Context, in ClaimInput) (ClaimResult, error) {
	describe(ctx, in, "Telling "+in.System+".")
	var result ClaimResult
	trouble, cancelled, err := applyParts(ctx, in, &result)
	switch {
	case cancelled:
		describe(ctx, in, "Stopped by a person; what was left waits for one.")
		return result, park(ctx, activities.ParkInput{Claim: in.Claim, Reason: schema.ReasonParkedByPerson, Owner: in.Owner, Cancelled: true})
	case trouble != nil:
		result.GivenBack = trouble.Reason
		describe(ctx, in, trouble.Reason.Sentence()+" What was left waits until it recovers.")
		return result, giveBack(ctx, activities.GiveBackInput{Claim: in.Claim, Reason: trouble.Reason, Pause: trouble.Pause})
	}
	return result, err
}

// applyParts applies every part beside the others, each call after call until nothing of it is left.
func applyParts(ctx workflow.Context, in ClaimInput, result *ClaimResult) (trouble *activities.Trouble, cancelled bool, err error) {
	apply := func(part int) workflow.Future {
		return workflow.ExecuteActivity(applyOptions(ctx, in), activities.NameApply,
			activities.ApplyInput{Claim: in.Claim, Part: part, System: in.System, Policy: in.Policy})
	}
	running := make([]workflow.Future, in.Parts)
	for part := range running {
		running[part] = apply(part)
	}
	for part, f := range running {
		for more := true; more; {
			var r activities.ApplyResult
			failed := f.Get(ctx, &r)
			result.add(r)
			more = false
			switch t := troubleOf(failed); {
			case failed == nil:
				if more = !r.Done; more {
					f = apply(part)
				}
			case temporal.IsCanceledError(failed), ctx.Err() != nil:
				// The last attempt may have ended in any way before it heard of the cancellation.
				cancelled = true
			case t != nil:
				trouble = t
			default:
				err = errors.Join(err, failed)
			}
		}
	}
	return trouble, cancelled, err
}

// troubleOf returns what the whole system asks for, when that is why an activity failed.
func troubleOf(err error) *activities.Trouble {
	var app *temporal.ApplicationError
	if !errors.As(err, &app) || app.Type() != activities.ErrorGiveBack {
		return nil
	}
	t := &activities.Trouble{Reason: schema.ReasonTargetUnavailable}
	if app.HasDetails() {
		_ = app.Details(t) // an older build's details still mean: give back
	}
	return t
}

const (
	// closing is what an attempt needs beside the vendor's own time: opening the call and writing its answer down.
	closing = 20 * time.Second
	// longestDelay is the cap of every delay that the server accepts from an attempt, longer than any Retry-After.
	longestDelay = 70 * time.Minute
)

// applyOptions run an attempt on the system's own queue. The attempts' delays come from the activity, with jitter; the
// policy here only has to be wider than they are.
func applyOptions(ctx workflow.Context, in ClaimInput) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           QueueOf(in.System),
		StartToCloseTimeout: in.Policy.Call + closing,
		HeartbeatTimeout:    activities.HeartbeatTimeout,
		WaitForCancellation: true,
		Summary:             fmt.Sprintf("%s %d of %s in %s", in.Op, in.Records, in.Object, in.System),
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: longestDelay},
	})
}

// ownOptions run an activity of our own database for as long as it takes.
func ownOptions(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           QueueSync,
		StartToCloseTimeout: closing,
		Summary:             summary,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: time.Minute},
	})
}

// giveBack runs to its end even though the workflow is cancelled meanwhile: what is given back is nobody's work any more
// that could be stopped.
func giveBack(ctx workflow.Context, in activities.GiveBackInput) error {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	ctx = ownOptions(ctx, "give back what is left: "+string(in.Reason))
	return workflow.ExecuteActivity(ctx, activities.NameGiveBack, in).Get(ctx, &activities.Empty{})
}

// park runs to its end even though the workflow is cancelled.
func park(ctx workflow.Context, in activities.ParkInput) error {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	ctx = ownOptions(ctx, "park: "+string(in.Reason))
	return workflow.ExecuteActivity(ctx, activities.NamePark, in).Get(ctx, &activities.Empty{})
}

// describe keeps the run legible in Temporal's own pages: what, where, and what it means, without a customer's data.
func describe(ctx workflow.Context, in ClaimInput, sentence string) {
	what := fmt.Sprintf("%d records", in.Records)
	if in.Records == 1 {
		what = "one record"
	}
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("%s of %s, %s in %s, lane %s. %s Owner: %s.", in.Object, what, in.Op, in.System, in.Lane, sentence, in.Owner))
}
