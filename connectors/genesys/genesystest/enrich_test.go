package genesystest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lockstep/connectors/simulator"
)

func TestEnrichActions(t *testing.T) {
	for name, c := range map[string]struct {
		action string
		match  []string // "A" the contact with id A, "B" the one with e-mail b, "?" nobody
		status int
		code   string
		hit    string // whose firstName changes, "new" for a new contact
	}{
		"upsert finds":         {"Upsert", []string{"A"}, 200, "", "A"},
		"upsert makes":         {"Upsert", []string{"?"}, 201, "", "new"},
		"in order":             {"Upsert", []string{"?", "B", "A"}, 200, "", "B"},
		"other order":          {"upsert", []string{"A", "B"}, 200, "", "A"},
		"update finds":         {"Update", []string{"B"}, 200, "", "B"},
		"update finds nobody":  {"Update", []string{"?"}, 404, "contact.not.found", ""},
		"insert makes":         {"Insert", []string{"?"}, 201, "", "new"},
		"insert finds":         {"Insert", []string{"?", "A"}, 409, "general.conflict", ""},
		"merge of one":         {"Merge", []string{"A"}, 200, "", "A"},
		"merge of two":         {"Merge", []string{"A", "B"}, 200, "", "new"},
		"merge of nobody":      {"Merge", []string{"?"}, 201, "", "new"},
		"unknown action":       {"Delete", []string{"A"}, 400, "invalid.value", ""},
		"no identifiers":       {"Upsert", nil, 422, "validation.failed", ""},
		"too many identifiers": {"Upsert", make([]string, 26), 422, "validation.failed", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := start(t, Options{})
			source := o.source(t, "lockstep")
			a := o.made(t, obj{"firstName": "A", "externalIds": []any{xid(source, "A")}})
			b := o.made(t, obj{"firstName": "B", "workEmail": "b@example.com"})
			matching := []any{}
			for _, m := range c.match {
				matching = append(matching, map[string]obj{
					"A": matchID(source, "A"), "B": matchEmail("B@example.com"), "?": matchID(source, "?"), "": matchID(source, "x"),
				}[m])
			}
			r := o.call(t, "POST", enrichPath+"?dryRun=false", obj{
				"id": "op-1", "matchingIdentifiers": matching, "action": c.action, "contact": obj{"firstName": "New", "lastName": "L"},
			})
			if r.status != c.status || c.code != "" && r.at(t, "code") != c.code {
				t.Fatalf("%d %s", r.status, r.body)
			}
			first := func(id string) string { s, _ := o.Record("ExternalContact", id)["firstName"].(string); return s }
			want := map[string]string{a: "A", b: "B"}
			switch c.hit {
			case "A":
				want[a] = "New"
			case "B":
				want[b] = "New"
			case "new":
				id := r.at(t, "id").(string)
				if id == a || id == b || first(id) != "New" {
					t.Errorf("made %s", r.body)
				}
			}
			for id, name := range want {
				if got := first(id); got != name {
					t.Errorf("a contact is called %s, want %s", got, name)
				}
			}
		})
	}
}

func TestEnrichClaimsWhatItMatches(t *testing.T) {
	o := start(t, Options{})
	source := o.source(t, "lockstep")
	other := o.made(t, obj{"firstName": "Other", "workEmail": "other@example.com"})
	r := o.call(t, "POST", enrichPath, obj{
		"matchingIdentifiers": []any{matchID(source, "1"), matchPhone("+13175550100")}, "action": "Upsert",
		"contact": obj{"firstName": "Ada"}, "options": obj{"promote": true},
	})
	id := r.at(t, "id").(string)
	if r.status != 201 || r.at(t, "type") != "Curated" || r.at(t, "externalIds", 0, "value") != "1" {
		t.Errorf("%d %s", r.status, r.body)
	}
	for _, m := range []obj{matchID(source, "1"), matchPhone("+13175550100")} {
		if r := o.call(t, "POST", lookupPath, m); r.at(t, "id") != id {
			t.Errorf("%v finds %s", m, r.body)
		}
	}
	// What another owns stays where it is.
	r = o.call(t, "POST", enrichPath, obj{
		"matchingIdentifiers": []any{matchID(source, "1"), matchEmail("other@example.com")}, "action": "Update", "contact": obj{"title": "x"},
	})
	if r.status != 200 || r.at(t, "id") != id {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := o.call(t, "POST", lookupPath, matchEmail("other@example.com")); r.at(t, "id") != other {
		t.Errorf("the address moved: %s", r.body)
	}
}

func TestFieldRules(t *testing.T) {
	o := start(t, Options{})
	source := o.source(t, "lockstep")
	ids := func(values ...string) []any {
		out := []any{}
		for _, v := range values {
			out = append(out, xid(source, v))
		}
		return out
	}
	base := obj{
		"firstName": "Ada", "lastName": "Byron", "address": obj{"city": "London", "state": "x"}, "customFields": obj{"a": "1", "b": "2"},
		"schema": obj{"id": "s", "version": 1},
	}
	for name, c := range map[string]struct {
		contact obj
		rules   obj
		status  int
		want    obj // of the fields that it names
	}{
		"default":            {obj{"firstName": "Bo", "lastName": nil, "title": "T"}, nil, 200, obj{"firstName": "Bo", "lastName": "Byron", "title": "T"}},
		"always":             {obj{"firstName": "Bo"}, obj{"defaultAction": "AlwaysUseProvided"}, 200, obj{"firstName": "Bo", "lastName": nil, "address": nil}},
		"existing":           {obj{"firstName": "Bo", "title": "T"}, obj{"defaultAction": "PreferExisting"}, 200, obj{"firstName": "Ada", "title": "T"}},
		"one field":          {obj{"firstName": "Bo", "lastName": "King"}, obj{"rules": []obj{{"field": "firstName", "action": "PreferExisting"}}}, 200, obj{"firstName": "Ada", "lastName": "King"}},
		"one field cleared":  {obj{"lastName": "King"}, obj{"rules": []obj{{"field": "$.firstName", "action": "AlwaysUseProvided"}}}, 200, obj{"firstName": nil, "lastName": "King"}},
		"nested":             {obj{"address": obj{"city": "Paris", "address1": "1"}}, obj{"rules": []obj{{"field": "$.address.city", "action": "PreferExisting"}}}, 200, obj{"address": obj{"city": "London", "state": "x", "address1": "1"}}},
		"custom, by key":     {obj{"customFields": obj{"a": "9"}, "schema": obj{"id": "s", "version": 1}}, nil, 200, obj{"customFields": obj{"a": "9", "b": "2"}}},
		"fill":               {obj{"externalIds": ids("2", "3")}, nil, 200, obj{"externalIds": 3}},
		"fill to the bound":  {obj{"externalIds": ids("2", "3", "4", "5", "6", "7", "8", "9", "10", "11")}, obj{"defaultArrayAction": "Fill"}, 200, obj{"externalIds": 10}},
		"extend":             {obj{"externalIds": ids("2")}, obj{"defaultArrayAction": "Extend"}, 200, obj{"externalIds": 2}},
		"extend, too far":    {obj{"externalIds": ids("2", "3", "4", "5", "6", "7", "8", "9", "10", "11")}, obj{"defaultArrayAction": "Extend"}, 422, nil},
		"replace":            {obj{"externalIds": ids("2")}, obj{"rules": []obj{{"field": "$.externalIds", "arrayAction": "Replace"}}}, 200, obj{"externalIds": 2}}, // the matched one is claimed again
		"unknown action":     {obj{}, obj{"defaultAction": "Maybe"}, 400, nil},
		"unknown array":      {obj{}, obj{"defaultArrayAction": "Maybe"}, 400, nil},
		"unknown rule":       {obj{}, obj{"rules": []obj{{"field": "$.nope", "action": "PreferExisting"}}}, 400, nil},
		"unknown rule value": {obj{}, obj{"rules": []obj{{"field": "$.title", "action": "Maybe"}}}, 400, nil},
		"invalid contact":    {obj{"workEmail": "bad"}, nil, 422, nil},
	} {
		fields := clone(base)
		fields["externalIds"] = ids("1")
		id := o.made(t, fields)
		request := obj{"matchingIdentifiers": []any{matchID(source, "1")}, "action": "Update", "contact": c.contact}
		if c.rules != nil {
			request["fieldRules"] = c.rules
		}
		r := o.call(t, "POST", enrichPath, request)
		if r.status != c.status {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		got := o.Record("ExternalContact", id)
		for field, want := range c.want {
			have := got[field]
			if list, ok := have.([]any); ok {
				have = len(list)
			}
			if diff := cmp.Diff(want, have); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", name, field, diff)
			}
		}
		o.call(t, "DELETE", contactsPath+"/"+id, nil)
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	o := start(t, Options{})
	source := o.source(t, "lockstep")
	id := o.made(t, obj{"firstName": "Ada", "externalIds": []any{xid(source, "1")}})
	other := o.made(t, obj{"firstName": "Bo", "workEmail": "bo@example.com"})
	before := len(o.Effects())
	for _, c := range []struct {
		action string
		match  []any
		status int
		id     any
	}{
		{"Update", []any{matchID(source, "1")}, 200, id}, {"Upsert", []any{matchID(source, "2")}, 201, nil},
		{"Merge", []any{matchID(source, "1"), matchEmail("bo@example.com")}, 200, nil},
	} {
		r := o.call(t, "POST", enrichPath+"?dryRun=true", obj{"matchingIdentifiers": c.match, "action": c.action, "contact": obj{"lastName": "L"}})
		if r.status != c.status || r.at(t, "id") != c.id || r.at(t, "lastName") != "L" {
			t.Errorf("%s: %d %s", c.action, r.status, r.body)
		}
	}
	if n := len(o.Effects()); n != before {
		t.Errorf("%d effects", n-before)
	}
	if len(o.Records("ExternalContact")) != 2 || o.Record("ExternalContact", id)["lastName"] != nil || o.Record("ExternalContact", other) == nil {
		t.Errorf("the org holds %v", o.Records("ExternalContact"))
	}
	last := o.Requests()
	if last[len(last)-1].Status != 200 {
		t.Errorf("%+v", last[len(last)-1])
	}
}

func TestBulkEnrich(t *testing.T) {
	o := start(t, Options{})
	source := o.source(t, "lockstep")
	id := o.made(t, obj{"firstName": "A", "externalIds": []any{xid(source, "1")}})
	op := func(tracker, action, value string, contact obj) obj {
		return obj{"id": tracker, "matchingIdentifiers": []any{matchID(source, value)}, "action": action, "contact": contact}
	}
	r := o.call(t, "POST", bulkPath+"/enrich", obj{"entities": []any{
		op("0", "Update", "1", obj{"lastName": "L"}), op("1", "Update", "nope", obj{"lastName": "L"}),
		op("2", "Upsert", "2", obj{"firstName": "N"}), op("3", "Update", "1", obj{"workEmail": "bad"}),
		op("4", "Update", "1", obj{"externalIds": []any{xid(source, "2")}}),
	}})
	if r.status != 200 || r.at(t, "errorCount") != 3.0 || sprint(r.at(t, "errorIndexes")) != "[1 3 4]" {
		t.Fatalf("%d %s", r.status, r.body)
	}
	for i, want := range []float64{200, 404, 201, 422, 409} {
		item := r.at(t, "results", i).(obj)
		if item["id"] != sprint(i) || item["status"] != want || item["success"] != (want < 300) {
			t.Errorf("item %d is %v", i, item)
		}
		if want >= 300 {
			failure := item["error"].(obj)
			if failure["status"] != want || failure["retryable"] != false || failure["entity"].(obj)["id"] != sprint(i) || failure["details"] == nil {
				t.Errorf("item %d fails with %v", i, failure)
			}
		}
	}
	if got := r.at(t, "results", 0, "entity", "id"); got != id {
		t.Errorf("the first entity is %v", got)
	}
	var eleven []any
	for n := range 11 {
		eleven = append(eleven, op(sprint(n), "Upsert", sprint(n), obj{}))
	}
	for _, entities := range [][]any{eleven, {}} {
		if r := o.call(t, "POST", bulkPath+"/enrich", obj{"entities": entities}); r.status != 422 {
			t.Errorf("%d operations: %d %s", len(entities), r.status, r.body)
		}
	}
	if r := o.call(t, "POST", bulkPath+"/enrich", obj{"entities": eleven[:10]}); r.status != 200 {
		t.Errorf("10 operations: %d", r.status)
	}
}

func TestItemFaults(t *testing.T) {
	o := start(t, Options{})
	source := o.source(t, "lockstep")
	var ops []any
	for n := range 4 {
		ops = append(ops, obj{"id": sprint(n), "matchingIdentifiers": []any{matchID(source, "K"+sprint(n))}, "action": "Upsert", "contact": obj{"firstName": "x"}})
	}
	no := false
	one := 1
	o.Inject(simulator.Fault{Kind: "item", Index: &one, Code: 429, BodyCode: "too.many.requests", Count: 1})
	o.Inject(simulator.Fault{Kind: "item", RecordID: "K3", Code: 409, Retryable: &no, Field: "firstName", Count: 1})
	r := o.call(t, "POST", bulkPath+"/enrich", obj{"entities": ops})
	first, second := r.at(t, "results", 1, "error").(obj), r.at(t, "results", 3, "error").(obj)
	if first["status"] != 429.0 || first["code"] != "too.many.requests" || first["retryable"] != true {
		t.Errorf("the first fails with %v", first)
	}
	if second["status"] != 409.0 || second["code"] != "general.conflict" || second["retryable"] != false || !strings.Contains(sprint(second["details"]), "firstName") {
		t.Errorf("the second fails with %v", second)
	}
	if r.at(t, "results", 1, "id") != "1" || r.at(t, "errorCount") != 2.0 {
		t.Errorf("%s", r.body)
	}
	if n := len(o.Records("ExternalContact")); n != 2 {
		t.Errorf("%d contacts were made", n)
	}
}

func TestBulkOverContacts(t *testing.T) {
	o := start(t, Options{})
	source := o.source(t, "lockstep")
	r := o.call(t, "POST", bulkPath+"/add", obj{"entities": []any{
		obj{"firstName": "A", "externalIds": []any{xid(source, "1")}}, obj{"workEmail": "bad"}, obj{"externalIds": []any{xid(source, "1")}},
	}})
	if sprint(r.at(t, "errorIndexes")) != "[1 2]" || r.at(t, "results", 2, "status") != 409.0 {
		t.Errorf("add: %s", r.body)
	}
	id := r.at(t, "results", 0, "id").(string)
	r = o.call(t, "POST", bulkPath+"/update", obj{"entities": []any{obj{"id": id, "lastName": "L"}, obj{"id": "nope", "lastName": "L"}}})
	if r.at(t, "results", 0, "entity", "firstName") != nil || r.at(t, "results", 0, "entity", "lastName") != "L" || r.at(t, "results", 1, "status") != 404.0 {
		t.Errorf("update: %s", r.body)
	}
	r = o.call(t, "POST", bulkPath, obj{"entities": []any{obj{"id": id}, obj{"id": "nope"}}})
	if r.at(t, "results", 0, "entity", "id") != id || r.at(t, "results", 1, "error", "code") != "contact.not.found" || r.at(t, "results", 1, "id") != "nope" {
		t.Errorf("read: %s", r.body)
	}
	r = o.call(t, "POST", bulkPath+"/remove", obj{"entities": []any{obj{"id": id}, obj{"id": id}}})
	if r.at(t, "results", 0, "success") != true || r.at(t, "results", 1, "status") != 404.0 {
		t.Errorf("remove: %s", r.body)
	}
	for _, path := range []string{"", "/add", "/update", "/remove", "/unresolved"} {
		if r := o.call(t, "POST", bulkPath+path, obj{"entities": []any{}}); r.status != 422 {
			t.Errorf("%s of nothing: %d", path, r.status)
		}
	}
}

func TestEffectsOfEnrich(t *testing.T) {
	o := start(t, Options{})
	source := o.source(t, "lockstep")
	enrich := func(contact obj, headers ...string) {
		o.call(t, "POST", enrichPath, obj{"matchingIdentifiers": []any{matchID(source, "C-1")}, "action": "Upsert", "contact": contact}, headers...)
	}
	enrich(obj{"firstName": "Ada"})
	enrich(obj{"firstName": "Bo", "lastName": nil}, "Idempotency-Key", "k-1")
	enrich(obj{"firstName": "Bo"})
	id := o.Records("ExternalContact")[0]["id"].(string)
	ids := []any{xid(source, "C-1")}
	want := []simulator.Effect{
		{Object: "ExternalContact", ID: id, Op: "create", Fields: obj{"firstName": "Ada", "externalIds": ids}, Key: "C-1"},
		{Object: "ExternalContact", ID: id, Op: "update", Fields: obj{"firstName": "Bo", "lastName": nil}, Before: obj{"firstName": "Ada", "lastName": nil}, Key: "k-1"},
		{Object: "ExternalContact", ID: id, Op: "update", Fields: obj{"firstName": "Bo"}, Before: obj{"firstName": "Bo"}, Noop: true, Key: "C-1"},
	}
	if diff := cmp.Diff(want, o.Effects()); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}
