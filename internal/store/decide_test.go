package store_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"lockstep/schema"
)

// A record is decided from all that is new of it, however much is new of others: an event that waited for a read must not
// be decided without it.
func TestARecordIsDecidedFromAllThatIsNew(t *testing.T) {
	b := newBench(t)
	const records = 300
	want := map[schema.ID]int{}
	b.ready("003000", "genesys", schema.OpWrite)
	b.ready("003299", "genesys", schema.OpWrite)
	for n := range records {
		want[b.recordOf(b.tell(fmt.Sprintf("003%03d", n), fmt.Sprintf(`{"first":%d}`, n)))] = 2
	}
	for n := range records {
		b.tell(fmt.Sprintf("003%03d", n), fmt.Sprintf(`{"second":%d}`, n))
	}
	want[b.recordOf(b.tell("003000", `{"third":0}`))]++ // the bound lies in the middle of a record
	for rounds := 0; len(want) > 0; rounds++ {
		if rounds > 3 {
			t.Fatalf("%d records are left after %d rounds", len(want), rounds)
		}
		_, err := b.Decide(t.Context(), schema.DecideQuery{Lane: schema.LaneNormal}, func(ctx context.Context, records []*schema.OpenRecord, look schema.Look) ([]schema.Resolution, error) {
			events := 0
			for _, r := range records {
				events += len(r.Events)
				if len(r.Events) != want[r.ID] {
					t.Errorf("a record is decided from %d of %d events", len(r.Events), want[r.ID])
				}
				delete(want, r.ID)
			}
			if events > 400 {
				t.Errorf("%d events in one transaction", events)
			}
			return everyRecord(ended(schema.Echo))(ctx, records, look)
		})
		must(t, err)
	}
	b.Conserved()
}

// Of a record with more events than one transaction bears, our own reads come first: what waited for them comes after.
func TestAReadIsDecidedBeforeWhatWaitedForIt(t *testing.T) {
	b := newBench(t)
	var record schema.ID
	for n := range 401 {
		record = b.recordOf(b.tell("003A", fmt.Sprintf(`{"n":%d}`, n)))
	}
	b.Exec(`UPDATE open_event SET source = 'lockstep' WHERE seq = (SELECT max(seq) FROM open_event)`)
	b.tell("003B", `{"of":"another"}`)
	for _, want := range []int{400, 1} {
		_, err := b.Decide(t.Context(), schema.DecideQuery{Lane: schema.LaneNormal}, func(ctx context.Context, records []*schema.OpenRecord, look schema.Look) ([]schema.Resolution, error) {
			for _, r := range records {
				read := slices.ContainsFunc(r.Events, func(e schema.OpenEvent) bool { return e.Source == schema.OwnSource })
				if r.ID == record && (len(r.Events) != want || read != (want == 400)) {
					t.Errorf("%d events are decided, the read among them: %t", len(r.Events), read)
				}
			}
			return everyRecord(ended(schema.Echo))(ctx, records, look)
		})
		must(t, err)
	}
	if n := b.Count(`SELECT count(*) FROM open_event WHERE record = $1`, record.String()); n != 0 {
		t.Errorf("%d events are open", n)
	}
}
