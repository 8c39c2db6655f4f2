package app

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"lockstep/internal/integrationmap"
	"lockstep/internal/secrets"
	"lockstep/schema"
)

// An error in the environment names the variable and what it takes, and repeats no value: it may be a secret in the wrong
// place.
func TestConfigurationErrorsNameTheVariable(t *testing.T) {
	const canary = "hunter2-canary"
	for name, takes := range map[string]string{
		"LOCKSTEP_SECRETS_MOUNTED": "true or false", "LOCKSTEP_DEMO": "true or false", "LOCKSTEP_LOG": "debug, info, warn or error", "LOCKSTEP_KEEP_ENDED": "a span of time",
		"LOCKSTEP_KEEP_DEAD": "a span of time", "LOCKSTEP_STOP": "a span of time", "LOCKSTEP_DATABASE_CONNECTIONS": "a whole number",
	} {
		t.Run(name, func(t *testing.T) {
			environment(t, map[string]string{name: canary})
			_, err := ReadConfig()
			if err == nil || !strings.Contains(err.Error(), name+" takes "+takes) || strings.Contains(err.Error(), canary) {
				t.Errorf("%v", err)
			}
			if code, _, complaints := call("map", "lint", shippedMap); code != ExitUsage || !strings.Contains(complaints, name) || strings.Contains(complaints, canary) {
				t.Errorf("%d %s", code, complaints)
			}
		})
	}
	for name, value := range map[string]string{
		"LOCKSTEP_DATABASE_CONNECTIONS": "-1", "LOCKSTEP_STOP": "0s", "LOCKSTEP_KEEP_ENDED": "-1h", "LOCKSTEP_KEEP_DEAD": "0",
	} {
		environment(t, map[string]string{name: value})
		if _, err := ReadConfig(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
	environment(t, map[string]string{"LOCKSTEP_STOP": "x", "LOCKSTEP_DEMO": "y"})
	if _, err := ReadConfig(); err == nil || !strings.Contains(err.Error(), "LOCKSTEP_STOP") || !strings.Contains(err.Error(), "LOCKSTEP_DEMO") {
		t.Errorf("of two faults: %v", err)
	}
	environment(t, nil)
	c, err := ReadConfig()
	if err != nil || c.Map != "integration-map.yaml" || c.Connections != 16 || c.Demo {
		t.Errorf("%+v, %v", c, err)
	}
	if c.KeepEnded != 7*24*time.Hour || c.KeepDead != 90*24*time.Hour {
		t.Errorf("raw bodies are kept for %s and %s, want 7 and 90 days", c.KeepEnded, c.KeepDead)
	}
}

// The exit codes: 0 fine, 1 finding, 2 usage, 3 remote down.
func TestExitCodes(t *testing.T) {
	dir := secretsFolder(t)
	url := migrated.New(t) + "&role=lockstep_app"
	const nobody = "postgres://nobody@127.0.0.1:1/none?sslmode=disable&connect_timeout=1"
	receipt := schema.NewReceipt().String()
	refused := "../integrationmap/testdata/refused/two_way_without_conflict_rule.yaml"
	base := map[string]string{"LOCKSTEP_SECRETS": dir, "LOCKSTEP_MAP": shippedMap, "LOCKSTEP_DEMO": "true", "LOCKSTEP_DATABASE_URL": url}
	with := func(pairs ...string) map[string]string {
		out := map[string]string{}
		for name, value := range base {
			out[name] = value
		}
		for i := 0; i < len(pairs); i += 2 {
			out[pairs[i]] = pairs[i+1]
		}
		return out
	}
	writeSecret(t, dir, "database_url", url)
	for name, c := range map[string]struct {
		environment map[string]string
		args        []string
		want        int
		says        string
	}{
		"a sound map":                    {nil, []string{"map", "lint", shippedMap}, ExitFine, "is sound; digest "},
		"the configured map":             {with(), []string{"map", "lint"}, ExitFine, "is sound"},
		"a refused map":                  {nil, []string{"map", "lint", refused}, ExitFinding, ":51:"},
		"a refused map for a command":    {with("LOCKSTEP_MAP", refused), []string{"stats"}, ExitUsage, "a two-way field needs a conflict rule"},
		"no map":                         {nil, []string{"map", "lint", "nowhere.yaml"}, ExitUsage, "nowhere.yaml"},
		"no map for a command":           {with("LOCKSTEP_MAP", "nowhere.yaml"), []string{"stats"}, ExitUsage, "nowhere.yaml"},
		"the schema":                     {nil, []string{"map", "schema"}, ExitFine, `"$schema"`},
		"help":                           {nil, []string{"--help"}, ExitFine, "Usage: lockstep"},
		"help of a command":              {nil, []string{"event", "show", "--help"}, ExitFine, "receipt"},
		"no command":                     {nil, nil, ExitUsage, "lockstep --help"},
		"an unknown command":             {nil, []string{"mpa", "lint"}, ExitUsage, "mpa"},
		"an unknown flag":                {nil, []string{"stats", "--yaml"}, ExitUsage, "--yaml"},
		"an unknown role":                {with(), []string{"serve", "--roles", "cook"}, ExitUsage, "cook"},
		"no receipt":                     {nil, []string{"event", "show"}, ExitUsage, "receipt"},
		"no uuid":                        {nil, []string{"event", "show", "7"}, ExitUsage, "uuid"},
		"an unknown receipt":             {with(), []string{"event", "show", receipt}, ExitFinding, "nothing was accepted under this receipt"},
		"numbers":                        {with(), []string{"stats"}, ExitFine, "accepted 0"},
		"numbers, the address in a file": {with("LOCKSTEP_DATABASE_URL", "file:database_url"), []string{"stats", "--json"}, ExitFine, `"accepted": 0`},
		"no address in the file":         {with("LOCKSTEP_DATABASE_URL", "file:nothing"), []string{"stats"}, ExitUsage, "LOCKSTEP_DATABASE_URL"},
		"no database":                    {with("LOCKSTEP_DATABASE_URL", ""), []string{"stats"}, ExitUsage, "LOCKSTEP_DATABASE_URL"},
		"a database that is down":        {with("LOCKSTEP_DATABASE_URL", nobody), []string{"event", "show", receipt}, ExitRemote, "does not answer"},
		"a database that is down, too":   {with("LOCKSTEP_MIGRATE_URL", nobody), []string{"migrate"}, ExitRemote, ""},
		"no secrets":                     {with("LOCKSTEP_SECRETS", ""), []string{"stats"}, ExitUsage, "LOCKSTEP_SECRETS"},
		"no secrets folder":              {with("LOCKSTEP_SECRETS", filepath.Join(dir, "nowhere")), []string{"stats"}, ExitUsage, "LOCKSTEP_SECRETS"},
		"no keys":                        {with("LOCKSTEP_SECRETS", t.TempDir()), []string{"stats"}, ExitUsage, "lockstep keys new"},
		"keys without a folder":          {nil, []string{"keys", "new"}, ExitUsage, "LOCKSTEP_SECRETS"},
		"keys that are there":            {with(), []string{"keys", "new"}, ExitUsage, "never overwritten"},
		"an unknown system":              {with(), []string{"system", "pause", "nobody", "--by", "me"}, ExitFinding, "no such system"},
		"nothing parked":                 {with(), []string{"park", "release", schema.NewRandom().String(), "genesys", "--by", "me"}, ExitFinding, "nothing of this record is parked"},
		"nobody to ask for health":       {with("LOCKSTEP_ADMIN_LISTEN", "127.0.0.1:1"), []string{"health"}, ExitRemote, "nobody answers"},
	} {
		t.Run(name, func(t *testing.T) {
			environment(t, c.environment)
			code, out, complaints := call(c.args...)
			if code != c.want || !strings.Contains(out+complaints, c.says) {
				t.Errorf("exit code %d, %s%s; want %d and %q", code, out, complaints, c.want, c.says)
			}
			if strings.Contains(out+complaints, "lockstep_app:") || strings.Contains(complaints, "goroutine ") {
				t.Errorf("%s%s", out, complaints)
			}
		})
	}
}

// The journal is held against the protocol's invariants: sound, and broken by hand.
func TestJournalCheck(t *testing.T) {
	url := migrated.New(t)
	environment(t, map[string]string{
		"LOCKSTEP_SECRETS": secretsFolder(t), "LOCKSTEP_MAP": shippedMap, "LOCKSTEP_DEMO": "true", "LOCKSTEP_DATABASE_URL": url + "&role=lockstep_app",
	})
	for _, args := range [][]string{{"journal", "check"}, {"journal", "check", "--json"}} {
		code, out, complaints := call(args...)
		if sound := strings.Contains(out, "every invariant holds") || strings.Contains(out, `"findings": []`); code != ExitFine || !sound {
			t.Errorf("%v of a sound journal: %d %s%s", args, code, out, complaints)
		}
	}
	owner, err := sql.Open("postgres", url)
	must(t, err)
	defer owner.Close()
	_, err = owner.ExecContext(t.Context(), `INSERT INTO slot (system, class, n, lanes, claim) VALUES ('genesys', 'batch', 0, '{3}', gen_random_uuid())`)
	must(t, err)
	code, out, complaints := call("journal", "check")
	if code != ExitFinding || !strings.Contains(out, "invariant 2 is broken by 1 rows: a delivery is claimed") {
		t.Errorf("a broken journal: %d %s%s", code, out, complaints)
	}
	var check schema.Check
	code, out, complaints = call("journal", "check", "--json")
	if err := json.Unmarshal([]byte(out), &check); err != nil || code != ExitFinding || len(check.Findings) != 1 || check.Findings[0].Invariant != 2 || check.Findings[0].Count != 1 {
		t.Errorf("a broken journal, as JSON: %d %s%s", code, out, complaints)
	}
}

// Keys are made once, for their owner only.
func TestKeysNew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "fresh")
	environment(t, map[string]string{"LOCKSTEP_SECRETS": dir})
	if code, _, complaints := call("keys", "new"); code != ExitFine {
		t.Fatal(code, complaints)
	}
	first := map[schema.Reference][]byte{}
	for _, ref := range []schema.Reference{secrets.SealKeys, secrets.IndexKeys} {
		_, name, _ := ref.Split()
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
		if first[ref], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if code, _, _ := call("keys", "new"); code != ExitUsage {
		t.Error("keys were made twice")
	}
	for ref, was := range first {
		_, name, _ := ref.Split()
		if now, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(now, was) {
			t.Errorf("%s was overwritten", name)
		}
	}
}

// `map lint --json` has one shape, sound or not.
func TestMapLintJSON(t *testing.T) {
	type shape struct {
		Digest   string `json:"digest"`
		Problems []struct {
			File    string `json:"file"`
			Line    int    `json:"line"`
			Column  int    `json:"column"`
			Path    string `json:"path"`
			Message string `json:"message"`
			Remedy  string `json:"remedy"`
		} `json:"problems"`
	}
	lint := func(file string, want int) (s shape) {
		t.Helper()
		environment(t, nil)
		code, out, _ := call("map", "lint", "--json", file)
		d := json.NewDecoder(strings.NewReader(out))
		d.DisallowUnknownFields()
		if err := d.Decode(&s); err != nil || code != want {
			t.Fatalf("%d, %v: %s", code, err, out)
		}
		if s.Problems == nil {
			t.Errorf("no list of problems: %s", out)
		}
		return s
	}
	if s := lint(shippedMap, ExitFine); len(s.Problems) != 0 || !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(s.Digest) {
		t.Errorf("%+v", s)
	}
	const several = "../integrationmap/testdata/refused/several_at_once.yaml"
	s := lint(several, ExitFinding)
	if len(s.Problems) < 2 || s.Digest != "" {
		t.Fatalf("%+v", s)
	}
	for _, p := range s.Problems {
		if p.File != several || p.Line < 1 || p.Column < 1 || p.Path == "" || p.Message == "" || p.Remedy == "" {
			t.Errorf("%+v", p)
		}
	}
}

// What only the wiring knows is found by lint, with its line: a map that lint calls sound can be served.
func TestLintAsksTheWiring(t *testing.T) {
	shipped, err := os.ReadFile(shippedMap)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new, path, message string }{
		"a template without a body": {"profile: standard_webhooks", "profile: hmac\n      template: \"{timestamp}\"\n      header: X-Signature\n      timestamp_header: X-Time\n      encoding: hex", "sources.salesforce.signature.template", "has no {body}"},
		"a setting of the profile":  {"profile: standard_webhooks", "profile: standard_webhooks\n      encoding: hex", "sources.salesforce.signature.encoding", "is set by profile"},
		"a static key with a time":  {"header: X-Api-Key", "header: X-Api-Key\n      tolerance: 5m", "sources.genesys.signature.tolerance", "has no meaning here"},
		"another vendor's envelope": {"envelope: genesys", "envelope: salesforce", "sources.genesys.envelope", "belongs to systems of that kind"},
		"a flat envelope of two":    {"      Contact: {object: customer, schema: salesforce/contact}", "      Contact: {object: customer}\n      Account: {object: customer}", "sources.salesforce.envelope", "tells of one object"},
		"an unknown option":         {"sequence_field:", "sequence_feld:", "sources.salesforce.envelope", "sequence_feld"},
	} {
		t.Run(name, func(t *testing.T) {
			text := string(shipped)
			if !strings.Contains(text, c.old) {
				t.Fatalf("the shipped map has no %q", c.old)
			}
			text = strings.Replace(text, c.old, c.new, 1)
			if strings.Contains(name, "flat") {
				text = strings.Replace(text, "envelope: salesforce", "envelope: flat", 1)
			}
			file := filepath.Join(t.TempDir(), "map.yaml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, _, err := Config{Map: file}.loadMap()
			problems, ok := err.(integrationmap.Problems) //nolint:errorlint // Load returns it bare
			if !ok || len(problems) != 1 || problems[0].Path != c.path || !strings.Contains(problems[0].Message, c.message) || problems[0].Line < 30 {
				t.Errorf("%v; want %s: %s", err, c.path, c.message)
			}
		})
	}
}

// The life of an accepted event is printed without any value of it.
func TestEventShow(t *testing.T) {
	dir, url := secretsFolder(t), migrated.New(t)
	environment(t, map[string]string{"LOCKSTEP_SECRETS": dir, "LOCKSTEP_MAP": shippedMap, "LOCKSTEP_DEMO": "true", "LOCKSTEP_DATABASE_URL": url + "&role=lockstep_app"})
	config, err := ReadConfig()
	if err != nil {
		t.Fatal(err)
	}
	w, err := config.wire()
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	j, err := w.openJournal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	receipt := schema.NewReceipt()
	body := []byte(`{"name":"Jane Canary"}`)
	if _, err := j.Accept(t.Context(), &schema.Posting{Source: "salesforce", Receipt: receipt, Units: []schema.Unit{{
		Key: [][]byte{[]byte("m")}, Body: body,
		Events: []schema.NewEvent{{System: "salesforce", Object: "customer", Ref: "003canary", Kind: schema.EventChange, Lane: schema.LanePush, Body: body}},
	}}}); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"event", "show", receipt.String()}, {"event", "show", "--json", receipt.String()}} {
		code, out, complaints := call(args...)
		if code != ExitFine || !strings.Contains(out, "push") || !strings.Contains(out, "customer") || strings.Contains(strings.ToLower(out+complaints), "canary") {
			t.Errorf("%v: %d %s%s", args, code, out, complaints)
		}
	}
}

// A database that could forget what it committed is refused, outside of the demo.
func TestADatabaseThatForgetsIsRefused(t *testing.T) {
	environment(t, map[string]string{"LOCKSTEP_SECRETS": secretsFolder(t), "LOCKSTEP_MAP": shippedMap, "LOCKSTEP_DATABASE_URL": migrated.New(t) + "&role=lockstep_app"})
	code, _, complaints := call("stats")
	if code == ExitFine || !strings.Contains(complaints, "fsync") || !strings.Contains(complaints, "full_page_writes") {
		t.Errorf("%d %s", code, complaints)
	}
}

// A database without our tables says what to do.
func TestADatabaseThatIsNotMigrated(t *testing.T) {
	environment(t, map[string]string{"LOCKSTEP_SECRETS": secretsFolder(t), "LOCKSTEP_MAP": shippedMap, "LOCKSTEP_DEMO": "true", "LOCKSTEP_DATABASE_URL": empty(t)})
	code, _, complaints := call("stats")
	if code == ExitFine || !strings.Contains(complaints, "lockstep migrate") {
		t.Errorf("%d %s", code, complaints)
	}
	if code, _, complaints := call("migrate"); code != ExitFine {
		t.Fatal(code, complaints)
	}
	if code, out, complaints := call("stats"); code != ExitFine {
		t.Error(code, out, complaints)
	}
	if code, _, complaints := call("migrate"); code != ExitFine {
		t.Errorf("migrating twice: %d %s", code, complaints)
	}
}

// Secrets that everybody knows are for the demo only.
func TestDemoSecretsOutsideOfTheDemo(t *testing.T) {
	dir := secretsFolder(t)
	writeSecret(t, dir, "genesys/webhook_key", secrets.DemoMarker+" key of some length or other")
	w := &wiring{Config: Config{Map: shippedMap}}
	for _, demo := range []bool{true, false} {
		folder, err := secrets.Open(dir, secrets.Options{Demo: demo})
		if err != nil {
			t.Fatal(err)
		}
		w.secrets = folder
		if w.bundle, w.shapes, err = w.loadMap(); err != nil {
			t.Fatal(err)
		}
		_, err = w.sources()
		if demo != (err == nil) {
			t.Errorf("demo %t: %v", demo, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "sources.genesys") || fail(Streams{Out: &output{}, Err: &output{}}, err) != ExitUsage) {
			t.Errorf("%v", err)
		}
		if err := folder.Close(); err != nil {
			t.Error(err)
		}
	}
}
