package signature

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"lockstep/schema"
)

// legacySecret signs the vectors below; their MACs were computed outside this package, over canonical forms written by
// hand.
const legacySecret = "a test secret of the crm-legacy source"

// required is the webhook of requirement R-119 with its signature.
const required = `{"event_type":"UPDATE","source_system":"SALESFORCE","timestamp":"2023-10-27T14:30:00Z","record_id":"a1B2c3D4e5F6g7H8",
 "object_type":"Account","change_set":{"Customer_Status__c":{"old_value":"Active","new_value":"Churned"},
 "Credit_Limit__c":{"old_value":5000,"new_value":0}},"signature":"e8f242ff4479bf4c24c39b98cd0362298a8be9e61ec58586dbe23160540851b3"}
`

const requiredCanonical = `{"change_set":{"Credit_Limit__c":{"new_value":0,"old_value":5000},"Customer_Status__c":{"new_value":"Churned","old_value":"Active"}},` +
	`"event_type":"UPDATE","object_type":"Account","record_id":"a1B2c3D4e5F6g7H8","source_system":"SALESFORCE","timestamp":"2023-10-27T14:30:00Z"}`

func TestA32SignatureInsideTheBody(t *testing.T) {
	v := verifier(t, schema.Signature{Profile: "json"}, atNoon, []byte(legacySecret))
	verify := func(body string) (Signed, Cause) {
		signed, err := v.Verify(Request{"POST", "", header(), []byte(body)})
		cause, _ := CauseOf(err)
		return signed, cause
	}
	want, cause := verify(required)
	if cause != "" || string(want.Content) != requiredCanonical || want.Covers != (Covers{Body: true}) || !want.At.IsZero() || want.ID != "" {
		t.Fatalf("the required sample: %q %+v", cause, want)
	}
	const hexMAC, base64MAC = "e8f242ff4479bf4c24c39b98cd0362298a8be9e61ec58586dbe23160540851b3", "6PJC/0R5v0wkw5uYzQNiKYqL6eYexYWG2+IxYFQIUbM="
	compact := requiredCanonical[:len(requiredCanonical)-1]
	for name, body := range map[string]string{
		"base64":               strings.Replace(required, hexMAC, base64MAC, 1),
		"escaped slash":        strings.Replace(required, hexMAC, strings.Replace(base64MAC, "/", `\/`, 1), 1),
		"upper case hex":       strings.Replace(required, hexMAC, strings.ToUpper(hexMAC), 1),
		"compact":              compact + `,"signature":"` + hexMAC + `"}`,
		"signature first":      `{"signature":"` + hexMAC + `",` + requiredCanonical[1:],
		"blanks":               " \n" + compact + ` , "signature" : "` + hexMAC + "\" }\n",
		"escapes":              strings.Replace(required, "Churned", `\u0043hurned`, 1),
		"escaped name":         strings.Replace(required, `"signature"`, `"signatur\u0065"`, 1),
		"another number style": strings.NewReplacer("5000", "5.000e3", ":0}", ":0.0}").Replace(required),
		"negative zero":        strings.Replace(required, ":0}", ":-0}", 1),
	} {
		signed, cause := verify(body)
		if cause != "" || !cmp.Equal(signed, want) {
			t.Errorf("%s: %q %s", name, cause, cmp.Diff(want, signed))
		}
	}
	for name, c := range map[string]struct {
		body string
		want Cause
	}{
		"a value changed":                  {strings.Replace(required, "Churned", "Active", 1), WrongSignature},
		"a number changed":                 {strings.Replace(required, "5000", "5001", 1), WrongSignature},
		"a number for a string":            {strings.Replace(required, "5000", `"5000"`, 1), WrongSignature},
		"null for a number":                {strings.Replace(required, ":0}", ":null}", 1), WrongSignature},
		"a member more":                    {strings.Replace(required, "{", `{"x":1,`, 1), WrongSignature},
		"a member less":                    {strings.Replace(required, `"event_type":"UPDATE",`, "", 1), WrongSignature},
		"a name's case":                    {strings.Replace(required, "event_type", "Event_type", 1), WrongSignature},
		"a list around":                    {"[" + required + "]", MalformedBody},
		"no signature":                     {requiredCanonical, MissingSignature},
		"an empty signature":               {compact + `,"signature":""}`, MissingSignature},
		"another member's name":            {compact + `,"Signature":"` + hexMAC + `"}`, MissingSignature},
		"a nested signature":               {compact + `,"x":{"signature":"` + hexMAC + `"}}`, MissingSignature},
		"a signature that is no text":      {compact + `,"signature":null}`, MalformedSignature},
		"a signature of the wrong length":  {compact + `,"signature":"` + hexMAC[1:] + `"}`, MalformedSignature},
		"the placeholder of the sample":    {compact + `,"signature":"SHA256_HASH_STRING_HERE"}`, MalformedSignature},
		"a prefix nobody agreed on":        {compact + `,"signature":"SHA256_` + hexMAC + `"}`, MalformedSignature},
		"a name twice":                     {compact + `,"event_type":"UPDATE","signature":"` + hexMAC + `"}`, MalformedBody},
		"a name in two cases":              {compact + `,"Event_Type":"DELETE","signature":"` + hexMAC + `"}`, MalformedBody},
		"signature twice":                  {compact + `,"signature":"x","signature":"` + hexMAC + `"}`, MalformedBody},
		"signature in two cases":           {compact + `,"Signature":"x","signature":"` + hexMAC + `"}`, MalformedBody},
		"a number that no double is worth": {strings.Replace(required, "5000", "5000.00000000000000000001", 1), MalformedBody},
		"something after it":               {required + "{}", MalformedBody},
		"nothing":                          {"", MalformedBody},
		"text":                             {`"` + hexMAC + `"`, MalformedBody},
		"bad UTF-8":                        {strings.Replace(required, "Churned", "Churned\xff", 1), MalformedBody},
		"a lone surrogate":                 {strings.Replace(required, "Churned", `\ud800`, 1), MalformedBody},
	} {
		if signed, cause := verify(c.body); cause != c.want || !cmp.Equal(signed, Signed{}) {
			t.Errorf("%s: %q, want %q", name, cause, c.want)
		}
	}
}

// The sample of RFC 8785, section 3.2.2, with its first number written as its canonical form writes it.
func TestA32CanonicalFormOfTheRFC(t *testing.T) {
	const sample = `{
  "numbers": [333333333.3333333, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
  "signature": "2a83433f80117da974be61c4f84585c1b59da6c92854d8a5cf29c7949923fa34",
  "literals": [null, true, false]
}`
	const canonical = `{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`
	v := verifier(t, schema.Signature{Profile: "json"}, atNoon, []byte(legacySecret))
	signed, err := v.Verify(Request{"POST", "", header(), []byte(sample)})
	if err != nil || string(signed.Content) != canonical {
		t.Errorf("%s, %v", signed.Content, err)
	}
	// Names in the order of UTF-16 code units, RFC 8785 section 3.2.3.
	_, content, cause := detach([]byte(`{"signature":"x","\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7,"<&>":8}`), "signature")
	if want := "{\"\\r\":2,\"1\":4,\"<&>\":8,\"\u0080\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\ufb33\":3}"; cause != "" || string(content) != want {
		t.Errorf("%q %s", cause, content)
	}
}

func TestA32OnlyDoublesAreSigned(t *testing.T) {
	for number, want := range map[string]bool{
		"0": true, "-0": true, "0.0": true, "0e5": true, "1": true, "-1": true, "10": true, "1.50": true, "100e-2": true, "5000.10": true, "0.1": true, "0.30": true, "1e308": true,
		"9007199254740991": true, "9007199254740992": true, "123456789012345680000": true, "1.7976931348623157e308": true, "5e-324": true, "0.000000000000000000000000001": true,
		"333333333.33333329": false, "9007199254740993": false, "12345678901234567890": false, "0.1000000000000000055511151231257827": false, "1.7976931348623159e308": false,
		"1e-400": false, "1e400": false, "0.10000000000000001": false, "12345678901234567890.123": false,
	} {
		if isDouble(number) != want {
			t.Errorf("%s: %v", number, !want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.Float64().Draw(t, "double")
		if written, err := json.Marshal(f); err == nil && !isDouble(string(written)) {
			t.Fatalf("%s is no double", written)
		}
	})
}

// However a body is spelt, one meaning has one content, and two meanings have two.
func TestA32ContentIsTheMeaning(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := rapid.MapOfN(rapid.StringMatching(`[a-z<&>é\t"]{1,4}`), rapid.OneOf(rapid.StringMatching(`[ -~é😀\n]{0,8}`).AsAny(), rapid.Int32().AsAny(), rapid.Bool().AsAny()), 1, 6).Draw(t, "members")
		delete(members, "signature")
		spell := func(order []string, blank string) string {
			var b strings.Builder
			b.WriteString("{" + blank)
			for _, name := range order {
				key, _ := json.Marshal(name)
				value, _ := json.Marshal(members[name])
				fmt.Fprintf(&b, "%s%s:%s%s,", key, blank, blank, value)
			}
			b.WriteString(blank + `"signature":"x"}`)
			return b.String()
		}
		names := make([]string, 0, len(members))
		for name := range members {
			names = append(names, name)
		}
		one := spell(rapid.Permutation(names).Draw(t, "one order"), "")
		two := spell(rapid.Permutation(names).Draw(t, "two order"), " ")
		_, first, cause := detach([]byte(one), "signature")
		_, again, causeAgain := detach([]byte(two), "signature")
		if cause != "" || causeAgain != "" || !bytes.Equal(first, again) {
			t.Fatalf("%s: %q %s\n%s: %q %s", one, cause, first, two, causeAgain, again)
		}
		var back map[string]any
		if err := json.Unmarshal(first, &back); err != nil || len(back) != len(members) {
			t.Fatalf("%s: %v", first, err)
		}
		name := rapid.SampledFrom(names).Draw(t, "name")
		members[name] = "another value"
		if _, other, _ := detach([]byte(spell(names, "")), "signature"); bytes.Equal(first, other) {
			t.Fatal("another meaning has the same content")
		}
	})
}
