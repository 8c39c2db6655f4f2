package envelope

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockstep/schema"
)

// Split returns the events of a POST that holds one JSON object or an array of them, each as its exact bytes.
func Split(body []byte) ([]json.RawMessage, error) {
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	if !bytes.HasPrefix(trimmed, []byte("[")) {
		var one json.RawMessage
		if !decode(body, &one) {
			return nil, malformed()
		}
		if !bytes.HasPrefix(one, []byte("{")) {
			return nil, Mismatch("", "a POST is an object or an array of objects")
		}
		return []json.RawMessage{one}, nil
	}
	var events []json.RawMessage
	if !decode(body, &events) {
		return nil, malformed()
	}
	if len(events) == 0 {
		return nil, Mismatch("", "the array holds no event")
	}
	for i, event := range events {
		if !bytes.HasPrefix(event, []byte("{")) {
			return nil, Mismatch("/"+strconv.Itoa(i), "an event is an object")
		}
	}
	return events, nil
}

func decode(raw []byte, into any) bool {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(into) != nil {
		return false
	}
	_, err := d.Token()
	return err == io.EOF
}

func malformed() *schema.Refusal {
	return &schema.Refusal{Reason: schema.ReasonMalformedJSON, Rule: "one JSON value, and nothing behind it"}
}

// Mismatch is the refusal of an event whose shape is not the agreed one.
func Mismatch(pointer, rule string) *schema.Refusal {
	return &schema.Refusal{Reason: schema.ReasonSchemaMismatch, Field: pointer, Rule: rule}
}

// Object is a JSON object of an event and the pointer that leads to it. Its numbers keep their spelling.
type Object struct {
	pointer string
	members map[string]any
}

// Open reads an event that is one JSON object.
func Open(raw json.RawMessage) (Object, error) {
	var members map[string]any
	if !decode(raw, &members) {
		var anything any
		if decode(raw, &anything) {
			return Object{}, Mismatch("", "an event is an object")
		}
		return Object{}, malformed()
	}
	if members == nil {
		return Object{}, Mismatch("", "an event is an object")
	}
	return Object{members: members}, nil
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// At returns the JSON pointer of a member.
func (o Object) At(name string) string { return o.pointer + "/" + pointerEscapes.Replace(name) }

// Names returns the members' names in order.
func (o Object) Names() []string { return slices.Sorted(maps.Keys(o.members)) }

// Value returns a member as it was decoded; ok is false when it is absent.
func (o Object) Value(name string) (value any, ok bool) {
	value, ok = o.members[name]
	return value, ok
}

// Has reports whether a member is present and not null.
func (o Object) Has(name string) bool { return o.members[name] != nil }

// Object returns a member that has to be an object.
func (o Object) Object(name string) (Object, error) {
	members, ok := o.members[name].(map[string]any)
	if !ok {
		return Object{}, Mismatch(o.At(name), "an object is required")
	}
	return Object{pointer: o.At(name), members: members}, nil
}

// Text returns a member that has to be a text of 1 to longest bytes.
func (o Object) Text(name string, longest int) (string, error) {
	text, ok := o.members[name].(string)
	if !ok || text == "" || len(text) > longest {
		return "", Mismatch(o.At(name), "a text of 1 to "+strconv.Itoa(longest)+" bytes is required")
	}
	return text, nil
}

// OptionalText is Text for a member that may be absent, null or empty.
func (o Object) OptionalText(name string, longest int) (string, error) {
	if !o.Has(name) || o.members[name] == "" {
		return "", nil
	}
	return o.Text(name, longest)
}

// Texts returns a member that, where it is present, has to be an array of texts of at most longest bytes each.
func (o Object) Texts(name string, longest int) ([]string, error) {
	if !o.Has(name) {
		return nil, nil
	}
	rule := "an array of texts of at most " + strconv.Itoa(longest) + " bytes is required"
	items, ok := o.members[name].([]any)
	if !ok {
		return nil, Mismatch(o.At(name), rule)
	}
	texts := make([]string, len(items))
	for i, item := range items {
		if texts[i], ok = item.(string); !ok || len(texts[i]) > longest {
			return nil, Mismatch(o.At(name)+"/"+strconv.Itoa(i), rule)
		}
	}
	return texts, nil
}

// Whole returns a member that, where it is present, has to be a whole number from 0 to 2^64-1; 0 without it.
func (o Object) Whole(name string) (uint64, error) {
	if !o.Has(name) {
		return 0, nil
	}
	number, _ := o.members[name].(json.Number)
	whole, err := strconv.ParseUint(number.String(), 10, 64)
	if err != nil {
		return 0, Mismatch(o.At(name), "a whole number that is not negative is required")
	}
	return whole, nil
}

// rfc3339 is the grammar; Go's own parser also takes a comma and hours of one digit.
var rfc3339 = regexp.MustCompile(
	`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])$`)

// Time returns a member that, where it is present, has to be an RFC 3339 time; zero without it.
func (o Object) Time(name string) (time.Time, error) {
	if !o.Has(name) {
		return time.Time{}, nil
	}
	text, ok := o.members[name].(string)
	if !ok {
		return time.Time{}, Mismatch(o.At(name), "an RFC 3339 time is required")
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || !rfc3339.MatchString(text) {
		return time.Time{}, &schema.Refusal{Reason: schema.ReasonBadDate, Field: o.At(name), Rule: "an RFC 3339 time is required"}
	}
	return at.UTC(), nil
}

// Milliseconds returns a member that, where it is present, has to be a count of milliseconds since 1970; zero without
// it.
func (o Object) Milliseconds(name string) (time.Time, error) {
	if !o.Has(name) {
		return time.Time{}, nil
	}
	ms, err := o.Whole(name)
	if err != nil {
		return time.Time{}, err
	}
	if ms > maxMilliseconds {
		return time.Time{}, &schema.Refusal{Reason: schema.ReasonBadDate, Field: o.At(name), Rule: "a time before the year 10000 is required"}
	}
	return time.UnixMilli(int64(ms)).UTC(), nil
}

// maxMilliseconds is the end of the year 9999.
const maxMilliseconds = 253_402_300_799_999

// Scalar reports whether a decoded value can stand in schema.Fields.
func Scalar(v any) bool {
	switch v.(type) {
	case nil, string, bool, json.Number:
		return true
	default:
		return false
	}
}
