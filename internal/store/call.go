package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/lib/pq"

	"lockstep/schema"
)

const selectClaim = `SELECT id, kind, system, object, op, lane, parts, records, coalesce(record, '00000000-0000-0000-0000-000000000000') AS record, attempt
FROM claim WHERE id = $1 AND open`

// OpenCall locks what is left of a part, has the call rendered from the newest state and commits the call's row. The row
// has to stand before the first byte goes out: nobody else may call for these records until its deadline (protocol F1).
func (s *Store) OpenCall(ctx context.Context, q schema.OpenQuery, render schema.Renderer) (schema.Opening, error) {
	var o schema.Opening
	err := s.patiently(ctx, func(t *tx) (err error) {
		o, err = t.openCall(ctx, q, render)
		return err
	})
	return o, err
}

func (t *tx) openCall(ctx context.Context, q schema.OpenQuery, render schema.Renderer) (schema.Opening, error) {
	if err := t.holdBundle(ctx); err != nil {
		return schema.Opening{}, err
	}
	var claim schema.Claim
	err := t.get(ctx, &claim, selectClaim, q.Claim.String())
	if errors.Is(err, sql.ErrNoRows) {
		return schema.Opening{Done: true}, nil
	}
	if err != nil {
		return schema.Opening{}, err
	}
	items, err := t.lockItems(ctx, claim, q.Part)
	if err != nil {
		return schema.Opening{}, err
	}
	if len(items) == 0 {
		return schema.Opening{Done: true}, t.closeClaimIfEmpty(ctx, claim.ID)
	}
	unanswered, wait, err := t.unanswered(ctx, claim.ID, q.Part)
	if err != nil || wait > 0 {
		return schema.Opening{Wait: wait, Reason: schema.ReasonOutcomeUnknown}, err
	}
	if wait, reason, err := t.mustWait(ctx, claim.System); err != nil || wait > 0 {
		return schema.Opening{Wait: wait, Reason: reason}, err
	}
	now := time.Now()
	call := schema.Call{
		ID: schema.NewCall(), Claim: claim.ID, Part: q.Part, System: claim.System, Object: claim.Object, Op: claim.Op, Lane: claim.Lane, Kind: claim.Kind,
		SentAt: now, Deadline: now.Add(q.Timeout),
	}
	sent, payload, endings, err := render(call, items, unanswered)
	if err != nil {
		return schema.Opening{}, err
	}
	if err := t.applyEndings(ctx, claim, schema.ID{}, endings); err != nil {
		return schema.Opening{}, err
	}
	if len(sent) == 0 {
		return schema.Opening{}, t.closeClaimIfEmpty(ctx, claim.ID)
	}
	o := schema.Opening{Call: &call, Left: len(items) - len(sent) - len(endings)}
	for _, i := range sent {
		o.Items = append(o.Items, items[i])
	}
	if err := t.saveSent(ctx, claim, o.Items); err != nil {
		return schema.Opening{}, err
	}
	if err := t.insertCall(ctx, call, o.Items, payload, call.Deadline.Add(q.Margin)); err != nil {
		return schema.Opening{}, err
	}
	return o, t.markCreating(ctx, call, o.Items)
}

// saveSent stores what the records are about to be told, so that an echo that is faster than the answer is known for one.
func (t *tx) saveSent(ctx context.Context, claim schema.Claim, items []*schema.Item) error {
	var sent []schema.Ending
	for _, i := range items {
		if i.Changed {
			sent = append(sent, schema.Ending{Record: i.Record, State: i.State})
		}
	}
	return t.saveStates(ctx, claim, sent)
}

const (
	lockRecordsOfPart = `SELECT r.id, r.object, r.rev, r.identified, r.state, r.dek, r.merged_into, r.wants_join, r.epoch FROM record r
WHERE r.id IN (SELECT record FROM delivery WHERE claim = $1 AND part = $2) ORDER BY r.id FOR UPDATE`
	selectPart = `SELECT record, tries, isolate, coalesce(extract(epoch FROM now() - failing_since) * 1000000000, 0)::bigint AS failing
FROM delivery WHERE claim = $1 AND part = $2 AND record = ANY($3::uuid[]) ORDER BY record FOR UPDATE`
	selectDecidedEvents = `SELECT record, event FROM open_event WHERE record = ANY($1::uuid[]) AND state = 'decided' ORDER BY record, rev, event`
)

// lockItems locks the records of a part in the order of their ids, then reads which deliveries are still the claim's:
// the list may have changed while it waited.
func (t *tx) lockItems(ctx context.Context, claim schema.Claim, part int) ([]*schema.Item, error) {
	var rows []recordRow
	if err := t.list(ctx, &rows, lockRecordsOfPart, claim.ID.String(), int64(part)); err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, nil
	}
	byID := map[schema.ID]recordRow{}
	for _, r := range rows {
		byID[r.ID] = r
	}
	var left []struct {
		Record  schema.ID `db:"record"`
		Tries   int       `db:"tries"`
		Isolate bool      `db:"isolate"`
		// Failing is in nanoseconds.
		Failing time.Duration `db:"failing"`
	}
	if err := t.list(ctx, &left, selectPart, claim.ID.String(), int64(part), pq.Array(idsOf(rows))); err != nil {
		return nil, err
	}
	var items []*schema.Item
	isolated := false
	for _, d := range left {
		r := byID[d.Record]
		state, err := t.store.openState(r.ID, r.State, r.DEK)
		if err != nil {
			return nil, err
		}
		items = append(items, &schema.Item{Record: r.ID, Rev: r.Rev, State: state, Tries: d.Tries, Failing: d.Failing, Isolate: d.Isolate})
		isolated = isolated || d.Isolate
	}
	if isolated {
		return items, t.addDecidedEvents(ctx, items)
	}
	return items, nil
}

func idsOf(rows []recordRow) []string {
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.ID.String()
	}
	return ids
}

// addDecidedEvents names the open events of records whose words are told one event at a time.
func (t *tx) addDecidedEvents(ctx context.Context, items []*schema.Item) error {
	byID := map[schema.ID]*schema.Item{}
	var ids []string
	for _, i := range items {
		byID[i.Record] = i
		ids = append(ids, i.Record.String())
	}
	var rows []struct {
		Record schema.ID `db:"record"`
		Event  schema.ID `db:"event"`
	}
	if err := t.list(ctx, &rows, selectDecidedEvents, pq.Array(ids)); err != nil {
		return err
	}
	for _, r := range rows {
		byID[r.Record].Events = append(byID[r.Record].Events, r.Event)
	}
	return nil
}

// unanswered looks for a call of the part that nobody answered for. Before its deadline there is only waiting; after it
// the call's outcome is unknown.
func (t *tx) unanswered(ctx context.Context, claim schema.ID, part int) (unknown bool, wait time.Duration, err error) {
	var seconds sql.NullFloat64
	err = t.get(ctx, &seconds, `SELECT extract(epoch FROM max(deadline) - now())::float8 FROM call WHERE claim = $1 AND part = $2 AND state = 'sent'`,
		claim.String(), int64(part))
	if err != nil || !seconds.Valid {
		return false, 0, err
	}
	if seconds.Float64 > 0 {
		return false, time.Duration(seconds.Float64*float64(time.Second)) + 10*time.Millisecond, nil
	}
	return true, 0, t.makeUnknown(ctx, claim, sql.NullInt64{Int64: int64(part), Valid: true})
}

const makeUnknown = `WITH u AS (UPDATE call SET state = 'unknown' WHERE claim = $1 AND part = coalesce($2, part) AND state = 'sent' RETURNING records)
UPDATE delivery SET failing_since = coalesce(failing_since, now()), failing_kind = $3
WHERE claim = $1 AND record IN (SELECT unnest(records) FROM u)`

// makeUnknown gives up the answers to calls of a claim, or of one part of it: whoever answers for one of them later is
// late. For their records it is a failure like any other.
func (t *tx) makeUnknown(ctx context.Context, claim schema.ID, part sql.NullInt64) error {
	_, err := t.do(ctx, makeUnknown, claim.String(), part, string(schema.UnknownOutcome))
	return err
}

// mustWait says how long the system may not be called, and why.
func (t *tx) mustWait(ctx context.Context, system string) (time.Duration, schema.Reason, error) {
	var gate struct {
		Seconds sql.NullFloat64 `db:"seconds"`
		Reason  string          `db:"reason"`
		Paused  bool            `db:"paused"`
	}
	err := t.get(ctx, &gate, `SELECT extract(epoch FROM c.paused_until - now())::float8 AS seconds, coalesce(c.reason, 'target_slow') AS reason,
  coalesce(y.paused_by IS NOT NULL, false) AS paused
FROM (SELECT $1::text AS system) s LEFT JOIN credential c ON c.system = s.system LEFT JOIN system_state y ON y.system = s.system`, system)
	switch {
	case err != nil:
		return 0, "", err
	case gate.Paused:
		return time.Minute, schema.ReasonParkedByPerson, nil
	case gate.Seconds.Valid && gate.Seconds.Float64 > 0:
		return time.Duration(gate.Seconds.Float64 * float64(time.Second)), schema.Reason(gate.Reason), nil
	}
	return 0, "", nil
}

const insertCall = `INSERT INTO call (id, claim, part, system, object, op, records, revs, payload_mac, bundle, sent_at, deadline, state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now(), $11, 'sent')`

func (t *tx) insertCall(ctx context.Context, c schema.Call, items []*schema.Item, payload []byte, deadline time.Time) error {
	var records []string
	var revs []int64
	for _, i := range items {
		records, revs = append(records, i.Record.String()), append(revs, i.Rev)
	}
	_, err := t.do(ctx, insertCall, c.ID.String(), c.Claim.String(), int64(c.Part), c.System, c.Object, string(c.Op), pq.Array(records), pq.Array(revs),
		t.store.index.MAC(purposePayload, payload), t.store.digest, deadline.UTC())
	return err
}

// closeClaimIfEmpty closes a claim that holds no delivery any more and frees its slot. It locks the claim first: of two
// parts that end at once, the second has to see the first (protocol F21).
func (t *tx) closeClaimIfEmpty(ctx context.Context, claim schema.ID) error {
	if _, err := t.do(ctx, `SELECT 1 FROM claim WHERE id = $1 FOR UPDATE`, claim.String()); err != nil {
		return err
	}
	_, err := t.do(ctx, `WITH c AS (UPDATE claim SET open = false WHERE id = $1 AND open
  AND NOT EXISTS (SELECT 1 FROM delivery WHERE claim = $1) RETURNING id)
UPDATE slot SET claim = NULL FROM c WHERE slot.claim = c.id`, claim.String())
	return err
}
