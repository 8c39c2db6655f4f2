package envelope_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"lockstep/connectors"
	"lockstep/connectors/envelope"
	"lockstep/schema"
)

// The event of requirement R-119 as it stands there.
const required = `{"event_type":"UPDATE","source_system":"SALESFORCE","timestamp":"2023-10-27T14:30:00Z","record_id":"a1B2c3D4e5F6g7H8",
 "object_type":"Account","change_set":{"Customer_Status__c":{"old_value":"Active","new_value":"Churned"},
 "Credit_Limit__c":{"old_value":5000,"new_value":0}},"signature":"SHA256_HASH_STRING_HERE"}`

func parse(t *testing.T, e connectors.Envelope, body string) []schema.Change {
	t.Helper()
	events, err := e.Split([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	changes := []schema.Change{}
	for _, event := range events {
		part, err := e.Parse(event)
		if err != nil {
			t.Fatal(err)
		}
		changes = append(changes, part...)
	}
	return changes
}

func TestChangeSet(t *testing.T) {
	at := time.Date(2023, 10, 27, 14, 30, 0, 0, time.UTC)
	cases := map[string]struct {
		body string
		want []schema.Change
	}{
		"R-119": {required, []schema.Change{{
			Object: "Account", Ref: "a1B2c3D4e5F6g7H8", Kind: schema.EventChange, At: at,
			Fields: schema.Fields{"Customer_Status__c": "Churned", "Credit_Limit__c": json.Number("0")},
			Old:    schema.Fields{"Customer_Status__c": "Active", "Credit_Limit__c": json.Number("5000")},
		}}},
		"an array of them": {"[" + required + "," + required + "]", nil},
		"create": {
			`{"event_type":"CREATE","timestamp":"2023-10-27T16:30:00+02:00","record_id":"1","object_type":"Case","sequence":18446744073709551615,
			 "changed_by":"005","unknown":{"x":[1]},"change_set":{"Subject":{"new_value":"x","more":1},"Open":{"new_value":true},"Note":{"new_value":null}}}`,
			[]schema.Change{{
				Object: "Case", Ref: "1", Kind: schema.EventFull, At: at, Sequence: 18446744073709551615, Ours: true,
				Fields: schema.Fields{"Subject": "x", "Open": true, "Note": nil}, Old: schema.Fields{},
			}},
		},
		"delete": {
			`{"event_type":"DELETE","timestamp":"2023-10-27T14:30:00.000Z","record_id":"1","object_type":"Case","changed_by":"006"}`,
			[]schema.Change{{Object: "Case", Ref: "1", Kind: schema.EventDelete, At: at}},
		},
		"delete with the last values": {
			`{"event_type":"DELETE","timestamp":"2023-10-27T14:30:00Z","record_id":"1","object_type":"Case","change_set":{"A":{"old_value":1.50}}}`,
			[]schema.Change{{
				Object: "Case", Ref: "1", Kind: schema.EventDelete, At: at, Fields: schema.Fields{}, Old: schema.Fields{"A": json.Number("1.50")},
			}},
		},
		"no change": {
			`{"event_type":"UPDATE","timestamp":"2023-10-27T14:30:00Z","record_id":"1","object_type":"Case","change_set":{}}`,
			[]schema.Change{{Object: "Case", Ref: "1", Kind: schema.EventChange, At: at, Fields: schema.Fields{}, Old: schema.Fields{}}},
		},
	}
	two := append(append([]schema.Change{}, cases["R-119"].want...), cases["R-119"].want...)
	for name, c := range cases {
		if c.want == nil {
			c.want = two
		}
		if diff := cmp.Diff(c.want, parse(t, envelope.ChangeSet{User: "005"}, c.body)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestChangeSetRefusals(t *testing.T) {
	event := func(replace, by string) string {
		const fine = `{"event_type":"UPDATE","timestamp":"2023-10-27T14:30:00Z","record_id":"1","object_type":"Case","sequence":1,` +
			`"changed_by":"x","change_set":{"A":{"old_value":"canary","new_value":"canary"}}}`
		if !strings.Contains(fine, replace) {
			t.Fatal(replace)
		}
		return strings.Replace(fine, replace, by, 1)
	}
	cases := map[string]struct {
		body   string
		reason schema.Reason
		at     string
	}{
		"another type":        {event(`"UPDATE"`, `"canary"`), schema.ReasonSchemaMismatch, "/event_type"},
		"no type":             {event(`"event_type":"UPDATE",`, ``), schema.ReasonSchemaMismatch, "/event_type"},
		"type of a type":      {event(`"UPDATE"`, `["canary"]`), schema.ReasonSchemaMismatch, "/event_type"},
		"no time":             {event(`"timestamp":"2023-10-27T14:30:00Z",`, ``), schema.ReasonSchemaMismatch, "/timestamp"},
		"a time as a number":  {event(`"2023-10-27T14:30:00Z"`, `1698417000`), schema.ReasonSchemaMismatch, "/timestamp"},
		"no zone":             {event(`14:30:00Z`, `14:30:00`), schema.ReasonBadDate, "/timestamp"},
		"a comma":             {event(`14:30:00Z`, `14:30:00,5Z`), schema.ReasonBadDate, "/timestamp"},
		"a short hour":        {event(`T14:30:00Z`, `T4:30:00Z`), schema.ReasonBadDate, "/timestamp"},
		"a blank":             {event(`T14:30:00Z`, ` 14:30:00Z`), schema.ReasonBadDate, "/timestamp"},
		"lower case":          {event(`T14:30:00Z`, `t14:30:00z`), schema.ReasonBadDate, "/timestamp"},
		"a 30th of February":  {event(`2023-10-27T`, `2023-02-30T`), schema.ReasonBadDate, "/timestamp"},
		"words":               {event(`2023-10-27T14:30:00Z`, `canary`), schema.ReasonBadDate, "/timestamp"},
		"no record":           {event(`"1"`, `""`), schema.ReasonSchemaMismatch, "/record_id"},
		"a record number":     {event(`"1"`, `1`), schema.ReasonSchemaMismatch, "/record_id"},
		"a long record id":    {event(`"1"`, `"`+strings.Repeat("canary", 50)+`"`), schema.ReasonSchemaMismatch, "/record_id"},
		"no object":           {event(`"Case"`, `null`), schema.ReasonSchemaMismatch, "/object_type"},
		"a long object":       {event(`"Case"`, `"`+strings.Repeat("canary", 11)+`"`), schema.ReasonSchemaMismatch, "/object_type"},
		"a negative sequence": {event(`"sequence":1`, `"sequence":-1`), schema.ReasonSchemaMismatch, "/sequence"},
		"a float sequence":    {event(`"sequence":1`, `"sequence":1.0`), schema.ReasonSchemaMismatch, "/sequence"},
		"a huge sequence":     {event(`"sequence":1`, `"sequence":18446744073709551616`), schema.ReasonSchemaMismatch, "/sequence"},
		"a text sequence":     {event(`"sequence":1`, `"sequence":"1"`), schema.ReasonSchemaMismatch, "/sequence"},
		"changed by a number": {event(`"x"`, `7`), schema.ReasonSchemaMismatch, "/changed_by"},
		"a change list":       {event(`{"A":{"old_value":"canary","new_value":"canary"}}`, `["canary"]`), schema.ReasonSchemaMismatch, "/change_set"},
		"a bare value":        {event(`{"old_value":"canary","new_value":"canary"}`, `"canary"`), schema.ReasonSchemaMismatch, "/change_set/A"},
		"no new value":        {event(`,"new_value":"canary"`, ``), schema.ReasonSchemaMismatch, "/change_set/A/new_value"},
		"an object value":     {event(`"new_value":"canary"`, `"new_value":{"canary":1}`), schema.ReasonSchemaMismatch, "/change_set/A/new_value"},
		"an old array":        {event(`"old_value":"canary"`, `"old_value":["canary"]`), schema.ReasonSchemaMismatch, "/change_set/A/old_value"},
		"a slash in a name":   {event(`"A":{"old_value":"canary","new_value":"canary"}`, `"a/b~c":1`), schema.ReasonSchemaMismatch, "/change_set/a~1b~0c"},
		"an array":            {`["canary"]`, schema.ReasonSchemaMismatch, ""},
		"a text":              {`"canary"`, schema.ReasonSchemaMismatch, ""},
		"null":                {`null`, schema.ReasonSchemaMismatch, ""},
		"no JSON":             {`{"canary":`, schema.ReasonMalformedJSON, ""},
		"two values":          {`{} {"canary":1}`, schema.ReasonMalformedJSON, ""},
	}
	for name, c := range cases {
		changes, err := envelope.ChangeSet{}.Parse(json.RawMessage(c.body))
		refused(t, name, changes, err, c.reason, c.at)
	}
}

func refused(t *testing.T, name string, changes []schema.Change, err error, reason schema.Reason, at string) {
	t.Helper()
	var r *schema.Refusal
	if !errors.As(err, &r) || changes != nil {
		t.Errorf("%s: %v, %v; want a refusal", name, changes, err)
		return
	}
	if r.Reason != reason || r.Field != at || r.Rule == "" || r.Masked != "" {
		t.Errorf("%s: %s, want %s at %s", name, r, reason, at)
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v", r, r, *r), "canary") {
		t.Errorf("%s: the refusal quotes the event: %s", name, r)
	}
}

func TestSplit(t *testing.T) {
	for body, want := range map[string][]string{
		` {"a" : 1.0 , "b":[ ]} `:     {`{"a" : 1.0 , "b":[ ]}`},
		"[{\"a\": 1 },\n{\"b\":2}\t]": {`{"a": 1 }`, `{"b":2}`},
	} {
		events, err := envelope.Split([]byte(body))
		if err != nil || len(events) != len(want) {
			t.Fatalf("%s: %d events, %v", body, len(events), err)
		}
		for i := range events {
			if string(events[i]) != want[i] {
				t.Errorf("event %d is %s, want the exact bytes %s", i, events[i], want[i])
			}
		}
	}
	for body, want := range map[string]struct {
		reason schema.Reason
		at     string
	}{
		``: {schema.ReasonMalformedJSON, ""}, `[]`: {schema.ReasonSchemaMismatch, ""}, `[{"a":1}`: {schema.ReasonMalformedJSON, ""},
		`[{},"canary"]`: {schema.ReasonSchemaMismatch, "/1"}, `7`: {schema.ReasonSchemaMismatch, ""}, `{}{}`: {schema.ReasonMalformedJSON, ""},
		`[{}] [{}]`: {schema.ReasonMalformedJSON, ""}, `nul`: {schema.ReasonMalformedJSON, ""},
	} {
		_, err := envelope.Split([]byte(body))
		refused(t, body, nil, err, want.reason, want.at)
	}
}

func TestFlat(t *testing.T) {
	f, err := envelope.NewFlat("Customer", "/last_interaction_date")
	if err != nil {
		t.Fatal(err)
	}
	got := parse(t, f, `{"phone_number":"+15550199888","email_address":"ada@example.com","last_interaction_date":"2026-01-01T10:00:00+01:00","vip":true,"n":1.10,"x":null}`)
	want := []schema.Change{{
		Object: "Customer", Kind: schema.EventFull, At: time.Date(2026, 1, 1, 9, 0, 0, 0, time.UTC), Fields: schema.Fields{
			"phone_number": "+15550199888", "email_address": "ada@example.com", "last_interaction_date": "2026-01-01T10:00:00+01:00",
			"vip": true, "n": json.Number("1.10"), "x": nil,
		},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := parse(t, f, `{"a":"b"}`); !got[0].At.IsZero() {
		t.Errorf("a record without a time has %v", got[0].At)
	}
	for name, c := range map[string]struct {
		body   string
		reason schema.Reason
		at     string
	}{
		"nested":      {`{"a":{"canary":1}}`, schema.ReasonSchemaMismatch, "/a"},
		"a list":      {`{"a/b":["canary"]}`, schema.ReasonSchemaMismatch, "/a~1b"},
		"a bad time":  {`{"last_interaction_date":"canary"}`, schema.ReasonBadDate, "/last_interaction_date"},
		"a time of 7": {`{"last_interaction_date":7}`, schema.ReasonSchemaMismatch, "/last_interaction_date"},
		"an array":    {`["canary"]`, schema.ReasonSchemaMismatch, ""},
	} {
		changes, err := f.Parse(json.RawMessage(c.body))
		refused(t, name, changes, err, c.reason, c.at)
	}
	for _, bad := range [][2]string{{"", "/a"}, {strings.Repeat("x", 65), ""}, {"Customer", "a"}, {"Customer", "/"}, {"Customer", "/a/b"}} {
		if _, err := envelope.NewFlat(bad[0], bad[1]); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	odd, err := envelope.NewFlat("Customer", "/a~1b~0c")
	if err != nil {
		t.Fatal(err)
	}
	if got := parse(t, odd, `{"a/b~c":"2026-01-01T00:00:00Z"}`); got[0].At.IsZero() {
		t.Error("an escaped pointer leads nowhere")
	}
}

// Whatever comes, the answer is changes or a refusal.
func TestAnyEvent(t *testing.T) {
	flat, err := envelope.NewFlat("Customer", "/timestamp")
	if err != nil {
		t.Fatal(err)
	}
	value := rapid.SampledFrom([]string{
		`"canary"`, `1`, `-1`, `1.5`, `1e400`, `null`, `true`, `[]`, `{}`, `[1]`, `{"old_value":1}`, `{"A":{"new_value":"x"}}`, `"UPDATE"`, `"2026-01-01T00:00:00Z"`,
	})
	name := rapid.SampledFrom([]string{"event_type", "timestamp", "record_id", "object_type", "change_set", "sequence", "changed_by"})
	rapid.Check(t, func(t *rapid.T) {
		members := []string{}
		for key, v := range rapid.MapOf(name, value).Draw(t, "members") {
			members = append(members, fmt.Sprintf("%q:%s", key, v))
		}
		for _, e := range []connectors.Envelope{envelope.ChangeSet{}, flat} {
			_, err := e.Parse(json.RawMessage("{" + strings.Join(members, ",") + "}"))
			var r *schema.Refusal
			if err != nil && (!errors.As(err, &r) || strings.Contains(r.Error(), "canary")) {
				t.Fatalf("%T: %v", err, err)
			}
		}
	})
}
