package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/lib/pq"

	"lockstep/schema"
)

// sealedPosting is a posting with everything that needs a key already done, so that the one transaction that many
// postings share only moves rows.
type sealedPosting struct {
	source  string
	receipt schema.ID
	units   []sealedUnit
}

type sealedUnit struct {
	// keys are the dedupe codes under every live key, and bodyMAC the body's under the same ones. Two processes that
	// disagree on which key is the newest share at least one, so each of them finds what the other wrote.
	keys    [][]byte
	bodyMAC [][]byte
	kept    bool
	events  []sealedEvent

	// receipt is the first one of the unit; duplicate and conflict say that it came before, with this or another body.
	receipt   schema.ID
	duplicate bool
	conflict  bool
}

type sealedEvent struct {
	schema.NewEvent
	source string
	id     schema.ID
	macs   [][]byte
	sealed []byte
	dek    []byte
	ref    schema.ID
}

func (s *Store) sealPosting(p *schema.Posting) (*sealedPosting, error) {
	out := &sealedPosting{source: p.Source, receipt: p.Receipt}
	n := 0
	for _, u := range p.Units {
		parts := append([][]byte{[]byte(p.Source)}, u.Key...)
		unit := sealedUnit{
			keys: s.index.All(purposeDedupe, parts...), bodyMAC: s.index.All(purposeBody, u.Body),
			kept: u.Kept, receipt: p.Receipt,
		}
		for _, e := range u.Events {
			n++
			event, err := s.sealEvent(p.Source, schema.EventID(p.Receipt, n), e)
			if err != nil {
				return nil, err
			}
			unit.events = append(unit.events, event)
		}
		out.units = append(out.units, unit)
	}
	return out, nil
}

func (s *Store) sealEvent(source string, id schema.ID, e schema.NewEvent) (sealedEvent, error) {
	sealed, dek, err := s.sealer.Seal(e.Body, placeOf("event", "body", id))
	if err != nil {
		return sealedEvent{}, err
	}
	return sealedEvent{NewEvent: e, source: source, id: id, macs: s.refMACs(e.System, e.Object, e.Ref), sealed: sealed, dek: dek}, nil
}

func (s *Store) refMACs(system, object, ref string) [][]byte {
	return s.index.All(purposeRef, []byte(system), []byte(object), []byte(ref))
}

// errLost says that another transaction was faster with a key or a ref, wholly or in part: nothing of ours may stay, and
// the next look finds what it wrote.
var errLost = fmt.Errorf("store: a key or a ref: %w", schema.ErrRaced)

// acceptAll writes postings into the journal, all in one transaction, and says for each what became of it.
func (s *Store) acceptAll(ctx context.Context, postings []*sealedPosting) ([]schema.Accepted, error) {
	const looks = 5
	err := errLost
	for n := 0; n < looks && errors.Is(err, errLost); n++ {
		err = s.within(ctx, func(t *tx) error { return t.accept(ctx, postings) })
	}
	if err != nil {
		return nil, err
	}
	s.Wake(schema.TopicDecide)
	out := make([]schema.Accepted, len(postings))
	for i, p := range postings {
		out[i] = p.result()
	}
	return out, nil
}

func (t *tx) accept(ctx context.Context, postings []*sealedPosting) error {
	for _, p := range postings {
		p.reset()
	}
	known, err := t.rememberedKeys(ctx, postings)
	if err != nil {
		return err
	}
	fresh := judge(postings, known)
	for _, kept := range []bool{false, true} {
		if err := t.rememberKeys(ctx, fresh, kept); err != nil {
			return err
		}
	}
	var events []*sealedEvent
	for _, f := range fresh {
		for i := range f.unit.events {
			events = append(events, &f.unit.events[i])
		}
	}
	if err := t.resolveRefs(ctx, events); err != nil {
		return err
	}
	if err := t.insertEvents(ctx, events); err != nil {
		return err
	}
	return t.count(ctx, acceptedBySource(postings))
}

// result sums a posting's units up. One that holds nothing new answers with the receipt that it got when it did: the
// newest of its units'. One with a conflict answers with the receipt of the body that stands.
func (p *sealedPosting) result() schema.Accepted {
	a := schema.Accepted{Receipt: p.receipt}
	newest := schema.ID{}
	for i, u := range p.units {
		switch {
		case u.conflict:
			if len(a.Conflicts) == 0 {
				a.Receipt = u.receipt
			}
			a.Conflicts = append(a.Conflicts, i)
		case !u.duplicate:
			a.Events += len(u.events)
		}
		if bytes.Compare(u.receipt[:], newest[:]) > 0 {
			newest = u.receipt
		}
	}
	switch {
	case len(a.Conflicts) > 0:
		a.Events = 0
	case a.Events == 0 && len(p.units) > 0:
		a.Receipt = newest
	}
	return a
}

// reset forgets what an undone transaction found out.
func (p *sealedPosting) reset() {
	for i := range p.units {
		u := &p.units[i]
		u.receipt, u.duplicate, u.conflict = p.receipt, false, false
	}
}

// conflicts reports whether a unit came before with another body. Nothing of such a posting is taken.
func (p *sealedPosting) conflicts() bool {
	return slices.ContainsFunc(p.units, func(u sealedUnit) bool { return u.conflict })
}

func acceptedBySource(postings []*sealedPosting) map[tallyKey]int64 {
	n := map[tallyKey]int64{}
	for _, p := range postings {
		if p.conflicts() {
			continue // counted as refused, with its dead letter
		}
		for _, u := range p.units {
			what := "accepted"
			if u.duplicate {
				what = "duplicate"
			}
			n[tallyKey{p.source, what}] += int64(len(u.events))
		}
	}
	return n
}

// keyed is a unit that nobody sent before, with its posting.
type keyed struct {
	posting *sealedPosting
	unit    *sealedUnit
}

// judge says of every unit whether it came before: in an earlier posting, or in one of the same batch. It returns those
// that did not; a posting with a conflict has none.
func judge(postings []*sealedPosting, known map[string]rememberedKey) []keyed {
	var fresh []keyed
	for _, p := range postings {
		var own []keyed
		first := map[string]rememberedKey{}
		for i := range p.units {
			u := &p.units[i]
			if u.repeats(p.source, known) || u.repeats(p.source, first) {
				continue
			}
			own = append(own, keyed{p, u})
			for n, key := range u.keys {
				first[p.source+string(key)] = rememberedKey{Receipt: p.receipt, BodyMAC: u.bodyMAC[n]}
			}
		}
		if p.conflicts() {
			continue
		}
		fresh = append(fresh, own...)
		maps.Copy(known, first)
	}
	return fresh
}

// repeats says whether the unit is known under one of its keys, and with which body.
func (u *sealedUnit) repeats(source string, known map[string]rememberedKey) bool {
	for _, key := range u.keys {
		r, ok := known[source+string(key)]
		if !ok {
			continue
		}
		same := slices.ContainsFunc(u.bodyMAC, func(mac []byte) bool { return bytes.Equal(mac, r.BodyMAC) })
		u.duplicate, u.conflict, u.receipt = same, !same, r.Receipt
		return true
	}
	return false
}

const (
	insertCurrentKeys = `INSERT INTO dedupe_current (source, key, receipt, body_mac)
SELECT * FROM unnest($1::text[], $2::bytea[], $3::uuid[], $4::bytea[]) AS u (source, key, receipt, body_mac)
ON CONFLICT DO NOTHING`
	insertKeptKeys = `INSERT INTO dedupe_kept (source, key, receipt, body_mac)
SELECT * FROM unnest($1::text[], $2::bytea[], $3::uuid[], $4::bytea[]) AS u (source, key, receipt, body_mac)
ON CONFLICT DO NOTHING`
	selectCurrentKeys = `SELECT source, key, receipt, body_mac FROM dedupe_current WHERE (source, key) IN (SELECT * FROM unnest($1::text[], $2::bytea[]))
UNION ALL
SELECT source, key, receipt, body_mac FROM dedupe_previous WHERE (source, key) IN (SELECT * FROM unnest($1::text[], $2::bytea[]))`
	selectKeptKeys = `SELECT source, key, receipt, body_mac FROM dedupe_kept WHERE (source, key) IN (SELECT * FROM unnest($1::text[], $2::bytea[]))`
)

type rememberedKey struct {
	Source  string    `db:"source"`
	Key     []byte    `db:"key"`
	Receipt schema.ID `db:"receipt"`
	BodyMAC []byte    `db:"body_mac"`
}

// rememberedKeys looks for what came before, under every live key.
func (t *tx) rememberedKeys(ctx context.Context, postings []*sealedPosting) (map[string]rememberedKey, error) {
	known := map[string]rememberedKey{}
	for _, kept := range []bool{false, true} {
		var sources []string
		var keys pq.ByteaArray
		for _, p := range postings {
			for i := range p.units {
				for _, key := range p.units[i].keys {
					if p.units[i].kept == kept {
						sources, keys = append(sources, p.source), append(keys, key)
					}
				}
			}
		}
		if len(keys) == 0 {
			continue
		}
		query := selectCurrentKeys
		if kept {
			query = selectKeptKeys
		}
		var rows []rememberedKey
		if err := t.list(ctx, &rows, query, pq.Array(sources), keys); err != nil {
			return nil, err
		}
		for _, r := range rows {
			known[r.Source+string(r.Key)] = r
		}
	}
	return known, nil
}

// rememberKeys writes the keys of new units down, under every live key and in the order of the codes: two transactions
// that hold the same ones wait for each other and never in a circle (protocol F10). errLost when one is taken by now.
func (t *tx) rememberKeys(ctx context.Context, fresh []keyed, kept bool) error {
	var rows []rememberedKey
	for _, f := range fresh {
		if f.unit.kept != kept {
			continue
		}
		for n, key := range f.unit.keys {
			rows = append(rows, rememberedKey{f.posting.source, key, f.posting.receipt, f.unit.bodyMAC[n]})
		}
	}
	if len(rows) == 0 {
		return nil
	}
	slices.SortFunc(rows, func(a, b rememberedKey) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), bytes.Compare(a.Key, b.Key))
	})
	var sources, receipts []string
	var keys, bodies pq.ByteaArray
	for _, r := range rows {
		sources, keys = append(sources, r.Source), append(keys, r.Key)
		receipts, bodies = append(receipts, r.Receipt.String()), append(bodies, r.BodyMAC)
	}
	query := insertCurrentKeys
	if kept {
		query = insertKeptKeys
	}
	n, err := t.do(ctx, query, pq.Array(sources), keys, pq.Array(receipts), bodies)
	if err == nil && int(n) != len(rows) {
		return errLost
	}
	return err
}

const (
	selectRefs = `SELECT id, system, object, vendor_mac, state FROM ref
WHERE (system, object, vendor_mac) IN (SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[]))`
	// A ref stands under every live key: once as itself, else as an alias of the same record.
	insertRefs = `WITH r AS (
  INSERT INTO ref (id, system, object, vendor_mac, record, state)
  SELECT id, system, object, mac, record, state
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::uuid[], $6::text[]) AS u (id, system, object, mac, record, state)
  ON CONFLICT DO NOTHING RETURNING record, object, state),
n AS (INSERT INTO record (id, object, epoch) SELECT record, object, (SELECT coalesce(max(n), 1) FROM epoch) FROM r WHERE state = 'active')
SELECT count(*) FROM r`
)

// refAlias is the state of a ref's row under a key that is not the newest.
const refAlias = "alias"

type refRow struct {
	ID     schema.ID `db:"id"`
	System string    `db:"system"`
	Object string    `db:"object"`
	MAC    []byte    `db:"vendor_mac"`
	State  string    `db:"state"`
	record schema.ID
}

// resolveRefs gives every event its ref; an unseen one gets a record of its own (protocol F6).
func (t *tx) resolveRefs(ctx context.Context, events []*sealedEvent) error {
	if len(events) == 0 {
		return nil
	}
	missing, err := t.lookUpRefs(ctx, events)
	if err != nil || len(missing) == 0 {
		return err
	}
	var ids, records, systems, objects, states []string
	var macs pq.ByteaArray
	for _, r := range newRefs(missing) {
		ids, records, states = append(ids, r.ID.String()), append(records, r.record.String()), append(states, r.State)
		systems, objects, macs = append(systems, r.System), append(objects, r.Object), append(macs, r.MAC)
	}
	var n int
	if err := t.get(ctx, &n, insertRefs, pq.Array(ids), pq.Array(systems), pq.Array(objects), macs, pq.Array(records), pq.Array(states)); err != nil {
		return err
	}
	if n != len(ids) {
		return errLost
	}
	if missing, err = t.lookUpRefs(ctx, missing); err != nil {
		return err
	}
	if len(missing) > 0 {
		return errLost
	}
	return nil
}

// newRefs are the rows of refs that nobody has seen, in the order of the codes.
func newRefs(missing []*sealedEvent) []refRow {
	var rows []refRow
	made := map[string]bool{}
	for _, e := range missing {
		if slices.ContainsFunc(e.macs, func(mac []byte) bool { return made[string(mac)] }) {
			continue
		}
		record := schema.NewRandom()
		for i, mac := range e.macs {
			made[string(mac)] = true
			r := refRow{ID: schema.NewRandom(), System: e.System, Object: e.Object, MAC: mac, State: "active", record: record}
			if i > 0 {
				r.State = refAlias
			}
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, func(a, b refRow) int {
		return cmp.Or(cmp.Compare(a.System, b.System), cmp.Compare(a.Object, b.Object), bytes.Compare(a.MAC, b.MAC))
	})
	return rows
}

// lookUpRefs fills in the refs that exist and returns the events that have none.
func (t *tx) lookUpRefs(ctx context.Context, events []*sealedEvent) (missing []*sealedEvent, err error) {
	var systems, objects []string
	var macs pq.ByteaArray
	for _, e := range events {
		for _, mac := range e.macs {
			systems, objects, macs = append(systems, e.System), append(objects, e.Object), append(macs, mac)
		}
	}
	var rows []refRow
	if err := t.list(ctx, &rows, selectRefs, pq.Array(systems), pq.Array(objects), macs); err != nil {
		return nil, err
	}
	byMAC := make(map[string]refRow, len(rows))
	for _, r := range rows {
		byMAC[string(r.MAC)] = r
	}
	for _, e := range events {
		found := false
		for _, mac := range e.macs {
			r, ok := byMAC[string(mac)]
			if ok && (!found || r.State != refAlias) {
				e.ref, found = r.ID, true
			}
		}
		if !found {
			missing = append(missing, e)
		}
	}
	return missing, nil
}

const insertEvents = `WITH e AS (
  INSERT INTO event (id, ref, source, kind, part, source_at, source_seq, lane, received_at, body, dek)
  SELECT u.id, u.ref, u.source, u.kind, u.part, nullif(u.source_at, '-infinity'), nullif(u.source_seq, 0), u.lane, now(), u.body, u.dek
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::smallint[], $6::timestamptz[], $7::bigint[], $8::smallint[], $9::bytea[], $10::bytea[])
      AS u (id, ref, source, kind, part, source_at, source_seq, lane, body, dek)
  RETURNING id, ref, source, lane)
INSERT INTO open_event (event, record, source, system, lane)
SELECT e.id, r.record, e.source, r.system, e.lane FROM e JOIN ref r ON r.id = e.ref ORDER BY e.id`

// insertEvents writes the journal rows and opens the events.
func (t *tx) insertEvents(ctx context.Context, events []*sealedEvent) error {
	if len(events) == 0 {
		return nil
	}
	var ids, refs, sources, kinds, ats []string
	var parts, lanes, seqs []int64
	var bodies, deks pq.ByteaArray
	for _, e := range events {
		ids, refs = append(ids, e.id.String()), append(refs, e.ref.String())
		sources, kinds = append(sources, e.source), append(kinds, string(e.Kind))
		parts, lanes, seqs = append(parts, int64(e.Part)), append(lanes, int64(e.Lane)), append(seqs, int64(min(e.Sequence, math.MaxInt64)))
		ats = append(ats, timestamp(e.SourceAt))
		bodies, deks = append(bodies, e.sealed), append(deks, e.dek)
	}
	n, err := t.do(ctx, insertEvents, pq.Array(ids), pq.Array(refs), pq.Array(sources), pq.Array(kinds), pq.Array(parts),
		pq.Array(ats), pq.Array(seqs), pq.Array(lanes), bodies, deks)
	if err != nil {
		return err
	}
	if int(n) != len(events) {
		return errLost
	}
	return nil
}

func timestamp(at time.Time) string {
	if at.IsZero() {
		return "-infinity"
	}
	return at.UTC().Format(time.RFC3339Nano)
}

const (
	insertRefused = `INSERT INTO dead_letter (id, kind, source, object, reason, field, rule, masked, owner, body_mac, body, dek)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING RETURNING n`
	selectRefused = `SELECT n FROM dead_letter WHERE source = $1 AND kind = $2 AND body_mac = ANY($3) ORDER BY n LIMIT 1`
)

// Refuse keeps a payload that was not taken, sealed, and returns the number of its dead letter. A body that was refused
// before has the number that it got then (ruling 1).
func (s *Store) Refuse(ctx context.Context, r schema.Refused) (n int64, err error) {
	id := schema.NewRandom()
	sealed, dek, err := s.sealer.Seal(r.Body, placeOf("dead_letter", "body", id))
	if err != nil {
		return 0, err
	}
	kind := "refused"
	if r.Quarantined {
		kind = "quarantined"
	}
	macs := s.index.All(purposeBody, r.Body)
	err = s.within(ctx, func(t *tx) error {
		err := t.get(ctx, &n, selectRefused, r.Source, kind, pq.ByteaArray(macs))
		if errors.Is(err, sql.ErrNoRows) {
			err = t.get(ctx, &n, insertRefused, id.String(), kind, r.Source, r.Object, string(r.Refusal.Reason), r.Refusal.Field, r.Refusal.Rule,
				r.Refusal.Masked, r.Owner, macs[0], sealed, dek)
		}
		if errors.Is(err, sql.ErrNoRows) {
			// Somebody was faster; a statement of its own sees what he wrote.
			err = t.get(ctx, &n, selectRefused, r.Source, kind, pq.ByteaArray(macs))
		}
		if err != nil {
			return err
		}
		return t.count(ctx, map[tallyKey]int64{{r.Source, "refused"}: 1})
	})
	return n, err
}
