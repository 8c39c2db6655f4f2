package integrationmap_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"lockstep/internal/integrationmap"
	"lockstep/internal/signature"
	"lockstep/rules"
	"lockstep/schema"
)

var update = flag.Bool("update", false, "write what is wanted into the files of testdata")

var known = integrationmap.Known{
	Kinds: []string{"genesys", "salesforce"}, Envelopes: []string{"change_set", "flat", "genesys", "salesforce"},
	Schemas: []string{"crm-flat/customer", "crm-legacy/account", "genesys/external-contact", "salesforce/contact"},
	Wiring: func(m *schema.Map) (faults []integrationmap.Fault) {
		for name, s := range m.Sources {
			if _, err := signature.Covered(s.Signature); err != nil {
				faults = append(faults, integrationmap.Fault{Path: []string{"sources", name, "signature"}, Message: err.Error(), Remedy: "see docs"})
			}
		}
		return faults
	},
}

// shipped is the project's own map.
const shipped = "../../integration-map.yaml"

func TestTheProjectsOwnMapLoads(t *testing.T) {
	b, err := integrationmap.Load(shipped, known)
	if err != nil {
		t.Fatal(err)
	}
	if b.Rulesets["customer"] == nil || len(b.Digest) != 64 || len(b.YAML) == 0 {
		t.Fatalf("bundle %s with %d rulesets", b.Digest, len(b.Rulesets))
	}
	// The agreed customer, with our id in a place of both systems.
	fields := b.Map.Objects["customer"].Fields
	for name, kind := range map[string]schema.FieldType{
		"customer_uuid": schema.TypeCanonicalID, "external_id": schema.TypeText, "email_address": schema.TypeEmail, "phone_number": schema.TypePhone,
		"last_interaction_date": schema.TypeTimestamp,
	} {
		f := fields[name]
		if f.Type != kind || f.Systems["salesforce"].Field == "" || f.Systems["genesys"].Field == "" {
			t.Errorf("%s is a %s in %v", name, f.Type, f.Systems)
		}
	}
}

func fixtures(t *testing.T, kind string) []string {
	t.Helper()
	names, err := filepath.Glob("testdata/" + kind + "/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	return names
}

const wantPrefix = "# want: "

// header returns the lines at the top of a refused map that say what is wanted, and what comes before and after them.
func header(text []byte) (mark []byte, wants []string, rest []byte) {
	mark, rest = nil, text
	if bytes.HasPrefix(rest, []byte("\ufeff")) {
		mark, rest = rest[:3], rest[3:]
	}
	for bytes.HasPrefix(rest, []byte(wantPrefix)) {
		line, after, _ := bytes.Cut(rest, []byte("\n"))
		wants, rest = append(wants, strings.TrimPrefix(string(line), wantPrefix)), after
	}
	return mark, wants, rest
}

// problems loads a map that has to be refused.
func problems(t *testing.T, name string, text []byte) integrationmap.Problems {
	t.Helper()
	_, err := integrationmap.Parse(name, text, known)
	var found integrationmap.Problems
	if !errors.As(err, &found) || len(found) == 0 {
		t.Fatalf("%s is not refused: %v", name, err)
	}
	return found
}

// Every refused map is refused at the line and in the words that its first lines tell. It breaks the one rule that it is
// named by.
func TestRefusedMaps(t *testing.T) {
	for _, name := range fixtures(t, "refused") {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".yaml"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				text = rewrite(t, name, text)
			}
			_, wants, _ := header(text)
			var got []string
			for _, p := range problems(t, name, text) {
				got = append(got, told(p))
				if p.File != name || p.Line < 1 || p.Column < 1 || p.String() != fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, strings.SplitN(told(p), ": ", 2)[1]) {
					t.Errorf("%+v is told as %s", p, p)
				}
			}
			if !slices.Equal(got, wants) {
				t.Errorf("refused with\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(wants, "\n\t"))
			}
		})
	}
}

// told is a problem as the first lines of a refused map spell it.
func told(p integrationmap.Problem) string {
	s := strconv.Itoa(p.Line) + ": "
	if p.Path != "" {
		s += p.Path + ": "
	}
	s += p.Message
	if p.Remedy != "" {
		s += " (" + p.Remedy + ")"
	}
	return s
}

// rewrite puts what a map is refused with into its first lines.
func rewrite(t *testing.T, name string, text []byte) []byte {
	t.Helper()
	mark, _, rest := header(text)
	lines := 1
	for range 3 { // as many lines as there are problems, which moves the problems
		text = slices.Concat(mark, []byte(strings.Repeat(wantPrefix+"?\n", lines)), rest)
		lines = len(problems(t, name, text))
	}
	var head strings.Builder
	for _, p := range problems(t, name, text) {
		head.WriteString(wantPrefix + told(p) + "\n")
	}
	text = slices.Concat(mark, []byte(head.String()), rest)
	if err := os.WriteFile(name, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return text
}

// Every problem that the checker can find has a map that shows it.
func TestEveryRuleHasARefusedMap(t *testing.T) {
	var messages, remedies []string
	for _, name := range fixtures(t, "refused") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems(t, name, text) {
			messages, remedies = append(messages, p.Message), append(remedies, p.Remedy)
		}
	}
	sites := 0
	for _, file := range []string{"meaning.go", "load.go"} {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			fn, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || fn.Sel.Name != "add" && fn.Sel.Name != "problem" && fn.Sel.Name != "at" || len(call.Args) < 3 {
				return true
			}
			sites++
			for i, told := range [][]string{messages, remedies} {
				if pattern := patternOf(call.Args[i+1]); pattern != nil && !slices.ContainsFunc(told, pattern.MatchString) {
					t.Errorf("%s: no map in testdata/refused shows %s", file, pattern)
				}
			}
			return true
		})
	}
	if sites < 40 {
		t.Errorf("found only %d rules: this test no longer understands the checker", sites)
	}
	for tag := range shapeTags() {
		if _, err := os.Stat("testdata/refused/shape_" + tag + ".yaml"); err != nil {
			t.Errorf("no map in testdata/refused breaks the validator's rule %s: shape_%s.yaml", tag, tag)
		}
	}
}

// patternOf turns the literal or the format of an argument into a pattern; nil when it is neither.
func patternOf(arg ast.Expr) *regexp.Regexp {
	if call, ok := arg.(*ast.CallExpr); ok && len(call.Args) > 0 {
		arg = call.Args[0]
	}
	literal, ok := arg.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING || literal.Value == `""` {
		return nil
	}
	text, err := strconv.Unquote(literal.Value)
	if err != nil {
		return nil
	}
	quoted := regexp.MustCompile(`%[qsv]`).ReplaceAllString(regexp.QuoteMeta(text), ".+")
	return regexp.MustCompile("^" + quoted + "$")
}

// shapeTags are the validator's rules that maps are under.
func shapeTags() map[string]bool {
	tags := map[string]bool{}
	seen := map[reflect.Type]bool{}
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Map, reflect.Slice:
			walk(t.Elem())
		case reflect.Struct:
			if seen[t] {
				return
			}
			seen[t] = true
			for i := range t.NumField() {
				for rule := range strings.SplitSeq(t.Field(i).Tag.Get("validate"), ",") {
					name, _, _ := strings.Cut(rule, "=")
					if name != "" && name != "omitempty" && name != "dive" && name != "endkeys" {
						tags[name] = true
					}
				}
				walk(t.Field(i).Type)
			}
		default:
		}
	}
	walk(reflect.TypeFor[schema.Map]())
	return tags
}

// What is wrong is told all at once, in the order of the file, and the same way each time.
func TestProblemsAreSorted(t *testing.T) {
	const name = "testdata/refused/several_at_once.yaml"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	first := problems(t, name, text)
	if len(first) < 2 || !slices.IsSortedFunc(first, func(a, b integrationmap.Problem) int { return a.Line - b.Line }) {
		t.Errorf("%v", first)
	}
	if lines := strings.Split(first.Error(), "\n"); len(lines) != len(first) || lines[0] != first[0].String() {
		t.Errorf("%s", first.Error())
	}
	for range 20 {
		if again := problems(t, name, text); !slices.Equal(again, first) {
			t.Fatalf("%v, then %v", first, again)
		}
	}
}

func TestAMapThatIsNotThere(t *testing.T) {
	_, err := integrationmap.Load("testdata/nowhere.yaml", known)
	var found integrationmap.Problems
	if !errors.Is(err, os.ErrNotExist) || errors.As(err, &found) {
		t.Errorf("%v", err)
	}
}

func TestSoundMaps(t *testing.T) {
	for _, name := range fixtures(t, "sound") {
		b, err := integrationmap.Load(name, known)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		for object := range b.Map.Objects {
			if b.Rulesets[object] == nil {
				t.Errorf("%s: no ruleset for %s", name, object)
			}
		}
		observe := strings.Contains(name, "observe")
		for _, rs := range b.Rulesets {
			if rs.Observe != observe {
				t.Errorf("%s: observe is %t", name, rs.Observe)
			}
		}
	}
	b, err := integrationmap.Load("testdata/sound/a_source_only_system.yaml", known)
	if err != nil {
		t.Fatal(err)
	}
	if rs := b.Rulesets["customer"]; rs.Written("portal") || !rs.Written("desk") {
		t.Error("a source is written, or a system is not")
	}
	b, err = integrationmap.Load("testdata/sound/anchors.yaml", known)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Map.Objects["customer"].Fields["national_id"].SystemOfRecord; got != "crm" {
		t.Errorf("an alias became %q", got)
	}
}

// The published JSON Schema is made from the structs, is valid, takes every sound map and refuses a misspelt member.
func TestJSONSchema(t *testing.T) {
	const published = "../../schema/jsonschema/integration-map.json"
	want := integrationmap.JSONSchema()
	if *update {
		if err := os.WriteFile(published, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(published)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s is not what the structs say; run the test with -update", published)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(got))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("map.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("map.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(fixtures(t, "sound"), shipped) {
		if err := compiled.Validate(asJSON(t, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{
		"member_unknown", "member_unknown_far", "member_unknown_in_mapping", "member_unknown_in_match", "kind_list_for_text", "kind_text_for_number", "kind_list_for_map", "shape_oneof", "shape_eq",
		"shape_required", "shape_oneof_number",
	} {
		if err := compiled.Validate(asJSON(t, "testdata/refused/"+name+".yaml")); err == nil {
			t.Errorf("the published schema takes %s", name)
		}
	}
}

// asJSON reads a YAML file as the validator's tree.
func asJSON(t *testing.T, name string) any {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	converted, err := toJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(converted))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// The digest names what a map means: spelling and order do not count, and every value does.
func TestDigest(t *testing.T) {
	text, err := os.ReadFile("testdata/sound/every_setting.yaml")
	if err != nil {
		t.Fatal(err)
	}
	digest := func(text string) string {
		t.Helper()
		b, err := integrationmap.Parse("m.yaml", []byte(text), known)
		if err != nil {
			t.Fatal(err)
		}
		return b.Digest
	}
	first := digest(string(text))
	sections := regexp.MustCompile(`(?m)^[a-z]+:`).FindAllStringIndex(string(text), -1)
	reversed := ""
	for i, s := range sections {
		end := len(text)
		if i+1 < len(sections) {
			end = sections[i+1][0]
		}
		reversed = string(text[s[0]:end]) + "\n" + reversed
	}
	asJSON, err := toJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	for name, same := range map[string]string{
		"a comment": "# hello\n" + string(text), "other blanks": strings.ReplaceAll(string(text), ": ", ":   "), "another order": reversed, "quotes": strings.ReplaceAll(string(text), "owner: ops", `owner: "ops"`),
		"other line ends": strings.ReplaceAll(string(text), "\n", "\r\n"), "as JSON": string(asJSON), "a span in other units": strings.ReplaceAll(string(text), "longest: 30s", "longest: 0.5m"),
	} {
		if got := digest(same); got != first {
			t.Errorf("%s changes the digest", name)
		}
	}
	b, err := integrationmap.Parse("m.yaml", text, known)
	if err != nil {
		t.Fatal(err)
	}
	canonical, err := json.Marshal(b.Map)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(canonical, &tree); err != nil {
		t.Fatal(err)
	}
	leaves, seen := 0, map[string]string{first: "the map itself"}
	eachLeaf(tree, nil, func(path []string) {
		leaves++
		changed := string(changedAt(t, canonical, path))
		m := &schema.Map{}
		if err := json.Unmarshal([]byte(changed), m); err != nil {
			return // the value is of another kind now
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		at := strings.Join(path, ".")
		if other, twice := seen[string(again)]; twice {
			t.Errorf("%s and %s mean the same", at, other)
		}
		seen[string(again)] = at
		if bytes.Equal(again, canonical) {
			t.Errorf("%s does not count", at)
		}
	})
	if leaves < 100 {
		t.Errorf("only %d values", leaves)
	}
	// The canonical form holds every member of every part that the file has.
	for _, member := range strings.Fields("tolerance public_url id_header timestamp_header timestamp_format secret_encoding prefix encoding template max_body record_id reject pointer settle timeout slots " +
		"options login receiver_key issuer window when_empty max_length importance on_delete in out protect deputy") {
		if !bytes.Contains(canonical, []byte(`"`+member+`":`)) {
			t.Errorf("%s is not in the canonical form", member)
		}
	}
	for _, edit := range [][2]string{
		{"name: Dana Ruiz", "name: Dana Ruis"}, {"call_rate: 25/s", "call_rate: 26/s"}, {"mode: live", "mode: observe"}, {"settle: 500ms", "settle: 501ms"}, {"tolerance: none", "tolerance: 5m"},
		{"out: [digits]", "out: [digits, lower]"}, {"when_empty: refuse", "when_empty: accept"}, {"protect: token", "protect: drop"}, {"reserves: true", "reserves: false"}, {"window: 5s", "window: 6s"},
		{"lost_race: lost_race", "lost_race: record_busy"}, {"create: true", "create: false"}, {"escalate_after: 2m", "escalate_after: 3m"}, {"max_body: 1048576", "max_body: 1048577"},
	} {
		if !strings.Contains(string(text), edit[0]) {
			t.Fatal(edit[0])
		}
		if digest(strings.Replace(string(text), edit[0], edit[1], 1)) == first {
			t.Errorf("%s does not change the digest", edit[1])
		}
	}
}

func eachLeaf(tree any, at []string, f func(path []string)) {
	switch node := tree.(type) {
	case map[string]any:
		for name, value := range node {
			eachLeaf(value, append(slices.Clone(at), name), f)
		}
	case []any:
		for i, value := range node {
			eachLeaf(value, append(slices.Clone(at), strconv.Itoa(i)), f)
		}
	default:
		f(at)
	}
}

// changedAt returns the canonical form with one value changed.
func changedAt(t *testing.T, canonical []byte, path []string) []byte {
	t.Helper()
	var tree any
	d := json.NewDecoder(bytes.NewReader(canonical))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
		t.Fatal(err)
	}
	node := tree
	for i, segment := range path {
		last := i == len(path)-1
		switch n := node.(type) {
		case map[string]any:
			if last {
				n[segment] = other(n[segment])
			}
			node = n[segment]
		case []any:
			at, err := strconv.Atoi(segment)
			if err != nil {
				t.Fatal(err)
			}
			if last {
				n[at] = other(n[at])
			}
			node = n[at]
		}
	}
	b, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func other(value any) any {
	switch v := value.(type) {
	case string:
		return v + "x"
	case json.Number:
		return json.Number(v.String() + "1")
	case bool:
		return !v
	}
	return value
}

// Whatever somebody types into a map, the answer is a bundle or problems with a place, never a panic.
func TestAnyEditOfAMap(t *testing.T) {
	var maps []string
	for _, name := range append(append(fixtures(t, "sound"), fixtures(t, "refused")...), shipped) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		maps = append(maps, string(text))
	}
	pieces := []string{
		":", ": ", "-", "- ", "{", "}", "[", "]", ",", "\"", "'", "#", "&a ", "*a", "!!str ", "!!map ", "|", ">", "|-\n", "---\n", "...\n", "%YAML 1.2\n", "? ", "<<: ", "<<: *a", "\n", "\n\n", "\t", "  ", "~", "null", "true",
		"0x10", "1e9", ".inf", ".nan", "2026-01-01", "\\", "\\x00", "\x00", "\u0085", "\u2028", "é", "\xff", "@", "`", "%", "owners:", "objects: []", "systems: {}", "fields: null", "match: {}", "crm: []", "version:", "1", strings.Repeat("[", 300), strings.Repeat("{a: ", 300),
		strings.Repeat("- ", 300), "a: &a [*a]", "&a &b c", "!!binary aGk=", "!!set {a}", "? a\n: b\n", "<<: [*a, *b]",
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom(maps).Draw(t, "map")
		for range rapid.IntRange(1, 5).Draw(t, "edits") {
			at := rapid.IntRange(0, len(text)).Draw(t, "at")
			switch rapid.IntRange(0, 3).Draw(t, "edit") {
			case 0:
				text = text[:at] + rapid.SampledFrom(pieces).Draw(t, "piece") + text[at:]
			case 1:
				text = text[:at] + text[min(len(text), at+rapid.IntRange(1, 40).Draw(t, "length")):]
			case 2:
				lines := strings.Split(text, "\n")
				i := rapid.IntRange(0, len(lines)-1).Draw(t, "line")
				lines = slices.Insert(lines, i, lines[rapid.IntRange(0, len(lines)-1).Draw(t, "copied")])
				text = strings.Join(lines, "\n")
			case 3:
				from := rapid.IntRange(0, len(text)).Draw(t, "from")
				text = text[:at] + text[from:min(len(text), from+60)] + text[at:]
			}
		}
		b, err := integrationmap.Parse("m.yaml", []byte(text), known)
		var found integrationmap.Problems
		switch {
		case err == nil && b == nil, err != nil && !errors.As(err, &found):
			t.Fatalf("%v, %v", b, err)
		case err != nil:
			for _, p := range found {
				if p.Line < 1 || p.Column < 1 || p.Message == "" {
					t.Fatalf("%+v", p)
				}
			}
		default:
			for object := range b.Map.Objects {
				if _, err := rules.Compile(b.Map, object); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
