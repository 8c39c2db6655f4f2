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

func TestAClaimHoldsNoMoreThanItsCallsAndASlot(t *testing.T) {
	b := newBench(t)
	for n := range 7 {
		b.ready(fmt.Sprint("003", n), "genesys", schema.OpWrite)
	}
	q := toGenesys
	q.Bulk = 2
	first := b.claim(q)
	if first.Records != 4 || first.Parts != 2 || first.Record != (schema.ID{}) {
		t.Errorf("the first claim is %+v", first)
	}
	for part := range 2 {
		if n := b.Count(`SELECT count(*) FROM delivery WHERE claim = $1 AND part = $2`, first.ID.String(), part); n != 2 {
			t.Errorf("part %d holds %d deliveries", part, n)
		}
	}
	q.Bulk, q.Calls = 1, 1
	second := b.claim(q)
	if second.Records != 1 || second.Record == (schema.ID{}) {
		t.Errorf("a claim of one names its record: %+v", second)
	}
	// Slot 0 is for live work only and the last one serves no normal work: two claims are all that four slots allow.
	if b.mayClaim(q) {
		t.Error("a third claim got a slot")
	}
	if b.takenSlots() != 2 || b.openClaims() != 2 {
		t.Errorf("%d slots taken by %d claims", b.takenSlots(), b.openClaims())
	}
	b.answer(b.opened(second))
	if third := b.claim(q); third.Records != 1 {
		t.Errorf("a freed slot: %+v", third)
	}
	b.Sound()
}

func TestEachLaneHasASlotThatOthersCannotTake(t *testing.T) {
	b := newBench(t)
	for _, lane := range schema.Lanes {
		for n := range 5 {
			p := storetest.Posting("salesforce", fmt.Sprintf("003%s%d", lane, n), "x", schema.EventChange, fmt.Sprintf(`{"%s":%d}`, lane, n))
			p.Units[0].Key = [][]byte{p.Units[0].Body}
			p.Units[0].Events[0].Lane = lane
			_, err := b.Accept(t.Context(), p)
			must(t, err)
		}
		b.decide(applied("genesys", schema.OpWrite), lane)
	}
	for _, c := range []struct {
		lane schema.Lane
		want int
	}{{schema.LaneNormal, 2}, {schema.LaneBulk, 1}, {schema.LaneLive, 1}, {schema.LanePush, 0}} {
		q := toGenesys
		q.Lane, q.Bulk, q.Calls = c.lane, 1, 1
		got := 0
		for b.mayClaim(q) {
			got++
		}
		if got != c.want {
			t.Errorf("%s got %d slots after those before it, want %d", c.lane, got, c.want)
		}
	}
	b.Sound()
}

func TestNothingIsClaimedBeforeItsTime(t *testing.T) {
	b := newBench(t)
	record := b.recordOf(b.ready("003A", "genesys", schema.OpWrite))
	for name, spoil := range map[string]string{
		"later":              `ready_at = now() + interval '1 hour'`,
		"waits for another":  `waits_for = record`,
		"idle":               `state = 'idle', owed_from = NULL`,
		"parked":             `state = 'parked', reason = 'given_up'`,
		"of another op":      `op = 'read'`,
		"of another lane":    `lane = 5`,
		"of another object":  `object = 'case'`,
		"of another system":  `system = 'salesforce'`,
		"of another's claim": `state = 'claimed', claim = record`,
	} {
		b.Exec(`UPDATE delivery SET ` + spoil + ` WHERE record = '` + record.String() + `'`)
		if b.mayClaim(toGenesys) {
			t.Errorf("%s: claimed", name)
		}
		if b.takenSlots() != 0 || b.openClaims() != 0 {
			t.Errorf("%s: a claim of nothing keeps %d slots", name, b.takenSlots())
		}
		b.Exec(`UPDATE delivery SET system = 'genesys', object = 'customer', state = 'ready', op = 'write', lane = 3, ready_at = now(), waits_for = NULL,
owed_from = desired_rev, claim = NULL, reason = NULL`)
	}
	b.claim(toGenesys)
}

func TestNothingIsClaimedOfASystemThatMayNotBeCalled(t *testing.T) {
	b := newBench(t)
	b.ready("003A", "genesys", schema.OpWrite)
	ctx := t.Context()
	for _, c := range []struct {
		name       string
		shut, free func() error
	}{
		{"paused by a person", func() error { return b.PauseSystem(ctx, "genesys", "dana") }, func() error { return b.ResumeSystem(ctx, "genesys", "dana") }},
		{"its credential rests", func() error {
			return b.Throttle(ctx, "genesys", time.Now().Add(time.Minute), schema.ReasonQuotaExhausted)
		},
			func() error { b.Exec(`UPDATE credential SET paused_until = now()`); return nil }},
		{"its breaker is open", func() error {
			b.Exec(`UPDATE system_state SET breaker = 'open', open_until = now() + interval '1 minute' WHERE system = 'genesys'`)
			return nil
		}, func() error { b.Exec(`UPDATE system_state SET breaker = 'closed'`); return nil }},
	} {
		must(t, c.shut())
		if b.mayClaim(toGenesys) {
			t.Errorf("%s: claimed", c.name)
		}
		must(t, c.free())
		got := b.claim(toGenesys)
		must(t, c.shut())
		if o := b.open(got, 0); c.name != "its breaker is open" && (o.Call != nil || o.Wait <= 0 || o.Reason == "") {
			t.Errorf("%s: a claim made before makes a call all the same: %+v", c.name, o)
		}
		must(t, c.free())
		_, err := b.GiveBack(ctx, got.ID, schema.ReasonTargetSlow, 0)
		must(t, err)
		b.Exec(`UPDATE system_state SET breaker = 'closed', trips = 0`)
		b.Exec(`UPDATE delivery SET ready_at = now(), op = 'write'`)
	}
	if err := b.PauseSystem(ctx, "nobody", "dana"); !errors.Is(err, schema.ErrNotFound) {
		t.Errorf("an unknown system is paused: %v", err)
	}
	if acts := b.Texts(`SELECT actor || ' ' || act || ' ' || object FROM audit ORDER BY n`); len(acts) != 4 || acts[0] != "dana pause system genesys" {
		t.Errorf("audit %v", acts)
	}
}

// The last fifth of a day's allowance is for what is urgent. The reserve is kept for as long as what was told counts.
func TestTheReserveOfAnAllowanceIsForUrgentWork(t *testing.T) {
	b := newBench(t)
	for name, c := range map[string]struct {
		remaining int
		lasts     time.Duration
		want      map[schema.Lane]bool
	}{
		"plenty": {201, time.Minute, map[schema.Lane]bool{schema.LaneLive: true, schema.LanePush: true, schema.LaneNormal: true, schema.LaneBulk: true}},
		"scarce": {200, time.Minute, map[schema.Lane]bool{schema.LaneLive: true, schema.LanePush: true, schema.LaneNormal: false, schema.LaneBulk: false}},
		"none":   {0, time.Minute, map[schema.Lane]bool{schema.LaneLive: true, schema.LanePush: true, schema.LaneNormal: false, schema.LaneBulk: false}},
		"scarce a while ago": {0, 0, map[schema.Lane]bool{
			schema.LaneLive: true, schema.LanePush: true, schema.LaneNormal: true, schema.LaneBulk: true}},
	} {
		must(t, b.NoteAllowance(t.Context(), "genesys", c.remaining, 200, c.lasts))
		for lane, want := range c.want {
			b.empty()
			b.ready("003A", "genesys", schema.OpWrite)
			b.Exec(`UPDATE delivery SET lane = $1, ready_at = now() - interval '2 minutes'`, int64(lane))
			q := toGenesys
			q.Lane = lane
			if !want {
				b.Sound() // what has to wait is no broken promise
			}
			cl, ok, err := b.Claim(t.Context(), q)
			must(t, err)
			if ok != want {
				t.Errorf("%s: lane %s is claimed: %t", name, lane, ok)
			}
			if ok {
				b.answer(b.opened(cl))
			}
		}
	}
	if err := b.NoteAllowance(t.Context(), "nobody", 1, 2, time.Minute); !errors.Is(err, schema.ErrNotFound) {
		t.Errorf("an unknown system: %v", err)
	}
}

func TestABreakerIsTriedByOneRecordAtATime(t *testing.T) {
	b := newBench(t)
	for n := range 5 {
		b.ready(fmt.Sprint("003", n), "genesys", schema.OpWrite)
	}
	c := b.claim(toGenesys)
	_, err := b.GiveBack(t.Context(), c.ID, schema.ReasonTargetUnavailable, 0)
	must(t, err)
	state := func() string { return b.Text(`SELECT breaker FROM system_state WHERE system = 'genesys'`) }
	if state() != "open" || b.mayClaim(toGenesys) {
		t.Fatalf("the breaker is %s", state())
	}
	b.Exec(`UPDATE system_state SET open_until = now() WHERE system = 'genesys'`)
	probe := b.claim(toGenesys)
	if probe.Records != 1 || state() != "probing" {
		t.Errorf("the probe holds %d records, the breaker is %s", probe.Records, state())
	}
	if b.mayClaim(toGenesys) {
		t.Error("a second probe")
	}
	// A probe that failed opens the breaker for longer.
	_, err = b.GiveBack(t.Context(), probe.ID, schema.ReasonTargetUnavailable, 0)
	must(t, err)
	if trips := b.Count(`SELECT trips FROM system_state WHERE system = 'genesys'`); trips != 2 || state() != "open" {
		t.Errorf("%d trips, the breaker is %s", trips, state())
	}
	// One whose worker died is replaced after its time.
	b.Exec(`UPDATE system_state SET open_until = now() WHERE system = 'genesys'`)
	b.claim(toGenesys)
	b.Exec(`UPDATE system_state SET open_until = now() - interval '1 second' WHERE system = 'genesys'`)
	again := b.claim(toGenesys)
	b.answer(b.opened(again))
	if state() != "closed" || b.Count(`SELECT trips FROM system_state WHERE system = 'genesys'`) != 0 {
		t.Errorf("the breaker is %s after a call that was answered", state())
	}
	if rest := b.claim(toGenesys); rest.Records != 3 {
		t.Errorf("the rest is claimed by %d", rest.Records)
	}
	b.Sound()
}

func TestABreakerIsNotUsedUpByFindingNothing(t *testing.T) {
	b := newBench(t)
	b.Exec(`UPDATE system_state SET breaker = 'open', open_until = now() WHERE system = 'genesys'`)
	if b.mayClaim(toGenesys) {
		t.Fatal("nothing is ready, and something is claimed")
	}
	if state := b.Text(`SELECT breaker FROM system_state WHERE system = 'genesys'`); state != "open" {
		t.Errorf("the breaker is %s", state)
	}
}

func TestAnotherBundleNeitherDecidesNorRenders(t *testing.T) {
	b := newBench(t)
	b.ready("003A", "genesys", schema.OpWrite)
	event := b.tell("003B", `{"b":1}`)
	c := b.claim(toGenesys)
	must(t, b.ActivateBundle(t.Context(), "next", []byte("next"), "dana"))
	asked := false
	_, err := b.Decide(t.Context(), schema.DecideQuery{Lane: schema.LaneNormal}, everyRecord(func(r *schema.OpenRecord) schema.Resolution {
		asked = true
		return applied("genesys", schema.OpWrite)(r)
	}))
	if !errors.Is(err, schema.ErrOtherBundle) || asked {
		t.Errorf("decide: %v, asked %t", err, asked)
	}
	_, err = b.OpenCall(t.Context(), quickly(c, 0), func(call schema.Call, items []*schema.Item, unanswered bool) ([]int, []byte, []schema.Ending, error) {
		asked = true
		return everything(call, items, unanswered)
	})
	if !errors.Is(err, schema.ErrOtherBundle) || asked || b.Count(`SELECT count(*) FROM call`) != 0 {
		t.Errorf("open: %v, asked %t", err, asked)
	}
	next := &bench{Journal: b.Journal, t: t}
	next.Store = b.Process("next")
	next.answer(next.opened(c))
	next.decide(ended(schema.Echo))
	if b.outcome(event) != "echo" || b.Text(`SELECT bundle FROM outcome WHERE event = $1`, event.String()) != "next" {
		t.Error("the process that holds the active bundle did not decide")
	}
	b.Sound()
}

func TestManyClaimAtOnceAndNothingTwice(t *testing.T) {
	b := newBench(t, storetest.Options{Systems: []schema.SystemSetup{{System: "genesys", Slots: 40, Singles: 1}}, Connections: 12})
	const records = 60
	for n := range records {
		b.tell(fmt.Sprint("003", n), fmt.Sprintf(`{"n":%d}`, n))
	}
	b.decide(applied("genesys", schema.OpWrite))
	var mu sync.Mutex
	total := 0
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			q := toGenesys
			q.Bulk, q.Calls = 3, 1
			for {
				c, ok, err := b.Claim(t.Context(), q)
				if errors.Is(err, schema.ErrRaced) {
					continue
				}
				if err != nil || !ok {
					if err != nil {
						t.Error(err)
					}
					if b.Count(`SELECT count(*) FROM delivery WHERE state = 'ready'`) == 0 {
						return
					}
					continue
				}
				mu.Lock()
				total += c.Records
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if total != records {
		t.Errorf("%d claimed of %d records", total, records)
	}
	if lone := b.Count(`SELECT count(*) FROM claim c WHERE records <> (SELECT count(*) FROM delivery WHERE claim = c.id)`); lone != 0 {
		t.Errorf("%d claims hold other deliveries than they say", lone)
	}
	if b.takenSlots() != b.openClaims() {
		t.Errorf("%d slots for %d claims", b.takenSlots(), b.openClaims())
	}
	b.Sound()
}

func TestReadyTellsEachKindOnce(t *testing.T) {
	b := newBench(t)
	for n := range 3 {
		b.ready(fmt.Sprint("003", n), "genesys", schema.OpWrite)
		b.ready(fmt.Sprint("004", n), "salesforce", schema.OpRead)
		b.ready(fmt.Sprint("005", n), "genesys", schema.OpFind)
	}
	b.Exec(`UPDATE delivery SET lane = 1 WHERE op = 'read'`)
	b.Exec(`UPDATE delivery SET ready_at = now() + interval '1 hour' WHERE op = 'find'`)
	groups, err := b.Ready(t.Context())
	must(t, err)
	want := []schema.ReadyGroup{
		{System: "salesforce", Object: "customer", Op: schema.OpRead, Lane: schema.LaneLive},
		{System: "genesys", Object: "customer", Op: schema.OpWrite, Lane: schema.LaneNormal},
	}
	if len(groups) != 2 || groups[0] != want[0] || groups[1] != want[1] {
		t.Errorf("ready %+v", groups)
	}
}

func TestTheSweepStartsSilentClaimsAgain(t *testing.T) {
	b := newBench(t, storetest.Options{CheckAfter: 10 * time.Second})
	b.ready("003A", "genesys", schema.OpWrite)
	c := b.claim(toGenesys)
	sweep := func() []schema.Claim {
		t.Helper()
		claims, err := b.Sweep(t.Context())
		must(t, err)
		return claims
	}
	if got := sweep(); len(got) != 0 {
		t.Fatalf("a fresh claim is swept: %+v", got)
	}
	for attempt, seconds := range []float64{10, 20, 40, 80, 160, 300, 300, 300} {
		b.Exec(`UPDATE claim SET check_at = now() - interval '1 second'`)
		got := sweep()
		if len(got) != 1 || got[0].ID != c.ID || got[0].Attempt != attempt+1 || got[0].Records != 1 || got[0].Record != c.Record {
			t.Fatalf("attempt %d: %+v", attempt, got)
		}
		if left := b.Text(`SELECT round(extract(epoch FROM check_at - now()))::text FROM claim`); left != fmt.Sprint(seconds) {
			t.Errorf("attempt %d is looked at again in %s s, want %v", attempt, left, seconds)
		}
		if len(sweep()) != 0 {
			t.Error("swept twice")
		}
	}
	// Two sweeps at once never return one claim to both.
	for n := range 30 {
		b.Exec(`INSERT INTO claim (id, kind, system, object, op, lane, parts, records, open, check_at) VALUES ($1, 'batch', 'genesys', 'customer', 'write', 3, 1, 1, true, now() - interval '1 s')`,
			schema.ID{15: byte(n)}.String())
	}
	var mu sync.Mutex
	seen := map[schema.ID]int{}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			claims, err := b.Sweep(t.Context())
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, c := range claims {
				seen[c.ID]++
			}
		})
	}
	all.Wait()
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s was swept %d times at once", id, n)
		}
	}
	b.Exec(`DELETE FROM claim WHERE id <> $1`, c.ID.String())
	b.answer(b.opened(c))
	b.Exec(`UPDATE claim SET check_at = now() - interval '1 second'`)
	if got := sweep(); len(got) != 0 {
		t.Errorf("a closed claim is swept: %+v", got)
	}
}
