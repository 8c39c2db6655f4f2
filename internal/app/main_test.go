package app

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"lockstep/internal/localpg/localpgtest"
	"lockstep/internal/secrets"
	"lockstep/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var migrated = localpgtest.Template{Prepare: func(url string) error { return store.Migrate(context.Background(), url) }}

const shippedMap = "../../integration-map.yaml"

// secretsFolder is a folder with keys and the secrets that the shipped map refers to.
func secretsFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := secrets.Generate(dir); err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string]string{
		"salesforce/webhook_secret": "whsec_c2VjcmV0IG9mIHRoZSB0ZXN0cyBvZiBhcHA=", "genesys/webhook_key": "a key of the tests of the package app",
		"salesforce/client.json": `{"client_id":"id","client_secret":"secret"}`, "genesys/client.json": `{"client_id":"id","client_secret":"secret"}`,
	} {
		writeSecret(t, dir, name, secret)
	}
	return dir
}

func writeSecret(t *testing.T, dir, name, secret string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// environment clears what a developer's shell may have set, and sets what is given.
func environment(t *testing.T, set map[string]string) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "LOCKSTEP_") || strings.HasPrefix(name, "TEMPORAL_") {
			t.Setenv(name, "")
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, value := range set {
		t.Setenv(name, value)
	}
}

// output is what a command wrote.
type output struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.String()
}

// call runs the command line.
func call(args ...string) (code int, out, complaints string) {
	var o, e output
	code = Run(args, Streams{Out: &o, Err: &e})
	return code, o.String(), e.String()
}
