package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"lockstep/internal/store/storetest"
	"lockstep/schema"
)

func TestAnAnswerEndsWhatItTold(t *testing.T) {
	b := newBench(t)
	event := b.ready("003A", "genesys", schema.OpWrite)
	record := b.recordOf(event)
	c := b.claim(toGenesys)
	o := b.opened(c)
	if got := b.Text(`SELECT state FROM call WHERE id = $1 AND deadline > now() + interval '30 seconds'`, o.Call.ID.String()); got != "sent" {
		t.Errorf("the call stands as %q before it is made", got)
	}
	if b.answer(o) {
		t.Error("late")
	}
	if d := b.delivery(record, "genesys"); d.State != "idle" || d.OwedFrom != 0 || d.Claim != "" {
		t.Errorf("delivery %+v", d)
	}
	if b.outcome(event) != "applied" || b.openClaims() != 0 || b.takenSlots() != 0 || b.Text(`SELECT state FROM call`) != "answered" {
		t.Errorf("%q, %d claims, %d slots", b.outcome(event), b.openClaims(), b.takenSlots())
	}
	if call := b.Text(`SELECT call::text FROM outcome`); call != o.Call.ID.String() {
		t.Errorf("the outcome names call %s", call)
	}
	if o := b.open(c, 0); !o.Done || o.Call != nil {
		t.Errorf("a closed claim is opened: %+v", o)
	}
	if b.answer(o) != true {
		t.Error("an answer was written down twice")
	}
	b.Conserved()
}

// What was decided while the call was under way is owed still, and nothing ends before it is told.
func TestAnAnswerLeavesWhatCameSince(t *testing.T) {
	b := newBench(t)
	first := b.ready("003A", "genesys", schema.OpWrite)
	record := b.recordOf(first)
	o := b.opened(b.claim(toGenesys))
	second := b.ready("003A", "genesys", schema.OpWrite)
	if d := b.delivery(record, "genesys"); d.State != "claimed" || d.DesiredRev != 2 || d.OwedFrom != 1 {
		t.Fatalf("delivery %+v", d)
	}
	dirty := false
	_, err := b.CloseCall(t.Context(), *o.Call, o.Items, func(items []*schema.Item, holder func(string) (schema.ID, error)) ([]schema.Ending, error) {
		dirty = items[0].Dirty
		return endings(o)(items, holder)
	})
	must(t, err)
	if !dirty {
		t.Error("the settler is not told of the decision since")
	}
	if d := b.delivery(record, "genesys"); d.State != "ready" || d.OwedFrom != 2 {
		t.Errorf("delivery %+v", d)
	}
	if b.outcome(first) != "superseded" || b.outcome(second) != "" {
		t.Errorf("the first, of which no word stands, is %q, the second %q", b.outcome(first), b.outcome(second))
	}
	b.answer(b.opened(b.claim(toGenesys)))
	if b.outcome(second) != "applied" {
		t.Error("the second is not applied")
	}
	b.Sound()
}

// Every kind of ending, and what it makes of the delivery.
func TestEndings(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*schema.Ending)
		want   delivery
		ends   string
	}{
		"told": {func(*schema.Ending) {}, delivery{State: "idle", Op: "write", DesiredRev: 1}, "applied"},
		"told, and more to tell": {func(e *schema.Ending) { e.More, e.Next = true, schema.OpLink },
			delivery{State: "ready", Op: "link", DesiredRev: 2, OwedFrom: 2}, "applied"},
		"told, and to be read": {func(e *schema.Ending) { e.More, e.Next = true, schema.OpRead },
			delivery{State: "ready", Op: "read", DesiredRev: 2, OwedFrom: 2}, "applied"},
		"failed for now": {func(e *schema.Ending) {
			e.Told, e.Failed, e.After, e.Kind = false, true, 2*time.Second, schema.Contention
		},
			delivery{State: "ready", Op: "write", DesiredRev: 1, OwedFrom: 1, Tries: 1, In: 2}, ""},
		"unknown": {func(e *schema.Ending) { e.Told, e.Failed, e.Next, e.After = false, true, schema.OpRead, 3*time.Second },
			delivery{State: "ready", Op: "read", DesiredRev: 1, OwedFrom: 1, Tries: 1, In: 3}, ""},
		"not told, another operation": {func(e *schema.Ending) { e.Told, e.Next = false, schema.OpCreate },
			delivery{State: "ready", Op: "create", DesiredRev: 1, OwedFrom: 1}, ""},
		"parked": {func(e *schema.Ending) { e.Told, e.Parked = false, schema.ReasonWriteForbidden },
			delivery{State: "parked", Op: "write", DesiredRev: 1, OwedFrom: 1, Reason: "write_forbidden"}, ""},
		"one event at a time": {func(e *schema.Ending) { e.Told, e.Isolate = false, true },
			delivery{State: "ready", Op: "write", DesiredRev: 1, OwedFrom: 1, Isolate: true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			event := b.ready("003A", "genesys", schema.OpWrite)
			b.answer(b.opened(b.claim(toGenesys)), c.change)
			got := b.delivery(b.recordOf(event), "genesys")
			if got.In < c.want.In-1 || got.In > c.want.In {
				t.Errorf("ready in %.1f s, want %.0f", got.In, c.want.In)
			}
			got.In, c.want.In = 0, 0
			if got != c.want || b.outcome(event) != c.ends {
				t.Errorf("%+v and %q,\nwant %+v and %q", got, b.outcome(event), c.want, c.ends)
			}
			if b.openClaims() != 0 || b.takenSlots() != 0 {
				t.Error("the claim is open")
			}
			b.Sound()
			b.Conserved()
		})
	}
}

// A call that nobody answered is waited for, then counts as unknown; its answer is late and believes nothing.
func TestALateAnswerChangesNothingAndAsksForARead(t *testing.T) {
	b := newBench(t)
	event := b.ready("003A", "genesys", schema.OpWrite)
	record := b.recordOf(event)
	c := b.claim(toGenesys)
	late := b.opened(c)
	if o := b.open(c, 0); o.Call != nil || o.Wait < 50*time.Second || o.Reason != schema.ReasonOutcomeUnknown {
		t.Fatalf("a second call beside the first: %+v", o)
	}
	b.Exec(`UPDATE call SET deadline = now() - interval '1 second', sent_at = now() - interval '2 minutes'`)
	unanswered := false
	second, err := b.OpenCall(t.Context(), quickly(c, 0), func(call schema.Call, items []*schema.Item, u bool) ([]int, []byte, []schema.Ending, error) {
		unanswered = u
		return everything(call, items, u)
	})
	must(t, err)
	if !unanswered || second.Call == nil || b.Text(`SELECT state FROM call WHERE id = $1`, late.Call.ID.String()) != "unknown" {
		t.Fatalf("unanswered %t, %+v", unanswered, second)
	}
	settled := false
	answeredLate, err := b.CloseCall(t.Context(), *late.Call, late.Items, func([]*schema.Item, func(string) (schema.ID, error)) ([]schema.Ending, error) {
		settled = true
		return nil, nil
	})
	must(t, err)
	if !answeredLate || settled {
		t.Errorf("late %t, settled %t", answeredLate, settled)
	}
	if d := b.delivery(record, "genesys"); d.State != "claimed" || !d.ReadWanted || d.Op != "write" || b.outcome(event) != "" {
		t.Errorf("delivery %+v", d)
	}
	// Whoever holds the claim ends what he told; then the record is read.
	b.answer(second)
	if d := b.delivery(record, "genesys"); d.State != "ready" || d.Op != "read" || d.ReadWanted || b.outcome(event) != "applied" {
		t.Errorf("delivery %+v, the event is %q", d, b.outcome(event))
	}
	b.Sound()
}

func TestALateAnswerFindsItsDeliveryElsewhere(t *testing.T) {
	for state, c := range map[string]struct {
		meanwhile func(b *bench, record schema.ID)
		want      delivery
	}{
		"idle":  {func(b *bench, _ schema.ID) { b.answer(b.opened(b.claim(toGenesys))) }, delivery{State: "ready", Op: "read", DesiredRev: 2, OwedFrom: 2}},
		"ready": {func(*bench, schema.ID) {}, delivery{State: "ready", Op: "read", DesiredRev: 1, OwedFrom: 1}},
		"parked": {func(b *bench, record schema.ID) {
			b.Exec(`UPDATE delivery SET state = 'parked', reason = 'parked_by_person' WHERE record = $1`, record.String())
		}, delivery{State: "parked", Op: "read", DesiredRev: 1, OwedFrom: 1, Reason: "parked_by_person"}},
		"claimed by another": {func(b *bench, _ schema.ID) { b.opened(b.claim(toGenesys)) },
			delivery{State: "claimed", Op: "write", DesiredRev: 1, OwedFrom: 1, ReadWanted: true}},
	} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			record := b.recordOf(b.ready("003A", "genesys", schema.OpWrite))
			late := b.opened(b.claim(toGenesys))
			b.Exec(`UPDATE call SET state = 'unknown', deadline = now() - interval '1 second', sent_at = now() - interval '1 minute'`)
			b.Exec(`UPDATE claim SET open = false`)
			b.Exec(`UPDATE slot SET claim = NULL`)
			b.Exec(`UPDATE delivery SET state = 'ready', claim = NULL, part = NULL`)
			c.meanwhile(b, record)
			if !b.answer(late) {
				t.Error("not late")
			}
			got := b.delivery(record, "genesys")
			got.In, got.Claim = 0, ""
			if got != c.want {
				t.Errorf("%+v,\nwant %+v", got, c.want)
			}
			b.Sound()
		})
	}
}

func TestTroubleOfTheWholeSystemSettlesNothing(t *testing.T) {
	b := newBench(t)
	event := b.ready("003A", "genesys", schema.OpWrite)
	c := b.claim(toGenesys)
	o := b.opened(c)
	must(t, b.FailCall(t.Context(), *o.Call, schema.Throttled, time.Now().Add(time.Minute)))
	if d := b.delivery(b.recordOf(event), "genesys"); d.State != "claimed" || d.Tries != 0 {
		t.Errorf("delivery %+v", d)
	}
	if got := b.Text(`SELECT state || ' ' || kind FROM call`); got != "answered Throttled" {
		t.Errorf("the call is %s", got)
	}
	if o := b.open(c, 0); o.Call != nil || o.Wait < 50*time.Second || o.Reason != schema.ReasonTargetSlow {
		t.Errorf("the credential does not rest: %+v", o)
	}
	// A shorter pause does not shorten the one that stands.
	must(t, b.Throttle(t.Context(), "genesys", time.Now(), schema.ReasonTargetSlow))
	if o := b.open(c, 0); o.Wait < 50*time.Second {
		t.Errorf("the pause was shortened to %s", o.Wait)
	}
	b.Exec(`UPDATE credential SET paused_until = NULL`)
	b.answer(b.opened(c))
	if b.outcome(event) != "applied" {
		t.Error("not applied after the pause")
	}
	b.Sound()
}

// Two parts of a claim end at the same moment: the claim is over all the same (protocol F21).
func TestPartsThatEndTogetherCloseTheClaim(t *testing.T) {
	b := newBench(t)
	for round := range 15 {
		for n := range 3 {
			b.ready(fmt.Sprintf("003%d-%d", round, n), "genesys", schema.OpWrite)
		}
		q := toGenesys
		q.Bulk, q.Calls = 1, 3
		c := b.claim(q)
		var all sync.WaitGroup
		for part := range c.Parts {
			o := b.open(c, part)
			all.Go(func() { b.answer(o) })
		}
		all.Wait()
		if b.openClaims() != 0 || b.takenSlots() != 0 {
			t.Fatalf("round %d: %d claims and %d slots are left", round, b.openClaims(), b.takenSlots())
		}
	}
	b.Sound()
}

// Two systems of one record are told at the same moment: the event ends all the same (protocol F21).
func TestSystemsThatAreToldTogetherEndTheEvent(t *testing.T) {
	b := newBench(t)
	for round := range 15 {
		event := b.tell(fmt.Sprint("003", round), fmt.Sprintf(`{"round":%d}`, round))
		b.decide(func(r *schema.OpenRecord) schema.Resolution {
			res := applied("genesys", schema.OpWrite)(r)
			res.Wants = append(res.Wants, schema.Wanted{System: "salesforce", Op: schema.OpWrite, Lane: schema.LaneNormal})
			return res
		})
		toSalesforce := toGenesys
		toSalesforce.System = "salesforce"
		var all sync.WaitGroup
		for _, o := range []schema.Opening{b.opened(b.claim(toGenesys)), b.opened(b.claim(toSalesforce))} {
			all.Go(func() { b.answer(o) })
		}
		all.Wait()
		if got := b.outcome(event); got != "applied" {
			t.Fatalf("round %d: the event is %q", round, got)
		}
	}
	b.Sound()
	b.Conserved()
}

func TestARecordInTroubleIsHandedOver(t *testing.T) {
	b := newBench(t)
	first, second := b.ready("003A", "genesys", schema.OpWrite), b.ready("003B", "genesys", schema.OpWrite)
	troubled := b.recordOf(first)
	batch := b.claim(toGenesys)
	b.answer(b.opened(batch), func(e *schema.Ending) {
		if e.Record == troubled {
			e.Told, e.Failed, e.HandOver, e.Isolate = false, true, true, true
		}
	})
	if b.outcome(second) != "applied" || b.outcome(first) != "" {
		t.Errorf("%q and %q", b.outcome(first), b.outcome(second))
	}
	d := b.delivery(troubled, "genesys")
	if d.State != "claimed" || d.Claim == "" || d.Claim == batch.ID.String() || d.Tries != 1 || !d.Isolate {
		t.Fatalf("delivery %+v", d)
	}
	if got := b.Text(`SELECT kind || ' ' || records || ' ' || open FROM claim WHERE id = $1`, d.Claim); got != "single 1 true" {
		t.Errorf("the new claim is %s", got)
	}
	if b.Count(`SELECT count(*) FROM slot WHERE class = 'single' AND claim = $1`, d.Claim) != 1 || b.takenSlots() != 1 {
		t.Error("the record has no slot of its own, or the batch has one still")
	}
	swept, err := b.Sweep(t.Context())
	must(t, err)
	if len(swept) != 1 || swept[0].ID.String() != d.Claim || swept[0].Kind != schema.ClaimSingle || swept[0].Record != troubled {
		t.Fatalf("the sweep starts %+v", swept)
	}
	// It stays in its own claim while it is tried, and tells one event at a time.
	var items []*schema.Item
	o, err := b.OpenCall(t.Context(), quickly(swept[0], 0), func(call schema.Call, told []*schema.Item, u bool) ([]int, []byte, []schema.Ending, error) {
		items = told
		return everything(call, told, u)
	})
	must(t, err)
	if len(items) != 1 || !items[0].Isolate || len(items[0].Events) != 1 || items[0].Events[0] != first {
		t.Errorf("items %+v", items)
	}
	b.answer(o, func(e *schema.Ending) { e.Told, e.Failed, e.Stay = false, true, true })
	if got := b.delivery(troubled, "genesys"); got.Claim != d.Claim || got.State != "claimed" {
		t.Errorf("it left its claim: %+v", got)
	}
	b.answer(b.opened(swept[0]))
	if b.outcome(first) != "applied" || b.openClaims() != 0 || b.takenSlots() != 0 {
		t.Errorf("%q, %d claims, %d slots", b.outcome(first), b.openClaims(), b.takenSlots())
	}
	if b.delivery(troubled, "genesys").Isolate {
		t.Error("isolated for ever")
	}
	b.Sound()
}

func TestWithoutASlotOfItsOwnARecordWaits(t *testing.T) {
	b := newBench(t, storetest.Options{Systems: []schema.SystemSetup{{System: "genesys", Slots: 4, Singles: 1}}})
	a, z := b.ready("003A", "genesys", schema.OpWrite), b.ready("003Z", "genesys", schema.OpWrite)
	b.answer(b.opened(b.claim(toGenesys)), func(e *schema.Ending) { e.Told, e.Failed, e.HandOver = false, true, true })
	states := map[string]int{}
	for _, event := range []schema.ID{a, z} {
		d := b.delivery(b.recordOf(event), "genesys")
		states[d.State]++
		if d.State == "ready" && (d.In < 20 || d.Tries != 1) {
			t.Errorf("it comes again at once: %+v", d)
		}
	}
	if states["claimed"] != 1 || states["ready"] != 1 || b.openClaims() != 1 || b.takenSlots() != 1 {
		t.Errorf("%v, %d claims, %d slots", states, b.openClaims(), b.takenSlots())
	}
	b.Sound()
}

func TestAClaimIsGivenBack(t *testing.T) {
	b := newBench(t)
	told, left := b.ready("003A", "genesys", schema.OpWrite), b.ready("003B", "genesys", schema.OpWrite)
	q := toGenesys
	q.Bulk = 1
	c := b.claim(q)
	done := b.open(c, 0)
	b.answer(done)
	if done.Items[0].Record != b.recordOf(told) {
		told, left = left, told
	}
	given, err := b.GiveBack(t.Context(), c.ID, schema.ReasonTargetUnavailable, 90*time.Second)
	must(t, err)
	d := b.delivery(b.recordOf(left), "genesys")
	if !given || d.State != "ready" || d.Op != "write" || d.In > 0 || d.Tries != 0 || b.openClaims() != 0 || b.takenSlots() != 0 {
		t.Errorf("given back %t: %+v", given, d)
	}
	if b.outcome(told) != "applied" || b.outcome(left) != "" {
		t.Errorf("%q and %q", b.outcome(told), b.outcome(left))
	}
	if got := b.Text(`SELECT breaker || ' ' || reason || ' ' || trips FROM system_state WHERE system = 'genesys' AND open_until > now() + interval '80 seconds'`); got != "open target_unavailable 1" {
		t.Errorf("the breaker is %q", got)
	}
	if given, err := b.GiveBack(t.Context(), c.ID, schema.ReasonTargetUnavailable, 0); err != nil || given {
		t.Errorf("given back twice: %t, %v", given, err)
	}
	if trips := b.Count(`SELECT trips FROM system_state WHERE system = 'genesys'`); trips != 1 {
		t.Errorf("%d trips", trips)
	}
	b.Sound()
}

// What is given back with a call under way waits until that call can no longer arrive, and is looked at before it is told again.
func TestGivenBackWithACallUnderWay(t *testing.T) {
	for op, next := range map[schema.Op]string{schema.OpWrite: "read", schema.OpLink: "read", schema.OpCreate: "find", schema.OpFind: "find", schema.OpRead: "read"} {
		t.Run(string(op), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			event := b.ready("003A", "genesys", op)
			record := b.recordOf(event)
			q := toGenesys
			q.Op = op
			c := b.claim(q)
			zombie := b.opened(c)
			_, err := b.GiveBack(t.Context(), c.ID, schema.ReasonTargetSlow, 0)
			must(t, err)
			if d := b.delivery(record, "genesys"); d.State != "ready" || d.Op != next || d.In < 50 {
				t.Errorf("delivery %+v, want %s once the call cannot arrive any more", d, next)
			}
			// Its answer comes when others have told something else: nothing of it may be believed.
			b.Exec(`UPDATE delivery SET ready_at = now(), op = 'write'`)
			b.Exec(`UPDATE system_state SET breaker = 'closed'`)
			b.answer(b.opened(b.claim(toGenesys)))
			before := b.Text(`SELECT encode(state, 'hex') FROM record WHERE id = $1`, record.String())
			late := b.answer(zombie, func(e *schema.Ending) {
				e.State = &schema.State{}
				e.State.System("genesys").ID = "overwritten by a zombie"
			})
			if after := b.Text(`SELECT encode(state, 'hex') FROM record WHERE id = $1`, record.String()); after != before || !late {
				t.Errorf("the answer of a claim that is over was believed (late %t)", late)
			}
			if d := b.delivery(record, "genesys"); d.State != "ready" || d.Op != "read" {
				t.Errorf("delivery %+v, want a read", d)
			}
			b.Sound()
		})
	}
}

func TestAPersonParksAndReleases(t *testing.T) {
	b := newBench(t)
	event := b.ready("003A", "genesys", schema.OpWrite)
	record := b.recordOf(event)
	c := b.claim(toGenesys)
	zombie := b.opened(c)
	parked, err := b.Park(t.Context(), c.ID, schema.ReasonParkedByPerson, "ops", "dana")
	must(t, err)
	if d := b.delivery(record, "genesys"); !parked || d.State != "parked" || d.Reason != "parked_by_person" || b.openClaims() != 0 || b.takenSlots() != 0 {
		t.Errorf("parked %t: %+v", parked, d)
	}
	if got := b.Text(`SELECT cause || ' ' || owner FROM member WHERE closed IS NULL AND record = $1`, record.String()); got != "parked_by_person/genesys/customer ops" {
		t.Errorf("member %q", got)
	}
	if got := b.Text(`SELECT actor || ' ' || act || ' ' || reason FROM audit`); got != "dana park parked_by_person" {
		t.Errorf("audit %q", got)
	}
	if parked, err := b.Park(t.Context(), c.ID, schema.ReasonParkedByPerson, "ops", "dana"); err != nil || parked {
		t.Errorf("parked twice: %t, %v", parked, err)
	}
	if stats := b.Conserved(); stats.Open.Parked != 1 || stats.Open.InFlight != 0 {
		t.Errorf("open %+v", stats.Open)
	}
	// A later change does not undo what a person decided.
	second := b.ready("003A", "genesys", schema.OpWrite)
	if d := b.delivery(record, "genesys"); d.State != "parked" || d.Reason != "parked_by_person" || d.DesiredRev != 2 {
		t.Errorf("after another event %+v", d)
	}
	if !b.answer(zombie) || b.delivery(record, "genesys").State != "parked" {
		t.Error("the answer of a call that was under way when the person stopped it was believed, or undid the stop")
	}
	moved, err := b.Unpark(t.Context(), record, "genesys", "lee")
	must(t, err)
	if d := b.delivery(record, "genesys"); !moved || d.State != "ready" || d.Reason != "" || d.Op != "read" || d.In < 50 {
		t.Errorf("released %t: %+v, want a read once the call that was under way cannot arrive any more", moved, d)
	}
	b.Exec(`UPDATE delivery SET ready_at = now()`)
	if b.Count(`SELECT count(*) FROM member WHERE closed IS NULL`) != 0 || b.Text(`SELECT actor || ' ' || act FROM audit ORDER BY n DESC`) != "lee unpark" {
		t.Error("the failure is open still, or the audit does not say who released it")
	}
	if moved, err := b.Unpark(t.Context(), record, "genesys", "lee"); err != nil || moved {
		t.Errorf("released twice: %t, %v", moved, err)
	}
	toRead := toGenesys
	toRead.Op = schema.OpRead
	b.answer(b.opened(b.claim(toRead)))
	if b.outcome(event) != "superseded" || b.outcome(second) != "applied" {
		t.Errorf("%q and %q", b.outcome(event), b.outcome(second))
	}
	b.Sound()
}

// What we parked ourselves goes on when something new is to be told.
func TestANewChangeReleasesWhatNobodyStopped(t *testing.T) {
	b := newBench(t)
	record := b.recordOf(b.ready("003A", "genesys", schema.OpWrite))
	b.answer(b.opened(b.claim(toGenesys)), func(e *schema.Ending) {
		e.Told, e.Parked = false, schema.ReasonWriteForbidden
		e.Members = []schema.Member{{Reason: e.Parked, System: "genesys", Object: "customer", Owner: "ops", Record: e.Record}}
	})
	b.ready("003A", "genesys", schema.OpWrite)
	if d := b.delivery(record, "genesys"); d.State != "ready" || d.Reason != "" {
		t.Errorf("delivery %+v", d)
	}
	b.answer(b.opened(b.claim(toGenesys)))
	if open := b.Count(`SELECT count(*) FROM member WHERE closed IS NULL`); open != 0 {
		t.Errorf("%d failures are open after it went through", open)
	}
	b.Sound()
}

// A read is a delivery like any other: what it finds enters the journal, and what waited for it is decided again.
func TestAReadEntersTheJournal(t *testing.T) {
	b := newBench(t)
	event := b.tell("003A", `{"a":1}`)
	record := b.recordOf(event)
	b.decide(func(r *schema.OpenRecord) schema.Resolution {
		res := held(schema.ReasonReading, time.Time{})(r)
		res.Rev++
		res.Wants = []schema.Wanted{{System: "salesforce", Op: schema.OpRead, Lane: schema.LaneNormal}}
		return res
	})
	if stats := b.Conserved(); stats.Open.Held != 1 {
		t.Errorf("open %+v", stats.Open)
	}
	q := toGenesys
	q.System, q.Op = "salesforce", schema.OpRead
	c := b.claim(q)
	b.answer(b.opened(c), func(e *schema.Ending) {
		e.Told = false
		e.Reads = []schema.NewEvent{{System: "salesforce", Object: "customer", Ref: "003A", Kind: schema.EventRead, Lane: schema.LaneNormal, Body: []byte(`{"read":true}`)}}
	})
	if d := b.delivery(record, "salesforce"); d.State != "ready" || !d.Waits {
		t.Errorf("the delivery does not wait for the verdict: %+v", d)
	}
	if b.mayClaim(q) {
		t.Error("read again before the read was decided")
	}
	var kinds []schema.EventKind
	var reads int
	b.decide(func(r *schema.OpenRecord) schema.Resolution {
		if r.ID != record {
			t.Errorf("the read is another record's")
		}
		for _, e := range r.Events {
			kinds = append(kinds, e.Kind)
			reads += e.Reads
		}
		res := ended(schema.Applied)(r)
		res.Rev, res.State = r.Rev+1, r.State
		return res
	})
	if len(kinds) != 2 || reads != 1 || b.outcome(event) != "applied" {
		t.Errorf("decided %v after %d reads, the event is %q", kinds, reads, b.outcome(event))
	}
	if d := b.delivery(record, "salesforce"); d.State != "idle" || d.Waits {
		t.Errorf("the delivery is not in step: %+v", d)
	}
	stats := b.Conserved()
	if stats.Accepted != 1 || stats.Sources[schema.OwnSource].Accepted != 1 {
		t.Errorf("our own read is counted as somebody's event: %+v", stats)
	}
	b.Sound()
}

func TestAnEventThatASystemRefusesIsBuried(t *testing.T) {
	b := newBench(t)
	bad, good := b.tell("003A", `{"bad":1}`), b.tell("003A", `{"good":1}`)
	record := b.recordOf(bad)
	b.decide(applied("genesys", schema.OpWrite))
	b.answer(b.opened(b.claim(toGenesys)), func(e *schema.Ending) {
		e.More = true
		e.Dead = &schema.DeadEvent{Event: bad, Reason: schema.ReasonValueRefused, Field: "workPhone", Code: "invalid.phone", Owner: "ops"}
		e.Members = []schema.Member{{Reason: schema.ReasonValueRefused, System: "genesys", Object: "customer", Owner: "ops", Event: bad, Record: record}}
	})
	if b.outcome(bad) != "dead" || b.outcome(good) != "" || b.Text(`SELECT state FROM open_event WHERE event = $1`, good.String()) != "new" {
		t.Errorf("%q, and the other is %q", b.outcome(bad), b.outcome(good))
	}
	if got := b.Text(`SELECT concat_ws(' ', kind, source, object, system, reason, field, code, owner) FROM dead_letter WHERE event = $1`, bad.String()); got != "dead salesforce customer genesys value_refused workPhone invalid.phone ops" {
		t.Errorf("dead letter %q", got)
	}
	if b.Count(`SELECT count(*) FROM member WHERE closed IS NULL AND event = $1`, bad.String()) != 1 {
		t.Error("nobody hears of it")
	}
	if stats := b.Conserved(); stats.DeadLetters != 1 || stats.Outcomes[schema.Dead] != 1 {
		t.Errorf("stats %+v", stats)
	}
	b.decide(applied("genesys", schema.OpWrite))
	b.answer(b.opened(b.claim(toGenesys)))
	if b.outcome(good) != "applied" {
		t.Errorf("the good one is %q", b.outcome(good))
	}
	b.Sound()
}

func TestARecordThatIsGoneKeepsNoLiveRef(t *testing.T) {
	b := newBench(t)
	event := b.ready("003A", "salesforce", schema.OpWrite)
	q := toGenesys
	q.System = "salesforce"
	b.answer(b.opened(b.claim(q)), func(e *schema.Ending) { e.Gone = true })
	if got := b.Text(`SELECT state FROM ref WHERE record = $1`, b.recordOf(event).String()); got != "gone" {
		t.Errorf("the ref is %s", got)
	}
}

func TestACreateMakesTheRefBeforeAndAfter(t *testing.T) {
	toCreate := toGenesys
	toCreate.Op = schema.OpCreate
	refs := func(b *bench, record schema.ID) string {
		return b.Text(`SELECT string_agg(state, ' ' ORDER BY state) FROM ref WHERE system = 'genesys' AND record = $1`, record.String())
	}
	t.Run("answered", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		record := b.recordOf(b.ready("003A", "genesys", schema.OpCreate))
		o := b.opened(b.claim(toCreate))
		if got := refs(b, record); got != "creating" {
			t.Errorf("while the call is under way: %q", got)
		}
		b.answer(o, func(e *schema.Ending) { e.Ref = "g1" })
		if got := refs(b, record); got != "active" {
			t.Errorf("afterwards: %q", got)
		}
		b.Sound()
	})
	t.Run("its own webhook was faster", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		record := b.recordOf(b.ready("003A", "genesys", schema.OpCreate))
		o := b.opened(b.claim(toCreate))
		_, err := b.Accept(t.Context(), storetest.Posting("genesys", "g1", "own", schema.EventFull, `{"own":1}`))
		must(t, err)
		other := b.id(`SELECT record FROM ref WHERE system = 'genesys' AND state = 'active'`)
		if other == record {
			t.Fatal("intake guessed")
		}
		var of schema.ID
		_, err = b.CloseCall(t.Context(), *o.Call, o.Items, func(items []*schema.Item, holder func(string) (schema.ID, error)) ([]schema.Ending, error) {
			if of, err = holder("g1"); err != nil {
				return nil, err
			}
			return endings(o, func(e *schema.Ending) { e.Ref = "g1" })(items, holder)
		})
		must(t, err)
		if of != other || b.id(`SELECT wants_join FROM record WHERE id = $1`, other.String()) != record {
			t.Error("the other half does not want to join")
		}
		b.Sound()
	})
}

// An answer that cannot be settled is not written down.
func TestASettlersErrorUndoesTheClose(t *testing.T) {
	b := newBench(t)
	event := b.ready("003A", "genesys", schema.OpWrite)
	o := b.opened(b.claim(toGenesys))
	unclear := errors.New("unclear")
	_, err := b.CloseCall(t.Context(), *o.Call, o.Items, func([]*schema.Item, func(string) (schema.ID, error)) ([]schema.Ending, error) { return nil, unclear })
	if !errors.Is(err, unclear) || b.Text(`SELECT state FROM call`) != "sent" || b.outcome(event) != "" {
		t.Errorf("%v; the call is %s", err, b.Text(`SELECT state FROM call`))
	}
	if b.answer(o) || b.outcome(event) != "applied" {
		t.Error("the answer cannot be written down any more")
	}
	b.Sound()
}
