package store

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"

	"github.com/lib/pq"

	"lockstep/schema"
)

// writeDecisions writes what was decided about the locked records. ready is true when a delivery may be claimed now.
func (t *tx) writeDecisions(ctx context.Context, records []*schema.OpenRecord, resolutions []schema.Resolution) (ready bool, err error) {
	sources := map[schema.ID]string{}
	for _, r := range records {
		for _, e := range r.Events {
			sources[e.ID] = e.Source
		}
	}
	var stay []schema.Resolution
	for _, r := range resolutions {
		if r.Join == (schema.ID{}) {
			stay = append(stay, r)
			continue
		}
		if err := t.join(ctx, r.Record, r.Join); err != nil {
			return false, err
		}
	}
	for _, step := range []func(context.Context, []schema.Resolution) error{
		t.saveRecords, t.saveVerdicts, t.finishVerdicts, t.supersede, t.saveKeys, t.saveWants, t.settleInStep, t.saveMembers,
	} {
		if err := step(ctx, stay); err != nil {
			return false, err
		}
	}
	for _, r := range stay {
		ready = ready || len(r.Wants) > 0
	}
	return ready, nil
}

// A resolution without a state leaves the row's as it is; pq writes a nil element of an array as empty bytes.
const updateRecords = `UPDATE record r SET rev = u.rev, state = coalesce(nullif(u.state, ''), r.state), dek = coalesce(nullif(u.dek, ''), r.dek),
  identified = u.identified, bundle = $6, wants_join = CASE WHEN u.state IS NULL THEN r.wants_join END
FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[], $5::boolean[]) AS u (id, rev, state, dek, identified) WHERE r.id = u.id`

// saveRecords stores what was decided. A record that was decided and not joined is no part of the one that it was thought to
// be: the wish is over.
func (t *tx) saveRecords(ctx context.Context, rs []schema.Resolution) error {
	var ids []string
	var revs []int64
	var states, deks pq.ByteaArray
	var identified []bool
	for _, r := range rs {
		var sealed, dek []byte
		if r.State != nil {
			var err error
			if sealed, dek, err = t.store.sealState(r.Record, r.State); err != nil {
				return err
			}
		}
		ids, revs, identified = append(ids, r.Record.String()), append(revs, r.Rev), append(identified, r.Identified)
		states, deks = append(states, sealed), append(deks, dek)
	}
	if len(ids) == 0 {
		return nil
	}
	_, err := t.do(ctx, updateRecords, pq.Array(ids), pq.Array(revs), states, deks, pq.Array(identified), t.store.digest)
	return err
}

const updateVerdicts = `UPDATE open_event o SET state = u.state, rev = nullif(u.rev, 0), verdict = nullif(u.verdict, ''), reason = nullif(u.reason, ''),
  held_until = nullif(u.held_until, '-infinity'), reads = u.reads, superseded_by = nullif(u.superseded_by, '00000000-0000-0000-0000-000000000000'),
  fields = nullif(u.fields, '')::jsonb
FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::timestamptz[], $7::smallint[], $8::uuid[], $9::text[])
  AS u (event, state, rev, verdict, reason, held_until, reads, superseded_by, fields) WHERE o.event = u.event`

// saveVerdicts writes the verdicts of events that stay open: decided and owed, or held.
func (t *tx) saveVerdicts(ctx context.Context, rs []schema.Resolution) error {
	var events, states, verdicts, reasons, untils, by, fields []string
	var revs, reads []int64
	for _, r := range rs {
		for _, v := range r.Verdicts {
			if v.Final {
				continue
			}
			rev, verdict := int64(0), ""
			if v.State == schema.EventDecided {
				rev, verdict = r.Rev, string(v.Outcome)
			}
			events, states, revs, verdicts = append(events, v.Event.String()), append(states, string(v.State)), append(revs, rev), append(verdicts, verdict)
			reasons, untils, reads = append(reasons, string(v.Reason)), append(untils, timestamp(v.HeldUntil)), append(reads, int64(v.Reads))
			by, fields = append(by, v.SupersededBy.String()), append(fields, string(v.Fields))
		}
	}
	if len(events) == 0 {
		return nil
	}
	_, err := t.do(ctx, updateVerdicts, pq.Array(events), pq.Array(states), pq.Array(revs), pq.Array(verdicts), pq.Array(reasons),
		pq.Array(untils), pq.Array(reads), pq.Array(by), pq.Array(fields))
	return err
}

const insertFinal = `WITH u AS (SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[], $7::text[], $8::text[]) AS u (event, outcome, reason, by, fields, object, owner)),
f AS (DELETE FROM open_event o USING u WHERE o.event = u.event RETURNING o.event, o.round, o.source, o.system, u.outcome, u.reason, u.by, u.fields, u.object, u.owner),
i AS (INSERT INTO outcome (event, round, outcome, reason, bundle, superseded_by, fields)
  SELECT f.event, round, outcome, nullif(reason, ''), $6, nullif(by, '00000000-0000-0000-0000-000000000000'), nullif(fields, '')::jsonb FROM f),
l AS (INSERT INTO dead_letter (id, kind, source, object, event, system, reason, owner)
  SELECT gen_random_uuid(), 'dead', f.source, f.object, f.event, f.system, f.reason, f.owner FROM f WHERE f.outcome = 'dead')
SELECT source, outcome AS what, count(*) AS n FROM f GROUP BY 1, 2`

type tallied struct {
	Source string `db:"source"`
	What   string `db:"what"`
	N      int64  `db:"n"`
}

// countOutcomes adds what a statement ended to the tallies.
func (t *tx) countOutcomes(ctx context.Context, rows []tallied) error {
	n := map[tallyKey]int64{}
	for _, r := range rows {
		n[tallyKey{r.Source, r.What}] += r.N
	}
	return t.count(ctx, n)
}

// finishVerdicts ends the events that nothing is owed for.
func (t *tx) finishVerdicts(ctx context.Context, rs []schema.Resolution) error {
	var events, outcomes, reasons, by, fields, objects, owners []string
	for _, r := range rs {
		for _, v := range r.Verdicts {
			if v.Final {
				objects, owners = append(objects, r.Object), append(owners, v.Owner)
				events, outcomes, reasons = append(events, v.Event.String()), append(outcomes, string(v.Outcome)), append(reasons, string(v.Reason))
				by, fields = append(by, v.SupersededBy.String()), append(fields, string(v.Fields))
			}
		}
	}
	if len(events) == 0 {
		return nil
	}
	var ended []tallied
	if err := t.list(ctx, &ended, insertFinal, pq.Array(events), pq.Array(outcomes), pq.Array(reasons), pq.Array(by), pq.Array(fields), t.store.digest,
		pq.Array(objects), pq.Array(owners)); err != nil {
		return err
	}
	return t.countOutcomes(ctx, ended)
}

const updateSuperseded = `UPDATE open_event SET verdict = 'superseded'
WHERE record = ANY($1::uuid[]) AND state = 'decided' AND verdict = 'applied' AND event <> ALL($2::uuid[])`

// supersede takes back the verdict of events whose every word a newer one replaced before it was delivered.
func (t *tx) supersede(ctx context.Context, rs []schema.Resolution) error {
	var records, standing []string
	for _, r := range rs {
		if r.State == nil {
			continue
		}
		records = append(records, r.Record.String())
		for _, id := range r.Standing {
			standing = append(standing, id.String())
		}
	}
	if len(records) == 0 {
		return nil
	}
	_, err := t.do(ctx, updateSuperseded, pq.Array(records), pq.Array(standing))
	return err
}

const (
	deleteOldKeys = `DELETE FROM identity_key i WHERE i.record = ANY($1::uuid[])
AND NOT EXISTS (SELECT 1 FROM unnest($2::uuid[], $3::text[], $4::text[], $5::bytea[]) AS u (record, kind, issuer, mac)
  WHERE u.record = i.record AND u.kind = i.kind AND u.issuer = i.issuer AND u.mac = i.mac)`
	insertKeys = `INSERT INTO identity_key (kind, issuer, norm, mac, record, reserves)
SELECT u.kind, u.issuer, $6, u.mac, u.record, u.reserves FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::boolean[]) AS u (record, kind, issuer, mac, reserves)
ORDER BY u.kind, u.issuer, u.mac ON CONFLICT DO NOTHING`
	countKeys = `SELECT count(*) FROM identity_key i JOIN unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[]) AS u (record, kind, issuer, mac)
ON i.record = u.record AND i.kind = u.kind AND i.issuer = u.issuer AND i.mac = u.mac AND i.norm = $5`
)

// saveKeys makes the match keys of identified records findable and takes back those that are no longer true. A key
// that another transaction reserved first undoes this one: the next round finds its holder.
func (t *tx) saveKeys(ctx context.Context, rs []schema.Resolution) error {
	var owners, records, kinds, issuers []string
	var macs pq.ByteaArray
	var reserves []bool
	for _, r := range rs {
		if !r.Identified || r.State == nil {
			continue
		}
		owners = append(owners, r.Record.String())
		for _, c := range t.store.keyCodes(r.Object, r.Record, r.Keys) {
			records, kinds, issuers = append(records, r.Record.String()), append(kinds, c.key.Kind), append(issuers, c.key.Issuer)
			macs, reserves = append(macs, c.macs[0]), append(reserves, c.key.Reserves)
		}
	}
	if len(owners) == 0 {
		return nil
	}
	if _, err := t.do(ctx, deleteOldKeys, pq.Array(owners), pq.Array(records), pq.Array(kinds), pq.Array(issuers), macs); err != nil {
		return err
	}
	if len(records) == 0 {
		return nil
	}
	if _, err := t.do(ctx, insertKeys, pq.Array(records), pq.Array(kinds), pq.Array(issuers), macs, pq.Array(reserves), int64(normVersion)); err != nil {
		return err
	}
	var have int
	if err := t.get(ctx, &have, countKeys, pq.Array(records), pq.Array(kinds), pq.Array(issuers), macs, int64(normVersion)); err != nil {
		return err
	}
	if have != len(records) {
		return schema.ErrRaced
	}
	return nil
}

const upsertWants = `INSERT INTO delivery (record, system, object, state, op, lane, ready_at, desired_rev, owed_from, verified_epoch, reason)
SELECT u.record, u.system, u.object, u.state, u.op, u.lane, now(), u.rev, u.rev, (SELECT max(n) FROM epoch), nullif(u.reason, '')
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::smallint[], $7::bigint[], $8::text[]) AS u (record, system, object, state, op, lane, rev, reason)
ORDER BY u.record, u.system
ON CONFLICT (record, system) DO UPDATE SET
  desired_rev = greatest(delivery.desired_rev, excluded.desired_rev),
  owed_from   = coalesce(delivery.owed_from, excluded.owed_from),
  op          = CASE WHEN delivery.state = 'claimed' OR delivery.op = 'read' AND delivery.owed_from IS NOT NULL AND delivery.waits_for IS NULL
                     THEN delivery.op ELSE excluded.op END,
  read_wanted = delivery.read_wanted OR delivery.state = 'claimed' AND excluded.op = 'read',
  lane        = CASE WHEN delivery.state = 'idle' THEN excluded.lane ELSE least(delivery.lane, excluded.lane) END,
  ready_at    = CASE WHEN delivery.state IN ('ready', 'claimed') THEN delivery.ready_at ELSE greatest(delivery.ready_at, now()) END,
  waits_for   = NULL,
  tries       = CASE WHEN delivery.state = 'parked' AND delivery.reason <> 'parked_by_person' THEN 0 ELSE delivery.tries END,
  failing_since = CASE WHEN delivery.state = 'parked' AND delivery.reason <> 'parked_by_person' THEN NULL ELSE delivery.failing_since END,
  failing_kind  = CASE WHEN delivery.state = 'parked' AND delivery.reason <> 'parked_by_person' THEN NULL ELSE delivery.failing_kind END,
  state       = CASE WHEN delivery.state = 'claimed' THEN 'claimed' WHEN delivery.reason = 'parked_by_person' THEN 'parked' ELSE excluded.state END,
  reason      = CASE WHEN delivery.reason = 'parked_by_person' THEN delivery.reason WHEN delivery.state = 'claimed' THEN NULL ELSE excluded.reason END`

// saveWants turns what systems have to be told into deliveries. A claimed one stays in its claim; whoever closes that
// sees that more is desired. A read that was not made yet stays a read: somebody did not know what the system holds.
func (t *tx) saveWants(ctx context.Context, rs []schema.Resolution) error {
	var records, systems, objects, states, ops, reasons []string
	var lanes, revs []int64
	for _, r := range rs {
		for _, w := range r.Wants {
			state := schema.DeliveryReady
			if w.Parked != "" {
				state = schema.DeliveryParked
			}
			records, systems, objects = append(records, r.Record.String()), append(systems, w.System), append(objects, r.Object)
			states, ops, reasons = append(states, string(state)), append(ops, string(w.Op)), append(reasons, string(w.Parked))
			lanes, revs = append(lanes, int64(w.Lane)), append(revs, r.Rev)
		}
	}
	if len(records) == 0 {
		return nil
	}
	_, err := t.do(ctx, upsertWants, pq.Array(records), pq.Array(systems), pq.Array(objects), pq.Array(states), pq.Array(ops),
		pq.Array(lanes), pq.Array(revs), pq.Array(reasons))
	return err
}

const settleInStep = `WITH s AS (
  UPDATE delivery d SET state = 'idle', owed_from = NULL, reason = NULL, waits_for = NULL, isolate = false, tries = 0,
    failing_since = NULL, failing_kind = NULL
  WHERE d.record = ANY($1::uuid[]) AND d.state IN ('ready', 'parked') AND (d.op <> 'read' OR d.waits_for IS NOT NULL)
    AND (d.record, d.system) NOT IN (SELECT * FROM unnest($2::uuid[], $3::text[])) RETURNING d.record, d.system)
SELECT record, system FROM s`

// settleInStep ends the deliveries whose system turned out to be in step, and with them the failures that stood in their
// way and the events that waited for nothing else.
func (t *tx) settleInStep(ctx context.Context, rs []schema.Resolution) error {
	var records, wanted, systems []string
	for _, r := range rs {
		if r.State == nil {
			continue
		}
		records = append(records, r.Record.String())
		for _, w := range r.Wants {
			wanted, systems = append(wanted, r.Record.String()), append(systems, w.System)
		}
	}
	if len(records) == 0 {
		return nil
	}
	var settled []deliveryKey
	if err := t.list(ctx, &settled, settleInStep, pq.Array(records), pq.Array(wanted), pq.Array(systems)); err != nil {
		return err
	}
	if err := t.closeMembers(ctx, settled, schema.ReasonRecordGone); err != nil {
		return err
	}
	var ids []schema.ID
	for _, s := range settled {
		ids = append(ids, s.Record)
	}
	return t.finishDelivered(ctx, ids, schema.ID{})
}

const finishDelivered = `WITH f AS (
  DELETE FROM open_event o WHERE o.record = ANY($1::uuid[]) AND o.state = 'decided'
    AND NOT EXISTS (SELECT 1 FROM delivery y WHERE y.record = o.record AND y.owed_from <= o.rev)
  RETURNING o.event, o.round, o.source, o.verdict, o.reason, o.superseded_by, o.fields),
i AS (INSERT INTO outcome (event, round, outcome, reason, bundle, superseded_by, fields, call)
  SELECT event, round, verdict, reason, $2, superseded_by, fields, $3 FROM f)
SELECT source, verdict AS what, count(*) AS n FROM f GROUP BY 1, 2`

// finishDelivered ends the decided events of records that no delivery owes any more.
func (t *tx) finishDelivered(ctx context.Context, records []schema.ID, call schema.ID) error {
	if len(records) == 0 {
		return nil
	}
	var ended []tallied
	if err := t.list(ctx, &ended, finishDelivered, pq.Array(texts(records)), t.store.digest, uuidText(call)); err != nil {
		return err
	}
	return t.countOutcomes(ctx, ended)
}

func texts(ids []schema.ID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = id.String()
	}
	return out
}

const (
	closeEventMembers = `UPDATE member SET closed = now() WHERE closed IS NULL AND event = ANY($1::uuid[])`
	closeMembers      = `UPDATE member m SET closed = now() FROM unnest($1::uuid[], $2::text[]) AS u (record, system)
WHERE m.record = u.record AND m.system = u.system AND m.event IS NULL AND m.closed IS NULL AND m.reason <> ALL($3::text[])`
	insertMember = `INSERT INTO member (id, cause, reason, system, object, owner, event, record)
SELECT gen_random_uuid(), u.reason || '/' || u.system || '/' || u.object, u.reason, u.system, u.object, u.owner,
  nullif(u.event, '00000000-0000-0000-0000-000000000000'), u.record
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::uuid[]) AS u (reason, system, object, owner, event, record)
ORDER BY u.reason, u.system, u.object, u.event, u.record ON CONFLICT DO NOTHING`
)

// saveMembers opens the failures that a person has to hear of and closes those of events that are held no more.
func (t *tx) saveMembers(ctx context.Context, rs []schema.Resolution) error {
	var over []string
	var open []schema.Member
	for _, r := range rs {
		for _, v := range r.Verdicts {
			if v.State != schema.EventHeld {
				over = append(over, v.Event.String())
			}
		}
		open = append(open, r.Members...)
	}
	if len(over) > 0 {
		if _, err := t.do(ctx, closeEventMembers, pq.Array(over)); err != nil {
			return err
		}
	}
	return t.openMembers(ctx, open)
}

// deliveryKey names a delivery.
type deliveryKey struct {
	Record schema.ID `db:"record"`
	System string    `db:"system"`
}

// closeMembers closes the failures of records as a whole in a system each, but for some reasons.
func (t *tx) closeMembers(ctx context.Context, of []deliveryKey, but ...schema.Reason) error {
	if len(of) == 0 {
		return nil
	}
	var records, systems []string
	for _, d := range of {
		records, systems = append(records, d.Record.String()), append(systems, d.System)
	}
	reasons := []string{}
	for _, r := range but {
		reasons = append(reasons, string(r))
	}
	_, err := t.do(ctx, closeMembers, pq.Array(records), pq.Array(systems), pq.Array(reasons))
	return err
}

func (t *tx) openMembers(ctx context.Context, members []schema.Member) error {
	var reasons, systems, objects, owners, events, records []string
	for _, m := range members {
		reasons, systems, objects = append(reasons, string(m.Reason)), append(systems, m.System), append(objects, m.Object)
		owners, events, records = append(owners, m.Owner), append(events, m.Event.String()), append(records, m.Record.String())
	}
	if len(reasons) == 0 {
		return nil
	}
	_, err := t.do(ctx, insertMember, pq.Array(reasons), pq.Array(systems), pq.Array(objects), pq.Array(owners), pq.Array(events), pq.Array(records))
	return err
}

const (
	lockOther      = `SELECT id, object, rev, identified, state, dek, merged_into, wants_join, epoch FROM record WHERE id = $1 FOR UPDATE NOWAIT`
	claimedOfBoth  = `SELECT count(*) FROM delivery WHERE record = ANY($1::uuid[]) AND state = 'claimed'`
	moveOpenEvents = `UPDATE open_event SET record = $2, state = 'new', rev = NULL, verdict = NULL, reason = NULL, superseded_by = NULL,
  fields = NULL, held_until = NULL WHERE record = $1`
	liveRefsOfBoth = `SELECT count(*) FROM ref a JOIN ref b ON a.system = b.system AND a.object = b.object
WHERE a.record = $1 AND b.record = $2 AND a.state = 'active' AND b.state = 'active'`
)

// join makes a record part of another: its refs, events and keys move there and its own events are decided again
// (protocol F6). Both have to be free of claims; the second is taken without waiting. It gives up for this round when
// somebody else works on either.
func (t *tx) join(ctx context.Context, lost, survivor schema.ID) error {
	var row recordRow
	err := t.get(ctx, &row, lockOther, survivor.String())
	var e *Error
	if err = coded(err); errors.As(err, &e) && e.Code == "55P03" {
		return schema.ErrRaced
	}
	if err != nil {
		return err
	}
	if row.MergedInto.Valid {
		return schema.ErrRaced
	}
	var claimed, twice int
	if err := t.get(ctx, &claimed, claimedOfBoth, pq.Array(texts([]schema.ID{lost, survivor}))); err != nil {
		return err
	}
	if claimed > 0 {
		return t.postponeJoin(ctx, lost, survivor)
	}
	if err := t.get(ctx, &twice, liveRefsOfBoth, lost.String(), survivor.String()); err != nil {
		return err
	}
	if twice > 0 {
		return schema.ErrRaced
	}
	moved, err := t.mergeStates(ctx, lost, row)
	if err != nil {
		return err
	}
	events, err := t.do(ctx, moveOpenEvents, lost.String(), survivor.String())
	if err != nil {
		return err
	}
	if events == 0 {
		if err := t.wantReads(ctx, row, moved); err != nil {
			return err
		}
	}
	for _, statement := range []string{
		`DELETE FROM ref a USING ref b WHERE a.record = $2 AND a.state = 'creating' AND b.record = $1 AND b.system = a.system AND b.object = a.object`,
		`DELETE FROM ref a USING ref b WHERE a.record = $1 AND a.state = 'creating' AND b.record = $2 AND b.state = 'active' AND b.system = a.system AND b.object = a.object`,
		`UPDATE ref SET record = $2 WHERE record = $1`,
		`DELETE FROM identity_key i WHERE i.record = $1 AND $2::uuid IS NOT NULL`,
		`DELETE FROM delivery d WHERE d.record = $1 AND $2::uuid IS NOT NULL`,
		`UPDATE member SET closed = now() WHERE closed IS NULL AND event IS NULL AND record = $1 AND $2::uuid IS NOT NULL`,
		`UPDATE record SET merged_into = $2, wants_join = NULL, state = NULL, dek = NULL WHERE id = $1`,
	} {
		if _, err := t.do(ctx, statement, lost.String(), survivor.String()); err != nil {
			return err
		}
	}
	return nil
}

// postponeJoin remembers what the record turned out to be; its events wait for a moment.
func (t *tx) postponeJoin(ctx context.Context, lost, survivor schema.ID) error {
	if _, err := t.do(ctx, `UPDATE record SET wants_join = $2 WHERE id = $1`, lost.String(), survivor.String()); err != nil {
		return err
	}
	_, err := t.do(ctx, `UPDATE open_event SET state = 'held', reason = 'reading', held_until = now() + interval '500 milliseconds'
WHERE record = $1 AND state = 'new'`, lost.String())
	return err
}

const upsertReads = `INSERT INTO delivery (record, system, object, state, op, lane, ready_at, desired_rev, owed_from, verified_epoch)
SELECT $1, system, $2, 'ready', 'read', 3, now(), $3, $3, (SELECT max(n) FROM epoch) FROM unnest($4::text[]) AS u (system) ORDER BY system
ON CONFLICT (record, system) DO UPDATE SET desired_rev = excluded.desired_rev, owed_from = coalesce(delivery.owed_from, excluded.owed_from),
  read_wanted = delivery.state = 'claimed', op = CASE WHEN delivery.state = 'claimed' THEN delivery.op ELSE 'read' END,
  state = CASE WHEN delivery.state = 'idle' THEN 'ready' ELSE delivery.state END`

// wantReads has the systems read that a record without open events gained, so that the two halves are compared.
func (t *tx) wantReads(ctx context.Context, survivor recordRow, systems []string) error {
	if len(systems) == 0 {
		return nil
	}
	if _, err := t.do(ctx, `UPDATE record SET rev = rev + 1 WHERE id = $1`, survivor.ID.String()); err != nil {
		return err
	}
	_, err := t.do(ctx, upsertReads, survivor.ID.String(), survivor.Object, survivor.Rev+1, pq.Array(systems))
	return err
}

// mergeStates brings what is known of the lost record into the survivor and names the systems that came over. The
// systems of the two differ, so nothing is overwritten.
func (t *tx) mergeStates(ctx context.Context, lost schema.ID, survivor recordRow) (moved []string, err error) {
	var row struct {
		State []byte `db:"state"`
		DEK   []byte `db:"dek"`
	}
	if err := t.get(ctx, &row, `SELECT state, dek FROM record WHERE id = $1`, lost.String()); err != nil {
		return nil, err
	}
	from, err := t.store.openState(lost, row.State, row.DEK)
	if err != nil {
		return nil, err
	}
	into, err := t.store.openState(survivor.ID, survivor.State, survivor.DEK)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(from.Systems)) {
		system := from.Systems[name]
		if existing := into.Systems[name]; system.ID != "" && (existing == nil || existing.ID == "") {
			into.System(name)
			into.Systems[name] = system
			moved = append(moved, name)
		}
	}
	if len(moved) == 0 {
		return nil, nil
	}
	sealed, dek, err := t.store.sealState(survivor.ID, into)
	if err != nil {
		return nil, err
	}
	_, err = t.do(ctx, `UPDATE record SET state = $2, dek = $3 WHERE id = $1`, survivor.ID.String(), sealed, dek)
	return moved, err
}

// ReleaseHeld has the events decided again whose time has come. It returns how many.
func (s *Store) ReleaseHeld(ctx context.Context) (n int64, err error) {
	err = s.within(ctx, func(t *tx) error {
		n, err = t.do(ctx, `UPDATE open_event SET state = 'new', reason = NULL, held_until = NULL
WHERE event IN (SELECT event FROM open_event WHERE state = 'held' AND held_until <= now() ORDER BY event LIMIT 1000 FOR UPDATE SKIP LOCKED)`)
		return err
	})
	if n > 0 {
		s.Wake(schema.TopicDecide)
	}
	return n, err
}

// JoinWanted returns a record that wants to become part of another although it has no new event, any of them: one that
// cannot must not hide the others. The zero id means that there is none.
func (s *Store) JoinWanted(ctx context.Context) (record schema.ID, err error) {
	err = s.within(ctx, func(t *tx) error {
		var id uuidOrNull
		err := t.get(ctx, &id, `SELECT r.id FROM record r WHERE r.wants_join IS NOT NULL AND r.merged_into IS NULL
AND NOT EXISTS (SELECT 1 FROM open_event o WHERE o.record = r.id AND o.state = 'new') ORDER BY random() LIMIT 1`)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		record = id.ID
		return err
	})
	return record, err
}
