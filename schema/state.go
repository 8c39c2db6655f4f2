package schema

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
)

// State is what we know of one record: for each system, what it said and what we believe it holds. It is sealed in
// record.state and nowhere else. rules reads and changes it; everything that prints it prints its shape.
type State struct {
	Systems map[string]*SystemState `cbor:"1,keyasint,omitempty"`
}

// SystemState is what we know of the record in one system.
type SystemState struct {
	// ID is the vendor's id; empty while the system has no record that we know of.
	ID string `cbor:"1,keyasint,omitempty"`
	// GoneAt is when the system said that the record was deleted; zero while it stands.
	GoneAt Moment `cbor:"2,keyasint,omitzero"`
	// Whole is set once a full event or a read showed every field.
	Whole bool `cbor:"3,keyasint,omitempty"`
	// Looked is set once a look-up by match keys found no record there.
	Looked bool `cbor:"4,keyasint,omitempty"`
	// Fields holds each canonical field's history in the system.
	Fields map[string]*History `cbor:"5,keyasint,omitempty"`
	// Sights are the latest moments at which the whole record was seen, oldest first: they tell between which two
	// moments a field changed when a full event comes late (protocol F8).
	Sights []Moment `cbor:"6,keyasint,omitempty"`
	// Sending are the values of a call on its way, or of one whose outcome nobody knows: an event that shows one of them is
	// the echo of it, not somebody's word (protocol F7).
	Sending map[string][]Value `cbor:"7,keyasint,omitempty"`
	// Unread is why what our newest read showed could not be understood; empty when it could. Until a read can be, nobody
	// knows what the system holds, and it is told nothing.
	Unread Reason `cbor:"8,keyasint,omitempty"`
}

// History is what one system held in one field, as runs of equal values in the system's own order of time. The newest
// run is the shadow: what we believe the system holds. The newest run that is neither ours nor dead is the system's
// statement: what its own users last said. One structure gives both, whatever the order in which events arrive.
type History struct {
	// Runs are sorted by time, oldest first.
	Runs []Run `cbor:"1,keyasint"`
	// Floor is where older runs were cut off; what is not after it counts as known and overruled.
	Floor Moment `cbor:"2,keyasint,omitzero"`
	// Kept counts how often in a row the system gave back another value than the one that we wrote.
	Kept int `cbor:"3,keyasint,omitempty"`
}

// Run is a span of a system's own time in which a field held one value.
type Run struct {
	// Value is the canonical value, in the system's projection of it.
	Value Value `cbor:"1,keyasint"`
	// From and To are the first and the last moment at which the value was seen.
	From Moment `cbor:"2,keyasint"`
	To   Moment `cbor:"3,keyasint,omitzero"`
	// Event first told the value; zero for what we wrote.
	Event ID `cbor:"4,keyasint,omitzero"`
	// Last told it last, when that was another event; for what we wrote, the event that showed it standing.
	Last ID `cbor:"5,keyasint,omitzero"`
	// Rev is the record's revision at which the run came into the history.
	Rev int64 `cbor:"6,keyasint,omitempty"`
	// Flags say whose value it is.
	Flags RunFlags `cbor:"7,keyasint,omitempty"`
}

// RunFlags say whose value a run is and how sure its place is.
type RunFlags uint8

// The flags of a run.
const (
	// RunOwn: we wrote the value, or it came back as the echo of what we wrote.
	RunOwn RunFlags = 1 << iota
	// RunFloating: we wrote it and do not know the system's time of that; From is our own clock.
	RunFloating
	// RunDead: another system refused the value for good; it is no statement any more.
	RunDead
	// RunSaid: an event named the field, so that even a null is a statement.
	RunSaid
	// RunLastOwn: the last time the value was seen, the system named us as the writer.
	RunLastOwn
	// RunBegun: somebody set the value at From; it did not merely show there.
	RunBegun
)

// Has reports whether all the flags are set.
func (f RunFlags) Has(flags RunFlags) bool { return f&flags == flags }

// Moment is a system's own time of a change: milliseconds, and a sequence where the system has one.
type Moment struct {
	// At is in milliseconds since 1970, UTC.
	At int64 `cbor:"1,keyasint"`
	// Seq orders changes of one millisecond; 0 when the system has no sequence.
	Seq uint64 `cbor:"2,keyasint,omitempty"`
}

// IsZero reports whether the moment is unknown.
func (m Moment) IsZero() bool { return m == Moment{} }

// Compare orders two moments of one system: by time, then by sequence where both have one. ok is false when they are
// equal in time and no sequence orders them; such a pair is read, never guessed (D5).
func (m Moment) Compare(n Moment) (order int, ok bool) {
	switch {
	case m.At != n.At:
		return cmp.Compare(m.At, n.At), true
	case m.Seq != 0 && n.Seq != 0:
		return cmp.Compare(m.Seq, n.Seq), true
	}
	return 0, false
}

// String returns the shape of the state.
func (s *State) String() string {
	if s == nil {
		return "state of no systems"
	}
	return fmt.Sprintf("state of %d systems", len(s.Systems))
}

// Format writes the shape for every verb.
func (s *State) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, s.String()) }

// LogValue returns the shape.
func (s *State) LogValue() slog.Value { return slog.StringValue(s.String()) }

// System returns the state of one system, made empty if there is none.
func (s *State) System(name string) *SystemState {
	if s.Systems == nil {
		s.Systems = map[string]*SystemState{}
	}
	if s.Systems[name] == nil {
		s.Systems[name] = &SystemState{}
	}
	if s.Systems[name].Fields == nil {
		s.Systems[name].Fields = map[string]*History{}
	}
	return s.Systems[name]
}

// MarshalBinary writes the value itself, for sealing.
func (v Value) MarshalBinary() ([]byte, error) {
	if !v.set {
		return nil, nil
	}
	return append([]byte{1}, v.text...), nil
}

// UnmarshalBinary reads what MarshalBinary wrote.
func (v *Value) UnmarshalBinary(b []byte) error {
	if len(b) == 0 {
		*v = Null
		return nil
	}
	if b[0] != 1 {
		return errors.New("schema: not a sealed value")
	}
	*v = Text(string(b[1:]))
	return nil
}
