package schema_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"lockstep/internal/integrationmap"
	"lockstep/schema"
)

// tenancy are the names by which installations of several companies tell them apart.
var tenancy = regexp.MustCompile(`(?i)(^|[^a-z])(tenants?|compan(y|ies)|organi[sz]ations?|workspaces?|org|realm|account_id|customer_org)($|[^a-z])`)

// TestRuling14 shows that an installation is one company's: its business units are systems of the map, and nothing in the map,
// in the tables or in the shapes of events tells companies apart. One map is active at a time.
func TestRuling14(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(path string, of reflect.Type)
	walk = func(path string, of reflect.Type) {
		switch of.Kind() {
		case reflect.Pointer, reflect.Slice:
			walk(path, of.Elem())
		case reflect.Map:
			walk(path, of.Key())
			walk(path, of.Elem())
		case reflect.Struct:
			if seen[of] || !strings.HasPrefix(of.PkgPath(), "lockstep/") {
				return
			}
			seen[of] = true
			for i := range of.NumField() {
				f := of.Field(i)
				name, _, _ := strings.Cut(f.Tag.Get("yaml")+","+f.Tag.Get("json")+","+f.Name, ",")
				if tenancy.MatchString(name) || tenancy.MatchString(f.Name) {
					t.Errorf("%s.%s tells companies apart", path, f.Name)
				}
				walk(path+"."+f.Name, f.Type)
			}
		default:
		}
	}
	walk("Map", reflect.TypeFor[schema.Map]())
	walk("Posting", reflect.TypeFor[schema.Posting]())
	walk("Claim", reflect.TypeFor[schema.Claim]())
	if len(seen) < 12 {
		t.Fatalf("only %d types were looked at", len(seen))
	}

	tables := 0
	texts(t, schema.Migrations, ".sql", func(name, text string) {
		for statement := range strings.SplitSeq(text, ";\n") {
			if tenancy.MatchString(regexp.MustCompile(`--[^\n]*|'[^']*'`).ReplaceAllString(statement, "")) {
				t.Errorf("%s tells companies apart: %.200s", name, statement)
			}
			tables += strings.Count(statement, "CREATE TABLE")
		}
		if !regexp.MustCompile(`CREATE TABLE active_bundle \(\s*one\s+boolean PRIMARY KEY DEFAULT true CHECK \(one\)`).MatchString(text) {
			t.Errorf("%s: more than one map may be active", name)
		}
	})
	shapes := 0
	texts(t, schema.Shapes, ".json", func(name, text string) {
		var shape any
		if err := json.Unmarshal([]byte(text), &shape); err != nil {
			t.Fatal(err)
		}
		shapes++
		members(shape, func(member string) {
			if tenancy.MatchString(member) {
				t.Errorf("%s: the member %s tells companies apart", name, member)
			}
		})
	})
	if tables < 20 || shapes < 4 {
		t.Fatalf("only %d tables and %d shapes were looked at", tables, shapes)
	}

	shipped, err := os.ReadFile("../integration-map.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"tenant: acme\n", "tenants: {acme: {}}\n", "company: acme\n"} {
		if _, err := integrationmap.Parse("map.yaml", append([]byte(line), shipped...), integrationmap.Known{}); err == nil || !strings.Contains(err.Error(), strings.TrimRight(strings.Fields(line)[0], ":")) {
			t.Errorf("a map with %q: %v", line, err)
		}
	}
}

// texts calls do for every file of a kind.
func texts(t *testing.T, from fs.FS, kind string, do func(name, text string)) {
	t.Helper()
	err := fs.WalkDir(from, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, kind) {
			return err
		}
		text, err := fs.ReadFile(from, path)
		do(path, string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// members calls do for the name of every member below a value of JSON.
func members(value any, do func(name string)) {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			do(name)
			members(inner, do)
		}
	case []any:
		for _, inner := range v {
			members(inner, do)
		}
	}
}
