package activities

import (
	"context"

	"go.temporal.io/sdk/activity"
)

// GiveBack ends a claim whose system is in trouble: what is left waits in Postgres. Safe to repeat.
func (a *Activities) GiveBack(ctx context.Context, in GiveBackInput) (Empty, error) {
	_, err := a.Journal.GiveBack(ctx, in.Claim, in.Reason, in.Pause)
	return Empty{}, a.own(ctx, err)
}

// Park takes what is left of a claim out of it until a person acts. Safe to repeat.
func (a *Activities) Park(ctx context.Context, in ParkInput) (Empty, error) {
	by := ""
	if in.Cancelled {
		by = "somebody"
		info := activity.GetInfo(ctx)
		if name, err := a.WhoCancelled(ctx, info.WorkflowExecution.ID, info.WorkflowExecution.RunID); err == nil && name != "" {
			by = name
		}
	}
	_, err := a.Journal.Park(ctx, in.Claim, in.Reason, in.Owner, by)
	return Empty{}, a.own(ctx, err)
}

// OpenIncident tells the owner of a record that it has been retried for longer than agreed. Safe to repeat.
func (a *Activities) OpenIncident(ctx context.Context, in IncidentInput) (Empty, error) {
	return Empty{}, a.own(ctx, a.Journal.OpenIncident(ctx, in.Claim, in.Owner))
}

// own translates an error of our own database.
func (a *Activities) own(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	return attempt{n: int(activity.GetInfo(ctx).Attempt), jitter: a.Jitter}.database(err)
}
