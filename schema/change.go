package schema

import (
	"fmt"
	"log/slog"
	"time"
)

// EventKind says how much an event tells.
type EventKind string

// The event kinds.
const (
	// EventChange tells only the fields that changed.
	EventChange EventKind = "change"
	// EventFull tells the whole record after some change; it is diffed against the shadow (protocol F8).
	EventFull EventKind = "full"
	// EventDelete tells that the record is gone.
	EventDelete EventKind = "delete"
	// EventMerge tells that the record was merged into another.
	EventMerge EventKind = "merge"
	// EventRead is what one of our own reads found; it is decided like any other (protocol F5).
	EventRead EventKind = "read"
)

// Fields are values under a system's own field names, flattened by its connector. A value is a string, a bool, a
// json.Number or nil; nil empties the field.
type Fields map[string]any

// Change is one event as its source tells it, in the source's own names. It is personal data: it prints as its shape.
type Change struct {
	// Object is the vendor's object name, such as Contact.
	Object string `json:"object" validate:"required,max=64"`
	// Ref is the vendor's record id; empty when the source has none and the match keys stand for it.
	Ref string `json:"ref" validate:"max=255"`
	// Kind says how much the event tells.
	Kind EventKind `json:"kind" validate:"required,oneof=change full delete merge read"`
	// At is the source's own time of the change, in UTC; zero when the source gives none.
	At time.Time `json:"at,omitzero"`
	// Sequence orders events of one source whose times are equal; 0 when the source has no such number.
	Sequence uint64 `json:"sequence,omitempty"`
	// Fields are the values after the change.
	Fields Fields `json:"fields,omitempty"`
	// Old are the values before the change, as far as the source tells them.
	Old Fields `json:"old,omitempty"`
	// Ours is set when the source says that our own user made the change.
	Ours bool `json:"ours,omitempty"`
	// Cut is set when the source says that it left data out; the record has to be read.
	Cut bool `json:"cut,omitempty"`
	// Into is the surviving record's id of a merge.
	Into string `json:"into,omitempty" validate:"max=255"`
}

// String returns the shape of the change without any value.
func (c Change) String() string {
	return fmt.Sprintf("%s %s of %d fields", c.Kind, c.Object, len(c.Fields))
}

// Format writes the shape for every verb.
func (c Change) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, c.String()) }

// LogValue returns the shape.
func (c Change) LogValue() slog.Value { return slog.StringValue(c.String()) }
