package connectortest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/connectors"
	"lockstep/schema"
)

// findAll looks up any number, call by call, one request each.
func (b *bench) findAll(lookups [][]connectors.MatchKey) []connectors.Found {
	b.t.Helper()
	found := []connectors.Found{}
	for len(lookups) > 0 {
		n := min(len(lookups), b.Batch(schema.OpFind))
		if s, ok := b.Connector.(connectors.Splitter); ok {
			n = s.FitsLookups(b.h.Object, lookups)
		}
		if n < 1 || n > b.Batch(schema.OpFind) {
			b.t.Fatalf("%d look-ups fit in a call of at most %d", n, b.Batch(schema.OpFind))
		}
		b.one(func() {
			part, err := b.Find(b.ctx(), b.h.Object, lookups[:n])
			if err != nil || len(part) != n {
				b.t.Fatalf("%d look-ups: %d answers, %v", n, len(part), b.fails(err))
			}
			found = append(found, part...)
		})
		lookups = lookups[n:]
	}
	for _, f := range found {
		if f.Err == nil {
			continue
		}
		b.fails(f.Err)
		if f.Err.Kind.Scope() == schema.ScopeSystem {
			b.t.Errorf("a look-up failed with system scope: %v", f.Err)
		}
	}
	return found
}

func ids(f connectors.Found) []string {
	list := []string{}
	for _, r := range f.Records {
		list = append(list, r.ID)
	}
	slices.Sort(list)
	return list
}

func sorted(list ...string) []string {
	slices.Sort(list)
	return list
}

// testFind: a look-up finds every record that carries one of its keys, each once, and no other.
func testFind(t *testing.T, h Harness) {
	b := open(t, h)
	b.warm()
	people := []connectors.Change{}
	for n := range 23 {
		people = append(people, b.planted(n))
	}
	before := b.effects()
	lookups, want := [][]connectors.MatchKey{}, [][]string{}
	expect := func(carriers []string, keys ...connectors.MatchKey) {
		lookups, want = append(lookups, keys), append(want, sorted(carriers...))
	}
	for i, c := range people {
		expect([]string{c.ID}, b.emailKey(c))
		expect([]string{c.ID}, b.phoneKey(c))
		expect([]string{c.ID}, b.canonicalKey(c))
		expect([]string{c.ID}, b.canonicalKey(c), b.emailKey(c), b.phoneKey(c))
		if other := people[(i+1)%len(people)]; i%3 == 0 {
			expect([]string{c.ID, other.ID}, b.emailKey(c), b.phoneKey(other))
		}
		stranger := b.person(40 + i%10)
		expect(nil, b.emailKey(stranger), b.phoneKey(stranger), b.canonicalKey(stranger))
		expect([]string{c.ID}, b.emailKey(stranger), b.canonicalKey(c))
	}
	for i, f := range b.findAll(lookups) {
		if f.Err != nil || fmt.Sprint(ids(f)) != fmt.Sprint(want[i]) {
			t.Errorf("look-up %d of %d keys: %v, %v; want %v", i, len(lookups[i]), ids(f), f.Err, want[i])
		}
	}
	if b.effects() != before {
		t.Error("a look-up changed something")
	}
	if found, err := b.Find(b.ctx(), h.Object, [][]connectors.MatchKey{{b.emailKey(people[4])}}); err != nil || len(found[0].Records) != 1 {
		t.Errorf("%v, %v", found, err)
	} else {
		for field, value := range keyed(h, people[4]) {
			if got := found[0].Records[0].Fields[field]; fmt.Sprint(got) != fmt.Sprint(value) {
				t.Errorf("field %s reads %v, want %v", field, got, value)
			}
		}
	}
	b.sharedKeys(people)
}

// sharedKeys: a family shares a number; an address means the same in another case; an id does not.
func (b *bench) sharedKeys(people []connectors.Change) {
	t, h := b.t, b.h
	relative := b.person(50)
	relative.Fields[h.Phone] = people[0].Fields[h.Phone]
	relative.ID = b.Put(keyed(h, relative))
	found := b.findAll([][]connectors.MatchKey{{b.phoneKey(people[0])}, {b.phoneKey(people[0]), b.emailKey(relative)}})
	carriers := sorted(people[0].ID, relative.ID)
	if !h.OneOwner && fmt.Sprint(ids(found[0])) != fmt.Sprint(carriers) {
		t.Errorf("a shared number finds %v, want %v", ids(found[0]), carriers)
	}
	if fmt.Sprint(ids(found[1])) != fmt.Sprint(carriers) {
		t.Errorf("a shared number and an address find %v, want %v", ids(found[1]), carriers)
	}
	shouting := b.person(51)
	address := b.text(shouting, h.Email)
	fields := keyed(h, shouting)
	fields[h.Email] = strings.ToUpper(address[:3]) + address[3:]
	id := b.Put(fields)
	if found := b.findAll([][]connectors.MatchKey{{b.emailKey(shouting)}}); fmt.Sprint(ids(found[0])) != fmt.Sprint([]string{id}) {
		t.Errorf("an address in another case finds %v, %v", ids(found[0]), found[0].Err)
	}
}

// testInjection: hostile texts are values, in look-ups and in records (A25).
func testInjection(t *testing.T, h Harness) {
	b := open(t, h)
	b.warm()
	object := h.Object
	if !slices.Contains(object.Fields, h.External) {
		object.Fields = sorted(append(slices.Clone(object.Fields), h.External)...)
	}
	b.h.Object = object
	lookups, want, changes := [][]connectors.MatchKey{}, []string{}, []connectors.Change{}
	for i, text := range Injections() {
		c := b.person(i % 40)
		c.Fields[h.External] = text
		c.Fields[h.Email] = fmt.Sprintf("injection%d@example.net", i)
		c.Fields[h.Phone] = fmt.Sprintf("+1317555%04d", 9000+i)
		key := connectors.MatchKey{Kind: connectors.MatchExternal, Field: h.External, Value: schema.Text(text)}
		lookups, changes = append(lookups, []connectors.MatchKey{key}), append(changes, c)
	}
	for i, a := range b.all(schema.OpCreate, changes) {
		if a.Err != nil {
			t.Fatalf("%q: %v", Injections()[i], a.Err)
		}
		want = append(want, a.ID)
	}
	for i, f := range b.findAll(lookups) {
		text := Injections()[i]
		if f.Err == nil && fmt.Sprint(ids(f)) != fmt.Sprint([]string{want[i]}) {
			t.Errorf("%q finds %d records, want its own: %v", text, len(f.Records), f.Err)
		}
		if f.Err != nil && f.Err.Kind != schema.Invalid {
			t.Errorf("%q: %v", text, f.Err)
		}
	}
	// Written as a value they come back as they are.
	for i := range changes {
		changes[i].ID, changes[i].Fields = want[i], schema.Fields{h.Text: Injections()[i]}
	}
	for i, a := range b.all(schema.OpWrite, changes) {
		if a.Err != nil {
			t.Errorf("%q: %v", Injections()[i], a.Err)
			continue
		}
		if got := b.Get(want[i])[h.Text]; fmt.Sprint(got) != Injections()[i] {
			t.Errorf("%q is stored as %q", Injections()[i], got)
		}
	}
	if n := b.Count(); n != len(changes) {
		t.Errorf("there are %d records, want %d", n, len(changes))
	}
}

// testRequestLines: every operation on personal data; the bench looks at the request lines at its end (B09).
func testRequestLines(t *testing.T, h Harness) {
	b := open(t, h)
	for i, op := range operations {
		if e := b.call(b.ctx(), op, []connectors.Change{b.staged(op, i)})[0].Err; e != nil {
			t.Errorf("%s: %v", op, e)
		}
	}
	b.findAll([][]connectors.MatchKey{{b.phoneKey(b.person(3)), b.canonicalKey(b.person(3))}})
	if len(b.wire.lines()) < len(operations)+2 || len(b.personal()) < 100 {
		t.Error("the test proves nothing")
	}
}

// testNoCache: what is read comes from the vendor, not from a cache on the way (D20, R-137).
func testNoCache(t *testing.T, h Harness) {
	b := open(t, h)
	b.warm()
	for i, op := range operations {
		c := b.staged(op, i)
		b.call(b.ctx(), op, []connectors.Change{c})
		requests := b.wire.all(false)
		last := requests[len(requests)-1]
		if got := last.header.Get("Cache-Control") == "no-cache"; got == op.Effect() {
			t.Errorf("%s: no-cache is %t", op, got)
		}
		if last.header.Get("Authorization") == "" || (last.method != http.MethodGet && last.header.Get("Content-Type") != "application/json") {
			t.Errorf("%s: headers %v", op, last.header)
		}
	}
}

// testFeed: a feed tells every record that changed since a moment, page by page.
func testFeed(t *testing.T, h Harness) {
	b := open(t, h)
	b.warm()
	want := []string{}
	for n := range 250 {
		c := b.person(n % 40)
		c.Fields[h.Email] = fmt.Sprintf("feed%d@example.net", n)
		c.Fields[h.Phone] = fmt.Sprintf("+1317556%04d", n)
		want = append(want, b.Put(keyed(h, c)))
	}
	slices.Sort(want)
	changed := func(since time.Time) []string {
		list, cursor := []string{}, ""
		for range 100 {
			var page connectors.Page
			b.one(func() {
				var err error
				if page, err = b.ChangedSince(b.ctx(), h.Object, since, cursor); err != nil {
					t.Fatal(b.fails(err))
				}
			})
			for _, r := range page.Records {
				list = append(list, r.ID)
				if r.ModifiedAt.Before(since) || len(r.Fields) != len(h.Object.Fields) {
					t.Errorf("a record of %v with %d fields", r.ModifiedAt, len(r.Fields))
				}
			}
			if cursor = page.Next; cursor == "" {
				return sorted(list...)
			}
		}
		t.Fatal("the feed has no end")
		return nil
	}
	if got := changed(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)); !slices.Equal(got, want) {
		t.Errorf("%d records, want %d", len(got), len(want))
	}
	if got := changed(time.Now().Add(time.Hour)); len(got) != 0 {
		t.Errorf("%d records of the future, want none", len(got))
	}
	a := b.call(b.ctx(), schema.OpRead, []connectors.Change{{ID: want[0]}})[0]
	if got := changed(a.Record.ModifiedAt); !slices.Contains(got, want[0]) {
		t.Error("a record that changed at the moment itself is missing")
	}
	if _, err := b.ChangedSince(b.ctx(), h.Object, time.Now(), "../../../services/oauth2/token?x="); err == nil && !h.Paths.MatchString("/") {
		t.Log("a foreign cursor was asked for; the bench checks its path")
	} else {
		b.fails(err)
	}
}
