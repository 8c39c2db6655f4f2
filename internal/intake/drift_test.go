package intake_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"lockstep/internal/strictjson"
	"lockstep/schema"
)

// drifts are the sources whose events have a shipped JSON Schema, each with a sound event.
var drifts = []struct{ source, family, sound string }{
	{"standard", "crm-legacy/account", `{"event_type":"UPDATE","source_system":"CRM","timestamp":"2026-01-02T03:04:05Z","record_id":"001A","object_type":"Account",` +
		`"change_set":{"Customer_Status__c":{"old_value":null,"new_value":"Active"},"Phone":{"old_value":null,"new_value":"+15550199888"},"Email__c":{"old_value":"a@example.com","new_value":null}},"signature":"x"}`},
	{"cdc", "salesforce/contact", `{"event_type":"UPDATE","timestamp":"2026-01-02T03:04:05Z","record_id":"0015e00000AAAAAAA2","object_type":"Account","sequence":7,"changed_by":"005",` +
		`"change_set":{"Customer_Status__c":{"new_value":"Active"},"Phone":{"old_value":null,"new_value":"+15550199888"},"Name":{"old_value":"x","new_value":"y"}}}`},
	{"cdc", "salesforce/contact", strings.Replace(captured(7, "0015e00000AAAAAAA2", "0015e00000AAAAABA2"), `"commitUser"`, `"changeOrigin":"com/salesforce/api","commitUser"`, 1)},
	{"desk", "genesys/external-contact", contact("5a9c4c1e-0c54-4f0b-9b1e-2f8a7d3c6b10", "1", "+15550199888")},
	{"crm-flat", "crm-flat/customer", `{"phone_number":"+15550199888","email_address":"a@example.com","last_interaction_date":"2026-01-02T03:04:05Z","external_id":"C-1","vip":true,"points":12,"note":null,"schema_version":1,"name":"Roe"}`},
}

// Additions are taken and counted; a breaking change is refused and kept. Nothing is dropped in silence.
func TestA15_SchemaDrift(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	total := map[string]int{}
	for _, drift := range drifts {
		var tree any
		must(t, json.Unmarshal([]byte(drift.sound), &tree))
		oracle := h.compiled(drift.family)
		taken, refused := 0, 0
		for _, m := range spread(mutations(tree), 230) {
			body, err := json.Marshal(m.tree)
			must(t, err)
			before := h.count("SELECT count(*) FROM event")
			a := d.post(drift.source, string(body))
			decoded, err := strictjson.Decode(body)
			must(t, err)
			valid := oracle.Validate(decoded) == nil
			switch {
			case a.status == http.StatusAccepted && a.body.Receipt != nil:
				taken++
				if !valid {
					t.Errorf("%s with %s is taken", drift.family, m.what)
				}
				if n := h.count("SELECT count(*) FROM event") - before; n != a.body.Events || n == 0 && !a.body.Duplicate {
					t.Errorf("%s with %s: %s, and %d events", drift.family, m.what, a, n)
				}
			case a.status == http.StatusBadRequest && a.body.DeadLetter != "":
				refused++
				if m.addition {
					t.Errorf("%s with %s: %s; additions are taken", drift.family, m.what, a)
				}
				if !bytes.Equal(h.letter(a.body.DeadLetter), body) {
					t.Errorf("%s with %s: the letter holds something else", drift.family, m.what)
				}
				if a.body.Error.Rule == "" || a.body.Error.Field != "" && a.body.Error.Field[0] != '/' {
					t.Errorf("%s with %s: %s does not say what and where", drift.family, m.what, a)
				}
			default:
				t.Errorf("%s with %s: %s", drift.family, m.what, a)
			}
		}
		if taken < 20 || refused < 20 {
			t.Errorf("%s: %d taken and %d refused; the mutations do not bite", drift.family, taken, refused)
		}
		total[drift.family] += taken + refused
	}
	for family, n := range total {
		if n < 200 {
			t.Errorf("%s: only %d mutations", family, n)
		}
	}
	d.sound()
}

// spread returns about as many of the mutations as are asked for, from all over the tree, and every addition.
func spread(ms []mutation, most int) []mutation {
	step := max(1, len(ms)/most)
	i := -1
	return slices.DeleteFunc(ms, func(m mutation) bool {
		i++
		return !m.addition && i%step != 0
	})
}

// compiled compiles a shipped schema apart from the product's own code.
func (h *house) compiled(family string) *jsonschema.Schema {
	h.t.Helper()
	text, err := schema.Shapes.ReadFile("json/" + family + "/v1.json")
	must(h.t, err)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	must(h.t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	must(h.t, c.AddResource("schema.json", doc))
	compiled, err := c.Compile("schema.json")
	must(h.t, err)
	return compiled
}

type mutation struct {
	what     string
	tree     any
	addition bool
}

// mutations are the tree with one part added, removed or replaced by a value of another type, for every part of it.
func mutations(tree any) (ms []mutation) {
	others := []any{
		nil, true, json.Number("0"), json.Number("-1.5"), json.Number("12345678901234567890"), "", "x", strings.Repeat("y", 300), "2026-13-40T99:99:99Z", "not an e-mail", []any{}, []any{"a"},
		map[string]any{}, map[string]any{"new_value": "z"}, false, json.Number("1e5"), " ", "12", "+1 555 019 9888", "a@b", "2026-01-02", "\u202eabc", []any{nil}, map[string]any{"a": []any{}},
	}
	for _, at := range paths(tree) {
		name := "/" + strings.Join(at, "/")
		for _, other := range others {
			ms = append(ms, mutation{what: fmt.Sprintf("%s as %.20v", name, other), tree: changed(tree, at, other, false)})
		}
		ms = append(ms, mutation{what: "no " + name, tree: changed(tree, at, nil, true)})
	}
	for _, at := range append(paths(tree), nil) {
		if _, ok := get(tree, at).(map[string]any); ok && !(len(at) > 0 && at[len(at)-1] == "change_set") {
			for n, value := range []any{"text", json.Number("7"), nil, true} {
				more := append(slices.Clone(at), fmt.Sprint("added_", n))
				ms = append(ms, mutation{what: "/" + strings.Join(more, "/") + " added", tree: changed(tree, more, value, false), addition: true})
			}
		}
	}
	return ms
}

// paths lists every member, deepest last.
func paths(tree any) (out [][]string) {
	node, ok := tree.(map[string]any)
	if !ok {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(node)) {
		out = append(out, []string{name})
		for _, below := range paths(node[name]) {
			out = append(out, append([]string{name}, below...))
		}
	}
	return out
}

func get(tree any, at []string) any {
	for _, name := range at {
		node, _ := tree.(map[string]any)
		tree = node[name]
	}
	return tree
}

// changed returns a copy with one member set or removed.
func changed(tree any, at []string, value any, remove bool) any {
	node, ok := tree.(map[string]any)
	if !ok {
		return tree
	}
	out := maps.Clone(node)
	switch {
	case len(at) > 1:
		out[at[0]] = changed(node[at[0]], at[1:], value, remove)
	case remove:
		delete(out, at[0])
	default:
		out[at[0]] = value
	}
	return out
}

// Fields that the map says nothing about are counted by source, so that a source that begins to send more is seen.
func TestA15_UngovernedFieldsAreCounted(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := h.door()
	d.accepted("crm-flat", `{"phone_number":"+15550199888","email_address":"a@example.com","vip":true,"points":12,"external_id":"C-1"}`)
	d.accepted("github", change{record: "001A", more: `,"Shoe_Size__c":{"old_value":1,"new_value":2}`}.String())
	d.accepted("github", change{record: "001A", more: `,"Shoe_Size__c":{"old_value":1,"new_value":2}`}.String())
	d.refused("crm-flat", `{"phone_number":"12","email_address":"a@example.com","vip":true}`, schema.ReasonBadPhone)
	metrics := h.scrape()
	for _, want := range []string{`lockstep_ungoverned_fields_total{source="crm-flat"} 2`, `lockstep_ungoverned_fields_total{source="github"} 1`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("%s is not among the metrics", want)
		}
	}
}

// A bug of ours in reading an event must not cost the event: it goes to the dead letters, for an engineer.
func TestABodyThatMakesUsFail(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.openStore()
	in := h.sources()
	for _, source := range in {
		if source.Name == "github" {
			source.Envelope = faulty{}
		}
	}
	d := &door{h: h, store: s, Handler: h.intakeOf(s, in).Handler()}
	body := change{record: "001A"}.String()
	a := d.refused("github", body, schema.ReasonInternal)
	if string(h.letter(a.body.DeadLetter)) != body {
		t.Error("the letter holds something else")
	}
	if log := h.logs(); !strings.Contains(log, a.body.DeadLetter) || strings.Contains(log, "123-45-6789") {
		t.Errorf("the log says %s", log)
	}
	if a := d.post("standard", body); a.status != http.StatusAccepted {
		t.Errorf("another source: %s", a)
	}
}

// faulty is an envelope with a bug.
type faulty struct{}

func (faulty) Split([]byte) ([]json.RawMessage, error) { panic("secret 123-45-6789") }

func (faulty) Parse(json.RawMessage) ([]schema.Change, error) { return nil, errors.New("unreachable") }
