package stack

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"lockstep/internal/secrets"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFolderOfTheUser(t *testing.T) {
	t.Setenv("LOCKSTEP_DEMO_DIR", "/somewhere")
	if got := Folder(); got != "/somewhere" {
		t.Errorf("LOCKSTEP_DEMO_DIR is not heeded: %s", got)
	}
	t.Setenv("LOCKSTEP_DEMO_DIR", "")
	t.Setenv("HOME", "")
	t.Setenv("XDG_CACHE_HOME", "")
	want := filepath.Join(os.TempDir(), "lockstep-demo-"+strconv.Itoa(os.Getuid())) //nolint:usetesting // the very place
	if got := Folder(); got != want {
		t.Errorf("without a home %s, want %s", got, want)
	}
	if os.Getuid() == 0 {
		t.Setenv("HOME", t.TempDir()) // its parent is closed to others, as root's own home is
		if got := Folder(); got != want {
			t.Errorf("with a home that Postgres may not enter %s, want %s", got, want)
		}
	}
}

func TestFolderIsKeptWipedAndHeld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	f := take(t, path, false)
	if err := os.WriteFile(f.join("kept"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openFolder(path, true); err == nil || !strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())+")") {
		t.Errorf("a held folder is taken again: %v", err)
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	f = take(t, path, false)
	if _, err := os.Stat(f.join("kept")); err != nil {
		t.Errorf("the second run lost what the first one kept: %v", err)
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	f = take(t, path, true)
	if _, err := os.Stat(f.join("kept")); !os.IsNotExist(err) {
		t.Errorf("a fresh run keeps what was there: %v", err)
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
}

func TestStrangersFolderIsLeftAlone(t *testing.T) {
	path := t.TempDir()
	precious := filepath.Join(path, "precious")
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openFolder(path, true); err == nil || !strings.Contains(err.Error(), "holds other things") {
		t.Errorf("a folder with other things is taken: %v", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := openFolder(link, true); err == nil || !strings.Contains(err.Error(), "not a folder of yours") {
		t.Errorf("a link is taken: %v", err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
}

func TestSurveyFollowsTheMap(t *testing.T) {
	l, err := survey("../../integration-map.yaml", "http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "secrets")
	for range 2 { // the second run keeps the keys of the first
		if err := l.write(dir); err != nil {
			t.Fatal(err)
		}
	}
	found, err := secrets.Open(dir, secrets.Options{Demo: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = found.Close() }()
	for name, value := range l.env {
		t.Setenv(name, value)
	}
	salesforce, genesys := l.systems["salesforce"], l.systems["genesys"]
	for ref, want := range map[string]string{
		"env:SALESFORCE_URL":             "http://" + salesforce.Listen,
		"env:SALESFORCE_LOGIN_URL":       "http://" + salesforce.Listen,
		"env:GENESYS_URL":                "http://" + genesys.Listen,
		"env:GENESYS_LOGIN_URL":          "http://" + genesys.LoginListen,
		"file:salesforce/webhook_secret": salesforce.WebhookSecret,
		"file:genesys/webhook_key":       genesys.WebhookSecret,
		"file:salesforce/client.json":    salesforce.ClientID + ":" + salesforce.ClientSecret,
	} {
		scheme, rest, _ := strings.Cut(ref, ":")
		got := l.env[rest]
		if scheme == "file" {
			text, err := os.ReadFile(filepath.Join(dir, rest))
			if err != nil {
				t.Error(err)
				continue
			}
			got = strings.TrimSpace(string(text))
		}
		if got != want {
			t.Errorf("%s is %q, want %q", ref, got, want)
		}
	}
	encoded, ok := strings.CutPrefix(salesforce.WebhookSecret, "whsec_")
	if text, err := base64.StdEncoding.DecodeString(encoded); !ok || err != nil || !strings.HasPrefix(string(text), secrets.DemoMarker) {
		t.Errorf("webhook secret of the profile standard_webhooks is %q", salesforce.WebhookSecret)
	}
	if genesys.WebhookHeader != "X-Api-Key" || genesys.WebhookURL != "http://127.0.0.1:1/webhooks/genesys" ||
		genesys.ExternalIDField != "externalIds.lockstep" || salesforce.ExternalIDField != "Ext_Id__c" {
		t.Errorf("genesys %+v", genesys)
	}
}

func TestSurveyNamesWhatIsMissing(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"no systems": {"version: 1\n", "no system to simulate"},
		"no source":  {"systems:\n  crm: {kind: salesforce, endpoint: env:CRM_URL}\n", "system crm: no source"},
		"not YAML":   {"systems: [", "integration map"},
	} {
		path := filepath.Join(t.TempDir(), "map.yaml")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := survey(path, ""); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}

func TestDownAfterAFailedUp(t *testing.T) {
	s, err := Up(context.Background(), Options{Folder: t.TempDir() + "\x00"})
	if err == nil {
		t.Error("a folder of an impossible name is taken")
	}
	for range 2 {
		if err := s.Down(); err != nil {
			t.Error(err)
		}
	}
}

func take(t *testing.T, path string, fresh bool) *folder {
	t.Helper()
	f, err := openFolder(path, fresh)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
