package rules

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lockstep/schema"
)

// customer is the ruleset of the tests: a CRM and a contact centre.
func customer(t testing.TB, change ...func(*schema.Map)) *Ruleset {
	t.Helper()
	both := func(crm, desk string) map[string]schema.Mapping {
		return map[string]schema.Mapping{"crm": {Field: crm}, "desk": {Field: desk}}
	}
	m := &schema.Map{
		Mode: schema.ModeLive,
		Systems: map[string]schema.System{
			"crm": {Kind: "crm", PhoneRegion: "US"}, "desk": {Kind: "desk", PhoneRegion: "US"},
		},
		Objects: map[string]schema.Object{"customer": {
			Owner:   "ops",
			Systems: map[string]schema.ObjectIn{"crm": {Object: "Contact", Create: true}, "desk": {Object: "Person", Create: true}},
			Match:   []schema.MatchRule{{Field: "external_id", Reserves: true, Issuer: "crm"}, {Field: "email", Reserves: true}, {Field: "phone"}},
			Fields: map[string]schema.Field{
				"uuid":        {Type: schema.TypeCanonicalID, SystemOfRecord: LockstepSystem, Direction: schema.OneWay, Systems: both("Ext", "ext")},
				"external_id": {Type: schema.TypeText, SystemOfRecord: "crm", Direction: schema.OneWay, Systems: both("Number", "number")},
				"name":        {Type: schema.TypeText, SystemOfRecord: "crm", Direction: schema.OneWay, Systems: both("Name", "name")},
				"email": {Type: schema.TypeEmail, SystemOfRecord: "crm", Direction: schema.TwoWay,
					Conflict: &schema.ConflictPolicy{Rule: schema.NewestWins}, Systems: both("Email", "mail")},
				"phone": {Type: schema.TypePhone, SystemOfRecord: "crm", Direction: schema.TwoWay, Delivery: schema.Push,
					Conflict: &schema.ConflictPolicy{Rule: schema.RecordSystemWins, Window: schema.Duration(5 * time.Second)}, Systems: both("Phone", "phone")},
				"seen": {Type: schema.TypeText, SystemOfRecord: "desk", Direction: schema.OneWay, Systems: both("Seen", "seen")},
			},
		}},
	}
	for _, f := range change {
		f(m)
	}
	r, err := Compile(m, "customer")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var (
	record = schema.ID{0: 9}
	noon   = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
)

// after noon, by seconds.
func later(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }

func change(id int, system string, at time.Time, fields schema.Fields) Event {
	return Event{ID: event(id), System: system, ReceivedAt: at, Change: schema.Change{Ref: system + "1", Kind: schema.EventChange, At: at, Fields: fields}}
}

func full(id int, system string, at time.Time, fields schema.Fields) Event {
	e := change(id, system, at, fields)
	e.Change.Kind = schema.EventFull
	return e
}

// linked is a record that both systems have in full.
func linked(t testingTB, r *Ruleset) (*schema.State, int64) {
	t.Helper()
	state := &schema.State{}
	d := r.Decide(Input{Record: record, State: state, Now: later(-50), Events: []Event{
		full(100, "crm", later(-100), schema.Fields{"Ext": record.String(), "Number": "C-1", "Name": "Ada", "Email": "ada@example.com", "Phone": "+13175550100"}),
		full(101, "desk", later(-100), schema.Fields{"ext": record.String(), "number": "C-1", "name": "Ada", "mail": "ada@example.com", "phone": "+13175550100", "seen": "monday"}),
	}})
	for name, s := range state.Systems {
		for f, h := range s.Fields {
			if name == "crm" && f == "seen" {
				wrote(h, schema.Text("monday"), schema.Moment{At: later(-90).UnixMilli()}, 0, d.Rev)
			}
		}
	}
	return state, d.Rev
}

func decide(r *Ruleset, state *schema.State, rev int64, events ...Event) Decision {
	return r.Decide(Input{Record: record, Rev: rev, State: state, Now: later(60), Events: events})
}

func stands(t *testing.T, r *Ruleset, state *schema.State, field, want string) {
	t.Helper()
	w, _ := r.winnerOf(r.byName[field], record, state)
	if w.value.Reveal() != want {
		t.Errorf("%s stands at %q, want %q", field, w.value.Reveal(), want)
	}
}

func wants(d Decision) []string {
	var out []string
	for _, w := range d.Wants {
		out = append(out, string(w.Op)+" "+w.System)
	}
	return out
}

func TestALinkedRecordIsInStep(t *testing.T) {
	r := customer(t)
	state, rev := linked(t, r)
	if _, more := r.Next("crm", record, state, false); more {
		t.Error("crm has to be told something")
	}
	if _, more := r.Next("desk", record, state, false); more {
		t.Error("desk has to be told something")
	}
	d := decide(r, state, rev, full(1, "desk", later(1), schema.Fields{
		"ext": record.String(), "number": "C-1", "name": "Ada", "mail": "ADA@example.com", "phone": "(317) 555-0100", "seen": "monday",
	}))
	if d.Verdicts[0].Outcome != schema.Echo || d.Verdicts[0].Changed || d.Rev != rev || len(d.Wants) != 0 {
		t.Errorf("the same values, spelt otherwise: %+v", d)
	}
}

// TestRuling12 shows ownership per field: the same event is the word of one field's owner and nobody's in another.
func TestRuling12(t *testing.T) {
	r := customer(t)
	state, rev := linked(t, r)
	d := decide(r, state, rev, change(1, "desk", later(1), schema.Fields{"name": "Eve", "seen": "tuesday"}))
	stands(t, r, state, "name", "Ada")
	stands(t, r, state, "seen", "tuesday")
	v := d.Verdicts[0]
	if v.Fields["name"].Verdict != FieldKeptOut || v.Fields["name"].By != "crm" || v.Fields["seen"].Verdict != FieldStands || v.Outcome != schema.Applied {
		t.Errorf("verdict %+v", v)
	}
	if got := wants(d); !slices.Equal(got, []string{"write crm", "write desk"}) {
		t.Errorf("wants %v: crm has to hear of tuesday, desk to get the name back", got)
	}
}

func TestAnEditByWhoDoesNotOwnTheFieldComesBack(t *testing.T) {
	r := customer(t)
	state, rev := linked(t, r)
	d := decide(r, state, rev, change(1, "desk", later(1), schema.Fields{"name": "Eve"}))
	if got := wants(d); !slices.Equal(got, []string{"write desk"}) {
		t.Fatalf("wants %v", got)
	}
	if d.Verdicts[0].Outcome != schema.Superseded || !d.Verdicts[0].Changed {
		t.Errorf("verdict %+v", d.Verdicts[0])
	}
	out, err := r.Render("desk", record, state, false, schema.ID{}, nil)
	if err != nil || len(out.Fields) != 1 || out.Fields["name"] != "Ada" {
		t.Errorf("desk is told %v (%v)", len(out.Fields), err)
	}
}

func TestTwoWayNewestWins(t *testing.T) {
	r := customer(t)
	for _, c := range []struct {
		crm, desk float64
		want      string
	}{{1, 2, "desk@example.com"}, {2, 1, "crm@example.com"}, {1, 1, "crm@example.com"}} {
		state, rev := linked(t, r)
		d := decide(r, state, rev, change(1, "crm", later(c.crm), schema.Fields{"Email": "crm@example.com"}), change(2, "desk", later(c.desk), schema.Fields{"mail": "desk@example.com"}))
		stands(t, r, state, "email", c.want)
		if len(d.Wants) != 1 {
			t.Errorf("%v: wants %v", c, wants(d))
		}
	}
}

func TestTwoWayRecordSystemWinsWithinItsWindow(t *testing.T) {
	r := customer(t)
	for _, c := range []struct {
		desk float64
		want string
	}{{4, "+13175550111"}, {6, "+13175550122"}} {
		state, rev := linked(t, r)
		decide(r, state, rev, change(1, "crm", later(0), schema.Fields{"Phone": "+13175550111"}), change(2, "desk", later(c.desk), schema.Fields{"phone": "+13175550122"}))
		stands(t, r, state, "phone", c.want)
	}
}

// TestA30 shows that a very late event never overwrites newer data, and that it says so.
func TestA30(t *testing.T) {
	r := customer(t)
	state, rev := linked(t, r)
	d := decide(r, state, rev, change(1, "crm", later(10), schema.Fields{"Name": "Ada King"}))
	d = decide(r, state, d.Rev, change(2, "crm", later(-20), schema.Fields{"Name": "Ada Byron"}))
	stands(t, r, state, "name", "Ada King")
	if v := d.Verdicts[0]; v.Outcome != schema.Superseded || v.SupersededBy != event(1) || v.Changed {
		t.Errorf("verdict %+v", v)
	}
}

func TestAnEventFromTheFutureWaitsForItsTime(t *testing.T) {
	r := customer(t)
	state, rev := linked(t, r)
	d := r.Decide(Input{Record: record, Rev: rev, State: state, Now: noon, Events: []Event{change(1, "crm", noon.Add(SkewBound+time.Second), schema.Fields{"Name": "Eve"})}})
	v := d.Verdicts[0]
	if v.Outcome != "" || v.Reason != schema.ReasonClockSkew || !v.Until.Equal(noon.Add(SkewBound+time.Second)) {
		t.Errorf("verdict %+v", v)
	}
	stands(t, r, state, "name", "Ada")
	d = r.Decide(Input{Record: record, Rev: rev, State: state, Now: noon, Events: []Event{change(1, "crm", noon.Add(SkewBound), schema.Fields{"Name": "Eve"})}})
	if d.Verdicts[0].Outcome != schema.Applied {
		t.Errorf("within the bound: %+v", d.Verdicts[0])
	}
}

func TestAChangeOfAnUnseenRecordIsReadFirst(t *testing.T) {
	r := customer(t)
	state := &schema.State{}
	e := change(1, "crm", later(1), schema.Fields{"Name": "Ada"})
	d := decide(r, state, 0, e)
	if v := d.Verdicts[0]; v.Reason != schema.ReasonReading || v.Outcome != "" {
		t.Errorf("verdict %+v", v)
	}
	if got := wants(d); !slices.Equal(got, []string{"read crm"}) {
		t.Errorf("wants %v", got)
	}
	e.Reads = 1
	read := full(2, "crm", later(2), schema.Fields{"Ext": nil, "Number": "C-1", "Name": "Ada", "Email": "ada@example.com", "Phone": nil, "Seen": nil})
	read.Change.Kind = schema.EventRead
	d = decide(r, state, d.Rev, e, read)
	if got := wants(d); !slices.Equal(got, []string{"link crm", "find desk"}) {
		t.Errorf("wants %v: our id on crm, and a look into desk", got)
	}
}

func TestAnEventWithoutGovernedFieldsIsIgnored(t *testing.T) {
	r := customer(t)
	d := decide(r, &schema.State{}, 0, change(1, "crm", later(1), schema.Fields{"Fax": "1"}))
	if v := d.Verdicts[0]; v.Outcome != schema.Ignored || len(d.Wants) != 0 || d.Rev != 0 {
		t.Errorf("%+v", d)
	}
}

func TestFirstContactLooksBeforeItCreates(t *testing.T) {
	r := customer(t)
	state := &schema.State{}
	d := decide(r, state, 0, full(1, "crm", later(1), schema.Fields{"Number": "C-1", "Name": "Ada", "Email": "ada@example.com"}))
	if got := wants(d); !slices.Equal(got, []string{"link crm", "find desk"}) {
		t.Fatalf("wants %v", got)
	}
	r.Found("desk", state, "")
	if w, _ := r.Next("desk", record, state, false); w.Op != schema.OpCreate {
		t.Fatalf("after a look-up without result: %s", w.Op)
	}
	out, err := r.Render("desk", record, state, true, schema.ID{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := schema.Fields{"ext": record.String(), "number": "C-1", "name": "Ada", "mail": "ada@example.com"}
	if fmt.Sprint(out.Fields) != fmt.Sprint(want) {
		t.Errorf("created with %d fields, want %d", len(out.Fields), len(want))
	}
}

func TestWithoutAMatchKeyNobodyElseIsTold(t *testing.T) {
	r := customer(t)
	state := &schema.State{}
	d := decide(r, state, 0, full(1, "desk", later(1), schema.Fields{"name": "Anonymous"}))
	if got := wants(d); !slices.Equal(got, []string{"link desk"}) {
		t.Errorf("wants %v", got)
	}
	if d.Verdicts[0].Outcome != schema.Applied {
		t.Errorf("%+v", d.Verdicts[0])
	}
}

// TestRuling08 shows that a change set is applied whole or not at all, and that untouched fields are never sent.
func TestRuling08(t *testing.T) {
	r := customer(t)
	state, rev := linked(t, r)
	decide(r, state, rev, change(1, "crm", later(1), schema.Fields{"Name": "Ada King", "Email": "king@example.com"}))
	out, err := r.Render("desk", record, state, false, schema.ID{}, nil)
	if err != nil || len(out.Fields) != 2 || out.Fields["name"] != "Ada King" || out.Fields["mail"] != "king@example.com" {
		t.Errorf("told %d fields (%v)", len(out.Fields), err)
	}
	// One value that cannot be: nothing of the change set counts.
	bad := schema.Change{Kind: schema.EventChange, Fields: schema.Fields{"Name": "Eve", "Phone": "n/a"}}
	if refusal := r.Check("crm", bad, func(string) string { return "x/x" }); refusal == nil || refusal.Reason != schema.ReasonBadPhone || refusal.Field != "Phone" || refusal.Masked != "x/x" {
		t.Errorf("refusal %+v", refusal)
	}
	// An event that has to wait leaves nothing behind.
	wrote(state.System("crm").Fields["email"], schema.Text("ours@example.com"), schema.Moment{}, later(2).UnixMilli(), 9)
	before := fmt.Sprint(state.System("crm").Fields["name"].Runs)
	d := decide(r, state, rev, change(2, "crm", later(3), schema.Fields{"Name": "Mallory", "Email": "m@example.com"}))
	if d.Verdicts[0].Reason != schema.ReasonReading || before != fmt.Sprint(state.System("crm").Fields["name"].Runs) {
		t.Errorf("half of a change set was taken: %+v", d.Verdicts[0])
	}
}

func TestADeletionEndsWhatTheSystemIsTold(t *testing.T) {
	r := customer(t)
	state, rev := linked(t, r)
	gone := change(1, "desk", later(5), nil)
	gone.Change.Kind = schema.EventDelete
	d := decide(r, state, rev, gone)
	if d.Verdicts[0].Outcome != schema.Applied {
		t.Errorf("%+v", d.Verdicts[0])
	}
	d = decide(r, state, d.Rev, change(2, "crm", later(6), schema.Fields{"Name": "Ada King"}))
	if len(d.Wants) != 0 {
		t.Errorf("a deleted record is told something: %v", wants(d))
	}
	d = decide(r, state, d.Rev, change(3, "desk", later(4), schema.Fields{"name": "x"}))
	if d.Verdicts[0].Outcome != schema.Superseded {
		t.Errorf("an edit from before the deletion: %+v", d.Verdicts[0])
	}
}

func TestAnEmptyFieldMayBeFilledOnce(t *testing.T) {
	r := customer(t)
	state, rev := linked(t, r)
	crm := state.System("crm").Fields
	delete(crm, "name")
	delete(state.System("desk").Fields, "name")
	d := decide(r, state, rev, change(1, "desk", later(1), schema.Fields{"name": "Filled"}))
	stands(t, r, state, "name", "Filled")
	if got := wants(d); !slices.Equal(got, []string{"write crm"}) {
		t.Fatalf("wants %v", got)
	}
	r.Wrote("crm", state, "", map[string]schema.Value{"name": schema.Text("Filled")}, schema.Moment{At: later(2).UnixMilli()}, 0, d.Rev)
	d = decide(r, state, d.Rev, change(2, "desk", later(3), schema.Fields{"name": "Again"}))
	stands(t, r, state, "name", "Filled")
	if got := wants(d); !slices.Equal(got, []string{"write desk"}) {
		t.Errorf("wants %v: the value comes back", got)
	}
}

func TestAFillingThatCrossesItsOwnersWordGivesWay(t *testing.T) {
	r := customer(t)
	state, rev := linked(t, r)
	delete(state.System("crm").Fields, "name")
	delete(state.System("desk").Fields, "name")
	d := decide(r, state, rev, change(1, "desk", later(1), schema.Fields{"name": "Filled"}))
	r.Wrote("crm", state, "", map[string]schema.Value{"name": schema.Text("Filled")}, schema.Moment{At: later(3).UnixMilli()}, 0, d.Rev)
	d = decide(r, state, d.Rev, change(2, "crm", later(2), schema.Fields{"Name": "Owner"}))
	stands(t, r, state, "name", "Owner")
	if got := wants(d); !slices.Equal(got, []string{"write crm", "write desk"}) {
		t.Errorf("wants %v: the owner's word goes back where ours overwrote it", got)
	}
}

func TestWhenEmptyRefuse(t *testing.T) {
	r := customer(t, func(m *schema.Map) {
		f := m.Objects["customer"].Fields["name"]
		f.WhenEmpty = "refuse"
		m.Objects["customer"].Fields["name"] = f
	})
	state, rev := linked(t, r)
	delete(state.System("crm").Fields, "name")
	delete(state.System("desk").Fields, "name")
	d := decide(r, state, rev, change(1, "desk", later(1), schema.Fields{"name": "Filled"}))
	if len(d.Wants) != 0 {
		t.Errorf("wants %v", wants(d))
	}
}

func TestObserveTellsNobody(t *testing.T) {
	r := customer(t, func(m *schema.Map) { m.Mode = schema.ModeObserve })
	state, rev := linked(t, r)
	d := decide(r, state, rev, change(1, "crm", later(1), schema.Fields{"Name": "Ada King"}))
	if len(d.Wants) != 0 || d.Verdicts[0].Outcome != schema.Applied {
		t.Errorf("%+v", d)
	}
	stands(t, r, state, "name", "Ada King")
}

func TestAValueThatIsNotKeptEndsWithAPerson(t *testing.T) {
	r := customer(t)
	state, rev := linked(t, r)
	for n := range keptLimit + 1 {
		d := decide(r, state, rev, change(n+1, "desk", later(float64(n*10)), schema.Fields{"name": fmt.Sprintf("mangled %d", n)}))
		rev = d.Rev
		if n == keptLimit {
			if len(d.Wants) != 1 || !d.Wants[0].Stuck {
				t.Errorf("after %d losses: %+v", n, d.Wants)
			}
			return
		}
		r.Wrote("desk", state, "", map[string]schema.Value{"name": schema.Text("Ada")}, schema.Moment{At: later(float64(n*10 + 5)).UnixMilli()}, 0, rev)
	}
}

func TestTheEchoThatComesBeforeTheAnswerIsNobodysWord(t *testing.T) {
	r := customer(t)
	state, rev := linked(t, r)
	d := decide(r, state, rev, change(1, "crm", later(1), schema.Fields{"Email": "one@example.com"}))
	out, err := r.Render("desk", record, state, false, schema.ID{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Sending("desk", state, out.Told, false)
	told := d.Rev
	// Meanwhile the CRM's user changes it again, and the echo of our first write arrives.
	d = decide(r, state, d.Rev, change(2, "crm", later(2), schema.Fields{"Email": "two@example.com"}))
	decide(r, state, d.Rev, full(3, "desk", later(3), schema.Fields{
		"ext": record.String(), "number": "C-1", "name": "Ada", "mail": "one@example.com", "phone": "+13175550100", "seen": "monday",
	}))
	stands(t, r, state, "email", "two@example.com")
	r.Wrote("desk", state, "", out.Told, schema.Moment{At: later(3).UnixMilli()}, 0, told)
	stands(t, r, state, "email", "two@example.com")
}

// TestAnyOrderDecidesTheSame is INV-06 over both systems: permutations, repetitions and batchings of the same events end
// in the same values.
func TestAnyOrderDecidesTheSame(t *testing.T) {
	r := customer(t)
	rapid.Check(t, func(t *rapid.T) {
		var events []Event
		last := map[string]string{}
		for i := range rapid.IntRange(1, 10).Draw(t, "n") {
			system := rapid.SampledFrom([]string{"crm", "desk"}).Draw(t, "system")
			names := map[string]string{"email": "Email", "seen": "Seen", "name": "Name"}
			if system == "desk" {
				names = map[string]string{"email": "mail", "seen": "seen", "name": "name"}
			}
			field := rapid.SampledFrom([]string{"email", "seen", "name"}).Draw(t, "field")
			value := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "value")
			if field == "email" {
				value += "@example.com"
			}
			e := change(i+1, system, later(float64(i)), schema.Fields{names[field]: value})
			if old := last[system+field]; old != "" {
				e.Change.Old = schema.Fields{names[field]: old}
			}
			last[system+field] = value
			events = append(events, e)
		}
		final := func(batches [][]Event) string {
			state, rev := linked(t, r)
			for _, batch := range batches {
				d := decide(r, state, rev, batch...)
				rev = d.Rev
			}
			out := ""
			for _, name := range []string{"email", "seen", "name"} {
				w, _ := r.winnerOf(r.byName[name], record, state)
				out += fmt.Sprintf("%s %s %d; ", name, w.value.Reveal(), w.effective)
			}
			return out
		}
		want := final([][]Event{events})
		shuffled := rapid.Permutation(events).Draw(t, "order")
		shuffled = append(shuffled, rapid.SliceOfN(rapid.SampledFrom(events), 0, 4).Draw(t, "repeats")...)
		var batches [][]Event
		for len(shuffled) > 0 {
			n := rapid.IntRange(1, len(shuffled)).Draw(t, "batch")
			batches, shuffled = append(batches, shuffled[:n]), shuffled[n:]
		}
		if got := final(batches); got != want {
			t.Fatalf("in order %s\nelse     %s", want, got)
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	r := customer(b)
	state, rev := linked(b, r)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		d := decide(r, state, rev, change(1+n%200, "crm", later(float64(n)/1000), schema.Fields{"Name": fmt.Sprint(n)}))
		r.Wrote("desk", state, "", map[string]schema.Value{"name": schema.Text(fmt.Sprint(n))}, schema.Moment{}, int64(n), d.Rev)
		rev = d.Rev
	}
}

// testingTB is what a rapid check and a test have in common.
type testingTB interface{ Helper() }

// A read that nobody understands orders nothing: what waited for it waits on, under its reason, and the system is neither
// told anything nor read again until something happens there.
func TestAReadThatNobodyUnderstandsOrdersNothing(t *testing.T) {
	r := customer(t)
	state, rev := linked(t, r)
	wrote(state.Systems["crm"].Fields["seen"], schema.Text("tuesday"), schema.Moment{}, later(1).UnixMilli(), rev)
	said := schema.Fields{"Ext": record.String(), "Number": "C-1", "Name": "Ada", "Email": "ada@example.com", "Phone": "+13175550100", "Seen": "friday"}
	unclear := full(1, "crm", later(1), said)
	if d := decide(r, state, rev, unclear); d.Verdicts[0].Reason != schema.ReasonReading || !slices.Equal(wants(d), []string{"read crm"}) || d.Wants[0].Unread != "" {
		t.Fatalf("before the read: %+v", d)
	}
	unclear.Reads = 1
	looked := func(reason schema.Reason, events ...Event) Decision {
		return r.Decide(Input{Record: record, Rev: rev, State: state, Now: later(60), Events: events, Looks: map[string]schema.Reason{"crm": reason}})
	}
	d := looked(schema.ReasonBadPhone, unclear)
	if d.Verdicts[0].Outcome != "" || d.Verdicts[0].Reason != schema.ReasonBadPhone || len(d.Wants) != 1 || d.Wants[0].Op != schema.OpRead || d.Wants[0].Unread != schema.ReasonBadPhone {
		t.Errorf("after a read that nobody understands: %+v", d)
	}
	if d := decide(r, state, rev, change(2, "desk", later(3), schema.Fields{"seen": "sunday"})); !slices.Equal(wants(d), []string{"read crm"}) || d.Wants[0].Unread != "" {
		t.Errorf("after news of another system: %+v", d)
	}
	echo := maps.Clone(said)
	echo["Seen"] = "tuesday"
	if d := looked(schema.ReasonBadPhone, full(3, "crm", later(4), echo)); d.Verdicts[0].Outcome != schema.Echo || !slices.Equal(wants(d), []string{"read crm"}) || d.Wants[0].Unread != "" {
		t.Errorf("with news of the system itself: %+v", d)
	}
	if d := looked("", change(4, "crm", later(5), schema.Fields{"Seen": "friday"})); d.Verdicts[0].Outcome == "" || slices.Contains(wants(d), "read crm") {
		t.Errorf("after a read that somebody understands: %+v", d)
	}
}
