package rules

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lockstep/schema"
)

func TestNormalize(t *testing.T) {
	for _, c := range []struct {
		t      schema.FieldType
		raw    any
		region string
		want   string
		reason schema.Reason
	}{
		{schema.TypePhone, "+15550199888", "US", "+15550199888", ""},
		{schema.TypePhone, "tel:+13175550100", "DE", "+13175550100", ""},
		{schema.TypePhone, "(317) 555-0100", "US", "+13175550100", ""},
		{schema.TypePhone, "0044 20 7946 0958", "US", "+442079460958", ""},
		{schema.TypePhone, "0044 20 7946 0958", "GB", "+442079460958", ""},
		{schema.TypePhone, "020 7946 0958", "GB", "+442079460958", ""},
		{schema.TypePhone, json.Number("3175550100"), "US", "+13175550100", ""},
		{schema.TypePhone, "12", "US", "", schema.ReasonBadPhone},
		{schema.TypePhone, "n/a", "US", "", schema.ReasonBadPhone},
		{schema.TypePhone, "tel:anonymous", "US", "", schema.ReasonBadPhone},
		{schema.TypePhone, "+123456789012345678", "US", "", schema.ReasonBadPhone},
		{schema.TypeEmail, " Ada.Byron@Example.COM ", "US", "ada.byron@example.com", ""},
		{schema.TypeEmail, "Ada <ada@example.com>", "US", "", schema.ReasonBadEmail},
		{schema.TypeEmail, "ada@localhost", "US", "", schema.ReasonBadEmail},
		{schema.TypeEmail, "not an address", "US", "", schema.ReasonBadEmail},
		{schema.TypeTimestamp, "2026-01-01T01:30:00+01:30", "US", "2026-01-01T00:00:00.000Z", ""},
		{schema.TypeTimestamp, "2026-01-01T00:00:00.123+0000", "US", "2026-01-01T00:00:00.123Z", ""},
		{schema.TypeTimestamp, "01/02/2026", "US", "", schema.ReasonBadDate},
		{schema.TypeTimestamp, "2026-01-01T00:00:00", "US", "", schema.ReasonBadDate},
		{schema.TypeDate, "2026-02-30", "US", "", schema.ReasonBadDate},
		{schema.TypeDate, "2028-02-29", "US", "2028-02-29", ""},
		{schema.TypeDecimal, json.Number("12345678901234567890.123"), "US", "12345678901234567890.123", ""},
		{schema.TypeDecimal, json.Number("1.50"), "US", "1.5", ""},
		{schema.TypeDecimal, json.Number("-0"), "US", "0", ""},
		{schema.TypeDecimal, json.Number("15e-1"), "US", "1.5", ""},
		{schema.TypeDecimal, json.Number("1e400"), "US", "", schema.ReasonBadValue},
		{schema.TypeDecimal, "1/3", "US", "", schema.ReasonBadValue},
		{schema.TypeDecimal, json.Number("1e37"), "US", "1" + strings.Repeat("0", 37), ""},
		{schema.TypeDecimal, json.Number("1e38"), "US", "", schema.ReasonBadValue},
		{schema.TypeDecimal, json.Number("1e39"), "US", "", schema.ReasonBadValue},
		{schema.TypeDecimal, json.Number("-" + strings.Repeat("9", 38)), "US", "-" + strings.Repeat("9", 38), ""},
		{schema.TypeDecimal, json.Number("-" + strings.Repeat("9", 39)), "US", "", schema.ReasonBadValue},
		{schema.TypeDecimal, json.Number("-1e-38"), "US", "-0." + strings.Repeat("0", 37) + "1", ""},
		{schema.TypeDecimal, json.Number("1e-39"), "US", "", schema.ReasonBadValue},
		{schema.TypeDecimal, json.Number("-0." + strings.Repeat("9", 38)), "US", "-0." + strings.Repeat("9", 38), ""},
		{schema.TypeDecimal, json.Number("1." + strings.Repeat("1", 38)), "US", "", schema.ReasonBadValue},
		{schema.TypeInteger, json.Number("1e39"), "US", "", schema.ReasonBadValue},
		{schema.TypeInteger, json.Number("7.0"), "US", "7", ""},
		{schema.TypeInteger, json.Number("7.5"), "US", "", schema.ReasonBadValue},
		{schema.TypeBoolean, true, "US", "true", ""},
		{schema.TypeBoolean, "yes", "US", "", schema.ReasonBadValue},
		{schema.TypeText, "  two  words ", "US", "two  words", ""},
		{schema.TypeText, map[string]any{}, "US", "", schema.ReasonBadValue},
	} {
		got, problem := normalize(c.t, c.raw, c.region, 0)
		switch {
		case problem == nil && c.reason != "":
			t.Errorf("%s %v: taken, want %s", c.t, c.raw, c.reason)
		case problem != nil && problem.reason != c.reason:
			t.Errorf("%s %v: %s, want %q", c.t, c.raw, problem.reason, c.reason)
		case problem == nil && got.Reveal() != c.want:
			t.Errorf("%s %v: spelt %q, want %q", c.t, c.raw, got.Reveal(), c.want)
		}
	}
}

// TestRuling02 shows that what the loose pattern of R-130 lets pass is spelt strictly, or refused, by the second check.
func TestRuling02(t *testing.T) {
	if _, problem := normalize(schema.TypePhone, "12", "US", 0); problem == nil {
		t.Error(`"12" passes the loose pattern; the canonical spelling has to refuse it`)
	}
	v, problem := normalize(schema.TypePhone, "13175550100", "US", 0)
	if problem != nil || v.Reveal() != "+13175550100" {
		t.Errorf("a number without plus sign is spelt %q", v.Reveal())
	}
}

// TestRuling03 shows that the required example caller, possible but not assigned, is taken, and that validity is only a
// signal.
func TestRuling03(t *testing.T) {
	v, problem := normalize(schema.TypePhone, "+15550199888", "US", 0)
	if problem != nil {
		t.Fatal("the required example caller is refused")
	}
	if PhoneValid(v) {
		t.Error("the example is not an assigned number; the signal says it is")
	}
	if assigned, _ := normalize(schema.TypePhone, "+442079460958", "US", 0); !PhoneValid(assigned) {
		t.Error("an assigned number is signalled as not valid")
	}
}

func TestEmptyIsNull(t *testing.T) {
	for _, raw := range []any{nil, "", "   ", "\t"} {
		for spelling := range spellings {
			if v, problem := normalize(spelling, raw, "US", 0); problem != nil || !v.IsNull() {
				t.Errorf("%s %q: %v %v", spelling, raw, v, problem)
			}
		}
	}
}

func TestLengthIsBounded(t *testing.T) {
	if _, problem := normalize(schema.TypeText, "äöü", "US", 2); problem == nil {
		t.Error("three characters pass a bound of two")
	}
	if _, problem := normalize(schema.TypeText, "äö", "US", 2); problem != nil {
		t.Error("the bound counts bytes, not characters")
	}
}

// TestSpellingTwiceChangesNothing is G03: no ping-pong through different spellings.
func TestSpellingTwiceChangesNothing(t *testing.T) {
	for spelling := range spellings {
		t.Run(string(spelling), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				raw := rapid.OneOf(
					rapid.StringMatching(`[+0-9() .-]{0,20}`).AsAny(), rapid.StringMatching(`[a-zA-Z.]{1,10}@[a-zA-Z]{1,8}\.[a-z]{2,3}`).AsAny(),
					rapid.String().AsAny(), rapid.Bool().AsAny(), rapid.Map(rapid.Int64(), func(n int64) any { return json.Number(fmt.Sprint(n)) }),
					rapid.Map(rapid.Float64Range(-1e9, 1e9), func(f float64) any { return json.Number(fmt.Sprint(f)) }),
				).Draw(t, "raw")
				once, problem := normalize(spelling, raw, "US", 0)
				if problem != nil || once.IsNull() {
					return
				}
				twice, problem := normalize(spelling, typed(spelling, once), "DE", 0)
				if problem != nil || twice != once {
					t.Fatalf("%q is spelt %q, then %q (%v)", raw, once.Reveal(), twice.Reveal(), problem)
				}
			})
		})
	}
}

func TestTransforms(t *testing.T) {
	for _, c := range []struct {
		step string
		in   any
		want any
	}{
		{"lower", "ÄB", "äb"}, {"upper", "äb", "ÄB"}, {"digits", "+1 (2)", "12"}, {"collapse_spaces", " a  b\t", "a b"},
		{"truncate(3)", "äöüß", "äöü"}, {"truncate(3)", "ab c", "ab"}, {"strip_prefix(tel:)", "tel:+1", "+1"},
		{"mask_numbers", "SSN 536-92-1234, card 4111 1111 1111 1111, ticket 12", "SSN XXX-XX-XXXX, card XXXX XXXX XXXX XXXX, ticket 12"},
		{"mask_numbers", "SSN XXX-XX-XXXX", "SSN XXX-XX-XXXX"},
		{"seconds", "2026-01-01T00:00:00.999Z", "2026-01-01T00:00:00Z"},
		{"epoch_ms", json.Number("1767225600000"), "2026-01-01T00:00:00Z"}, {"epoch_ms", "2026-01-01T00:00:00Z", json.Number("1767225600000")},
		{"lower", json.Number("7"), json.Number("7")}, {"lower", nil, nil},
	} {
		f, err := ParseTransform(c.step)
		if err != nil {
			t.Errorf("%s: %v", c.step, err)
			continue
		}
		if got := f(c.in); got != c.want {
			t.Errorf("%s of %v: %v, want %v", c.step, c.in, got, c.want)
		}
	}
	for _, step := range []string{"", "eval(1)", "truncate", "truncate()", "truncate(0)", "truncate(x)", "lower(1)", "truncate(3"} {
		if _, err := ParseTransform(step); err == nil {
			t.Errorf("%q is taken for a transform", step)
		}
	}
	if len(Transforms) != 9 {
		t.Error("a transform without a test")
	}
}
