package salesforcetest

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lockstep/connectors/simulator"
)

func TestHumanEdits(t *testing.T) {
	hand := newHandClock()
	o := start(t, Options{Clock: hand.now})
	o.control(t, "POST", "/clock", `{"skew_ms":60000}`)
	r := o.control(t, "POST", "/records/Contact", `{"LastName":"Byron","Email":"ada@example.com"}`)
	if r.status != 201 || r.at(t, "LastName") != "Byron" || r.at(t, "CreatedById") != DefaultHumanID ||
		r.at(t, "CreatedDate") != "2026-01-01T12:01:00.000+0000" {
		t.Fatalf("create: %d %s", r.status, r.body)
	}
	id := r.at(t, "Id").(string)
	r = o.control(t, "POST", "/records/Contact?user="+DefaultUserID, `{"Id":"`+id[:15]+`","Email":null,"Title":"Countess"}`)
	if r.status != 200 || r.at(t, "Email") != nil || r.at(t, "LastName") != "Byron" || r.at(t, "LastModifiedById") != DefaultUserID {
		t.Errorf("update: %d %s", r.status, r.body)
	}
	if r := o.control(t, "POST", "/records/Contact", `{"Email":"x"}`); r.status != 400 || r.code(t) != "INVALID_EMAIL_ADDRESS" {
		t.Errorf("a refusal: %d %s", r.status, r.body)
	}
	if r := o.control(t, "DELETE", "/records/Contact/"+id, ""); r.status != 204 {
		t.Errorf("delete: %d %s", r.status, r.body)
	}
	if r := o.control(t, "DELETE", "/records/Contact/"+id, ""); r.status != 404 {
		t.Errorf("delete again: %d %s", r.status, r.body)
	}
	for path, want := range map[string]int{
		"/state/Contact": 0, "/state/Contact?all=true": 1, "/state/Contact?id=" + id: 0, "/state/Contact?all=true&id=" + id[:15]: 1,
		"/state/User": 2,
	} {
		if got := len(o.control(t, "GET", path, "").json(t).([]any)); got != want {
			t.Errorf("%s shows %d records", path, got)
		}
	}
	if r := o.control(t, "GET", "/state/Nope", ""); r.status != 404 {
		t.Errorf("an unknown object: %d", r.status)
	}
	if r := o.control(t, "POST", "/records/Nope", `{}`); r.status != 404 {
		t.Errorf("a record of an unknown object: %d", r.status)
	}
	for _, e := range o.Journal()[1:] {
		if e.Kind != simulator.EntryEdit || e.Credential != "human" {
			t.Errorf("an edit is journaled as %+v", e)
		}
	}
}

// The concrete example of requirements R-119 names an account by 16 characters.
func TestExplicitIDOfAnyShape(t *testing.T) {
	o := start(t, Options{})
	const odd = "a1B2c3D4e5F6g7H8"
	if r := o.control(t, "POST", "/records/Account", `{"Id":"`+odd+`","Name":"Legacy","Customer_Status__c":"Active"}`); r.status != 201 || r.at(t, "Id") != odd {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if r := o.control(t, "POST", "/records/Account", `{"Id":"`+odd+`","Customer_Status__c":"Churned"}`); r.status != 200 {
		t.Errorf("update: %d %s", r.status, r.body)
	}
	if r := o.call(t, "GET", "/sobjects/Account/"+odd+"?fields=Customer_Status__c", nil); r.at(t, "Customer_Status__c") != "Churned" {
		t.Errorf("GET: %d %s", r.status, r.body)
	}
	if r := o.call(t, "PATCH", "/sobjects/Account/"+odd, map[string]any{"Phone": "1"}); r.status != 204 {
		t.Errorf("PATCH: %d %s", r.status, r.body)
	}
	if r := o.query(t, "SELECT Phone FROM Account WHERE Id = '"+odd+"'"); r.at(t, "records", 0, "Phone") != "1" {
		t.Errorf("query: %d %s", r.status, r.body)
	}
	r := o.call(t, "PATCH", "/composite/sobjects", map[string]any{"records": []any{row("Account", map[string]any{"Id": odd, "Phone": "2"})}})
	if r.at(t, 0, "id") != odd {
		t.Errorf("collection: %s", r.body)
	}
	contact := o.made(t, "Contact", map[string]any{"LastName": "x", "AccountId": odd})
	if got := o.Record("Contact", contact)["AccountId"]; got != odd {
		t.Errorf("a reference is %v", got)
	}
	// An id that the org would have made itself later does not collide.
	o.Put("Account", map[string]any{"Id": makeID("001", 3), "Name": "early"})
	if id := o.made(t, "Account", map[string]any{"Name": "next"}); id == makeID("001", 3) {
		t.Error("two accounts have one id")
	}
}

func TestManyRecordsAtOnce(t *testing.T) {
	o := start(t, Options{})
	r := o.control(t, "POST", "/records/Contact", ` [{"LastName":"A"},{"LastName":"B"}]`)
	if r.status != 201 || r.at(t, 1, "LastName") != "B" {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestHumanMerge(t *testing.T) {
	o, h := hooked(t, Options{}, "")
	winner := o.Put("Contact", map[string]any{"LastName": "Byron", "Ext_Id__c": "C-1"})["Id"].(string)
	loser := o.Put("Contact", map[string]any{"LastName": "Byron", "FirstName": "Ada", "Email": "ada@example.com", "Customer_Number__c": "7"})["Id"].(string)
	r := o.control(t, "POST", "/records/Contact/merge", `{"ids":["`+winner+`","`+loser+`"]}`)
	if r.status != 200 || r.at(t, "Id") != winner || r.at(t, "FirstName") != "Ada" || r.at(t, "Customer_Number__c") != "7" || r.at(t, "Ext_Id__c") != "C-1" {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if got := o.Record("Contact", loser); got["IsDeleted"] != true || got["MasterRecordId"] != winner {
		t.Errorf("the loser is %v", got)
	}
	if r := o.call(t, "PATCH", "/sobjects/Contact/"+loser, map[string]any{"LastName": "x"}); r.code(t) != "ENTITY_IS_DELETED" {
		t.Errorf("the loser answers %d %s", r.status, r.body)
	}
	kinds := []string{}
	for _, d := range h.wait(t, 4) {
		kinds = append(kinds, d.body[15:21])
	}
	if got := strings.Join(kinds, " "); strings.Count(got, "CREATE") != 2 || strings.Count(got, "DELETE") != 1 || strings.Count(got, "UPDATE") != 1 {
		t.Errorf("the events are %s", got)
	}
	if r := o.control(t, "POST", "/records/Contact/merge", `{"ids":["`+winner+`"]}`); r.status != 400 {
		t.Errorf("a merge of one: %d", r.status)
	}
	if r := o.control(t, "POST", "/records/Contact/merge", `{"ids":["`+winner+`","`+loser+`"]}`); r.status != 404 {
		t.Errorf("a merge with a deleted one: %d %s", r.status, r.body)
	}
	if got := o.Record("Contact", winner)["Change_Seq__c"]; got != 2.0 {
		t.Errorf("a failed merge left a trace: %v", got)
	}
}

// What a request wrote, what it replaced, and under which key, is in the journal.
func TestEffects(t *testing.T) {
	o := start(t, Options{})
	path := "/sobjects/Contact/Ext_Id__c/C-1"
	o.call(t, "PATCH", path, map[string]any{"LastName": "A", "Credit_Limit__c": 5})
	o.call(t, "PATCH", path, map[string]any{"LastName": "B", "Credit_Limit__c": nil}, "Idempotency-Key", "k-1")
	o.call(t, "PATCH", path, map[string]any{"LastName": "B"})
	o.call(t, "PATCH", path, map[string]any{"Email": "bad"})
	id := o.Records("Contact")[0]["Id"].(string)
	o.call(t, "DELETE", "/sobjects/Contact/"+id, nil)
	want := []simulator.Effect{
		{Object: "Contact", ID: id, Op: "create", Fields: map[string]any{"LastName": "A", "Credit_Limit__c": 5.0, "Ext_Id__c": "C-1"}, Key: "C-1"},
		{Object: "Contact", ID: id, Op: "update", Fields: map[string]any{"LastName": "B", "Credit_Limit__c": nil}, Before: map[string]any{"LastName": "A", "Credit_Limit__c": 5.0}, Key: "k-1"},
		{Object: "Contact", ID: id, Op: "update", Fields: map[string]any{"LastName": "B"}, Before: map[string]any{"LastName": "B"}, Noop: true, Key: "C-1"},
		{Object: "Contact", ID: id, Op: "delete", Key: "C-1"},
	}
	if diff := cmp.Diff(want, o.Effects()); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}

// A write that changes nothing still moves the stamps, as in Salesforce, but neither the sequence nor the receivers.
func TestIdenticalWrite(t *testing.T) {
	hand := newHandClock()
	o, h := hooked(t, Options{Clock: hand.now}, "")
	id := o.made(t, "Contact", map[string]any{"LastName": "A"})
	hand.advance(time.Second)
	o.call(t, "PATCH", "/sobjects/Contact/"+id, map[string]any{"LastName": "A"})
	got := o.Record("Contact", id)
	if got["SystemModstamp"] != "2026-01-01T12:00:01.000+0000" || got["Change_Seq__c"] != 1.0 {
		t.Errorf("the record is %v", got)
	}
	o.Put("Contact", map[string]any{"Id": id, "LastName": "B"})
	h.wait(t, 2)
}

func TestNewRefusesNonsense(t *testing.T) {
	for name, o := range map[string]Options{
		"secret":       {WebhookSecret: "x"},
		"switch":       {Switches: Switches{DuplicateRule: "x"}},
		"type":         {Fields: map[string][]Field{"Contact": {{Name: "A__c", Type: "x"}}}},
		"twice":        {Fields: map[string][]Field{"Contact": {{Name: "lastname", Type: "string"}}}},
		"other object": {Fields: map[string][]Field{"Nope": {{Name: "A__c", Type: "string"}}}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

func TestDeclaredObjectsAndFields(t *testing.T) {
	o := start(t, Options{
		Objects: []Object{{Name: "Ticket__c", Prefix: "a0T", Fields: []Field{{Name: "Number__c", Type: "double", ExternalID: true, Unique: true}}}},
		Fields:  map[string][]Field{"Contact": {{Name: "VIP__c", Type: "boolean"}}},
	})
	if r := o.call(t, "PATCH", "/sobjects/Ticket__c/Number__c/7", map[string]any{}); r.status != 201 || !strings.HasPrefix(r.at(t, "id").(string), "a0T") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := o.call(t, "PATCH", "/sobjects/Ticket__c/Number__c/7.0", map[string]any{}); r.status != 200 {
		t.Errorf("a number is its own key: %d %s", r.status, r.body)
	}
	if r := o.call(t, "PATCH", "/sobjects/Ticket__c/Number__c/8", map[string]any{}); r.status != 201 {
		t.Errorf("another number: %d %s", r.status, r.body)
	}
	id := o.made(t, "Contact", map[string]any{"LastName": "A"})
	if got := o.Record("Contact", id); got["VIP__c"] != false {
		t.Errorf("a checkbox is %v", got["VIP__c"])
	}
	if r := o.call(t, "POST", "/sobjects/Contact", map[string]any{"LastName": "A", "Ext_Id__c": "x"}); r.code(t) != "INVALID_FIELD" {
		t.Errorf("the demo's field is declared anyway: %s", r.body)
	}
}
