package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/lib/pq"

	"lockstep/schema"
)

// claimDeliveries takes a free slot and up to $6 ready deliveries (protocol, Claim). Both lists skip what others hold.
// Nothing is claimed while a restored journal waits to be recovered.
const claimDeliveries = `WITH s AS (
  SELECT n FROM slot WHERE system = $1 AND class = 'batch' AND claim IS NULL AND $4 = ANY(lanes)
     AND (SELECT recovered FROM epoch ORDER BY n DESC LIMIT 1) ORDER BY n LIMIT 1 FOR UPDATE SKIP LOCKED),
p AS (
  SELECT record FROM delivery WHERE system = $1 AND object = $2 AND op = $3 AND lane = $4 AND state = 'ready' AND ready_at <= now() AND waits_for IS NULL
     AND EXISTS (SELECT 1 FROM s) ORDER BY ready_at LIMIT $6 FOR UPDATE SKIP LOCKED),
q AS (SELECT record, (row_number() OVER () - 1) / $5 AS part FROM p),
u AS (UPDATE delivery d SET state = 'claimed', claim = $7, part = q.part, reason = NULL FROM q WHERE d.record = q.record AND d.system = $1 RETURNING d.record, d.part),
n AS (SELECT count(*)::smallint AS records, (max(part) + 1)::smallint AS parts, (array_agg(record))[1] AS record FROM u),
c AS (INSERT INTO claim (id, kind, system, object, op, lane, slot, open, parts, records, record, check_at)
  SELECT $7, 'batch', $1, $2, $3, $4, (SELECT n FROM s), true, n.parts, n.records, CASE WHEN n.records = 1 THEN n.record END, now() + $8 * interval '1 millisecond'
    FROM n WHERE n.records > 0 RETURNING parts, records, record),
k AS (UPDATE slot SET claim = $7 FROM c WHERE system = $1 AND class = 'batch' AND n = (SELECT n FROM s) RETURNING 1)
SELECT c.parts, c.records, c.record, (SELECT count(*) FROM k) AS slots FROM c`

// Claim claims ready deliveries of one system, object, operation and lane; ok is false when there are none, no slot is
// free, or the system may not be called now. Whoever gets a claim starts its workflow; if that fails, the sweep will.
func (s *Store) Claim(ctx context.Context, q schema.ClaimQuery) (c schema.Claim, ok bool, err error) {
	c = schema.Claim{ID: schema.NewRandom(), Kind: schema.ClaimBatch, System: q.System, Object: q.Object, Op: q.Op, Lane: q.Lane}
	err = s.within(ctx, func(t *tx) error {
		limit, err := t.mayClaim(ctx, q)
		if err != nil || limit == 0 {
			return err
		}
		var row struct {
			Parts   int        `db:"parts"`
			Records int        `db:"records"`
			Record  uuidOrNull `db:"record"`
			Slots   int        `db:"slots"`
		}
		err = t.get(ctx, &row, claimDeliveries, q.System, q.Object, string(q.Op), int64(q.Lane), int64(q.Bulk), int64(limit), c.ID.String(), s.checkAfter.Milliseconds())
		if errors.Is(err, sql.ErrNoRows) {
			// Undone as a whole: a breaker's probe must not be used up by finding nothing.
			return errNothingReady
		}
		if err != nil {
			return err
		}
		if row.Slots != 1 {
			return schema.ErrRaced
		}
		ok = true
		c.Parts, c.Records, c.Record = row.Parts, row.Records, row.Record.ID
		return nil
	})
	if errors.Is(err, errNothingReady) {
		return c, false, nil
	}
	return c, ok && err == nil, err
}

var errNothingReady = errors.New("store: nothing is ready")

const selectGate = `SELECT coalesce(c.paused_until > now(), false) OR coalesce(y.paused_by IS NOT NULL, false)
    OR coalesce(y.breaker = 'open' AND y.open_until > now(), false)
    OR coalesce($2 > 2 AND c.remaining <= c.reserve AND c.resets_at > now(), false) AS shut,
  coalesce(y.breaker, 'closed') AS breaker
FROM (SELECT $1::text AS system) s LEFT JOIN credential c ON c.system = s.system LEFT JOIN system_state y ON y.system = s.system`

// mayClaim returns how many deliveries a claim may hold: none while the system is paused, its credential has to wait, its
// breaker is open, or what is left of its allowance is for more urgent lanes; one, as a probe, when the breaker's time is
// up.
func (t *tx) mayClaim(ctx context.Context, q schema.ClaimQuery) (limit int, err error) {
	var gate struct {
		Shut    bool   `db:"shut"`
		Breaker string `db:"breaker"`
	}
	if err := t.get(ctx, &gate, selectGate, q.System, int64(q.Lane)); err != nil || gate.Shut {
		return 0, err
	}
	if gate.Breaker == "closed" {
		return q.Bulk * q.Calls, nil
	}
	// One probe at a time, whoever asks: the row of the system decides.
	probing, err := t.do(ctx, `UPDATE system_state SET breaker = 'probing', open_until = now() + interval '60 seconds'
WHERE system = $1 AND (breaker = 'open' OR breaker = 'probing' AND open_until < now())`, q.System)
	if err != nil || probing == 0 {
		return 0, err
	}
	return 1, nil
}

const sweepClaims = `UPDATE claim SET check_at = now() + least(interval '5 minutes', $1 * interval '1 millisecond' * 2 ^ least(attempt, 6)), attempt = attempt + 1
WHERE id IN (SELECT id FROM claim WHERE open AND check_at < now() ORDER BY check_at LIMIT 50 FOR UPDATE SKIP LOCKED)
RETURNING id, kind, system, object, op, lane, parts, records, coalesce(record, '00000000-0000-0000-0000-000000000000') AS record, attempt,
  CASE WHEN kind = 'single' THEN coalesce((SELECT (extract(epoch FROM now() - d.failing_since) * 1000000000)::bigint
    FROM delivery d WHERE d.claim = claim.id), 0) ELSE 0 END AS failing`

// Sweep returns open claims whose workflow has not reported for a while, or was never started. Starting them again is
// always safe: a running one goes on, any other begins anew and finds what is left.
func (s *Store) Sweep(ctx context.Context) (claims []schema.Claim, err error) {
	err = s.within(ctx, func(t *tx) error { return t.list(ctx, &claims, sweepClaims, s.checkAfter.Milliseconds()) })
	return claims, err
}

// Ready returns which kinds of deliveries wait to be claimed, the most urgent lane first.
func (s *Store) Ready(ctx context.Context) (groups []schema.ReadyGroup, err error) {
	err = s.within(ctx, func(t *tx) error {
		return t.list(ctx, &groups, readyGroups)
	})
	return groups, err
}

// readyGroups jumps from one group to the next in the index instead of reading every ready row.
const readyGroups = `WITH RECURSIVE g AS (
  (SELECT system, object, op, lane FROM delivery WHERE state = 'ready' ORDER BY system, object, op, lane LIMIT 1)
  UNION ALL
  SELECT n.system, n.object, n.op, n.lane FROM g, LATERAL (
    SELECT system, object, op, lane FROM delivery
    WHERE state = 'ready' AND (system, object, op, lane) > (g.system, g.object, g.op, g.lane)
    ORDER BY system, object, op, lane LIMIT 1) n)
SELECT g.system, g.object, g.op, g.lane FROM g
WHERE EXISTS (SELECT 1 FROM delivery d WHERE d.state = 'ready' AND d.system = g.system AND d.object = g.object AND d.op = g.op AND d.lane = g.lane
  AND d.ready_at <= now() AND d.waits_for IS NULL)
ORDER BY g.lane, g.system, g.op`

// SetUpSystems makes the rows that bound and pause each system. Slot 0 serves the live lane only; the last of three or more
// serves bulk first by never serving normal. Slots beyond the number go once they are free. Safe to repeat.
func (s *Store) SetUpSystems(ctx context.Context, setups []schema.SystemSetup) error {
	return s.within(ctx, func(t *tx) error {
		for _, y := range setups {
			for _, statement := range []string{
				`INSERT INTO credential (system) VALUES ($1) ON CONFLICT DO NOTHING`,
				`INSERT INTO system_state (system) VALUES ($1) ON CONFLICT DO NOTHING`,
			} {
				if _, err := t.do(ctx, statement, y.System); err != nil {
					return err
				}
			}
			for n := range y.Slots {
				if err := t.setSlot(ctx, y.System, "batch", n, slotLanes(n, y.Slots)); err != nil {
					return err
				}
			}
			for n := range y.Singles {
				if err := t.setSlot(ctx, y.System, "single", n, laneNumbers(schema.Lanes...)); err != nil {
					return err
				}
			}
			if _, err := t.do(ctx, `DELETE FROM slot WHERE system = $1 AND claim IS NULL AND (class = 'batch' AND n >= $2 OR class = 'single' AND n >= $3)`,
				y.System, int64(y.Slots), int64(y.Singles)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) setSlot(ctx context.Context, system, class string, n int, lanes []int64) error {
	_, err := t.do(ctx, `INSERT INTO slot (system, class, n, lanes) VALUES ($1, $2, $3, $4)
ON CONFLICT (system, class, n) DO UPDATE SET lanes = excluded.lanes WHERE slot.lanes <> excluded.lanes`, system, class, int64(n), pq.Array(lanes))
	return err
}

// slotLanes keeps one slot free for live work and one for bulk, so that neither waits behind the other for ever.
func slotLanes(n, of int) []int64 {
	switch {
	case of > 2 && n == 0:
		return laneNumbers(schema.LaneLive)
	case of > 2 && n == of-1:
		return laneNumbers(schema.LaneLive, schema.LanePush, schema.LaneBulk)
	}
	return laneNumbers(schema.Lanes...)
}

func laneNumbers(lanes ...schema.Lane) []int64 {
	out := make([]int64, len(lanes))
	for i, l := range lanes {
		out[i] = int64(l)
	}
	return out
}

// PauseSystem stops claiming for a system, in somebody's name. Safe to repeat. Errors: schema.ErrNotFound for an unknown system.
func (s *Store) PauseSystem(ctx context.Context, system, by string) error {
	return s.mark(ctx, `UPDATE system_state SET paused_by = $2, paused_at = now() WHERE system = $1`, []any{system, by}, by, "pause system", system)
}

// ResumeSystem lets a paused system be told again. Safe to repeat. Errors: schema.ErrNotFound for an unknown system.
func (s *Store) ResumeSystem(ctx context.Context, system, by string) error {
	err := s.mark(ctx, `UPDATE system_state SET paused_by = NULL, paused_at = NULL WHERE system = $1`, []any{system}, by, "resume system", system)
	if err == nil {
		s.Wake(schema.TopicClaim)
	}
	return err
}

// mark changes the row of an object and writes down who did it. Errors: schema.ErrNotFound when there is no such row.
func (s *Store) mark(ctx context.Context, change string, args []any, by, act, object string) error {
	return s.within(ctx, func(t *tx) error {
		n, err := t.do(ctx, change, args...)
		if err == nil && n == 0 {
			return schema.ErrNotFound
		}
		if err != nil {
			return err
		}
		_, err = t.do(ctx, `INSERT INTO audit (actor, act, object) VALUES ($1, $2, $3)`, by, act, object)
		return err
	})
}

// NoteAllowance writes down how many calls a system's allowance still has, of which a reserve is for the lanes live and push;
// it counts for as long as lasts says. One row for all processes (protocol F22). Safe to repeat. Errors: schema.ErrNotFound
// for an unknown system.
func (s *Store) NoteAllowance(ctx context.Context, system string, remaining, reserve int, lasts time.Duration) error {
	return s.within(ctx, func(t *tx) error {
		n, err := t.do(ctx, `UPDATE credential SET remaining = $2, reserve = $3, resets_at = now() + $4 * interval '1 millisecond' WHERE system = $1`,
			system, int64(remaining), int64(reserve), lasts.Milliseconds())
		if err == nil && n == 0 {
			return schema.ErrNotFound
		}
		return err
	})
}

// Throttle keeps everybody from calling a system until a moment, as its credential asked (one row for all processes).
func (s *Store) Throttle(ctx context.Context, system string, until time.Time, reason schema.Reason) error {
	return s.within(ctx, func(t *tx) error {
		_, err := t.do(ctx, `UPDATE credential SET paused_until = greatest(paused_until, $2), reason = $3 WHERE system = $1`,
			system, until.UTC(), string(reason))
		return err
	})
}
