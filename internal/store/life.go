package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"lockstep/schema"
)

const selectLives = `SELECT e.id, e.source, e.kind, e.lane, e.source_at, e.received_at, r.system, r.object, r.record,
  o.state, o.rev, o.verdict, o.reason AS open_reason, o.fields AS open_fields,
  f.outcome, f.reason AS end_reason, coalesce(f.superseded_by, o.superseded_by) AS superseded_by, f.fields AS end_fields, f.at AS ended_at, d.n AS dead_letter
FROM event e JOIN ref r ON r.id = e.ref
LEFT JOIN open_event o ON o.event = e.id
LEFT JOIN LATERAL (SELECT * FROM outcome WHERE event = e.id ORDER BY round DESC LIMIT 1) f ON o.event IS NULL
LEFT JOIN LATERAL (SELECT n FROM dead_letter WHERE event = e.id ORDER BY n DESC LIMIT 1) d ON true
WHERE e.id BETWEEN $1 AND $2 ORDER BY e.id`

type lifeRow struct {
	ID           schema.ID      `db:"id"`
	Source       string         `db:"source"`
	Kind         string         `db:"kind"`
	Lane         int16          `db:"lane"`
	SourceAt     sql.NullTime   `db:"source_at"`
	ReceivedAt   time.Time      `db:"received_at"`
	System       string         `db:"system"`
	Object       string         `db:"object"`
	Record       schema.ID      `db:"record"`
	State        sql.NullString `db:"state"`
	Rev          sql.NullInt64  `db:"rev"`
	Verdict      sql.NullString `db:"verdict"`
	OpenReason   sql.NullString `db:"open_reason"`
	OpenFields   []byte         `db:"open_fields"`
	Outcome      sql.NullString `db:"outcome"`
	EndReason    sql.NullString `db:"end_reason"`
	SupersededBy uuidOrNull     `db:"superseded_by"`
	EndFields    []byte         `db:"end_fields"`
	EndedAt      sql.NullTime   `db:"ended_at"`
	DeadLetter   sql.NullInt64  `db:"dead_letter"`
}

const (
	selectDeliveryLives = `SELECT d.system, d.state, d.op, coalesce(d.reason, '') AS reason, d.tries, d.ready_at,
  c.id AS claim, coalesce(c.kind, '') AS kind, coalesce(c.records, 0) AS records, d.object
FROM delivery d LEFT JOIN claim c ON c.id = d.claim AND c.open WHERE d.record = $1 ORDER BY d.system`
	selectCallLives = `SELECT id, system, op, state, coalesce(kind, '') AS kind, sent_at, answered_at, cardinality(records) AS records
FROM call WHERE id >= first_id($2) AND id < first_id($3) AND records @> ARRAY[$1::uuid] ORDER BY id`
)

// Life returns what happened to the events of a receipt. schema.ErrNotFound when there is no such receipt.
func (s *Store) Life(ctx context.Context, receipt schema.ID, workflowID func(schema.Claim) string) (schema.Life, error) {
	life := schema.Life{Receipt: schema.ReceiptOf(receipt)}
	err := s.within(ctx, func(t *tx) error {
		if _, err := t.ExecContext(ctx, `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY`); err != nil {
			return err
		}
		var rows []lifeRow
		if err := t.list(ctx, &rows, selectLives, life.Receipt.String(), schema.LastOfReceipt(receipt).String()); err != nil {
			return err
		}
		if len(rows) == 0 {
			return schema.ErrNotFound
		}
		for _, r := range rows {
			e := r.life()
			if err := t.addDeliveries(ctx, &e, workflowID); err != nil {
				return err
			}
			if err := t.addCalls(ctx, &e); err != nil {
				return err
			}
			life.Events = append(life.Events, e)
		}
		return nil
	})
	return life, err
}

func (r lifeRow) life() schema.EventLife {
	e := schema.EventLife{
		Event: r.ID, Source: r.Source, System: r.System, Object: r.Object, Kind: schema.EventKind(r.Kind), Record: r.Record,
		Lane: schema.Lane(r.Lane).String(), SourceAt: r.SourceAt.Time, ReceivedAt: r.ReceivedAt, State: "done",
		Outcome: schema.Outcome(r.Outcome.String), Reason: schema.Reason(r.EndReason.String), Fields: r.EndFields, EndedAt: r.EndedAt.Time,
	}
	if r.State.Valid {
		e.State, e.Outcome, e.Reason, e.Rev, e.Fields = r.State.String, schema.Outcome(r.Verdict.String), schema.Reason(r.OpenReason.String), r.Rev.Int64, r.OpenFields
	}
	if r.SupersededBy.Valid {
		e.SupersededBy = &r.SupersededBy.ID
	}
	if r.DeadLetter.Valid {
		e.DeadLetter = DeadLetterID(r.DeadLetter.Int64)
	}
	e.Sentence = e.Reason.Sentence()
	return e
}

// DeadLetterID is how people call a dead letter.
func DeadLetterID(n int64) string { return fmt.Sprintf("dl-%d", n) }

func (t *tx) addDeliveries(ctx context.Context, e *schema.EventLife, workflowID func(schema.Claim) string) error {
	var rows []struct {
		schema.DeliveryLife
		Claim   uuidOrNull `db:"claim"`
		Kind    string     `db:"kind"`
		Records int        `db:"records"`
		Object  string     `db:"object"`
	}
	if err := t.list(ctx, &rows, selectDeliveryLives, e.Record.String()); err != nil {
		return err
	}
	for _, r := range rows {
		d := r.DeliveryLife
		if r.Claim.Valid {
			c := schema.Claim{ID: r.Claim.ID, Kind: schema.ClaimKind(r.Kind), System: r.System, Object: r.Object, Records: r.Records}
			if r.Records == 1 {
				c.Record = e.Record
			}
			d.Workflow = workflowID(c)
		}
		e.Deliveries = append(e.Deliveries, d)
	}
	return nil
}

func (t *tx) addCalls(ctx context.Context, e *schema.EventLife) error {
	end := e.EndedAt.Add(time.Millisecond)
	if e.EndedAt.IsZero() {
		end = time.Now().Add(time.Minute)
	}
	var rows []struct {
		schema.CallLife
		Answered sql.NullTime `db:"answered_at"`
	}
	if err := t.list(ctx, &rows, selectCallLives, e.Record.String(), e.ReceivedAt, end); err != nil {
		return err
	}
	for _, r := range rows {
		c := r.CallLife
		c.AnsweredAt = r.Answered.Time
		e.Calls = append(e.Calls, c)
	}
	return nil
}

// State returns what is known of a record, for `record show` and for tests. ErrNotFound when there is no such record.
func (s *Store) State(ctx context.Context, record schema.ID) (state *schema.State, rev int64, err error) {
	err = s.within(ctx, func(t *tx) error {
		var row recordRow
		err := t.get(ctx, &row, selectRecord, record.String())
		if errors.Is(err, sql.ErrNoRows) {
			return schema.ErrNotFound
		}
		if err != nil {
			return err
		}
		rev = row.Rev
		state, err = s.openState(row.ID, row.State, row.DEK)
		return err
	})
	return state, rev, err
}

const selectRecord = `SELECT id, object, rev, identified, state, dek, merged_into, wants_join, epoch FROM record WHERE id = $1`
