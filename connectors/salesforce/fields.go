package salesforce

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockstep/connectors"
	"lockstep/schema"
)

const modstamp = "SystemModstamp"

var nameGrammar = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)

// fieldName accepts the API name of an object or a field.
func fieldName(s string) bool { return nameGrammar.MatchString(s) }

// wellFormed reports whether an id is one of Salesforce's: 15 letters and digits, or 18 of which the last three are the
// check of the others' case. Others are asked for all the same: senders that wrap Salesforce have ids of their own.
func wellFormed(id string) bool {
	return connectors.PlainID(id) && (len(id) == 15 || (len(id) == 18 && strings.EqualFold(LongID(id[:15]), id)))
}

// LongID returns the 18-character form of a 15-character id, which differs from others by case alone; anything else
// comes back as it is. An org answers with the long form always, formulas and reports show the short one.
func LongID(id string) string {
	if len(id) != 15 {
		return id
	}
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
	long := []byte(id)
	for part := range 3 {
		bits := 0
		for i := range 5 {
			if c := id[part*5+i]; 'A' <= c && c <= 'Z' {
				bits |= 1 << i
			}
		}
		long = append(long, letters[bits])
	}
	return string(long)
}

// usable reports whether the object's names may stand in a request.
func usable(o connectors.Object) bool {
	return fieldName(o.Name) && fieldName(o.Key) && !slices.ContainsFunc(o.Fields, func(f string) bool { return !fieldName(f) })
}

// columns are the fields to ask for: the object's, the time of change, the sequence, and extra ones, each once.
func (s *Connector) columns(o connectors.Object, extra ...string) []string {
	list := slices.Concat([]string{"Id", modstamp}, o.Fields, extra)
	if s.settings.sequenceField != "" {
		list = append(list, s.settings.sequenceField)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// record flattens a row: of each governed field its scalar, nil where it is empty. A field that the row does not show,
// or shows as a compound, stays out: it is unknown, not empty (D08). ok is false for a row without an Id.
func (s *Connector) record(o connectors.Object, row map[string]any) (connectors.Record, bool) {
	id, _ := row["Id"].(string)
	if !connectors.PlainID(id) {
		return connectors.Record{}, false
	}
	r := connectors.Record{ID: LongID(id), Fields: schema.Fields{}}
	for _, name := range o.Fields {
		if value, ok := row[name]; ok && scalar(value) {
			r.Fields[name] = value
		}
	}
	if text, ok := row[modstamp].(string); ok {
		r.ModifiedAt = parseTime(text)
	}
	if number, ok := row[s.settings.sequenceField].(json.Number); ok {
		r.Sequence = sequenceOf(number)
	}
	return r, true
}

func scalar(v any) bool {
	switch v.(type) {
	case nil, string, bool, json.Number:
		return true
	default:
		return false
	}
}

// sequenceOf reads a sequence; Salesforce spells whole numbers of number fields like 7.0.
func sequenceOf(n json.Number) uint64 {
	if whole, err := strconv.ParseUint(n.String(), 10, 64); err == nil {
		return whole
	}
	f, err := n.Float64()
	if err != nil || f < 0 || f >= 1<<53 || f != float64(uint64(f)) {
		return 0
	}
	return uint64(f)
}

// parseTime reads 2026-01-01T00:00:00.000+0000; zero when it is not that.
func parseTime(text string) time.Time {
	for _, layout := range []string{"2006-01-02T15:04:05.999999999-0700", time.RFC3339Nano} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// row is one record of a write as the collections take it.
func row(o connectors.Object, c connectors.Change) map[string]any {
	r := make(map[string]any, len(c.Fields)+2)
	for name, value := range c.Fields {
		r[name] = value
	}
	r["attributes"] = map[string]string{"type": o.Name}
	return r
}
