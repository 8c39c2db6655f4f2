package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/lib/pq"

	"lockstep/internal/secrets"
	"lockstep/schema"
)

// maxDecided bounds the events of one transaction.
const maxDecided = 400

const selectNewRecords = `SELECT r.id, r.object, r.rev, r.identified, r.state, r.dek, r.merged_into, r.wants_join, r.epoch FROM record r
WHERE r.id IN (SELECT DISTINCT record FROM (
  SELECT record FROM open_event WHERE state = 'new' AND lane = $1 AND seq >= $2 ORDER BY seq LIMIT $3) q)
ORDER BY r.id FOR UPDATE SKIP LOCKED`

const selectOneRecord = `SELECT r.id, r.object, r.rev, r.identified, r.state, r.dek, r.merged_into, r.wants_join, r.epoch FROM record r
WHERE r.id = $1 FOR UPDATE`

type recordRow struct {
	ID         schema.ID     `db:"id"`
	Object     string        `db:"object"`
	Rev        int64         `db:"rev"`
	Identified bool          `db:"identified"`
	State      []byte        `db:"state"`
	DEK        []byte        `db:"dek"`
	MergedInto uuidOrNull    `db:"merged_into"`
	WantsJoin  uuidOrNull    `db:"wants_join"`
	Epoch      sql.NullInt64 `db:"epoch"`
}

// Decide locks some records with new events, has them decided and writes the decisions down, in one transaction. It
// returns schema.ErrOtherBundle while this process does not hold the active bundle. Safe to repeat.
func (s *Store) Decide(ctx context.Context, q schema.DecideQuery, decide schema.Decider) (schema.Decided, error) {
	var done schema.Decided
	err := s.within(ctx, func(t *tx) error {
		done = schema.Decided{}
		if err := t.holdBundle(ctx); err != nil {
			return err
		}
		rows, err := t.lockRecords(ctx, q)
		if err != nil {
			return err
		}
		rows, err = t.followMerged(ctx, rows)
		if err != nil || len(rows) == 0 {
			return err
		}
		records, low, err := t.loadOpen(ctx, rows)
		if err != nil {
			return err
		}
		resolutions, err := decide(ctx, records, t.look)
		if err != nil {
			return err
		}
		done.Records, done.Low = len(records), low
		for _, r := range records {
			done.Events += len(r.Events)
		}
		done.Ready, err = t.writeDecisions(ctx, records, resolutions)
		return err
	})
	if err == nil && done.Ready {
		s.Wake(schema.TopicClaim)
	}
	return done, err
}

func (t *tx) lockRecords(ctx context.Context, q schema.DecideQuery) (rows []recordRow, err error) {
	if q.Only != (schema.ID{}) {
		err = t.list(ctx, &rows, selectOneRecord, q.Only.String())
	} else {
		err = t.list(ctx, &rows, selectNewRecords, int64(q.Lane), q.Low, int64(maxDecided))
	}
	return rows, err
}

// CountTry counts one more try of deciding the oldest undecided record of a lane up to a sequence, in a transaction of its own: if deciding
// it kills the process, the count stands (protocol F18). The zero id means that there is none.
func (s *Store) CountTry(ctx context.Context, lane schema.Lane, until int64) (record schema.ID, err error) {
	err = s.within(ctx, func(t *tx) error {
		var id uuidOrNull
		err := t.get(ctx, &id, `SELECT r.id FROM record r WHERE r.id = (
  SELECT record FROM open_event WHERE state = 'new' AND lane = $1 AND seq <= $2 ORDER BY seq LIMIT 1) FOR UPDATE SKIP LOCKED`, int64(lane), until)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		record = id.ID
		_, err = t.do(ctx, `UPDATE open_event SET tries = tries + 1 WHERE record = $1 AND state = 'new'`, record.String())
		return err
	})
	return record, err
}

// holdBundle refuses to go on under another bundle than the active one, and keeps it active until the commit.
func (t *tx) holdBundle(ctx context.Context) error {
	var digest string
	err := t.get(ctx, &digest, `SELECT digest FROM active_bundle FOR SHARE`)
	if err == nil && digest != t.store.digest {
		return schema.ErrOtherBundle
	}
	return err
}

// followMerged sends the events of records that became part of another to that one; they are decided in the next round
// (protocol F6).
func (t *tx) followMerged(ctx context.Context, rows []recordRow) ([]recordRow, error) {
	var merged []string
	rest := rows[:0]
	for _, r := range rows {
		if r.MergedInto.Valid {
			merged = append(merged, r.ID.String())
			continue
		}
		rest = append(rest, r)
	}
	if len(merged) == 0 {
		return rest, nil
	}
	_, err := t.do(ctx, `UPDATE open_event o SET record = r.merged_into FROM record r
WHERE r.id = ANY($1::uuid[]) AND o.record = r.id`, pq.Array(merged))
	return rest, err
}

const (
	// Who somebody is may be clear now that more is known of them: what waits for that is decided again beside what is new.
	// Record by record, the one that waits longest first; of one with too many events our own reads come first, since others
	// wait for them.
	selectOpenEvents = `SELECT o.event, o.record, o.source, o.system, o.lane, o.seq, o.tries, o.reads, o.round, o.of_record,
  e.kind, e.part, e.body, e.dek, e.received_at
FROM (SELECT o.*, min(o.seq) OVER w AS first, count(*) OVER w AS of_record FROM open_event o WHERE o.record = ANY($1::uuid[])
    AND (o.state = 'new' OR o.state = 'held' AND o.reason IN ('ambiguous_match', 'key_taken'))
    WINDOW w AS (PARTITION BY o.record) ORDER BY first, o.record, o.source <> $3, o.seq LIMIT $2) o
JOIN event e ON e.id = o.event ORDER BY o.seq`
	selectDeliveries = `SELECT d.record, d.system, d.state, d.op, d.desired_rev, coalesce(d.owed_from, 0) AS owed_from, coalesce(d.reason, '') AS reason,
  d.verified_epoch FROM delivery d WHERE d.record = ANY($1::uuid[])`
)

type openEventRow struct {
	Event      schema.ID `db:"event"`
	Record     schema.ID `db:"record"`
	Source     string    `db:"source"`
	System     string    `db:"system"`
	Lane       int16     `db:"lane"`
	Seq        int64     `db:"seq"`
	Tries      int       `db:"tries"`
	Reads      int       `db:"reads"`
	Round      int       `db:"round"`
	OfRecord   int       `db:"of_record"`
	Kind       string    `db:"kind"`
	Part       int       `db:"part"`
	Body       []byte    `db:"body"`
	DEK        []byte    `db:"dek"`
	ReceivedAt time.Time `db:"received_at"`
}

type deliveryRow struct {
	Record        schema.ID `db:"record"`
	System        string    `db:"system"`
	State         string    `db:"state"`
	Op            string    `db:"op"`
	DesiredRev    int64     `db:"desired_rev"`
	OwedFrom      int64     `db:"owed_from"`
	Reason        string    `db:"reason"`
	VerifiedEpoch int64     `db:"verified_epoch"`
}

// loadOpen reads what has to be decided about the locked records and opens it.
func (t *tx) loadOpen(ctx context.Context, rows []recordRow) (records []*schema.OpenRecord, low int64, err error) {
	var events []openEventRow
	if err := t.list(ctx, &events, selectOpenEvents, pq.Array(idsOf(rows)), int64(maxDecided), schema.OwnSource); err != nil {
		return nil, 0, err
	}
	rows, events = wholeRecords(rows, events)
	var deliveries []deliveryRow
	if err := t.list(ctx, &deliveries, selectDeliveries, pq.Array(idsOf(rows))); err != nil {
		return nil, 0, err
	}
	var epoch int64
	if err := t.get(ctx, &epoch, `SELECT max(n) FROM epoch`); err != nil {
		return nil, 0, err
	}
	byID := make(map[schema.ID]*schema.OpenRecord, len(rows))
	for _, r := range rows {
		state, err := t.store.openState(r.ID, r.State, r.DEK)
		damaged := errors.Is(err, secrets.ErrOpen)
		switch {
		case damaged:
			state = &schema.State{}
		case err != nil:
			return nil, 0, err
		}
		byID[r.ID] = &schema.OpenRecord{
			ID: r.ID, Object: r.Object, Rev: r.Rev, Identified: r.Identified, State: state, WantsJoin: r.WantsJoin.ID, Damaged: damaged,
			Deliveries: map[string]schema.Delivered{}, Verify: map[string]bool{},
			Again: func() (*schema.State, error) { return t.store.openState(r.ID, r.State, r.DEK) },
		}
		for system := range state.Systems {
			byID[r.ID].Verify[system] = r.Epoch.Int64 < epoch
		}
	}
	for _, d := range deliveries {
		byID[d.Record].Deliveries[d.System] = schema.Delivered{
			State: schema.DeliveryState(d.State), Op: schema.Op(d.Op), DesiredRev: d.DesiredRev, OwedFrom: d.OwedFrom, Reason: schema.Reason(d.Reason),
		}
		byID[d.Record].Verify[d.System] = d.VerifiedEpoch < epoch
	}
	for _, e := range events {
		body, err := t.store.sealer.Open(e.Body, e.DEK, placeOf("event", "body", e.Event))
		if err != nil && !errors.Is(err, secrets.ErrOpen) {
			return nil, 0, err
		}
		if low == 0 || e.Seq < low {
			low = e.Seq
		}
		r := byID[e.Record]
		r.Events = append(r.Events, schema.OpenEvent{
			ID: e.Event, Source: e.Source, System: e.System, Kind: schema.EventKind(e.Kind), Part: e.Part, Lane: schema.Lane(e.Lane),
			Body: body, ReceivedAt: e.ReceivedAt, Tries: e.Tries, Reads: e.Reads, Round: e.Round, Damaged: err != nil,
		})
	}
	for _, id := range slices.SortedFunc(maps.Keys(byID), compareIDs) {
		if r := byID[id]; len(r.Events) > 0 || r.WantsJoin != (schema.ID{}) {
			records = append(records, r)
		}
	}
	return records, low, nil
}

// wholeRecords leaves the records out whose events were cut off by the bound: a record is decided from all that is new of
// it. The only one is decided from what the bound lets through.
func wholeRecords(rows []recordRow, events []openEventRow) ([]recordRow, []openEventRow) {
	if len(rows) == 1 {
		return rows, events
	}
	loaded, of := map[schema.ID]int{}, map[schema.ID]int{}
	for _, e := range events {
		loaded[e.Record]++
		of[e.Record] = e.OfRecord
	}
	cut := func(record schema.ID) bool {
		return loaded[record] == 0 || loaded[record] < of[record] && len(loaded) > 1
	}
	return slices.DeleteFunc(rows, func(r recordRow) bool { return cut(r.ID) }), slices.DeleteFunc(events, func(e openEventRow) bool { return cut(e.Record) })
}

func compareIDs(a, b schema.ID) int { return bytes.Compare(a[:], b[:]) }

// keyCode is a match key of a record as the index knows it.
type keyCode struct {
	record   schema.ID
	position int
	key      schema.Key
	macs     [][]byte
}

const normVersion = 1

func (s *Store) keyCodes(object string, record schema.ID, keys []schema.Key) []keyCode {
	codes := make([]keyCode, len(keys))
	for i, k := range keys {
		codes[i] = keyCode{record, i, k, s.index.All(purposeIdentity, []byte(object), []byte(k.Kind), []byte(k.Issuer), []byte(k.Value.Reveal()))}
	}
	return codes
}

const (
	lockSharedKeys = `SELECT pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) AS u (k) ORDER BY k`
	selectSharing  = `SELECT DISTINCT i.kind, i.issuer, i.mac, i.record FROM identity_key i JOIN unnest($1::text[], $2::text[], $3::bytea[]) AS u (kind, issuer, mac)
ON i.kind = u.kind AND i.issuer = u.issuer AND i.mac = u.mac WHERE i.norm = $4`
	selectHeld      = `SELECT kind, issuer, mac, record FROM identity_key WHERE record = ANY($1::uuid[]) AND norm = $2`
	selectCanonical = `SELECT id, coalesce(merged_into, id) AS survivor FROM record WHERE id = ANY($1::uuid[]) AND object = ANY($2::text[])`
)

type heldKey struct {
	Kind   string    `db:"kind"`
	Issuer string    `db:"issuer"`
	MAC    []byte    `db:"mac"`
	Record schema.ID `db:"record"`
}

// look finds the records that share keys with the asked ones. Keys that do not reserve are locked until the commit, so
// that two new customers with one phone number do not both find nobody.
func (t *tx) look(ctx context.Context, asked []schema.Asked) (map[schema.ID][]schema.Candidate, error) {
	var codes []keyCode
	for _, a := range asked {
		codes = append(codes, t.store.keyCodes(a.Object, a.Record, a.Keys)...)
	}
	found, err := t.canonicalCandidates(ctx, asked)
	if err != nil {
		return nil, err
	}
	if len(codes) == 0 {
		return found, t.addLive(ctx, found)
	}
	if err := t.lockShared(ctx, codes); err != nil {
		return nil, err
	}
	var kinds, issuers []string
	var macs pq.ByteaArray
	for _, c := range codes {
		for _, mac := range c.macs {
			kinds, issuers, macs = append(kinds, c.key.Kind), append(issuers, c.key.Issuer), append(macs, mac)
		}
	}
	var sharing []heldKey
	if err := t.list(ctx, &sharing, selectSharing, pq.Array(kinds), pq.Array(issuers), macs, int64(normVersion)); err != nil {
		return nil, err
	}
	if len(sharing) == 0 {
		return found, t.addLive(ctx, found)
	}
	var others []string
	for _, h := range sharing {
		others = append(others, h.Record.String())
	}
	var held []heldKey
	if err := t.list(ctx, &held, selectHeld, pq.Array(others), int64(normVersion)); err != nil {
		return nil, err
	}
	for _, a := range asked {
		if len(found[a.Record]) == 0 {
			found[a.Record] = candidates(a.Record, codes, held)
		}
	}
	return found, t.addLive(ctx, found)
}

// addLive says of every candidate which systems have it.
func (t *tx) addLive(ctx context.Context, found map[schema.ID][]schema.Candidate) error {
	var ids []string
	for _, cs := range found {
		for _, c := range cs {
			ids = append(ids, c.Record.String())
		}
	}
	if len(ids) == 0 {
		return nil
	}
	var rows []struct {
		Record schema.ID `db:"record"`
		System string    `db:"system"`
	}
	if err := t.list(ctx, &rows, `SELECT record, system FROM ref WHERE record = ANY($1::uuid[]) AND state = 'active' ORDER BY system`, pq.Array(ids)); err != nil {
		return err
	}
	for _, cs := range found {
		for i := range cs {
			for _, r := range rows {
				if r.Record == cs[i].Record {
					cs[i].Live = append(cs[i].Live, r.System)
				}
			}
		}
	}
	return nil
}

// canonicalCandidates finds the records whose id a system holds for an asked one. Such an id outranks every key.
func (t *tx) canonicalCandidates(ctx context.Context, asked []schema.Asked) (map[schema.ID][]schema.Candidate, error) {
	found := map[schema.ID][]schema.Candidate{}
	var ids, objects []string
	for _, a := range asked {
		for _, id := range a.Canonical {
			ids, objects = append(ids, id.String()), append(objects, a.Object)
		}
	}
	if len(ids) == 0 {
		return found, nil
	}
	var rows []struct {
		ID       schema.ID `db:"id"`
		Survivor schema.ID `db:"survivor"`
	}
	if err := t.list(ctx, &rows, selectCanonical, pq.Array(ids), pq.Array(objects)); err != nil {
		return nil, err
	}
	for _, a := range asked {
		for _, r := range rows {
			if slices.Contains(a.Canonical, r.ID) && r.Survivor != a.Record {
				found[a.Record] = append(found[a.Record], schema.Candidate{Record: r.Survivor, Shares: -1})
			}
		}
	}
	return found, nil
}

func (t *tx) lockShared(ctx context.Context, codes []keyCode) error {
	var locks []int64
	for _, c := range codes {
		if !c.key.Reserves {
			var n int64
			for _, b := range c.macs[len(c.macs)-1][:8] {
				n = n<<8 | int64(b)
			}
			locks = append(locks, n)
		}
	}
	if len(locks) == 0 {
		return nil
	}
	slices.Sort(locks)
	_, err := t.do(ctx, lockSharedKeys, pq.Array(slices.Compact(locks)))
	return err
}

// candidates says, for each other record that holds one of a record's keys, which is the strongest and whether a
// stronger one says otherwise.
func candidates(record schema.ID, codes []keyCode, held []heldKey) []schema.Candidate {
	byRecord := map[schema.ID][]heldKey{}
	for _, h := range held {
		if h.Record != record {
			byRecord[h.Record] = append(byRecord[h.Record], h)
		}
	}
	var out []schema.Candidate
	for _, other := range slices.SortedFunc(maps.Keys(byRecord), compareIDs) {
		c := schema.Candidate{Record: other, Shares: -1}
		for _, mine := range codes {
			if mine.record != record || c.Shares >= 0 {
				continue
			}
			same, says := holds(byRecord[other], mine)
			switch {
			case same:
				c.Shares = mine.position
			case says:
				c.Contradicts = true
			}
		}
		if c.Shares >= 0 {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b schema.Candidate) int { return cmp.Compare(a.Shares, b.Shares) })
	return out
}

// holds reports whether a record has the same key, and whether it has any key of that kind.
func holds(held []heldKey, mine keyCode) (same, says bool) {
	for _, h := range held {
		if h.Kind != mine.key.Kind || h.Issuer != mine.key.Issuer {
			continue
		}
		says = true
		if slices.ContainsFunc(mine.macs, func(mac []byte) bool { return bytes.Equal(mac, h.MAC) }) {
			return true, true
		}
	}
	return false, says
}
