package salesforce

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lockstep/connectors"
	"lockstep/connectors/salesforce/salesforcetest"
	"lockstep/schema"
)

var contact = connectors.Object{Name: "Contact", Key: "Ext_Id__c", Fields: []string{"Email", "Ext_Id__c", "LastName", "Phone_E164__c"}}

func TestTokenSignatureVector(t *testing.T) {
	const id, issued, signature = "https://login.salesforce.com/id/00Dxx0000000001EAA/005xx0000000001AAA", "1763606400000",
		"ta0PQPTps6cr5lFNQIsp3hqiq8qbEPwMG6CJpef6zB0="
	if !VerifyTokenSignature("SEC", id, issued, signature) {
		t.Error("the vector is refused")
	}
	for _, bad := range [][4]string{
		{"SEC2", id, issued, signature}, {"SEC", id + "x", issued, signature}, {"SEC", id, "1763606400001", signature},
		{"SEC", id, issued, "ta0PQPTps6cr5lFNQIsp3hqiq8qbEPwMG6CJpef6zB1="}, {"SEC", id, issued, ""}, {"SEC", id, issued, "%"}, {"", "", "", ""},
	} {
		if VerifyTokenSignature(bad[0], bad[1], bad[2], bad[3]) {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestLongID(t *testing.T) {
	for short, long := range map[string]string{
		"003xx0000000001": "003xx0000000001AAA", "0018000000MbRzz": "0018000000MbRzzAAF", "a0B1C2D3E4F5G6H": "a0B1C2D3E4F5G6HUKV",
		"003xx0000000001AAA": "003xx0000000001AAA", "x": "x", "": "",
	} {
		if got := LongID(short); got != long {
			t.Errorf("%s becomes %s, want %s", short, got, long)
		}
	}
	for id, want := range map[string]bool{
		"003xx0000000001": true, "003xx0000000001AAA": true, "003xx0000000001AAB": false, "a1B2c3D4e5F6g7H8": false, "": false, "003xx000000000/": false,
	} {
		if wellFormed(id) != want {
			t.Errorf("%s is well formed: %t", id, !want)
		}
	}
}

func noCredential(context.Context) (connectors.Credential, error) {
	return connectors.Credential{}, nil
}

func TestNewRefusesBadSettings(t *testing.T) {
	fine := func() Config {
		return Config{System: "crm", Endpoint: "https://acme.my.salesforce.com", Credential: noCredential}
	}
	if _, err := New(fine()); err != nil {
		t.Fatal(err)
	}
	cases := map[string]func(*Config){
		"credential":              func(c *Config) { c.Credential = nil },
		"unknown":                 func(c *Config) { c.Options = map[string]string{"unknown": "canary"} },
		"api_version":             func(c *Config) { c.Options = map[string]string{"api_version": "v45.0"} },
		"api_version ":            func(c *Config) { c.Options = map[string]string{"api_version": "62.0"} },
		"client":                  func(c *Config) { c.Options = map[string]string{"client": "canary; x"} },
		"sequence_field":          func(c *Config) { c.Options = map[string]string{"sequence_field": "a-canary"} },
		"my_domain_suffix":        func(c *Config) { c.Options = map[string]string{"my_domain_suffix": "salesforce.com"} },
		"verify_token_signature":  func(c *Config) { c.Options = map[string]string{"verify_token_signature": "canary"} },
		"session_life":            func(c *Config) { c.Options = map[string]string{"session_life": "1s"} },
		"session_life ":           func(c *Config) { c.Options = map[string]string{"session_life": "canary"} },
		"endpoint or login":       func(c *Config) { c.Endpoint = "http://canary.example" },
		"endpoint or login ":      func(c *Config) { c.Login = "https://user:canary@login.example" },
		"endpoint or login: path": func(c *Config) { c.Endpoint = "https://acme.example/../canary" },
	}
	for name, spoil := range cases {
		c := fine()
		spoil(&c)
		_, err := New(c)
		setting, _, _ := strings.Cut(strings.TrimSpace(name), ":")
		if err == nil || !strings.Contains(err.Error(), setting) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s, err := New(Config{System: "crm", Endpoint: "https://a.example", Credential: noCredential, Options: map[string]string{
		"api_version": "v100.0", "client": "x", "sequence_field": "Change_Seq__c", "my_domain_suffix": "my.salesforce.com",
		"verify_token_signature": "false", "session_life": "90m",
	}}); err != nil || s.settings.release != 100 || s.settings.sessionLife != 90*time.Minute || s.settings.checkSignature {
		t.Errorf("%+v, %v", s, err)
	}
}

// scripted connects to a vendor that grants tokens and hands every other request to the script.
func scripted(t *testing.T, options map[string]string, script http.HandlerFunc) *Connector {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/services/oauth2/token" {
			_, _ = w.Write([]byte(`{"access_token":"t"}`))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		script(w, r)
	}))
	t.Cleanup(server.Close)
	s, err := New(Config{
		System: "crm", Endpoint: server.URL, AllowLoopback: true, Options: options,
		Credential: func(context.Context) (connectors.Credential, error) {
			return connectors.Credential{ClientID: "id", ClientSecret: "secret"}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestHeaders(t *testing.T) {
	var last http.Header
	answer := "[]"
	script := func(w http.ResponseWriter, r *http.Request) {
		last = r.Header.Clone()
		_, _ = w.Write([]byte(answer))
	}
	for version, mru := range map[string]string{"v62.0": "updateMru=false", "v58.0": ""} {
		s := scripted(t, map[string]string{"api_version": version, "client": "tag-1"}, script)
		_, _ = s.Read(t.Context(), contact, []string{"003xx0000000001AAA"})
		if last.Get("Sforce-Call-Options") != "client=tag-1" || last.Get("Sforce-Mru") != mru || last.Get("Sforce-Auto-Assign") != "" {
			t.Errorf("%s read: %v", version, last)
		}
		_, _ = s.Write(t.Context(), contact, []connectors.Change{{ID: "003xx0000000001AAA"}})
		if last.Get("Sforce-Auto-Assign") != "FALSE" || last.Get("Sforce-Mru") != mru {
			t.Errorf("%s write: %v", version, last)
		}
	}
}

// The wire shapes, to the byte (connectors.md, 2.5 and 2.6).
func TestWireShapes(t *testing.T) {
	type sent struct{ line, body string }
	var last sent
	answer := ""
	s := scripted(t, nil, func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		_, _ = r.Body.Read(body)
		last = sent{r.Method + " " + r.RequestURI, string(body)}
		_, _ = w.Write([]byte(answer))
	})
	id := schema.ID{1: 2}
	change := connectors.Change{ID: "003xx0000000001AAA", Canonical: id, Fields: schema.Fields{"LastName": "Byron", "Score__c": json.Number("1.50"), "Email": nil}}
	cases := []struct {
		name, answer, line, body string
		call                     func() error
	}{
		{
			"write", `[{"id":"003xx0000000001AAA","success":true,"errors":[]}]`, "PATCH /services/data/v62.0/composite/sobjects",
			`{"allOrNone":false,"records":[{"Email":null,"LastName":"Byron","Score__c":1.50,"attributes":{"type":"Contact"},"id":"003xx0000000001AAA"}]}`,
			func() error { _, err := s.Write(t.Context(), contact, []connectors.Change{change}); return err },
		},
		{
			"link", `[{"id":"003xx0000000001AAA","success":true,"errors":[]}]`, "PATCH /services/data/v62.0/composite/sobjects",
			`{"allOrNone":false,"records":[{"Email":null,"Ext_Id__c":"` + id.String() + `","LastName":"Byron","Score__c":1.50,"attributes":{"type":"Contact"},"id":"003xx0000000001AAA"}]}`,
			func() error { _, err := s.Link(t.Context(), contact, []connectors.Change{change}); return err },
		},
		{
			"create", `[{"id":"003xx0000000001AAA","success":true,"errors":[],"created":true}]`, "PATCH /services/data/v62.0/composite/sobjects/Contact/Ext_Id__c",
			`{"allOrNone":false,"records":[{"Email":null,"Ext_Id__c":"` + id.String() + `","LastName":"Byron","Score__c":1.50,"attributes":{"type":"Contact"}}]}`,
			func() error { _, err := s.Create(t.Context(), contact, []connectors.Change{change}); return err },
		},
		{
			"read", `[null]`, "POST /services/data/v62.0/composite/sobjects/Contact",
			`{"fields":["Email","Ext_Id__c","Id","LastName","Phone_E164__c","SystemModstamp"],"ids":["003xx0000000001AAA"]}`,
			func() error { _, err := s.Read(t.Context(), contact, []string{"003xx0000000001AAA"}); return err },
		},
		{
			"find", `{"compositeResponse":[{"body":{"totalSize":0,"done":true,"records":[]},"httpHeaders":{},"httpStatusCode":200,"referenceId":"q0"},` +
				`{"body":{"totalSize":0,"done":true,"records":[]},"httpHeaders":{},"httpStatusCode":200,"referenceId":"q1"}]}`,
			"POST /services/data/v62.0/composite",
			`{"allOrNone":false,"compositeRequest":[{"method":"GET","url":"/services/data/v62.0/query?q=SELECT%20Email%2C%20Ext_Id__c%2C%20Id%2C%20LastName%2C%20Phone_E164__c%2C%20SystemModstamp%20FROM%20Contact%20WHERE%20Email%20IN%20%28%27o%5C%27b%40x.co%27%2C%20%27c%40x.co%27%29%20LIMIT%202000","referenceId":"q0"},` +
				`{"method":"GET","url":"/services/data/v62.0/query?q=SELECT%20Email%2C%20Ext_Id__c%2C%20Id%2C%20LastName%2C%20Phone_E164__c%2C%20SystemModstamp%20FROM%20Contact%20WHERE%20Phone_E164__c%20IN%20%28%27%2B1317%27%29%20LIMIT%202000","referenceId":"q1"}]}`,
			func() error {
				_, err := s.Find(t.Context(), contact, [][]connectors.MatchKey{
					{{Kind: connectors.MatchEmail, Field: "Email", Value: schema.Text("o'b@x.co")}, {Kind: connectors.MatchPhone, Field: "Phone_E164__c", Value: schema.Text("+1317")}},
					{{Kind: connectors.MatchEmail, Field: "Email", Value: schema.Text("c@x.co")}},
				})
				return err
			},
		},
		{
			"feed", `{"totalSize":0,"done":true,"records":[]}`,
			"GET /services/data/v62.0/query?q=SELECT+Email%2C+Ext_Id__c%2C+Id%2C+LastName%2C+Phone_E164__c%2C+SystemModstamp+FROM+Contact+WHERE+SystemModstamp+%3E%3D+2026-01-01T00%3A00%3A00.000Z+ORDER+BY+SystemModstamp+ASC",
			"",
			func() error {
				_, err := s.ChangedSince(t.Context(), contact, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), "")
				return err
			},
		},
		{
			"next page", `{"totalSize":0,"done":true,"records":[]}`, "GET /services/data/v62.0/query/01gxx-2000", "",
			func() error {
				_, err := s.ChangedSince(t.Context(), contact, time.Time{}, "01gxx-2000")
				return err
			},
		},
	}
	for _, c := range cases {
		answer = c.answer
		if err := c.call(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if last.line != c.line || last.body != c.body {
			t.Errorf("%s sent\n%s\n%s\nwant\n%s\n%s", c.name, last.line, last.body, c.line, c.body)
		}
	}
}

// D08: an answer that is not what Salesforce sends is neither a success nor a refusal.
func TestD08DriftedAnswers(t *testing.T) {
	answer := ""
	s := scripted(t, nil, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) })
	const id = "003xx0000000001AAA"
	write := func() (*connectors.Error, error) {
		answers, err := s.Write(t.Context(), contact, []connectors.Change{{ID: id, Fields: schema.Fields{"LastName": "x"}}})
		if err != nil {
			return nil, err
		}
		return answers[0].Err, nil
	}
	for _, answer = range []string{
		``, `{}`, `null`, `[]`, `[{},{}]`, `"canary"`, `[{"id":"` + id + `","success":"yes"}]`, `<html>canary`, `[{"id":"003xx0000000002AAA","success":true,"errors":[]}]`,
		`[{"success":true,"errors":[]}]`, `[{"id":"` + id + `","success":false,"errors":[]}]`, `[{"id":"../canary","success":true}]`, `[{"success":false}]`,
	} {
		item, err := write()
		kind, _ := connectors.KindOf(err)
		if item != nil {
			kind = item.Kind
		}
		if kind != schema.UnknownOutcome {
			t.Errorf("write answered %s: %v, %v; want UnknownOutcome", answer, item, err)
		}
	}
	for _, answer = range []string{
		``, `{}`, `null`, `[]`, `[null,null]`, `["canary"]`, `[{"Id":"003xx0000000002AAA"}]`, `[{}]`, `[{"Id":7}]`, `[{"Id":"../canary"}]`,
	} {
		_, err := s.Read(t.Context(), contact, []string{id})
		if kind, _ := connectors.KindOf(err); kind != schema.Unavailable {
			t.Errorf("read answered %s: %v, want Unavailable", answer, err)
		}
	}
	key := [][]connectors.MatchKey{{{Kind: connectors.MatchEmail, Field: "Email", Value: schema.Text("a@b.co")}}}
	part := func(body string) string {
		return `{"compositeResponse":[{"body":` + body + `,"httpStatusCode":200,"referenceId":"q0"}]}`
	}
	for _, answer = range []string{
		``, `{}`, `{"compositeResponse":[]}`, `{"compositeResponse":[{"httpStatusCode":200,"referenceId":"q1","body":{}}]}`, part(`null`), part(`[]`),
		part(`{"done":true}`), part(`{"records":[]}`), part(`{"done":true,"records":[{}]}`), part(`{"done":true,"records":["canary"]}`),
	} {
		_, err := s.Find(t.Context(), contact, key)
		if kind, _ := connectors.KindOf(err); kind != schema.Unavailable {
			t.Errorf("find answered %s: %v, want Unavailable", answer, err)
		}
	}
	for _, answer = range []string{
		``, `{}`, `{"done":false,"records":[]}`, `{"done":false,"records":[],"nextRecordsUrl":"http://169.254.169.254/latest"}`,
		`{"done":false,"records":[],"nextRecordsUrl":"/services/data/v62.0/query/../../oauth2"}`, `{"done":true,"records":[{"Id":"?"}]}`,
	} {
		_, err := s.ChangedSince(t.Context(), contact, time.Now(), "")
		if kind, _ := connectors.KindOf(err); kind != schema.Unavailable {
			t.Errorf("feed answered %s: %v, want Unavailable", answer, err)
		}
	}
	// A field that is missing or of another form is unknown, not empty; a new one does no harm.
	answer = `[{"Id":"` + id + `","attributes":{},"Email":null,"LastName":{"x":1},"Ext_Id__c":"e","New__c":1,"SystemModstamp":"2026-01-01T10:00:00.000+0200"}]`
	answers, err := s.Read(t.Context(), contact, []string{id})
	if err != nil {
		t.Fatal(err)
	}
	r := answers[0].Record
	if fmt.Sprint(r.Fields) != "map[Email:<nil> Ext_Id__c:e]" || !r.ModifiedAt.Equal(time.Date(2026, 1, 1, 8, 0, 0, 0, time.UTC)) {
		t.Errorf("read %v of %v", r.Fields, r.ModifiedAt)
	}
}

// One malformed id must not cost the others their reads.
func TestMalformedIDsAmongOthers(t *testing.T) {
	s := scripted(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`[{"message":"malformed id canary","errorCode":"MALFORMED_ID"}]`))
	})
	answers, err := s.Read(t.Context(), contact, []string{"003xx0000000001AAA", "a1B2c3D4e5F6g7H8", "../x", "003xx0000000001"})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []schema.Kind{schema.Contention, schema.Invalid, schema.Invalid, schema.Contention} {
		if answers[i].Err == nil || answers[i].Err.Kind != want {
			t.Errorf("id %d: %v, want %s", i, answers[i].Err, want)
		}
	}
}

// A duplicate value is a lost race only where repeating the creation finds the record.
func TestDuplicateValues(t *testing.T) {
	fields := ""
	s := scripted(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `[{"success":false,"errors":[{"statusCode":"DUPLICATE_VALUE","message":"canary","fields":[%s]}]}]`, fields)
	})
	change := []connectors.Change{{ID: "003xx0000000001AAA", Fields: schema.Fields{"LastName": "x"}}}
	for _, c := range []struct {
		call   func(context.Context, connectors.Object, []connectors.Change) ([]connectors.Answer, error)
		fields string
		want   schema.Kind
	}{
		{s.Create, ``, schema.LostRace}, {s.Create, `"Ext_Id__c"`, schema.LostRace}, {s.Create, `"Email"`, schema.HumanNeeded},
		{s.Write, ``, schema.HumanNeeded}, {s.Link, `"Ext_Id__c"`, schema.HumanNeeded},
	} {
		fields = c.fields
		answers, err := c.call(t.Context(), contact, change)
		if err != nil || answers[0].Err == nil || answers[0].Err.Kind != c.want {
			t.Errorf("fields %s: %v, %v; want %s", c.fields, answers, err, c.want)
		}
	}
}

// A23: the token may lead to another host only where the configuration allows it.
func TestA23InstanceURL(t *testing.T) {
	sentinel, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sentinel.Close() }()
	var connects atomic.Int64
	go func() {
		for {
			c, err := sentinel.Accept()
			if err != nil {
				return
			}
			connects.Add(1)
			_ = c.Close()
		}
	}()
	for _, instance := range []string{
		"http://" + sentinel.Addr().String(), "https://evil.example", "https://evil.example/.my.salesforce.com", "http://169.254.169.254", "://", "file:///etc/passwd",
		"https://acme.my.salesforce.com.evil.example", "https://user@acme.my.salesforce.com",
	} {
		org := salesforcetest.Start(t, salesforcetest.Options{InstanceURL: instance})
		s, err := New(Config{
			System: "crm", Endpoint: org.URL, AllowLoopback: true, Options: map[string]string{"my_domain_suffix": "my.salesforce.com"},
			Credential: func(context.Context) (connectors.Credential, error) {
				return connectors.Credential{ClientID: org.ClientID, ClientSecret: org.ClientSecret}, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Read(t.Context(), contact, []string{"003xx0000000001AAA"})
		if kind, _ := connectors.KindOf(err); kind != schema.AuthExpired || !strings.Contains(err.Error(), connectors.CodeInstanceDenied) {
			t.Errorf("%s: %v, want AuthExpired", instance, err)
		}
		s.Close()
	}
	if n := connects.Load(); n != 0 {
		t.Errorf("the sentinel saw %d connects, want 0", n)
	}
}

// B16: a login that hands out another org's tokens, as a sandbox's does, leads nowhere: neither org is asked for anything.
func TestB16_ATokenOfAnotherOrgIsRefused(t *testing.T) {
	ours, other := salesforcetest.Start(t, salesforcetest.Options{}), salesforcetest.Start(t, salesforcetest.Options{})
	s, err := New(Config{System: "crm", Endpoint: ours.URL, Login: other.URL, AllowLoopback: true, Credential: func(context.Context) (connectors.Credential, error) {
		return connectors.Credential{ClientID: other.ClientID, ClientSecret: other.ClientSecret}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 2 {
		_, err = s.Read(t.Context(), contact, []string{"003xx0000000001AAA"})
		if kind, _ := connectors.KindOf(err); kind != schema.AuthExpired || !strings.Contains(err.Error(), connectors.CodeInstanceDenied) {
			t.Errorf("%v, want AuthExpired", err)
		}
	}
	for _, r := range slices.Concat(ours.Requests(), other.Requests()) {
		if strings.HasPrefix(r.Path, "/services/data") {
			t.Errorf("an org was asked: %s %s", r.Method, r.Path)
		}
	}
	if len(other.Requests()) == 0 {
		t.Error("nobody logged in: nothing is shown")
	}
}

func TestTokenSignatureIsChecked(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"access_token":"t","id":"i","issued_at":"1","signature":"bm90IGl0"}`))
	}))
	defer server.Close()
	s, err := New(Config{System: "crm", Endpoint: server.URL, AllowLoopback: true, Credential: func(context.Context) (connectors.Credential, error) {
		return connectors.Credential{ClientID: "id", ClientSecret: "secret"}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.Read(t.Context(), contact, []string{"003xx0000000001AAA"})
	if kind, _ := connectors.KindOf(err); kind != schema.AuthExpired || !strings.Contains(err.Error(), "bad_token_signature") {
		t.Errorf("%v, want AuthExpired", err)
	}
}

// Whatever 50 look-ups hold, they fit in five queries of bounded length, and every key is asked for.
func TestFold(t *testing.T) {
	s, err := New(Config{System: "crm", Endpoint: "https://acme.my.salesforce.com", Credential: noCredential})
	if err != nil {
		t.Fatal(err)
	}
	field := rapid.SampledFrom([]string{"Email", "Ext_Id__c", "Phone_E164__c", "A__c", "B__c", "C__c", "D__c", "E__c"})
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, maxLookups).Draw(t, "lookups")
		lookups, asked := make([][]connectors.MatchKey, n), []int{}
		for i := range lookups {
			for range rapid.IntRange(1, 6).Draw(t, "keys") {
				text := rapid.OneOf(rapid.StringN(1, 250, 300), rapid.StringMatching(`[a-z]{3,9}@x\.co`), rapid.StringMatching(`'{1,160}`)).Draw(t, "value")
				key := connectors.MatchKey{Kind: connectors.MatchExternal, Field: field.Draw(t, "field"), Value: schema.Text(text)}
				if length, ok := keysLength(append(lookups[i], key)); ok && length <= maxKeys {
					lookups[i] = append(lookups[i], key)
				}
			}
			if len(lookups[i]) > 0 {
				asked = append(asked, i)
			}
		}
		queries, ok := s.fold(contact, lookups, asked)
		if !ok {
			t.Fatalf("%d look-ups do not fit", n)
		}
		for _, q := range queries {
			extra := []string{}
			for _, c := range q.conditions {
				extra = append(extra, c.field)
			}
			if length := len(s.queryURL(contact, extra, q.conditions)); length > maxQueryURL {
				t.Fatalf("a URL of %d bytes", length)
			}
		}
		for _, i := range asked {
			for _, k := range lookups[i] {
				text, _ := literal(k.Value.Reveal())
				if !holds(queries, k.Field, text, i) {
					t.Fatalf("a key of look-up %d is not asked for", i)
				}
			}
		}
	})
}

func holds(queries []query, field, text string, lookup int) bool {
	for _, q := range queries {
		for _, c := range q.conditions {
			for _, have := range c.literals {
				if c.field == field && have == text && q.lookups[lookup] {
					return true
				}
			}
		}
	}
	return false
}

// A25: a literal ends where it ends.
func TestA25Literal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.String().Draw(t, "value")
		text, ok := literal(value)
		if !ok {
			return
		}
		inner := text[1 : len(text)-1]
		unescaped := strings.NewReplacer(`\\`, `\`, `\'`, `'`, `\"`, `"`, `\n`, "\n", `\r`, "\r", `\t`, "\t", `\b`, "\b", `\f`, "\f").Replace(inner)
		if unescaped != value {
			t.Fatalf("%q reads %q", value, unescaped)
		}
		bare := strings.NewReplacer(`\\`, ``, `\'`, ``).Replace(inner)
		if strings.ContainsAny(bare, "'\n\r") {
			t.Fatalf("%q ends early: %s", value, text)
		}
		if got, err := url.QueryUnescape(encode(text)); err != nil || got != text {
			t.Fatalf("%q does not travel", value)
		}
	})
}

// A page that is full may hide more: that is never taken for all.
func TestFullPages(t *testing.T) {
	rows := []map[string]any{}
	for i := range pageLimit {
		email := "crowd@example.com"
		if i == 0 {
			email = "lone@example.com"
		}
		rows = append(rows, map[string]any{"Id": fmt.Sprintf("003xx%010d", i), "Email": email, "Ext_Id__c": nil, "LastName": "x", "Phone_E164__c": nil})
	}
	s := scripted(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"compositeResponse": []any{map[string]any{
			"httpStatusCode": 200, "referenceId": "q0", "body": map[string]any{"totalSize": 9000, "done": true, "records": rows},
		}}})
	})
	key := func(email string) []connectors.MatchKey {
		return []connectors.MatchKey{{Kind: connectors.MatchEmail, Field: "Email", Value: schema.Text(email)}}
	}
	found, err := s.Find(t.Context(), contact, [][]connectors.MatchKey{key("lone@example.com"), key("crowd@example.com")})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []schema.Kind{schema.Contention, schema.HumanNeeded} {
		if found[i].Err == nil || found[i].Err.Kind != want || found[i].Records != nil {
			t.Errorf("look-up %d: %d records, %v; want %s", i, len(found[i].Records), found[i].Err, want)
		}
	}
	found, err = s.Find(t.Context(), contact, [][]connectors.MatchKey{key("crowd@example.com")})
	if err != nil || found[0].Err == nil || found[0].Err.Kind != schema.HumanNeeded {
		t.Errorf("alone: %v, %v; want HumanNeeded", found, err)
	}
}

// A part that fails costs its own look-ups; trouble of the system costs the call.
func TestFailedParts(t *testing.T) {
	status, body := 0, ""
	s := scripted(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"compositeResponse":[{"httpStatusCode":%d,"referenceId":"q0","body":%s},`+
			`{"httpStatusCode":200,"referenceId":"q1","body":{"totalSize":0,"done":true,"records":[]}}]}`, status, body)
	})
	lookups := [][]connectors.MatchKey{
		{{Kind: connectors.MatchEmail, Field: "Email", Value: schema.Text("a@b.co")}},
		{{Kind: connectors.MatchPhone, Field: "Phone_E164__c", Value: schema.Text("+1317")}},
	}
	status, body = 400, `[{"errorCode":"INVALID_FIELD","message":"canary"}]`
	found, err := s.Find(t.Context(), contact, lookups)
	if err != nil || found[0].Err == nil || found[0].Err.Kind != schema.Unsupported || found[1].Err != nil {
		t.Errorf("%v, %v", found, err)
	}
	status, body = 403, `[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"TotalRequests Limit exceeded."}]`
	if _, err = s.Find(t.Context(), contact, lookups); err == nil {
		t.Error("a spent allowance is one look-up's trouble")
	} else if kind, _ := connectors.KindOf(err); kind != schema.QuotaExhausted {
		t.Errorf("%v, want QuotaExhausted", err)
	}
}

func TestFindRefusesWhatCannotBeAsked(t *testing.T) {
	s := scripted(t, nil, func(http.ResponseWriter, *http.Request) { t.Error("a request went out") })
	key := func(field, value string) []connectors.MatchKey {
		return []connectors.MatchKey{{Kind: connectors.MatchExternal, Field: field, Value: schema.Text(value)}}
	}
	found, err := s.Find(t.Context(), contact, [][]connectors.MatchKey{
		key("Email", "nul\x00"), key("Email", strings.Repeat("ü", 400)), {{Kind: connectors.MatchEmail, Field: "Email"}}, {},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range found[:3] {
		if f.Err == nil || f.Err.Kind != schema.Invalid || f.Err.Code != connectors.CodeBadKey {
			t.Errorf("look-up %d: %v, want Invalid", i, f.Err)
		}
	}
	if found[3].Err != nil || found[3].Records != nil {
		t.Errorf("no keys: %v", found[3])
	}
	if _, err := s.Find(t.Context(), contact, [][]connectors.MatchKey{key("Email = null OR Email", "x")}); err == nil {
		t.Error("a field that is a clause is asked for")
	}
}

// A collection holds 200 records, a composite call the queries of 50 look-ups; a claim is one call of them.
func TestBatchSizes(t *testing.T) {
	var s Connector
	for op, want := range map[schema.Op]int{
		schema.OpWrite: 200, schema.OpLink: 200, schema.OpCreate: 200, schema.OpRead: 200, schema.OpFind: 50, schema.OpDelete: 0, schema.OpSteps: 0,
	} {
		if got := s.Batch(op); got != want {
			t.Errorf("%s: %d in a request, want %d", op, got, want)
		}
	}
	if got := s.CallsPerClaim(); got != 1 {
		t.Errorf("%d calls in a claim", got)
	}
}
