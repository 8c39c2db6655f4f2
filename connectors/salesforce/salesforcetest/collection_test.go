package salesforcetest

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"lockstep/connectors/simulator"
)

func row(object string, fields map[string]any) map[string]any {
	out := map[string]any{"attributes": map[string]string{"type": object}}
	for name, value := range fields {
		out[name] = value
	}
	return out
}

func TestCollectionUpdate(t *testing.T) {
	o := start(t, Options{})
	a := o.made(t, "Contact", map[string]any{"LastName": "A"})
	gone := o.made(t, "Contact", map[string]any{"LastName": "G"})
	o.call(t, "DELETE", "/sobjects/Contact/"+gone, nil)
	account := o.made(t, "Account", map[string]any{"Name": "Acme"})
	r := o.call(t, "PATCH", "/composite/sobjects", map[string]any{"allOrNone": false, "records": []any{
		row("Contact", map[string]any{"id": a, "LastName": "A2"}), // jsforce spells it so
		row("Contact", map[string]any{"Id": gone, "LastName": "x"}),
		row("Contact", map[string]any{"Id": makeID("003", 99), "LastName": "x"}),
		row("Contact", map[string]any{"Id": "nonsense", "LastName": "x"}),
		row("Contact", map[string]any{"LastName": "x"}),
		row("Contact", map[string]any{"Id": a, "Nope__c": "x"}),
		row("Contact", map[string]any{"Id": a, "Email": "x"}),
		row("Account", map[string]any{"Id": account, "Name": "Acme 2"}),
		row("Nope", map[string]any{"Id": account}),
		map[string]any{"Id": account},
	}})
	if r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	for i, want := range []string{
		"", "ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "MALFORMED_ID", "MISSING_ARGUMENT", "INVALID_FIELD",
		"INVALID_EMAIL_ADDRESS", "", "INVALID_TYPE", "INVALID_TYPE",
	} {
		item := r.at(t, i).(map[string]any)
		if (item["success"] == true) != (want == "") {
			t.Errorf("item %d: %v", i, item)
			continue
		}
		if want != "" {
			failure := item["errors"].([]any)[0].(map[string]any)
			if _, wrong := failure["errorCode"]; failure["statusCode"] != want || wrong || failure["fields"] == nil {
				t.Errorf("item %d: %v, want %s", i, failure, want)
			}
		}
	}
	if !strings.HasPrefix(r.body, `[{"id":"`+a+`","success":true,"errors":[]},`) {
		t.Errorf("the first item is %.90s", r.body)
	}
	if o.Record("Contact", a)["LastName"] != "A2" || o.Record("Account", account)["Name"] != "Acme 2" {
		t.Error("a good item was not written")
	}
}

func TestCollectionUpsert(t *testing.T) {
	o := start(t, Options{})
	o.made(t, "Account", map[string]any{"Name": "old", "Ext_Id__c": "B"})
	// As jsforce sends it (connectors.md 10.1).
	r := o.call(t, "PATCH", "/composite/sobjects/Account/Ext_Id__c",
		`{"allOrNone":false,"records":[{"Ext_Id__c":"A","attributes":{"type":"Account"},"Name":"1"},{"Ext_Id__c":"B","attributes":{"type":"Account"},"Name":"2"}]}`)
	want := `[{"id":"001xx0000000002AAA","success":true,"errors":[],"created":true},{"id":"001xx0000000001AAA","success":true,"errors":[],"created":false}]`
	if r.status != 200 || r.body != want {
		t.Errorf("%d %s", r.status, r.body)
	}
	r = o.call(t, "PATCH", "/composite/sobjects/Account/Ext_Id__c", map[string]any{"records": []any{
		row("Account", map[string]any{"Ext_Id__c": "C", "Name": "3"}),
		row("Account", map[string]any{"Ext_Id__c": "c", "Name": "4"}), // the same key: case does not count
		row("Account", map[string]any{"Name": "5"}),
		row("Contact", map[string]any{"Ext_Id__c": "D", "LastName": "6"}),
		row("Account", map[string]any{"Ext_Id__c": "E"}),
	}})
	for i, want := range []string{"DUPLICATE_VALUE", "DUPLICATE_VALUE", "MISSING_ARGUMENT", "INVALID_TYPE", "REQUIRED_FIELD_MISSING"} {
		if got := r.at(t, i, "errors", 0, "statusCode"); got != want {
			t.Errorf("item %d: %v, want %s", i, got, want)
		}
	}
	o.made(t, "Account", map[string]any{"Name": "x", "Customer_Number__c": "7"})
	o.made(t, "Account", map[string]any{"Name": "y", "Customer_Number__c": "7"})
	r = o.call(t, "PATCH", "/composite/sobjects/Account/Customer_Number__c", map[string]any{"records": []any{
		row("Account", map[string]any{"Customer_Number__c": "7", "Name": "z"}),
	}})
	if got := r.at(t, 0, "errors", 0, "statusCode"); got != "DUPLICATE_EXTERNAL_ID" {
		t.Errorf("several matches: %s", r.body)
	}
	r = o.call(t, "PATCH", "/composite/sobjects/Account/Id", map[string]any{"records": []any{
		row("Account", map[string]any{"Id": "001xx0000000001AAA", "Name": "by id"}), row("Account", map[string]any{"Name": "new"}),
	}})
	if r.at(t, 0, "created") != false || r.at(t, 1, "created") != true {
		t.Errorf("by id: %s", r.body)
	}
	if r := o.call(t, "PATCH", "/composite/sobjects/Account/Name", `{"records":[]}`); r.status != 404 {
		t.Errorf("no key: %d %s", r.status, r.body)
	}
}

func TestCollectionBounds(t *testing.T) {
	o := start(t, Options{})
	var rows []any
	var ids []string
	for n := range 200 {
		rows = append(rows, row("Account", map[string]any{"Name": sprint(n)}))
	}
	r := o.call(t, "POST", "/composite/sobjects", map[string]any{"records": rows})
	if r.status != 200 {
		t.Fatalf("200 records: %d %s", r.status, r.body)
	}
	for _, item := range r.json(t).([]any) {
		ids = append(ids, item.(map[string]any)["id"].(string))
	}
	rows = append(rows, row("Account", map[string]any{"Name": "x"}))
	for _, c := range []struct {
		method, path string
		body         any
	}{
		{"POST", "/composite/sobjects", map[string]any{"records": rows}},
		{"PATCH", "/composite/sobjects", map[string]any{"records": rows}},
		{"PATCH", "/composite/sobjects/Account/Ext_Id__c", map[string]any{"records": rows}},
		{"DELETE", "/composite/sobjects?ids=" + strings.Join(append(ids, ids[0]), ","), nil},
		{"POST", "/composite/sobjects/Account", map[string]any{"ids": make([]string, 2001), "fields": []string{"Id"}}},
	} {
		if r := o.call(t, c.method, c.path, c.body); r.status != 400 || r.code(t) != "EXCEEDED_ID_LIMIT" {
			t.Errorf("%s %.40s: %d %.200s", c.method, c.path, r.status, r.body)
		}
	}
	if n := len(o.Records("Account")); n != 200 {
		t.Errorf("%d accounts", n)
	}
	r = o.call(t, "DELETE", "/composite/sobjects/?ids="+strings.Join(ids, ",")+"&allOrNone=true", nil)
	if r.status != 200 || len(r.json(t).([]any)) != 200 || len(o.Records("Account")) != 0 {
		t.Errorf("deleting all: %d", r.status)
	}
}

func TestAllOrNone(t *testing.T) {
	o := start(t, Options{})
	id := o.made(t, "Contact", map[string]any{"LastName": "A"})
	before := len(o.Effects())
	r := o.call(t, "PATCH", "/composite/sobjects", map[string]any{"allOrNone": true, "records": []any{
		row("Contact", map[string]any{"Id": id, "LastName": "B"}), row("Contact", map[string]any{"Id": id, "Email": "x"}),
	}})
	if r.at(t, 0, "errors", 0, "statusCode") != "ALL_OR_NONE_OPERATION_ROLLED_BACK" || r.at(t, 1, "errors", 0, "statusCode") != "INVALID_EMAIL_ADDRESS" {
		t.Errorf("%s", r.body)
	}
	if o.Record("Contact", id)["LastName"] != "A" || len(o.Effects()) != before {
		t.Error("the good item stayed written")
	}
	o.call(t, "PATCH", "/composite/sobjects", map[string]any{"allOrNone": true, "records": []any{
		row("Contact", map[string]any{"Id": id, "LastName": "B"}), row("Contact", map[string]any{"Id": id, "LastName": "C"}),
		row("Contact", map[string]any{"Id": id, "Email": "x"}),
	}})
	if got := o.Record("Contact", id); got["LastName"] != "A" || got["Change_Seq__c"] != 1.0 {
		t.Errorf("two changes of one record are taken back to %v", got)
	}
	o.call(t, "POST", "/composite/sobjects", map[string]any{"allOrNone": true, "records": []any{
		row("Contact", map[string]any{"LastName": "N", "Ext_Id__c": "N"}), row("Contact", map[string]any{}),
	}})
	if n := len(o.Records("Contact")); n != 1 {
		t.Errorf("%d contacts after the rollback", n)
	}
	if r := o.query(t, "SELECT Id FROM Contact WHERE Ext_Id__c = 'N'"); r.at(t, "totalSize") != 0.0 {
		t.Errorf("the index still knows the rolled back record: %s", r.body)
	}
}

func TestRetrieveMany(t *testing.T) {
	o := start(t, Options{})
	a := o.made(t, "Contact", map[string]any{"LastName": "A"})
	gone := o.made(t, "Contact", map[string]any{"LastName": "G"})
	o.call(t, "DELETE", "/sobjects/Contact/"+gone, nil)
	odd := o.Put("Account", map[string]any{"Id": "a1B2c3D4e5F6g7H8", "Name": "Legacy"})["Id"].(string)
	body := map[string]any{"ids": []string{a[:15], makeID("003", 9), gone, "x"}, "fields": []string{"id", "lastname"}}
	want := `[{"attributes":{"type":"Contact","url":"/services/data/v62.0/sobjects/Contact/` + a + `"},"Id":"` + a + `","LastName":"A"},null,null,null]`
	if r := o.call(t, "POST", "/composite/sobjects/Contact", body); r.status != 200 || r.body != want {
		t.Errorf("POST: %d %s", r.status, r.body)
	}
	get := "/composite/sobjects/Contact?ids=" + a + "," + gone + "&fields=" + url.QueryEscape("Id,LastName")
	if r := o.call(t, "GET", get, nil); r.status != 200 || r.at(t, 1) != nil || r.at(t, 0, "LastName") != "A" {
		t.Errorf("GET: %d %s", r.status, r.body)
	}
	for name, c := range map[string]struct{ path, body, code string }{
		"unknown field": {"/composite/sobjects/Contact", `{"ids":["x"],"fields":["Nope"]}`, "INVALID_FIELD"},
		"no fields":     {"/composite/sobjects/Contact", `{"ids":["x"]}`, "MISSING_ARGUMENT"},
		"checksum":      {"/composite/sobjects/Contact", `{"ids":["003xx0000000001AAZ"],"fields":["Id"]}`, "MALFORMED_ID"},
		"object":        {"/composite/sobjects/Nope", `{"ids":["x"],"fields":["Id"]}`, "NOT_FOUND"},
	} {
		if r := o.call(t, "POST", c.path, c.body); r.code(t) != c.code {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	r := o.call(t, "POST", "/composite/sobjects/Account", map[string]any{"ids": []string{odd}, "fields": []string{"Id", "Name"}})
	if r.at(t, 0, "Id") != odd {
		t.Errorf("the 16-character id: %s", r.body)
	}
}

func TestItemFaults(t *testing.T) {
	o := start(t, Options{})
	var rows []any
	for n := range 4 {
		rows = append(rows, row("Account", map[string]any{"Ext_Id__c": "K" + sprint(n), "Name": "n"}))
	}
	one := 1
	o.Inject(simulator.Fault{Kind: simulator.FaultItem, Index: &one, Count: 1})
	o.Inject(simulator.Fault{Kind: simulator.FaultItem, RecordID: "K3", BodyCode: "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", Field: "Name", Count: 1})
	send := func() reply {
		return o.call(t, "PATCH", "/composite/sobjects/Account/Ext_Id__c", map[string]any{"records": rows})
	}
	r := send()
	for i, want := range []any{nil, "UNABLE_TO_LOCK_ROW", nil, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"} {
		if want == nil && r.at(t, i, "success") != true || want != nil && r.at(t, i, "errors", 0, "statusCode") != want {
			t.Errorf("item %d: %v", i, r.at(t, i))
		}
	}
	if got := fmt.Sprint(r.at(t, 3, "errors", 0, "fields")); got != "[Name]" {
		t.Errorf("the fields are %s", got)
	}
	requests := o.Requests()
	if last := requests[len(requests)-1]; last.Fault != simulator.FaultItem || len(last.Effects) != 2 {
		t.Errorf("the journal says %+v", last)
	}
	if r := send(); r.at(t, 1, "created") != true || r.at(t, 3, "created") != true {
		t.Errorf("the second time: %s", r.body)
	}
}

func TestComposite(t *testing.T) {
	o := start(t, Options{})
	// The example of connectors.md 2.6 with a read of what it wrote.
	r := o.call(t, "POST", "/composite", `{"allOrNone":true,"collateSubrequests":false,"compositeRequest":[
		{"method":"PATCH","url":"/services/data/v62.0/sobjects/Account/Ext_Id__c/A1","referenceId":"acc","body":{"Name":"Acme \"x\""}},
		{"method":"POST","url":"/services/data/v62.0/sobjects/Case","referenceId":"case","body":{"AccountId":"@{acc.id}","Subject":"s"}},
		{"method":"GET","url":"/services/data/v62.0/query?q=SELECT+Id,Account.Name+FROM+Case+WHERE+Id='@{case.id}'","referenceId":"find"},
		{"method":"GET","url":"/services/data/v62.0/sobjects/Account/@{acc.id}?fields=Name","referenceId":"read"},
		{"method":"PATCH","url":"/services/data/v62.0/sobjects/Case/@{find.records[0].Id}","referenceId":"note","body":{"Description":"for @{read.Name}"}}]}`)
	if r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	for i, want := range []int{201, 201, 200, 200, 204} {
		part := r.at(t, "compositeResponse", i).(map[string]any)
		if part["httpStatusCode"] != float64(want) || part["httpHeaders"] == nil {
			t.Errorf("part %d: %v", i, part)
		}
	}
	if got := r.at(t, "compositeResponse", 0, "httpHeaders", "Location"); got != "/services/data/v62.0/sobjects/Account/001xx0000000001AAA" {
		t.Errorf("Location is %v", got)
	}
	if got := r.at(t, "compositeResponse", 4, "body"); got != nil {
		t.Errorf("an empty answer is %v", got)
	}
	c := o.Records("Case")[0]
	if c["AccountId"] != "001xx0000000001AAA" || c["Description"] != `for Acme "x"` {
		t.Errorf("the case is %v", c)
	}
	calls := o.Requests()
	if last := calls[len(calls)-1]; len(last.Effects) != 3 {
		t.Errorf("one entry holds %d effects", len(last.Effects))
	}
	if got := r.header.Get("Sforce-Limit-Info"); got != "api-usage=1/15000" {
		t.Errorf("a composite call costs %s", got)
	}
}

func TestCompositeFailures(t *testing.T) {
	o := start(t, Options{})
	parts := func(allOrNone bool) map[string]any {
		return map[string]any{"allOrNone": allOrNone, "compositeRequest": []any{
			map[string]any{"method": "POST", "url": "/services/data/v62.0/sobjects/Account", "referenceId": "a", "body": map[string]any{"Name": "A"}},
			map[string]any{"method": "POST", "url": "/services/data/v62.0/sobjects/Contact", "referenceId": "b", "body": map[string]any{"Email": "Not a real email address"}},
			map[string]any{"method": "POST", "url": "/services/data/v62.0/sobjects/Contact", "referenceId": "c", "body": map[string]any{"LastName": "@{b.id}"}},
			map[string]any{"method": "GET", "url": "/services/data/v62.0/limits", "referenceId": "d"},
		}}
	}
	r := o.call(t, "POST", "/composite", parts(false))
	for i, want := range []string{"", "INVALID_EMAIL_ADDRESS", "PROCESSING_HALTED", ""} {
		status := r.at(t, "compositeResponse", i, "httpStatusCode")
		if want == "" && status.(float64) >= 300 || want != "" && (status != 400.0 || r.at(t, "compositeResponse", i, "body", 0, "errorCode") != want) {
			t.Errorf("part %d: %v", i, r.at(t, "compositeResponse", i))
		}
	}
	if len(o.Records("Account")) != 1 {
		t.Error("the good part was not written")
	}
	r = o.call(t, "POST", "/composite", parts(true))
	for i, want := range []string{"PROCESSING_HALTED", "INVALID_EMAIL_ADDRESS", "PROCESSING_HALTED", "PROCESSING_HALTED"} {
		if got := r.at(t, "compositeResponse", i, "body", 0, "errorCode"); got != want {
			t.Errorf("all or none, part %d: %v", i, got)
		}
	}
	if len(o.Records("Account")) != 1 {
		t.Error("all or none left a part behind")
	}
}

func TestCompositeBounds(t *testing.T) {
	o := start(t, Options{})
	of := func(n int, url string) map[string]any {
		parts := []any{}
		for i := range n {
			parts = append(parts, map[string]any{"method": "GET", "url": url, "referenceId": "r" + sprint(i)})
		}
		return map[string]any{"compositeRequest": parts}
	}
	const limits, query = "/services/data/v62.0/limits", "/services/data/v62.0/query?q=SELECT+Id+FROM+Contact"
	for name, c := range map[string]struct {
		body   any
		status int
	}{
		"25 parts": {of(25, limits), 200}, "26 parts": {of(26, limits), 400}, "5 queries": {of(5, query), 200}, "6 queries": {of(6, query), 400},
		"same reference": {`{"compositeRequest":[{"method":"GET","url":"` + limits + `","referenceId":"a"},{"method":"GET","url":"` + limits + `","referenceId":"a"}]}`, 400},
		"odd reference":  {`{"compositeRequest":[{"method":"GET","url":"` + limits + `","referenceId":"a-b"}]}`, 400},
		"no reference":   {`{"compositeRequest":[{"method":"GET","url":"` + limits + `"}]}`, 400},
		"none":           {`{"compositeRequest":[]}`, 200},
	} {
		if r := o.call(t, "POST", "/composite", c.body); r.status != c.status {
			t.Errorf("%s: %d %.200s", name, r.status, r.body)
		}
	}
	for url, want := range map[string]float64{
		"/services/data/v62.0/nope": 404, "/nope": 404, "/services/data/v99.0/limits": 404, "/services/data/v62.0/sobjects/Contact/Ext_Id__c/x": 404,
	} {
		r := o.call(t, "POST", "/composite", of(1, url))
		if got := r.at(t, "compositeResponse", 0, "httpStatusCode"); got != want {
			t.Errorf("%s: %v", url, got)
		}
	}
	for path, want := range map[string]float64{"/sobjects/Contact/describe": 200, "/sobjects/Contact": 200, "/search?q=FIND%20%7Babc%7D": 200} {
		r := o.call(t, "POST", "/composite", of(1, "/services/data/v62.0"+path))
		if got := r.at(t, "compositeResponse", 0, "httpStatusCode"); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
	nested := o.call(t, "POST", "/composite", `{"compositeRequest":[{"method":"POST","url":"/services/data/v62.0/composite","referenceId":"a","body":{"compositeRequest":[]}}]}`)
	if got := nested.at(t, "compositeResponse", 0, "httpStatusCode"); got != 400.0 {
		t.Errorf("a composite in a composite: %v", got)
	}
	r := o.call(t, "POST", "/composite", `{"compositeRequest":[{"method":"PUT","url":"`+limits+`","referenceId":"a"}]}`)
	if got := r.at(t, "compositeResponse", 0, "httpStatusCode"); got != 405.0 {
		t.Errorf("a method that does not fit: %v", got)
	}
}

// A composite call that only reads is a read to a fault, one that writes is a write.
func TestCompositeClass(t *testing.T) {
	o := start(t, Options{})
	o.Inject(simulator.Fault{Kind: simulator.FaultStatus, Code: 503, Class: simulator.ClassRead})
	read := `{"compositeRequest":[{"method":"GET","url":"/services/data/v62.0/limits","referenceId":"a"}]}`
	write := `{"compositeRequest":[{"method":"POST","url":"/services/data/v62.0/sobjects/Account","referenceId":"a","body":{"Name":"x"}}]}`
	if r := o.call(t, "POST", "/composite", read); r.status != 503 || r.code(t) != "SERVER_UNAVAILABLE" {
		t.Errorf("the read: %d %s", r.status, r.body)
	}
	if r := o.call(t, "POST", "/composite", write); r.status != 200 {
		t.Errorf("the write: %d %s", r.status, r.body)
	}
}
