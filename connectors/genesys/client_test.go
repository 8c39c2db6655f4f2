package genesys

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lockstep/connectors"
	"lockstep/connectors/genesys/genesystest"
	"lockstep/schema"
)

const (
	someID   = "11111111-1111-4111-8111-111111111111"
	otherID  = "22222222-2222-4222-8222-222222222222"
	sourceID = "33333333-3333-4333-8333-333333333333"
	legacyID = "44444444-4444-4444-8444-444444444444"
	schemaID = "55555555-5555-4555-8555-555555555555"
)

var externalContact = connectors.Object{
	Name: "ExternalContact", Key: "externalIds.Lockstep",
	Fields: []string{"customFields.level", "externalIds.Legacy", "externalIds.Lockstep", "lastName", "surveyOptOut", "workEmail", "workPhone"},
}

var pinned = map[string]string{
	"external_source.Lockstep": sourceID, "external_source.Legacy": legacyID, "custom_schema_id": schemaID, "custom_schema_version": "3",
}

func noCredential(context.Context) (connectors.Credential, error) {
	return connectors.Credential{}, nil
}

func TestNewRefusesBadSettings(t *testing.T) {
	fine := func() Config {
		return Config{System: "ccaas", Endpoint: "https://api.mypurecloud.ie", Login: "https://login.mypurecloud.ie", Credential: noCredential}
	}
	if _, err := New(fine()); err != nil {
		t.Fatal(err)
	}
	option := func(pairs ...string) func(*Config) {
		return func(c *Config) {
			c.Options = map[string]string{}
			for i := 0; i < len(pairs); i += 2 {
				c.Options[pairs[i]] = pairs[i+1]
			}
		}
	}
	for name, spoil := range map[string]func(*Config){
		"unknown":               option("unknown", "canary"),
		"custom_schema_id":      option("custom_schema_id", "canary", "custom_schema_version", "1"),
		"custom_schema_version": option("custom_schema_id", schemaID, "custom_schema_version", "canary"),
		"go together":           option("custom_schema_id", schemaID),
		"promote":               option("promote", "canary"),
		"external_source.X":     option("external_source.X", "canary"),
		"external_source.":      option("external_source.", sourceID),
		"endpoint or login":     func(c *Config) { c.Endpoint = "http://canary.example" },
		"endpoint or login: ":   func(c *Config) { c.Login = "" },
		"credential":            func(c *Config) { c.Credential = nil },
	} {
		c := fine()
		spoil(&c)
		_, err := New(c)
		setting, _, _ := strings.Cut(name, ":")
		if err == nil || !strings.Contains(err.Error(), setting) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// scripted connects to a vendor that grants tokens and hands every other request to the script.
func scripted(t *testing.T, options map[string]string, script http.HandlerFunc) *Connector {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/oauth/token" {
			_, _ = w.Write([]byte(`{"access_token":"t","token_type":"bearer","expires_in":86399}`))
			return
		}
		script(w, r)
	}))
	t.Cleanup(server.Close)
	g, err := New(Config{
		System: "ccaas", Endpoint: server.URL, Login: server.URL, AllowLoopback: true, Options: options,
		Credential: func(context.Context) (connectors.Credential, error) {
			return connectors.Credential{ClientID: "id", ClientSecret: "secret"}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// The wire shapes, to the byte (connectors.md, 1.5; specification, ContactsPatchChange).
func TestWireShapes(t *testing.T) {
	var line, body, answer string
	g := scripted(t, pinned, func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		line, body = r.Method+" "+r.RequestURI, string(sent)
		_, _ = w.Write([]byte(answer))
	})
	id := schema.ID{1: 2}
	entity := `{"id":"` + someID + `","modifyDate":"2026-01-01T00:00:00.000Z"}`
	bulkAnswer := `{"results":[{"id":"0","success":true,"status":200,"entity":` + entity + `}],"errorCount":0,"errorIndexes":[]}`
	fields := schema.Fields{
		"lastName": "Byron", "workPhone": "+13175550100", "customFields.level": json.Number("7"), "externalIds.Legacy": "C-1", "surveyOptOut": true,
	}
	ours := `"matchingIdentifiers":[{"type":"ExternalId","value":"` + id.String() + `","externalSource":{"id":"` + sourceID + `"}}]`
	nested := `"customFields":{"level":7},"externalIds":[{"externalSource":{"id":"` + legacyID + `"},"value":"C-1"}%s],"lastName":"Byron",` +
		`"schema":{"id":"` + schemaID + `","version":3},"surveyOptOut":true,"workPhone":{"display":"+13175550100","e164":"+13175550100"}`
	const rules = `"fieldRules":{"defaultAction":"PreferProvided","defaultArrayAction":"Fill"}`
	steps := `{"field":"$.customFields.level","value":7,"action":"Update"},{"field":"$.lastName","value":"Byron","action":"Update"},` +
		`{"field":"$.surveyOptOut","value":true,"action":"Update"},%s{"field":"$.workPhone","value":{"display":"+13175550100","e164":"+13175550100"},"action":"Update"},` +
		`{"field":"$.schema","value":{"id":"` + schemaID + `","version":3},"action":"Update"},` +
		`{"field":"$.externalIds","value":[{"externalSource":{"id":"` + legacyID + `"},"value":"C-1"}%s],"action":"AppendToCollection"}`
	mine := `,{"externalSource":{"id":"` + sourceID + `"},"value":"` + id.String() + `"}`
	withClear := schema.Fields{"workEmail": nil}
	for k, v := range fields {
		withClear[k] = v
	}
	cases := []struct {
		name, answer, line, body string
		call                     func() error
	}{
		{
			"write", bulkAnswer, "POST /api/v2/externalcontacts/bulk/contacts/enrich",
			`{"entities":[{"id":"0",` + ours + `,"action":"Update","contact":{` + fmt.Sprintf(nested, "") + `},` + rules + `}]}`,
			func() error {
				_, err := g.Write(t.Context(), externalContact, []connectors.Change{{ID: someID, Canonical: id, Fields: fields}})
				return err
			},
		},
		{
			"write with a clear", entity, "PATCH /api/v2/externalcontacts/contacts/" + someID,
			`{"changes":[` + fmt.Sprintf(steps, `{"field":"$.workEmail","action":"Remove"},`, "") + `]}`,
			func() error {
				_, err := g.Write(t.Context(), externalContact, []connectors.Change{{ID: someID, Canonical: id, Fields: withClear}})
				return err
			},
		},
		{
			"link", entity, "PATCH /api/v2/externalcontacts/contacts/" + someID,
			`{"changes":[` + fmt.Sprintf(steps, "", mine) + `]}`,
			func() error {
				_, err := g.Link(t.Context(), externalContact, []connectors.Change{{ID: someID, Canonical: id, Fields: fields}})
				return err
			},
		},
		{
			"create", strings.Replace(bulkAnswer, `200`, `201`, 1), "POST /api/v2/externalcontacts/bulk/contacts/enrich",
			`{"entities":[{"id":"0",` + ours + `,"action":"Upsert","contact":{` + fmt.Sprintf(nested, mine) + `},` + rules + `,"options":{"promote":true}}]}`,
			func() error {
				answers, err := g.Create(t.Context(), externalContact, []connectors.Change{{Canonical: id, Fields: withClear}})
				if err == nil && !answers[0].Created {
					t.Error("a status of 201 is no creation")
				}
				return err
			},
		},
		{
			"read", entity, "GET /api/v2/externalcontacts/contacts/" + someID, ``,
			func() error { _, err := g.Read(t.Context(), externalContact, []string{someID}); return err },
		},
		{
			"read of two", `{"results":[{"id":"` + someID + `","success":true,"entity":` + entity + `},{"id":"` + otherID + `","success":false,"error":{"status":404,"code":"x"}}]}`,
			"POST /api/v2/externalcontacts/bulk/contacts", `{"entities":[{"id":"` + someID + `"},{"id":"` + otherID + `"}]}`,
			func() error { _, err := g.Read(t.Context(), externalContact, []string{someID, otherID}); return err },
		},
		{
			"find", `{"results":[{"id":"1","success":false,"error":{"status":404,"code":"contact.not.found"}},{"id":"0","success":true,"entity":` + entity + `},` +
				`{"id":"2","success":false,"error":{"status":404,"code":"contact.not.found"}}]}`,
			"POST /api/v2/externalcontacts/bulk/contacts/enrich?dryRun=true",
			`{"entities":[{"id":"0","matchingIdentifiers":[{"type":"Email","value":"a@b.co"}],"action":"Update","contact":{}},` +
				`{"id":"1","matchingIdentifiers":[{"type":"Phone","value":"+1317"}],"action":"Update","contact":{}},` +
				`{"id":"2","matchingIdentifiers":[{"type":"ExternalId","value":"C-1","externalSource":{"id":"` + legacyID + `"}}],"action":"Update","contact":{}}]}`,
			func() error {
				found, err := g.Find(t.Context(), externalContact, [][]connectors.MatchKey{
					{{Kind: connectors.MatchEmail, Field: "workEmail", Value: schema.Text("a@b.co")}, {Kind: connectors.MatchPhone, Field: "workPhone", Value: schema.Text("+1317")}},
					{{Kind: connectors.MatchExternal, Field: "externalIds.Legacy", Value: schema.Text("C-1")}},
				})
				if err == nil && (len(found[0].Records) != 1 || len(found[1].Records) != 0 || found[1].Err != nil) {
					t.Errorf("found %v", found)
				}
				return err
			},
		},
		{
			"feed", `{"entities":[],"nextUri":"http://169.254.169.254/x?limit=200&after=abc%2B%2F"}`, "GET /api/v2/externalcontacts/scan/contacts?limit=200", ``,
			func() error {
				page, err := g.ChangedSince(t.Context(), externalContact, time.Time{}, "")
				if page.Next != "abc+/" {
					t.Errorf("the next page is %q", page.Next)
				}
				return err
			},
		},
		{
			"next page", `{"entities":[]}`, "GET /api/v2/externalcontacts/scan/contacts?cursor=abc%2B%2F%26limit%3D1&limit=200", ``,
			func() error {
				_, err := g.ChangedSince(t.Context(), externalContact, time.Time{}, "abc+/&limit=1")
				return err
			},
		},
	}
	for _, c := range cases {
		answer = c.answer
		if err := c.call(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if line != c.line || body != c.body {
			t.Errorf("%s sent\n%s\n%s\nwant\n%s\n%s", c.name, line, body, c.line, c.body)
		}
	}
}

func TestReadFlattens(t *testing.T) {
	g := scripted(t, pinned, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"id":"` + someID + `","modifyDate":"2026-01-01T02:00:00.5+02:00","lastName":"Byron","surveyOptOut":false,
		 "workPhone":{"display":"+1 317-555-0100","e164":"+13175550100","extension":7},"customFields":{"level":1.50,"other":{}},
		 "externalIds":[{"externalSource":{"id":"` + otherID + `"},"value":"no"},{"externalSource":{"id":"` + strings.ToUpper(legacyID) + `"},"value":"C-1"},
		  {"externalSource":{"id":"` + legacyID + `"},"value":"C-2"}],"unknown":[{}]}`))
	})
	answers, err := g.Read(t.Context(), externalContact, []string{someID})
	if err != nil || answers[0].Err != nil {
		t.Fatal(err, answers)
	}
	r := answers[0].Record
	want := "map[customFields.level:1.50 externalIds.Legacy:C-1 externalIds.Lockstep:<nil> lastName:Byron surveyOptOut:false workEmail:<nil> workPhone:+13175550100]"
	if fmt.Sprint(map[string]any(r.Fields)) != want || !r.ModifiedAt.Equal(time.Date(2026, 1, 1, 0, 0, 0, 500_000_000, time.UTC)) {
		t.Errorf("read %v of %v, want %s", map[string]any(r.Fields), r.ModifiedAt, want)
	}
}

// A merged contact is known by its canonical one, whichever of the two forms the vendor answers with.
func TestMergedContacts(t *testing.T) {
	g := scripted(t, pinned, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"id":"` + someID + `","canonicalContact":{"id":"` + otherID + `"}}`))
	})
	answers, err := g.Read(t.Context(), externalContact, []string{someID})
	if err != nil || answers[0].ID != otherID || answers[0].Record.ID != otherID {
		t.Errorf("%+v, %v", answers, err)
	}

	org := genesystest.Start(t, genesystest.Options{})
	source := org.Put("ExternalSource", map[string]any{"name": "Lockstep"})["id"].(string)
	first := org.Put("ExternalContact", map[string]any{"lastName": "One"})["id"].(string)
	second := org.Put("ExternalContact", map[string]any{"lastName": "Two"})["id"].(string)
	merged, err := org.Merge("ExternalContact", fmt.Appendf(nil, `{"contactIds":[%q,%q]}`, first, second), "")
	if err != nil {
		t.Fatal(err)
	}
	var kept struct{ ID string }
	encoded, _ := json.Marshal(merged)
	if err := json.Unmarshal(encoded, &kept); err != nil {
		t.Fatal(err)
	}
	g = at(t, org, map[string]string{"external_source.Lockstep": source})
	object := connectors.Object{Name: "ExternalContact", Key: "externalIds.Lockstep", Fields: []string{"externalIds.Lockstep", "lastName"}}
	for _, ids := range [][]string{{first}, {first, second}} {
		answers, err := g.Read(t.Context(), object, ids)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range answers {
			if a.Err != nil || a.ID != kept.ID || a.Record.ID != kept.ID {
				t.Errorf("read %d: %+v, want id %s", len(ids), a, kept.ID)
			}
		}
	}
}

// at connects to a simulated org.
func at(t *testing.T, org *genesystest.Server, options map[string]string) *Connector {
	t.Helper()
	g, err := New(Config{
		System: "ccaas", Endpoint: org.URL, Login: org.LoginURL, AllowLoopback: true, Options: options,
		Credential: func(context.Context) (connectors.Credential, error) {
			return connectors.Credential{ClientID: org.ClientID, ClientSecret: org.ClientSecret}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// B16: a token names no org here, and none leads anywhere but to the endpoint: there another org's token is refused, and one
// more login is all that it costs.
func TestB16_ATokenOfAnotherOrgIsRefused(t *testing.T) {
	ours, other := genesystest.Start(t, genesystest.Options{}), genesystest.Start(t, genesystest.Options{})
	g, err := New(Config{System: "ccaas", Endpoint: ours.URL, Login: other.LoginURL, AllowLoopback: true, Credential: func(context.Context) (connectors.Credential, error) {
		return connectors.Credential{ClientID: other.ClientID, ClientSecret: other.ClientSecret}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	id := ours.Put("ExternalContact", map[string]any{"lastName": "One"})["id"].(string)
	_, err = g.Read(t.Context(), connectors.Object{Name: "ExternalContact", Key: "externalIds.Lockstep", Fields: []string{"externalIds.Lockstep", "lastName"}}, []string{id})
	if kind, _ := connectors.KindOf(err); kind != schema.AuthExpired {
		t.Errorf("%v, want AuthExpired", err)
	}
	logins := 0
	for _, r := range other.Requests() {
		if !strings.HasPrefix(r.Path, "/oauth/token") {
			t.Errorf("the other org was asked: %s %s", r.Method, r.Path)
		}
		logins++
	}
	if logins != 2 {
		t.Errorf("%d logins, want 2", logins)
	}
}

// The newer specification demands $. before every path; the simulator can be as strict.
func TestStrictPaths(t *testing.T) {
	org := genesystest.Start(t, genesystest.Options{Switches: genesystest.Switches{StrictPaths: true}})
	g := at(t, org, nil)
	if err := g.EnsureSources(t.Context(), "Lockstep"); err != nil {
		t.Fatal(err)
	}
	id := org.Put("ExternalContact", map[string]any{"lastName": "One", "workEmail": "one@example.com"})["id"].(string)
	object := connectors.Object{Name: "ExternalContact", Key: "externalIds.Lockstep", Fields: []string{"externalIds.Lockstep", "lastName", "workEmail"}}
	change := []connectors.Change{{ID: id, Canonical: schema.NewRandom(), Fields: schema.Fields{"lastName": "Two", "workEmail": nil}}}
	for _, call := range []func(context.Context, connectors.Object, []connectors.Change) ([]connectors.Answer, error){g.Link, g.Write} {
		answers, err := call(t.Context(), object, change)
		if err != nil || answers[0].Err != nil || answers[0].Record.Fields["lastName"] != "Two" || answers[0].Record.Fields["workEmail"] != nil {
			t.Errorf("%+v, %v", answers, err)
		}
	}
}

// Sources are asked for once, by their whole name, and made only by EnsureSources.
func TestExternalSources(t *testing.T) {
	org := genesystest.Start(t, genesystest.Options{RequestsPerMinute: -1})
	for n := range 120 {
		org.Put("ExternalSource", map[string]any{"name": fmt.Sprint("Lockstep", n)})
	}
	g := at(t, org, nil)
	object := connectors.Object{Name: "ExternalContact", Key: "externalIds.Lockstep", Fields: []string{"externalIds.Lockstep"}}
	_, err := g.Read(t.Context(), object, []string{someID})
	if kind, _ := connectors.KindOf(err); kind != schema.Unsupported || !strings.Contains(err.Error(), CodeNoSource) {
		t.Errorf("a missing source: %v, want Unsupported", err)
	}
	if len(org.Effects()) != 0 {
		t.Error("a read made a source")
	}
	for range 2 {
		if err := g.EnsureSources(t.Context(), "Lockstep"); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(org.Effects()); n != 1 {
		t.Errorf("%d sources were made, want 1", n)
	}
	before := len(org.Requests())
	for range 3 {
		if _, err := g.Read(t.Context(), object, []string{someID}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(org.Requests()) - before; n != 3 {
		t.Errorf("%d requests for 3 reads", n)
	}
	made := org.Records("ExternalSource")[120]
	if sources := g.Sources(); len(sources) != 1 || sources[made["id"].(string)] != "Lockstep" {
		t.Errorf("sources are %v", sources)
	}
	// Another process finds it behind a page of longer names.
	other := at(t, org, nil)
	if _, err := other.Read(t.Context(), object, []string{someID}); err != nil {
		t.Errorf("a known source: %v", err)
	}
	if err := g.EnsureSources(t.Context(), "../x"); err == nil {
		t.Error("a name that is none is asked for")
	}
}

// D08: an answer that is not what Genesys sends is neither a success nor a refusal.
func TestD08DriftedAnswers(t *testing.T) {
	answer := ""
	g := scripted(t, pinned, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) })
	change := connectors.Change{ID: someID, Fields: schema.Fields{"lastName": "x"}}
	kindOf := func(answers []connectors.Answer, err error) schema.Kind {
		if kind, ok := connectors.KindOf(err); ok {
			return kind
		}
		if len(answers) == 1 && answers[0].Err != nil {
			return answers[0].Err.Kind
		}
		return ""
	}
	for _, answer = range []string{
		``, `{}`, `null`, `[]`, `{"results":[]}`, `{"results":[{"id":"1","success":true}]}`, `{"results":[{"id":"0"},{"id":"0"}]}`,
		`{"results":[{"id":"canary","success":true}]}`, `{"results":[{"id":"0","success":true}]}`, `{"results":[{"id":"0","success":true,"entity":{"id":"../canary"}}]}`,
		`{"results":[{"id":"0","success":false}]}`, `{"results":[{"id":"0","success":true,"entity":{"id":7}}]}`, `<html>canary`,
	} {
		answers, err := g.Write(t.Context(), externalContact, []connectors.Change{change})
		if kindOf(answers, err) != schema.UnknownOutcome {
			t.Errorf("write answered %s: %v, %v; want UnknownOutcome", answer, answers, err)
		}
	}
	clearing := connectors.Change{ID: someID, Fields: schema.Fields{"lastName": nil}}
	for _, answer = range []string{``, `{}`, `null`, `[]`, `{"id":"../canary"}`, `{"id":7}`, `<html>canary`} {
		answers, err := g.Write(t.Context(), externalContact, []connectors.Change{clearing})
		if kindOf(answers, err) != schema.UnknownOutcome {
			t.Errorf("patch answered %s: %v, %v; want UnknownOutcome", answer, answers, err)
		}
		answers, err = g.Read(t.Context(), externalContact, []string{someID})
		if kindOf(answers, err) != schema.Unavailable {
			t.Errorf("read answered %s: %v, %v; want Unavailable", answer, answers, err)
		}
	}
	for _, answer = range []string{
		`{"results":[]}`, `{"results":[{"success":true,"entity":{"id":"` + someID + `"}}]}`,
		`{"results":[{"id":"` + schemaID + `","success":true,"entity":{"id":"` + someID + `"}},{"success":false,"error":{"status":404}}]}`,
	} {
		_, err := g.Read(t.Context(), externalContact, []string{someID, otherID})
		if kind, _ := connectors.KindOf(err); kind != schema.Unavailable {
			t.Errorf("read of two answered %s: %v; want Unavailable", answer, err)
		}
	}
	for _, answer = range []string{``, `{}`, `null`, `{"entities":[{"id":"?"}]}`, `{"entities":["canary"]}`} {
		_, err := g.ChangedSince(t.Context(), externalContact, time.Now(), "")
		if kind, _ := connectors.KindOf(err); kind != schema.Unavailable {
			t.Errorf("feed answered %s: %v, want Unavailable", answer, err)
		}
	}
}

// A lone contact's path leads to it: its statuses are its fate, not the call's.
func TestLoneRefusals(t *testing.T) {
	status, code := 0, ""
	g := scripted(t, pinned, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ININ-Correlation-Id", someID)
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"code":%q,"status":%d,"message":"canary","details":[{"fieldName":"contact.workPhone.e164"}],"contextId":"x"}`, code, status)
	})
	clearing := []connectors.Change{{ID: someID, Fields: schema.Fields{"lastName": nil}}}
	for _, c := range []struct {
		status int
		code   string
		want   schema.Kind
	}{
		{404, "contact.not.found", schema.NotFound}, {409, "general.conflict", schema.Conflict}, {409, "identifier.claimed", schema.LostRace},
		{412, "precondition.failed", schema.Conflict}, {422, "validation.failed", schema.Invalid}, {403, "missing.permissions", schema.Forbidden},
		{400, "not.a.user", schema.Unsupported},
	} {
		status, code = c.status, c.code
		answers, err := g.Write(t.Context(), externalContact, clearing)
		if err != nil {
			t.Errorf("%d %s failed the call: %v", c.status, c.code, err)
			continue
		}
		if e := answers[0].Err; e == nil || e.Kind != c.want || e.Field != "workPhone" || e.Correlation != someID || e.Code != c.code {
			t.Errorf("%d %s: %+v, want %s", c.status, c.code, e, c.want)
		}
	}
	for status = range map[int]bool{429: true, 500: true, 503: true, 504: true} {
		if _, err := g.Write(t.Context(), externalContact, clearing); err == nil {
			t.Errorf("%d is the contact's trouble", status)
		}
	}
}

// D02: without the header the body tells the wait.
func TestD02WaitOfTheBody(t *testing.T) {
	body := ""
	g := scripted(t, pinned, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.Write([]byte(body))
	})
	for text, want := range map[string]time.Duration{
		`{"code":"too.many.requests","messageParams":{"seconds":"12"}}`:                             12 * time.Second,
		`{"code":"too.many.requests","message":"Retry the request in [34] seconds"}`:                34 * time.Second,
		`{"code":"too.many.requests","messageParams":{"seconds":12},"message":"in [5] seconds"}`:    5 * time.Second,
		`{"code":"too.many.requests","messageParams":{"seconds":"999999999"}}`:                      time.Hour,
		`{"code":"too.many.requests","messageParams":{"seconds":"-4"}}`:                             time.Second,
		`{"code":"too.many.requests","messageParams":{"seconds":"canary"},"message":"in [5] days"}`: 0,
		`{"code":"too.many.requests"}`:                                                              0, `<html>`: 0, ``: 0,
	} {
		body = text
		_, err := g.Read(t.Context(), externalContact, []string{someID})
		var e *connectors.Error
		if !errors.As(err, &e) || e.Kind != schema.Throttled || e.RetryAfter != want {
			t.Errorf("%s: %v waits %v, want %v", text, err, e.RetryAfter, want)
		}
	}
}

func TestValuesThatGenesysCannotTake(t *testing.T) {
	g := scripted(t, map[string]string{"external_source.Lockstep": sourceID, "external_source.Legacy": legacyID},
		func(http.ResponseWriter, *http.Request) { t.Error("a request went out") })
	for name, fields := range map[string]schema.Fields{
		"a phone that is a number":      {"workPhone": json.Number("1")},
		"an external id that is bool":   {"externalIds.Legacy": true},
		"an external id to clear":       {"externalIds.Legacy": nil, "lastName": "x"},
		"a custom field, no schema":     {"customFields.level": "x"},
		"a field that nobody knows":     {"address.city": "x"},
		"a field with a path in it":     {"$.lastName": "x"},
		"a value of a type":             {"lastName": []any{"x"}},
		"a clear and a value of a type": {"lastName": []any{"x"}, "title": nil},
		"a clear and a custom field":    {"customFields.level": "x", "title": nil},
		"a clear of an unknown field":   {"address.city": nil},
	} {
		answers, err := g.Write(t.Context(), externalContact, []connectors.Change{{ID: someID, Fields: fields}})
		if err != nil || answers[0].Err == nil || answers[0].Err.Kind != schema.Unsupported {
			t.Errorf("%s: %v, %v; want Unsupported", name, answers, err)
		}
	}
	if answers, err := g.Create(t.Context(), externalContact, []connectors.Change{{Fields: schema.Fields{"workPhone": true}}}); err != nil || answers[0].Err == nil {
		t.Errorf("%v, %v", answers, err)
	}
}

func TestFits(t *testing.T) {
	g, err := New(Config{System: "ccaas", Endpoint: "https://api.example", Login: "https://login.example", Credential: noCredential})
	if err != nil {
		t.Fatal(err)
	}
	plain := connectors.Change{Fields: schema.Fields{"lastName": "x"}}
	clearing := connectors.Change{Fields: schema.Fields{"lastName": nil}}
	big := connectors.Change{Fields: schema.Fields{"lastName": strings.Repeat("x", 60_000)}}
	changes := func(list ...connectors.Change) []connectors.Change { return list }
	many := make([]connectors.Change, 25)
	for i := range many {
		many[i] = plain
	}
	for name, c := range map[string]struct {
		op      schema.Op
		changes []connectors.Change
		want    int
	}{
		"none": {schema.OpWrite, nil, 0}, "many": {schema.OpWrite, many, 10}, "a clear first": {schema.OpWrite, changes(clearing, plain), 1},
		"a clear last": {schema.OpWrite, changes(plain, plain, clearing, plain), 2}, "two clears": {schema.OpWrite, changes(clearing, clearing), 1},
		"a create has nothing to clear": {schema.OpCreate, changes(clearing, plain, clearing), 3}, "links": {schema.OpLink, many, 1},
		"big ones": {schema.OpCreate, changes(big, big, big, big, big), 3}, "one alone": {schema.OpWrite, changes(big), 1},
	} {
		if got := g.Fits(c.op, externalContact, c.changes); got != c.want {
			t.Errorf("%s: %d fit, want %d", name, got, c.want)
		}
	}
	key := connectors.MatchKey{Kind: connectors.MatchEmail, Field: "workEmail", Value: schema.Text("a@b.co")}
	keys := func(n int) []connectors.MatchKey {
		list := []connectors.MatchKey{}
		for range n {
			list = append(list, key)
		}
		return list
	}
	for want, lookups := range map[int][][]connectors.MatchKey{
		0: {}, 1: {keys(11), keys(1)}, 2: {keys(5), keys(5), keys(1)}, 3: {keys(3), keys(3), keys(4)},
		10: {{}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}},
	} {
		if got := g.FitsLookups(externalContact, lookups); got != want {
			t.Errorf("%d look-ups: %d fit, want %d", len(lookups), got, want)
		}
	}
	_, err = g.Find(t.Context(), connectors.Object{Name: "ExternalContact", Key: "externalIds.Lockstep"}, [][]connectors.MatchKey{keys(11)})
	if kind, _ := connectors.KindOf(err); kind != schema.Unsupported {
		t.Errorf("eleven keys: %v, want Unsupported", err)
	}
}

// A bulk enrich holds 10 contacts, a link is a request of its own; a claim is four of them.
func TestBatchSizes(t *testing.T) {
	var g Connector
	for op, want := range map[schema.Op]int{
		schema.OpWrite: 10, schema.OpLink: 1, schema.OpCreate: 10, schema.OpRead: 10, schema.OpFind: 10, schema.OpDelete: 0, schema.OpSteps: 0,
	} {
		if got := g.Batch(op); got != want {
			t.Errorf("%s: %d in a request, want %d", op, got, want)
		}
	}
	if got := g.CallsPerClaim(); got != 4 {
		t.Errorf("%d calls in a claim", got)
	}
}
