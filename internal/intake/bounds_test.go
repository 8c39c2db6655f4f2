package intake_test

import (
	"encoding/json"
	"strings"
	"testing"

	"lockstep/connectors/envelope"
	"lockstep/schema"
)

// wide is an envelope that lets through what no row of ours holds.
type wide struct{ envelope.ChangeSet }

// Parse says that the record was merged.
func (w wide) Parse(raw json.RawMessage) ([]schema.Change, error) {
	changes, err := w.ChangeSet.Parse(raw)
	for i := range changes {
		changes[i].Kind, changes[i].Into = schema.EventMerge, strings.Repeat("canary", 50)
	}
	return changes, err
}

// Whatever an envelope makes of an event is held against the bounds of a change: the event is refused and kept.
func TestAChangeOutOfBoundsIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	sources := h.sources()
	for _, s := range sources {
		if s.Name == "github" {
			s.Envelope = wide{}
		}
	}
	s := h.openStore()
	d := &door{h: h, store: s, Handler: h.intakeOf(s, sources).Handler()}
	a := d.refused("github", change{record: "001A"}.String(), schema.ReasonSchemaMismatch)
	if e := a.body.Error; !strings.Contains(e.Rule, "max=255 of Into") || e.Remedy == "" || strings.Contains(a.String(), "canary") {
		t.Errorf("%s", a)
	}
}
