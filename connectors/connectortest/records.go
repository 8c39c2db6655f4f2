package connectortest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"lockstep/connectors"
	"lockstep/connectors/simulator"
	"lockstep/schema"
)

// fits returns how many leading changes one call holds, as the protocol engine asks for it.
func (b *bench) fits(op schema.Op, changes []connectors.Change) int {
	if s, ok := b.Connector.(connectors.Splitter); ok && op != schema.OpRead {
		return s.Fits(op, b.h.Object, changes)
	}
	return min(len(changes), b.Batch(op))
}

// all runs an operation on any number of changes, call by call, one request each.
func (b *bench) all(op schema.Op, changes []connectors.Change) []connectors.Answer {
	b.t.Helper()
	answers := []connectors.Answer{}
	for len(changes) > 0 {
		n := b.fits(op, changes)
		if n < 1 || n > b.Batch(op) {
			b.t.Fatalf("%d changes fit in a call of at most %d", n, b.Batch(op))
		}
		b.one(func() { answers = append(answers, b.call(b.ctx(), op, changes[:n])...) })
		changes = changes[n:]
	}
	return answers
}

// testCreateTwice: the second creation finds the first (D14, F13).
func testCreateTwice(t *testing.T, h Harness) {
	b := open(t, h)
	b.warm()
	changes := []connectors.Change{}
	for n := range 13 {
		changes = append(changes, b.person(n))
	}
	first := b.all(schema.OpCreate, changes)
	second := b.all(schema.OpCreate, changes)
	for i := range changes {
		if first[i].Err != nil || second[i].Err != nil {
			t.Fatalf("%v, %v", first[i].Err, second[i].Err)
		}
		if !first[i].Created || second[i].Created || first[i].ID == "" || first[i].ID != second[i].ID {
			t.Errorf("created %t %t, ids %s and %s", first[i].Created, second[i].Created, first[i].ID, second[i].ID)
		}
		b.holds(first[i].ID, keyed(h, changes[i]))
	}
	if n := b.Count(); n != len(changes) {
		t.Errorf("there are %d records, want %d", n, len(changes))
	}
}

// testNoResurrection: a write never makes a record, whatever it writes (D13, F15).
func testNoResurrection(t *testing.T, h Harness) {
	b := open(t, h)
	b.warm()
	for i, fields := range []schema.Fields{{h.Text: "again"}, {h.Text: "again", h.Clear: nil}, h.Person(30)} {
		for _, op := range []schema.Op{schema.OpWrite, schema.OpLink} {
			c := b.planted(i)
			b.Remove(c.ID)
			records, before := b.Count(), b.effects()
			c.Fields = fields
			b.one(func() {
				if e := b.call(b.ctx(), op, []connectors.Change{c})[0].Err; e == nil || e.Kind != schema.NotFound {
					t.Errorf("%s of a deleted record: %v, want NotFound", op, e)
				}
			})
			if b.Count() != records || b.effects() != before {
				t.Errorf("%s of a deleted record made something", op)
			}
		}
	}
}

// testUnknownRecord: nor for an id that no record ever had.
func testUnknownRecord(t *testing.T, h Harness) {
	b := open(t, h)
	b.warm()
	for _, fields := range []schema.Fields{{h.Text: "x"}, {h.Text: "x", h.Clear: nil}} {
		for _, op := range []schema.Op{schema.OpWrite, schema.OpLink} {
			c := connectors.Change{ID: h.Missing, Canonical: schema.NewRandom(), Fields: fields}
			b.one(func() {
				if e := b.call(b.ctx(), op, []connectors.Change{c})[0].Err; e == nil || e.Kind != schema.NotFound {
					t.Errorf("%s of an unknown record: %v, want NotFound", op, e)
				}
			})
		}
	}
	if b.Count() != 0 || b.effects() != 0 {
		t.Error("a write made something")
	}
}

// testWrite: a write changes what it names and nothing else, and empties what it names as empty (ruling 8).
func testWrite(t *testing.T, h Harness) {
	b := open(t, h)
	b.warm()
	c, other := b.planted(1), b.planted(2)
	want := keyed(h, c)
	for _, fields := range []schema.Fields{
		{h.Text: "first"}, {h.Email: "new.one@example.net"}, {h.Phone: "+442079460958"}, {h.Clear: nil}, {h.Text: "second", h.Clear: nil},
		{h.Clear: c.Fields[h.Clear]}, {h.Text: "Zoë Ñandú 😀 <b> & \"quoted\""}, {h.Key(): c.Canonical.String(), h.Text: "with key"},
	} {
		b.one(func() {
			a := b.call(b.ctx(), schema.OpWrite, []connectors.Change{{ID: c.ID, Canonical: c.Canonical, Fields: fields}})[0]
			if a.Err != nil || a.ID != c.ID || a.Created {
				t.Errorf("%v: id %s, created %t, %v", fields, a.ID, a.Created, a.Err)
			}
			if a.Record != nil && a.Record.ID != c.ID {
				t.Errorf("the answer shows another record")
			}
		})
		maps.Copy(want, fields)
		b.holds(c.ID, want)
	}
	b.holds(other.ID, keyed(h, other))
}

// Key is the object's key field.
func (h Harness) Key() string { return h.Object.Key }

// testLink: a link stamps our id on a person's record, once (ADR 0003).
func testLink(t *testing.T, h Harness) {
	b := open(t, h)
	b.warm()
	c := b.person(3)
	c.ID = b.Put(c.Fields)
	want := keyed(h, c)
	c.Fields = schema.Fields{h.Text: "linked", h.Key(): c.Canonical.String()}
	want[h.Text] = "linked"
	for range 2 {
		b.one(func() {
			if a := b.call(b.ctx(), schema.OpLink, []connectors.Change{c})[0]; a.Err != nil || a.ID != c.ID || a.Created {
				t.Fatalf("id %s, created %t, %v", a.ID, a.Created, a.Err)
			}
		})
		b.holds(c.ID, want)
	}
	found, err := b.Find(b.ctx(), h.Object, [][]connectors.MatchKey{{b.canonicalKey(c)}})
	if err != nil || len(found) != 1 || len(found[0].Records) != 1 || found[0].Records[0].ID != c.ID {
		t.Errorf("the linked record is not found by our id: %v, %v", found, err)
	}
	// From now on it is written like one that we created.
	c.Fields = schema.Fields{h.Text: "written"}
	if a := b.call(b.ctx(), schema.OpWrite, []connectors.Change{c})[0]; a.Err != nil {
		t.Errorf("write after link: %v", a.Err)
	}
	want[h.Text] = "written"
	b.holds(c.ID, want)
	if n := b.Count(); n != 1 {
		t.Errorf("there are %d records, want 1", n)
	}
}

// testRead: records come in the order asked, each with the values of the governed fields, and what is missing is said.
func testRead(t *testing.T, h Harness) {
	b := open(t, h)
	b.warm()
	asked := []connectors.Change{}
	for n := range 7 {
		asked = append(asked, b.planted(n))
	}
	gone := b.planted(8)
	b.Remove(gone.ID)
	asked = append(asked, gone, connectors.Change{ID: h.Missing})
	rand.Shuffle(len(asked), func(i, j int) { asked[i], asked[j] = asked[j], asked[i] })
	for i, a := range b.all(schema.OpRead, asked) {
		c := asked[i]
		if c.ID == h.Missing || c.ID == gone.ID {
			if a.Err == nil || a.Err.Kind != schema.NotFound {
				t.Errorf("a missing record: %v, want NotFound", a.Err)
			}
			continue
		}
		if a.Err != nil || a.Record == nil || a.Record.ID != c.ID || a.ID != c.ID {
			t.Fatalf("record %d: %+v, %v", i, a, a.Err)
		}
		if a.Record.ModifiedAt.IsZero() || len(a.Record.Fields) != len(h.Object.Fields) {
			t.Errorf("record %d: modified %v, %d fields", i, a.Record.ModifiedAt, len(a.Record.Fields))
		}
		for field, value := range keyed(h, c) {
			if fmt.Sprint(a.Record.Fields[field]) != fmt.Sprint(value) {
				t.Errorf("field %s reads %v, want %v", field, a.Record.Fields[field], value)
			}
		}
	}
	// An empty field is known to be empty.
	c := asked[0]
	for _, c = range asked {
		if c.ID != h.Missing && c.ID != gone.ID {
			break
		}
	}
	b.Edit(c.ID, schema.Fields{h.Clear: nil})
	a := b.call(b.ctx(), schema.OpRead, []connectors.Change{c})[0]
	if a.Err != nil {
		t.Fatal(a.Err)
	}
	if value, ok := a.Record.Fields[h.Clear]; !ok || value != nil {
		t.Errorf("an empty field reads %v, %t; want nil, true", value, ok)
	}
}

// testPartialFailure: in a bulk call each record has its own fate (D05).
func testPartialFailure(t *testing.T, h Harness) {
	draws := rand.New(rand.NewPCG(1, 2))
	for _, op := range []schema.Op{schema.OpWrite, schema.OpCreate} {
		b := open(t, h)
		b.warm()
		used := 0
		for round := range 6 {
			size := min(b.Batch(op), 50)
			changes, faulted := make([]connectors.Change, size), map[int]Refusal{}
			for i := range changes {
				changes[i] = b.staged(op, i)
				if op == schema.OpWrite {
					changes[i].Fields = schema.Fields{h.Text: fmt.Sprint("round ", round)}
				}
				if draws.IntN(3) == 0 {
					r := h.RowFaults[used%len(h.RowFaults)]
					used++
					r.Fault.Kind, r.Fault.Index, r.Fault.Count = simulator.FaultItem, new(i), 1
					b.Inject(r.Fault)
					faulted[i] = r
				}
			}
			records := b.Count()
			var answers []connectors.Answer
			b.one(func() { answers = b.call(b.ctx(), op, changes) })
			for i, a := range answers {
				r, bad := faulted[i]
				switch {
				case !bad && a.Err != nil:
					t.Errorf("%s: record %d failed with its neighbours: %v", op, i, a.Err)
				case bad && (a.Err == nil || a.Err.Kind != r.Kind || a.Err.Field != r.Field):
					t.Errorf("%s: record %d (%s): %v, want %s %s", op, i, r.Fault.BodyCode, a.Err, r.Kind, r.Field)
				}
				if op == schema.OpWrite {
					want := keyed(h, connectors.Change{Canonical: changes[i].Canonical, Fields: h.Person(i)})
					if !bad {
						want[h.Text] = changes[i].Fields[h.Text]
					}
					b.holds(changes[i].ID, want)
				}
			}
			if op == schema.OpCreate {
				if made := b.Count() - records; made != size-len(faulted) {
					t.Errorf("%d records were made, want %d", made, size-len(faulted))
				}
			}
			if len(faulted) == 0 || len(faulted) == size {
				t.Errorf("round %d proves nothing", round)
			}
			for _, record := range changes {
				if record.ID != "" {
					b.Remove(record.ID)
				}
			}
		}
		if used < len(h.RowFaults) {
			t.Errorf("%s: only %d of %d faults were tried", op, used, len(h.RowFaults))
		}
	}
}

// testBatches: any mixture of changes goes through call by call, one request each, and a call with more than fits is
// refused whole before it is sent.
func testBatches(t *testing.T, h Harness) {
	b := open(t, h)
	b.warm()
	changes, want := []connectors.Change{}, []schema.Fields{}
	for n := range 25 {
		c := b.planted(n)
		values := keyed(h, c)
		switch n % 4 {
		case 0:
			c.Fields = schema.Fields{h.Clear: nil}
		case 1:
			c.Fields = schema.Fields{h.Text: "mixed", h.Clear: nil}
		default:
			c.Fields = schema.Fields{h.Text: "mixed", h.Phone: "+442079460958"}
		}
		maps.Copy(values, c.Fields)
		changes, want = append(changes, c), append(want, values)
	}
	for i, a := range b.all(schema.OpWrite, changes) {
		if a.Err != nil || a.ID != changes[i].ID {
			t.Errorf("change %d: %v", i, a.Err)
		}
		b.holds(changes[i].ID, want[i])
	}
	for _, op := range []schema.Op{schema.OpWrite, schema.OpCreate, schema.OpLink, schema.OpRead} {
		tooMany := make([]connectors.Change, b.Batch(op)+1)
		for i := range tooMany {
			tooMany[i] = changes[2]
		}
		before := b.wire.count()
		for _, a := range b.call(b.ctx(), op, tooMany) {
			if a.Err == nil || a.Err.Kind != schema.Unsupported {
				t.Fatalf("%s of %d: %v, want Unsupported", op, len(tooMany), a.Err)
			}
		}
		if b.wire.count() != before {
			t.Errorf("%s of %d was sent", op, len(tooMany))
		}
	}
	if n := b.fits(schema.OpWrite, nil); n != 0 {
		t.Errorf("%d of no changes fit", n)
	}
	unknown := h.Object
	unknown.Name = "../" + unknown.Name
	if _, err := b.Write(b.ctx(), unknown, changes[:1]); err == nil {
		t.Error("an object that cannot be one is written")
	} else if e := b.fails(err); e.Kind != schema.Unsupported {
		t.Errorf("an object that cannot be one: %v, want Unsupported", e)
	}
}

// testQuota: the allowance that answers tell reaches the callback.
func testQuota(t *testing.T, h Harness) {
	told := []connectors.Quota{}
	b := open(t, h, func(b *bench) { b.quota = func(q connectors.Quota) { told = append(told, q) } })
	b.warm()
	told = told[:0]
	for range 3 {
		b.call(b.ctx(), schema.OpRead, []connectors.Change{{ID: h.Missing}})
	}
	if len(told) != 3 {
		t.Fatalf("%d quotas, want 3", len(told))
	}
	for i, q := range told {
		if q.Allowed <= 0 || q.Remaining < 0 || q.Remaining > q.Allowed || (i > 0 && q.Remaining >= told[i-1].Remaining) {
			t.Errorf("quota %d is %+v after %+v", i, q, told[max(0, i-1)])
		}
	}
}

// testTraversal: no id changes the shape of a path (A24); the bench checks every path at its end.
func testTraversal(t *testing.T, h Harness) {
	b := open(t, h)
	b.warm()
	payloads := Traversals()
	if len(payloads) < 1500 {
		t.Fatalf("only %d payloads", len(payloads))
	}
	changes := make([]connectors.Change, len(payloads))
	for i, p := range payloads {
		changes[i] = connectors.Change{ID: p, Canonical: schema.NewRandom(), Fields: schema.Fields{h.Text: "x", h.Clear: nil}}
	}
	for _, op := range []schema.Op{schema.OpRead, schema.OpWrite, schema.OpLink} {
		for rest := changes; len(rest) > 0; {
			n := b.fits(op, rest)
			for i, a := range b.call(b.ctx(), op, rest[:n]) {
				if a.Err == nil || a.Err.Kind.Scope() != schema.ScopeTerminal {
					t.Errorf("%s of %q: %v, want a refusal", op, rest[i].ID, a.Err)
				}
			}
			rest = rest[n:]
		}
	}
	if n := b.effects(); n != 0 {
		t.Errorf("%d effects", n)
	}
	t.Logf("%d payloads, %d requests", 3*len(payloads), b.wire.count())
}
