package genesystest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// hook is a receiver of events.
type hook struct {
	mu   sync.Mutex
	got  []delivery
	fail int
}

type delivery struct {
	header http.Header
	body   string
}

func (d delivery) envelope(t *testing.T) obj {
	t.Helper()
	var out obj
	if err := json.Unmarshal([]byte(d.body), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func (d delivery) eventBody(t *testing.T) obj {
	t.Helper()
	return d.envelope(t)["detail"].(obj)["eventBody"].(obj)
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got = append(h.got, delivery{r.Header.Clone(), string(body)})
	if h.fail > 0 {
		h.fail--
		w.WriteHeader(503)
	}
}

func (h *hook) all() []delivery {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]delivery{}, h.got...)
}

func (h *hook) wait(t *testing.T, n int) []delivery {
	t.Helper()
	eventually(t, sprint(n)+" events", func() bool { return len(h.all()) >= n })
	if got := h.all(); len(got) != n {
		t.Fatalf("%d events, want %d", len(got), n)
	}
	return h.all()
}

func hooked(t *testing.T, o Options, settings string) (*org, *hook) {
	t.Helper()
	h := &hook{}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	s := start(t, o)
	if r := s.control(t, "POST", "/webhooks", `{"url":"`+server.URL+`/webhooks/genesys","first_retry_ms":1,"workers":1`+settings+`}`); r.status != 200 {
		t.Fatalf("webhooks: %d %s", r.status, r.body)
	}
	return s, h
}

func TestContactEvents(t *testing.T) {
	hand := newHandClock()
	o, h := hooked(t, Options{Clock: hand.now}, "")
	source := o.source(t, "lockstep")
	id := o.made(t, obj{
		"firstName": "Ada", "workPhone": obj{"e164": "+13175550100"}, "externalIds": []any{xid(source, "C-1")},
		"customFields": obj{"customer_status": "Active"}, "schema": obj{"id": "s", "version": 1},
	})
	hand.advance(time.Second)
	o.call(t, "PATCH", contactsPath+"/"+id, obj{"changes": []obj{{"field": "$.firstName", "value": "Bo", "action": "Update"}}})
	o.call(t, "PATCH", contactsPath+"/"+id, obj{"changes": []obj{{"field": "$.firstName", "value": "Bo", "action": "Update"}}}) // no change, no event
	o.Put("ExternalContact", obj{"id": id, "lastName": "King"})
	o.call(t, "DELETE", contactsPath+"/"+id, nil) // tells nobody: the documented gap
	got := h.wait(t, 3)
	envelope := got[1].envelope(t)
	want := obj{
		"version": "0", "id": envelope["id"], "detail-type": "v2.externalcontacts.contacts.{id}",
		"source": "aws.partner/genesys.com/cloud/" + DefaultOrgID + "/lockstep", "account": "123456789012", "time": "2026-01-01T12:00:01Z",
		"region": "us-east-1", "resources": []any{},
		"detail": obj{
			"topicName": "v2.externalcontacts.contacts." + id, "version": "2", "metadata": envelope["detail"].(obj)["metadata"],
			"eventBody": obj{
				"id": id, "type": "Curated", "division": obj{"id": homeDivision}, "firstName": "Bo",
				"workPhone":   obj{"display": "+1 317-555-0100", "e164": "+13175550100", "countryCode": "US"},
				"externalIds": []any{xid(source, "C-1")}, "customFields": obj{"customer_status": "Active"}, "schema": obj{"id": "s", "version": 1.0},
				"createDate": "2026-01-01T12:00:00.123Z", "modifyDate": "2026-01-01T12:00:01.123Z",
			},
		},
	}
	if diff := cmp.Diff(want, envelope); diff != "" {
		t.Errorf("the envelope (-want +got):\n%s", diff)
	}
	if got[2].eventBody(t)["lastName"] != "King" {
		t.Errorf("a person's change is told as %s", got[2].body)
	}
	ids := map[any]bool{}
	for _, d := range got {
		ids[d.envelope(t)["id"]] = true
		if d.header.Get("X-Api-Key") != DefaultWebhookKey || d.header.Get("Content-Type") != "application/json" {
			t.Errorf("the headers are %v", d.header)
		}
		if d.header.Get("webhook-signature") != "" {
			t.Error("EventBridge signs nothing")
		}
	}
	if len(ids) != 3 {
		t.Errorf("3 events have %d ids", len(ids))
	}
}

func TestEnvelopeIsStableOverRetries(t *testing.T) {
	o, h := hooked(t, Options{}, "")
	h.fail = 2
	o.Put("ExternalContact", obj{"firstName": "A"})
	got := h.wait(t, 3)
	if got[0].body != got[2].body {
		t.Errorf("the attempts differ:\n%s\n%s", got[0].body, got[2].body)
	}
}

func TestWebhookKeyAndHeader(t *testing.T) {
	o, h := hooked(t, Options{}, `,"header":"X-Lockstep-Key","key":"first"`)
	o.Put("ExternalContact", obj{"firstName": "A"})
	h.wait(t, 1)
	o.control(t, "POST", "/secrets", `{"webhook_secret":"second"}`)
	o.Put("ExternalContact", obj{"firstName": "B"})
	for i, want := range []string{"first", "second"} {
		if got := h.wait(t, 2)[i].header.Get("X-Lockstep-Key"); got != want {
			t.Errorf("event %d carries %q", i, got)
		}
	}
	for _, bad := range []string{`{"key":""}`, `{"header":"a b"}`, `{"secret":"x"}`} {
		if r := o.control(t, "POST", "/webhooks", bad); r.status != 400 {
			t.Errorf("%s: %d", bad, r.status)
		}
	}
	if r := o.control(t, "POST", "/secrets", `{"webhook_secret":""}`); r.status != 400 {
		t.Errorf("an empty key: %d", r.status)
	}
	eventually(t, "the standing", func() bool { return o.control(t, "GET", "/webhooks", "").at(t, "sent") == 2.0 })
	if r := o.control(t, "GET", "/webhooks", ""); strings.Contains(r.body, "second") {
		t.Errorf("the key is shown: %s", r.body)
	}
}

func TestConversationEvents(t *testing.T) {
	hand := newHandClock()
	o, h := hooked(t, Options{Clock: hand.now}, "")
	for i, topic := range []string{"customer.start", "customer.end", "acw", "wrapup"} {
		r := o.control(t, "POST", "/events", `{"topic":"`+topic+`","id":"conv-1","event_body":{"ani":"tel:+441"}}`)
		if r.status != 201 || r.at(t, "id") != "conv-1" {
			t.Fatalf("%s: %d %s", topic, r.status, r.body)
		}
		e := h.wait(t, i+1)[i]
		envelope, body := e.envelope(t), e.eventBody(t)
		if envelope["id"] != r.at(t, "envelope_id") || envelope["detail-type"] != "v2.detail.events.conversation.{id}."+topic ||
			envelope["detail"].(obj)["topicName"] != "v2.detail.events.conversation.conv-1."+topic {
			t.Errorf("%s is wrapped as %s", topic, e.body)
		}
		if body["conversationId"] != "conv-1" || body["eventTime"] != 1767268800123.0 || body["ani"] != "tel:+441" || body["mediaType"] != "VOICE" {
			t.Errorf("%s tells %v", topic, body)
		}
		if _, user := body["userId"]; user != (topic == "acw") {
			t.Errorf("%s names a user: %v", topic, user)
		}
	}
	if r := o.control(t, "POST", "/events", `{"topic":"v2.users.{id}.presence","event_body":{"a":1}}`); r.status != 201 || r.at(t, "id") == "" {
		t.Errorf("a whole topic: %d %s", r.status, r.body)
	}
	for _, bad := range []string{`{"topic":"nope"}`, `{"nope":1}`} {
		if r := o.control(t, "POST", "/events", bad); r.status != 400 {
			t.Errorf("%s: %d", bad, r.status)
		}
	}
	o.control(t, "POST", "/webhooks", `{"url":""}`)
	if r := o.control(t, "POST", "/events", `{"topic":"acw"}`); r.status != 400 {
		t.Errorf("without a receiver: %d", r.status)
	}
}
