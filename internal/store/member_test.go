package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"lockstep/schema"
)

// waiting lists what is in front of a person about a record as a whole: reason and system of each open failure.
func (b *bench) waiting(record schema.ID) []string {
	b.t.Helper()
	return b.Texts(`SELECT reason || ' in ' || system FROM member WHERE closed IS NULL AND event IS NULL AND record = $1 ORDER BY system, reason`, record.String())
}

// parks ends a call by parking its records in front of a person.
func parks(system string, reason schema.Reason) func(*schema.Ending) {
	return func(e *schema.Ending) {
		e.Told, e.Failed, e.Parked = false, true, reason
		e.Members = []schema.Member{{Reason: reason, System: system, Object: "customer", Owner: "ops", Record: e.Record}}
	}
}

// parkedIn brings a record to the point at which it waits for a person in each of some systems.
func (b *bench) parkedIn(systems ...string) (record schema.ID) {
	b.t.Helper()
	record = b.wanted(systems...)
	for _, system := range systems {
		q := toGenesys
		q.System = system
		b.answer(b.opened(b.claim(q)), parks(system, schema.ReasonWriteForbidden))
	}
	return record
}

// wanted has several systems wait to be told of one record.
func (b *bench) wanted(systems ...string) (record schema.ID) {
	b.t.Helper()
	event := b.tell("003A", fmt.Sprintf(`{"n":%q}`, schema.NewRandom()))
	b.decide(func(r *schema.OpenRecord) schema.Resolution {
		res := applied(systems[0], schema.OpWrite)(r)
		for _, system := range systems[1:] {
			res.Wants = append(res.Wants, schema.Wanted{System: system, Op: schema.OpWrite, Lane: schema.LaneNormal})
		}
		return res
	})
	return b.recordOf(event)
}

// What waits for a person in one system waits on, whatever becomes of the record in another.
func TestAFailureBelongsToItsSystem(t *testing.T) {
	const inGenesys, inSalesforce = "write_forbidden in genesys", "write_forbidden in salesforce"
	for name, c := range map[string]struct {
		parked []string
		then   func(b *bench, record schema.ID)
		want   []string
	}{
		"the other system was told": {[]string{"genesys"}, func(b *bench, _ schema.ID) {
			toSalesforce := toGenesys
			toSalesforce.System = "salesforce"
			b.Exec(`UPDATE delivery SET state = 'parked', reason = 'parked_by_person'`) // a new change would release it
			b.wanted("genesys", "salesforce")
			b.answer(b.opened(b.claim(toSalesforce)))
		}, []string{inGenesys}},
		"it was told itself": {[]string{"genesys"}, func(b *bench, _ schema.ID) {
			b.wanted("genesys")
			b.answer(b.opened(b.claim(toGenesys)))
		}, nil},
		"a person released the other one": {[]string{"genesys", "salesforce"}, func(b *bench, record schema.ID) {
			moved, err := b.Unpark(b.t.Context(), record, "salesforce", "dana")
			must(b.t, err)
			if !moved {
				b.t.Error("not released")
			}
		}, []string{inGenesys}},
		"both came into step by themselves": {[]string{"genesys", "salesforce"}, func(b *bench, record schema.ID) {
			b.tell("003A", `{"in":"step"}`)
			b.decideOnly(record, ended(schema.Echo))
		}, nil},
		"one came into step by itself": {[]string{"genesys", "salesforce"}, func(b *bench, record schema.ID) {
			b.tell("003A", `{"in":"step"}`)
			b.decideOnly(record, func(r *schema.OpenRecord) schema.Resolution {
				res := ended(schema.Echo)(r)
				res.Wants = []schema.Wanted{{System: "salesforce", Op: schema.OpWrite, Lane: schema.LaneNormal}}
				return res
			})
		}, []string{inSalesforce}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			record := b.parkedIn(c.parked...)
			if got := b.waiting(record); len(got) != len(c.parked) {
				t.Fatalf("before, %v waits for a person", got)
			}
			c.then(b, record)
			if got := b.waiting(record); !slices.Equal(got, c.want) && len(got)+len(c.want) > 0 {
				t.Errorf("%v waits for a person, want %v; the deliveries are %v", got, c.want, b.Texts(`SELECT system || ' ' || state FROM delivery ORDER BY system`))
			}
			b.Sound()
		})
	}
}

// Nothing is owed to a system that no longer has the record, and that is what its owner has to hear.
func TestARecordThatIsGoneStaysInFrontOfAPerson(t *testing.T) {
	b := newBench(t)
	record := b.recordOf(b.ready("003A", "genesys", schema.OpWrite))
	o := b.opened(b.claim(toGenesys))
	b.ready("003A", "genesys", schema.OpWrite) // decided while the call was under way: more is owed
	b.answer(o, func(e *schema.Ending) {
		e.Gone = true
		e.Reads = []schema.NewEvent{{
			System: "genesys", Object: "customer", Ref: "g1", Kind: schema.EventDelete, SourceAt: time.Now().UTC(), Lane: schema.LaneNormal, Body: []byte(`{}`),
		}}
		e.Members = []schema.Member{{Reason: schema.ReasonRecordGone, System: "genesys", Object: "customer", Owner: "ops", Record: e.Record}}
	})
	b.Exec(`UPDATE open_event SET record = $1 WHERE state = 'new'`, record.String())
	b.decideOnly(record, ended(schema.Applied))
	if d := b.delivery(record, "genesys"); d.State != "idle" {
		t.Errorf("delivery %+v", d)
	}
	if got := fmt.Sprint(b.waiting(record)); got != "[record_gone in genesys]" {
		t.Errorf("%s waits for a person", got)
	}
}
