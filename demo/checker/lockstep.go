package checker

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"lockstep/demo/endpoints"
	"lockstep/schema"
)

// Lockstep asks the product through its public surfaces only.
type Lockstep struct {
	// Intake and Admin are base URLs.
	Intake string
	Admin  string
}

// LockstepAt returns the product of a running demo.
func LockstepAt(at endpoints.Endpoints) Lockstep { return Lockstep{Intake: at.Intake, Admin: at.Admin} }

var plain = &http.Client{Timeout: 20 * time.Second}

// Stats returns the numbers.
func (l Lockstep) Stats(ctx context.Context) (stats schema.Stats, err error) {
	err = l.get(ctx, "/api/v1/stats", &stats)
	return stats, err
}

// Life returns what happened to a receipt's events.
func (l Lockstep) Life(ctx context.Context, receipt string) (life schema.Life, err error) {
	err = l.get(ctx, "/api/v1/events/"+receipt, &life)
	return life, err
}

// Broken tells in words which of the protocol's invariants do not hold in Lockstep's own journal. Nothing else that is
// found here rests on that journal.
func (l Lockstep) Broken(ctx context.Context) (findings []string, err error) {
	var check schema.Check
	if err := l.get(ctx, "/api/v1/invariants", &check); err != nil {
		return nil, err
	}
	for _, b := range check.Findings {
		findings = append(findings, fmt.Sprintf("invariant %d of the protocol is broken by %d rows: %s", b.Invariant, b.Count, b.Sentence))
	}
	return findings, nil
}

func (l Lockstep) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.Admin+path, nil)
	if err != nil {
		return fmt.Errorf("checker: %w", err)
	}
	resp, err := plain.Do(req)
	if err != nil {
		return fmt.Errorf("checker: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // only read
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("checker: GET %s answers %d", path, resp.StatusCode)
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("checker: GET %s: %w", path, err)
	}
	return nil
}

// Open counts what is not over: events without an outcome, those of Lockstep's own reads included, and deliveries that
// wait or run.
func Open(stats schema.Stats) int64 {
	var open int64
	for _, s := range stats.Sources {
		open += s.Open
	}
	for _, states := range stats.Deliveries {
		for _, n := range states {
			open += n
		}
	}
	return open
}

// Conserved returns an error unless every accepted event is in exactly one place (INV-02).
func Conserved(stats schema.Stats) error {
	var ended int64
	for _, n := range stats.Outcomes {
		ended += n
	}
	if ended+stats.Open.Sum() != stats.Accepted {
		return fmt.Errorf("accepted %d, but %d ended and %d open", stats.Accepted, ended, stats.Open.Sum())
	}
	return nil
}

// Moving counts what is not over and does not wait for a person either.
func Moving(stats schema.Stats) int64 {
	moving := stats.Open.InFlight
	for _, states := range stats.Deliveries {
		for state, n := range states {
			if state != schema.DeliveryParked {
				moving += n
			}
		}
	}
	return moving
}

// Waiting counts held events, open dead letters, or deliveries in a state.
func Waiting(stats schema.Stats, what string) int64 {
	switch what {
	case string(schema.EventHeld):
		return stats.Open.Held
	case string(schema.Dead):
		return stats.DeadLetters
	}
	var n int64
	for _, states := range stats.Deliveries {
		n += states[schema.DeliveryState(what)]
	}
	return n
}

// quiet is how often in a row nothing may be under way before it is over.
const quiet = 4

// Settle waits until nothing is under way any more: every webhook is sent and every event has come to its end. say hears
// of progress every few seconds. It checks conservation all the while (INV-02).
func (l Landscape) Settle(ctx context.Context, lockstep Lockstep, say func(string)) (schema.Stats, error) {
	return l.calm(ctx, lockstep, Open, say)
}

// Rest waits until nothing moves: every webhook is sent, and what is open waits for a person.
func (l Landscape) Rest(ctx context.Context, lockstep Lockstep) (schema.Stats, error) {
	return l.calm(ctx, lockstep, Moving, func(string) {})
}

func (l Landscape) calm(ctx context.Context, lockstep Lockstep, count func(schema.Stats) int64, say func(string)) (schema.Stats, error) {
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	still, last := 0, time.Now()
	for {
		select {
		case <-ctx.Done():
			return schema.Stats{}, fmt.Errorf("checker: not settled in time: %w", ctx.Err())
		case <-tick.C:
		}
		stats, pending, err := l.look(ctx, lockstep)
		if err != nil {
			// A part is down; what counts is whether it comes back.
			still = 0
			continue
		}
		if err := Conserved(stats); err != nil {
			return stats, fmt.Errorf("checker: INV-02: %w", err)
		}
		if pending+count(stats) > 0 {
			still = 0
		} else if still++; still >= quiet {
			return stats, nil
		}
		if time.Since(last) > 5*time.Second {
			last = time.Now()
			say(fmt.Sprintf("%d events accepted, %d on their way, %d webhooks still to be sent", stats.Accepted, stats.Open.Sum(), pending))
		}
	}
}

func (l Landscape) look(ctx context.Context, lockstep Lockstep) (stats schema.Stats, pending int64, err error) {
	for _, c := range l.Clients() {
		s, err := c.Sender(ctx)
		if err != nil {
			return stats, 0, err
		}
		pending += int64(s.Pending)
	}
	stats, err = lockstep.Stats(ctx)
	return stats, pending, err
}
