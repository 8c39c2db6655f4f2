package store

import (
	"context"

	"lockstep/schema"
)

// Invariant is one of the protocol's ten, as a query that finds what breaks it.
type Invariant struct {
	N        int
	Sentence string
	Query    string
}

// Invariants are the protocol's ten (docs/protocol.md). Each query counts what breaks it.
var Invariants = []Invariant{
	{1, "events = outcomes of the latest round + open events", `SELECT count(*) FROM event e
LEFT JOIN open_event o ON o.event = e.id LEFT JOIN (SELECT event, max(round) AS round FROM outcome GROUP BY 1) f ON f.event = e.id
WHERE o.event IS NULL AND f.event IS NULL OR o.event IS NOT NULL AND f.round >= o.round`},
	{2, "a delivery is claimed if and only if its claim is open; a slot points to an open claim or none", `SELECT
(SELECT count(*) FROM delivery d LEFT JOIN claim c ON c.id = d.claim WHERE d.state = 'claimed' AND c.open IS NOT TRUE) +
(SELECT count(*) FROM slot s LEFT JOIN claim c ON c.id = s.claim WHERE s.claim IS NOT NULL AND c.open IS NOT TRUE)`},
	{3, "at most one call is sent with its deadline ahead for a record in a system", `SELECT count(*) FROM (
SELECT system, r FROM call, unnest(records) AS u (r) WHERE state = 'sent' AND deadline > now() GROUP BY 1, 2 HAVING count(*) > 1) x`},
	{4, "no answer without a call that was committed before", `SELECT count(*) FROM call WHERE answered_at < sent_at`},
	{6, "at most one live ref for a record in a system; merged_into is acyclic", `SELECT
(SELECT count(*) FROM (SELECT record, system, object FROM ref WHERE state IN ('creating', 'active') GROUP BY 1, 2, 3 HAVING count(*) > 1) x) +
(WITH RECURSIVE w AS (SELECT id, merged_into, 1 AS depth FROM record WHERE merged_into IS NOT NULL
  UNION ALL SELECT w.id, r.merged_into, depth + 1 FROM w JOIN record r ON r.id = w.merged_into WHERE r.merged_into IS NOT NULL AND depth < 100)
SELECT count(*) FROM w WHERE depth >= 100)`},
	{7, "owed_from <= desired_rev <= rev; idle if and only if nothing is owed", `SELECT count(*) FROM delivery d JOIN record r ON r.id = d.record
WHERE d.owed_from > d.desired_rev OR (d.state = 'idle') <> (d.owed_from IS NULL) OR d.desired_rev > r.rev`},
	{8, "a decided event exists only while some delivery of its record owes at most its revision", `SELECT count(*) FROM open_event o
WHERE o.state = 'decided' AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.record = o.record AND d.owed_from <= o.rev)`},
	{9, "no open claim without a time to check on it", `SELECT count(*) FROM claim WHERE open AND check_at IS NULL`},
	{10, "nothing waits for longer than its lane allows while a slot of its lane is free", `SELECT count(*) FROM delivery d
LEFT JOIN system_state y ON y.system = d.system LEFT JOIN credential c ON c.system = d.system
WHERE d.state = 'ready' AND d.waits_for IS NULL AND d.ready_at < now() - interval '60 seconds'
  AND y.paused_by IS NULL AND y.breaker = 'closed' AND coalesce(c.paused_until, '-infinity') < now()
  AND NOT coalesce(d.lane > 2 AND c.remaining <= c.reserve AND c.resets_at > now(), false)
  AND EXISTS (SELECT 1 FROM slot s WHERE s.system = d.system AND s.class = 'batch' AND s.claim IS NULL AND d.lane = ANY(s.lanes))`},
}

// CheckInvariants counts, for each invariant, what breaks it, all in one snapshot. Number 5 is about sealed state; the
// rules' tests prove it.
func (s *Store) CheckInvariants(ctx context.Context) (broken map[int]int64, err error) {
	broken = map[int]int64{}
	err = s.within(ctx, func(t *tx) error {
		if _, err := t.ExecContext(ctx, `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY`); err != nil {
			return err
		}
		// Whole tables are read here, unlike anywhere else.
		if _, err := t.ExecContext(ctx, `SET LOCAL enable_hashjoin = on`); err != nil {
			return err
		}
		for _, i := range Invariants {
			var n int64
			if err := t.get(ctx, &n, i.Query); err != nil {
				return err
			}
			if n > 0 {
				broken[i.N] = n
			}
		}
		return nil
	})
	return broken, err
}

// Broken lists the invariants that do not hold, in the order of their numbers; none when the journal is sound. It reads
// whole tables. Safe to repeat.
func (s *Store) Broken(ctx context.Context) ([]schema.Broken, error) {
	counts, err := s.CheckInvariants(ctx)
	broken := []schema.Broken{}
	for _, i := range Invariants {
		if n := counts[i.N]; n > 0 {
			broken = append(broken, schema.Broken{Invariant: i.N, Sentence: i.Sentence, Count: n})
		}
	}
	return broken, err
}
