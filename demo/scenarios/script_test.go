package scenarios_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"lockstep/demo/checker"
	"lockstep/schema"
)

// patience bounds what a script waits for.
const patience = 60 * time.Second

// TestScenarios plays every script of this folder. doc.go tells the words that they are written in.
func TestScenarios(t *testing.T) {
	testscript.RunT(oneByOne{t}, testscript.Params{Dir: ".", Setup: begin, Cmds: words(), RequireExplicitExec: true, RequireUniqueNames: true})
}

// oneByOne keeps scripts from running at the same time: they share the demo.
type oneByOne struct{ *testing.T }

// Parallel does nothing.
func (oneByOne) Parallel() {}

// Verbose reports whether the scripts' logs are shown.
func (oneByOne) Verbose() bool { return testing.Verbose() }

// Run runs one script.
func (t oneByOne) Run(name string, f func(testscript.T)) {
	t.T.Run(name, func(t *testing.T) { f(oneByOne{t}) })
}

// scene is what one script has done so far.
type scene struct {
	land     checker.Landscape
	lockstep checker.Lockstep
	// who are the records that the script named, by name and system.
	who map[string]map[string]string
	// before are the numbers when the script began, journals how far the systems' journals went at the last mark.
	before   schema.Stats
	journals map[string]int
	answer   answer
}

type sceneKey struct{}

func sceneOf(ts *testscript.TestScript) *scene {
	s, ok := ts.Value(sceneKey{}).(*scene)
	if !ok {
		ts.Fatalf("the script was not begun")
	}
	return s
}

// serial makes numbers that no other script of this run has.
var serial atomic.Int32

// begin gives a script its own number and restores what the former one spoiled.
func begin(env *testscript.Env) error {
	at := demo.Endpoints()
	s := &scene{
		land: checker.LandscapeAt(at), lockstep: checker.LockstepAt(at), who: map[string]map[string]string{}, journals: map[string]int{},
	}
	env.Values[sceneKey{}] = s
	env.Vars = append(env.Vars, fmt.Sprintf("N=%04d", 1000+serial.Add(1)), "ROOT="+root(), "SECRETS="+demo.Secrets(), "PG="+at.Postgres,
		"WEBHOOK_SECRET="+at.Systems[checker.Salesforce].WebhookSecret, "GENESYS_SECRET="+at.Systems[checker.Genesys].ClientSecret)
	ctx := context.Background()
	if err := s.calm(ctx); err != nil {
		return err
	}
	stats, err := s.lockstep.Stats(ctx)
	s.before = stats
	return errorOf(err, s.mark(ctx))
}

func errorOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// root is the repository's.
func root() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err) // the test's own folder is gone
	}
	return strings.TrimSuffix(dir, "/demo/scenarios")
}

// calm ends all faults and pauses that a former script may have left.
func (s *scene) calm(ctx context.Context) error {
	for _, c := range s.land.Clients() {
		resume, err := demo.Command(ctx, "system", "resume", c.Name, "--by", "scenarios")
		if err := errorOf(err, resume.Run()); err != nil {
			return err
		}
		if err := c.Clear(ctx); err != nil {
			return err
		}
		if err := c.Set(ctx, "webhooks", map[string]any{
			"duplicate": 0, "reorder_ms": 0, "delay_ms": 0, "silent_drop": 0, "first_retry_ms": 200, "longest_retry_ms": 2000, "paused": false,
		}); err != nil {
			return err
		}
	}
	return nil
}

// settle waits until all webhooks are sent, and nothing is under way that is not waiting for somebody.
func (s *scene) settle(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := s.land.Rest(limit, s.lockstep)
	return err
}

// mark notes how far the journals go.
func (s *scene) mark(ctx context.Context) error {
	for _, c := range s.land.Clients() {
		entries, err := c.Journal(ctx, s.journals[c.Name])
		if err != nil {
			return err
		}
		if len(entries) > 0 {
			s.journals[c.Name] = entries[len(entries)-1].N
		}
	}
	return nil
}

// entries are the journal's since the last mark.
func (s *scene) entries(ctx context.Context, c *checker.Client) ([]checker.Entry, error) {
	return c.Journal(ctx, s.journals[c.Name])
}

// system returns the client of a system by its name in the map.
func (s *scene) system(name string) (*checker.Client, error) {
	clients := s.land.Clients()
	if i := slices.IndexFunc(clients, func(c *checker.Client) bool { return c.Name == name }); i >= 0 {
		return clients[i], nil
	}
	return nil, fmt.Errorf("no system is called %q", name)
}

// objectOf is what a system calls a customer.
func objectOf(system string) string {
	if system == checker.Salesforce {
		return "Contact"
	}
	return "ExternalContact"
}

// idOf is where a system keeps a record's own id.
func idOf(system string) string {
	if system == checker.Salesforce {
		return "Id"
	}
	return "id"
}

// canonical returns our id of a record, as the record itself shows it.
func canonical(system string, r checker.Record) string {
	if system == checker.Salesforce {
		return r.Text("Ext_Id__c")
	}
	return checker.ExternalID(r, checker.SourceLockstep)
}

// find returns the record that a system has of somebody: the one the script made there, or the one with the same id of ours.
func (s *scene) find(ctx context.Context, system, name string) (checker.Record, error) {
	key, err := s.canonicalOf(ctx, name)
	if err != nil {
		return nil, err
	}
	c, err := s.system(system)
	if err != nil {
		return nil, err
	}
	records, err := c.State(ctx, objectOf(system))
	if err != nil {
		return nil, err
	}
	var found []checker.Record
	for _, r := range records {
		if r.Text(idOf(system)) == s.who[name][system] || key != "" && canonical(system, r) == key {
			found = append(found, r)
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%s has %d records of %s", system, len(found), name)
	}
	return found[0], nil
}

// canonicalOf returns our id of somebody, "" before there is one.
func (s *scene) canonicalOf(ctx context.Context, name string) (string, error) {
	if s.who[name] == nil {
		return "", fmt.Errorf("nobody is called %q in this script", name)
	}
	for _, c := range s.land.Clients() {
		id := s.who[name][c.Name]
		if id == "" {
			continue
		}
		records, err := c.State(ctx, objectOf(c.Name))
		if err != nil {
			return "", err
		}
		for _, r := range records {
			if key := canonical(c.Name, r); r.Text(idOf(c.Name)) == id && key != "" {
				return key, nil
			}
		}
	}
	return "", nil
}

// eventually asks again and again until there is no error.
func eventually(ctx context.Context, ask func(context.Context) error) error {
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		err := ask(limit)
		if err == nil {
			return nil
		}
		if last == nil || limit.Err() == nil {
			last = err // what is cut off by the limit says nothing
		}
		select {
		case <-limit.Done():
			return fmt.Errorf("not within %s: %w", patience, last)
		case <-tick.C:
		}
	}
}

// expand replaces the script's variables in a text.
func expand(ts *testscript.TestScript, text string) string { return os.Expand(text, ts.Getenv) }

// decode reads JSON that a script holds, with its variables replaced.
func decode(ts *testscript.TestScript, text string, into any) {
	if err := json.Unmarshal([]byte(expand(ts, text)), into); err != nil {
		ts.Fatalf("%s: %v", text, err)
	}
}
