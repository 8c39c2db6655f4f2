package integrationmap

import (
	"bytes"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-playground/validator/v10"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"lockstep/rules"
	"lockstep/schema"
)

// Bundle is a loaded map, ready to decide with.
type Bundle struct {
	Map *schema.Map
	// YAML is the file as it was read.
	YAML []byte
	// Digest names the content: two files that mean the same have the same one.
	Digest string
	// Rulesets has one entry for each object.
	Rulesets map[string]*rules.Ruleset
}

// Known is what a map may refer to; the wiring knows it.
type Known struct {
	// Kinds are the connectors.
	Kinds []string
	// Envelopes are the ways in which sources wrap events.
	Envelopes []string
	// Schemas are the JSON Schema families.
	Schemas []string
	// Wiring, where it is set, finds what only the wiring can know of a map that is sound otherwise: settings that a
	// signature scheme, an envelope or a connector does not take.
	Wiring func(m *schema.Map) []Fault
}

// Fault is something that the wiring finds wrong.
type Fault struct {
	Path            []string
	Message, Remedy string
}

// Load reads and checks a map file. The error is a Problems, or says why the file could not be read.
func Load(path string, known Known) (*Bundle, error) {
	b, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return nil, fmt.Errorf("integration map: %w", err)
	}
	return Parse(path, b, known)
}

// Parse checks a map; name stands for its file in problems.
func Parse(name string, b []byte, known Known) (*Bundle, error) {
	if at := unreadable(b); at >= 0 {
		return nil, Problems{{
			File: name, Line: 1 + bytes.Count(b[:at], []byte("\n")), Column: at - bytes.LastIndexByte(b[:at], '\n'),
			Message: "is not plain text", Remedy: "save the file as UTF-8, without a byte order mark and without NUL",
		}}
	}
	root, err := parser.ParseBytes(b, 0)
	if err != nil {
		return nil, Problems{fromYAML(name, err)}
	}
	p := page{file: name}
	for _, doc := range root.Docs {
		if doc.Body == nil {
			continue
		}
		if p.root != nil {
			return nil, Problems{page{file: name, root: doc.Body}.at(first(doc.Body), "a second document begins", "one file is one map")}
		}
		p.root = doc.Body
	}
	if p.root == nil {
		return nil, Problems{{File: name, Line: 1, Column: 1, Message: "is empty", Remedy: "a map begins with version: 1"}}
	}
	problems := checkTexts(p, p.root, reflect.TypeFor[schema.Map](), nil)
	m := &schema.Map{}
	if err := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict()).Decode(m); err != nil && len(problems) == 0 {
		return nil, Problems{fromYAML(name, err)}
	}
	if len(problems) == 0 {
		problems = checkShape(p, m)
	}
	if len(problems) == 0 {
		problems = checkMeaning(p, m, known)
	}
	if len(problems) > 0 {
		problems.sort()
		return nil, problems
	}
	return bundle(m, b)
}

// unreadable returns where a file stops being plain text, -1 when it does not.
func unreadable(b []byte) int {
	if bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) {
		return 0
	}
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		if r == 0 || r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

func (p page) at(node ast.Node, message, remedy string) Problem {
	out := Problem{File: p.file, Line: 1, Column: 1, Message: message, Remedy: remedy}
	if t := node.GetToken(); t != nil && t.Position != nil {
		out.Line, out.Column = t.Position.Line, t.Position.Column
	}
	return out
}

// checkTexts reads every value that has a spelling of its own, such as a rate or a span of time. The decoder would tell
// what is wrong with one, and not where.
func checkTexts(p page, node ast.Node, t reflect.Type, path []string) (problems Problems) {
	node = inside(node)
	if reflect.PointerTo(t).Implements(textual) {
		scalar, ok := node.(ast.ScalarNode)
		if !ok {
			return nil // the decoder says so
		}
		value, _ := reflect.New(t).Interface().(encoding.TextUnmarshaler)
		if err := value.UnmarshalText([]byte(fmt.Sprint(scalar.GetValue()))); err != nil {
			return Problems{p.problem(path, "cannot be read", err.Error())}
		}
		return nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return checkTexts(p, node, t.Elem(), path)
	case reflect.Struct:
		for i := range t.NumField() {
			name := t.Field(i).Tag.Get("yaml")
			if _, value := child(node, name); value != nil && name != "" {
				problems = append(problems, checkTexts(p, value, t.Field(i).Type, append(slices.Clone(path), name))...)
			}
		}
	case reflect.Map:
		for _, m := range members(node) {
			name := m.Key.GetToken().Value
			problems = append(problems, checkTexts(p, m.Value, t.Elem(), append(slices.Clone(path), name))...)
		}
	default:
	}
	return problems
}

func bundle(m *schema.Map, b []byte) (*Bundle, error) {
	canonical, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("integration map: %w", err)
	}
	sum := sha256.Sum256(canonical)
	out := &Bundle{Map: m, YAML: b, Digest: hex.EncodeToString(sum[:]), Rulesets: map[string]*rules.Ruleset{}}
	for _, object := range slices.Sorted(maps.Keys(m.Objects)) {
		if out.Rulesets[object], err = rules.Compile(m, object); err != nil {
			return nil, fmt.Errorf("integration map: %w", err)
		}
	}
	return out, nil
}

// fromYAML turns a decoder's error into a problem with its position, in words of YAML rather than of Go.
func fromYAML(file string, err error) Problem {
	p := Problem{File: file, Line: 1, Column: 1, Message: "is not a map that can be read"}
	var located yaml.Error
	if !errors.As(err, &located) {
		return p
	}
	p.Message = located.GetMessage()
	if t := located.GetToken(); t != nil && t.Position != nil {
		p.Line, p.Column = t.Position.Line, t.Position.Column
	}
	var unknown *yaml.UnknownFieldError
	var kind *yaml.TypeError
	var large *yaml.OverflowError
	switch {
	case errors.As(err, &unknown) && unknown.Token != nil:
		p.Message = fmt.Sprintf("there is no member %q here", unknown.Token.Value)
		if p.Remedy = didYouMean(unknown.Token.Value, memberNames()); strings.HasPrefix(p.Remedy, "there are") {
			p.Remedy = "the published JSON Schema lists the members"
		}
	case errors.As(err, &kind):
		p.Message = "is of another kind than it has to be"
		p.Remedy = kindWords(kind.DstType)
	case errors.As(err, &large):
		p.Message, p.Remedy = "is too large", kindWords(large.DstType)
	}
	return p
}

// kindWords says what a member of a type takes.
func kindWords(t reflect.Type) string {
	switch {
	case t == nil:
		return ""
	case t == reflect.TypeFor[schema.Reference]():
		return `write env:NAME, or file:path below the secrets folder; in a list between brackets, put it in quotes`
	}
	switch t.Kind() {
	case reflect.Bool:
		return "write true or false"
	case reflect.Int:
		return "write a whole number"
	case reflect.String:
		return "write a text"
	case reflect.Slice:
		return "write a list"
	case reflect.Map, reflect.Struct, reflect.Pointer:
		return "write members with values"
	default:
		return ""
	}
}

// memberNames are the names of all members of all parts of a map.
func memberNames() []string {
	names := map[string]bool{}
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Map, reflect.Slice:
			walk(t.Elem())
		case reflect.Struct:
			for i := range t.NumField() {
				if name := t.Field(i).Tag.Get("yaml"); name != "" {
					names[name] = true
					walk(t.Field(i).Type)
				}
			}
		default:
		}
	}
	walk(reflect.TypeFor[schema.Map]())
	return slices.Sorted(maps.Keys(names))
}

var (
	nameGrammar   = regexp.MustCompile(`^[a-z][a-z0-9]*([_-][a-z0-9]+)*$`)
	headerGrammar = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
	slackGrammar  = regexp.MustCompile(`^[UWCGS][A-Z0-9]{6,20}$`)
	schemaGrammar = regexp.MustCompile(`^[a-z][a-z0-9-]*/[a-z][a-z0-9_-]*$`)
)

// checkShape checks every part by itself, with the validator.
func checkShape(p page, m *schema.Map) Problems {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(func(f reflect.StructField) string { return f.Tag.Get("yaml") })
	for tag, grammar := range map[string]*regexp.Regexp{
		"name": nameGrammar, "runbook": nameGrammar, "http_header": headerGrammar, "slack_id": slackGrammar, "schema_name": schemaGrammar,
	} {
		mustRegister(v, tag, func(f validator.FieldLevel) bool { return grammar.MatchString(f.Field().String()) })
	}
	mustRegister(v, "regexp", func(f validator.FieldLevel) bool {
		_, err := regexp.Compile(f.Field().String())
		return err == nil
	})
	var invalid validator.ValidationErrors
	if err := v.Struct(m); !errors.As(err, &invalid) {
		return nil
	}
	var problems Problems
	for _, e := range invalid {
		problems = append(problems, p.problem(pathOf(e.Namespace()), shapeMessage(e), shapeRemedy(e)))
	}
	return problems
}

func mustRegister(v *validator.Validate, tag string, f validator.Func) {
	if err := v.RegisterValidation(tag, f); err != nil {
		panic(err)
	}
}

// pathOf turns the validator's `Map.systems[salesforce].owner` into a path.
func pathOf(namespace string) []string {
	_, rest, _ := strings.Cut(namespace, ".")
	return strings.FieldsFunc(rest, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}

func shapeMessage(e validator.FieldError) string {
	switch e.Tag() {
	case "required", "min":
		return "is missing"
	case "oneof":
		return fmt.Sprintf("cannot be %q", fmt.Sprint(e.Value()))
	}
	if e.Kind() == reflect.Slice { // of secrets: whatever stands there is not repeated
		return fmt.Sprintf("has %d entries", reflect.ValueOf(e.Value()).Len())
	}
	return fmt.Sprintf("%q is not allowed here", fmt.Sprint(e.Value()))
}

func shapeRemedy(e validator.FieldError) string {
	grammars := map[string]string{
		"name": "a name is lower-case words joined by _ or -", "runbook": "a runbook is named like its file, without .md",
		"http_header": "a header's name", "slack_id": "a Slack id such as U02AB3CD4", "email": "an e-mail address",
		"iso3166_1_alpha2": "a country in two capital letters, such as US", "regexp": "a regular expression of Go",
		"schema_name": "a JSON Schema family such as crm-flat/customer", "url": "a URL", "startswith": "a JSON pointer such as /eventId", "eq": "must be " + e.Param(),
		"max": "at most " + e.Param(), "gte": "at least " + e.Param(), "lte": "at most " + e.Param(),
	}
	if e.Tag() == "oneof" {
		choices := strings.Fields(e.Param())
		value := fmt.Sprint(e.Value())
		if value == "hubspot_v1" || value == "hubspot_v2" {
			return "HubSpot v1 and v2 sign no time and are not HMACs; use hubspot_v3"
		}
		return didYouMean(value, choices)
	}
	return grammars[e.Tag()]
}
