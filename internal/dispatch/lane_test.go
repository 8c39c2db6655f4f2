package dispatch_test

import (
	"testing"

	"lockstep/schema"
)

// A field that the map pushes takes its record to its system before others; one that it lets be pulled waits its turn.
func TestAPushedFieldTravelsFirst(t *testing.T) {
	w := newTown(t, 10)
	lane := func(n int) schema.Lane {
		t.Helper()
		return schema.Lane(w.Count(`SELECT lane FROM delivery WHERE system = 'desk' AND record = $1`, w.in(w.desk, n)["key"]))
	}
	one, _ := w.person(1)
	two, _ := w.person(2)
	w.Settle()
	must(t, w.PauseSystem(t.Context(), "desk", "dana"))
	w.edit(w.crm, one, "name", "Ada")
	w.edit(w.crm, two, "phone", "+13175550100")
	w.Decided()
	if pulled, pushed := lane(1), lane(2); pulled != schema.LaneNormal || pushed != schema.LanePush {
		t.Errorf("the name travels in lane %s, the phone number in lane %s", pulled, pushed)
	}
	// Who is pushed goes first, and takes along what else is to be told of the record.
	w.edit(w.crm, one, "phone", "+13175550101")
	w.Decided()
	if got := lane(1); got != schema.LanePush {
		t.Errorf("with a phone number the name travels in lane %s", got)
	}
	must(t, w.ResumeSystem(t.Context(), "desk", "dana"))
	w.Settle()
	if got := w.in(w.desk, 1); got["name"] != "Ada" || got["phone"] != "+13175550101" {
		t.Errorf("the desk has %v", got)
	}
}
