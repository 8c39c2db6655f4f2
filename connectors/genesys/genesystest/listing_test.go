package genesystest

import (
	"net/url"
	"testing"
	"time"
)

func TestScan(t *testing.T) {
	hand := newHandClock()
	o := start(t, Options{Clock: hand.now})
	var made []string
	for n := range 25 {
		made = append(made, o.Put("ExternalContact", obj{"firstName": sprint(n)})["id"].(string))
	}
	o.call(t, "DELETE", contactsPath+"/"+made[3], nil)
	const path = "/externalcontacts/scan/contacts"
	seen, cursor, pages := []any{}, "", 0
	for {
		r := o.call(t, "GET", path+"?limit=10"+cursor, nil)
		if r.status != 200 {
			t.Fatalf("%d %s", r.status, r.body)
		}
		for _, e := range r.at(t, "entities").([]any) {
			seen = append(seen, e.(obj)["id"])
		}
		pages++
		after, _ := r.at(t, "cursors", "after").(string)
		next, _ := r.at(t, "nextUri").(string)
		if (after == "") != (next == "") {
			t.Errorf("the cursor is %q, the next page %q", after, next)
		}
		if after == "" {
			break
		}
		if parsed, err := url.Parse(next); err != nil || parsed.Query().Get("cursor") != after {
			t.Errorf("the next page is %q", next)
		}
		cursor = "&cursor=" + after
		if pages == 1 { // what is made meanwhile is found at the end
			made = append(made, o.Put("ExternalContact", obj{"firstName": "late"})["id"].(string))
		}
	}
	want := append(append([]string{}, made[:3]...), made[4:]...)
	if len(seen) != len(want) || pages != 3 {
		t.Fatalf("%d contacts on %d pages, want %d", len(seen), pages, len(want))
	}
	for i := range want {
		if seen[i] != want[i] {
			t.Errorf("contact %d is %v, want %s", i, seen[i], want[i])
		}
	}
	hand.advance(25 * time.Hour)
	o.login(t)
	for _, bad := range []string{cursor, "&cursor=x", "&cursor=eA"} {
		if r := o.call(t, "GET", path+"?limit=10"+bad, nil); r.status != 400 {
			t.Errorf("%s: %d", bad, r.status)
		}
	}
	for limit, want := range map[string]int{"": 200, "?limit=200": 200, "?limit=201": 400, "?limit=x": 400} {
		if r := o.call(t, "GET", path+limit, nil); r.status != want {
			t.Errorf("limit %s: %d", limit, r.status)
		}
	}
}

func TestFreeTextSearch(t *testing.T) {
	o := start(t, Options{})
	for n := range 3 {
		o.Put("ExternalContact", obj{"firstName": "Ada", "lastName": "L" + sprint(n), "workPhone": obj{"e164": "+1317555010" + sprint(n)}})
	}
	o.Put("ExternalContact", obj{"firstName": "Bo", "workEmail": "ada.l1@example.com"})
	for q, want := range map[string]int{"ada": 4, "ada l1": 2, "+13175550102": 1, "": 4, "nobody": 0} {
		r := o.call(t, "GET", contactsPath+"?q="+url.QueryEscape(q), nil)
		post := o.call(t, "POST", contactsPath+"/search", obj{"operation": obj{"simpleSearch": obj{"query": q}}})
		if r.at(t, "total") != float64(want) || post.at(t, "total") != float64(want) {
			t.Errorf("%q finds %v and %v, want %d", q, r.at(t, "total"), post.at(t, "total"), want)
		}
	}
	r := o.call(t, "GET", contactsPath+"?q=ada&pageSize=3&pageNumber=2", nil)
	if r.at(t, "pageCount") != 2.0 || r.at(t, "pageNumber") != 2.0 || len(r.at(t, "entities").([]any)) != 1 ||
		r.at(t, "previousUri") != "/api/v2/externalcontacts/contacts?pageSize=3&pageNumber=1" || r.at(t, "nextUri") != nil {
		t.Errorf("the second page is %s", r.body)
	}
	if r := o.call(t, "GET", contactsPath+"?q=x&pageSize=100&pageNumber=10", nil); r.status != 200 {
		t.Errorf("the last page within 1000: %d", r.status)
	}
	if r := o.call(t, "POST", contactsPath+"/search", obj{"pageSize": 101, "pageNumber": 10}); r.status != 400 {
		t.Errorf("beyond 1000: %d", r.status)
	}
}

func TestExternalSources(t *testing.T) {
	o := start(t, Options{})
	const path = "/externalcontacts/externalsources"
	r := o.call(t, "POST", path, obj{"name": " lockstep ", "active": true})
	id, _ := r.at(t, "id").(string)
	if r.status != 200 || r.at(t, "name") != "lockstep" || r.at(t, "selfUri") != "/api/v2"+path+"/"+id {
		t.Errorf("%d %s", r.status, r.body)
	}
	o.call(t, "POST", path, obj{"name": "lockstep-2", "active": false})
	for query, want := range map[string]int{"": 2, "?name=lock": 2, "?name=Lockstep-": 1, "?name=step": 0, "?active=true": 1, "?active=false": 1} {
		if n := len(o.call(t, "GET", path+query, nil).at(t, "entities").([]any)); n != want {
			t.Errorf("%s lists %d", query, n)
		}
	}
	if r := o.call(t, "PUT", path+"/"+id, obj{"name": "renamed", "active": false}); r.at(t, "name") != "renamed" || r.at(t, "active") != false {
		t.Errorf("PUT: %d %s", r.status, r.body)
	}
	if r := o.call(t, "PUT", path+"/"+id, obj{"name": "lockstep-2"}); r.status != 409 {
		t.Errorf("a name in use: %d", r.status)
	}
	for _, bad := range []obj{{"name": ""}, {"name": string(make([]byte, 201))}} {
		if r := o.call(t, "POST", path, bad); r.status != 422 {
			t.Errorf("a bad name: %d %s", r.status, r.body)
		}
	}
	contact := o.made(t, obj{"externalIds": []any{xid(id, "1")}})
	if r := o.call(t, "DELETE", path+"/"+id, nil); r.status != 204 || r.body != "" {
		t.Errorf("DELETE: %d %s", r.status, r.body)
	}
	if r := o.call(t, "GET", path+"/"+id, nil); r.status != 404 {
		t.Errorf("GET afterwards: %d", r.status)
	}
	if r := o.call(t, "GET", contactsPath+"/"+contact, nil); r.at(t, "externalIds", 0, "value") != "1" {
		t.Errorf("the contact lost its id: %s", r.body)
	}
}
