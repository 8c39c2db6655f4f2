package store_test

import (
	"fmt"
	"maps"
	"testing"

	"lockstep/internal/store"
	"lockstep/schema"
)

// TestEachInvariantIsReportedWhereItIsBroken breaks each invariant by hand: a checker that cannot fail proves nothing.
func TestEachInvariantIsReportedWhereItIsBroken(t *testing.T) {
	covered := map[int]bool{}
	for name, c := range map[string]struct {
		invariant int
		spoil     []string
	}{
		"an event is nowhere": {1, []string{`DELETE FROM open_event WHERE state = 'new'`}},
		"an event is open and ended": {1, []string{
			`INSERT INTO outcome (event, outcome, bundle) SELECT event, 'echo', 'test' FROM open_event WHERE state = 'new'`}},
		"a delivery is claimed by a closed claim": {2, []string{`UPDATE claim SET open = false`, `UPDATE slot SET claim = NULL`}},
		"a delivery is claimed by no claim":       {2, []string{`UPDATE delivery SET claim = gen_random_uuid() WHERE state = 'claimed'`}},
		"a slot points to a closed claim": {2, []string{
			`UPDATE delivery SET state = 'ready', claim = NULL WHERE state = 'claimed'`, `UPDATE claim SET open = false`}},
		"two calls for a record are under way": {3, []string{
			`INSERT INTO call (id, claim, part, system, object, op, records, revs, payload_mac, bundle, sent_at, deadline, state)
SELECT '018f0000-0000-7000-8000-000000000000', claim, part, system, object, op, records, revs, payload_mac, bundle, sent_at, deadline, state FROM call WHERE state = 'sent'`}},
		"an answer before its call": {4, []string{`UPDATE call SET answered_at = sent_at - interval '1 second'`}},
		"a record is in a system twice": {6, []string{`DROP INDEX ref_live`,
			`INSERT INTO ref (id, system, object, vendor_mac, record, state) SELECT gen_random_uuid(), system, object, 'another', record, 'active' FROM ref LIMIT 1`}},
		"records are part of each other": {6, []string{
			`UPDATE record a SET merged_into = (SELECT id FROM record b WHERE b.id <> a.id ORDER BY b.id LIMIT 1) WHERE id IN (SELECT id FROM record ORDER BY id LIMIT 2)`}},
		"more is owed than is desired": {7, []string{`ALTER TABLE delivery DROP CONSTRAINT delivery_check1`, `UPDATE delivery SET owed_from = desired_rev + 1 WHERE state = 'ready'`}},
		"an idle delivery owes": {7, []string{`ALTER TABLE delivery DROP CONSTRAINT delivery_check`,
			`UPDATE delivery SET state = 'idle' WHERE state = 'ready'`}},
		"more is desired than was decided": {7, []string{`UPDATE delivery SET desired_rev = desired_rev + 1`}},
		"a decided event that nobody waits for": {8, []string{
			`UPDATE delivery SET state = 'idle', owed_from = NULL, claim = NULL WHERE state IN ('ready', 'parked')`}},
		"a decided event of which later words are owed": {8, []string{
			`UPDATE record SET rev = rev + 1`, `UPDATE delivery SET desired_rev = desired_rev + 1, owed_from = desired_rev + 1 WHERE state = 'ready'`}},
		"a claim that nobody looks after":    {9, []string{`ALTER TABLE claim ALTER check_at DROP NOT NULL`, `UPDATE claim SET check_at = NULL`}},
		"something waits beside a free slot": {10, []string{`UPDATE delivery SET ready_at = now() - interval '2 minutes' WHERE state = 'ready'`}},
	} {
		covered[c.invariant] = true
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.ready("003A", "genesys", schema.OpWrite)
			b.opened(b.claim(toGenesys))
			b.ready("003B", "genesys", schema.OpWrite)
			b.tell("003C", `{"new":1}`)
			b.Sound()
			for _, statement := range c.spoil {
				b.Exec(statement)
			}
			broken, err := b.CheckInvariants(t.Context())
			must(t, err)
			if broken[c.invariant] == 0 {
				t.Errorf("%d is broken, and %v are reported", c.invariant, broken)
			}
			maps.DeleteFunc(broken, func(n int, _ int64) bool { return n == c.invariant })
			if len(broken) > 0 {
				t.Logf("with it: %v", broken)
			}
		})
	}
	for _, i := range store.Invariants {
		if !covered[i.N] {
			t.Errorf("nobody breaks %d: %s", i.N, i.Sentence)
		}
	}
}

// What stops a system from being told is no broken promise.
func TestWhatMayWaitIsNotReported(t *testing.T) {
	for _, statement := range []string{
		`UPDATE system_state SET paused_by = 'dana'`, `UPDATE system_state SET breaker = 'open'`, `UPDATE credential SET paused_until = now() + interval '1 hour'`,
		`UPDATE slot SET lanes = '{1}'`, `UPDATE delivery SET waits_for = record`,
	} {
		t.Run(statement, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.ready("003A", "genesys", schema.OpWrite)
			b.Exec(`UPDATE delivery SET ready_at = now() - interval '1 hour'`)
			b.Exec(statement)
			b.Sound()
		})
	}
}

// Slots of a map that shrinks go once they are free, and never from under a claim.
func TestFewerSlots(t *testing.T) {
	b := newBench(t)
	for n := range 2 {
		b.ready(fmt.Sprint("003", n), "genesys", schema.OpWrite)
	}
	q := toGenesys
	q.Bulk, q.Calls = 1, 1
	first, second := b.claim(q), b.claim(q)
	fewer := []schema.SystemSetup{{System: "genesys", Slots: 2, Singles: 1}}
	must(t, b.SetUpSystems(t.Context(), fewer))
	slots := func() string {
		return b.Text(`SELECT string_agg(class || n, ' ' ORDER BY class, n) FROM slot WHERE system = 'genesys'`)
	}
	if got := slots(); got != "batch0 batch1 batch2 single0" {
		t.Errorf("slots %s", got)
	}
	b.answer(b.opened(first))
	b.answer(b.opened(second))
	must(t, b.SetUpSystems(t.Context(), fewer))
	must(t, b.SetUpSystems(t.Context(), fewer))
	if got := slots(); got != "batch0 batch1 single0" {
		t.Errorf("slots %s", got)
	}
	if got := b.Text(`SELECT string_agg(lanes::text, ' ' ORDER BY n) FROM slot WHERE system = 'genesys' AND class = 'batch'`); got != "{1,2,3,5} {1,2,3,5}" {
		t.Errorf("two slots serve %s", got)
	}
	b.Sound()
}
