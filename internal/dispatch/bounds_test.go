package dispatch_test

import (
	"encoding/json"
	"strings"
	"testing"

	"lockstep/internal/protocol"
	"lockstep/internal/store/storetest"
	"lockstep/schema"
)

// What an envelope makes of an event, and what was journaled as a read, is held against the bounds of a change before anything
// is decided by it: what breaks them waits for a person and leaves the customer as it was.
func TestAChangeOutOfBoundsIsNotDecided(t *testing.T) {
	p, crm, desk := parts(t, 10, protocol.Faults{})
	w := &town{Installation: storetest.Install(t, p), crm: crm, desk: desk, bundle: p.Bundle, t: t}
	id, _ := w.person(1)
	w.Settle()
	merged := schema.Change{Object: "Person", Ref: id, Kind: schema.EventMerge, Into: strings.Repeat("x", 256)}
	odd := schema.Change{Object: "Person", Ref: id, Kind: "surprise", Fields: schema.Fields{"name": "Mallory"}}
	body, err := json.Marshal(odd)
	must(t, err)
	receipts := map[string]schema.ID{"a merge into nowhere": w.Tell("crm", merged)}
	for source, kind := range map[string]schema.EventKind{"crm": schema.EventChange, schema.OwnSource: schema.EventRead} {
		posting := storetest.Posting(source, id, source, kind, string(body))
		posting.Units[0].Events[0].System = "crm"
		accepted, err := w.Accept(t.Context(), posting)
		must(t, err)
		receipts["one of no kind from "+source] = accepted.Receipt
	}
	w.Settle()
	for name, receipt := range receipts {
		if e := w.Event(receipt); e.State != "held" || e.Reason != schema.ReasonInternal {
			t.Errorf("%s is %s %s %s", name, e.State, e.Outcome, e.Reason)
		}
	}
	if got := w.in(desk, 1)["name"]; got != "n1" {
		t.Errorf("the desk calls them %q", got)
	}
}
