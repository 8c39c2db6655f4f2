package genesys

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"lockstep/connectors"
	"lockstep/connectors/genesys/genesystest"
	"lockstep/connectors/simulator"
	"lockstep/schema"
)

// What the simulated org sends is what its connector's envelope reads, under the names that reads have.
func TestSimulatedEvents(t *testing.T) {
	events := make(chan []byte, 16)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		events <- body
	}))
	defer receiver.Close()
	webhook := simulator.DefaultWebhook()
	webhook.URL = receiver.URL
	org := genesystest.Start(t, genesystest.Options{Webhook: webhook})
	g := at(t, org, map[string]string{"custom_schema_id": schemaID, "custom_schema_version": "1"})
	if err := g.EnsureSources(t.Context(), "Lockstep", "Legacy"); err != nil {
		t.Fatal(err)
	}
	e := Envelope{Sources: g.Sources()}
	next := func() schema.Change {
		t.Helper()
		select {
		case body := <-events:
			changes, err := e.Parse(json.RawMessage(body))
			if err != nil || len(changes) != 1 {
				t.Fatalf("%v, %v: %s", changes, err, body)
			}
			return changes[0]
		case <-time.After(5 * time.Second):
			t.Fatal("no event")
			return schema.Change{}
		}
	}
	object := externalContact
	change := connectors.Change{Canonical: schema.NewRandom(), Fields: schema.Fields{
		"lastName": "Byron", "workPhone": "+13175550100", "workEmail": "ada@example.com", "customFields.level": "gold", "externalIds.Legacy": "C-1",
		"surveyOptOut": true,
	}}
	answers, err := g.Create(t.Context(), object, []connectors.Change{change})
	if err != nil || answers[0].Err != nil {
		t.Fatal(answers, err)
	}
	made := next()
	if made.Object != "ExternalContact" || made.Kind != schema.EventFull || made.Ref != answers[0].ID || !made.At.Equal(answers[0].ModifiedAt) {
		t.Errorf("created: %+v", made)
	}
	for field, value := range change.Fields {
		if fmt.Sprint(made.Fields[field]) != fmt.Sprint(value) || fmt.Sprint(answers[0].Record.Fields[field]) != fmt.Sprint(value) {
			t.Errorf("field %s: event %v, answer %v, want %v", field, made.Fields[field], answers[0].Record.Fields[field], value)
		}
	}
	if made.Fields["externalIds.Lockstep"] != change.Canonical.String() {
		t.Errorf("our id in the event is %v", made.Fields["externalIds.Lockstep"])
	}
	// A person merges the contact into another one: both tell, each in its way.
	other := org.Put("ExternalContact", map[string]any{"lastName": "King"})["id"].(string)
	next()
	if _, err := org.Merge("ExternalContact", fmt.Appendf(nil, `{"contactIds":[%q,%q]}`, answers[0].ID, other), ""); err != nil {
		t.Fatal(err)
	}
	kinds := map[schema.EventKind]int{}
	into := map[string]bool{}
	for range 3 {
		c := next()
		kinds[c.Kind]++
		if c.Kind == schema.EventMerge {
			into[c.Into] = true
		} else {
			into[c.Ref] = true
		}
	}
	if kinds[schema.EventMerge] != 2 || kinds[schema.EventFull] != 1 || len(into) != 1 {
		t.Errorf("a merge told %v into %v", kinds, into)
	}
	if _, _, err := org.Emit("customer.end", someID, nil); err != nil {
		t.Fatal(err)
	}
	if c := next(); c.Object != "Conversation" || c.Ref != someID || c.Kind != schema.EventChange || c.Fields != nil || c.At.IsZero() {
		t.Errorf("a conversation: %+v", c)
	}
}

// A clear goes beside custom fields and external ids in one PATCH.
func TestPatchOfEverything(t *testing.T) {
	org := genesystest.Start(t, genesystest.Options{})
	g := at(t, org, map[string]string{"custom_schema_id": schemaID, "custom_schema_version": "1"})
	if err := g.EnsureSources(t.Context(), "Lockstep", "Legacy"); err != nil {
		t.Fatal(err)
	}
	change := connectors.Change{Canonical: schema.NewRandom(), Fields: schema.Fields{
		"lastName": "Byron", "workEmail": "ada@example.com", "customFields.level": "gold",
	}}
	answers, err := g.Create(t.Context(), externalContact, []connectors.Change{change})
	if err != nil || answers[0].Err != nil {
		t.Fatal(answers, err)
	}
	change.ID = answers[0].ID
	for _, fields := range []schema.Fields{
		{"workEmail": nil, "customFields.level": "silver", "externalIds.Legacy": "C-7", "workPhone": "+13175550100"},
		{"customFields.level": nil, "workPhone": nil, "lastName": "King"},
	} {
		change.Fields = fields
		answers, err := g.Write(t.Context(), externalContact, []connectors.Change{change})
		if err != nil || answers[0].Err != nil {
			t.Fatal(answers, err)
		}
		for field, value := range fields {
			if fmt.Sprint(answers[0].Record.Fields[field]) != fmt.Sprint(value) {
				t.Errorf("field %s is %v, want %v", field, answers[0].Record.Fields[field], value)
			}
		}
	}
}
