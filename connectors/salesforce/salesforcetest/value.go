package salesforcetest

import (
	"encoding/json"
	"fmt"
	"math"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A stored value is nil, string, bool, float64 or time.Time (date and datetime, UTC, to the second).

const (
	timeFormat = "2006-01-02T15:04:05.000-0700"
	dateFormat = "2006-01-02"
)

// accept turns a decoded JSON value into the stored one, as a write would.
func (f *field) accept(raw any) (any, *apiError) {
	if raw == nil {
		return nil, nil
	}
	switch f.Type {
	case "boolean":
		b, ok := raw.(bool)
		if !ok {
			return nil, f.unreadable("boolean", raw)
		}
		return b, nil
	case "int", "double", "currency", "percent":
		return f.acceptNumber(raw)
	case "date", "datetime":
		return f.acceptTime(raw)
	}
	return f.acceptText(raw)
}

func (f *field) acceptNumber(raw any) (any, *apiError) {
	number, ok := raw.(json.Number)
	if !ok {
		// Salesforce reads a number out of a text where the text is one.
		text, isText := raw.(string)
		if !isText {
			return nil, f.unreadable(f.Type, raw)
		}
		number = json.Number(text)
	}
	n, err := number.Float64()
	if err != nil || math.IsInf(n, 0) {
		return nil, f.unreadable(f.Type, raw)
	}
	if f.Type == "int" && (n != math.Trunc(n) || math.Abs(n) > math.MaxInt32) {
		return nil, f.unreadable("int", raw)
	}
	return n, nil
}

func (f *field) acceptTime(raw any) (any, *apiError) {
	text, ok := raw.(string)
	if !ok {
		return nil, f.unreadable(f.Type, raw)
	}
	if f.Type == "date" {
		if len(text) > len(dateFormat) {
			text = text[:len(dateFormat)] // a time behind the date does not count
		}
		t, err := time.Parse(dateFormat, text)
		if err != nil {
			return nil, f.unreadable("date", raw)
		}
		return t, nil
	}
	t, ok := parseTime(text)
	if !ok {
		return nil, f.unreadable("datetime", raw)
	}
	return t, nil
}

// parseTime reads the spellings of a datetime that the REST API takes, to the second.
func parseTime(text string) (time.Time, bool) {
	for _, layout := range []string{
		time.RFC3339, "2006-01-02T15:04:05-0700", "2006-01-02T15:04Z07:00", "2006-01-02T15:04-0700", dateFormat,
	} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC().Truncate(time.Second), true
		}
	}
	return time.Time{}, false
}

func (f *field) acceptText(raw any) (any, *apiError) {
	var value string
	switch v := raw.(type) {
	case string:
		value = v
	case json.Number:
		value = v.String()
	case bool:
		value = strconv.FormatBool(v)
	default:
		return nil, f.unreadable("string", raw)
	}
	if f.Type != "textarea" {
		value = strings.TrimSpace(value)
	}
	if value == "" {
		return nil, nil // Salesforce knows no empty text
	}
	if utf8.RuneCountInString(value) > f.Length {
		return nil, &apiError{
			Code: "STRING_TOO_LONG", Fields: []string{f.Name},
			Message: fmt.Sprintf("%s: data value too large: %s (max length=%d)", f.Label, value, f.Length),
		}
	}
	switch {
	case f.Type == "email" && !validEmail(value):
		return nil, &apiError{
			Code: "INVALID_EMAIL_ADDRESS", Fields: []string{f.Name},
			Message: fmt.Sprintf("%s: invalid email address: %s", f.Label, value),
		}
	case f.Type == "picklist" && f.Restricted && !slices.Contains(f.Values, value):
		return nil, &apiError{
			Code: "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", Fields: []string{f.Name},
			Message: fmt.Sprintf("%s: bad value for restricted picklist field: %s", f.Label, value),
		}
	}
	return value, nil
}

// unreadable is the refusal of a JSON value of the wrong kind; like the original it refuses the whole body.
func (f *field) unreadable(want string, raw any) *apiError {
	got := "VALUE_STRING"
	switch raw.(type) {
	case bool:
		got = "VALUE_TRUE"
	case json.Number:
		got = "VALUE_NUMBER_INT"
	case map[string]any:
		got = "START_OBJECT"
	case []any:
		got = "START_ARRAY"
	}
	return &apiError{
		Code: "JSON_PARSER_ERROR",
		Message: fmt.Sprintf("Cannot deserialize instance of %s from %s value %v or request may be missing a required field "+
			"at [line:1, column:2]", want, got, raw),
	}
}

func validEmail(s string) bool {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || a.Name != "" {
		return false
	}
	host := s[strings.LastIndexByte(s, '@')+1:]
	return strings.Contains(host, ".") && !strings.HasSuffix(host, ".")
}

// show returns the value as a REST answer spells it.
func (f *field) show(v any) any {
	switch v := v.(type) {
	case time.Time:
		if f.Type == "date" {
			return v.Format(dateFormat)
		}
		return v.Format(timeFormat)
	case float64:
		if f.Type == "int" {
			return json.Number(strconv.FormatInt(int64(v), 10))
		}
		return json.Number(javaDouble(v))
	}
	return v
}

// apex returns the value as Apex's JSON.serialize spells it: decimals plain, datetimes with Z.
func (f *field) apex(v any) any {
	switch v := v.(type) {
	case time.Time:
		if f.Type == "date" {
			return v.Format(dateFormat)
		}
		return v.Format("2006-01-02T15:04:05.000Z")
	case float64:
		return json.Number(strconv.FormatFloat(v, 'f', -1, 64))
	}
	return v
}

// javaDouble spells a number as java.lang.Double.toString does, which the REST API shows: 5000.0, 3.5E8.
func javaDouble(v float64) string {
	if size := math.Abs(v); v == 0 || (size >= 1e-3 && size < 1e7) {
		s := strconv.FormatFloat(v, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(v, 'E', -1, 64), "E")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	n, _ := strconv.Atoi(exponent) // FormatFloat wrote it
	return mantissa + "E" + strconv.Itoa(n)
}

// same compares two stored values.
func same(a, b any) bool {
	at, aok := a.(time.Time)
	bt, bok := b.(time.Time)
	if aok && bok {
		return at.Equal(bt)
	}
	return a == b
}

// folded is the form of a value in which uniqueness and look-ups compare.
func (f *field) folded(v any) string {
	s, ok := v.(string)
	if !ok {
		return fmt.Sprint(v)
	}
	if f.CaseSensitive || f.Type == "reference" || f.Type == "id" {
		return s
	}
	return strings.ToLower(s)
}
