package salesforcetest

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"lockstep/connectors/simulator"
)

func TestVersionsNeedNoSession(t *testing.T) {
	o := start(t, Options{})
	for _, path := range []string{"/services/data", "/services/data/"} {
		r := o.send(t, "GET", o.URL+path, "")
		list := r.json(t).([]any)
		last := list[len(list)-1].(map[string]any)
		if r.status != 200 || last["version"] != "68.0" || last["url"] != "/services/data/v68.0" {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
		if got := list[31].(map[string]any); got["version"] != "62.0" || got["label"] != "Winter '25" {
			t.Errorf("v62.0 is called %v", got)
		}
		if r.header.Get("Sforce-Limit-Info") != "" {
			t.Error("the list of versions costs a call")
		}
	}
	if r := o.call(t, "GET", "/services/data/v62.0", nil); r.at(t, "identity") == nil || r.at(t, "query") != "/services/data/v62.0/query" {
		t.Errorf("the resources are %s", r.body)
	}
}

func TestAllowance(t *testing.T) {
	o := start(t, Options{DailyRequests: 3})
	for n, want := range []string{"api-usage=1/3", "api-usage=2/3", "api-usage=3/3"} {
		if got := o.call(t, "GET", "/limits", nil).header.Get("Sforce-Limit-Info"); got != want {
			t.Errorf("call %d: %s, want %s", n, got, want)
		}
	}
	r := o.call(t, "GET", "/limits", nil)
	if r.status != 403 || r.body != `[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]` {
		t.Errorf("at the cap: %d %s", r.status, r.body)
	}
	if r.header.Get("Retry-After") != "" {
		t.Error("there is a Retry-After")
	}
	o.control(t, "POST", "/quota", `{"daily":0}`)
	if r := o.call(t, "GET", "/limits", nil); r.status != 200 || r.header.Get("Sforce-Limit-Info") != "api-usage=4/5000000" {
		t.Errorf("lifted: %d %s", r.status, r.header.Get("Sforce-Limit-Info"))
	}
	o.control(t, "POST", "/quota", `{"daily":100,"daily_used":90}`)
	if r := o.call(t, "GET", "/limits", nil); r.at(t, "DailyApiRequests", "Max") != 100.0 || r.at(t, "DailyApiRequests", "Remaining") != 9.0 {
		t.Errorf("limits are %s", r.body)
	}
	o.control(t, "POST", "/quota", `{"per_minute":1}`)
	o.call(t, "GET", "/limits", nil)
	if r := o.call(t, "GET", "/limits", nil); r.status != 403 || r.at(t, 0, "message") != "ConcurrentPerOrgLongTxn Limit exceeded." {
		t.Errorf("over the minute: %d %s", r.status, r.body)
	}
	if r := o.call(t, "GET", "/sobjects/Nope", nil); r.header.Get("Sforce-Limit-Info") == "" {
		t.Error("an error reply has no limit header")
	}
}

func TestRequestShapes(t *testing.T) {
	o := start(t, Options{})
	if r := o.call(t, "POST", "/sobjects/Account", `{"Name":"x"}`, "Content-Type", "text/plain"); r.status != 415 || r.code(t) != "UNSUPPORTED_MEDIA_TYPE" {
		t.Errorf("plain text: %d %s", r.status, r.body)
	}
	if r := o.call(t, "POST", "/sobjects/Account", `{"Name":"x"}`, "Content-Type", "application/json; charset=UTF-8"); r.status != 201 {
		t.Errorf("with a charset: %d %s", r.status, r.body)
	}
	if r := o.query(t, "SELECT Id FROM Contact WHERE LastName = '"+strings.Repeat("x", 17_000)+"'"); r.status != 414 {
		t.Errorf("a long URL: %d", r.status)
	}
	if got := o.call(t, "GET", "/limits", nil).header.Get("Content-Type"); got != "application/json;charset=UTF-8" {
		t.Errorf("answers are %s", got)
	}
}

func TestReplication(t *testing.T) {
	hand := newHandClock() // 12:00:00
	o := start(t, Options{Clock: hand.now})
	early := o.made(t, "Account", map[string]any{"Name": "early"})
	hand.advance(90 * time.Second) // 12:01:30
	late := o.made(t, "Account", map[string]any{"Name": "late"})
	gone := o.made(t, "Account", map[string]any{"Name": "gone"})
	o.call(t, "DELETE", "/sobjects/Account/"+gone, nil)
	hand.advance(30 * time.Second) // 12:02:00
	ask := func(what, start, end string) reply {
		return o.call(t, "GET", "/sobjects/Account/"+what+"?start="+url.QueryEscape(start)+"&end="+url.QueryEscape(end), nil)
	}
	for _, c := range []struct{ what, start, end, want string }{
		{"updated", "2026-01-01T12:00:00+00:00", "2026-01-01T12:02:00+00:00", `{"ids":["` + early + `","` + late + `"],"latestDateCovered":"2026-01-01T12:02:00.000+0000"}`},
		{"updated", "2026-01-01T12:01:00Z", "2026-01-01T14:02:00+02:00", `{"ids":["` + late + `"],"latestDateCovered":"2026-01-01T12:02:00.000+0000"}`},
		// Seconds do not count, as documented: the end is 12:01.
		{"updated", "2026-01-01T12:00:59Z", "2026-01-01T12:01:59Z", `{"ids":["` + early + `"],"latestDateCovered":"2026-01-01T12:01:00.000+0000"}`},
		{"updated", "2026-01-01T12:00:00Z", "2026-01-01T13:00:00Z", `{"ids":["` + early + `","` + late + `"],"latestDateCovered":"2026-01-01T12:02:00.000+0000"}`},
		{"deleted", "2026-01-01T12:00:00Z", "2026-01-01T12:02:00Z", `{"deletedRecords":[{"id":"` + gone + `","deletedDate":"2026-01-01T12:01:30.000+0000"}],"earliestDateAvailable":"2025-12-02T12:02:00.000+0000","latestDateCovered":"2026-01-01T12:02:00.000+0000"}`},
		{"deleted", "2026-01-01T12:00:00Z", "2026-01-01T12:01:00Z", `{"deletedRecords":[],"earliestDateAvailable":"2025-12-02T12:02:00.000+0000","latestDateCovered":"2026-01-01T12:01:00.000+0000"}`},
	} {
		if r := ask(c.what, c.start, c.end); r.status != 200 || r.body != c.want {
			t.Errorf("%s %s to %s: %d %s", c.what, c.start, c.end, r.status, r.body)
		}
	}
	for _, c := range []struct{ start, end, code string }{
		{"2026-01-01T12:00:00Z", "2026-01-01T12:00:30Z", "INVALID_REPLICATION_DATE"},
		{"2026-01-01T12:00:00Z", "2026-01-01T11:00:00Z", "INVALID_REPLICATION_DATE"},
		{"2025-12-01T00:00:00Z", "2026-01-01T11:00:00Z", "INVALID_REPLICATION_DATE"},
		{"", "2026-01-01T11:00:00Z", "MISSING_ARGUMENT"},
		{"2026-01-01T12:00:00 00:00", "2026-01-01T12:02:00Z", "MALFORMED_QUERY"}, // a plus sign that was not encoded
	} {
		if r := ask("updated", c.start, c.end); r.status != 400 || r.code(t) != c.code {
			t.Errorf("%q to %q: %d %s", c.start, c.end, r.status, r.body)
		}
	}
	o.control(t, "POST", "/switches", `{"replication_seconds":true}`)
	if r := ask("updated", "2026-01-01T12:00:59Z", "2026-01-01T12:01:59Z"); !strings.Contains(r.body, late) {
		t.Errorf("with seconds: %s", r.body)
	}
}

func TestDescribe(t *testing.T) {
	o := start(t, Options{})
	fields := map[string]map[string]any{}
	for _, f := range o.call(t, "GET", "/sobjects/Contact/describe", nil).at(t, "fields").([]any) {
		field := f.(map[string]any)
		fields[field["name"].(string)] = field
	}
	for name, want := range map[string]map[string]any{
		"Ext_Id__c": {"externalId": true, "unique": true, "custom": true, "type": "string", "updateable": true},
		"LastName":  {"nillable": false, "length": 80.0, "label": "Last Name", "custom": false},
		"AccountId": {"type": "reference", "relationshipName": "Account", "label": "Account ID"},
		"Name":      {"createable": false},
		"Email":     {"type": "email", "length": 80.0},
	} {
		for member, value := range want {
			if got := fields[name][member]; got != value {
				t.Errorf("%s.%s is %v, want %v", name, member, got, value)
			}
		}
	}
	if r := o.call(t, "GET", "/sobjects", nil); r.at(t, "maxBatchSize") != 200.0 || !strings.Contains(r.body, `"keyPrefix":"003"`) {
		t.Errorf("the global describe is %.200s", r.body)
	}
	if r := o.call(t, "GET", "/sobjects/contact", nil); r.at(t, "objectDescribe", "name") != "Contact" {
		t.Errorf("the basics are %s", r.body)
	}
	if r := o.call(t, "GET", "/sobjects/Nope/describe", nil); r.status != 404 {
		t.Errorf("an unknown object answers %d", r.status)
	}
}

func TestFaultsAreWordedAsTheVendorWould(t *testing.T) {
	o := start(t, Options{})
	for name, c := range map[string]struct {
		fault  simulator.Fault
		status int
		body   string
	}{
		"503":        {simulator.Fault{Kind: "status", Code: 503}, 503, `[{"message":"Server too busy","errorCode":"SERVER_UNAVAILABLE"}]`},
		"500":        {simulator.Fault{Kind: "status", Code: 500}, 500, `UNKNOWN_EXCEPTION`},
		"own code":   {simulator.Fault{Kind: "status", Code: 400, BodyCode: "STRING_TOO_LONG", Message: "m", Field: "Name"}, 400, `[{"message":"m","errorCode":"STRING_TOO_LONG","fields":["Name"]}]`},
		"throttle":   {simulator.Fault{Kind: "throttle", RetryAfter: simulator.Seconds(3)}, 429, `TOO_MANY_REQUESTS`},
		"quota":      {simulator.Fault{Kind: "status", Code: 403, BodyCode: "REQUEST_LIMIT_EXCEEDED"}, 403, `TotalRequests Limit exceeded.`},
		"html":       {simulator.Fault{Kind: "html_200"}, 200, `<!DOCTYPE html>`},
		"revocation": {simulator.Fault{Kind: "revoke_token"}, 401, `INVALID_SESSION_ID`},
	} {
		c.fault.Count = 1
		o.Inject(c.fault)
		r := o.call(t, "GET", "/limits", nil)
		if r.status != c.status || !strings.Contains(r.body, c.body) {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		if want := map[bool]string{true: "3"}[name == "throttle"]; r.header.Get("Retry-After") != want {
			t.Errorf("%s: Retry-After %q", name, r.header.Get("Retry-After"))
		}
		o.login(t)
	}
	o.Inject(simulator.Fault{Kind: "status", Code: 400, Class: simulator.ClassToken, BodyCode: "invalid_grant", Message: "m", Count: 1})
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {o.ClientID}, "client_secret": {o.ClientSecret}}
	if r := o.form(t, o.URL+"/services/oauth2/token", form); r.body != `{"error":"invalid_grant","error_description":"m"}` {
		t.Errorf("the token endpoint: %d %s", r.status, r.body)
	}
	for _, e := range o.Requests() {
		if e.Credential != o.ClientID {
			t.Errorf("%s %s is journaled without its client", e.Method, e.Path)
		}
	}
}
