package store

import (
	"context"
	"time"

	"lockstep/schema"
)

// Stats counts everything in one snapshot, so that the numbers always add up (INV-02). Events that our own reads made
// are counted under their own source only.
func (s *Store) Stats(ctx context.Context) (schema.Stats, error) {
	stats := schema.Stats{Outcomes: map[schema.Outcome]int64{}, Sources: map[string]schema.SourceStats{}, Deliveries: map[string]map[schema.DeliveryState]int64{}}
	err := s.within(ctx, func(t *tx) error {
		if _, err := t.ExecContext(ctx, `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY`); err != nil {
			return err
		}
		for _, part := range []func(context.Context, *schema.Stats) error{t.statsEnded, t.statsOpen, t.statsDeliveries} {
			if err := part(ctx, &stats); err != nil {
				return err
			}
		}
		return nil
	})
	return stats, err
}

// statsEnded reads the tallies.
func (t *tx) statsEnded(ctx context.Context, stats *schema.Stats) error {
	var rows []tallied
	if err := t.list(ctx, &rows, `SELECT source, what, sum(n)::bigint AS n FROM tally GROUP BY 1, 2`); err != nil {
		return err
	}
	for _, r := range rows {
		own := r.Source == schema.OwnSource
		of := sourceStats(stats, r.Source)
		switch r.What {
		case "accepted":
			of.Accepted += r.N
			stats.Accepted += unless(own, r.N)
		case "refused":
			of.Refused += r.N
			stats.Refused += unless(own, r.N)
		case "duplicate":
			of.Duplicates += r.N
			stats.Duplicates += unless(own, r.N)
		default:
			of.Outcomes[schema.Outcome(r.What)] += r.N
			stats.Outcomes[schema.Outcome(r.What)] += unless(own, r.N)
		}
		stats.Sources[r.Source] = of
	}
	return nil
}

func unless(own bool, n int64) int64 {
	if own {
		return 0
	}
	return n
}

func sourceStats(stats *schema.Stats, source string) schema.SourceStats {
	of, ok := stats.Sources[source]
	if !ok {
		of.Outcomes = map[schema.Outcome]int64{}
	}
	return of
}

const countOpen = `SELECT o.source, CASE
    WHEN o.state = 'held' THEN 'held'
    WHEN o.state = 'decided' AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.record = o.record AND d.owed_from <= o.rev AND d.state <> 'parked') THEN 'parked'
    ELSE 'in_flight' END AS what, count(*) AS n
FROM open_event o GROUP BY 1, 2`

func (t *tx) statsOpen(ctx context.Context, stats *schema.Stats) error {
	var rows []tallied
	if err := t.list(ctx, &rows, countOpen); err != nil {
		return err
	}
	for _, r := range rows {
		of := sourceStats(stats, r.Source)
		of.Open += r.N
		stats.Sources[r.Source] = of
		if r.Source == schema.OwnSource {
			continue
		}
		switch r.What {
		case "held":
			stats.Open.Held += r.N
		case "parked":
			stats.Open.Parked += r.N
		default:
			stats.Open.InFlight += r.N
		}
	}
	var last struct {
		At          time.Time `db:"at"`
		Oldest      float64   `db:"oldest"`
		DeadLetters int64     `db:"dead_letters"`
	}
	err := t.get(ctx, &last, `SELECT now() AS at,
  coalesce((SELECT extract(epoch FROM now() - min(e.received_at)) FROM event e WHERE e.id = (SELECT event FROM open_event ORDER BY event LIMIT 1)), 0)::float8 AS oldest,
  (SELECT count(*) FROM dead_letter WHERE closed_at IS NULL) AS dead_letters`)
	stats.At, stats.OldestOpen, stats.DeadLetters = last.At, last.Oldest, last.DeadLetters
	return err
}

func (t *tx) statsDeliveries(ctx context.Context, stats *schema.Stats) error {
	var rows []struct {
		System string               `db:"system"`
		State  schema.DeliveryState `db:"state"`
		N      int64                `db:"n"`
	}
	if err := t.list(ctx, &rows, `SELECT system, state, count(*) AS n FROM delivery WHERE state <> 'idle' GROUP BY 1, 2`); err != nil {
		return err
	}
	for _, r := range rows {
		if stats.Deliveries[r.System] == nil {
			stats.Deliveries[r.System] = map[schema.DeliveryState]int64{}
		}
		stats.Deliveries[r.System][r.State] = r.N
	}
	return nil
}
