package archtest

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rung is one rule of the import ladder:
//
//	schema ← rules ← connectors ← activities ← workflows ← intake, dispatch, lookup, dashboard ← app ← worker, starter, demo
type rung struct {
	// of is a package, or with /... everything below a folder too; its paths are relative to the module.
	of string
	// own are the packages of ours that it may import, spelt likewise; foreign the modules that are not ours.
	own, foreign []string
	reason       string
}

// any among foreign allows every library.
const anyLibrary = "*"

var ladder = []rung{
	{"schema", nil, []string{"github.com/go-playground/validator/v10", "github.com/google/uuid"},
		"the shapes that cross a boundary are imported by everybody, so they drag nothing along"},
	{"rules", []string{"schema"}, []string{"github.com/google/uuid", "github.com/nyaruka/phonenumbers", "github.com/expr-lang/expr"},
		"a decision is a pure function: the same input gives the same output, in a test as in production"},
	{"connectors", []string{"schema", "rules"}, nil,
		"the contract of all systems knows none of them and nothing of our plumbing"},
	{"connectors/...", []string{"schema", "rules", "connectors/...", "internal/strictjson"}, []string{anyLibrary},
		"a connector is one folder: it can be written, tested and removed without the rest"},
	{"activities", []string{"schema", "rules", "connectors"}, []string{"go.temporal.io", "github.com/google/uuid"},
		"a step names what it needs in small interfaces; app gives it the store and the systems"},
	{"workflows", []string{"schema", "rules", "activities"}, []string{"go.temporal.io", "google.golang.org/protobuf"},
		"a story holds no I/O, else it does not replay"},
	{"internal/store", []string{"schema", "rules", "internal/secrets"}, []string{anyLibrary}, leafReason},
	{"internal/store/storetest", []string{"schema", "rules", "connectors", "activities", "workflows", "internal/..."}, []string{anyLibrary},
		"the tests of several packages stand on one installation"},
	{"internal/slack", []string{"schema", "rules", "internal/secrets"}, []string{anyLibrary}, leafReason},
	{"internal/integrationmap", []string{"schema", "rules"}, []string{anyLibrary}, leafReason},
	{"worker", []string{"internal/app"}, nil, "a main is thin: what it does is tested in app"},
	{"starter", []string{"internal/app"}, nil, "a main is thin: what it does is tested in app"},
}

const leafReason = "a leaf is joined to the rest in app only: what faces the network or Temporal is tested without it"

// plumbing below connectors is no connector.
var plumbing = []string{"connectortest", "envelope", "simulator"}

func TestImportLadder(t *testing.T) {
	checked := map[string]bool{}
	for _, p := range packages(t) {
		name, ours := strings.CutPrefix(p.ImportPath, module+"/")
		if !ours {
			continue
		}
		for _, r := range ladder {
			if !covers(r.of, name) {
				continue
			}
			checked[r.of] = true
			for _, imported := range p.Imports {
				if !allowed(r, imported) {
					t.Errorf("%s imports %s\n\tmay import %v and %v: %s", name, imported, r.own, r.foreign, r.reason)
				}
			}
			break // the first rule that covers a package is its own
		}
	}
	for _, needed := range []string{"schema", "rules", "connectors", "connectors/...", "workflows", "activities"} {
		if !checked[needed] {
			t.Errorf("no package is covered by the rule of %s", needed)
		}
	}
}

func allowed(r rung, imported string) bool {
	if own, ours := strings.CutPrefix(imported, module+"/"); ours {
		return slices.ContainsFunc(r.own, func(pattern string) bool { return covers(pattern, own) })
	}
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return true // the standard library
	}
	return slices.ContainsFunc(r.foreign, func(library string) bool {
		return library == anyLibrary || imported == library || strings.HasPrefix(imported, library+"/")
	})
}

// covers reports whether the pattern, with or without /..., covers the package.
func covers(pattern, name string) bool {
	folder, below := strings.CutSuffix(pattern, "/...")
	return name == folder || below && strings.HasPrefix(name, folder+"/")
}

// exclusive says who alone may import a package or what lies below it.
type exclusive struct {
	imported string
	by       []string
	reason   string
}

var only = []exclusive{
	{module + "/internal/app", []string{"worker", "starter", "demo/..."}, "app joins everything: whoever imports it gets everything"},
	{module + "/internal/store", []string{"internal/app", "demo/..."}, leafReason},
	{module + "/internal/slack", []string{"internal/app", "demo/..."}, leafReason},
	{module + "/internal/integrationmap", []string{"internal/app", "internal/store/storetest", "demo/..."}, leafReason},
	{"github.com/slack-go/slack", []string{"internal/slack/...", "demo/..."}, "there is one Slack client, with one outbox behind it"},
	{"github.com/jmoiron/sqlx", []string{"internal/store", "internal/store/storetest"}, "SQL is in one place, where its lock order is checked"},
	{"github.com/lib/pq", []string{"internal/store", "internal/localpg/...", "demo/..."}, "SQL is in one place, where its lock order is checked"},
	{"github.com/pressly/goose/v3", []string{"internal/store"}, "the schema is migrated in one place"},
	{"go.temporal.io/server", []string{"demo/temporalserver"}, "the server takes minutes to compile and would choose production's libraries"},
	{"testing", []string{"connectors/...", "internal/localpg/localpgtest", "internal/store/storetest"}, "only helpers of tests know the test framework"},
}

func TestOnlyTheseImport(t *testing.T) {
	rules := slices.Clone(only)
	for _, name := range connectorFolders(t) {
		rules = append(rules, exclusive{module + "/connectors/" + name, []string{"internal/app", "demo/..."}, leafReason})
	}
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		for _, rule := range rules {
			for _, imported := range p.Imports {
				if imported != rule.imported && !strings.HasPrefix(imported, rule.imported+"/") {
					continue
				}
				if covers(strings.TrimPrefix(rule.imported, module+"/")+"/...", name) {
					continue // the package itself and what lies below it
				}
				if !slices.ContainsFunc(rule.by, func(pattern string) bool { return covers(pattern, name) }) {
					t.Errorf("%s imports %s, which only %v may: %s", name, imported, rule.by, rule.reason)
				}
			}
		}
	}
}

// Whatever workflow code can call, however indirectly through our own packages, is free of drivers. The contract of the
// connectors speaks HTTP and is reached through the activities' types; workflow code itself may not name it.
func TestWorkflowsReachNoDriver(t *testing.T) {
	byPath := map[string]goPackage{}
	for _, p := range packages(t) {
		byPath[p.ImportPath] = p
	}
	start := byPath[module+"/workflows"]
	if len(start.Imports) == 0 {
		t.Fatal("no package workflows")
	}
	for _, imported := range start.Imports {
		for _, direct := range []string{"net/http", "net", "os", "os/exec", "database/sql", "math/rand", "math/rand/v2", "crypto/rand"} {
			if imported == direct {
				t.Errorf("workflows imports %s: a story reads no clock, no file, no network and no chance", direct)
			}
		}
	}
	type step struct{ path, via string }
	seen, queue := map[string]bool{}, []step{{start.ImportPath, "workflows"}}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for _, imported := range byPath[at.path].Imports {
			via := at.via + " → " + strings.TrimPrefix(imported, module+"/")
			for _, driver := range []string{
				"github.com/jmoiron/sqlx", "github.com/lib/pq", "github.com/slack-go/slack", "database/sql", "os/exec",
				module + "/connectors/", module + "/internal/store", module + "/internal/slack",
			} {
				if strings.HasPrefix(imported, driver) {
					t.Errorf("%s: workflow code could do I/O by accident", via)
				}
			}
			if _, ours := byPath[imported]; ours && !seen[imported] {
				seen[imported] = true
				queue = append(queue, step{imported, via})
			}
		}
	}
}

// The list of connectors in app is complete, and every connector is in it.
func TestConnectorListEqualsTheFolders(t *testing.T) {
	folders := map[string]bool{}
	for _, name := range connectorFolders(t) {
		folders[name] = true
	}
	joined := map[string]bool{}
	for _, p := range packages(t) {
		if p.ImportPath != module+"/internal/app" {
			continue
		}
		for _, imported := range p.Imports {
			name, ok := strings.CutPrefix(imported, module+"/connectors/")
			if ok && !slices.Contains(plumbing, name) {
				joined[name] = true
			}
		}
	}
	if !maps.Equal(folders, joined) {
		t.Errorf("folders of connectors %v, imported by internal/app %v", slices.Sorted(maps.Keys(folders)), slices.Sorted(maps.Keys(joined)))
	}
}

// connectorFolders are the folders of the connectors.
func connectorFolders(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(root, "connectors"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() && !slices.Contains(plumbing, entry.Name()) && entry.Name() != "testdata" {
			names = append(names, entry.Name())
		}
	}
	if len(names) == 0 {
		t.Fatal("no connectors")
	}
	return names
}

func TestMainsAreThin(t *testing.T) {
	const longest = 30
	for _, name := range []string{"worker/main.go", "starter/main.go", "demo/main.go"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if lines := strings.Count(string(text), "\n"); lines > longest {
			t.Errorf("%s has %d lines, at most %d: what a main does cannot be tested", name, lines, longest)
		}
		if !strings.Contains(string(text), "os.Exit(") {
			t.Errorf("%s does not hand its exit code to os.Exit", name)
		}
	}
	for _, name := range []string{"worker", "starter", "demo"} {
		entries, err := os.ReadDir(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, entry := range entries {
			if strings.HasSuffix(entry.Name(), ".go") && entry.Name() != "main.go" {
				t.Errorf("%s/%s: a main is one file", name, entry.Name())
			}
		}
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
