package genesystest

import (
	"slices"
	"testing"
	"time"
)

func TestMergeMakesANewContact(t *testing.T) {
	hand := newHandClock()
	o := start(t, Options{Clock: hand.now})
	source := o.source(t, "lockstep")
	a := o.made(t, obj{"firstName": "Ada", "workEmail": "a@example.com", "workPhone": obj{"e164": "+13175550100"}, "externalIds": []any{xid(source, "1")}})
	hand.advance(time.Second)
	b := o.made(t, obj{"firstName": "Adele", "lastName": "Byron", "workEmail": "b@example.com", "externalIds": []any{xid(source, "2")}})
	hand.advance(time.Second)
	r := o.call(t, "POST", contactsPath+"/merge", obj{"contactIds": []string{a, b}, "valueOverride": obj{"title": "Countess"}})
	id, _ := r.at(t, "id").(string)
	if r.status != 200 || id == a || id == b {
		t.Fatalf("%d %s", r.status, r.body)
	}
	for field, want := range map[string]any{
		"firstName": "Adele", "lastName": "Byron", "workEmail": "b@example.com", "personalEmail": "a@example.com", "title": "Countess", "type": "Curated",
	} {
		if got := r.at(t, field); got != want {
			t.Errorf("%s is %v, want %v", field, got, want)
		}
	}
	if len(r.at(t, "externalIds").([]any)) != 2 || r.at(t, "workPhone", "e164") != "+13175550100" {
		t.Errorf("ids and phone are %s", r.body)
	}
	if r.at(t, "canonicalContact", "id") != id || len(r.at(t, "mergeSet").([]any)) != 3 || len(r.at(t, "mergedFrom").([]any)) != 2 {
		t.Errorf("the merge is %s", r.body)
	}
	for _, old := range []string{a, b} {
		if r := o.call(t, "GET", contactsPath+"/"+old, nil); r.status != 200 || r.at(t, "id") != id || r.at(t, "canonicalContact", "id") != id {
			t.Errorf("an old id: %d %s", r.status, r.body)
		}
		r := o.call(t, "GET", contactsPath+"/"+old+"/unresolved", nil)
		if r.at(t, "id") != old || r.at(t, "mergedTo", "id") != id || r.at(t, "canonicalContact", "id") != id {
			t.Errorf("unresolved: %d %s", r.status, r.body)
		}
		if got := o.Record("ExternalContact", old); got["mergedTo"] == nil {
			t.Errorf("the state shows %v", got)
		}
	}
	for _, m := range []obj{matchID(source, "1"), matchID(source, "2"), matchEmail("a@example.com"), matchPhone("+13175550100")} {
		if r := o.call(t, "POST", lookupPath, m); r.at(t, "id") != id {
			t.Errorf("%v finds %s", m, r.body)
		}
	}
	if r := o.call(t, "PATCH", contactsPath+"/"+a, obj{"changes": []obj{{"field": "$.title", "value": "Dr", "action": "Update"}}}); r.at(t, "id") != id || r.at(t, "title") != "Dr" {
		t.Errorf("a write to an old id: %d %s", r.status, r.body)
	}
	if live := o.Records("ExternalContact"); len(live) != 1 || live[0]["id"] != id {
		t.Errorf("%d contacts are live", len(live))
	}
	r = o.call(t, "POST", bulkPath+"/unresolved", obj{"entities": []any{obj{"id": a}}})
	if r.at(t, "results", 0, "entity", "id") != a {
		t.Errorf("bulk unresolved: %s", r.body)
	}
	o.call(t, "DELETE", contactsPath+"/"+id, nil)
	if r := o.call(t, "GET", contactsPath+"/"+a, nil); r.status != 404 {
		t.Errorf("after the deletion of the merger: %d", r.status)
	}
}

// The merger owns what its parts owned, also where another contact shows the same number.
func TestMergeKeepsSharedIdentifiers(t *testing.T) {
	o := start(t, Options{})
	phone := obj{"e164": "+13175550100"}
	first := o.made(t, obj{"firstName": "A", "workPhone": phone})
	o.made(t, obj{"firstName": "B", "workPhone": phone})
	third := o.made(t, obj{"firstName": "C"})
	id := o.call(t, "POST", contactsPath+"/merge", obj{"contactIds": []string{first, third}}).at(t, "id")
	if got := o.call(t, "POST", lookupPath, matchPhone("+13175550100")).at(t, "id"); got != id {
		t.Errorf("the number belongs to %v", got)
	}
}

func TestMergeOfMerges(t *testing.T) {
	o := start(t, Options{})
	merge := func(ids ...string) reply { return o.call(t, "POST", contactsPath+"/merge", obj{"contactIds": ids}) }
	a, b, c := o.made(t, obj{"firstName": "A"}), o.made(t, obj{"firstName": "B"}), o.made(t, obj{"firstName": "C"})
	ab := merge(a, b).at(t, "id").(string)
	r := merge(ab, c)
	id := r.at(t, "id").(string)
	if n := len(r.at(t, "mergeSet").([]any)); n != 5 {
		t.Errorf("the merge set has %d members: %s", n, r.body)
	}
	for _, old := range []string{a, b, c, ab} {
		if got := o.call(t, "GET", contactsPath+"/"+old, nil).at(t, "id"); got != id {
			t.Errorf("%s leads to %v", old, got)
		}
	}
	for name, ids := range map[string][]string{"one": {a}, "none": {}, "the same": {id, id}, "one by two ids": {a, b}} {
		if r := merge(ids...); r.status != 422 {
			t.Errorf("merging %s: %d %s", name, r.status, r.body)
		}
	}
	if r := merge(id, "nobody"); r.status != 404 {
		t.Errorf("merging with nobody: %d", r.status)
	}
	if r := o.call(t, "POST", "/externalcontacts/merge/contacts", obj{"sourceContactId": id, "targetContactId": o.made(t, obj{})}); r.status != 400 {
		t.Errorf("the deprecated merge of curated contacts: %d %s", r.status, r.body)
	}
}

func TestMergeSetsAreBounded(t *testing.T) {
	o := start(t, Options{})
	many := func(n int) []string {
		ids := []string{}
		for range n {
			ids = append(ids, o.Put("ExternalContact", obj{"firstName": "x"})["id"].(string))
		}
		return ids
	}
	if r := o.call(t, "POST", contactsPath+"/merge", obj{"contactIds": many(26)}); r.status != 422 {
		t.Errorf("26 at once: %d", r.status)
	}
	first := o.call(t, "POST", contactsPath+"/merge", obj{"contactIds": many(25)}).at(t, "id").(string) // 26 in all
	second := o.call(t, "POST", contactsPath+"/merge", obj{"contactIds": many(24)}).at(t, "id").(string)
	if r := o.call(t, "POST", contactsPath+"/merge", obj{"contactIds": append(many(1), first, second)}); r.status != 422 {
		t.Errorf("53 in all: %d", r.status)
	}
	r := o.call(t, "POST", contactsPath+"/merge", obj{"contactIds": []string{first, second}})
	if r.status != 200 || len(r.at(t, "mergeSet").([]any)) != 52 {
		t.Errorf("52 in all: %d", r.status)
	}
}

func TestHumanMergeIsToldInFull(t *testing.T) {
	o, h := hooked(t, Options{}, "")
	a := o.Put("ExternalContact", obj{"firstName": "A"})["id"].(string)
	b := o.Put("ExternalContact", obj{"firstName": "B"})["id"].(string)
	r := o.control(t, "POST", "/records/ExternalContact/merge", `{"contactIds":["`+a+`","`+b+`"]}`)
	id := r.at(t, "id").(string)
	if r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	told := map[string]obj{}
	for _, e := range h.wait(t, 5)[2:] {
		body := e.eventBody(t)
		told[body["id"].(string)] = body
	}
	if got := told[id]; got["canonicalContactId"] != id || len(got["mergeSet"].([]any)) != 3 || len(got["mergedFrom"].([]any)) != 2 {
		t.Errorf("the merger is told as %v", got)
	}
	for _, old := range []string{a, b} {
		if got := told[old]; got["mergedTo"] != id || got["canonicalContactId"] != id || !slices.Contains(got["mergeSet"].([]any), any(old)) {
			t.Errorf("an old contact is told as %v", got)
		}
	}
	if r := o.control(t, "POST", "/records/Queue/merge", `{"contactIds":[]}`); r.status != 404 {
		t.Errorf("merging queues: %d", r.status)
	}
}
