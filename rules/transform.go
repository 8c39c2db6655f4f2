package rules

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// transform is one step of a chain between a vendor's spelling and ours. It works on the JSON scalar.
type transform func(raw any) any

// Transforms names the steps that a mapping may use, with the argument that each takes.
var Transforms = map[string]string{
	"collapse_spaces": "",
	"digits":          "",
	"epoch_ms":        "",
	"lower":           "",
	"mask_numbers":    "",
	"seconds":         "",
	"strip_prefix":    "text",
	"truncate":        "number",
	"upper":           "",
}

// ParseTransform reads one step, such as `lower` or `truncate(40)`. The error names the rule and a remedy.
func ParseTransform(step string) (transform, error) {
	name, argument, hasArgument := strings.Cut(strings.TrimSuffix(step, ")"), "(")
	wants, known := Transforms[name]
	if !known || hasArgument != strings.HasSuffix(step, ")") || hasArgument != (wants != "") {
		return nil, fmt.Errorf("%q is no transform; there are collapse_spaces, digits, epoch_ms, lower, mask_numbers, seconds, strip_prefix(text), truncate(number), upper", step)
	}
	switch name {
	case "collapse_spaces":
		return onText(func(s string) string { return strings.Join(strings.Fields(s), " ") }), nil
	case "digits":
		return onText(keepDigits), nil
	case "epoch_ms":
		return swapEpoch, nil
	case "lower":
		return onText(strings.ToLower), nil
	case "mask_numbers":
		return onText(MaskText), nil
	case "seconds":
		return onText(wholeSeconds), nil
	case "strip_prefix":
		return onText(func(s string) string { return strings.TrimPrefix(s, argument) }), nil
	case "truncate":
		n, err := strconv.Atoi(argument)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q: truncate takes a number of characters, at least 1", step)
		}
		return onText(func(s string) string { return firstRunes(s, n) }), nil
	default:
		return onText(strings.ToUpper), nil
	}
}

func onText(f func(string) string) transform {
	return func(raw any) any {
		if s, ok := raw.(string); ok {
			return f(s)
		}
		return raw
	}
}

func keepDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, s)
}

func firstRunes(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return strings.TrimSpace(string([]rune(s)[:n]))
}

// wholeSeconds drops the fraction of a canonical time, for systems that keep seconds.
func wholeSeconds(s string) string {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return s
	}
	return t.UTC().Truncate(time.Second).Format(time.RFC3339)
}

// swapEpoch turns milliseconds since 1970 into a time and a time into milliseconds: the same step serves both ways.
func swapEpoch(raw any) any {
	switch v := raw.(type) {
	case json.Number:
		if ms, err := v.Int64(); err == nil {
			return time.UnixMilli(ms).UTC().Format(time.RFC3339Nano)
		}
	case string:
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return json.Number(strconv.FormatInt(t.UnixMilli(), 10))
		}
	}
	return raw
}
