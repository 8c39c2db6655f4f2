package genesystest

import (
	"sync"
	"testing"

	"lockstep/connectors/simulator"
)

func TestHumanEdits(t *testing.T) {
	hand := newHandClock()
	o := start(t, Options{Clock: hand.now})
	o.control(t, "POST", "/clock", `{"skew_ms":60000}`)
	r := o.control(t, "POST", "/records/ExternalContact", `{"firstName":"Ada","workEmail":"ada@example.com","customFields":{"a":"1"},"schema":{"id":"s","version":1}}`)
	id, _ := r.at(t, "id").(string)
	if r.status != 201 || r.at(t, "createDate") != "2026-01-01T12:01:00.123Z" {
		t.Fatalf("create: %d %s", r.status, r.body)
	}
	r = o.control(t, "POST", "/records/ExternalContact", `{"id":"`+id+`","workEmail":null,"customFields":{"a":"2"}}`)
	if r.status != 200 || r.at(t, "workEmail") != nil || r.at(t, "firstName") != "Ada" || r.at(t, "customFields", "a") != "2" {
		t.Errorf("update: %d %s", r.status, r.body)
	}
	if r := o.control(t, "POST", "/records/ExternalContact", `{"id":"own-id","firstName":"Bo"}`); r.status != 201 || r.at(t, "id") != "own-id" {
		t.Errorf("an id of its own: %d %s", r.status, r.body)
	}
	if r := o.control(t, "POST", "/records/ExternalContact", `{"workEmail":"bad"}`); r.status != 422 || r.at(t, "code") != "validation.failed" {
		t.Errorf("a refusal: %d %s", r.status, r.body)
	}
	if r := o.control(t, "POST", "/records/ExternalContact", `[{"firstName":"C"},{"firstName":"D"}]`); r.status != 201 || r.at(t, 1, "firstName") != "D" {
		t.Errorf("many: %d %s", r.status, r.body)
	}
	if r := o.control(t, "DELETE", "/records/ExternalContact/"+id, ""); r.status != 204 {
		t.Errorf("delete: %d %s", r.status, r.body)
	}
	if r := o.control(t, "DELETE", "/records/ExternalContact/"+id, ""); r.status != 404 {
		t.Errorf("delete again: %d", r.status)
	}
	if r := o.control(t, "POST", "/records/ExternalContact", `{"id":"`+id+`","firstName":"x"}`); r.status != 404 {
		t.Errorf("editing the deleted: %d", r.status)
	}
	for path, want := range map[string]int{
		"/state/ExternalContact": 3, "/state/ExternalContact?all=true": 4, "/state/ExternalContact?id=" + id: 0,
		"/state/ExternalContact?all=true&id=" + id: 1, "/state/User": 1, "/state/Queue?id=" + DefaultQueueID: 1, "/state/Queue?id=x": 0,
	} {
		if got := len(o.control(t, "GET", path, "").json(t).([]any)); got != want {
			t.Errorf("%s shows %d records, want %d", path, got, want)
		}
	}
	for _, r := range []reply{
		o.control(t, "GET", "/state/Nope", ""), o.control(t, "POST", "/records/Nope", `{}`), o.control(t, "DELETE", "/records/Nope/1", ""),
		o.control(t, "DELETE", "/records/Queue/x", ""),
	} {
		if r.status != 404 {
			t.Errorf("what is not there: %d %s", r.status, r.body)
		}
	}
	for _, e := range o.Journal()[1:] {
		if e.Kind != simulator.EntryEdit || e.Credential != "human" {
			t.Errorf("an edit is journaled as %+v", e)
		}
	}
	user := o.control(t, "POST", "/records/User", `{"name":"New Agent","email":"new@example.com"}`)
	if user.status != 201 || user.at(t, "version") != 1.0 {
		t.Errorf("a user: %d %s", user.status, user.body)
	}
	if r := o.control(t, "DELETE", "/records/User/"+user.at(t, "id").(string), ""); r.status != 204 {
		t.Errorf("deleting a user: %d", r.status)
	}
	if r := o.control(t, "POST", "/switches", `{"lookup_lag_ms":-1}`); r.status != 400 {
		t.Errorf("a bad switch: %d", r.status)
	}
}

// However many clients create under one external id at once, one contact comes of it.
func TestEnrichRace(t *testing.T) {
	o := start(t, Options{RequestsPerMinute: -1})
	source := o.source(t, "lockstep")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for n := range 10 {
				r := o.call(t, "POST", enrichPath, obj{"matchingIdentifiers": []any{matchID(source, sprint(n))}, "action": "Upsert", "contact": obj{"firstName": "x"}})
				if r.status != 200 && r.status != 201 {
					t.Errorf("%d %s", r.status, r.body)
				}
			}
		})
	}
	all.Wait()
	if n := len(o.Records("ExternalContact")); n != 10 {
		t.Errorf("%d contacts of 10 keys", n)
	}
}

func TestRoutesOfAllKindsAreListed(t *testing.T) {
	o := start(t, Options{})
	classes := map[any]int{}
	for _, r := range o.control(t, "GET", "/routes", "").json(t).([]any) {
		classes[r.(obj)["class"]]++
		if r.(obj)["bulk"] == true {
			classes["bulk"]++
		}
	}
	if classes["read"] == 0 || classes["write"] == 0 || classes["bulk"] != 6 {
		t.Errorf("the routes are %v", classes)
	}
}
