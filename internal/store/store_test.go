package store_test

import (
	"testing"

	"lockstep/internal/store/storetest"
	"lockstep/schema"
)

// migrated hands out databases of a test's own.
var migrated databases

type databases struct{}

// New returns the address of a migrated database, as its owner.
func (databases) New(t testing.TB) string { return storetest.Database(t) }

func TestAnAcceptedPostingIsInTheJournal(t *testing.T) {
	b := newBench(t)
	p := storetest.Posting("salesforce", "003A", "msg_1", schema.EventChange, `{"a":1}`)
	got, err := b.Accept(t.Context(), p)
	must(t, err)
	if got.Events != 1 || got.Receipt != p.Receipt {
		t.Fatalf("accepted %+v", got)
	}
	if stats := b.Conserved(); stats.Accepted != 1 || stats.Open.InFlight != 1 {
		t.Fatalf("stats %+v", stats)
	}
	life, err := b.Life(t.Context(), p.Receipt, func(schema.Claim) string { return "" })
	must(t, err)
	if len(life.Events) != 1 || life.Events[0].State != "new" {
		t.Fatalf("life %+v", life)
	}
	b.Sound()
}
