package genesystest

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lockstep/connectors/simulator"
)

func TestCreateShowsWhatIsStored(t *testing.T) {
	hand := newHandClock()
	o := start(t, Options{Clock: hand.now})
	source := o.source(t, "lockstep")
	r := o.call(t, "POST", contactsPath, obj{
		"firstName": "  Ada ", "lastName": "Byron", "title": " ", "workEmail": "Ada@Example.com",
		"workPhone": obj{"display": "(317) 555-0100"}, "address": obj{"city": "London", "state": nil},
		"externalIds": []any{xid(source, "C-1"), xid(source, "C-1")}, "surveyOptOut": false,
		"customFields": obj{"customer_status": "Active", "empty": nil}, "schema": obj{"id": "s1", "version": 1},
	})
	id, _ := r.at(t, "id").(string)
	want := obj{
		"id": id, "type": "Curated", "division": division(), "selfUri": "/api/v2/externalcontacts/contacts/" + id,
		"createDate": "2026-01-01T12:00:00.123Z", "modifyDate": "2026-01-01T12:00:00.123Z",
		"firstName": "Ada", "lastName": "Byron", "workEmail": "Ada@Example.com", "surveyOptOut": false,
		"workPhone": obj{
			"display": "+1 317-555-0100", "e164": "+13175550100", "countryCode": "US", "userInput": "(317) 555-0100",
		},
		"address": obj{"city": "London"},
		"externalIds": []any{obj{
			"externalSource": obj{"id": source, "selfUri": "/api/v2/externalcontacts/externalsources/" + source}, "value": "C-1",
		}},
		"customFields": obj{"customer_status": "Active"}, "schema": obj{"id": "s1", "version": 1.0},
	}
	if diff := cmp.Diff(any(want), r.json(t)); r.status != 200 || diff != "" {
		t.Errorf("%d (-want +got):\n%s", r.status, diff)
	}
	if diff := cmp.Diff(any(want), o.call(t, "GET", contactsPath+"/"+id, nil).json(t)); diff != "" {
		t.Errorf("GET (-want +got):\n%s", diff)
	}
	if r := o.call(t, "GET", contactsPath+"/"+id, nil); r.header.Get("ETag") != "" {
		t.Errorf("a contact has the tag %s", r.header.Get("ETag"))
	}
}

func TestFieldRulesOfContacts(t *testing.T) {
	o := start(t, Options{})
	source := o.source(t, "lockstep")
	var many []any
	for n := range 11 {
		many = append(many, xid(source, sprint(n)))
	}
	for name, c := range map[string]struct {
		field  string
		value  any
		status int
		field2 string // that the detail names
	}{
		"name":             {"firstName", strings.Repeat("é", 1000), 200, ""},
		"long name":        {"firstName", strings.Repeat("é", 1001), 422, "firstName"},
		"long address":     {"workEmail", strings.Repeat("a", 250) + "@b.co.uk", 422, "workEmail"},
		"bad address":      {"workEmail", "nonsense", 422, "workEmail"},
		"number":           {"firstName", 5, 400, ""},
		"text phone":       {"workPhone", "+13175550100", 400, ""},
		"e164":             {"workPhone", obj{"e164": "+13175550100"}, 200, ""},
		"e164 sans plus":   {"workPhone", obj{"e164": "13175550100"}, 422, "workPhone.e164"},
		"e164 nonsense":    {"workPhone", obj{"e164": "+12"}, 422, "workPhone.e164"},
		"only possible":    {"workPhone", obj{"e164": "+15550199888", "display": "+15550199888"}, 200, ""},
		"unreadable":       {"workPhone", obj{"display": "x 12"}, 200, ""},
		"odd phone member": {"workPhone", obj{"display": "1", "nope": 1}, 400, ""},
		"empty phone":      {"workPhone", obj{}, 200, ""},
		"box":              {"surveyOptOut", "yes", 400, ""},
		"odd address":      {"address", obj{"street": "x"}, 400, ""},
		"no schema":        {"customFields", obj{"a": 1}, 422, "schema"},
		"many ids":         {"externalIds", many, 422, "externalIds"},
		"ten ids":          {"externalIds", many[:10], 200, ""},
		"unknown source":   {"externalIds", []any{xid("x", "y")}, 422, "externalIds.externalSource"},
		"read-only":        {"modifyDate", "2026-01-01T00:00:00Z", 200, ""},
	} {
		r := o.call(t, "POST", contactsPath, obj{c.field: c.value})
		if r.status != c.status {
			t.Errorf("%s: %d %s", name, r.status, r.body)
			continue
		}
		if c.field2 != "" && r.at(t, "details", 0, "fieldName") != c.field2 {
			t.Errorf("%s names %v", name, r.at(t, "details"))
		}
	}
}

func TestPhones(t *testing.T) {
	o := start(t, Options{})
	for name, c := range map[string]struct{ in, want obj }{
		"national":   {obj{"display": "317 555 0100"}, obj{"display": "+1 317-555-0100", "e164": "+13175550100", "countryCode": "US", "userInput": "317 555 0100"}},
		"own region": {obj{"userInput": "020 7946 0958", "normalizationCountryCode": "GB"}, obj{"display": "+44 20 7946 0958", "e164": "+442079460958", "countryCode": "GB", "userInput": "020 7946 0958", "normalizationCountryCode": "GB"}},
		"both":       {obj{"display": "+1 317-555-0100", "e164": "+13175550100", "acceptsSMS": true}, obj{"display": "+1 317-555-0100", "e164": "+13175550100", "countryCode": "US", "acceptsSMS": true}},
		"connector":  {obj{"display": "+13175550100", "e164": "+13175550100"}, obj{"display": "+1 317-555-0100", "e164": "+13175550100", "countryCode": "US", "userInput": "+13175550100"}},
		"unreadable": {obj{"display": "desk 12"}, obj{"display": "desk 12", "userInput": "desk 12"}},
	} {
		id := o.made(t, obj{"workPhone": c.in})
		if diff := cmp.Diff(any(c.want), o.call(t, "GET", contactsPath+"/"+id, nil).at(t, "workPhone")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestPutClearsWhatIsNotSent(t *testing.T) {
	hand := newHandClock()
	o := start(t, Options{Clock: hand.now})
	id := o.made(t, obj{"firstName": "Ada", "lastName": "Byron", "workEmail": "ada@example.com"})
	hand.advance(time.Second)
	shown := o.call(t, "GET", contactsPath+"/"+id, nil).json(t).(obj)
	delete(shown, "workEmail")
	shown["lastName"] = "King"
	r := o.call(t, "PUT", contactsPath+"/"+id, shown) // with everything that was read, computed members too
	if r.status != 200 || r.at(t, "workEmail") != nil || r.at(t, "lastName") != "King" || r.at(t, "firstName") != "Ada" ||
		r.at(t, "modifyDate") != "2026-01-01T12:00:01.123Z" || r.at(t, "createDate") != "2026-01-01T12:00:00.123Z" {
		t.Errorf("%d %s", r.status, r.body)
	}
	effects := o.Effects()
	want := simulator.Effect{
		Object: "ExternalContact", ID: id, Op: "update",
		Fields: obj{"firstName": "Ada", "lastName": "King", "workEmail": nil},
		Before: obj{"firstName": "Ada", "lastName": "Byron", "workEmail": "ada@example.com"},
	}
	if diff := cmp.Diff(want, effects[len(effects)-1]); diff != "" {
		t.Errorf("the effect (-want +got):\n%s", diff)
	}
}

func TestPatch(t *testing.T) {
	o := start(t, Options{})
	source := o.source(t, "lockstep")
	base := obj{
		"firstName": "Ada", "workEmail": "ada@example.com", "address": obj{"city": "London", "state": "x"},
		"externalIds": []any{xid(source, "1")}, "customFields": obj{"a": "1", "b": "2"}, "schema": obj{"id": "s", "version": 1},
	}
	n := 0
	for name, c := range map[string]struct {
		changes []obj
		status  int
		field   string
		want    any
	}{
		"update":            {[]obj{{"field": "$.firstName", "value": "Bo", "action": "Update"}}, 200, "firstName", "Bo"},
		"unrooted":          {[]obj{{"field": "workEmail", "value": "a@b.co", "action": "Update"}}, 200, "workEmail", "a@b.co"},
		"if empty, full":    {[]obj{{"field": "$.firstName", "value": "Bo", "action": "UpdateIfEmpty"}}, 200, "firstName", "Ada"},
		"if empty, empty":   {[]obj{{"field": "$.lastName", "value": "Bo", "action": "UpdateIfEmpty"}}, 200, "lastName", "Bo"},
		"if exists, full":   {[]obj{{"field": "$.firstName", "value": "Bo", "action": "UpdateIfExists"}}, 200, "firstName", "Bo"},
		"if exists, empty":  {[]obj{{"field": "$.lastName", "value": "Bo", "action": "UpdateIfExists"}}, 200, "lastName", nil},
		"remove":            {[]obj{{"field": "$.firstName", "action": "Remove"}}, 200, "firstName", nil},
		"null":              {[]obj{{"field": "$.firstName", "value": nil, "action": "Update"}}, 200, "firstName", nil},
		"nested":            {[]obj{{"field": "$.address.city", "value": "Paris", "action": "Update"}}, 200, "address", obj{"city": "Paris", "state": "x"}},
		"nested removal":    {[]obj{{"field": "$.address.city", "action": "Remove"}}, 200, "address", obj{"state": "x"}},
		"custom":            {[]obj{{"field": "$.customFields.a", "value": "9", "action": "Update"}}, 200, "customFields", obj{"a": "9", "b": "2"}},
		"custom and schema": {[]obj{{"field": "customFields.a", "value": "9", "action": "Update"}, {"field": "schema", "value": obj{"id": "s", "version": 2}, "action": "Update"}}, 200, "schema", obj{"id": "s", "version": 2.0}},
		"append":            {[]obj{{"field": "$.externalIds", "value": []any{xid(source, "1"), xid(source, "N")}, "action": "AppendToCollection"}}, 200, "externalIds", 2},
		"take out":          {[]obj{{"field": "$.externalIds", "value": xid(source, "1"), "action": "RemoveFromCollection"}}, 200, "externalIds", nil},
		"phone":             {[]obj{{"field": "$.cellPhone", "value": obj{"display": "+13175550100", "e164": "+13175550100"}, "action": "Update"}}, 200, "workEmail", "ada@example.com"},
		"parent and child":  {[]obj{{"field": "$.address", "value": obj{"city": "x"}, "action": "Update"}, {"field": "$.address.state", "value": "y", "action": "Update"}}, 409, "firstName", "Ada"},
		"twice":             {[]obj{{"field": "$.firstName", "value": "x", "action": "Update"}, {"field": "$.firstName", "value": "y", "action": "Update"}}, 409, "firstName", "Ada"},
		"append to a text":  {[]obj{{"field": "$.firstName", "value": "x", "action": "AppendToCollection"}}, 400, "firstName", "Ada"},
		"unknown field":     {[]obj{{"field": "$.nope", "value": "x", "action": "Update"}}, 400, "firstName", "Ada"},
		"computed":          {[]obj{{"field": "$.modifyDate", "value": "x", "action": "Update"}}, 400, "firstName", "Ada"},
		"unknown action":    {[]obj{{"field": "$.firstName", "value": "x", "action": "Upsert"}}, 400, "firstName", "Ada"},
		"half valid":        {[]obj{{"field": "$.firstName", "value": "x", "action": "Update"}, {"field": "$.workEmail", "value": "bad", "action": "Update"}}, 422, "firstName", "Ada"},
		"nothing":           {[]obj{}, 400, "firstName", "Ada"},
	} {
		n++
		fields := clone(base)
		fields["externalIds"] = []any{xid(source, "1")}
		id := o.made(t, fields)
		r := o.call(t, "PATCH", contactsPath+"/"+id, obj{"changes": c.changes})
		if r.status != c.status {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		got := o.call(t, "GET", contactsPath+"/"+id, nil).at(t, c.field)
		if list, ok := got.([]any); ok {
			got = len(list)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		o.call(t, "DELETE", contactsPath+"/"+id, nil)
	}
	o.control(t, "POST", "/switches", `{"strict_paths":true}`)
	id := o.made(t, obj{"firstName": "Ada"})
	if r := o.call(t, "PATCH", contactsPath+"/"+id, obj{"changes": []obj{{"field": "firstName", "value": "x", "action": "Update"}}}); r.status != 400 {
		t.Errorf("a strict org takes an unrooted path: %d", r.status)
	}
}

func TestDelete(t *testing.T) {
	o := start(t, Options{})
	id := o.made(t, obj{"firstName": "Ada", "workEmail": "ada@example.com"})
	if r := o.call(t, "DELETE", contactsPath+"/"+id, nil); r.status != 200 || r.body != "" {
		t.Errorf("%d %s", r.status, r.body)
	}
	for _, method := range []string{"GET", "DELETE"} {
		if r := o.call(t, method, contactsPath+"/"+id, nil); r.status != 404 || r.at(t, "code") != "contact.not.found" {
			t.Errorf("%s afterwards: %d %s", method, r.status, r.body)
		}
	}
	if got := o.Record("ExternalContact", id); got["deleted"] != true {
		t.Errorf("the state shows %v", got)
	}
	if r := o.call(t, "POST", "/externalcontacts/identifierlookup/contacts", matchEmail("ada@example.com")); r.status != 404 {
		t.Errorf("a look-up finds the deleted: %d", r.status)
	}
}

// An identical write changes nothing, is no event, and says so in the journal.
func TestIdenticalWrite(t *testing.T) {
	hand := newHandClock()
	o := start(t, Options{Clock: hand.now})
	id := o.made(t, obj{"firstName": "Ada"})
	hand.advance(time.Minute)
	o.call(t, "PUT", contactsPath+"/"+id, obj{"firstName": " Ada "})
	effects := o.Effects()
	if !effects[1].Noop || effects[0].Noop {
		t.Errorf("the effects are %+v", effects)
	}
	if got := o.Record("ExternalContact", id)["modifyDate"]; got != "2026-01-01T12:00:00.123Z" {
		t.Errorf("modifyDate is %v", got)
	}
}

func TestNotesAndPromotion(t *testing.T) {
	o := start(t, Options{})
	source := o.source(t, "lockstep")
	r := o.call(t, "POST", enrichPath, obj{"matchingIdentifiers": []any{matchID(source, "1")}, "action": "Upsert", "contact": obj{}})
	id := r.at(t, "id").(string)
	if r.at(t, "type") != "Identified" {
		t.Errorf("an enriched contact is %v", r.at(t, "type"))
	}
	if r := o.call(t, "POST", contactsPath+"/"+id+"/promotion", nil); r.at(t, "type") != "Curated" {
		t.Errorf("promotion: %d %s", r.status, r.body)
	}
	if r := o.call(t, "POST", contactsPath+"/"+id+"/notes", obj{"noteText": "called"}); r.status != 200 || r.at(t, "noteText") != "called" {
		t.Errorf("note: %d %s", r.status, r.body)
	}
	if r := o.call(t, "POST", contactsPath+"/"+id+"/notes", obj{}); r.status != 422 {
		t.Errorf("an empty note: %d", r.status)
	}
	if r := o.call(t, "GET", contactsPath+"/"+id+"/notes", nil); r.at(t, "total") != 1.0 {
		t.Errorf("notes: %s", r.body)
	}
}
