package envelope

import (
	"encoding/json"
	"fmt"
	"strings"

	"lockstep/connectors"
	"lockstep/schema"
)

// Flat reads events that are one whole record each: a JSON object of scalars. The record has no id of its source; its
// match keys stand for it.
type Flat struct {
	object string
	time   string
}

var _ connectors.Envelope = Flat{}

// NewFlat returns an envelope for records of an object. timePointer, such as /last_interaction_date, points at the
// record's own time of change, an RFC 3339 time; empty when it has none.
func NewFlat(object, timePointer string) (Flat, error) {
	if object == "" || len(object) > 64 {
		return Flat{}, fmt.Errorf("envelope: a flat record needs an object name of at most 64 bytes")
	}
	f := Flat{object: object}
	if timePointer == "" {
		return f, nil
	}
	name, ok := strings.CutPrefix(timePointer, "/")
	if !ok || name == "" || strings.Contains(name, "/") {
		return Flat{}, fmt.Errorf("envelope: the time pointer of a flat record names one member, as in /changed_at")
	}
	f.time = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
	return f, nil
}

// Split returns the events of one POST.
func (Flat) Split(body []byte) ([]json.RawMessage, error) { return Split(body) }

// Parse reads one event.
func (f Flat) Parse(raw json.RawMessage) ([]schema.Change, error) {
	o, err := Open(raw)
	if err != nil {
		return nil, err
	}
	change := schema.Change{Object: f.object, Kind: schema.EventFull, Fields: schema.Fields{}}
	for _, name := range o.Names() {
		value, _ := o.Value(name)
		if !Scalar(value) {
			return nil, Mismatch(o.At(name), "a text, a number, a truth value or null is required")
		}
		change.Fields[name] = value
	}
	if f.time != "" {
		if change.At, err = o.Time(f.time); err != nil {
			return nil, err
		}
	}
	return []schema.Change{change}, nil
}
