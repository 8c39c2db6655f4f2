package genesys

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

func event(topic, body string) string {
	return `{"version":"0","id":"x","detail-type":"v2.externalcontacts.contacts.{id}","source":"aws.partner/genesys.com/cloud/o/s","account":"1",` +
		`"time":"2026-01-01T00:00:05Z","region":"us-east-1","resources":[],"detail":{"topicName":"` + topic + `","version":"2","eventBody":` + body +
		`,"metadata":{"CorrelationId":"c"}}}`
}

const contactTopic = "v2.externalcontacts.contacts." + someID

func TestEvents(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 123_000_000, time.UTC)
	e := Envelope{Sources: map[string]string{sourceID: "Lockstep"}}
	cases := map[string]struct {
		body string
		want schema.Change
	}{
		"contact": {
			event(contactTopic, `{"id":"`+someID+`","modifyDate":"2026-01-01T00:00:00.123Z","firstName":"Ada","title":null,"surveyOptOut":false,
			 "workPhone":{"display":"+1 317-555-0100","e164":"+13175550100"},"cellPhone":null,"homePhone":{"display":"317 555"},"address":{"city":"x"},
			 "customFields":{"level":1.50,"nested":{}},"externalIds":[{"externalSource":{"id":"`+sourceID+`"},"value":"c-1"},
			 {"externalSource":{"id":"`+legacyID+`"},"value":"L-1"},{"externalSource":{"id":"`+sourceID+`"},"value":"c-2"}],"mergeSet":["`+someID+`"]}`),
			schema.Change{Object: "ExternalContact", Ref: someID, Kind: schema.EventFull, At: at, Fields: schema.Fields{
				"id": someID, "modifyDate": "2026-01-01T00:00:00.123Z", "firstName": "Ada", "title": nil, "surveyOptOut": false, "workPhone": "+13175550100",
				"cellPhone": nil, "homePhone": "317 555", "customFields.level": json.Number("1.50"), "externalIds.Lockstep": "c-1",
				"externalIds." + legacyID: "L-1",
			}},
		},
		"contact that others were merged into": {
			event(contactTopic, `{"id":"`+someID+`","canonicalContactId":"`+someID+`","lastName":"x"}`),
			schema.Change{Object: "ExternalContact", Ref: someID, Kind: schema.EventFull, Fields: schema.Fields{
				"id": someID, "canonicalContactId": someID, "lastName": "x",
			}},
		},
		"merged contact": {
			event(contactTopic, `{"id":"`+someID+`","modifyDate":"2026-01-01T00:00:00.123Z","canonicalContactId":"`+otherID+`","lastName":"x"}`),
			schema.Change{Object: "ExternalContact", Ref: someID, Kind: schema.EventMerge, At: at, Into: otherID},
		},
		"literal placeholder": {
			event("v2.externalcontacts.contacts.{id}", `{"id":"`+someID+`"}`),
			schema.Change{Object: "ExternalContact", Ref: someID, Kind: schema.EventFull, Fields: schema.Fields{"id": someID}},
		},
		"conversation": {
			event("v2.detail.events.conversation."+someID+".customer.end", `{"eventTime":1767225600123,"conversationId":"`+someID+`","ani":"tel:+13175550100"}`),
			schema.Change{Object: "Conversation", Ref: someID, Kind: schema.EventChange, At: at},
		},
		"conversation under the placeholder": {
			event("v2.detail.events.conversation.{id}.acw", `{"eventTime":1767225600123,"conversationId":"`+someID+`"}`),
			schema.Change{Object: "Conversation", Ref: someID, Kind: schema.EventChange, At: at},
		},
		"note":       {event(contactTopic+".notes."+otherID, `{"id":"x"}`), schema.Change{Object: "ExternalContactNote", Ref: someID, Kind: schema.EventChange}},
		"unresolved": {event(contactTopic+".unresolved", `{"id":"x"}`), schema.Change{Object: "UnresolvedExternalContact", Ref: someID, Kind: schema.EventChange}},
		"later kind": {event(contactTopic+".journeys", `{}`), schema.Change{Object: "ExternalContactTopic", Ref: someID, Kind: schema.EventChange}},
		"queue":      {event("v2.routing.queues."+someID+".users", `{}`), schema.Change{Object: "Queue", Ref: someID, Kind: schema.EventChange}},
		"user":       {event("v2.users."+someID+".presence", `{"eventTime":"2026-01-01T00:00:00.123Z"}`), schema.Change{Object: "User", Ref: someID, Kind: schema.EventChange, At: at}},
		"workitem":   {event("v2.taskmanagement.workitems."+someID, `{}`), schema.Change{Object: "Workitem", Ref: someID, Kind: schema.EventChange}},
		"something":  {event("v2.flows.outcomes."+someID, `{"id":"f"}`), schema.Change{Object: "flows", Ref: "f", Kind: schema.EventChange}},
	}
	for name, c := range cases {
		events, err := e.Split([]byte(c.body))
		if err != nil || len(events) != 1 {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := e.Parse(events[0])
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff([]schema.Change{c.want}, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestEventRefusals(t *testing.T) {
	const body = "/detail/eventBody"
	cases := map[string]struct {
		body   string
		reason schema.Reason
		at     string
	}{
		"no JSON":             {`{"canary":`, schema.ReasonMalformedJSON, ""},
		"no object":           {`["canary"]`, schema.ReasonSchemaMismatch, ""},
		"no detail":           {`{"canary":1}`, schema.ReasonSchemaMismatch, "/detail"},
		"no topic":            {`{"detail":{"eventBody":{}}}`, schema.ReasonSchemaMismatch, "/detail/topicName"},
		"an odd topic":        {event("canary", `{}`), schema.ReasonSchemaMismatch, "/detail/topicName"},
		"an old topic":        {event("v1.canary.x", `{}`), schema.ReasonSchemaMismatch, "/detail/topicName"},
		"a topic without id":  {event("v2.externalcontacts.contacts.", `{}`), schema.ReasonSchemaMismatch, "/detail/topicName"},
		"no body":             {event(contactTopic, `null`), schema.ReasonSchemaMismatch, body},
		"a body of a type":    {event(contactTopic, `["canary"]`), schema.ReasonSchemaMismatch, body},
		"no id":               {event(contactTopic, `{"canary":1}`), schema.ReasonSchemaMismatch, body + "/id"},
		"an id of a type":     {event(contactTopic, `{"id":7}`), schema.ReasonSchemaMismatch, body + "/id"},
		"an odd id":           {event(contactTopic, `{"id":"../canary"}`), schema.ReasonBadRecordID, body + "/id"},
		"another contact":     {event(contactTopic, `{"id":"`+otherID+`"}`), schema.ReasonBadRecordID, body + "/id"},
		"a bad date":          {event(contactTopic, `{"id":"`+someID+`","modifyDate":"canary"}`), schema.ReasonBadDate, body + "/modifyDate"},
		"a date as a number":  {event(contactTopic, `{"id":"`+someID+`","modifyDate":7}`), schema.ReasonSchemaMismatch, body + "/modifyDate"},
		"an odd canonical":    {event(contactTopic, `{"id":"`+someID+`","canonicalContactId":"../canary"}`), schema.ReasonBadRecordID, body + "/canonicalContactId"},
		"a phone as a text":   {event(contactTopic, `{"id":"`+someID+`","workPhone":"canary"}`), schema.ReasonSchemaMismatch, body + "/workPhone"},
		"custom fields' list": {event(contactTopic, `{"id":"`+someID+`","customFields":["canary"]}`), schema.ReasonSchemaMismatch, body + "/customFields"},
		"external ids' text":  {event(contactTopic, `{"id":"`+someID+`","externalIds":"canary"}`), schema.ReasonSchemaMismatch, body + "/externalIds"},
		"an odd external id":  {event(contactTopic, `{"id":"`+someID+`","externalIds":[{"value":"canary"}]}`), schema.ReasonSchemaMismatch, body + "/externalIds"},
		"an event time":       {event("v2.users."+someID+".presence", `{"eventTime":"canary"}`), schema.ReasonBadDate, body + "/eventTime"},
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
func TestAnyEvent(t *testing.T) {
	value := rapid.SampledFrom([]string{
		`"canary"`, `"` + someID + `"`, `1`, `-1`, `1e99`, `null`, `true`, `[]`, `{}`, `[1]`, `[{"value":"x","externalSource":{"id":"y"}}]`, `{"e164":7}`,
	})
	name := rapid.SampledFrom([]string{"id", "modifyDate", "workPhone", "externalIds", "customFields", "canonicalContactId", "eventTime", "conversationId"})
	topic := rapid.SampledFrom([]string{contactTopic, "v2.users.x.y", "v2.a.b.c", "v2..x.y", "v2.detail.events.conversation.{id}.acw"})
	rapid.Check(t, func(t *rapid.T) {
		members := []string{}
		for key, v := range rapid.MapOf(name, value).Draw(t, "members") {
			members = append(members, fmt.Sprintf("%q:%s", key, v))
		}
		_, err := Envelope{}.Parse(json.RawMessage(event(topic.Draw(t, "topic"), "{"+strings.Join(members, ",")+"}")))
		var r *schema.Refusal
		if err != nil && (!errors.As(err, &r) || strings.Contains(r.Error(), "canary")) {
			t.Fatalf("%v", err)
		}
	})
}
