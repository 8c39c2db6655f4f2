package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockstep/schema"
)

// The numbers of minutes that are over become one for each counter, and say what they said.
func TestTalliesAreFolded(t *testing.T) {
	b := newBench(t)
	rows := func() int64 { return b.Count(`SELECT count(*) FROM tally`) }
	for n := range 3 {
		b.tell(fmt.Sprint("003", n), fmt.Sprintf(`{"n":%d}`, n))
		b.decide(ended(schema.Echo))
		// Of another connection, an hour ago.
		b.Exec(`UPDATE tally SET process = -1 - $1, minute = minute - interval '1 hour' WHERE process > 0`, n)
	}
	b.tell("003X", `{"now":1}`)
	before, had := b.Conserved(), rows()
	must(t, b.Housekeep(t.Context(), keep))
	// Accepted and echo of then, accepted of now.
	if after := b.Conserved(); fmt.Sprint(after.Accepted, after.Outcomes, after.Open) != fmt.Sprint(before.Accepted, before.Outcomes, before.Open) || rows() != 3 {
		t.Errorf("%d rows became %d; %+v became %+v", had, rows(), before, after)
	}
	b.Exec(`UPDATE tally SET minute = minute - interval '1 hour' WHERE process > 0`)
	must(t, b.Housekeep(t.Context(), keep))
	must(t, b.Housekeep(t.Context(), keep))
	if after := b.Conserved(); after.Accepted != 4 || rows() != 2 {
		t.Errorf("%d rows, %+v", rows(), after)
	}
}

// Folding may meet whoever counts and whoever folds: no look at the numbers ever finds one too many or too few.
func TestTalliesAreFoldedWhileOthersCount(t *testing.T) {
	b := newBench(t)
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
	defer stop()
	var wg sync.WaitGroup
	var accepted, folded atomic.Int64
	for teller := range 3 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				ref := fmt.Sprintf("%d-%d", teller, n)
				a, err := b.Accept(t.Context(), posting("salesforce", unit(ref, ref, ref, false)))
				if err != nil && !errors.Is(err, schema.ErrRaced) {
					t.Error(err)
					return
				}
				accepted.Add(int64(a.Events))
			}
		})
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			if _, err := b.Decide(t.Context(), schema.DecideQuery{Lane: schema.LaneNormal}, everyRecord(ended(schema.Echo))); err != nil && !errors.Is(err, schema.ErrRaced) {
				t.Error(err)
				return
			}
		}
	})
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				// As a role that waits for nobody's lock for long; the present minute, too: the worst moment.
				folded.Add(b.Count(`SELECT fold_tallies('-1 hour', 3)`))
			}
		})
	}
	for ctx.Err() == nil {
		b.Conserved()
	}
	wg.Wait()
	b.Exec(`SELECT fold_tallies('-1 hour', 1000)`)
	if stats := b.Conserved(); stats.Accepted != accepted.Load() || b.Count(`SELECT count(*) FROM tally WHERE process <> 0`) != 0 {
		t.Errorf("%d were accepted, the numbers say %d", accepted.Load(), stats.Accepted)
	}
	if folded.Load() < 100 || accepted.Load() < 100 {
		t.Errorf("only %d rows were folded and %d events accepted: nothing is shown", folded.Load(), accepted.Load())
	}
}
