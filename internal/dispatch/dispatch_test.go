package dispatch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/activities"
	"lockstep/connectors"
	"lockstep/internal/protocol"
	"lockstep/internal/store/storetest"
	"lockstep/schema"
	"lockstep/workflows"
)

// TestE18 has four dispatchers work on one database: no delivery is claimed twice, no workflow is started twice, and
// everything settles.
func TestE18(t *testing.T) {
	p, crm, desk := parts(t, 5, protocol.Faults{})
	var mu sync.Mutex
	started := map[string]int{}
	var records int64
	var runner *protocol.Runner
	p.Start = func(c schema.Claim) {
		mu.Lock()
		started[workflows.ID(c)]++
		records += int64(c.Records)
		mu.Unlock()
		if err := runner.Start(context.WithoutCancel(t.Context()), c); err != nil {
			t.Error(err)
		}
	}
	j := storetest.Open(t, storetest.Options{Digest: p.Bundle.Digest, Systems: []schema.SystemSetup{{System: "crm", Slots: 8, Singles: 5}, {System: "desk", Slots: 8, Singles: 5}}})
	others := [3]func(i *storetest.Installation){}
	for n := range others {
		process := j.Process(p.Bundle.Digest)
		others[n] = func(i *storetest.Installation) { i.Dispatch(process) }
	}
	p.Idle = true
	w := &town{Installation: storetest.InstallOn(t, j, p), crm: crm, desk: desk, bundle: p.Bundle, t: t}
	runner = &protocol.Runner{Activities: w.Activities, Policy: activities.Policy{
		Call: 2 * time.Second, Moment: time.Second, First: time.Millisecond, Longest: 10 * time.Millisecond,
	}}
	t.Cleanup(runner.Wait)
	const people = 80
	for n := range people {
		w.person(n)
	}
	w.Dispatch(j.Store)
	for _, more := range others {
		more(w.Installation)
	}
	w.Settle()
	for n := range people {
		w.edit(crm, w.crm.FindBy("email", fmt.Sprintf("p%d@example.com", n)), "name", fmt.Sprint("m", n))
	}
	stats := w.Settle()
	runner.Wait()
	if stats.Outcomes[schema.Applied] != 2*people || stats.Open.Sum() != 0 {
		t.Errorf("stats %+v", stats)
	}
	for id, n := range started {
		if n != 1 {
			t.Errorf("%s was started %d times", id, n)
		}
	}
	if claims := w.Count(`SELECT count(*) FROM claim`); claims != int64(len(started)) || records != w.Count(`SELECT sum(records) FROM claim`) {
		t.Errorf("%d claims, %d starts", claims, len(started))
	}
	if twice := w.Count(`SELECT count(*) FROM (SELECT r, system, op, rev FROM call, unnest(records, revs) AS u (r, rev) GROUP BY 1, 2, 3, 4 HAVING count(*) > 1) x`); twice != 0 {
		t.Errorf("%d records were told the same twice", twice)
	}
	if crm.Overlaps+desk.Overlaps > 0 {
		t.Errorf("%d overlapping calls", crm.Overlaps+desk.Overlaps)
	}
	if deciders := w.Count(`SELECT count(*) FROM decider WHERE ended IS NULL`); deciders != 4 {
		t.Errorf("%d dispatchers decide", deciders)
	}
	for n := range people {
		if got := w.in(desk, n)["name"]; got != fmt.Sprint("m", n) {
			t.Errorf("person %d is called %q", n, got)
		}
	}
}

// TestRuling13 gives a lone record a workflow of its own, many records one together, and a record in trouble one of its
// own again (ruling 13).
func TestRuling13(t *testing.T) {
	p, crm, desk := parts(t, 50, protocol.Faults{})
	trouble := &moody{Vendor: desk}
	p.Systems["desk"] = activities.System{Name: "desk", Kind: "model", Connector: trouble, Settle: time.Millisecond}
	w := &town{Installation: storetest.Install(t, p), crm: crm, desk: desk, bundle: p.Bundle, t: t}
	start := func(c schema.Claim) (workflow, name string) {
		options, name, _ := workflows.Start(c, "ops", w.bundle.Digest, w.Policy)
		return options.ID, name
	}
	// Light traffic: alone.
	_, receipt := w.person(1)
	lone := w.Next()
	workflow, name := start(lone)
	record := w.Event(receipt).Record
	if want := fmt.Sprintf("sync/customer/%s/%s", record, lone.ID); workflow != want || name != workflows.TypeSync || lone.Records != 1 {
		t.Errorf("one record: %s %s of %d", name, workflow, lone.Records)
	}
	w.Carry(lone)
	w.Settle()
	// Under load: with others.
	const people = 40
	must(t, w.PauseSystem(t.Context(), "desk", "dana"))
	must(t, w.PauseSystem(t.Context(), "crm", "dana"))
	for n := range people {
		w.person(n + 2)
	}
	w.Decided()
	must(t, w.ResumeSystem(t.Context(), "desk", "dana"))
	many := w.Next()
	if workflow, name := start(many); workflow != fmt.Sprintf("sync/desk/%s", many.ID) || name != workflows.TypeSync || many.Records != people || many.Parts != 1 {
		t.Errorf("%d records: %s %s of %d", people, name, workflow, many.Records)
	}
	w.Carry(many)
	must(t, w.ResumeSystem(t.Context(), "crm", "dana"))
	w.Settle()
	// In trouble: three times with the others, then in one of its own, under another id.
	victim := w.in(desk, 5)["key"]
	trouble.upset(victim)
	for n := range people {
		w.edit(crm, crm.FindBy("email", fmt.Sprintf("p%d@example.com", n+2)), "name", "again")
	}
	var single schema.Claim
	for single.Kind != schema.ClaimSingle {
		c := w.Next()
		if c.Kind == schema.ClaimSingle {
			single = c
			continue
		}
		if _, name := start(c); name != workflows.TypeSync {
			t.Errorf("a batch is carried by %s", name)
		}
		w.Carry(c)
	}
	workflow, name = start(single)
	if want := fmt.Sprintf("record/desk/customer/%s/%s", victim, single.ID); workflow != want || name != workflows.TypeSyncRecord || single.Record.String() != victim {
		t.Errorf("in trouble: %s %s", name, workflow)
	}
	if n := trouble.times(victim); n != 3 {
		t.Errorf("it was tried %d times with others", n)
	}
	if again := w.Count(`SELECT count(*) FROM delivery WHERE state <> 'idle' AND record <> $1`, victim); again != 0 {
		t.Errorf("%d others wait for it", again)
	}
	trouble.refuses(nil)
	w.Carry(single)
	stats := w.Settle()
	if got := w.in(desk, 5)["name"]; got != "again" || stats.Open.Sum() != 0 {
		t.Errorf("it is called %q in the end, %+v", got, stats.Open)
	}
}

// moody refuses what the test says.
type moody struct {
	*protocol.Vendor
	mu     sync.Mutex
	refuse func(c connectors.Change) *connectors.Error
	tried  map[string]int
	// silent, when set, is run instead of a write, and nobody answers.
	silent func()
}

// refuses sets what is refused; nil is nothing.
func (m *moody) refuses(what func(c connectors.Change) *connectors.Error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse, m.tried = what, map[string]int{}
}

// upset refuses one record for now.
func (m *moody) upset(canonical string) {
	m.refuses(func(c connectors.Change) *connectors.Error {
		if c.Canonical.String() == canonical {
			return &connectors.Error{System: m.Name, Kind: schema.Contention}
		}
		return nil
	})
}

// times returns how often a record was refused.
func (m *moody) times(canonical string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tried[canonical]
}

// Write refuses some changes and writes the others.
func (m *moody) Write(ctx context.Context, o connectors.Object, changes []connectors.Change) ([]connectors.Answer, error) {
	return m.sift(changes, func(rest []connectors.Change) ([]connectors.Answer, error) { return m.Vendor.Write(ctx, o, rest) })
}

// Link refuses some changes and writes the others.
func (m *moody) Link(ctx context.Context, o connectors.Object, changes []connectors.Change) ([]connectors.Answer, error) {
	return m.Write(ctx, o, changes)
}

func (m *moody) sift(changes []connectors.Change, do func([]connectors.Change) ([]connectors.Answer, error)) ([]connectors.Answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.silent != nil {
		m.silent()
		return nil, &connectors.Error{System: m.Name, Kind: schema.UnknownOutcome}
	}
	answers := make([]connectors.Answer, len(changes))
	var rest []connectors.Change
	var places []int
	for i, c := range changes {
		if m.refuse != nil {
			if answers[i].Err = m.refuse(c); answers[i].Err != nil {
				m.tried[c.Canonical.String()]++
				continue
			}
		}
		rest, places = append(rest, c), append(places, i)
	}
	told, err := do(rest)
	if err != nil {
		return nil, err
	}
	for n, i := range places {
		answers[i] = told[n]
	}
	return answers, nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A journal that was restored is not worked on until somebody has made it good, from the first moment on (protocol F11).
func TestARestoredJournalIsLeftAlone(t *testing.T) {
	p, crm, desk := parts(t, 5, protocol.Faults{})
	p.Idle = true
	w := &town{Installation: storetest.Install(t, p), crm: crm, desk: desk, bundle: p.Bundle, t: t}
	var receipts []schema.ID
	for n := range 20 {
		_, receipt := w.person(n)
		receipts = append(receipts, receipt)
	}
	w.Exec(`UPDATE epoch SET timeline = timeline + 1`)
	w.Dispatch(w.Store)
	eventually(t, "the restore is found out", func() bool { return w.Count(`SELECT count(*) FROM epoch WHERE NOT recovered`) == 1 })
	for _, r := range receipts {
		if e := w.Event(r); e.State != "new" {
			t.Fatalf("an event is %s in a journal that was restored", e.State)
		}
	}
	w.Wake(schema.TopicDecide)
	if w.Claimed() || w.Count(`SELECT count(*) FROM claim`)+w.Count(`SELECT count(*) FROM delivery`) > 0 {
		t.Error("something is claimed in a journal that was restored")
	}
	must(t, w.Recover(t.Context(), "dana"))
	w.Dispatch(w.Store) // a process that starts now need not wait for its next look
	w.Settle()
	for _, r := range receipts {
		if e := w.Event(r); e.Outcome != schema.Applied {
			t.Errorf("after the recovery an event is %s %s", e.State, e.Outcome)
		}
	}
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestE11 has events that make the decider panic: each is buried alone, its owner is named, and everything else goes on.
func TestE11(t *testing.T) {
	p, crm, desk := parts(t, 10, protocol.Faults{})
	p.Envelopes = map[string]connectors.Envelope{"crm": fragile{}, "desk": protocol.Envelope{}, "gone": protocol.Envelope{}}
	w := &town{Installation: storetest.Install(t, p), crm: crm, desk: desk, bundle: p.Bundle, t: t}
	id, first := w.person(1)
	_, other := w.person(2)
	w.Settle()
	must(t, w.PauseSystem(t.Context(), "desk", "dana"))
	bad := map[string]schema.ID{
		"an event that its envelope cannot bear": w.edit(crm, id, "name", poison),
		// As after a change of the map, while events of a system that it listed are open.
		"an event of a system that the map lists no more": w.Tell("gone", schema.Change{Object: "Person", Ref: "x1", Kind: schema.EventFull, At: time.Now().UTC()}),
	}
	good := w.edit(crm, id, "name", "Ada")
	must(t, w.ResumeSystem(t.Context(), "desk", "dana"))
	stats := w.Settle()
	for name, receipt := range bad {
		if e := w.Event(receipt); e.Outcome != schema.Dead || e.Reason != schema.ReasonInternal || e.DeadLetter == "" {
			t.Errorf("%s is %s %s %s", name, e.State, e.Outcome, e.Reason)
		}
	}
	for name, receipt := range map[string]schema.ID{"the first": first, "another's": other, "the next": good} {
		if e := w.Event(receipt); e.Outcome != schema.Applied {
			t.Errorf("%s event is %s %s", name, e.State, e.Outcome)
		}
	}
	if got := w.in(desk, 1)["name"]; got != "Ada" {
		t.Errorf("the desk calls them %q", got)
	}
	if got := w.Texts(`SELECT owner || ' ' || reason FROM member WHERE closed IS NULL`); len(got) != len(bad) || got[0] != "ops internal" || stats.DeadLetters != 2 {
		t.Errorf("failures %v, %d dead letters", got, stats.DeadLetters)
	}
}

const poison = "an event that panics"

// fragile panics at one value, as a mistake of ours would.
type fragile struct{ protocol.Envelope }

// Parse panics.
func (f fragile) Parse(raw json.RawMessage) ([]schema.Change, error) {
	if strings.Contains(string(raw), poison) {
		panic("a mistake in " + string(raw))
	}
	return f.Envelope.Parse(raw)
}

// What kills the whole process is counted before it is tried again, and buried after three times (protocol F18).
func TestWhatKillsTheProcessIsBuried(t *testing.T) {
	p, crm, desk := parts(t, 10, protocol.Faults{})
	p.Idle = true
	w := &town{Installation: storetest.Install(t, p), crm: crm, desk: desk, bundle: p.Bundle, t: t}
	_, deadly := w.person(1)
	_, other := w.person(2)
	for tries := range 3 {
		// A decider that counted the try and never came back.
		w.Exec(`INSERT INTO decider (alive) VALUES (now() - interval '1 minute')`)
		id, crashed, err := w.BeginDeciding(t.Context())
		must(t, err)
		seq, err := w.LastSequence(t.Context())
		must(t, err)
		record, err := w.CountTry(t.Context(), schema.LaneNormal, seq)
		must(t, err)
		if !crashed || record != w.Event(deadly).Record {
			t.Fatalf("try %d: crashed %t, record %s", tries, crashed, record)
		}
		w.Exec(`UPDATE decider SET alive = now() - interval '1 minute' WHERE id = $1`, id)
	}
	w.Dispatch(w.Store)
	w.Settle()
	if e := w.Event(deadly); e.Outcome != schema.Dead || e.Reason != schema.ReasonInternal {
		t.Errorf("it is %s %s %s", e.State, e.Outcome, e.Reason)
	}
	if e := w.Event(other); e.Outcome != schema.Applied {
		t.Errorf("the other event is %s %s", e.State, e.Outcome)
	}
	if n := w.Count(`SELECT count(*) FROM decider WHERE ended IS NULL`); n != 1 {
		t.Errorf("%d deciders live", n)
	}
}

// A process that ends in order leaves nothing behind that looks like a crash.
func TestACleanEndIsNoCrash(t *testing.T) {
	p, _, _ := parts(t, 10, protocol.Faults{})
	p.Idle = true
	i := storetest.Install(t, p)
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { i.Dispatcher(i.Store).Run(ctx) })
	eventually(t, "the decider says that it lives", func() bool { return i.Count(`SELECT count(*) FROM decider WHERE ended IS NULL`) == 1 })
	stop()
	all.Wait()
	if n := i.Count(`SELECT count(*) FROM decider WHERE ended IS NULL`); n != 0 {
		t.Errorf("%d deciders look as if they had died", n)
	}
	i.Exec(`UPDATE decider SET alive = now() - interval '1 minute'`)
	if _, crashed, err := i.BeginDeciding(t.Context()); err != nil || crashed {
		t.Errorf("crashed %t, %v", crashed, err)
	}
}

// An event whose word stands is applied once the systems have been told, not before: also when the death of another event
// has it decided again (protocol F12).
func TestNothingIsAppliedBeforeItIsTold(t *testing.T) {
	p, crm, desk := parts(t, 10, protocol.Faults{})
	strict := &moody{Vendor: desk}
	p.Systems["desk"] = activities.System{Name: "desk", Kind: "model", Connector: strict, Settle: time.Millisecond}
	w := &town{Installation: storetest.Install(t, p), crm: crm, desk: desk, bundle: p.Bundle, t: t}
	id, _ := w.person(1, "phone", "+13175550100")
	w.Settle()
	strict.refuses(func(c connectors.Change) *connectors.Error {
		if c.Fields["phone"] == "+13175550101" {
			return &connectors.Error{System: "desk", Kind: schema.Invalid, Field: "phone", Code: "invalid.phone"}
		}
		return nil
	})
	must(t, w.PauseSystem(t.Context(), "desk", "dana"))
	bad, good := w.edit(crm, id, "phone", "+13175550101"), w.edit(crm, id, "name", "Ada")
	w.Decided()
	must(t, w.ResumeSystem(t.Context(), "desk", "dana"))
	c := w.Next()
	if _, err := w.Attempt(c, 0, 1); err != nil {
		t.Fatal(err)
	}
	must(t, w.PauseSystem(t.Context(), "desk", "dana"))
	w.Decided()
	if e := w.Event(bad); e.Outcome != schema.Dead || e.Reason != schema.ReasonValueRefused {
		t.Errorf("the refused one is %s %s", e.State, e.Outcome)
	}
	if got := w.in(desk, 1)["name"]; got != "n1" {
		t.Fatalf("the desk was told %q", got)
	}
	if e := w.Event(good); e.State == "done" {
		t.Errorf("the other one is %s although the desk has not been told", e.Outcome)
	}
	w.Sound()
	w.Conserved()
	must(t, w.ResumeSystem(t.Context(), "desk", "dana"))
	w.Settle()
	if e := w.Event(good); e.Outcome != schema.Applied || w.in(desk, 1)["name"] != "Ada" || w.in(desk, 1)["phone"] != "+13175550100" {
		t.Errorf("the other one is %s %s, the desk has %v", e.State, e.Outcome, w.in(desk, 1))
	}
	if got := w.Text(`SELECT owner FROM member WHERE closed IS NULL`); got != "telephony" {
		t.Errorf("the failure reaches %q, want the field's owner", got)
	}
}

// Two customers that cannot be made one, because a system had both, wait for a person; they do not keep everybody else
// from being decided.
func TestRecordsThatCannotBeJoinedBlockNobody(t *testing.T) {
	w := newTown(t, 10)
	id, _ := w.person(1)
	w.Settle()
	// The first one is deleted in the CRM and lives on at the desk, where somebody gives it the second one's address.
	w.Tell("crm", schema.Change{Object: "Person", Ref: id, Kind: schema.EventDelete, At: time.Now().Add(time.Second).UTC()})
	w.Settle()
	must(t, w.PauseSystem(t.Context(), "desk", "dana"))
	_, second := w.person(2)
	w.Decided()
	at := w.desk.FindBy("mail", "p1@example.com")
	crossing := w.edit(w.desk, at, "mail", "p2@example.com")
	eventually(t, "the crossing event waits for a person", func() bool {
		for w.Claimed() {
			w.Carry(w.Next())
		}
		e := w.Event(crossing)
		return e.State == "held" && e.Reason == schema.ReasonKeyTaken
	})
	if n := w.Count(`SELECT count(*) FROM member WHERE closed IS NULL AND reason = 'key_taken' AND owner = 'ops'`); n != 1 {
		t.Errorf("%d people hear of it", n)
	}
	_, third := w.person(3)
	eventually(t, "somebody else's event is decided", func() bool { return w.Event(third).State != "new" })
	must(t, w.ResumeSystem(t.Context(), "desk", "dana"))
	w.Settle()
	for name, receipt := range map[string]schema.ID{"the second": second, "the third": third} {
		if e := w.Event(receipt); e.Outcome != schema.Applied {
			t.Errorf("%s is %s %s", name, e.State, e.Outcome)
		}
	}
}

// A system that only sends cannot be asked: what it says is taken as it comes, and nothing waits for a read that nobody
// can make.
func TestASourceIsNeverRead(t *testing.T) {
	w := newTown(t, 10)
	w.person(1)
	w.Settle()
	now := time.Now().UTC().Truncate(time.Millisecond)
	says := func(kind schema.EventKind, at time.Time, fields schema.Fields) schema.ID {
		t.Helper()
		return w.Tell("till", schema.Change{Object: "Person", Ref: "t1", Kind: kind, At: at, Fields: fields})
	}
	first := says(schema.EventChange, now, schema.Fields{"mail": "p1@example.com", "spent": "10"})
	w.Settle()
	if e := w.Event(first); e.Outcome != schema.Applied {
		t.Fatalf("its first word is %s %s %s", e.State, e.Outcome, e.Reason)
	}
	if got := w.in(w.crm, 1)["spent"]; got != "10" {
		t.Errorf("the CRM has %q", got)
	}
	// Two words of one moment: nobody can say which one was later, and neither waits for ever.
	a, b := says(schema.EventChange, now.Add(time.Second), schema.Fields{"spent": "20"}), says(schema.EventChange, now.Add(time.Second), schema.Fields{"spent": "30"})
	stats := w.Settle()
	if stats.Open.Sum() != 0 {
		t.Errorf("open %+v: %s %s and %s %s", stats.Open, w.Event(a).State, w.Event(a).Reason, w.Event(b).State, w.Event(b).Reason)
	}
	last := says(schema.EventChange, now.Add(2*time.Second), schema.Fields{"spent": "40"})
	if e := w.settled(last); e.Outcome != schema.Applied || w.in(w.crm, 1)["spent"] != "40" {
		t.Errorf("its last word is %s %s, the CRM has %q", e.State, e.Outcome, w.in(w.crm, 1)["spent"])
	}
	if n := w.Count(`SELECT count(*) FROM delivery WHERE system = 'till'`); n != 0 {
		t.Errorf("%d deliveries for a system that is never called", n)
	}
}

// What waits for a person names the person; what waits for its time goes on by itself.
func TestWhatIsHeld(t *testing.T) {
	w := newTown(t, 10)
	id, _ := w.person(1)
	w.Settle()
	merged := w.Tell("crm", schema.Change{Object: "Person", Ref: id, Kind: schema.EventMerge, At: time.Now().UTC(), Into: "c9999"})
	_, at := w.crm.Human(id, map[string]string{"nick": "soon"})
	soon := w.Tell("crm", schema.Change{Object: "Person", Ref: id, Kind: schema.EventChange, At: time.UnixMilli(at).Add(time.Hour).UTC(), Fields: schema.Fields{"nick": "soon"}})
	bad := w.edit(w.crm, id, "phone", "12")
	w.Decided()
	for name, c := range map[string]struct {
		receipt schema.ID
		reason  schema.Reason
		owner   string
	}{"a merge in its own system": {merged, schema.ReasonVendorMerge, "ops"}, "a date in the future": {soon, schema.ReasonClockSkew, ""}, "no telephone number": {bad, schema.ReasonBadPhone, "telephony"}} {
		e := w.Event(c.receipt)
		if e.State != "held" || e.Reason != c.reason || e.Sentence == "" {
			t.Errorf("%s: %s %s", name, e.State, e.Reason)
		}
		if got := w.Text(`SELECT owner FROM member WHERE closed IS NULL AND event = $1`, e.Event.String()); got != c.owner {
			t.Errorf("%s reaches %q, want %q", name, got, c.owner)
		}
	}
	w.Exec(`UPDATE open_event SET held_until = now() WHERE held_until IS NOT NULL`)
	eventually(t, "its time is looked at again", func() bool {
		return w.Count(`SELECT count(*) FROM open_event WHERE reason = 'clock_skew' AND held_until > now() + interval '50 minutes'`) == 1
	})
	w.Exec(`UPDATE open_event SET state = 'new', reason = NULL, held_until = NULL WHERE reason = 'vendor_merge'`)
	w.Wake(schema.TopicDecide)
	eventually(t, "a held event is decided again", func() bool { return w.Event(merged).State == "held" })
	if n := w.Count(`SELECT count(*) FROM member WHERE closed IS NULL AND reason = 'vendor_merge'`); n != 1 {
		t.Errorf("%d failures for one event that is held twice", n)
	}
	w.Sound()
}

// A process with another map than the active one decides nothing and does not hinder the one that holds it.
func TestADispatcherOfAnotherMapIsIdle(t *testing.T) {
	p, crm, desk := parts(t, 10, protocol.Faults{})
	j := storetest.Open(t, storetest.Options{Digest: p.Bundle.Digest, Systems: []schema.SystemSetup{{System: "crm", Slots: 4, Singles: 5}, {System: "desk", Slots: 4, Singles: 5}}})
	old := j.Process("the map of yesterday")
	p.Idle = true
	w := &town{Installation: storetest.InstallOn(t, j, p), crm: crm, desk: desk, bundle: p.Bundle, t: t}
	_, receipt := w.person(1)
	w.Dispatch(old)
	eventually(t, "the old process lives", func() bool { return w.Count(`SELECT count(*) FROM decider WHERE ended IS NULL`) == 1 })
	eventually(t, "the old process has tried", func() bool {
		return w.Count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%active_bundle%'`) > 0
	})
	if e := w.Event(receipt); e.State != "new" {
		t.Errorf("it decided: %s %s", e.State, e.Outcome)
	}
	w.Dispatch(j.Store)
	w.Settle()
	if e := w.Event(receipt); e.Outcome != schema.Applied {
		t.Errorf("it is %s %s", e.State, e.Outcome)
	}
}

// A row that cannot be opened any more waits for an engineer, with its own events only. Whatever is held leaves what the
// record knew as it was.
func TestADamagedRowBlocksNobody(t *testing.T) {
	w := newTown(t, 10)
	// Two people share a number, and the desk knows neither: nobody says which of them calls.
	must(t, w.PauseSystem(t.Context(), "desk", "dana"))
	id, told := w.person(1, "phone", "+13175550100")
	other, _ := w.person(2, "phone", "+13175550100")
	w.Decided()
	caller, at := w.desk.Human("", map[string]string{"phone": "+13175550100"})
	first := w.Tell("desk", whole(caller, at, map[string]string{"phone": "+13175550100"}))
	w.Decided()
	if e := w.Event(first); e.State != "held" {
		t.Fatalf("the caller is %s %s", e.State, e.Reason)
	}
	must(t, w.ResumeSystem(t.Context(), "desk", "dana"))
	named := w.edit(w.desk, caller, "mail", "p3@example.com")
	if e := w.settled(named); e.Outcome != schema.Applied {
		t.Errorf("once the caller has an address: %s %s %s", e.State, e.Outcome, e.Reason)
	}
	if e := w.Event(first); e.State != "done" {
		t.Errorf("it is clear who called, and the call itself is %s %s", e.State, e.Reason)
	}
	if n := w.Count(`SELECT count(*) FROM member WHERE closed IS NULL AND reason = 'ambiguous_match' AND event IS NOT NULL`); n != 0 {
		t.Errorf("%d people are still asked who it is", n)
	}
	w.Sound()
	// One row is damaged.
	w.Exec(`UPDATE record SET state = '\x00' WHERE id = (SELECT r.record FROM event e JOIN ref r ON r.id = e.ref WHERE e.id = $1)`, w.Event(told).Event.String())
	broken := map[schema.ID]bool{}
	var held int
	for n, person := range []string{id, other} {
		broken[w.edit(w.crm, person, "nick", fmt.Sprint("nick", n))] = true
	}
	w.Settle()
	for receipt := range broken {
		if e := w.Event(receipt); e.State == "held" && e.Reason == schema.ReasonInternal {
			held++
		} else if e.Outcome != schema.Applied {
			t.Errorf("%s %s %s", e.State, e.Outcome, e.Reason)
		}
	}
	if held != 1 {
		t.Errorf("%d events wait for an engineer, want the damaged record's", held)
	}
	if n := w.Count(`SELECT count(*) FROM member WHERE closed IS NULL AND reason = 'internal'`); n != 1 {
		t.Errorf("%d people hear of it", n)
	}
}
