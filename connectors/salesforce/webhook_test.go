package salesforce

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"lockstep/schema"
)

const changeEvent = `{"version":"0","id":"5c42","detail-type":"CaseChangeEvent","source":"aws.partner/salesforce.com/00D/0YL","account":"1",
 "time":"2026-01-01T00:00:01Z","region":"us-east-1","resources":[],
 "detail":{"payload":{"ChangeEventHeader":{"entityName":"Case","recordIds":["500xx0000000001AAA"],"changeType":"UPDATE",
   "changedFields":["Status","LastModifiedDate"],"nulledFields":[],"diffFields":[],
   "changeOrigin":"com/salesforce/api/rest/62.0;client=ccbridge","transactionKey":"0001ade9","sequenceNumber":1,
   "commitTimestamp":1767225600000,"commitNumber":248197218874,"commitUser":"005xx0000000001AAA"},
   "Status":"Working","LastModifiedDate":1767225600000},"event":{"replayId":6}}}`

// event builds a change event around a header's and a payload's further members.
func event(header, payload string) string {
	return `{"detail":{"payload":{"ChangeEventHeader":{"entityName":"Contact","recordIds":["003xx0000000001AAA"],"commitTimestamp":1767225600123` +
		header + `}` + payload + `}}}`
}

func TestChangeEvents(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	later := at.Add(123 * time.Millisecond)
	const id = "003xx0000000001AAA"
	e := Envelope{Client: "lockstep", User: "005xx0000000009", Times: []string{"Last_Call__c"}, Dates: []string{"Birthdate"}}
	cases := map[string]struct {
		envelope Envelope
		body     string
		want     []schema.Change
	}{
		"Event Relay": {e, changeEvent, []schema.Change{{
			Object: "Case", Ref: "500xx0000000001AAA", Kind: schema.EventChange, At: at, Sequence: 248197218874*4096 + 1,
			Fields: schema.Fields{"Status": "Working", "LastModifiedDate": "2026-01-01T00:00:00.000Z"},
		}}},
		"AppFlow": {e, strings.Replace(strings.Replace(changeEvent, `"detail":{"payload":`, `"detail":`, 1), `},"event":{"replayId":6}}}`, `}}`, 1),
			[]schema.Change{{
				Object: "Case", Ref: "500xx0000000001AAA", Kind: schema.EventChange, At: at, Sequence: 248197218874*4096 + 1,
				Fields: schema.Fields{"Status": "Working", "LastModifiedDate": "2026-01-01T00:00:00.000Z"},
			}}},
		"by our client": {Envelope{Client: "ccbridge"}, changeEvent, []schema.Change{{
			Object: "Case", Ref: "500xx0000000001AAA", Kind: schema.EventChange, At: at, Sequence: 248197218874*4096 + 1, Ours: true,
			Fields: schema.Fields{"Status": "Working", "LastModifiedDate": "2026-01-01T00:00:00.000Z"},
		}}},
		"by our user, in the short form": {e, event(`,"changeType":"UPDATE","commitUser":"005xx0000000009AAA"`, `,"Title":"x"`),
			[]schema.Change{{Object: "Contact", Ref: id, Kind: schema.EventChange, At: later, Ours: true, Fields: schema.Fields{"Title": "x"}}}},
		"another client of a like name": {e, event(`,"changeType":"UPDATE","changeOrigin":"com/x;client=lockstep2;x=lockstep"`, ``),
			[]schema.Change{{Object: "Contact", Ref: id, Kind: schema.EventChange, At: later, Fields: schema.Fields{}}}},
		"by nobody that it names": {e, event(`,"changeType":"UPDATE","changeOrigin":"","commitUser":""`, `,"Title":"x"`),
			[]schema.Change{{Object: "Contact", Ref: id, Kind: schema.EventChange, At: later, Fields: schema.Fields{"Title": "x"}}}},
		"several records": {e, strings.Replace(event(`,"changeType":"DELETE"`, ``), `["003xx0000000001AAA"]`, `["003xx0000000001","003xx0000000002AAA"]`, 1),
			[]schema.Change{
				{Object: "Contact", Ref: id, Kind: schema.EventDelete, At: later}, {Object: "Contact", Ref: "003xx0000000002AAA", Kind: schema.EventDelete, At: later},
			}},
		"nulls that did not change": {e, event(`,"changeType":"UPDATE","changedFields":["Title","Phone"],"nulledFields":["Phone"]`, `,"Title":"x","Phone":null,"Fax":null,"Email":null`),
			[]schema.Change{{Object: "Contact", Ref: id, Kind: schema.EventChange, At: later, Fields: schema.Fields{"Title": "x", "Phone": nil}}}},
		"nulled alone": {e, event(`,"changeType":"UPDATE","changedFields":["Title"],"nulledFields":["Phone"]`, `,"Title":"x"`),
			[]schema.Change{{Object: "Contact", Ref: id, Kind: schema.EventChange, At: later, Fields: schema.Fields{"Title": "x", "Phone": nil}}}},
		"a changed field without a value": {e, event(`,"changeType":"UPDATE","changedFields":["Title","Description"]`, `,"Title":"x"`),
			[]schema.Change{{Object: "Contact", Ref: id, Kind: schema.EventChange, At: later, Cut: true, Fields: schema.Fields{"Title": "x"}}}},
		"no list of changes": {e, event(`,"changeType":"UPDATE"`, `,"Title":"x","Phone":null`),
			[]schema.Change{{Object: "Contact", Ref: id, Kind: schema.EventChange, At: later, Fields: schema.Fields{"Title": "x", "Phone": nil}}}},
		"compounds": {e, event(`,"changeType":"UPDATE","changedFields":["Name.FirstName","MailingAddress","OtherAddress.City"]`,
			`,"Name":{"FirstName":"Ada","LastName":"Byron"},"MailingAddress":{"City":"London","Street":null},"OtherAddress":{"City":"Paris","Street":"x"}`),
			[]schema.Change{{Object: "Contact", Ref: id, Kind: schema.EventChange, At: later, Fields: schema.Fields{
				"FirstName": "Ada", "MailingCity": "London", "MailingStreet": nil, "OtherCity": "Paris",
			}}}},
		"an account's plain name": {e, event(`,"changeType":"UPDATE","changedFields":["Name"]`, `,"Name":"Acme"`),
			[]schema.Change{{Object: "Contact", Ref: id, Kind: schema.EventChange, At: later, Fields: schema.Fields{"Name": "Acme"}}}},
		"create": {e, event(`,"changeType":"CREATE"`, `,"LastName":"Byron","Birthdate":-4888771200000,"Last_Call__c":1767225600000,"Score__c":1767225600000,"Amount":1.50,"Active":true`),
			[]schema.Change{{Object: "Contact", Ref: id, Kind: schema.EventFull, At: later, Fields: schema.Fields{
				"LastName": "Byron", "Birthdate": "1815-01-31", "Last_Call__c": "2026-01-01T00:00:00.000Z", "Score__c": json.Number("1767225600000"),
				"Amount": json.Number("1.50"), "Active": true,
			}}}},
		"undelete":   {e, event(`,"changeType":"UNDELETE"`, `,"LastName":"Byron"`), []schema.Change{{Object: "Contact", Ref: id, Kind: schema.EventChange, At: later, Fields: schema.Fields{"LastName": "Byron"}}}},
		"gap":        {e, event(`,"changeType":"GAP_UPDATE"`, ``), []schema.Change{{Object: "Contact", Ref: id, Kind: schema.EventChange, At: later, Cut: true}}},
		"gap create": {e, event(`,"changeType":"GAP_CREATE"`, ``), []schema.Change{{Object: "Contact", Ref: id, Kind: schema.EventChange, At: later, Cut: true}}},
		"gap delete": {e, event(`,"changeType":"GAP_DELETE"`, ``), []schema.Change{{Object: "Contact", Ref: id, Kind: schema.EventDelete, At: later, Cut: true}}},
		"overflow":   {e, event(`,"changeType":"GAP_OVERFLOW"`, ``), []schema.Change{{Object: "Contact", Ref: id, Kind: schema.EventChange, At: later, Cut: true}}},
		"numbers that do not fit": {e, event(`,"changeType":"GAP_UPDATE","commitNumber":9223372036854775807,"sequenceNumber":1`, ``),
			[]schema.Change{{Object: "Contact", Ref: id, Kind: schema.EventChange, At: later, Cut: true}}},
		"a sequence field": {Envelope{SequenceField: "Change_Seq__c"}, event(`,"changeType":"UPDATE","commitNumber":5,"changedFields":["Title"]`, `,"Title":"x","Change_Seq__c":7.0`),
			[]schema.Change{{Object: "Contact", Ref: id, Kind: schema.EventChange, At: later, Sequence: 7, Fields: schema.Fields{"Title": "x"}}}},
		"no sequence field in the event": {Envelope{SequenceField: "Change_Seq__c"}, event(`,"changeType":"DELETE","commitNumber":5`, ``),
			[]schema.Change{{Object: "Contact", Ref: id, Kind: schema.EventDelete, At: later}}},
		"a change set": {e, `{"event_type":"UPDATE","timestamp":"2026-01-01T00:00:00Z","record_id":"a1B2c3D4e5F6g7H8","object_type":"Account","changed_by":"005xx0000000009","change_set":{"A":{"old_value":1,"new_value":2}}}`,
			[]schema.Change{{
				Object: "Account", Ref: "a1B2c3D4e5F6g7H8", Kind: schema.EventChange, At: at, Ours: true,
				Fields: schema.Fields{"A": json.Number("2")}, Old: schema.Fields{"A": json.Number("1")},
			}}},
	}
	for name, c := range cases {
		events, err := c.envelope.Split([]byte(c.body))
		if err != nil || len(events) != 1 {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := c.envelope.Parse(events[0])
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestChangeEventRefusals(t *testing.T) {
	const header = "/detail/payload/ChangeEventHeader"
	cases := map[string]struct {
		body   string
		reason schema.Reason
		at     string
	}{
		"no JSON":            {`{"canary"`, schema.ReasonMalformedJSON, ""},
		"nothing known":      {`{"canary":1}`, schema.ReasonSchemaMismatch, "/detail"},
		"no header":          {`{"detail":{"payload":{}}}`, schema.ReasonSchemaMismatch, "/detail/payload/ChangeEventHeader"},
		"payload of a type":  {`{"detail":{"payload":"canary"}}`, schema.ReasonSchemaMismatch, "/detail/payload"},
		"no entity":          {`{"detail":{"ChangeEventHeader":{"entityName":""}}}`, schema.ReasonSchemaMismatch, "/detail/ChangeEventHeader/entityName"},
		"no change type":     {event(``, ``), schema.ReasonSchemaMismatch, header + "/changeType"},
		"an odd change type": {event(`,"changeType":"canary"`, ``), schema.ReasonSchemaMismatch, header + "/changeType"},
		"no ids":             {`{"detail":{"ChangeEventHeader":{"entityName":"Case","recordIds":[]}}}`, schema.ReasonSchemaMismatch, "/detail/ChangeEventHeader/recordIds"},
		"ids of a type":      {`{"detail":{"ChangeEventHeader":{"entityName":"Case","recordIds":"canary"}}}`, schema.ReasonSchemaMismatch, "/detail/ChangeEventHeader/recordIds"},
		"an odd id":          {`{"detail":{"ChangeEventHeader":{"entityName":"Case","recordIds":["500xx0000000001AAA","../canary"]}}}`, schema.ReasonBadRecordID, "/detail/ChangeEventHeader/recordIds/1"},
		"a time as a text":   {`{"detail":{"ChangeEventHeader":{"entityName":"Case","recordIds":["5"],"changeType":"UPDATE","commitTimestamp":"canary"}}}`, schema.ReasonSchemaMismatch, "/detail/ChangeEventHeader/commitTimestamp"},
		"a time too far":     {`{"detail":{"ChangeEventHeader":{"entityName":"Case","recordIds":["5"],"changeType":"UPDATE","commitTimestamp":253402300800000}}}`, schema.ReasonBadDate, "/detail/ChangeEventHeader/commitTimestamp"},
		"a long origin":      {event(`,"changeType":"UPDATE","changeOrigin":"`+strings.Repeat("canary", 200)+`"`, ``), schema.ReasonSchemaMismatch, header + "/changeOrigin"},
		"an origin list":     {event(`,"changeType":"UPDATE","changeOrigin":["canary"]`, ``), schema.ReasonSchemaMismatch, header + "/changeOrigin"},
		"a changed number":   {event(`,"changeType":"UPDATE","changedFields":[7]`, ``), schema.ReasonSchemaMismatch, header + "/changedFields/0"},
		"a negative commit":  {event(`,"changeType":"UPDATE","commitNumber":-1`, ``), schema.ReasonSchemaMismatch, header + "/commitNumber"},
	}
	for name, c := range cases {
		changes, err := Envelope{}.Parse(json.RawMessage(c.body))
		var r *schema.Refusal
		if !errors.As(err, &r) || changes != nil {
			t.Errorf("%s: %v, %v; want a refusal", name, changes, err)
			continue
		}
		if r.Reason != c.reason || r.Field != c.at || strings.Contains(fmt.Sprintf("%+v %#v", r, *r), "canary") {
			t.Errorf("%s: %s, want %s at %s", name, r, c.reason, c.at)
		}
	}
}

// Whatever comes, the answer is changes or a refusal.
func TestAnyChangeEvent(t *testing.T) {
	value := rapid.SampledFrom([]string{`"canary"`, `1`, `-1`, `1.5`, `null`, `true`, `[]`, `{}`, `["A"]`, `["003xx0000000001AAA"]`, `"UPDATE"`, `"GAP_X"`})
	name := rapid.SampledFrom([]string{
		"entityName", "recordIds", "changeType", "changedFields", "nulledFields", "changeOrigin", "commitUser", "commitTimestamp", "commitNumber", "sequenceNumber",
	})
	rapid.Check(t, func(t *rapid.T) {
		header := `,"changeType":"UPDATE"`
		for key, v := range rapid.MapOf(name, value).Draw(t, "header") {
			header += fmt.Sprintf(",%q:%s", key, v)
		}
		payload := fmt.Sprintf(`,"A":%s,"Name":%s`, value.Draw(t, "A"), value.Draw(t, "Name"))
		_, err := Envelope{Client: "x", User: "y"}.Parse(json.RawMessage(event(header, payload)))
		var r *schema.Refusal
		if err != nil && (!errors.As(err, &r) || strings.Contains(r.Error(), "canary")) {
			t.Fatalf("%v", err)
		}
	})
}
