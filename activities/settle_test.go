package activities

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"lockstep/connectors"
	"lockstep/rules"
	"lockstep/schema"
)

// counter is the ruleset of these tests: a CRM that owns and a desk that is told.
func counter(t *testing.T) *Activities {
	t.Helper()
	both := func(crm, desk string) map[string]schema.Mapping {
		return map[string]schema.Mapping{"crm": {Field: crm}, "desk": {Field: desk}}
	}
	m := &schema.Map{
		Mode:    schema.ModeLive,
		Systems: map[string]schema.System{"crm": {Kind: "crm", PhoneRegion: "US"}, "desk": {Kind: "desk", PhoneRegion: "US"}},
		Objects: map[string]schema.Object{"customer": {
			Owner:   "ops",
			Systems: map[string]schema.ObjectIn{"crm": {Object: "Contact", Create: true}, "desk": {Object: "Person", Create: true}},
			Match:   []schema.MatchRule{{Field: "email", Reserves: true}},
			Fields: map[string]schema.Field{
				"uuid":  {Type: schema.TypeCanonicalID, SystemOfRecord: rules.LockstepSystem, Direction: schema.OneWay, Systems: both("Ext", "ext")},
				"email": {Type: schema.TypeEmail, SystemOfRecord: "crm", Direction: schema.OneWay, Systems: both("Email", "mail")},
				"name":  {Type: schema.TypeText, SystemOfRecord: "crm", Direction: schema.OneWay, Systems: both("Name", "name")},
				"phone": {Type: schema.TypePhone, SystemOfRecord: "crm", Direction: schema.OneWay, Owner: "telephony", Systems: both("Phone", "phone")},
				"nick": {Type: schema.TypeText, SystemOfRecord: "crm", Direction: schema.TwoWay,
					Conflict: &schema.ConflictPolicy{Rule: schema.NewestWins}, Systems: both("Nick", "nick")},
			},
		}},
	}
	rs, err := rules.Compile(m, "customer")
	if err != nil {
		t.Fatal(err)
	}
	return &Activities{Map: m, Rulesets: map[string]*rules.Ruleset{"customer": rs}, Jitter: func() float64 { return 0.5 }}
}

var (
	customer = schema.ID{0: 9}
	wordOne  = schema.ID{15: 1}
	wordTwo  = schema.ID{15: 2}
	noon     = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
)

// known is a customer of whom the CRM said two words; the desk has the record, and our id on it, if it is there already.
func (a *Activities) known(t *testing.T, inDesk, linked bool) *schema.State {
	t.Helper()
	state := &schema.State{}
	rs := a.Rulesets["customer"]
	events := []rules.Event{
		{ID: wordOne, System: "crm", Change: schema.Change{Ref: "c1", Kind: schema.EventFull, At: noon, Fields: schema.Fields{"Email": "ada@example.com", "Name": "Ada"}}},
		{ID: wordTwo, System: "crm", Change: schema.Change{Ref: "c1", Kind: schema.EventChange, At: noon.Add(time.Second), Fields: schema.Fields{"Phone": "+13175550100"}}},
	}
	if inDesk {
		fields := schema.Fields{"mail": "ada@example.com"}
		if linked {
			fields["ext"] = customer.String()
		}
		events = append(events, rules.Event{ID: schema.ID{15: 3}, System: "desk", Change: schema.Change{Ref: "d1", Kind: schema.EventFull, At: noon, Fields: fields}})
	}
	rs.Decide(rules.Input{Record: customer, State: state, Now: noon.Add(time.Minute), Events: events})
	return state
}

// fate tells an ending in words.
func fate(e schema.Ending) string {
	var words []string
	say := func(when bool, format string, args ...any) {
		if when {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	say(e.Told, "told")
	say(e.More, "more")
	say(e.Next != "", "next %s", e.Next)
	say(e.After > 0, "after %s", e.After)
	say(e.Failed, "failed")
	say(e.Kind != "", "%s", e.Kind)
	say(e.HandOver, "handed over")
	say(e.Stay, "stays")
	say(e.Isolate, "one word at a time")
	say(e.Parked != "", "parked as %s", e.Parked)
	if e.Dead != nil {
		say(true, "dead %x as %s at %s for %s", e.Dead.Event[15], e.Dead.Reason, e.Dead.Field, e.Dead.Owner)
	}
	say(e.Ref != "", "ref %s", e.Ref)
	say(e.Gone, "gone")
	for _, r := range e.Reads {
		say(true, "journals a %s", r.Kind)
	}
	for _, r := range e.ReadsOfOther {
		say(true, "journals another's %s", r.Kind)
	}
	for _, m := range e.Members {
		say(true, "tells %s", m.Owner)
	}
	return strings.Join(words, ", ")
}

// patient is how patient the claims of these tests are.
var patient = Policy{First: time.Second, Longest: 5 * time.Minute, EscalateAfter: 10 * time.Minute, GiveUp: 24 * time.Hour}

// prepare makes a call of an operation about one customer, as OpenCall does.
func prepare(t *testing.T, op schema.Op, single bool, tries int) (*applying, schema.Call, *schema.Item) {
	t.Helper()
	a := counter(t)
	w := &applying{a: a, system: System{Name: "desk", Settle: 2 * time.Second, Connector: vendor{}}, policy: patient, single: single}
	call := schema.Call{System: "desk", Object: "customer", Op: op, SentAt: noon.Add(time.Hour), Lane: schema.LaneNormal}
	state := a.known(t, op != schema.OpCreate && op != schema.OpFind, op == schema.OpWrite)
	if op == schema.OpCreate {
		state.System("desk").Looked = true
	}
	item := &schema.Item{Record: customer, Rev: 3, State: state, Tries: tries}
	sent, _, endings, err := w.render(call, []*schema.Item{item}, false)
	if err != nil || len(sent) != 1 {
		t.Fatalf("%s: nothing to tell: %v, %v", op, endings, err)
	}
	return w, call, item
}

// vendor takes everything in calls of ten.
type vendor struct{}

// Batch is 10.
func (vendor) Batch(schema.Op) int { return 10 }

// CallsPerClaim is 1.
func (vendor) CallsPerClaim() int { return 1 }

// TestSettle says, for each operation and each kind of failure of one record, what becomes of it: with others for the first
// time, with others for the third time, and alone.
func TestSettle(t *testing.T) {
	const again, handedOver, stays = "after 1.05s, failed, KIND", "failed, KIND, handed over", "failed, KIND, stays"
	parked := func(reason schema.Reason) [3]string {
		s := "failed, KIND, parked as " + string(reason) + ", tells ops"
		return [3]string{s, s, s}
	}
	same := func(s string) [3]string { return [3]string{s, s, s} }
	busy := [3]string{again, handedOver, stays}
	conflict := [3]string{"next read, after 1.05s, failed, KIND", "next read, failed, KIND, handed over", "next read, after 2s, failed, KIND"}
	common := map[schema.Kind][3]string{
		schema.Contention: busy, schema.LostRace: busy, schema.Conflict: conflict,
		schema.UnknownOutcome: same("next read, after 2s, failed, KIND"),
		schema.Invalid:        same("told, more, next write, failed, KIND, dead 2 as value_refused at phone for telephony, tells telephony"),
		schema.NotFound:       same("KIND, gone, journals a delete, tells ops"),
		schema.Forbidden:      parked(schema.ReasonWriteForbidden), schema.Unsupported: parked(schema.ReasonUnsupported), schema.HumanNeeded: parked(schema.ReasonDuplicateInTarget),
	}
	special := map[schema.Op]map[schema.Kind][3]string{
		schema.OpLink: {schema.Invalid: same("told, more, next link, failed, KIND, dead 2 as value_refused at phone for telephony, tells telephony")},
		schema.OpCreate: {
			schema.UnknownOutcome: same("next find, after 2s, failed, KIND"),
			schema.Invalid:        same("told, more, next create, failed, KIND, dead 2 as value_refused at phone for telephony, tells telephony"),
		},
		schema.OpRead: {schema.Invalid: same("failed, KIND, parked as value_refused, tells telephony")},
		schema.OpFind: {
			schema.Invalid: same("failed, KIND, parked as value_refused, tells telephony"), schema.NotFound: parked(schema.ReasonRecordGone),
		},
	}
	for _, op := range []schema.Op{schema.OpWrite, schema.OpLink, schema.OpCreate, schema.OpRead, schema.OpFind} {
		for _, kind := range schema.Kinds {
			if kind.Scope() == schema.ScopeSystem {
				continue // those fail the call as a whole
			}
			want, known := special[op][kind]
			if !known {
				want = common[kind]
			}
			for n, c := range []struct {
				name   string
				single bool
				tries  int
			}{{"with others", false, 0}, {"with others for the third time", false, 2}, {"alone", true, 5}} {
				w, call, item := prepare(t, op, c.single, c.tries)
				field := ""
				if kind == schema.Invalid {
					field = "phone"
				}
				failure := &connectors.Error{System: "desk", Kind: kind, Field: field, Code: "code"}
				w.answers, w.found = []connectors.Answer{{Err: failure}}, []connectors.Found{{Err: failure}}
				endings, err := w.settle(call, []*schema.Item{item}, []*schema.Item{item}, nobody)
				if err != nil {
					t.Fatalf("%s %s: %v", op, kind, err)
				}
				if got, want := fate(endings[0]), strings.ReplaceAll(want[n], "KIND", string(kind)); got != want {
					t.Errorf("%s %s %s:\n%s, want\n%s", op, kind, c.name, got, want)
				}
				if (w.stays == 1) != endings[0].Stay || (w.retry != nil) != endings[0].Stay {
					t.Errorf("%s %s %s: %d stay, retry %v", op, kind, c.name, w.stays, w.retry)
				}
				if endings[0].Record != customer || endings[0].Rev != 3 {
					t.Errorf("%s %s: the ending is of %s at %d", op, kind, endings[0].Record, endings[0].Rev)
				}
			}
		}
	}
}

// A record that fails for longer than agreed is told to its owner beside the retries, and parked after a day, in whatever
// claim it fails. What it counts from is its first failure.
func TestARecordThatFailsForLongIsAPersons(t *testing.T) {
	for _, c := range []struct {
		name    string
		kind    schema.Kind
		single  bool
		tries   int
		failing time.Duration
		want    string
	}{
		{"a first conflict goes to its read", schema.Conflict, false, 0, 0, "next read, after 1.05s, failed, Conflict"},
		{"the third has a workflow of its own", schema.Conflict, false, 2, 5 * time.Second, "next read, failed, Conflict, handed over"},
		{"then the pauses grow", schema.Conflict, true, 3, 10 * time.Second, "next read, after 500ms, failed, Conflict"},
		{"with each try", schema.Conflict, true, 7, time.Minute, "next read, after 8s, failed, Conflict"},
		{"to their end", schema.Conflict, true, 40, time.Hour, "next read, after 2m30s, failed, Conflict, tells ops"},
		{"and to the moment at which the owner is told", schema.Conflict, true, 40, 9 * time.Minute, "next read, after 1m0s, failed, Conflict"},
		{"who is told with others, too", schema.Conflict, false, 40, 10 * time.Minute, "next read, failed, Conflict, handed over, tells ops"},
		{"the end ends the pauses", schema.Conflict, true, 40, 24*time.Hour - time.Minute, "next read, after 1m0s, failed, Conflict, tells ops"},
		{"conflict, given up with others", schema.Conflict, false, 40, 24 * time.Hour, "next read, failed, Conflict, parked as given_up, tells ops"},
		{"conflict, given up alone", schema.Conflict, true, 40, 25 * time.Hour, "next read, failed, Conflict, parked as given_up, tells ops"},
		{"busy for long", schema.Contention, true, 9, 10 * time.Minute, "failed, Contention, stays, tells ops"},
		{"busy, given up", schema.Contention, true, 9, 24 * time.Hour, "failed, Contention, parked as given_up, tells ops"},
		{"no answer", schema.UnknownOutcome, false, 0, 0, "next read, after 2s, failed, UnknownOutcome"},
		{"no answer, again and again", schema.UnknownOutcome, false, 9, time.Minute, "next read, after 32s, failed, UnknownOutcome"},
		{"no answer for long", schema.UnknownOutcome, false, 9, 10 * time.Minute, "next read, after 32s, failed, UnknownOutcome, tells ops"},
		{"no answer, given up", schema.UnknownOutcome, false, 9, 24 * time.Hour, "next read, failed, UnknownOutcome, parked as given_up, tells ops"},
	} {
		w, call, item := prepare(t, schema.OpWrite, c.single, c.tries)
		item.Failing = c.failing
		w.answers = []connectors.Answer{{Err: &connectors.Error{System: "desk", Kind: c.kind}}}
		endings, err := w.settle(call, []*schema.Item{item}, []*schema.Item{item}, nobody)
		if err != nil || fate(endings[0]) != c.want {
			t.Errorf("%s: %s, %v; want\n%s", c.name, fate(endings[0]), err, c.want)
		}
		for _, m := range endings[0].Members {
			want := schema.ReasonOf(c.kind)
			if c.failing >= patient.GiveUp {
				want = schema.ReasonGivenUp
			}
			if m.Reason != want || m.Record != customer || m.System != "desk" || m.Object != "customer" {
				t.Errorf("%s: tells of %+v", c.name, m)
			}
		}
	}
	// Without an end nothing ends.
	w, call, item := prepare(t, schema.OpWrite, true, 9)
	w.policy.EscalateAfter, w.policy.GiveUp, item.Failing = 0, 0, 48*time.Hour
	w.answers = []connectors.Answer{{Err: &connectors.Error{System: "desk", Kind: schema.Conflict}}}
	endings, err := w.settle(call, []*schema.Item{item}, []*schema.Item{item}, nobody)
	if want := "next read, after 32s, failed, Conflict"; err != nil || fate(endings[0]) != want {
		t.Errorf("%s, %v; want %s", fate(endings[0]), err, want)
	}
}

// What only we write is sent again without a look, until its owner has to hear of it.
func TestWhatOnlyWeWriteIsSentAgainForAWhile(t *testing.T) {
	for failing, want := range map[time.Duration]string{
		0: "", time.Minute: "", 10 * time.Minute: "next read, after 2s, failed, UnknownOutcome, tells ops",
		24 * time.Hour: "next read, failed, UnknownOutcome, parked as given_up, tells ops",
	} {
		w, call, item := prepare(t, schema.OpWrite, false, 0)
		item.Failing = failing
		sent, _, endings, err := w.render(call, []*schema.Item{item}, true)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if len(endings) > 0 {
			got = fate(endings[0])
		}
		if got != want || (len(sent) == 1) != (want == "") {
			t.Errorf("after %s: %d sent, %q, want %q", failing, len(sent), got, want)
		}
	}
}

func nobody(string) (schema.ID, error) { return schema.ID{}, nil }

func somebody(string) (schema.ID, error) { return schema.ID{0: 7}, nil }

// TestSettleSuccess is the table of what answers without a failure mean.
func TestSettleSuccess(t *testing.T) {
	record := func(fields schema.Fields) *connectors.Record {
		return &connectors.Record{ID: "d1", Fields: fields, ModifiedAt: noon.Add(time.Hour)}
	}
	ours := schema.Fields{"mail": "ada@example.com", "ext": customer.String()}
	theirs := schema.Fields{"mail": "ada@example.com", "name": "Someone"}
	for name, c := range map[string]struct {
		op     schema.Op
		single bool
		tries  int
		answer connectors.Answer
		found  []connectors.Record
		holder func(string) (schema.ID, error)
		before func(w *applying, item *schema.Item)
		want   string
	}{
		"written":              {op: schema.OpWrite, answer: connectors.Answer{ID: "d1", ModifiedAt: noon.Add(time.Hour)}, want: "told"},
		"written, time untold": {op: schema.OpWrite, answer: connectors.Answer{ID: "d1"}, want: "told"},
		"linked":               {op: schema.OpLink, answer: connectors.Answer{ID: "d1", ModifiedAt: noon.Add(time.Hour)}, want: "told"},
		"created":              {op: schema.OpCreate, answer: connectors.Answer{ID: "d1", Created: true, ModifiedAt: noon.Add(time.Hour)}, want: "told, ref d1"},
		"written, and something came since": {op: schema.OpWrite, answer: connectors.Answer{ID: "d1"}, before: func(w *applying, item *schema.Item) {
			w.rules.Decide(rules.Input{Record: customer, Rev: 3, State: item.State, Now: noon.Add(2 * time.Hour), Events: []rules.Event{
				{ID: schema.ID{15: 4}, System: "crm", Change: schema.Change{Ref: "c1", Kind: schema.EventChange, At: noon.Add(30 * time.Minute), Fields: schema.Fields{"Name": "Ada King"}}},
			}})
			item.Rev, item.Dirty = 4, true
		}, want: "told, next write"},
		"written, and the desk told something that nothing orders": {op: schema.OpWrite, answer: connectors.Answer{ID: "d1"}, before: func(w *applying, item *schema.Item) {
			w.rules.Decide(rules.Input{Record: customer, Rev: 9, State: item.State, Now: noon.Add(2 * time.Hour), Events: []rules.Event{
				{ID: schema.ID{15: 4}, System: "desk", Change: schema.Change{Ref: "d1", Kind: schema.EventChange, At: noon.Add(61 * time.Minute), Fields: schema.Fields{"name": "Other"}}},
			}})
			item.Rev, item.Dirty = 10, true
		}, want: "told, more, next read"},
		"written again and again, never kept": {op: schema.OpWrite, answer: connectors.Answer{ID: "d1"}, before: func(_ *applying, item *schema.Item) {
			item.State.System("desk").Fields["nick"] = &schema.History{Kept: 3, Runs: []schema.Run{{Value: schema.Text("mine"), From: schema.Moment{At: 1}, To: schema.Moment{At: 1}}}}
			item.State.System("crm").Fields["nick"] = &schema.History{Runs: []schema.Run{{Value: schema.Text("yours"), From: schema.Moment{At: noon.UnixMilli()}, To: schema.Moment{At: noon.UnixMilli()}, Event: wordOne}}}
		}, want: "next write, parked as value_not_kept, tells ops"},
		"read": {op: schema.OpRead, answer: connectors.Answer{ID: "d1", Record: record(theirs)}, want: "journals a read"},
		"read, and it is another by now": {op: schema.OpRead, answer: connectors.Answer{ID: "d2", Record: &connectors.Record{ID: "d2", Fields: theirs}},
			want: "parked as vendor_merge, journals another's read, tells ops"},
		"found nobody":                      {op: schema.OpFind, want: "next create"},
		"found":                             {op: schema.OpFind, found: []connectors.Record{*record(theirs)}, want: "ref d1, journals a read"},
		"found by our id":                   {op: schema.OpFind, found: []connectors.Record{*record(schema.Fields{"mail": "x@example.com"}), *record(ours)}, want: "ref d1, journals a read"},
		"found two":                         {op: schema.OpFind, found: []connectors.Record{*record(theirs), *record(theirs)}, want: "next find, parked as ambiguous_match, tells ops"},
		"found one that is another's":       {op: schema.OpFind, found: []connectors.Record{*record(theirs)}, holder: somebody, want: "next find, after 2s, failed, journals another's read"},
		"found one that stays another's":    {op: schema.OpFind, tries: 4, found: []connectors.Record{*record(theirs)}, holder: somebody, want: "next find, parked as ambiguous_match, tells ops"},
		"found one with another's id on it": {op: schema.OpFind, found: []connectors.Record{*record(schema.Fields{"mail": "ada@example.com", "ext": wordOne.String()})}, want: "next find, parked as key_taken, tells ops"},
	} {
		t.Run(name, func(t *testing.T) {
			w, call, item := prepare(t, c.op, c.single, c.tries)
			told := *item
			if c.before != nil {
				c.before(w, item)
			}
			if c.holder == nil {
				c.holder = nobody
			}
			w.answers, w.found = []connectors.Answer{c.answer}, []connectors.Found{{Records: c.found}}
			endings, err := w.settle(call, []*schema.Item{&told}, []*schema.Item{item}, c.holder)
			if err != nil {
				t.Fatal(err)
			}
			if got := fate(endings[0]); got != c.want {
				t.Errorf("%s, want\n%s", got, c.want)
			}
			if endings[0].Rev != told.Rev {
				t.Errorf("the ending is of revision %d", endings[0].Rev)
			}
		})
	}
}

// Where a vendor refuses a record and does not say which value, the words are told one event at a time.
func TestARefusalThatNamesNothingIsTakenApart(t *testing.T) {
	failure := &connectors.Error{System: "desk", Kind: schema.Invalid}
	for _, c := range []struct {
		single bool
		want   string
	}{{false, "failed, Invalid, handed over, one word at a time"}, {true, "failed, Invalid, one word at a time"}} {
		w, call, item := prepare(t, schema.OpWrite, c.single, 0)
		w.answers = []connectors.Answer{{Err: failure}}
		endings, err := w.settle(call, []*schema.Item{item}, []*schema.Item{item}, nobody)
		if err != nil || fate(endings[0]) != c.want {
			t.Errorf("single %t: %s, %v; want %s", c.single, fate(endings[0]), err, c.want)
		}
	}
	// One word alone: it is the one, whatever the vendor says.
	w, call, item := prepare(t, schema.OpWrite, true, 0)
	item.Isolate, item.Events = true, []schema.ID{wordOne, wordTwo}
	sent, _, _, err := w.render(call, []*schema.Item{item}, false)
	if err != nil || len(sent) != 1 || len(w.changes[0].Fields) != 1 || w.changes[0].Fields["name"] != "Ada" {
		t.Fatalf("told are %d fields, %v", len(w.changes[0].Fields), err)
	}
	w.answers = []connectors.Answer{{Err: failure}}
	endings, err := w.settle(call, []*schema.Item{item}, []*schema.Item{item}, nobody)
	if want := "told, more, next write, failed, Invalid, dead 1 as value_refused at  for ops, tells ops"; err != nil || fate(endings[0]) != want {
		t.Errorf("%s, %v; want %s", fate(endings[0]), err, want)
	}
	// It goes through: the next one's turn has come, in the same claim.
	w, call, item = prepare(t, schema.OpWrite, true, 0)
	item.Isolate, item.Events = true, []schema.ID{wordOne, wordTwo}
	if _, _, _, err = w.render(call, []*schema.Item{item}, false); err != nil {
		t.Fatal(err)
	}
	w.answers = []connectors.Answer{{ID: "d1", ModifiedAt: noon.Add(time.Hour)}}
	endings, err = w.settle(call, []*schema.Item{item}, []*schema.Item{item}, nobody)
	if want := "next write, stays"; err != nil || fate(endings[0]) != want {
		t.Errorf("%s, %v; want %s", fate(endings[0]), err, want)
	}
}

// An operation that no longer fits its record makes no call.
func TestWhatNoLongerFitsGoesOnWithoutACall(t *testing.T) {
	a := counter(t)
	for name, c := range map[string]struct {
		op             schema.Op
		inDesk, linked bool
		change         func(s *schema.State)
		unanswered     bool
		want           string
	}{
		"read without an id":             {op: schema.OpRead, want: "next find"},
		"find with an id":                {op: schema.OpFind, inDesk: true, linked: true, want: "next write"},
		"write what is in step":          {op: schema.OpWrite, inDesk: true, linked: true, change: inStep, want: "told"},
		"write before it is linked":      {op: schema.OpWrite, inDesk: true, want: "next link"},
		"create before anybody looked":   {op: schema.OpCreate, want: "next find"},
		"create again, nobody knows":     {op: schema.OpCreate, change: func(s *schema.State) { s.System("desk").Looked = true }, unanswered: true, want: "next find, after 2s, failed, UnknownOutcome"},
		"write where the record is gone": {op: schema.OpWrite, inDesk: true, linked: true, change: func(s *schema.State) { s.System("desk").GoneAt = schema.Moment{At: 1} }, want: "told"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &applying{a: a, system: System{Name: "desk", Settle: 2 * time.Second, Connector: vendor{}}}
			state := a.known(t, c.inDesk, c.linked)
			if c.change != nil {
				c.change(state)
			}
			call := schema.Call{System: "desk", Object: "customer", Op: c.op, SentAt: noon.Add(time.Hour)}
			sent, _, endings, err := w.render(call, []*schema.Item{{Record: customer, Rev: 3, State: state}}, c.unanswered)
			if err != nil || len(sent) != 0 || len(endings) != 1 {
				t.Fatalf("%v sent, %d endings, %v", sent, len(endings), err)
			}
			if got := fate(endings[0]); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
	for _, op := range []schema.Op{schema.OpDelete, schema.OpSteps} {
		w := &applying{a: a, system: System{Name: "desk", Connector: vendor{}}}
		call := schema.Call{System: "desk", Object: "customer", Op: op}
		if _, _, _, err := w.render(call, []*schema.Item{{Record: customer, State: a.known(t, true, true)}}, false); err == nil {
			t.Errorf("%s is rendered", op)
		}
		err := w.send(t.Context(), call)
		if kind, _ := connectors.KindOf(err); kind != schema.Unsupported {
			t.Errorf("%s is sent: %v", op, err)
		}
	}
}

// inStep makes the desk hold what stands.
func inStep(s *schema.State) {
	at := schema.Moment{At: noon.UnixMilli()}
	for field, value := range map[string]string{"name": "Ada", "phone": "+13175550100"} {
		s.System("desk").Fields[field] = &schema.History{Runs: []schema.Run{{Value: schema.Text(value), From: at, To: at, Flags: schema.RunOwn}}}
	}
}
