package genesys_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"lockstep/connectors"
	"lockstep/connectors/connectortest"
	"lockstep/connectors/genesys"
	"lockstep/connectors/genesys/genesystest"
	"lockstep/connectors/simulator"
	"lockstep/schema"
)

var externalContact = connectors.Object{
	Name: "ExternalContact", Key: "externalIds.Lockstep",
	Fields: []string{"externalIds.Lockstep", "firstName", "lastName", "title", "workEmail", "workPhone"},
}

func TestConformance(t *testing.T) {
	const uuid = `[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`
	connectortest.Run(t, connectortest.Harness{
		Start: startOrg, Connect: connect, Object: externalContact, Person: person,
		Text: "lastName", Clear: "firstName", Email: "workEmail", Phone: "workPhone", External: "externalIds.Legacy",
		Missing: "00000000-0000-4000-8000-000000000009", TokenPath: "/oauth/token", OneOwner: true,
		Paths: regexp.MustCompile(`^/api/v2/externalcontacts/(contacts/` + uuid + `|bulk/contacts(/enrich)?|scan/contacts|externalsources)$`),
		RowFaults: []connectortest.Refusal{
			{Kind: schema.Contention}, // 503, retryable
			{Fault: itemFault(422, "validation.failed", "contact.workPhone.e164", false), Kind: schema.Invalid, Field: "workPhone"},
			{Fault: itemFault(422, "validation.failed", "$.lastName", false), Kind: schema.Invalid, Field: "lastName"},
			{Fault: itemFault(400, "invalid.value", "canary.person7@example.com", false), Kind: schema.Invalid},
			{Fault: itemFault(404, "contact.not.found", "", false), Kind: schema.NotFound},
			{Fault: itemFault(403, "missing.permissions", "", false), Kind: schema.Forbidden},
			{Fault: itemFault(412, "precondition.failed", "", false), Kind: schema.Conflict},
			{Fault: itemFault(429, "too.many.requests", "", true), Kind: schema.Contention},
			{Fault: itemFault(429, "too.many.requests", "", false), Kind: schema.Contention},
			{Fault: itemFault(422, "validation.failed", "", true), Kind: schema.Contention},
			{Fault: itemFault(500, "internal.server.error", "", false), Kind: schema.UnknownOutcome},
			{Fault: itemFault(400, "a code with words", "", false), Kind: schema.Invalid},
		},
		Refusals: []connectortest.Refusal{
			{Fault: simulator.Fault{Code: 400, BodyCode: "bad.request"}, Kind: schema.Invalid},
			{Fault: simulator.Fault{Code: 400, BodyCode: "not.a.user"}, Kind: schema.Unsupported},
			{Fault: simulator.Fault{Code: 403, BodyCode: "missing.any.permissions"}, Kind: schema.Forbidden},
			{Fault: simulator.Fault{Code: 404, BodyCode: "not.found"}, Kind: schema.Unsupported},
			{Fault: simulator.Fault{Code: 405}, Kind: schema.Unsupported},
			{Fault: simulator.Fault{Code: 409, BodyCode: "general.conflict"}, Kind: schema.Unsupported},
			{Fault: simulator.Fault{Code: 413}, Kind: schema.Invalid},
			{Fault: simulator.Fault{Code: 415}, Kind: schema.Unsupported},
			{Fault: simulator.Fault{Code: 422}, Kind: schema.Invalid},
			{Fault: simulator.Fault{Code: 429}, Kind: schema.Throttled},
			{Fault: simulator.Fault{Code: 500}, Kind: schema.Unavailable},
			{Fault: simulator.Fault{Code: 503}, Kind: schema.Unavailable},
		},
	})
}

func itemFault(code int, name, field string, retryable bool) simulator.Fault {
	return simulator.Fault{Code: code, BodyCode: name, Field: field, Retryable: &retryable}
}

func person(n int) schema.Fields {
	return schema.Fields{
		"firstName": fmt.Sprintf("Canary-Ada-%d", n), "lastName": fmt.Sprintf("Canary-Byron-%d", n),
		"workEmail": fmt.Sprintf("canary.person%d@example.com", n), "workPhone": fmt.Sprintf("+1317555%04d", n),
		"title": fmt.Sprintf("Canary Countess %d", n),
	}
}

// nest writes flat names as a person's tool would send them.
func nest(fields schema.Fields, sources map[string]string) map[string]any {
	wire, external := map[string]any{}, []any{}
	for name, value := range fields {
		source, isExternal := strings.CutPrefix(name, "externalIds.")
		switch {
		case isExternal:
			external = append(external, map[string]any{"externalSource": map[string]any{"id": sources[source]}, "value": value})
		case strings.HasSuffix(name, "Phone") && value != nil:
			wire[name] = map[string]any{"e164": value}
		default:
			wire[name] = value
		}
	}
	if len(external) > 0 {
		wire["externalIds"] = external
	}
	return wire
}

// flatten reads what the org shows without the connector's help.
func flatten(t *testing.T, record any, sources map[string]string) schema.Fields {
	var shown struct {
		ExternalIDs []struct {
			Source struct{ ID string } `json:"externalSource"`
			Value  string
		} `json:"externalIds"`
	}
	var plain map[string]any
	for _, into := range []any{&shown, &plain} {
		if err := json.Unmarshal(simulator.Encode(record), into); err != nil {
			t.Fatal(err)
		}
	}
	fields := schema.Fields{}
	for name, value := range plain {
		if phone, ok := value.(map[string]any); ok && strings.HasSuffix(name, "Phone") {
			value = phone["e164"]
		}
		fields[name] = value
	}
	for _, x := range shown.ExternalIDs {
		for name, id := range sources {
			if id != x.Source.ID {
				continue
			}
			if fields["externalIds."+name] != nil {
				t.Errorf("the contact has two ids of source %s", name)
			}
			fields["externalIds."+name] = x.Value
		}
	}
	return fields
}

func startOrg(t *testing.T) connectortest.System {
	org := genesystest.Start(t, genesystest.Options{RequestsPerMinute: -1})
	sources := map[string]string{}
	for _, name := range []string{"Lockstep2", "Lockstep", "Legacy"} {
		sources[name] = org.Put("ExternalSource", map[string]any{"name": name})["id"].(string)
	}
	return connectortest.System{
		API: org.Handler(), Login: org.LoginHandler(),
		Credential: connectors.Credential{ClientID: org.ClientID, ClientSecret: org.ClientSecret},
		Inject:     func(f simulator.Fault) { org.Inject(f) },
		Journal:    org.Journal,
		Put: func(fields schema.Fields) string {
			return org.Put("ExternalContact", nest(fields, sources))["id"].(string)
		},
		Edit: func(id string, fields schema.Fields) {
			wire := nest(fields, sources)
			wire["id"] = id
			org.Put("ExternalContact", wire)
		},
		Remove: func(id string) {
			if err := org.Remove("ExternalContact", id, ""); err != nil {
				t.Fatal(err)
			}
		},
		Get: func(id string) schema.Fields {
			found, err := org.State("ExternalContact", id, false)
			if err != nil || len(found) != 1 {
				return nil
			}
			return flatten(t, found[0], sources)
		},
		Count:  func() int { return len(org.Records("ExternalContact")) },
		Revoke: org.RevokeTokens,
		Rotate: func(secret string) {
			if err := org.RotateSecrets(fmt.Appendf(nil, `{"client_secret":%q}`, secret)); err != nil {
				t.Fatal(err)
			}
		},
	}
}

func connect(t *testing.T, p connectortest.Places) connectortest.Connector {
	g, err := genesys.New(genesys.Config{
		System: "ccaas", Endpoint: p.Endpoint, Login: p.Login, Credential: p.Credential, AllowLoopback: true,
		MaxResponse: p.MaxResponse, OnQuota: p.OnQuota,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.EnsureSources(t.Context(), "Lockstep", "Legacy"); err != nil {
		t.Fatal(err)
	}
	return g
}
