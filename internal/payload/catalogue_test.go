package payload_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"lockstep/connectors/envelope"
	"lockstep/internal/payload"
	"lockstep/schema"
)

func shipped(t testing.TB) *payload.Catalogue {
	t.Helper()
	c, err := payload.Load(schema.Shapes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func load(t testing.TB, files map[string]string) *payload.Catalogue {
	t.Helper()
	c, err := payload.Load(tree(files))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tree(files map[string]string) fs.FS {
	out := fstest.MapFS{}
	for name, text := range files {
		out[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

func refusal(t testing.TB, err error) *schema.Refusal {
	t.Helper()
	var r *schema.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("%v is no refusal", err)
	}
	return r
}

// Every schema that is shipped compiles, and every file of the tree is one.
func TestShippedSchemas(t *testing.T) {
	want := []string{"canonical/customer", "crm-flat/customer", "crm-legacy/account", "genesys/external-contact", "salesforce/contact"}
	c := shipped(t)
	for _, family := range want {
		if !c.Has(family) || !slices.Contains(c.Families(), family) {
			t.Errorf("%s is not among %v", family, c.Families())
		}
	}
	if c.Has("canonical/nobody") {
		t.Error("a family that is not there is there")
	}
	files := 0
	err := fs.WalkDir(schema.Shapes, ".", func(_ string, d fs.DirEntry, err error) error {
		if !d.IsDir() {
			files++
		}
		return err
	})
	if err != nil || files < len(want) {
		t.Errorf("%d files, %v", files, err)
	}
}

// `format` is off by default in the validator; here it counts.
func TestFormatsAreAsserted(t *testing.T) {
	c := shipped(t)
	cases := map[string]struct {
		body, field string
		reason      schema.Reason
	}{
		"an e-mail": {`{"phone_number":"+15550199888","email_address":"not an address"}`, "/email_address", schema.ReasonBadEmail},
		"a time":    {`{"phone_number":"+15550199888","email_address":"a@example.com","last_interaction_date":"yesterday"}`, "/last_interaction_date", schema.ReasonBadDate},
		"a date":    {`{"phone_number":"+15550199888","email_address":"a@example.com","last_interaction_date":"2026-02-30T00:00:00Z"}`, "/last_interaction_date", schema.ReasonBadDate},
	}
	for name, c2 := range cases {
		_, err := c.Check("crm-flat/customer", []byte(c2.body))
		if r := refusal(t, err); r.Reason != c2.reason || r.Field != c2.field || r.Remedy == "" {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if _, err := c.Check("crm-flat/customer", []byte(`{"phone_number":"+15550199888","email_address":"a@example.com","last_interaction_date":"2026-01-02T03:04:05Z"}`)); err != nil {
		t.Error(err)
	}
	if err := c.CheckTree("canonical/customer", map[string]any{"email_address": "not an address"}); err == nil {
		t.Error("the canonical e-mail is not checked")
	}
	if err := c.CheckTree("canonical/customer", map[string]any{"phone_number": "15550199888"}); err == nil {
		t.Error("a canonical number needs its plus")
	}
	if err := c.CheckTree("canonical/nobody", map[string]any{"phone_number": 7}); err != nil {
		t.Error(err)
	}
}

func TestLoadRefuses(t *testing.T) {
	fine := `{"type":"object"}`
	for name, c := range map[string]struct {
		files map[string]string
		says  string
	}{
		"a gap in the versions":      {map[string]string{"json/crm/person/v1.json": fine, "json/crm/person/v3.json": fine}, "json/crm/person has no v2.json|crm/person has no v2.json"},
		"no first version":           {map[string]string{"json/crm/person/v2.json": fine}, "crm/person has no v1.json"},
		"no JSON":                    {map[string]string{"json/crm/person/v1.json": `{`}, "json/crm/person/v1.json"},
		"no schema":                  {map[string]string{"json/crm/person/v1.json": `{"type":"colour"}`}, "json/crm/person/v1.json"},
		"a reference to nothing":     {map[string]string{"json/crm/person/v1.json": `{"$ref":"#/$defs/nothing"}`}, "json/crm/person/v1.json"},
		"a reference to the network": {map[string]string{"json/crm/person/v1.json": `{"$ref":"https://example.com/x.json"}`}, "json/crm/person/v1.json"},
		"a reference to a file":      {map[string]string{"json/crm/person/v1.json": `{"$ref":"file:///etc/passwd"}`}, "json/crm/person/v1.json"},
		"a bad pattern":              {map[string]string{"json/crm/person/v1.json": `{"pattern":"("}`}, "json/crm/person/v1.json"},
		"renames that are no map":    {map[string]string{"json/crm/person/v1.json": `{"x-renames":["a"]}`}, "json/crm/person/v1.json"},
		"a name in capitals":         {map[string]string{"json/CRM/person/v1.json": fine}, "json/CRM/person/v1.json is not named"},
		"a version of zero":          {map[string]string{"json/crm/person/v0.json": fine}, "is not named"},
		"another kind of file":       {map[string]string{"json/crm/person/v1.yaml": fine}, "is not named"},
		"a file too high":            {map[string]string{"json/person/v1.json": fine}, "is not named"},
	} {
		if _, err := payload.Load(tree(c.files)); err == nil || !regexp.MustCompile(c.says).MatchString(err.Error()) {
			t.Errorf("%s: %v; want it to say %s", name, err, c.says)
		}
	}
}

const (
	v1 = `{"type":"object","required":["tel"],"properties":{"tel":{"type":"string"},"first":{"type":"string"}},"x-renames":{"tel":"phone","first":"last","last":"first"}}`
	v2 = `{"type":"object","required":["phone"],"properties":{"phone":{"type":"string"}},"x-renames":{"phone":"phone_number"}}`
	v3 = `{"type":"object","required":["phone_number"],"properties":{"phone_number":{"type":"string"}}}`
)

var versions = map[string]string{"json/crm/person/v1.json": v1, "json/crm/person/v2.json": v2, "json/crm/person/v3.json": v3}

// An event says which version it is of; without a word it is of the first.
func TestVersions(t *testing.T) {
	c := load(t, versions)
	for body, want := range map[string]int{
		`{"tel":"1"}`: 1, `{"schema_version":1,"tel":"1"}`: 1, `{"schema_version":2,"phone":"1"}`: 2, `{"phone_number":"1","schema_version":3}`: 3,
	} {
		if n, err := c.Check("crm/person", []byte(body)); err != nil || n != want {
			t.Errorf("%s is of version %d, %v; want %d", body, n, err, want)
		}
	}
	for body, field := range map[string]string{
		`{"schema_version":4,"phone_number":"1"}`: "/schema_version", `{"schema_version":0,"tel":"1"}`: "/schema_version", `{"schema_version":-1,"tel":"1"}`: "/schema_version",
		`{"schema_version":"1","tel":"1"}`: "/schema_version", `{"schema_version":1.0,"tel":"1"}`: "/schema_version", `{"schema_version":null,"tel":"1"}`: "/schema_version",
		`{"schema_version":99999999999999999999,"tel":"1"}`: "/schema_version", `{"schema_version":2,"tel":"1"}`: "/phone", `{"phone":"1"}`: "/tel",
	} {
		_, err := c.Check("crm/person", []byte(body))
		if r := refusal(t, err); r.Field != field || r.Reason != schema.ReasonSchemaMismatch || r.Rule == "" {
			t.Errorf("%s: %+v; want it at %s", body, r, field)
		}
	}
}

// An event of an old version has today's names once it is read; names may change places.
func TestUpcast(t *testing.T) {
	c := load(t, versions)
	e := payload.Upcasting{Envelope: fields{}, Catalogue: c, Families: map[string]string{"Person": "crm/person"}}
	for body, want := range map[string]schema.Fields{
		`{"tel":"1","first":"a","last":"b","other":"c"}`:    {"phone_number": "1", "first": "b", "last": "a", "other": "c"},
		`{"schema_version":2,"phone":"1","first":"a"}`:      {"schema_version": json.Number("2"), "phone_number": "1", "first": "a"},
		`{"schema_version":3,"phone_number":"1","tel":"2"}`: {"schema_version": json.Number("3"), "phone_number": "1", "tel": "2"},
		`{"tel":"1","phone":"2"}`:                           {"phone_number": "2"},
		`{"schema_version":7,"tel":"1"}`:                    {"schema_version": json.Number("7"), "tel": "1"},
	} {
		for range 8 { // a map's order must not matter
			changes, err := e.Parse(json.RawMessage(body))
			if err != nil || len(changes) != 1 {
				t.Fatal(changes, err)
			}
			if diff := cmp.Diff(want, changes[0].Fields); diff != "" {
				t.Fatalf("%s: %s", body, diff)
			}
			if diff := cmp.Diff(want, changes[0].Old); diff != "" {
				t.Fatalf("%s, old values: %s", body, diff)
			}
		}
	}
	other := payload.Upcasting{Envelope: fields{}, Catalogue: c, Families: map[string]string{"Person": ""}}
	changes, err := other.Parse(json.RawMessage(`{"tel":"1"}`))
	if err != nil || changes[0].Fields["tel"] != "1" {
		t.Errorf("an object without a family: %v, %v", changes, err)
	}
	if _, err := e.Parse(json.RawMessage(`[]`)); err == nil {
		t.Error("an envelope's refusal is lost")
	}
}

// fields reads an object as the change of its members, with the same old values.
type fields struct{ envelope.Flat }

func (fields) Parse(raw json.RawMessage) ([]schema.Change, error) {
	f, err := envelope.NewFlat("Person", "")
	if err != nil {
		return nil, err
	}
	changes, err := f.Parse(raw)
	for i := range changes {
		changes[i].Old = schema.Fields{}
		for name, value := range changes[i].Fields {
			changes[i].Old[name] = value
		}
	}
	return changes, err
}

// Of several shapes that all do not fit, the refusal is about the one that came furthest.
func TestTheDeepestCause(t *testing.T) {
	c := shipped(t)
	for body, want := range map[string]struct{ field, rule string }{
		`{"event_type":"UPDATE","timestamp":"yesterday","record_id":"1","object_type":"Contact"}`:                                              {"/timestamp", "is a date-time"},
		`{"event_type":"PATCH","timestamp":"2026-01-02T03:04:05Z","record_id":"1","object_type":"Contact"}`:                                    {"/event_type", "is one of the agreed values"},
		`{"event_type":"UPDATE","timestamp":"2026-01-02T03:04:05Z","record_id":"1","object_type":"Contact","change_set":{"Phone":{}}}`:         {"/change_set/Phone/new_value", "is required"},
		`{"event_type":"UPDATE","timestamp":"2026-01-02T03:04:05Z","record_id":"1","object_type":"Contact","change_set":[]}`:                   {"/change_set", "is of type object"},
		`{"event_type":"UPDATE","timestamp":"2026-01-02T03:04:05Z","record_id":"` + strings.Repeat("1", 65) + `","object_type":"x"}`:           {"/record_id", "has at most 64 characters"},
		`{"event_type":"UPDATE","timestamp":"2026-01-02T03:04:05Z","record_id":"","object_type":"x"}`:                                          {"/record_id", "has at least 1 characters"},
		`{"event_type":"UPDATE","timestamp":"2026-01-02T03:04:05Z","record_id":"1","object_type":"Contact","sequence":-1}`:                     {"/sequence", "meets minimum"},
		`{"event_type":"UPDATE","timestamp":"2026-01-02T03:04:05Z","record_id":"1","object_type":"Contact","sequence":1,"change_set":{"a":7}}`: {"/change_set/a", "is of type object"},
		`{"detail":{"payload":{}}}`: {"/detail/payload/ChangeEventHeader", "is required"},
		`{"detail":7}`:              {"/detail", "is of type object"},
		`[]`:                        {"", "is of type object"},
	} {
		_, err := c.Check("salesforce/contact", []byte(body))
		if r := refusal(t, err); r.Field != want.field || r.Rule != want.rule {
			t.Errorf("%s: %s %q; want %s %q", body, r.Field, r.Rule, want.field, want.rule)
		}
	}
	r := refusal(t, c.CheckTree("canonical/customer", map[string]any{"phone_number": "123"}))
	if r.Field != "/phone_number" || r.Masked != "999" || !strings.HasPrefix(r.Rule, "matches ") {
		t.Errorf("%+v", r)
	}
}

// A refusal holds no value of the event, whatever the event and wherever it breaks.
func TestRefusalsQuoteNothing(t *testing.T) {
	c := shipped(t)
	canaries := []string{"123-45-6789", "4111111111111111", "jane.canary@example.com", "+15550123456", "Jane Canary", "sk_live_canary", "1980-04-19"}
	value := rapid.Custom(func(t *rapid.T) any {
		canary := rapid.SampledFrom(canaries).Draw(t, "canary")
		return rapid.SampledFrom([]any{
			canary, canary + canary, strings.Repeat(canary, 30), []any{canary}, map[string]any{"new_value": canary}, map[string]any{"new_value": []any{canary}}, map[string]any{"x": canary},
			json.Number("4111111111111111"), json.Number("-4111111111111111.5"), nil, true, "", map[string]any{"payload": canary}, map[string]any{"ChangeEventHeader": canary}, map[string]any{"eventBody": canary},
		}).Draw(t, "value")
	})
	names := []string{
		"event_type", "timestamp", "record_id", "object_type", "sequence", "change_set", "detail", "phone_number", "email_address", "last_interaction_date", "schema_version", "source_system", "signature",
		"detail-type", "external_id", "topicName", "eventBody",
	}
	refused := 0
	rapid.Check(t, func(t *rapid.T) {
		body := rapid.MapOfN(rapid.SampledFrom(names), value, 0, 8).Draw(t, "body")
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range c.Families() {
			_, err := c.Check(family, raw)
			for _, err := range []error{err, c.CheckTree(family, body)} {
				var r *schema.Refusal
				if err == nil {
					continue
				}
				if !errors.As(err, &r) {
					t.Fatalf("%T is no refusal", err)
				}
				refused++
				text := fmt.Sprintf("%v %+v %#v %s", err, err, *r, mustJSON(r))
				for _, canary := range canaries {
					if strings.Contains(text, canary) {
						t.Fatalf("%s quotes %s: %s", family, canary, text)
					}
				}
			}
		}
	})
	if refused < 100 {
		t.Errorf("only %d refusals", refused)
	}
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// A schema that cannot be told in words of its own says at least which keyword it is.
func TestEveryKeywordHasWords(t *testing.T) {
	for shape, body := range map[string]string{
		`{"const":1}`: `2`, `{"multipleOf":2}`: `3`, `{"maximum":1}`: `2`, `{"minItems":1}`: `[]`, `{"uniqueItems":true}`: `[1,1]`, `{"maxProperties":0}`: `{"a":1}`, `{"additionalProperties":false}`: `{"a":1}`,
		`{"not":{}}`: `1`, `{"oneOf":[{},{}]}`: `1`, `{"if":true,"then":false}`: `1`, `{"propertyNames":{"maxLength":1}}`: `{"abc":1}`, `{"contains":{"const":1}}`: `[2]`, `{"dependentRequired":{"a":["b"]}}`: `{"a":1}`,
		`{"enum":["a"]}`: `"b"`, `{"format":"uuid"}`: `"x"`, `{"minLength":2}`: `"x"`, `false`: `1`,
	} {
		c := load(t, map[string]string{"json/crm/person/v1.json": `{"properties":{"x":` + shape + `}}`})
		_, err := c.Check("crm/person", []byte(`{"x":`+body+`}`))
		if r := refusal(t, err); r.Rule == "" || strings.Contains(r.Rule, "%!") || !strings.HasPrefix(r.Field, "/x") {
			t.Errorf("%s: %+v", shape, r)
		}
	}
}
