package dispatch_test

import (
	"testing"
	"time"

	"lockstep/schema"
)

// reads counts the calls that read a system.
func (w *town) reads(system string) int64 {
	w.t.Helper()
	return w.Count(`SELECT count(*) FROM call WHERE op = 'read' AND system = $1`, system)
}

// waiting lists what is in front of a person: reason, system and owner of each open failure.
func (w *town) waiting() []string {
	w.t.Helper()
	return w.Texts(`SELECT reason || ' ' || system || ' ' || owner FROM member WHERE closed IS NULL ORDER BY opened`)
}

// parked says under which reason a system's delivery of a record waits for a person, "" when it does not.
func (w *town) parked(record schema.ID, system string) string {
	w.t.Helper()
	return w.Text(`SELECT reason FROM delivery WHERE record = $1 AND system = $2 AND state = 'parked'`, record.String(), system)
}

// What a read shows and nobody can spell waits for a person, and with it everything that needs the read. Nobody reads
// again until something happens there, and then once.
func TestAReadThatNobodyUnderstandsIsNotRepeated(t *testing.T) {
	w := newTown(t, 10)
	id, _ := w.crm.Human("", map[string]string{"email": "p1@example.com", "name": "n1", "phone": "12"})
	first := w.edit(w.crm, id, "name", "Ada")
	stats := w.Settle()
	e := w.Event(first)
	if e.State != "held" || e.Reason != schema.ReasonBadPhone {
		t.Errorf("the change is %s %s", e.State, e.Reason)
	}
	expect := func(when string, reads int64) {
		t.Helper()
		if n := w.reads("crm"); n != reads {
			t.Errorf("%s: %d reads, want %d", when, n, reads)
		}
		if got := w.waiting(); len(got) != 1 || got[0] != "bad_phone crm telephony" {
			t.Errorf("%s: in front of people is %v", when, got)
		}
		if n := w.Count(`SELECT count(*) FROM open_event WHERE state = 'held' AND source = 'lockstep'`); n != 1 {
			t.Errorf("%s: %d reads are held", when, n)
		}
		if got := w.parked(e.Record, "crm"); got != "bad_phone" {
			t.Errorf("%s: the delivery waits for %q", when, got)
		}
	}
	expect("at first", 1)
	if stats.Open.Held != 1 || w.Count(`SELECT count(*) FROM call`) != 1 {
		t.Errorf("%+v after %d calls", stats.Open, w.Count(`SELECT count(*) FROM call`))
	}
	second := w.edit(w.crm, id, "nick", "Addy")
	w.Settle()
	expect("after another change", 2)
	moved, err := w.Unpark(t.Context(), e.Record, "crm", "dana")
	must(t, err)
	w.Settle()
	if !moved {
		t.Error("a person cannot release it")
	}
	expect("released for nothing", 3)
	mended := w.edit(w.crm, id, "phone", "+13175550100")
	w.Settle()
	if n := w.reads("crm"); n != 4 || len(w.waiting()) > 0 || w.parked(e.Record, "crm") != "" {
		t.Errorf("mended: %d reads, %v in front of people, parked for %q", n, w.waiting(), w.parked(e.Record, "crm"))
	}
	for name, receipt := range map[string]schema.ID{"the first change": first, "the second": second, "the one that mended it": mended} {
		if e := w.Event(receipt); e.Outcome != schema.Applied {
			t.Errorf("%s is %s %s %s", name, e.State, e.Outcome, e.Reason)
		}
	}
	if got := w.in(w.desk, 1); got["name"] != "Ada" || got["phone"] != "+13175550100" || got["nickname"] != "Addy" {
		t.Errorf("the desk has %v", got)
	}
	if n := w.Count(`SELECT count(*) FROM open_event`); n != 0 {
		t.Errorf("%d events are open", n)
	}
}

// A system whose newest read nobody understands is told nothing, whatever was believed of it before: what it holds by now
// may be somebody's newer word.
func TestWhatNobodyUnderstandsIsNotOverwritten(t *testing.T) {
	w := newTown(t, 10)
	id, receipt := w.person(1, "phone", "+13175550100", "nick", "old")
	w.Settle()
	record := w.Event(receipt).Record
	// Somebody edits in the CRM and nobody tells us; then the journal is restored, and everything is read before it is written.
	w.crm.Human(id, map[string]string{"nick": "theirs", "phone": "12"})
	must(t, w.BeginEpoch(t.Context(), "dana"))
	must(t, w.Recover(t.Context(), "dana"))
	w.Dispatch(w.Store)
	at := w.desk.FindBy("mail", "p1@example.com")
	// Before theirs in time: theirs has to stand in the end.
	before := w.Tell("desk", schema.Change{
		Object: "Person", Ref: at, Kind: schema.EventChange, At: time.Now().Add(-time.Minute).UTC(), Fields: schema.Fields{"nickname": "older"},
	})
	w.Settle()
	after := w.edit(w.desk, at, "nickname", "newest")
	w.Settle()
	records, _, _ := w.crm.State("key")
	if got := records[record.String()]["nick"]; got != "theirs" {
		t.Errorf("the CRM was told %q over what nobody had looked at", got)
	}
	if got := w.parked(record, "crm"); got != "bad_phone" {
		t.Errorf("the CRM's delivery waits for %q", got)
	}
	if n := w.reads("crm"); n > 3 {
		t.Errorf("%d reads for three events", n)
	}
	w.edit(w.crm, id, "phone", "+13175550101")
	w.Settle()
	for name, receipt := range map[string]schema.ID{"the older word": before, "the newest": after} {
		if e := w.Event(receipt); e.State != "done" {
			t.Errorf("%s is %s %s", name, e.State, e.Reason)
		}
	}
	if crm, desk := w.in(w.crm, 1), w.in(w.desk, 1); crm["nick"] != desk["nickname"] || crm["phone"] != "+13175550101" || desk["phone"] != "+13175550101" {
		t.Errorf("in the end the CRM has %v, the desk %v", crm, desk)
	}
	if got := w.waiting(); len(got) > 0 {
		t.Errorf("in front of people is %v", got)
	}
}

// A record that was deleted while nobody understood it is done with: the deletion is news, and it is looked at once more.
func TestWhatNobodyUnderstoodMayBeDeleted(t *testing.T) {
	w := newTown(t, 10)
	id, _ := w.crm.Human("", map[string]string{"email": "p1@example.com", "phone": "12"})
	first := w.edit(w.crm, id, "name", "Ada")
	w.Settle()
	w.crm.Delete(id)
	w.Tell("crm", schema.Change{Object: "Person", Ref: id, Kind: schema.EventDelete, At: time.Now().UTC()})
	stats := w.Settle()
	if stats.Open.Sum() != 0 || w.reads("crm") != 2 || w.Event(first).State != "done" {
		t.Errorf("%+v after %d reads, the change is %s %s", stats.Open, w.reads("crm"), w.Event(first).State, w.Event(first).Reason)
	}
}

// A read that ends the process or makes the rules panic is buried, once: it is not read again to be buried again.
func TestAReadThatIsBuriedIsNotRepeated(t *testing.T) {
	w := newTown(t, 10)
	w.Exec(`CREATE FUNCTION deadly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.tries := 3; RETURN NEW; END $$`)
	w.Exec(`CREATE TRIGGER deadly BEFORE INSERT ON open_event FOR EACH ROW WHEN (NEW.source = 'lockstep') EXECUTE FUNCTION deadly()`)
	id, _ := w.crm.Human("", map[string]string{"email": "p1@example.com"})
	e := w.settled(w.edit(w.crm, id, "name", "Ada"))
	if e.State != "held" || e.Reason != schema.ReasonInternal || w.parked(e.Record, "crm") != "internal" {
		t.Errorf("the change is %s %s, the delivery waits for %q", e.State, e.Reason, w.parked(e.Record, "crm"))
	}
	if letters := w.Count(`SELECT count(*) FROM dead_letter`); letters != 1 || w.reads("crm") != 1 || len(w.waiting()) != 1 {
		t.Errorf("%d dead letters after %d reads, %v in front of people", letters, w.reads("crm"), w.waiting())
	}
	w.Exec(`DROP TRIGGER deadly ON open_event`)
	moved, err := w.Unpark(t.Context(), e.Record, "crm", "dana")
	must(t, err)
	if e := w.settled(schema.ReceiptOf(e.Event)); !moved || e.Outcome != schema.Applied || w.in(w.desk, 1)["name"] != "Ada" {
		t.Errorf("released, the change is %s %s", e.State, e.Outcome)
	}
}

// A wish to become one with another record that cannot come true is considered once, and moves nothing that waits for a
// person.
func TestAVainWishForAJoinIsForgotten(t *testing.T) {
	w := newTown(t, 10)
	_, receipt := w.person(1)
	_, other := w.person(2)
	w.Settle()
	one, two := w.Event(receipt).Record, w.Event(other).Record
	must(t, w.PauseSystem(t.Context(), "desk", "dana"))
	w.edit(w.crm, w.crm.FindBy("email", "p1@example.com"), "name", "Ada")
	w.Decided()
	w.Exec(`UPDATE delivery SET state = 'parked', reason = 'given_up' WHERE record = $1 AND system = 'desk'`, one.String())
	w.Exec(`UPDATE record SET wants_join = $2 WHERE id = $1`, one.String(), two.String())
	eventually(t, "the wish is considered", func() bool { return w.Count(`SELECT count(*) FROM record WHERE wants_join IS NOT NULL`) == 0 })
	if got := w.parked(one, "desk"); got != "given_up" {
		t.Errorf("the delivery waits for %q", got)
	}
}

// A look-up finds the customer's record, and nobody understands what it shows: it is the customer's all the same, no second
// one is made, and it is left alone.
func TestWhatALookUpFindsAndNobodyUnderstands(t *testing.T) {
	w := newTown(t, 10)
	w.crm.Human("", map[string]string{"email": "p1@example.com", "phone": "12"})
	at, when := w.desk.Human("", map[string]string{"mail": "p1@example.com"})
	e := w.settled(w.Tell("desk", whole(at, when, map[string]string{"mail": "p1@example.com"})))
	if e.State != "decided" || w.parked(e.Record, "crm") != "bad_phone" || w.reads("crm") != 0 || len(w.waiting()) != 1 {
		t.Errorf("the event is %s, the CRM's delivery waits for %q after %d reads, %v in front of people", e.State, w.parked(e.Record, "crm"), w.reads("crm"), w.waiting())
	}
	id := w.crm.FindBy("email", "p1@example.com")
	w.edit(w.crm, id, "phone", "+13175550100")
	stats := w.Settle()
	if n, _, _ := w.crm.State("key"); stats.Open.Sum() != 0 || len(n) != 1 || w.in(w.crm, 1)["key"] != e.Record.String() || len(w.waiting()) != 0 {
		t.Errorf("mended: %+v, %d records, %v in front of people", stats.Open, len(n), w.waiting())
	}
}
