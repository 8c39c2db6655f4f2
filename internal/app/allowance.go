package app

import (
	"context"
	"log/slog"
	"time"

	"lockstep/connectors"
	"lockstep/schema"
)

const (
	// reserveShare is the part of a day's allowance, one in so many, that is kept for urgent work.
	reserveShare = 5
	// reserveLasts is how long a scarce allowance counts when nobody tells anything newer: then somebody asks again.
	reserveLasts = 15 * time.Minute
	// reserveEvery is how often a scarce allowance is written down.
	reserveEvery = time.Minute
)

// ledger keeps what a system's credential may still do, for every process.
type ledger interface {
	Throttle(ctx context.Context, system string, until time.Time, reason schema.Reason) error
	NoteAllowance(ctx context.Context, system string, remaining, reserve int, lasts time.Duration) error
}

// allowances passes on what answers tell of a system's allowance, as far as every process has to know: that a window of
// some seconds is used up, and that a day's allowance comes to its reserve (protocol F22). What is told in between costs
// nothing.
type allowances struct {
	ledger ledger
	log    *slog.Logger
	now    func() time.Time
	told   chan told
}

// told is what one answer told.
type told struct {
	system string
	connectors.Quota
}

func newAllowances(l ledger, log *slog.Logger) *allowances {
	return &allowances{ledger: l, log: log, now: time.Now, told: make(chan told, 64)}
}

// hear takes note of an answer. It never waits: what is missed is told again by the next answer.
func (a *allowances) hear(system string, q connectors.Quota) {
	select {
	case a.told <- told{system, q}:
	default:
	}
}

// run passes on what it hears until the context ends.
func (a *allowances) run(ctx context.Context) {
	known := map[string]*standing{}
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-a.told:
			if known[t.system] == nil {
				known[t.system] = &standing{}
			}
			if err := a.note(ctx, t, known[t.system]); err != nil && ctx.Err() == nil {
				a.log.WarnContext(ctx, "a system's allowance could not be written down; the next answer tells it again", "system", t.system, "error", err)
			}
		}
	}
}

// standing is what this process has written down about a system.
type standing struct {
	// closedUntil is when the window ends that is used up.
	closedUntil time.Time
	// scarce is set while the day's allowance is at its reserve, as of notedAt.
	scarce  bool
	notedAt time.Time
}

func (a *allowances) note(ctx context.Context, t told, s *standing) error {
	now := a.now()
	switch {
	case t.Allowed <= 0 || t.Remaining < 0:
		return nil
	case t.Resets > 0:
		// Such a window comes back by itself, and soon: a reserve of it would only slow us down.
		if t.Remaining > 0 || now.Before(s.closedUntil) {
			return nil
		}
		until := now.Add(t.Resets)
		err := a.ledger.Throttle(ctx, t.system, until, schema.ReasonTargetSlow)
		if err == nil {
			s.closedUntil = until
		}
		return err
	}
	reserve := t.Allowed / reserveShare
	scarce := t.Remaining <= reserve
	if !scarce && !s.scarce || scarce && s.scarce && now.Sub(s.notedAt) < reserveEvery {
		return nil
	}
	err := a.ledger.NoteAllowance(ctx, t.system, t.Remaining, reserve, reserveLasts)
	if err == nil {
		s.scarce, s.notedAt = scarce, now
	}
	return err
}
