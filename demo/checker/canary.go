package checker

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Canary is a value that occurs nowhere else and may be found nowhere but at the systems it belongs to and in what is
// sealed (INV-16).
type Canary struct {
	// Name says what it stands for; findings name it and never the value.
	Name  string
	Value string
}

// Form is one way to write a canary down.
type Form struct {
	Name string
	Text []byte
}

// Forms returns every way in which the value may leak: as it is, encoded, escaped, and for numbers without anything
// between their digits.
func (c Canary) Forms() []Form {
	raw := []byte(c.Value)
	forms := []Form{
		{"raw", raw}, {"hex", []byte(hex.EncodeToString(raw))}, {"HEX", []byte(strings.ToUpper(hex.EncodeToString(raw)))},
		{"URL query", []byte(url.QueryEscape(c.Value))}, {"URL path", []byte(url.PathEscape(c.Value))}, {"HTML", []byte(html.EscapeString(c.Value))},
		{"JSON", jsonText(c.Value)}, {"JSON escapes", []byte(strings.Trim(strconv.QuoteToASCII(c.Value), `"`))},
		{"UTF-16", utf16LE(c.Value)},
	}
	for shift := range 3 {
		forms = append(forms, Form{"base64", core(base64.StdEncoding, raw, shift)}, Form{"base64url", core(base64.URLEncoding, raw, shift)})
	}
	if digits := onlyDigits(c.Value); len(digits) >= shortestNumber {
		forms = append(forms, Form{"digits", []byte(digits)})
		if national, ok := strings.CutPrefix(c.Value, "+1"); ok {
			forms = append(forms, Form{"national digits", []byte(national)})
		}
	}
	return unique(forms)
}

// core returns the characters of a base64 text that depend on the value alone, when shift bytes stand before it.
func core(encoding *base64.Encoding, raw []byte, shift int) []byte {
	text := encoding.EncodeToString(append(make([]byte, shift), raw...))
	first := (shift*8 + 5) / 6
	last := (shift + len(raw)) * 8 / 6
	return []byte(text[first:last])
}

func jsonText(value string) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		return []byte(value) // a string is always JSON
	}
	return bytes.Trim(text, `"`)
}

func utf16LE(value string) []byte {
	var out []byte
	for _, unit := range utf16.Encode([]rune(value)) {
		out = append(out, byte(unit), byte(unit>>8)) //nolint:gosec // two bytes of it
	}
	return out
}

// shortestNumber is how many digits in a row are not there by chance.
const shortestNumber = 9

// onlyDigits returns the digits of a number that is written with separators; "" when it is no number.
func onlyDigits(value string) string {
	digits := strings.NewReplacer("+", "", "-", "", "(", "", ")", "", ".", "", " ", "").Replace(value)
	if strings.Trim(digits, "0123456789") != "" {
		return ""
	}
	return digits
}

func unique(forms []Form) []Form {
	slices.SortStableFunc(forms, func(a, b Form) int { return bytes.Compare(a.Text, b.Text) })
	return slices.CompactFunc(forms, func(a, b Form) bool { return bytes.Equal(a.Text, b.Text) })
}

// Leak is a canary that was found where it may not be.
type Leak struct {
	Canary string `json:"canary"`
	Form   string `json:"form"`
	Sink   string `json:"sink"`
	At     int    `json:"at"`
}

// String says what was found where.
func (l Leak) String() string {
	return fmt.Sprintf("%s (%s) in %s at byte %d", l.Canary, l.Form, l.Sink, l.At)
}

// Search looks for canaries in what a sink holds.
func Search(sink string, content []byte, canaries []Canary) []Leak {
	var leaks []Leak
	for _, c := range canaries {
		for _, f := range c.Forms() {
			if at := bytes.Index(content, f.Text); at >= 0 {
				leaks = append(leaks, Leak{Canary: c.Name, Form: f.Name, Sink: sink, At: at})
			}
		}
	}
	return leaks
}
