package salesforcetest

import (
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lockstep/connectors/simulator"
)

func TestIDs(t *testing.T) {
	if got := makeID("003", 1); got != "003xx0000000001AAA" {
		t.Errorf("the first contact is %s", got)
	}
	// From Salesforce's own documentation.
	if got := "001xx000003DGb1" + checksum("001xx000003DGb1"); got != "001xx000003DGb1AAG" {
		t.Errorf("the checksum makes %s", got)
	}
	for id, want := range map[string]string{
		"001xx000003DGb1": "001xx000003DGb1AAG", "001xx000003DGb1AAG": "001xx000003DGb1AAG", "001xx000003DGb1AAA": "",
		"a1B2c3D4e5F6g7H8": "", "": "", "001xx000003DGb-": "",
	} {
		if got, ok := fullID(id); ok != (want != "") || ok && got != want {
			t.Errorf("%q is long %q, %v", id, got, ok)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Uint64Range(1, 1<<40).Draw(t, "a"), rapid.Uint64Range(1, 1<<40).Draw(t, "b")
		ia, ib := makeID("001", a), makeID("001", b)
		if (a == b) != (ia == ib) || (a < b) != (ia[:15] < ib[:15]) {
			t.Fatalf("%d is %s, %d is %s", a, ia, b, ib)
		}
		if full, ok := fullID(ia[:15]); !ok || full != ia {
			t.Fatalf("%s is not found by its short form", ia)
		}
	})
}

func TestUpsertByVersion(t *testing.T) {
	for _, c := range []struct {
		version         string
		created, update string // the bodies, X for the id
		status          int    // of the update
	}{
		{"v62.0", `{"id":"X","success":true,"errors":[],"created":true}`, `{"id":"X","success":true,"errors":[],"created":false}`, 200},
		{"v46.0", `{"id":"X","success":true,"errors":[],"created":true}`, `{"id":"X","success":true,"errors":[],"created":false}`, 200},
		{"v45.0", `{"id":"X","success":true,"errors":[]}`, ``, 204},
	} {
		o := start(t, Options{})
		path := "/services/data/" + c.version + "/sobjects/Account/Ext_Id__c/E%201%2F2"
		r := o.call(t, "PATCH", path, map[string]any{"Name": "Acme"})
		id := o.Records("Account")[0]["Id"].(string)
		if r.status != 201 || strings.ReplaceAll(r.body, id, "X") != c.created {
			t.Errorf("%s creates with %d %s", c.version, r.status, r.body)
		}
		if want := "/services/data/" + c.version + "/sobjects/Account/" + id; r.header.Get("Location") != want {
			t.Errorf("%s: Location %s", c.version, r.header.Get("Location"))
		}
		r = o.call(t, "PATCH", path, map[string]any{"Name": "Acme 2"})
		if r.status != c.status || strings.ReplaceAll(r.body, id, "X") != c.update {
			t.Errorf("%s updates with %d %s", c.version, r.status, r.body)
		}
		got := o.Records("Account")
		if len(got) != 1 || got[0]["Ext_Id__c"] != "E 1/2" || got[0]["Name"] != "Acme 2" {
			t.Errorf("%s: the org holds %v", c.version, got)
		}
	}
}

func TestUpsertCorners(t *testing.T) {
	o := start(t, Options{})
	o.made(t, "Account", map[string]any{"Name": "A", "Customer_Number__c": "7"})
	o.made(t, "Account", map[string]any{"Name": "B", "Customer_Number__c": "7"})
	for name, c := range map[string]struct {
		path, body string
		status     int
		want       string
	}{
		"several match":     {"/sobjects/Account/Customer_Number__c/7", `{}`, 300, `["/services/data/v62.0/sobjects/Account/001xx0000000001AAA","/services/data/v62.0/sobjects/Account/001xx0000000002AAA"]`},
		"no external id":    {"/sobjects/Account/Name/A", `{}`, 404, "Provided external ID field does not exist or is not accessible: Name"},
		"no such field":     {"/sobjects/Account/Nope__c/A", `{}`, 404, "NOT_FOUND"},
		"no such object":    {"/sobjects/Nope/Ext_Id__c/A", `{}`, 404, "The requested resource does not exist"},
		"key in the body":   {"/sobjects/Account/Ext_Id__c/A", `{"Ext_Id__c":"A","Name":"n"}`, 400, "The Ext_Id__c field should not be specified in the sobject data."},
		"id in the body":    {"/sobjects/Account/Ext_Id__c/A", `{"Id":"001xx0000000001AAA"}`, 400, "The Id field should not be specified"},
		"unescaped slash":   {"/sobjects/Account/Ext_Id__c/NEW%201/a", `{"Name":"Acme"}`, 404, "NOT_FOUND"},
		"update only":       {"/sobjects/Account/Ext_Id__c/A?updateOnly=true", `{"Name":"n"}`, 404, "NOT_FOUND"},
		"incomplete":        {"/sobjects/Account/Ext_Id__c/A", `{}`, 400, `"Required fields are missing: [Name]","errorCode":"REQUIRED_FIELD_MISSING","fields":["Name"]`},
		"not JSON":          {"/sobjects/Account/Ext_Id__c/A", `{"Name":`, 400, "JSON_PARSER_ERROR"},
		"behind the JSON":   {"/sobjects/Account/Ext_Id__c/A", `{"Name":"x"}}`, 400, "JSON_PARSER_ERROR"},
		"version unknown":   {"/services/data/v99.0/sobjects/Account/Ext_Id__c/A", `{}`, 404, "NOT_FOUND"},
		"version malformed": {"/services/data/62/sobjects/Account/Ext_Id__c/A", `{}`, 404, "NOT_FOUND"},
		"version retired":   {"/services/data/v20.0/sobjects/Account/Ext_Id__c/A", `{}`, 410, "UNSUPPORTED_API_VERSION"},
	} {
		r := o.call(t, "PATCH", c.path, c.body)
		if r.status != c.status || !strings.Contains(r.body, c.want) {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	if n := len(o.Records("Account")); n != 2 {
		t.Errorf("a refusal left %d accounts", n)
	}
}

// A value that is written is read back; what the org refuses says why.
func TestFieldRules(t *testing.T) {
	o := start(t, Options{})
	account := o.made(t, "Account", map[string]any{"Name": "A", "Ext_Id__c": "A1"})
	long := strings.Repeat("x", 81)
	for name, c := range map[string]struct {
		field string
		value any
		want  any // what is read back
		code  string
		part  string // of the error
	}{
		"text":              {"FirstName", "Ada", "Ada", "", ""},
		"blanks":            {"FirstName", "  Ada ", "Ada", "", ""},
		"empty":             {"FirstName", "", nil, "", ""},
		"emoji":             {"FirstName", "Zoë 🙂", "Zoë 🙂", "", ""},
		"number as text":    {"Title", 5, "5", "", ""},
		"any case":          {"FIRSTNAME", "Ada", "Ada", "", ""},
		"e-mail keeps case": {"Email", "Ada@Example.com", "Ada@Example.com", "", ""},
		"phone is free":     {"Phone", "(317) 555-0100 ext. 7", "(317) 555-0100 ext. 7", "", ""},
		"double":            {"Credit_Limit__c", 5000, "5000.0", "", ""},
		"double as text":    {"Credit_Limit__c", "12.5", "12.5", "", ""},
		"large double":      {"Credit_Limit__c", 350000000, "3.5E8", "", ""},
		"datetime":          {"Last_Support_Interaction__c", "2026-01-01T02:00:00.987+02:00", "2026-01-01T00:00:00.000+0000", "", ""},
		"date":              {"Birthdate", "1815-12-10", "1815-12-10", "", ""},
		"reference, short":  {"AccountId", account[:15], account, "", ""},
		"relationship":      {"Account", map[string]any{"Ext_Id__c": "a1"}, account, "", ""},
		"no relationship":   {"Account", nil, nil, "", ""},
		"checkbox":          {"DoNotCall", true, true, "", ""},

		"too long":          {"LastName", long, nil, "STRING_TOO_LONG", "Last Name: data value too large: " + long + " (max length=80)"},
		"bad e-mail":        {"Email", "ada@nowhere", nil, "INVALID_EMAIL_ADDRESS", "Email: invalid email address: ada@nowhere"},
		"required emptied":  {"LastName", nil, nil, "REQUIRED_FIELD_MISSING", "[LastName]"},
		"unknown field":     {"Nope__c", 1, nil, "INVALID_FIELD", "No such column 'Nope__c' on sobject of type Contact"},
		"computed":          {"Name", "Ada", nil, "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: Name."},
		"stamp":             {"SystemModstamp", "2026-01-01T00:00:00Z", nil, "INVALID_FIELD_FOR_INSERT_UPDATE", "SystemModstamp"},
		"text for a number": {"Credit_Limit__c", "much", nil, "JSON_PARSER_ERROR", "double"},
		"bad datetime":      {"Last_Support_Interaction__c", "yesterday", nil, "JSON_PARSER_ERROR", "datetime"},
		"bad date":          {"Birthdate", "10/12/1815", nil, "JSON_PARSER_ERROR", "date"},
		"text for a box":    {"DoNotCall", "yes", nil, "JSON_PARSER_ERROR", "boolean"},
		"object for a text": {"FirstName", map[string]any{}, nil, "JSON_PARSER_ERROR", "START_OBJECT"},
		"wrong prefix":      {"AccountId", "003xx0000000001AAA", nil, "MALFORMED_ID", "Account ID: id value of incorrect type"},
		"no id":             {"AccountId", "A1", nil, "MALFORMED_ID", "Account ID"},
		"nobody":            {"AccountId", makeID("001", 99), nil, "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", ""},
		"unknown key":       {"Account", map[string]any{"Ext_Id__c": "Z"}, nil, "INVALID_FIELD", "Foreign key external ID: Z not found for field Ext_Id__c in entity Account"},
	} {
		id := o.made(t, "Contact", map[string]any{"LastName": "Byron"})
		r := o.call(t, "PATCH", "/sobjects/Contact/"+id, map[string]any{c.field: c.value})
		if c.code != "" {
			if r.status != 400 || r.code(t) != c.code || !strings.Contains(r.body, c.part) {
				t.Errorf("%s: %d %s", name, r.status, r.body)
			}
			continue
		}
		if r.status != 204 {
			t.Errorf("%s: %d %s", name, r.status, r.body)
			continue
		}
		field := c.field
		if field == "Account" {
			field = "AccountId"
		}
		r = o.call(t, "GET", "/sobjects/Contact/"+id+"?fields="+field, nil)
		shown, _ := c.want.(string)
		if !strings.Contains(r.body, shown) || c.want == nil && !strings.Contains(strings.ToLower(r.body), strings.ToLower(field)+`":null`) {
			t.Errorf("%s reads back %s, want %v", name, r.body, c.want)
		}
	}
}

func TestJavaDoubles(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0.0", 7: "7.0", -1.5: "-1.5", 0.001: "0.001", 0.0001: "1.0E-4", 9999999: "9999999.0", 1e7: "1.0E7", 3.5e8: "3.5E8",
		12345678.9: "1.23456789E7",
	} {
		if got := javaDouble(v); got != want {
			t.Errorf("%v is spelt %s, want %s", v, got, want)
		}
	}
}

func TestCreateAnswersAndDefaults(t *testing.T) {
	o := start(t, Options{})
	r := o.call(t, "POST", "/sobjects/Case", map[string]any{"Subject": "Card declined", "Genesys_Conversation__c": "9a1b"})
	if r.status != 201 || r.body != `{"id":"500xx0000000001AAA","success":true,"errors":[]}` {
		t.Errorf("create answers %d %s", r.status, r.body)
	}
	if got := r.header.Get("Location"); got != "/services/data/v62.0/sobjects/Case/500xx0000000001AAA" {
		t.Errorf("Location is %s", got)
	}
	c := o.Record("Case", "500xx0000000001AAA")
	for name, want := range map[string]any{
		"CaseNumber": "00001001", "Status": "New", "Priority": "Medium", "IsClosed": false, "OwnerId": DefaultUserID,
		"CreatedById": DefaultUserID, "Change_Seq__c": 1.0, "ClosedDate": nil,
	} {
		if c[name] != want {
			t.Errorf("%s is %v, want %v", name, c[name], want)
		}
	}
	stamp := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000\+0000$`)
	for _, name := range []string{"CreatedDate", "LastModifiedDate", "SystemModstamp"} {
		if !stamp.MatchString(c[name].(string)) {
			t.Errorf("%s is %v", name, c[name])
		}
	}
	o.call(t, "PATCH", "/sobjects/Case/500xx0000000001AAA", map[string]any{"Status": "Closed"})
	if c := o.Record("Case", "500xx0000000001AAA"); c["IsClosed"] != true || c["ClosedDate"] == nil || c["Change_Seq__c"] != 2.0 {
		t.Errorf("the closed case is %v", c)
	}
}

func TestMissingAndDeletedRecords(t *testing.T) {
	o := start(t, Options{})
	id := o.made(t, "Contact", map[string]any{"LastName": "Byron", "Ext_Id__c": "C-1"})
	if r := o.call(t, "DELETE", "/sobjects/Contact/"+id, nil); r.status != 204 || r.body != "" {
		t.Fatalf("delete answers %d %s", r.status, r.body)
	}
	for _, c := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/sobjects/Contact/" + id, 404, "NOT_FOUND"},
		{"PATCH", "/sobjects/Contact/" + id, 404, "ENTITY_IS_DELETED"},
		{"DELETE", "/sobjects/Contact/" + id, 404, "ENTITY_IS_DELETED"},
		{"GET", "/sobjects/Contact/Ext_Id__c/C-1", 404, "NOT_FOUND"},
		{"PATCH", "/sobjects/Contact/" + makeID("003", 77), 404, "NOT_FOUND"},
		{"GET", "/sobjects/Contact/" + makeID("001", 77), 400, "MALFORMED_ID"},
		{"GET", "/sobjects/Contact/nonsense", 404, "NOT_FOUND"},
		{"GET", "/sobjects/Contact/003xx0000000001AAZ", 400, "MALFORMED_ID"},
		{"PUT", "/sobjects/Contact/" + id, 405, "METHOD_NOT_ALLOWED"},
		{"POST", "/sobjects/Contact/" + id, 405, "METHOD_NOT_ALLOWED"},
		{"GET", "/chatter/feeds", 501, "NOT_SIMULATED"},
	} {
		r := o.call(t, c.method, c.path, map[string]any{})
		if r.status != c.status || r.code(t) != c.code {
			t.Errorf("%s %s: %d %s", c.method, c.path, r.status, r.body)
		}
	}
	if got := o.Record("Contact", id); got["IsDeleted"] != true {
		t.Errorf("the recycle bin holds %v", got)
	}
	if r := o.call(t, "PATCH", "/sobjects/Contact/Ext_Id__c/C-1", map[string]any{"LastName": "New"}); r.status != 201 {
		t.Errorf("the deleted record's key is not free: %d %s", r.status, r.body)
	}
}

func TestInsertUnderIdAsKey(t *testing.T) {
	o := start(t, Options{})
	if r := o.call(t, "POST", "/sobjects/Account/Id", map[string]any{"Name": "A"}); r.status != 201 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestRetrieveByKey(t *testing.T) {
	o := start(t, Options{})
	id := o.made(t, "Contact", map[string]any{"LastName": "Byron", "Ext_Id__c": "a/b c", "Email": "ada@example.com"})
	r := o.call(t, "GET", "/sobjects/Contact/Ext_Id__c/a%2Fb%20c?fields=Id,Email", nil)
	want := `{"attributes":{"type":"Contact","url":"/services/data/v62.0/sobjects/Contact/` + id + `"},"Id":"` + id + `","Email":"ada@example.com"}`
	if r.status != 200 || r.body != want {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := o.call(t, "GET", "/sobjects/Contact/"+id[:15]+"?fields=Nope", nil); r.status != 400 || r.code(t) != "INVALID_FIELD" {
		t.Errorf("an unknown field answers %d %s", r.status, r.body)
	}
	o.made(t, "Contact", map[string]any{"LastName": "X", "Customer_Number__c": "1"})
	o.made(t, "Contact", map[string]any{"LastName": "Y", "Customer_Number__c": "1"})
	if r := o.call(t, "GET", "/sobjects/Contact/Customer_Number__c/1", nil); r.status != 300 || len(r.json(t).([]any)) != 2 {
		t.Errorf("two matches answer %d %s", r.status, r.body)
	}
	if r := o.call(t, "DELETE", "/sobjects/Contact/Customer_Number__c/1", nil); r.status != 300 {
		t.Errorf("deleting one of two answers %d", r.status)
	}
}

func TestConditionalRequests(t *testing.T) {
	hand := newHandClock()
	o := start(t, Options{Clock: hand.now})
	contact := o.made(t, "Contact", map[string]any{"LastName": "Byron"})
	account := o.made(t, "Account", map[string]any{"Name": "Acme"})
	now, before := hand.now().Format(http.TimeFormat), hand.now().Add(-time.Second).Format(http.TimeFormat)
	read := o.call(t, "GET", "/sobjects/Account/"+account, nil)
	tag := read.header.Get("ETag")
	if !regexp.MustCompile(`^"[A-Za-z0-9+/=]+--gzip"$`).MatchString(tag) {
		t.Errorf("the account's tag is %s", tag)
	}
	if read.header.Get("Last-Modified") != now {
		t.Errorf("Last-Modified is %s", read.header.Get("Last-Modified"))
	}
	if got := o.call(t, "GET", "/sobjects/Contact/"+contact, nil).header.Get("ETag"); got != "" {
		t.Errorf("a contact has the tag %s", got)
	}
	for name, c := range map[string]struct {
		method, path, header, value string
		status                      int
	}{
		"write, same second":       {"PATCH", "/sobjects/Contact/" + contact, "If-Unmodified-Since", now, 204},
		"write, modified":          {"PATCH", "/sobjects/Contact/" + contact, "If-Unmodified-Since", before, 412},
		"upsert, modified":         {"PATCH", "/sobjects/Contact/Id/" + contact, "If-Unmodified-Since", before, 412},
		"invalid date":             {"PATCH", "/sobjects/Contact/" + contact, "If-Unmodified-Since", "now", 400},
		"tag of a contact":         {"PATCH", "/sobjects/Contact/" + contact, "If-Match", `"other"`, 204},
		"right tag":                {"GET", "/sobjects/Account/" + account, "If-Match", tag, 200},
		"wrong tag":                {"PATCH", "/sobjects/Account/" + account, "If-Match", `"other"`, 412},
		"unwanted tag":             {"PATCH", "/sobjects/Account/" + account, "If-None-Match", tag, 412},
		"known tag":                {"GET", "/sobjects/Account/" + account, "If-None-Match", `"x", ` + tag, 304},
		"read, not modified":       {"GET", "/sobjects/Contact/" + contact, "If-Modified-Since", now, 304},
		"read, modified":           {"GET", "/sobjects/Contact/" + contact, "If-Modified-Since", before, 200},
		"read, unmodified":         {"GET", "/sobjects/Contact/" + contact, "If-Unmodified-Since", before, 412},
		"read, invalid date":       {"GET", "/sobjects/Contact/" + contact, "If-Modified-Since", "x", 400},
		"write ignores mod. since": {"PATCH", "/sobjects/Contact/" + contact, "If-Modified-Since", now, 204},
	} {
		var body any
		if c.method == "PATCH" {
			body = map[string]any{}
		}
		r := o.call(t, c.method, c.path, body, c.header, c.value)
		if r.status != c.status || (c.status == 412 || c.status == 304) && r.body != "" {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	o.call(t, "PATCH", "/sobjects/Account/"+account, map[string]any{"Name": "Acme 2"})
	if r := o.call(t, "PATCH", "/sobjects/Account/"+account, map[string]any{"Name": "x"}, "If-Match", tag); r.status != 412 {
		t.Errorf("the tag did not change with the record: %d", r.status)
	}
}

func TestUniqueExternalID(t *testing.T) {
	o := start(t, Options{})
	first := o.made(t, "Contact", map[string]any{"LastName": "A", "Ext_Id__c": "C-1"})
	r := o.call(t, "POST", "/sobjects/Contact", map[string]any{"LastName": "B", "Ext_Id__c": "c-1"})
	want := "duplicate value found: Ext_Id__c duplicates value on record with id: " + first
	if r.status != 400 || r.code(t) != "DUPLICATE_VALUE" || r.at(t, 0, "message") != want {
		t.Errorf("%d %s", r.status, r.body)
	}
	second := o.made(t, "Contact", map[string]any{"LastName": "B", "Ext_Id__c": "C-2"})
	if r := o.call(t, "PATCH", "/sobjects/Contact/"+second, map[string]any{"Ext_Id__c": "C-1"}); r.code(t) != "DUPLICATE_VALUE" {
		t.Errorf("%d %s", r.status, r.body)
	}
	o.made(t, "Contact", map[string]any{"LastName": "C", "Customer_Number__c": "9"})
	o.made(t, "Contact", map[string]any{"LastName": "D", "Customer_Number__c": "9"})
	o.control(t, "POST", "/switches", `{"unique_customer_number":true}`)
	if r := o.call(t, "POST", "/sobjects/Contact", map[string]any{"LastName": "E", "Customer_Number__c": "9"}); r.code(t) != "DUPLICATE_VALUE" {
		t.Errorf("the switch does not make it unique: %s", r.body)
	}
}

// However many clients upsert one key at once, one record comes of it and the journal shows one create.
func TestUpsertRace(t *testing.T) {
	o := start(t, Options{})
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for i := range 10 {
				r := o.call(t, "PATCH", "/sobjects/Contact/Ext_Id__c/C-"+sprint(i), map[string]any{"LastName": "L" + sprint(n)})
				if r.status != 200 && r.status != 201 {
					t.Errorf("%d %s", r.status, r.body)
				}
			}
		})
	}
	all.Wait()
	if n := len(o.Records("Contact")); n != 10 {
		t.Errorf("%d contacts of 10 keys", n)
	}
	creates := 0
	for _, e := range o.Effects() {
		if e.Op == simulator.OpCreate {
			creates++
		}
	}
	if creates != 10 {
		t.Errorf("%d creates are journaled", creates)
	}
}

func TestDuplicateRule(t *testing.T) {
	o := start(t, Options{})
	first := o.made(t, "Contact", map[string]any{"LastName": "A", "Email": "ada@example.com"})
	double := map[string]any{"LastName": "B", "Email": "ADA@example.com"}
	o.control(t, "POST", "/switches", `{"duplicate_rule":"alert"}`)
	r := o.call(t, "POST", "/sobjects/Contact", double)
	if r.status != 400 || r.code(t) != "DUPLICATES_DETECTED" || r.at(t, 0, "message") != "Use one of these records?" {
		t.Fatalf("%d %s", r.status, r.body)
	}
	result := r.at(t, 0, "duplicateResult").(map[string]any)
	if result["allowSave"] != true || result["duplicateRule"] != "Standard_Contact_Duplicate_Rule" {
		t.Errorf("the result is %v", result)
	}
	if got := r.at(t, 0, "duplicateResult", "matchResults", 0, "matchRecords", 0, "record", "Id"); got != first {
		t.Errorf("it names %v", got)
	}
	const header, allow = "Sforce-Duplicate-Rule-Header", "allowSave=true; includeRecordDetails=true; runAsCurrentUser=true"
	if r := o.call(t, "POST", "/sobjects/Contact", double, header, allow); r.status != 201 {
		t.Errorf("allowSave answers %d %s", r.status, r.body)
	}
	o.control(t, "POST", "/switches", `{"duplicate_rule":"block"}`)
	r = o.call(t, "POST", "/sobjects/Contact", double, header, allow)
	if r.code(t) != "DUPLICATES_DETECTED" || r.at(t, 0, "duplicateResult", "allowSave") != false {
		t.Errorf("a blocking rule answers %d %s", r.status, r.body)
	}
	if r := o.call(t, "PATCH", "/sobjects/Contact/"+first, map[string]any{"Email": "ada@example.com"}); r.status != 204 {
		t.Errorf("a record is its own duplicate: %s", r.body)
	}
	r = o.call(t, "POST", "/composite/sobjects", map[string]any{"records": []any{
		map[string]any{"attributes": map[string]string{"type": "Contact"}, "LastName": "B", "Email": "ada@example.com"},
	}})
	if got := r.at(t, 0, "errors", 0, "statusCode"); got != "DUPLICATES_DETECTED" {
		t.Errorf("in a collection: %s", r.body)
	}
	if r := o.control(t, "POST", "/switches", `{"duplicate_rule":"x"}`); r.status != 400 {
		t.Errorf("an unknown rule answers %d", r.status)
	}
}

func TestRowLocks(t *testing.T) {
	o := start(t, Options{Switches: Switches{LockHoldMS: 3_600_000}})
	account := o.Put("Account", map[string]any{"Name": "Acme"})["Id"].(string)
	contact := o.Put("Contact", map[string]any{"LastName": "A", "AccountId": account})["Id"].(string)
	other := o.Put("Contact", map[string]any{"LastName": "B", "AccountId": account})["Id"].(string)
	alone := o.Put("Contact", map[string]any{"LastName": "C"})["Id"].(string)
	answered := make(chan int, 1)
	go func() {
		answered <- o.call(t, "PATCH", "/sobjects/Contact/"+contact, map[string]any{"LastName": "A2"}).status
	}()
	eventually(t, "the first write", func() bool { return o.Record("Contact", contact)["LastName"] == "A2" })
	r := o.call(t, "PATCH", "/sobjects/Contact/"+other, map[string]any{"LastName": "B2"})
	if r.status != 400 || r.code(t) != "UNABLE_TO_LOCK_ROW" ||
		!strings.HasPrefix(r.at(t, 0, "message").(string), "unable to obtain exclusive access to this record or 1 records: "+account) {
		t.Errorf("a sibling answers %d %s", r.status, r.body)
	}
	if r := o.call(t, "PATCH", "/sobjects/Account/"+account, map[string]any{"Name": "x"}); r.code(t) != "UNABLE_TO_LOCK_ROW" {
		t.Errorf("the account itself answers %d %s", r.status, r.body)
	}
	r = o.call(t, "PATCH", "/composite/sobjects", map[string]any{"records": []any{
		map[string]any{"attributes": map[string]string{"type": "Contact"}, "id": other, "LastName": "B2"},
		map[string]any{"attributes": map[string]string{"type": "Contact"}, "id": alone, "LastName": "C2"},
	}})
	if r.at(t, 0, "errors", 0, "statusCode") != "UNABLE_TO_LOCK_ROW" || r.at(t, 1, "success") != true {
		t.Errorf("a collection answers %s", r.body)
	}
	o.Close() // ends the hour
	if status := <-answered; status != 204 {
		t.Errorf("the holder is answered %d", status)
	}
	if r := o.call(t, "PATCH", "/sobjects/Contact/"+other, map[string]any{"LastName": "B2"}); r.status != 204 {
		t.Errorf("afterwards: %d %s", r.status, r.body)
	}
}
