package envelope

import (
	"encoding/json"

	"lockstep/connectors"
	"lockstep/schema"
)

// ChangeSet reads events that tell the changed fields with their old and new values: an object, or an array of
// such, with event_type, timestamp, record_id, object_type and change_set, and optionally sequence and changed_by.
// Unknown members are tolerated. An in-body `signature` has been checked before.
type ChangeSet struct {
	// User is our own user in the source: a change by it is marked Ours. Empty marks none.
	User string
}

var _ connectors.Envelope = ChangeSet{}

// Split returns the events of one POST.
func (ChangeSet) Split(body []byte) ([]json.RawMessage, error) { return Split(body) }

// Is reports whether the event has the shape of a change set, for envelopes that accept it beside their own.
func (ChangeSet) Is(o Object) bool { return o.Has("event_type") }

// Parse reads one event.
func (c ChangeSet) Parse(raw json.RawMessage) ([]schema.Change, error) {
	o, err := Open(raw)
	if err != nil {
		return nil, err
	}
	return c.Read(o)
}

// Read reads one opened event.
func (c ChangeSet) Read(o Object) ([]schema.Change, error) {
	change, err := c.head(o)
	if err != nil {
		return nil, err
	}
	if change.Kind == schema.EventDelete && !o.Has("change_set") {
		return []schema.Change{change}, nil
	}
	set, err := o.Object("change_set")
	if err != nil {
		return nil, err
	}
	change.Fields, change.Old = schema.Fields{}, schema.Fields{}
	for _, name := range set.Names() {
		if err := readField(set, name, &change); err != nil {
			return nil, err
		}
	}
	return []schema.Change{change}, nil
}

func (c ChangeSet) head(o Object) (change schema.Change, err error) {
	kind, err := o.Text("event_type", 64)
	if err != nil {
		return change, err
	}
	switch kind {
	case "CREATE":
		// A new record: what it does not name is empty.
		change.Kind = schema.EventFull
	case "UPDATE":
		change.Kind = schema.EventChange
	case "UNDELETE":
		change.Kind, change.Cut = schema.EventChange, true
	case "DELETE":
		change.Kind = schema.EventDelete
	default:
		return change, Mismatch(o.At("event_type"), "CREATE, UPDATE, DELETE or UNDELETE is required")
	}
	if change.Object, err = o.Text("object_type", 64); err != nil {
		return change, err
	}
	if change.Ref, err = o.Text("record_id", 255); err != nil {
		return change, err
	}
	if !o.Has("timestamp") {
		return change, Mismatch(o.At("timestamp"), "an RFC 3339 time is required")
	}
	if change.At, err = o.Time("timestamp"); err != nil {
		return change, err
	}
	if change.Sequence, err = o.Whole("sequence"); err != nil {
		return change, err
	}
	user, err := o.OptionalText("changed_by", 255)
	change.Ours = c.User != "" && user == c.User
	return change, err
}

// readField reads {"old_value": …, "new_value": …}. Without old_value the source does not tell it.
func readField(set Object, name string, change *schema.Change) error {
	field, err := set.Object(name)
	if err != nil {
		return err
	}
	value, ok := field.Value("new_value")
	if !ok && change.Kind != schema.EventDelete {
		return Mismatch(field.At("new_value"), "the new value is required, null for an empty field")
	}
	if !Scalar(value) {
		return Mismatch(field.At("new_value"), "a text, a number, a truth value or null is required")
	}
	if ok && change.Kind != schema.EventDelete {
		change.Fields[name] = value
	}
	old, ok := field.Value("old_value")
	if !Scalar(old) {
		return Mismatch(field.At("old_value"), "a text, a number, a truth value or null is required")
	}
	if ok {
		change.Old[name] = old
	}
	return nil
}
