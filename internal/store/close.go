package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lib/pq"

	"lockstep/schema"
)

// CloseCall writes an answer down: shadows, deliveries, outcomes, and the end of the claim when nothing of it is left. late
// is true when the call counts as unknown by now; then nothing of the answer is believed and the records are read.
// Safe to repeat.
func (s *Store) CloseCall(ctx context.Context, call schema.Call, told []*schema.Item, settle schema.Settler) (late bool, err error) {
	err = s.patiently(ctx, func(t *tx) error {
		late = false
		items, err := t.lockAgain(ctx, told)
		if err != nil {
			return err
		}
		n, err := t.do(ctx, `UPDATE call SET state = 'answered', answered_at = now() WHERE id = $1 AND state = 'sent'`, call.ID.String())
		if err != nil {
			return err
		}
		if n == 0 {
			late = true
			return t.readThese(ctx, call, told)
		}
		endings, err := settle(items, func(vendorID string) (schema.ID, error) { return t.holder(ctx, call.System, call.Object, vendorID) })
		if err != nil {
			return err
		}
		if err := t.markFailed(ctx, call, endings); err != nil {
			return err
		}
		claim := schema.Claim{ID: call.Claim, Kind: call.Kind, System: call.System, Object: call.Object, Op: call.Op, Lane: call.Lane}
		if err := t.applyEndings(ctx, claim, call.ID, endings); err != nil {
			return err
		}
		if _, err := t.do(ctx, `UPDATE system_state SET breaker = 'closed', open_until = NULL, trips = 0, reason = NULL WHERE system = $1 AND breaker <> 'closed'`,
			call.System); err != nil {
			return err
		}
		return t.closeClaimIfEmpty(ctx, call.Claim)
	})
	if err == nil {
		s.Wake(schema.TopicDecide)
		s.Wake(schema.TopicClaim)
	}
	return late, err
}

// markFailed notes on the call's row why records of it failed; the first kind stands for the others.
func (t *tx) markFailed(ctx context.Context, call schema.Call, endings []schema.Ending) error {
	i := slices.IndexFunc(endings, func(e schema.Ending) bool { return e.Kind != "" })
	if i < 0 {
		return nil
	}
	_, err := t.do(ctx, `UPDATE call SET kind = $2 WHERE id = $1`, call.ID.String(), string(endings[i].Kind))
	return err
}

const lockRecords = `SELECT r.id, r.object, r.rev, r.identified, r.state, r.dek, r.merged_into, r.wants_join, r.epoch FROM record r
WHERE r.id = ANY($1::uuid[]) ORDER BY r.id FOR UPDATE`

// lockAgain locks the records of a call and reads their newest state. An item is dirty when its record was decided
// since the call was opened.
func (t *tx) lockAgain(ctx context.Context, told []*schema.Item) ([]*schema.Item, error) {
	ids := make([]string, len(told))
	for i, item := range told {
		ids[i] = item.Record.String()
	}
	var rows []recordRow
	if err := t.list(ctx, &rows, lockRecords, pq.Array(ids)); err != nil {
		return nil, err
	}
	if len(rows) != len(told) {
		return nil, errors.New("store: a record of a call is missing")
	}
	byID := map[schema.ID]recordRow{}
	for _, r := range rows {
		byID[r.ID] = r
	}
	items := make([]*schema.Item, len(told))
	for i, item := range told {
		r := byID[item.Record]
		state, err := t.store.openState(r.ID, r.State, r.DEK)
		if err != nil {
			return nil, err
		}
		items[i] = &schema.Item{Record: r.ID, Rev: r.Rev, State: state, Tries: item.Tries, Failing: item.Failing, Isolate: item.Isolate, Events: item.Events, Dirty: r.Rev != item.Rev}
	}
	return items, nil
}

// holder returns the record that has a vendor's id, zero when nobody has.
func (t *tx) holder(ctx context.Context, system, object, vendorID string) (schema.ID, error) {
	var record uuidOrNull
	err := t.get(ctx, &record, `SELECT record FROM ref WHERE system = $1 AND object = $2 AND vendor_mac = ANY($3) AND state = 'active'`,
		system, object, pq.ByteaArray(t.store.refMACs(system, object, vendorID)))
	if errors.Is(err, sql.ErrNoRows) {
		return schema.ID{}, nil
	}
	return record.ID, err
}

const wantRead = `UPDATE delivery SET read_wanted = state = 'claimed', op = CASE WHEN state = 'claimed' THEN op ELSE 'read' END,
  desired_rev = CASE WHEN owed_from IS NULL THEN desired_rev + 1 ELSE desired_rev END, owed_from = coalesce(owed_from, desired_rev + 1),
  waits_for = NULL, state = CASE WHEN state = 'idle' THEN 'ready' ELSE state END, ready_at = CASE WHEN state = 'idle' THEN now() ELSE ready_at END
WHERE system = $1 AND record = ANY($2::uuid[])`

// readThese asks for a read of records whose answer came too late to be believed.
func (t *tx) readThese(ctx context.Context, call schema.Call, told []*schema.Item) error {
	var records []schema.ID
	for _, item := range told {
		records = append(records, item.Record)
	}
	if _, err := t.do(ctx, wantRead, call.System, pq.Array(texts(records))); err != nil {
		return err
	}
	return t.raiseRevs(ctx, call.System, records)
}

// raiseRevs gives records the revision that a delivery desires of its own accord, for a read that no event asked for.
func (t *tx) raiseRevs(ctx context.Context, system string, records []schema.ID) error {
	_, err := t.do(ctx, `UPDATE record r SET rev = d.desired_rev FROM delivery d
WHERE d.record = ANY($1::uuid[]) AND d.system = $2 AND r.id = d.record AND r.rev < d.desired_rev`, pq.Array(texts(records)), system)
	return err
}

// FailCall writes down that a system answered a call with trouble of its own: nothing of the part is settled. until is
// how long the credential has to wait; zero leaves it. Safe to repeat.
func (s *Store) FailCall(ctx context.Context, call schema.Call, kind schema.Kind, until time.Time) error {
	return s.patiently(ctx, func(t *tx) error {
		if _, err := t.do(ctx, `UPDATE call SET state = 'answered', answered_at = now(), kind = $2 WHERE id = $1 AND state = 'sent'`,
			call.ID.String(), string(kind)); err != nil {
			return err
		}
		if until.IsZero() {
			return nil
		}
		_, err := t.do(ctx, `UPDATE credential SET paused_until = greatest(paused_until, $2), reason = $3 WHERE system = $1`,
			call.System, until.UTC(), string(schema.ReasonOf(kind)))
		return err
	})
}

// applyEndings writes what became of records whose locks are held. The deliveries are those of the claim; whatever is
// not the claim's any more is left alone.
func (t *tx) applyEndings(ctx context.Context, claim schema.Claim, call schema.ID, endings []schema.Ending) error {
	if len(endings) == 0 {
		return nil
	}
	slices.SortFunc(endings, func(a, b schema.Ending) int { return compareIDs(a.Record, b.Record) })
	for _, step := range []func(context.Context, schema.Claim, []schema.Ending) error{
		t.saveStates, t.saveRefs, t.journalReads, t.buryEvents, t.handOver, t.endDeliveries, t.openEndingMembers,
	} {
		if err := step(ctx, claim, endings); err != nil {
			return err
		}
	}
	var records []schema.ID
	for _, e := range endings {
		records = append(records, e.Record)
	}
	return t.finishDelivered(ctx, records, call)
}

const updateStates = `UPDATE record r SET state = u.state, dek = u.dek
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS u (id, state, dek) WHERE r.id = u.id`

// saveStates stores changed states.
func (t *tx) saveStates(ctx context.Context, _ schema.Claim, endings []schema.Ending) error {
	var ids []string
	var states, deks pq.ByteaArray
	var rs []schema.Resolution
	for _, e := range endings {
		if e.State == nil {
			continue
		}
		sealed, dek, err := t.store.sealState(e.Record, e.State)
		if err != nil {
			return err
		}
		ids, states, deks = append(ids, e.Record.String()), append(states, sealed), append(deks, dek)
		if e.Standing != nil {
			rs = append(rs, schema.Resolution{Record: e.Record, State: e.State, Standing: e.Standing})
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if _, err := t.do(ctx, updateStates, pq.Array(ids), states, deks); err != nil {
		return err
	}
	return t.supersede(ctx, rs)
}

const (
	activateRef = `UPDATE ref SET vendor_mac = $4, state = 'active' WHERE record = $1 AND system = $2 AND object = $3 AND state = 'creating'
AND NOT EXISTS (SELECT 1 FROM ref o WHERE o.system = $2 AND o.object = $3 AND o.vendor_mac = ANY($5))`
	insertActiveRef = `INSERT INTO ref (id, system, object, vendor_mac, record, state) VALUES ($1, $2, $3, $4, $5, 'active') ON CONFLICT DO NOTHING`
	insertCreating  = `INSERT INTO ref (id, system, object, record, state) VALUES ($1, $2, $3, $4, 'creating') ON CONFLICT DO NOTHING`
)

// saveRefs keeps refs in step: one that is being created, one that is known now, one that is gone. When intake made a
// record for the vendor's id before our answer came, the two are one (protocol F5).
func (t *tx) saveRefs(ctx context.Context, claim schema.Claim, endings []schema.Ending) error {
	for _, e := range endings {
		switch {
		case e.Ref != "":
			if err := t.activate(ctx, claim, e); err != nil {
				return err
			}
		case e.Gone:
			if _, err := t.do(ctx, `UPDATE ref SET state = 'gone' WHERE record = $1 AND system = $2 AND object = $3 AND state = 'active'`,
				e.Record.String(), claim.System, claim.Object); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tx) activate(ctx context.Context, claim schema.Claim, e schema.Ending) error {
	macs := t.store.refMACs(claim.System, claim.Object, e.Ref)
	n, err := t.do(ctx, activateRef, e.Record.String(), claim.System, claim.Object, macs[0], pq.ByteaArray(macs))
	if err != nil || n > 0 {
		return err
	}
	var other uuidOrNull
	err = t.get(ctx, &other, `SELECT record FROM ref WHERE system = $1 AND object = $2 AND vendor_mac = ANY($3) AND state = 'active'`,
		claim.System, claim.Object, pq.ByteaArray(macs))
	if errors.Is(err, sql.ErrNoRows) {
		_, err = t.do(ctx, insertActiveRef, schema.NewRandom().String(), claim.System, claim.Object, macs[0], e.Record.String())
		return err
	}
	if err != nil || other.ID == e.Record {
		return err
	}
	// Only a hint: the other row may not be waited for here. Whoever decides it finds out by its keys, too.
	_, err = t.do(ctx, `UPDATE record SET wants_join = $2 WHERE id = (SELECT id FROM record WHERE id = $1 AND merged_into IS NULL FOR UPDATE SKIP LOCKED)`,
		other.ID.String(), e.Record.String())
	return err
}

// markCreating notes that records are about to exist in a system, so that nobody else creates them there.
func (t *tx) markCreating(ctx context.Context, call schema.Call, items []*schema.Item) error {
	if call.Op != schema.OpCreate {
		return nil
	}
	for _, i := range items {
		if _, err := t.do(ctx, insertCreating, schema.NewRandom().String(), call.System, call.Object, i.Record.String()); err != nil {
			return err
		}
	}
	return nil
}

// journalReads brings what was read into the journal, where it is decided like any event, and lets the events that
// waited for it be decided again.
func (t *tx) journalReads(ctx context.Context, claim schema.Claim, endings []schema.Ending) error {
	var events []*sealedEvent
	var records []string
	for _, e := range endings {
		reads := slices.Concat(e.Reads, e.ReadsOfOther)
		if len(reads) == 0 {
			continue
		}
		if len(e.Reads) > 0 {
			records = append(records, e.Record.String())
		}
		receipt := schema.NewReceipt()
		for n, read := range reads {
			event, err := t.store.sealEvent(schema.OwnSource, schema.EventID(receipt, n+1), read)
			if err != nil {
				return err
			}
			events = append(events, &event)
		}
	}
	if len(events) == 0 {
		return nil
	}
	if err := t.resolveRefs(ctx, events); err != nil {
		return err
	}
	slices.SortFunc(events, func(a, b *sealedEvent) int { return compareIDs(a.id, b.id) })
	if err := t.insertEvents(ctx, events); err != nil {
		return err
	}
	if err := t.count(ctx, map[tallyKey]int64{{schema.OwnSource, "accepted"}: int64(len(events))}); err != nil {
		return err
	}
	_, err := t.do(ctx, releaseReading, pq.Array(records), claim.System, schema.OwnSource)
	return err
}

// releaseReading has decided again what waits for a read, what waited for one that nobody understood, and such reads
// themselves: the new one stands in their place.
const releaseReading = `UPDATE open_event SET state = 'new', reason = NULL, reads = reads + CASE WHEN source = $3 THEN 0 ELSE 1 END
WHERE record = ANY($1::uuid[]) AND state = 'held' AND system = $2 AND held_until IS NULL AND (reason = 'reading' OR reads > 0 OR source = $3)`

const buryEvent = `WITH f AS (DELETE FROM open_event WHERE event = $1 RETURNING event, round, source, fields),
o AS (INSERT INTO outcome (event, round, outcome, reason, bundle, fields) SELECT event, round, 'dead', $2, $3, fields FROM f),
l AS (INSERT INTO dead_letter (id, kind, source, object, event, system, reason, field, code, owner)
  SELECT gen_random_uuid(), 'dead', source, $4, id, $5, $2, $6, $7, $8 FROM event WHERE id = $1)
SELECT source FROM f`

// buryEvents ends events that a system refuses for good, and has the record's other open events decided again: what
// they lost against the dead one may stand now (protocol F12). An event that ended well before keeps its outcome; its
// dead letter says what became of its word since.
func (t *tx) buryEvents(ctx context.Context, claim schema.Claim, endings []schema.Ending) error {
	for _, e := range endings {
		if e.Dead == nil {
			continue
		}
		var source string
		err := t.get(ctx, &source, buryEvent, e.Dead.Event.String(), string(e.Dead.Reason), t.store.digest, claim.Object, claim.System,
			textOrNil(e.Dead.Field), textOrNil(e.Dead.Code), e.Dead.Owner)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return err
		}
		if err := t.count(ctx, map[tallyKey]int64{{source, string(schema.Dead)}: 1}); err != nil {
			return err
		}
		if _, err := t.do(ctx, `UPDATE open_event SET state = 'new', rev = NULL, verdict = NULL, reason = NULL, superseded_by = NULL, fields = NULL
WHERE record = $1 AND state = 'decided'`, e.Record.String()); err != nil {
			return err
		}
	}
	return nil
}

const takeSingleSlot = `UPDATE slot SET claim = $2 WHERE (system, class, n) = (
  SELECT system, class, n FROM slot WHERE system = $1 AND class = 'single' AND claim IS NULL ORDER BY n LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING n`

// handOver moves a delivery from its batch into a claim of its own, without letting go of it between. Without a free
// slot the delivery stays ready, with a delay, under its cause.
func (t *tx) handOver(ctx context.Context, claim schema.Claim, endings []schema.Ending) error {
	for i := range endings {
		e := &endings[i]
		if !e.HandOver {
			continue
		}
		single := schema.NewRandom()
		if _, err := t.do(ctx, `UPDATE delivery SET claim = $4, part = 0, tries = tries + 1, isolate = isolate OR $5,
  failing_since = coalesce(failing_since, now()), failing_kind = $6 WHERE record = $1 AND system = $2 AND claim = $3`,
			e.Record.String(), claim.System, claim.ID.String(), single.String(), e.Isolate, string(e.Kind)); err != nil {
			return err
		}
		if _, err := t.do(ctx, `INSERT INTO claim (id, kind, system, object, op, lane, open, parts, records, record, check_at) VALUES ($1, 'single', $2, $3, $4, $5, true, 1, 1, $6, now())`,
			single.String(), claim.System, claim.Object, string(claim.Op), int64(claim.Lane), e.Record.String()); err != nil {
			return err
		}
		var n int64
		err := t.get(ctx, &n, takeSingleSlot, claim.System, single.String())
		if err == nil {
			if _, err := t.do(ctx, `UPDATE claim SET slot = $2 WHERE id = $1`, single.String(), n); err != nil {
				return err
			}
			continue
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if _, err := t.do(ctx, `UPDATE claim SET open = false WHERE id = $1`, single.String()); err != nil {
			return err
		}
		if _, err := t.do(ctx, `UPDATE delivery SET state = 'ready', claim = NULL, part = NULL, ready_at = now() + interval '30 seconds',
  op = coalesce(nullif($4, ''), op) WHERE record = $1 AND system = $2 AND claim = $3`,
			e.Record.String(), claim.System, single.String(), string(e.Next)); err != nil {
			return err
		}
	}
	return nil
}

const endDeliveries = `UPDATE delivery d SET
  state       = CASE WHEN u.parked <> '' THEN 'parked'
                     WHEN NOT u.told OR d.read_wanted OR d.desired_rev > u.rev OR u.more THEN 'ready' ELSE 'idle' END,
  op          = CASE WHEN d.read_wanted THEN 'read' WHEN u.next <> '' THEN u.next ELSE d.op END,
  owed_from   = CASE WHEN NOT u.told THEN d.owed_from
                     WHEN d.desired_rev > u.rev THEN u.rev + 1
                     WHEN d.read_wanted OR u.more THEN u.rev + 1 END,
  desired_rev = CASE WHEN u.told AND (d.read_wanted OR u.more) THEN greatest(d.desired_rev, u.rev + 1) ELSE d.desired_rev END,
  claim       = NULL, part = NULL, read_wanted = false,
  isolate     = (d.isolate OR u.isolate) AND NOT u.told,
  tries       = CASE WHEN u.failed THEN d.tries + 1 WHEN u.told THEN 0 ELSE d.tries END,
  failing_since = CASE WHEN u.told THEN NULL WHEN u.kind <> '' THEN coalesce(d.failing_since, now()) ELSE d.failing_since END,
  failing_kind  = CASE WHEN u.told THEN NULL WHEN u.kind <> '' THEN u.kind ELSE d.failing_kind END,
  reason      = nullif(u.parked, ''),
  waits_for   = nullif(u.waits_for, '00000000-0000-0000-0000-000000000000'),
  ready_at    = now() + u.after * interval '1 millisecond',
  verified_epoch = CASE WHEN u.verified THEN (SELECT max(n) FROM epoch) ELSE d.verified_epoch END
FROM unnest($3::uuid[], $4::bigint[], $5::boolean[], $6::text[], $7::bigint[], $8::boolean[], $9::boolean[], $10::text[], $11::uuid[], $12::boolean[], $13::boolean[], $14::text[])
  AS u (record, rev, told, next, after, failed, isolate, parked, waits_for, verified, more, kind)
WHERE d.record = u.record AND d.system = $1 AND d.claim = $2`

// endDeliveries lets go of the deliveries whose call is over: in step, ready for what comes next, or parked.
func (t *tx) endDeliveries(ctx context.Context, claim schema.Claim, endings []schema.Ending) error {
	var records, nexts, parked, waits, kinds []string
	var revs, afters []int64
	var told, failed, isolate, verified, more []bool
	for _, e := range endings {
		if e.HandOver || e.Stay {
			continue
		}
		waitsFor := schema.ID{}
		if len(e.Reads) > 0 {
			// Until the read is decided nobody knows what the system has to be told.
			waitsFor = e.Record
		}
		records, revs, told, nexts = append(records, e.Record.String()), append(revs, e.Rev), append(told, e.Told), append(nexts, string(e.Next))
		afters, failed, isolate = append(afters, e.After.Milliseconds()), append(failed, e.Failed), append(isolate, e.Isolate)
		parked, waits = append(parked, string(e.Parked)), append(waits, waitsFor.String())
		verified, more = append(verified, claim.Op == schema.OpRead && len(e.Reads) > 0), append(more, e.More)
		kinds = append(kinds, string(e.Kind))
	}
	if len(records) == 0 {
		return nil
	}
	if _, err := t.do(ctx, endDeliveries, claim.System, claim.ID.String(), pq.Array(records), pq.Array(revs), pq.Array(told), pq.Array(nexts),
		pq.Array(afters), pq.Array(failed), pq.Array(isolate), pq.Array(parked), pq.Array(waits), pq.Array(verified), pq.Array(more), pq.Array(kinds)); err != nil {
		return err
	}
	var ended []schema.ID
	for _, e := range endings {
		ended = append(ended, e.Record)
	}
	return t.raiseRevs(ctx, claim.System, ended)
}

func (t *tx) openEndingMembers(ctx context.Context, claim schema.Claim, endings []schema.Ending) error {
	var members []schema.Member
	var fine []deliveryKey
	for _, e := range endings {
		members = append(members, e.Members...)
		if e.Told && !e.More && e.Parked == "" {
			fine = append(fine, deliveryKey{Record: e.Record, System: claim.System})
		}
	}
	if err := t.closeMembers(ctx, fine); err != nil {
		return err
	}
	return t.openMembers(ctx, members)
}

// GiveBack ends a claim whose system is in trouble: its deliveries wait in Postgres, each no earlier than an unanswered
// call of theirs may still arrive; the breaker opens. It returns false when the claim was over already. Safe to repeat.
func (s *Store) GiveBack(ctx context.Context, claim schema.ID, reason schema.Reason, pause time.Duration) (given bool, err error) {
	err = s.patiently(ctx, func(t *tx) error {
		given = false
		// First its records are locked: of two that give it back at once, one finds it closed.
		if err := t.endUnanswered(ctx, claim); err != nil {
			return err
		}
		var c schema.Claim
		err := t.get(ctx, &c, selectClaim, claim.String())
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := t.do(ctx, `UPDATE delivery SET state = 'ready', claim = NULL, part = NULL, ready_at = greatest(ready_at, now()) WHERE claim = $1`,
			claim.String()); err != nil {
			return err
		}
		if err := t.closeClaimIfEmpty(ctx, claim); err != nil {
			return err
		}
		given = true
		return t.openBreaker(ctx, c.System, reason, pause)
	})
	if err == nil {
		s.Wake(schema.TopicClaim)
	}
	return given, err
}

// unansweredFirst has deliveries with an unanswered call looked at before anything else, once that can no longer arrive.
const unansweredFirst = `UPDATE delivery d SET op = CASE WHEN d.op = 'find' THEN d.op WHEN d.op = 'create' THEN 'find' ELSE 'read' END, ready_at = u.deadline
FROM (SELECT unnest(records) AS record, max(deadline) AS deadline FROM call WHERE claim = $1 AND state = 'sent' GROUP BY 1) u
WHERE d.claim = $1 AND d.record = u.record`

// endUnanswered locks the records of a claim that is about to end and makes its unanswered calls unknown: whoever answers
// for one of them later is late.
func (t *tx) endUnanswered(ctx context.Context, claim schema.ID) error {
	for _, statement := range []string{
		`SELECT 1 FROM record WHERE id IN (SELECT record FROM delivery WHERE claim = $1) ORDER BY id FOR UPDATE`,
		unansweredFirst,
	} {
		if _, err := t.do(ctx, statement, claim.String()); err != nil {
			return fmt.Errorf("store: end a claim: %w", coded(err))
		}
	}
	return t.makeUnknown(ctx, claim, sql.NullInt64{})
}

// openBreaker keeps everybody from calling a system for a while that doubles with each try that failed.
func (t *tx) openBreaker(ctx context.Context, system string, reason schema.Reason, pause time.Duration) error {
	_, err := t.do(ctx, `UPDATE system_state SET breaker = 'open', trips = trips + 1, reason = $2,
  open_until = now() + greatest($3 * interval '1 millisecond', least(interval '60 seconds', interval '1 second' * 2 ^ least(trips, 6)) * (0.5 + random() / 2))
WHERE system = $1`, system, string(reason), cmp.Or(pause.Milliseconds(), 0))
	return err
}

// Park takes a record's delivery out of its claim until a person acts. by is who asked for it; empty when nobody did.
func (s *Store) Park(ctx context.Context, claim schema.ID, reason schema.Reason, owner, by string) (parked bool, err error) {
	err = s.patiently(ctx, func(t *tx) error {
		parked = false
		var c schema.Claim
		err := t.get(ctx, &c, selectClaim, claim.String())
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := t.endUnanswered(ctx, claim); err != nil {
			return err
		}
		var records []schema.ID
		if err := t.list(ctx, &records, `UPDATE delivery SET state = 'parked', reason = $2, claim = NULL, part = NULL WHERE claim = $1 RETURNING record`,
			claim.String(), string(reason)); err != nil {
			return err
		}
		if err := t.closeClaimIfEmpty(ctx, claim); err != nil {
			return err
		}
		parked = len(records) > 0
		var members []schema.Member
		for _, r := range records {
			members = append(members, schema.Member{Reason: reason, System: c.System, Object: c.Object, Owner: owner, Record: r})
		}
		if err := t.openMembers(ctx, members); err != nil || by == "" {
			return err
		}
		_, err = t.do(ctx, `INSERT INTO audit (actor, act, object, reason) VALUES ($1, 'park', $2, $3)`, by, claim.String(), string(reason))
		return err
	})
	return parked, err
}

// Unpark lets a parked delivery go on. It returns false when it was not parked.
func (s *Store) Unpark(ctx context.Context, record schema.ID, system, by string) (moved bool, err error) {
	err = s.patiently(ctx, func(t *tx) error {
		if _, err := t.do(ctx, `SELECT 1 FROM record WHERE id = $1 FOR UPDATE`, record.String()); err != nil {
			return err
		}
		n, err := t.do(ctx, `UPDATE delivery SET state = 'ready', reason = NULL, ready_at = greatest(ready_at, now()), tries = 0,
  failing_since = NULL, failing_kind = NULL WHERE record = $1 AND system = $2 AND state = 'parked'`,
			record.String(), system)
		if err != nil || n == 0 {
			return err
		}
		moved = true
		if err := t.closeMembers(ctx, []deliveryKey{{Record: record, System: system}}); err != nil {
			return err
		}
		_, err = t.do(ctx, `INSERT INTO audit (actor, act, object) VALUES ($1, 'unpark', $2)`, by, record.String()+" in "+system)
		return err
	})
	if moved {
		s.Wake(schema.TopicClaim)
	}
	return moved, err
}

const openIncident = `INSERT INTO member (id, cause, reason, system, object, owner, record)
SELECT gen_random_uuid(), u.reason || '/' || c.system || '/' || c.object, u.reason, c.system, c.object, $3, c.record
FROM claim c, (SELECT $2::text AS reason) u WHERE c.id = $1 AND c.open AND c.record IS NOT NULL ON CONFLICT DO NOTHING`

// lastFailure is the kind of the last failure of a claim's record: of the claim's last call, empty when nobody answered
// for it; before its first call, of the claims before it.
const lastFailure = `SELECT coalesce(CASE WHEN k.id IS NULL THEN d.failing_kind ELSE k.kind END, '')
FROM claim c LEFT JOIN delivery d ON d.claim = c.id LEFT JOIN call k ON k.claim = c.id AND k.id >= first_id(c.made_at)
WHERE c.id = $1 ORDER BY k.id DESC LIMIT 1`

// OpenIncident notes that a record in trouble has been retried for longer than agreed, under the reason of its last
// failure. Safe to repeat.
func (s *Store) OpenIncident(ctx context.Context, claim schema.ID, owner string) error {
	return s.within(ctx, func(t *tx) error {
		var kind string
		err := t.get(ctx, &kind, lastFailure, claim.String())
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		reason := schema.ReasonOutcomeUnknown
		if kind != "" {
			reason = schema.ReasonOf(schema.Kind(kind))
		}
		_, err = t.do(ctx, openIncident, claim.String(), string(reason), owner)
		return err
	})
}
