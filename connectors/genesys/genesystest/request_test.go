package genesystest

import (
	"strings"
	"testing"
	"time"

	"lockstep/connectors/simulator"
)

func TestToken(t *testing.T) {
	o := start(t, Options{Clients: map[string]string{"other": "s2"}})
	r := o.tokenFor(t, o.ClientID, o.ClientSecret)
	if r.status != 200 || r.at(t, "token_type") != "bearer" || r.at(t, "expires_in") != 86399.0 || len(r.json(t).(obj)) != 3 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := o.tokenFor(t, "other", "s2"); r.status != 200 {
		t.Errorf("the other client: %d %s", r.status, r.body)
	}
	for name, r := range map[string]reply{
		"client": o.tokenFor(t, "nobody", "x"),
		"secret": o.tokenFor(t, o.ClientID, "x"),
		"header": o.send(t, "POST", o.LoginURL+"/oauth/token", "grant_type=client_credentials&client_id="+o.ClientID),
	} {
		if r.status != 400 || r.at(t, "error") != "invalid_client" || r.at(t, "description") != r.at(t, "error_description") {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	if got := o.tokenFor(t, "nobody", "x").at(t, "description"); got != "client not found: invalid_client" {
		t.Errorf("an unknown client is told %v", got)
	}
	if r := o.send(t, "POST", o.URL+"/oauth/token", "grant_type=client_credentials"); r.status != 501 {
		t.Errorf("the api host gives tokens: %d", r.status)
	}
	if r := o.send(t, "POST", o.URL+"/api/v2/oauth/token", ""); r.status != 501 {
		t.Errorf("/api/v2/oauth/token exists: %d", r.status)
	}
	o.control(t, "POST", "/secrets", `{"client_secret":"new"}`)
	if o.tokenFor(t, o.ClientID, o.ClientSecret).status != 400 || o.tokenFor(t, o.ClientID, "new").status != 200 {
		t.Error("the secret does not rotate")
	}
}

func TestTokensEnd(t *testing.T) {
	hand := newHandClock()
	o := start(t, Options{Clock: hand.now, TokenLife: 3 * time.Second})
	if got := o.tokenFor(t, o.ClientID, o.ClientSecret).at(t, "expires_in"); got != 3.0 {
		t.Errorf("expires_in is %v", got)
	}
	hand.advance(3 * time.Second)
	r := o.call(t, "GET", "/users", nil)
	if r.status != 401 || r.at(t, "code") != "bad.credentials" {
		t.Errorf("an expired token: %d %s", r.status, r.body)
	}
	o.login(t)
	o.control(t, "POST", "/tokens", `{"revoke":true}`)
	if r := o.call(t, "GET", "/users", nil); r.status != 401 {
		t.Errorf("a revoked token: %d", r.status)
	}
	if r := o.send(t, "GET", o.URL+"/api/v2/users", ""); r.status != 401 || r.at(t, "code") != "authentication.required" {
		t.Errorf("no token: %d %s", r.status, r.body)
	}
	o.login(t)
	if r := o.send(t, "GET", o.URL+"/api/v2/users", "", "Authorization", o.token); r.status != 401 {
		t.Errorf("a token without its scheme: %d", r.status)
	}
}

func TestRateLimit(t *testing.T) {
	hand := newHandClock()
	o := start(t, Options{Clock: hand.now, RequestsPerMinute: 2, Clients: map[string]string{"other": "s2"}})
	for _, want := range []string{"1 2 60", "2 2 48"} {
		h := o.call(t, "GET", "/users", nil).header
		if got := h.Get("inin-ratelimit-count") + " " + h.Get("inin-ratelimit-allowed") + " " + h.Get("inin-ratelimit-reset"); got != want {
			t.Errorf("the headers say %s, want %s", got, want)
		}
		hand.advance(12 * time.Second)
	}
	r := o.call(t, "GET", "/users", nil)
	if r.status != 429 || r.header.Get("Retry-After") != "36" || r.header.Get("inin-ratelimit-reset") != "36" {
		t.Errorf("over the ceiling: %d %v", r.status, r.header)
	}
	for member, want := range map[string]any{
		"message": "Rate limit exceeded the maximum. Retry the request in [36] seconds", "code": "too.many.requests", "status": 429.0,
		"messageWithParams": "Rate limit exceeded the maximum. Retry the request in [{seconds}] seconds",
		"contextId":         r.header.Get("ININ-Correlation-Id"),
	} {
		if got := r.at(t, member); got != want {
			t.Errorf("%s is %v, want %v", member, got, want)
		}
	}
	if got := sprint(r.at(t, "messageParams")) + sprint(r.at(t, "limit")); got != "map[seconds:36]map[key:client.credentials.token.rate.per.minute namespace:platform.api value:2]" {
		t.Errorf("parameters and limit are %s", got)
	}
	o.token = o.tokenFor(t, "other", "s2").at(t, "access_token").(string)
	if r := o.call(t, "GET", "/users", nil); r.status != 200 {
		t.Errorf("another client pays too: %d", r.status)
	}
	o.control(t, "POST", "/quota", `{"per_minute":0}`)
	for range 5 {
		if r := o.call(t, "GET", "/users", nil); r.status != 200 {
			t.Errorf("lifted: %d", r.status)
		}
	}
}

func TestErrorsAreErrorBodies(t *testing.T) {
	o := start(t, Options{})
	source := o.source(t, "lockstep")
	for name, c := range map[string]struct {
		method, path string
		body         any
		status       int
		code         string
	}{
		"missing contact": {"GET", contactsPath + "/nobody", nil, 404, "contact.not.found"},
		"malformed":       {"POST", contactsPath, `{"firstName":`, 400, "bad.request"},
		"no body":         {"POST", contactsPath, ``, 400, "bad.request"},
		"an array":        {"POST", contactsPath, `[]`, 400, "bad.request"},
		"unknown field":   {"POST", contactsPath, `{"fristName":"x"}`, 400, "bad.request"},
		"validation":      {"POST", contactsPath, obj{"externalIds": []any{xid("nope", "x")}}, 422, "validation.failed"},
		"user context":    {"GET", "/users/me", nil, 400, "not.a.user"},
		"voicemail":       {"GET", "/voicemail/messages/1", nil, 400, "not.a.user"},
		"calls":           {"POST", "/conversations/calls", `{}`, 400, "not.a.user"},
		"one call":        {"PATCH", "/conversations/calls/c1/participants/p1", `{}`, 400, "not.a.user"},
		"paging":          {"GET", contactsPath + "?q=x&pageSize=100&pageNumber=11", nil, 400, "bad.request"},
		"page size":       {"GET", contactsPath + "?pageSize=0", nil, 400, "invalid.value"},
		"scan limit":      {"GET", "/externalcontacts/scan/contacts?limit=9", nil, 400, "invalid.value"},
		"not simulated":   {"GET", "/externalcontacts/relationships/r1", nil, 501, "not.simulated"},
		"method":          {"DELETE", "/externalcontacts/scan/contacts", nil, 405, "method.not.allowed"},
		"twice a source":  {"POST", "/externalcontacts/externalsources", obj{"name": "lockstep"}, 409, "general.conflict"},
	} {
		r := o.call(t, c.method, c.path, c.body)
		if r.status != c.status || r.at(t, "code") != c.code || r.at(t, "status") != float64(c.status) {
			t.Errorf("%s: %d %s", name, r.status, r.body)
			continue
		}
		if id := r.header.Get("ININ-Correlation-Id"); id == "" || r.at(t, "contextId") != id {
			t.Errorf("%s: context %v, correlation %s", name, r.at(t, "contextId"), id)
		}
		for _, member := range []string{"message", "messageParams", "details", "errors"} {
			if r.at(t, member) == nil {
				t.Errorf("%s has no %s: %s", name, member, r.body)
			}
		}
	}
	if got := o.call(t, "POST", contactsPath, obj{"externalIds": []any{xid(source, "")}}).at(t, "details", 0, "fieldName"); got != "externalIds" {
		t.Errorf("the detail names %v", got)
	}
}

func TestRequestShapes(t *testing.T) {
	o := start(t, Options{})
	// The JS SDK names a media type on requests without a body (connectors.md 1.12).
	if r := o.call(t, "GET", "/users", nil); r.status != 200 {
		t.Errorf("GET with a media type: %d", r.status)
	}
	if r := o.call(t, "POST", contactsPath, `{"firstName":"x"}`, "Content-Type", "text/plain"); r.status != 415 || r.at(t, "code") != "unsupported.media.type" {
		t.Errorf("plain text: %d %s", r.status, r.body)
	}
	long := `{"firstName":"` + strings.Repeat("x", maxBody) + `"}`
	if r := o.call(t, "POST", contactsPath, long); r.status != 413 || r.at(t, "limit", "key") != "request.bytes.max" {
		t.Errorf("a long body: %d %s", r.status, r.body)
	}
	exact := `{"customFields":{"a":"` + strings.Repeat("x", maxBody-64) + `"},"schema":{"id":"s","version":1}}`
	if r := o.call(t, "POST", contactsPath, exact[:min(len(exact), maxBody)]); r.status != 200 {
		t.Errorf("a body within the bound: %d %s", r.status, r.body)
	}
	for _, form := range []string{"expand=externalSources,identifiers", "expand=externalSources&expand=identifiers"} {
		source := o.source(t, "s-"+form)
		id := o.made(t, obj{"externalIds": []any{xid(source, form)}})
		r := o.call(t, "GET", contactsPath+"/"+id+"?"+form, nil)
		if r.at(t, "identifiers", 0, "value") != form || r.at(t, "externalIds", 0, "externalSource", "name") != "s-"+form {
			t.Errorf("%s shows %s", form, r.body)
		}
	}
}

func TestFaultsAreWordedAsTheVendorWould(t *testing.T) {
	o := start(t, Options{})
	for name, c := range map[string]struct {
		fault            simulator.Fault
		status           int
		code, retryAfter string
	}{
		"503":        {simulator.Fault{Kind: "status", Code: 503, RetryAfter: simulator.Seconds(7)}, 503, "service.unavailable", "7"},
		"504":        {simulator.Fault{Kind: "status", Code: 504}, 504, "request.timeout", ""},
		"own code":   {simulator.Fault{Kind: "status", Code: 409, BodyCode: "invalid.update.wrong.version"}, 409, "invalid.update.wrong.version", ""},
		"throttle":   {simulator.Fault{Kind: "throttle", RetryAfter: simulator.Seconds(3)}, 429, "too.many.requests", "3"},
		"newer code": {simulator.Fault{Kind: "throttle", BodyCode: "too.many.requests.retry.after"}, 429, "too.many.requests.retry.after", ""},
		"no wait":    {simulator.Fault{Kind: "throttle"}, 429, "too.many.requests", ""},
		"garbage":    {simulator.Fault{Kind: "throttle", RetryAfter: simulator.RetryAfter{"soon"}}, 429, "too.many.requests", "soon"},
		"revocation": {simulator.Fault{Kind: "revoke_token"}, 401, "bad.credentials", ""},
	} {
		c.fault.Count = 1
		o.Inject(c.fault)
		r := o.call(t, "GET", "/users", nil)
		if r.status != c.status || r.at(t, "code") != c.code || r.header.Get("Retry-After") != c.retryAfter {
			t.Errorf("%s: %d %s %q", name, r.status, r.body, r.header.Get("Retry-After"))
		}
		if strings.Contains(r.at(t, "message").(string), "seconds") != (name == "throttle") {
			t.Errorf("%s tells %v", name, r.at(t, "message"))
		}
		o.login(t)
	}
	o.Inject(simulator.Fault{Kind: "status", Code: 500, Class: simulator.ClassToken, BodyCode: "server_error", Count: 1})
	if r := o.tokenFor(t, o.ClientID, o.ClientSecret); r.status != 500 || r.at(t, "error") != "server_error" {
		t.Errorf("the token endpoint: %d %s", r.status, r.body)
	}
	for _, e := range o.Requests() {
		if e.Credential != o.ClientID {
			t.Errorf("%s %s is journaled without its client", e.Method, e.Path)
		}
	}
}
