package endpoints

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sample() Endpoints {
	return Endpoints{
		Intake: "http://127.0.0.1:1", Admin: "http://127.0.0.1:2", Temporal: "127.0.0.1:3", TemporalUI: "http://127.0.0.1:4",
		Postgres: "postgres://lockstep:hush@127.0.0.1:5/lockstep?sslmode=disable",
		Systems: map[string]System{"salesforce": {
			Kind: "salesforce", URL: "http://127.0.0.1:6", LoginURL: "http://127.0.0.1:7", ClientID: "id",
			ClientSecret: "secret", ExternalIDField: "Id__c", Source: "salesforce", WebhookSecret: "whsec",
			ControlURL: "http://127.0.0.1:8",
		}},
		PIDs: PIDs{Worker: []int{10, 11}, Intake: []int{12}, Dispatch: []int{13}, Temporal: 14, Postgres: 15, Simulators: 16},
	}
}

func TestFileRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "endpoints.json")
	if err := os.WriteFile(path, []byte("an older file"), 0o644); err != nil {
		t.Fatal(err)
	}
	want := sample()
	if err := Write(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("file with secrets has mode %v", info.Mode())
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("%d files are left", len(entries))
	}
}

// The names are an agreement with scripts outside of this repository.
func TestNamesArePermanent(t *testing.T) {
	text, err := json.Marshal(sample())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"intake":"http://127.0.0.1:1","admin":"http://127.0.0.1:2","temporal":"127.0.0.1:3",` +
		`"temporal_ui":"http://127.0.0.1:4","postgres":"postgres://lockstep:hush@127.0.0.1:5/lockstep?sslmode=disable",` +
		`"systems":{"salesforce":{"kind":"salesforce","url":"http://127.0.0.1:6","login_url":"http://127.0.0.1:7",` +
		`"client_id":"id","client_secret":"secret","external_id_field":"Id__c","source":"salesforce",` +
		`"webhook_secret":"whsec","control_url":"http://127.0.0.1:8"}},` +
		`"pids":{"worker":[10,11],"intake":[12],"dispatch":[13],"temporal":14,"postgres":15,"simulators":16}}`
	if got := string(text); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestIncompleteIsRefusedWithoutValues(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*Endpoints)
		want  string
	}{
		"no intake":   {func(e *Endpoints) { e.Intake = "" }, "Intake"},
		"no worker":   {func(e *Endpoints) { e.PIDs.Worker = nil }, "PIDs.Worker"},
		"dead worker": {func(e *Endpoints) { e.PIDs.Worker = []int{1, 0} }, "PIDs.Worker[1]"},
		"no temporal": {func(e *Endpoints) { e.PIDs.Temporal = 0 }, "PIDs.Temporal"},
		"no systems":  {func(e *Endpoints) { e.Systems = nil }, "Systems"},
		"no secret": {func(e *Endpoints) {
			s := e.Systems["salesforce"]
			s.WebhookSecret = ""
			e.Systems["salesforce"] = s
		}, "Systems[salesforce].WebhookSecret"},
		"odd address": {func(e *Endpoints) { e.Postgres = "mysql://hush" }, "Postgres"},
	} {
		t.Run(name, func(t *testing.T) {
			e := sample()
			c.spoil(&e)
			path := filepath.Join(t.TempDir(), "endpoints.json")
			err := Write(path, e)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("error %v, want one that names %s", err, c.want)
			}
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				t.Error("written all the same")
			}
		})
	}
}
