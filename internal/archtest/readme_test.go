package archtest

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/localpg"
	"lockstep/internal/localpg/localpgtest"
)

// manner is how CI runs a command of the README.
type manner int

const (
	// gate: .ci/run has a step for it.
	gate manner = iota
	// compiled: TestReadmeCommandsWork runs it in the repository's folder.
	compiled
	// typed: TestReadmeCommandsWork types it, after those before it, into one shell in a folder of its own.
	typed
	// served: like typed, until it is ready; then it is told to stop.
	served
)

// readmeCommands are the commands of the README, each with how CI runs it.
var readmeCommands = map[string]manner{
	"make demo":                                      gate,
	"make test":                                      gate,
	"go build -o .build/lockstep ./starter":          compiled,
	"export PATH=$PWD/.build:$PATH":                  typed,
	"export LOCKSTEP_SECRETS=$HOME/lockstep-secrets": typed,
	"mkdir -m 700 $LOCKSTEP_SECRETS $LOCKSTEP_SECRETS/salesforce $LOCKSTEP_SECRETS/genesys": typed,
	"lockstep keys new": typed,
	"export LOCKSTEP_DATABASE_URL=file:database_url LOCKSTEP_MIGRATE_URL=file:migrate_url":                           typed,
	"export SALESFORCE_URL=https://example.my.salesforce.com SALESFORCE_LOGIN_URL=https://example.my.salesforce.com": typed,
	"export GENESYS_URL=https://api.mypurecloud.com GENESYS_LOGIN_URL=https://login.mypurecloud.com":                 typed,
	"lockstep map lint": typed,
	"lockstep migrate":  typed,
	"lockstep serve --roles intake,dispatch,worker": served,
}

// gateSteps are what .ci/run has to hold for the commands that it runs.
var gateSteps = map[string]*regexp.Regexp{
	"make test": regexp.MustCompile(`(?m)^step .*\bmake( --[\w-]+)* test$`),
	"make demo": regexp.MustCompile(`(?m)^step .*\bmake( --[\w-]+)* demo ARGS=(["'])--once --json(["'])$`),
}

// fence is one fenced block of a page.
type fence struct {
	language string
	lines    []string
}

// fences are the fenced blocks of a page, in their order.
func fences(t *testing.T, page string) []fence {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	var all []fence
	open := false
	for line := range strings.SplitSeq(string(text), "\n") {
		line = strings.TrimSpace(line) // a block may belong to an entry of a list
		language, is := strings.CutPrefix(line, "```")
		switch {
		case is && !open:
			all = append(all, fence{language: language})
			open = true
		case is:
			open = false
		case open:
			last := &all[len(all)-1]
			last.lines = append(last.lines, line)
		}
	}
	if open {
		t.Fatalf("%s: a fenced block has no end", page)
	}
	return all
}

// Every command of the README is one that CI runs, and the table above tells of no other.
func TestReadmeHoldsKnownCommandsOnly(t *testing.T) {
	steps, err := os.ReadFile(filepath.Join(root, ".ci", "run"))
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{}
	for _, block := range fences(t, "README.md") {
		switch block.language {
		case "sh":
		case "text":
			continue
		default:
			t.Errorf("a block of README.md is marked %q: commands are sh, pictures are text", block.language)
		}
		for _, command := range block.lines {
			how, known := readmeCommands[command]
			if !known {
				t.Errorf("README.md has the command %q, and nothing runs it in CI", command)
			}
			if step := gateSteps[command]; known && how == gate && !step.Match(steps) {
				t.Errorf(".ci/run has no step for %q of README.md: none matches %s", command, step)
			}
			written[command] = true
		}
	}
	for command := range readmeCommands {
		if !written[command] {
			t.Errorf("README.md does not have the command %q any more", command)
		}
	}
}

// The README's way to real systems works as it is written there, after the roles that docs/operations.md makes, on a
// database that keeps what it commits.
func TestReadmeCommandsWork(t *testing.T) {
	home := t.TempDir()
	server := localpgtest.Server(t, localpg.Options{Durable: true})
	install(t, server)
	var script strings.Builder
	script.WriteString("set -eu\n")
	serves := 0
	for _, block := range fences(t, "README.md") {
		for _, command := range block.lines {
			how, known := readmeCommands[command]
			switch {
			case !known:
			case how == compiled:
				compile(t, command)
			case how == typed:
				fmt.Fprintln(&script, command)
			case how == served:
				serves++
				fmt.Fprintln(&script, "exec", command) // the signal has to reach it
			}
		}
		if slices.Contains(block.lines, "lockstep keys new") {
			script.WriteString(filesOfAPerson(server))
		}
	}
	if serves != 1 {
		t.Fatalf("README.md serves %d times", serves)
	}
	for name, to := range map[string]string{".build": ".build", "integration-map.yaml": "integration-map.yaml"} {
		absolute, err := filepath.Abs(filepath.Join(root, to))
		if err == nil {
			err = os.Symlink(absolute, filepath.Join(home, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	serve(t, home, script.String())
}

// compile runs a command in the repository's folder.
func compile(t *testing.T, command string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, said)
	}
}

// The passwords of the roles.
const ownerPassword, applicationPassword = "owner-of-the-test", "application-of-the-test"

// install makes the roles and the database with the block of docs/operations.md.
func install(t *testing.T, server *localpg.Server) {
	t.Helper()
	blocks := slices.DeleteFunc(fences(t, "docs/operations.md"), func(f fence) bool {
		return !slices.ContainsFunc(f.lines, func(line string) bool { return strings.HasPrefix(line, "CREATE ROLE lockstep_owner ") })
	})
	if len(blocks) != 1 {
		t.Fatalf("docs/operations.md makes the roles in %d blocks", len(blocks))
	}
	psql, err := localpg.Program("psql")
	if err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := address.User.Password()
	cmd := exec.Command("sh", "-euc", strings.Join(blocks[0].lines, "\n"))
	cmd.Env = []string{
		"PATH=" + filepath.Dir(psql) + ":" + os.Getenv("PATH"), "PGHOST=" + address.Hostname(), "PGPORT=" + address.Port(), "PGPASSWORD=" + password,
		"OWNER_PASSWORD=" + ownerPassword, "APP_PASSWORD=" + applicationPassword,
	}
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the roles of docs/operations.md: %v\n%s", err, said)
	}
}

// filesOfAPerson writes the secrets that the README leaves to its reader.
func filesOfAPerson(server *localpg.Server) string {
	as := func(role, password string) string {
		address, err := url.Parse(server.URL("lockstep"))
		if err != nil {
			panic(err)
		}
		address.User = url.UserPassword(role, password)
		return address.String()
	}
	var script strings.Builder
	fmt.Fprintln(&script, "umask 077")
	for name, line := range map[string]string{
		"database_url": as("lockstep", applicationPassword), "migrate_url": as("lockstep_owner", ownerPassword),
		"salesforce/client.json": "an-id:a-secret", "genesys/client.json": "an-id:a-secret",
		"salesforce/webhook_secret": "whsec_YSBzZWNyZXQgb2YgdGhlIHRlc3Qgb2YgdGhlIFJFQURNRQ==", "genesys/webhook_key": "a key of the test of the README",
	} {
		fmt.Fprintf(&script, "echo '%s' > $LOCKSTEP_SECRETS/%s\n", line, name)
	}
	return script.String()
}

// serve runs a script whose last command serves, waits until it does, and stops it.
func serve(t *testing.T, home, script string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = home
	// Ports of its own, and a Temporal that nobody runs: what it starts waits for it.
	cmd.Env = []string{
		"HOME=" + home, "PATH=" + os.Getenv("PATH"), "LOCKSTEP_LISTEN=127.0.0.1:0", "LOCKSTEP_ADMIN_LISTEN=127.0.0.1:0", "TEMPORAL_ADDRESS=127.0.0.1:1",
	}
	var said transcript
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		_ = cmd.Process.Kill() // it has ended, unless the test failed
	}()
	ready := regexp.MustCompile(`(?m)^ready admin=(\S+) intake=\S+$`)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for ready.FindStringSubmatch(said.String()) == nil {
		select {
		case err := <-ended:
			t.Fatalf("the commands of README.md end with %v:\n%s", err, said.String())
		case <-limit:
			t.Fatalf("the commands of README.md are not ready after a minute:\n%s", said.String())
		case <-tick.C:
		}
	}
	response, err := http.Get("http://" + ready.FindStringSubmatch(said.String())[1] + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close() // only the status is read
	if response.StatusCode != http.StatusOK {
		t.Errorf("/readyz answers %d", response.StatusCode)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("lockstep serve, told to stop, ends with %v:\n%s", err, said.String())
		}
	case <-limit:
		t.Errorf("lockstep serve does not stop:\n%s", said.String())
	}
}

// transcript is what a process wrote.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *transcript) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}
