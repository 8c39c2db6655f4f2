package command

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/lib/pq" // the driver of the checks below
	"go.temporal.io/sdk/client"

	"lockstep/demo/endpoints"
	"lockstep/demo/stack"
)

// playEnv says what the demo of these tests plays: pass or fail.
const playEnv = "COMMAND_TEST_PLAY"

// The test binary plays the demo's own program and, as `fake`, Lockstep's programs.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == "fake":
		fake()
	case len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-test."):
		os.Exit(Run(os.Args[1:], os.Stdout, os.Stderr, play))
	default:
		os.Exit(m.Run())
	}
}

func play(_ context.Context, at endpoints.Endpoints, say func(string)) (any, bool, error) {
	say("playing")
	return map[string]int{"systems": len(at.Systems)}, os.Getenv(playEnv) == "pass", at.Check()
}

// fake stands for intake, dispatch or worker: it checks what it is given and says that it is ready.
func fake() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	for _, name := range []string{
		"LOCKSTEP_MAP", "LOCKSTEP_SECRETS", "TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "LOCKSTEP_DEMO", "SALESFORCE_URL", "GENESYS_URL",
	} {
		if os.Getenv(name) == "" {
			panic(name + " is not set")
		}
	}
	if os.Getenv(playEnv) != "" {
		panic("a part sees its caller's variables")
	}
	if _, err := os.Stat(filepath.Join(os.Getenv("LOCKSTEP_SECRETS"), "salesforce", "webhook_secret")); err != nil {
		panic(err)
	}
	if len(os.Args) > 2 && os.Args[2] != "serve" {
		fakeCommand(strings.Join(os.Args[2:], " "))
		return
	}
	db, err := sql.Open("postgres", address("LOCKSTEP_DATABASE_URL"))
	if err != nil {
		panic(err)
	}
	if _, err := db.ExecContext(ctx, "INSERT INTO started VALUES (1)"); err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := db.PingContext(r.Context()); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	server := &http.Server{Addr: os.Getenv("LOCKSTEP_ADMIN_LISTEN"), Handler: mux, ReadHeaderTimeout: time.Second}
	go func() {
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			panic(err)
		}
	}()
	<-ctx.Done()
}

// address reads the secret that a variable refers to.
func address(variable string) string {
	name, ok := strings.CutPrefix(os.Getenv(variable), "file:")
	if !ok {
		panic(variable + " is no reference")
	}
	text, err := os.ReadFile(filepath.Join(os.Getenv("LOCKSTEP_SECRETS"), name))
	if err != nil {
		panic(err)
	}
	return strings.TrimSpace(string(text))
}

// fakeCommand makes what the migrations make, and takes the other commands.
func fakeCommand(line string) {
	switch line {
	case "migrate":
		db, err := sql.Open("postgres", address("LOCKSTEP_MIGRATE_URL"))
		if err != nil {
			panic(err)
		}
		for _, statement := range []string{
			"DO $$ BEGIN CREATE ROLE lockstep_read NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
			"CREATE TABLE IF NOT EXISTS started (n int)", "GRANT INSERT ON started TO lockstep_app",
		} {
			if _, err := db.ExecContext(context.Background(), statement); err != nil {
				panic(err)
			}
		}
	case "map activate --by demo", "system prepare genesys", "system prepare salesforce":
	default:
		panic("no such command: " + line)
	}
}

// demo is one run of the demo in a process of its own.
type demo struct {
	*exec.Cmd
	file string
	out  bytes.Buffer
}

// setting is the folder and the programs that several runs share.
type setting struct{ folder, bin string }

func newSetting(t *testing.T) setting {
	t.Helper()
	home, err := os.MkdirTemp("/tmp", "lockstep-demo-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	s := setting{filepath.Join(home, "state"), filepath.Join(home, "bin")}
	if err := errors.Join(os.Chmod(home, 0o755), os.Mkdir(s.bin, 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lockstep", "worker"} {
		text := "#!/bin/sh\nexec '" + os.Args[0] + "' fake \"$@\"\n"
		if err := os.WriteFile(filepath.Join(s.bin, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s setting) start(t *testing.T, args ...string) *demo {
	t.Helper()
	d := &demo{file: filepath.Join(t.TempDir(), "endpoints.json")}
	d.Cmd = exec.Command(os.Args[0], append([]string{
		"run", "--folder", s.folder, "--binaries", s.bin, "--map", "../../integration-map.yaml", "--endpoints", d.file,
	}, args...)...)
	d.Env = append(os.Environ(), playEnv+"=pass")
	d.Stdout, d.Stderr = &d.out, t.Output()
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if d.ProcessState == nil {
			_ = d.Process.Signal(syscall.SIGTERM) // it may have ended
			_ = d.Wait()
		}
	})
	return d
}

// endpoints waits until the file exists and fulfils the condition.
func (d *demo) endpoints(t *testing.T, what string, good func(endpoints.Endpoints) bool) endpoints.Endpoints {
	t.Helper()
	var e endpoints.Endpoints
	until(t, what, func() error {
		var err error
		if e, err = endpoints.Read(d.file); err != nil {
			return err
		}
		if !good(e) {
			return fmt.Errorf("%+v", e.PIDs)
		}
		return nil
	})
	return e
}

func TestDemoLivesThroughTheDeathOfEachPart(t *testing.T) {
	set := newSetting(t)
	d := set.start(t, "--idle", "--workers", "2")
	at := d.endpoints(t, "everything is up", func(endpoints.Endpoints) bool { return true })
	if len(at.PIDs.Worker) != 2 || len(at.Systems) != 2 {
		t.Errorf("%d workers, %d systems", len(at.PIDs.Worker), len(at.Systems))
	}
	if got := at.Systems["salesforce"].ExternalIDField; got != "Ext_Id__c" {
		t.Errorf("external id field %q", got)
	}
	usable(t, at)
	separate(t, at)

	var busy bytes.Buffer
	if code := Run([]string{
		"--idle", "--folder", set.folder, "--binaries", set.bin, "--map", "../../integration-map.yaml",
	}, &busy, &busy, nil); code != codeFinding || !strings.Contains(busy.String(), "another demo (process "+strconv.Itoa(d.Process.Pid)+")") {
		t.Errorf("second demo on the folder ended with %d: %s", code, busy.String())
	}

	for _, part := range []struct {
		name string
		pid  func(endpoints.Endpoints) int
	}{
		{"worker", func(e endpoints.Endpoints) int { return e.PIDs.Worker[1] }},
		{"intake", func(e endpoints.Endpoints) int { return e.PIDs.Intake[0] }},
		{"temporal", func(e endpoints.Endpoints) int { return e.PIDs.Temporal }},
		{"simulators", func(e endpoints.Endpoints) int { return e.PIDs.Simulators }},
		{"postgres", func(e endpoints.Endpoints) int { return e.PIDs.Postgres }},
	} {
		killed := part.pid(at)
		if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		after := d.endpoints(t, part.name+" is back", func(e endpoints.Endpoints) bool { return part.pid(e) != killed })
		before := at
		before.PIDs, after.PIDs = endpoints.PIDs{}, endpoints.PIDs{}
		if !reflect.DeepEqual(before, after) {
			t.Errorf("%s came back somewhere else", part.name)
		}
		at = d.endpoints(t, "the file is whole", func(endpoints.Endpoints) bool { return true })
		usable(t, at)
	}

	if err := d.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = d.Wait() // killed just now
	for _, pid := range slices.Concat(at.PIDs.Worker, at.PIDs.Intake, at.PIDs.Dispatch,
		[]int{at.PIDs.Temporal, at.PIDs.Postgres, at.PIDs.Simulators}) {
		until(t, "process "+strconv.Itoa(pid)+" ends with the demo", func() error {
			if args, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline"); err == nil && len(args) > 0 {
				return errors.New("still there")
			}
			return nil
		})
	}

	// The next run begins on what the killed one left, and the one after that anew.
	kept := set.start(t, "--idle", "--keep")
	kept.endpoints(t, "the databases of the killed run are taken over", func(endpoints.Endpoints) bool { return true })
	if err := errors.Join(kept.Process.Signal(os.Interrupt), kept.Wait()); err != nil {
		t.Errorf("--keep after a kill: %v", err)
	}
	if err := set.start(t, "--keep").Wait(); err == nil {
		t.Error("old databases are played on with new systems")
	}
	once := set.start(t, "--once", "--json")
	if err := once.Wait(); err != nil {
		t.Errorf("--once after a kill: %v", err)
	}
	var report map[string]int
	if err := json.Unmarshal(once.out.Bytes(), &report); err != nil || report["systems"] != 2 {
		t.Errorf("report %q: %v", once.out.String(), err)
	}
}

func TestFindingIsTheExitCode(t *testing.T) {
	set := newSetting(t)
	d := set.start(t, "--help")
	if err := d.Wait(); err != nil {
		t.Errorf("--help ends with %v", err)
	}
	d = &demo{Cmd: exec.Command(os.Args[0], "run", "--once", "--sqlite", "--folder", set.folder, "--binaries", set.bin,
		"--map", "../../integration-map.yaml")}
	d.Env = append(os.Environ(), playEnv+"=fail")
	d.Stderr = t.Output()
	if err := d.Run(); err == nil || d.ProcessState.ExitCode() != codeFinding {
		t.Errorf("a demo that finds something ends with %v", err)
	}
	if _, err := os.Stat(filepath.Join(set.folder, "temporal.db")); err != nil {
		t.Errorf("--sqlite leaves no file: %v", err)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"--nonsense"}, {"run", "--map", "no-such-file"}, {"simulators"}} {
		var out, talk bytes.Buffer
		if code := Run(args, &out, &talk, nil); code != codeUsage {
			t.Errorf("%v ends with %d, want %d", args, code, codeUsage)
		}
		if out.Len() > 0 || talk.Len() == 0 {
			t.Errorf("%v: standard output %q, standard error %q", args, out.String(), talk.String())
		}
	}
	var talk bytes.Buffer
	if code := Run([]string{"--once", "--idle", "--map", "../../integration-map.yaml"}, &talk, &talk, nil); code != codeFinding ||
		!strings.Contains(talk.String(), "choose one") {
		t.Errorf("--once --idle ends with %d: %s", code, talk.String())
	}
}

// usable checks that Postgres, Temporal, its UI and a simulator answer.
func usable(t *testing.T, at endpoints.Endpoints) {
	t.Helper()
	c, err := client.NewLazyClient(client.Options{HostPort: at.Temporal, Namespace: stack.Namespace, Logger: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	until(t, "Temporal starts a workflow", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "probe", TaskQueue: "nobody"}, "Nothing")
		return err
	})
	db, err := sql.Open("postgres", at.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	until(t, "Postgres answers", func() error { return db.PingContext(t.Context()) })
	for _, address := range []string{at.TemporalUI, at.Systems["genesys"].ControlURL + "/webhooks"} {
		until(t, address+" answers", func() error {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
			if err != nil {
				return err
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			if resp.StatusCode != http.StatusOK {
				err = fmt.Errorf("status %d", resp.StatusCode)
			}
			return errors.Join(err, resp.Body.Close())
		})
	}
}

// separate checks that the application's role sees its own database only.
func separate(t *testing.T, at endpoints.Endpoints) {
	t.Helper()
	db, err := sql.Open("postgres", at.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var rights bool
	if err := db.QueryRowContext(t.Context(),
		"SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = current_user").Scan(&rights); err != nil {
		t.Fatal(err)
	}
	if rights {
		t.Error("the application's role may do more than use its database")
	}
	elsewhere := strings.Replace(at.Postgres, "/lockstep?", "/temporal?", 1)
	other, err := sql.Open("postgres", elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if _, err := other.ExecContext(t.Context(), "SELECT count(*) FROM executions"); err == nil {
		t.Error("the application's role reads Temporal's tables")
	}
}

// silent is a logger of the SDK that says nothing of the restarts.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}

func until(t *testing.T, what string, step func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	err := step()
	for deadline := time.Now().Add(90 * time.Second); err != nil; err = step() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 90 s: %s: %v", what, err)
		}
		<-tick.C
	}
}
