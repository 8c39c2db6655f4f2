package protocol

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"lockstep/connectors"
	"lockstep/schema"
)

// Vendor is a system in memory: records with fields, times in milliseconds, and a webhook for every change, whoever
// made it. It is safe for concurrent use.
type Vendor struct {
	Name string
	// Emit sends the event of a change; it is called without any lock.
	Emit func(v *Vendor, change schema.Change)
	// Bulk is how many records a call holds.
	Bulk int
	// Full makes its events tell the whole record, as Genesys does; otherwise they tell what changed.
	Full bool
	// TellTime makes its answers tell the time of a write.
	TellTime bool

	mu      sync.Mutex
	records map[string]*vendorRecord
	next    int
	lastAt  int64
	inUse   map[string]int
	faults  Faults
	down    bool

	// Overlaps counts calls that touched a record while another did, Calls and Items what was asked, Doubled records of one
	// canonical id.
	Overlaps, Calls, Items int
}

// Faults are the probabilities of what goes wrong.
type Faults struct {
	// LoseBefore and LoseAfter end a call without an answer, before or after it was applied.
	LoseBefore, LoseAfter float64
	// Busy refuses single items for now, as being saved by somebody or as changed since.
	Busy float64
	// Seed makes it repeatable as far as scheduling allows.
	Rand *rand.Rand
}

type vendorRecord struct {
	id     string
	fields map[string]string
	at     int64
	gone   bool
}

// NewVendor returns an empty system.
func NewVendor(name string, bulk int, full, tellTime bool, faults Faults) *Vendor {
	return &Vendor{Name: name, Bulk: bulk, Full: full, TellTime: tellTime, records: map[string]*vendorRecord{}, inUse: map[string]int{}, faults: faults}
}

// Batch is the bulk size of every operation.
func (v *Vendor) Batch(schema.Op) int { return v.Bulk }

// CallsPerClaim is 2.
func (v *Vendor) CallsPerClaim() int { return 2 }

// Down stops answering, or answers again.
func (v *Vendor) Down(down bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.down = down
}

// Human creates or changes a record as a person in the system would, and returns its id and the time of the change. An empty
// id creates.
func (v *Vendor) Human(id string, fields map[string]string) (string, int64) {
	v.mu.Lock()
	id, change := v.set(id, fields, false)
	at := v.lastAt
	v.mu.Unlock()
	if change != nil {
		v.Emit(v, *change)
	}
	return id, at
}

// Delete takes a record away, as a person in the system would, and tells nobody.
func (v *Vendor) Delete(id string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.records[id].gone = true
}

// set changes a record under the lock and returns the event that tells of it; nil when nothing changed.
func (v *Vendor) set(id string, fields map[string]string, ours bool) (string, *schema.Change) {
	r := v.records[id]
	created := r == nil
	if created {
		v.next++
		id = fmt.Sprintf("%s%04d", v.Name[:1], v.next)
		r = &vendorRecord{id: id, fields: map[string]string{}}
		v.records[id] = r
	}
	old, changed := schema.Fields{}, schema.Fields{}
	for k, value := range fields {
		if r.fields[k] == value {
			continue
		}
		old[k], changed[k] = orNil(r.fields[k]), orNil(value)
		r.fields[k] = value
	}
	if len(changed) == 0 && !created {
		return id, nil
	}
	// Unique times, so that the oracle knows who was last.
	v.lastAt = max(v.lastAt+1, time.Now().UnixMilli())
	r.at = v.lastAt
	change := &schema.Change{Object: "Person", Ref: id, Kind: schema.EventChange, At: time.UnixMilli(r.at).UTC(), Fields: changed, Old: old, Ours: ours && !v.Full}
	if v.Full || created {
		change.Kind, change.Old, change.Fields = schema.EventFull, nil, r.all()
	}
	return id, change
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func (r *vendorRecord) all() schema.Fields {
	out := schema.Fields{}
	for k, value := range r.fields {
		out[k] = orNil(value)
	}
	return out
}

// State returns every live record by its canonical id, and how many carry none.
func (v *Vendor) State(key string) (byCanonical map[string]map[string]string, without, doubled int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	byCanonical = map[string]map[string]string{}
	for _, r := range v.records {
		id := r.fields[key]
		switch {
		case r.gone:
		case id == "":
			without++
		case byCanonical[id] != nil:
			doubled++
		default:
			byCanonical[id] = maps.Clone(r.fields)
		}
	}
	return byCanonical, without, doubled
}

// begin notes that a call is under way for records, and says how it will go wrong.
func (v *Vendor) begin(ids []string) (loseBefore, loseAfter, down bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.Calls++
	v.Items += len(ids)
	for _, id := range ids {
		v.inUse[id]++
		if v.inUse[id] > 1 {
			v.Overlaps++
		}
	}
	return v.faults.Rand.Float64() < v.faults.LoseBefore, v.faults.Rand.Float64() < v.faults.LoseAfter, v.down
}

func (v *Vendor) end(ids []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, id := range ids {
		v.inUse[id]--
	}
}

// call runs the shape that all operations share.
func (v *Vendor) call(ctx context.Context, ids []string, effect bool, do func()) error {
	before, lost, down := v.begin(ids)
	defer v.end(ids)
	if down {
		return &connectors.Error{System: v.Name, Kind: schema.Unavailable, Status: 503}
	}
	if ctx.Err() != nil {
		return &connectors.Error{System: v.Name, Kind: schema.Unavailable}
	}
	kind := schema.UnknownOutcome
	if !effect {
		kind = schema.Unavailable
	}
	if before {
		return &connectors.Error{System: v.Name, Kind: kind}
	}
	do()
	if lost {
		return &connectors.Error{System: v.Name, Kind: kind}
	}
	return nil
}

func (v *Vendor) busy() bool { return v.faults.Rand.Float64() < v.faults.Busy }

// Read reads by id.
func (v *Vendor) Read(ctx context.Context, o connectors.Object, ids []string) ([]connectors.Answer, error) {
	answers := make([]connectors.Answer, len(ids))
	err := v.call(ctx, nil, false, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		for i, id := range ids {
			r := v.records[id]
			if r == nil || r.gone {
				answers[i].Err = &connectors.Error{System: v.Name, Kind: schema.NotFound, Status: 404}
				continue
			}
			record := v.record(o, r)
			answers[i] = connectors.Answer{ID: id, Record: &record}
		}
	})
	return answers, err
}

func (v *Vendor) record(o connectors.Object, r *vendorRecord) connectors.Record {
	out := connectors.Record{ID: r.id, Fields: schema.Fields{}, ModifiedAt: time.UnixMilli(r.at).UTC()}
	for _, f := range o.Fields {
		out.Fields[f] = orNil(r.fields[f])
	}
	return out
}

// Find returns every record that carries any of the keys.
func (v *Vendor) Find(ctx context.Context, o connectors.Object, lookups [][]connectors.MatchKey) ([]connectors.Found, error) {
	found := make([]connectors.Found, len(lookups))
	err := v.call(ctx, nil, false, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		for i, keys := range lookups {
			for _, r := range v.records {
				if !r.gone && carries(r, keys) {
					found[i].Records = append(found[i].Records, v.record(o, r))
				}
			}
		}
	})
	return found, err
}

func carries(r *vendorRecord, keys []connectors.MatchKey) bool {
	for _, k := range keys {
		if r.fields[k.Field] == k.Value.Reveal() {
			return true
		}
	}
	return false
}

// Write updates by id and never creates.
func (v *Vendor) Write(ctx context.Context, _ connectors.Object, changes []connectors.Change) ([]connectors.Answer, error) {
	return v.write(ctx, changes, func(c connectors.Change) string { return c.ID })
}

// Link updates by id and never creates.
func (v *Vendor) Link(ctx context.Context, o connectors.Object, changes []connectors.Change) ([]connectors.Answer, error) {
	return v.Write(ctx, o, changes)
}

// Create finds the record of the canonical id or makes it.
func (v *Vendor) Create(ctx context.Context, o connectors.Object, changes []connectors.Change) ([]connectors.Answer, error) {
	return v.write(ctx, changes, func(c connectors.Change) string {
		for _, r := range v.records {
			if r.fields[o.Key] == c.Canonical.String() {
				return r.id
			}
		}
		return "new"
	})
}

// write applies changes to the records that pick names: an id, or "new".
func (v *Vendor) write(ctx context.Context, changes []connectors.Change, pick func(connectors.Change) string) ([]connectors.Answer, error) {
	answers := make([]connectors.Answer, len(changes))
	keys := make([]string, len(changes))
	for i, c := range changes {
		keys[i] = c.Canonical.String()
	}
	var events []schema.Change
	err := v.call(ctx, keys, true, func() {
		time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
		v.mu.Lock()
		defer v.mu.Unlock()
		for i, c := range changes {
			id := pick(c)
			r := v.records[id]
			switch {
			case v.busy():
				kinds := []schema.Kind{schema.Contention, schema.Conflict}
				answers[i].Err = &connectors.Error{System: v.Name, Kind: kinds[v.faults.Rand.IntN(len(kinds))]}
				continue
			case id != "new" && (r == nil || r.gone):
				answers[i].Err = &connectors.Error{System: v.Name, Kind: schema.NotFound, Status: 404}
				continue
			}
			fields := map[string]string{}
			for k, value := range c.Fields {
				fields[k], _ = value.(string)
			}
			id, change := v.set(id, fields, true)
			if change != nil {
				events = append(events, *change)
			}
			answers[i] = connectors.Answer{ID: id}
			if v.TellTime {
				answers[i].ModifiedAt = time.UnixMilli(v.records[id].at).UTC()
			}
		}
	})
	for _, e := range events {
		v.Emit(v, e)
	}
	return answers, err
}

// Envelope reads what Emit sent: a change as JSON.
type Envelope struct{}

// Split returns the body as its only event.
func (Envelope) Split(body []byte) ([]json.RawMessage, error) { return []json.RawMessage{body}, nil }

// Parse reads the change.
func (Envelope) Parse(raw json.RawMessage) ([]schema.Change, error) {
	var c schema.Change
	if json.Unmarshal(raw, &c) != nil {
		return nil, &schema.Refusal{Reason: schema.ReasonMalformedJSON}
	}
	return []schema.Change{c}, nil
}

// FindBy returns the id of a live record whose field has a value, "" when there is none.
func (v *Vendor) FindBy(field, value string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	for id, r := range v.records {
		if !r.gone && r.fields[field] == value {
			return id
		}
	}
	return ""
}
