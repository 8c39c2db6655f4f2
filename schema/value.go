package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// Value is a canonical value in its one canonical spelling (E.164, lower-case e-mail, RFC 3339 in UTC, plain decimal),
// or null. Values compare with ==. The zero Value is null.
//
// It may be personal data, so everything that prints it prints a mask. MarshalJSON is the exception: the only place
// that marshals a Value is the sealed state of a record.
type Value struct {
	text string
	set  bool
}

// Null is the value that says: this field is empty.
var Null = Value{}

// Text returns the value that is spelt s. The empty string is a value of its own, not null.
func Text(s string) Value { return Value{text: s, set: true} }

// IsNull reports whether the field is empty.
func (v Value) IsNull() bool { return !v.set }

// Reveal returns the canonical spelling, "" for null. Whoever calls it answers for where the text goes.
func (v Value) Reveal() string { return v.text }

const mask = "•••"

// String returns a mask.
func (v Value) String() string {
	if !v.set {
		return "null"
	}
	return mask
}

// Format writes a mask for every verb.
func (v Value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, v.String()) }

// LogValue returns a mask.
func (v Value) LogValue() slog.Value { return slog.StringValue(v.String()) }

// MarshalJSON returns the value itself, for sealing.
func (v Value) MarshalJSON() ([]byte, error) {
	if !v.set {
		return []byte("null"), nil
	}
	return json.Marshal(v.text)
}

// UnmarshalJSON reads what MarshalJSON wrote. Its errors never carry the input.
func (v *Value) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		*v = Null
		return nil
	}
	var s string
	if json.Unmarshal(b, &s) != nil {
		return fmt.Errorf("schema: a canonical value is text or null")
	}
	*v = Text(s)
	return nil
}
