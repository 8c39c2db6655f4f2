package temporalserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"go.temporal.io/server/common/dynamicconfig"
	"gopkg.in/yaml.v3"

	"lockstep/internal/localpg"
	"lockstep/internal/localpg/localpgtest"
	"lockstep/internal/loopback"
)

// serverEnv makes the test binary play the server's process, to be killed; its value is Options as JSON.
const serverEnv = "TEMPORALSERVER_TEST_SERVER"

const namespace = "lockstep"

func TestMain(m *testing.M) {
	if text := os.Getenv(serverEnv); text != "" {
		var opts Options
		if err := json.Unmarshal([]byte(text), &opts); err != nil {
			panic(err)
		}
		s, err := Start(context.Background(), opts)
		if err != nil {
			panic(err)
		}
		<-s.Failed()
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestServerOnPostgres(t *testing.T) {
	db := localpgtest.Server(t, localpg.Options{})
	s := start(t, Options{Postgres: db.URL("postgres"), Namespace: namespace})
	c := dial(t, s.Address())

	described, err := c.WorkflowService().DescribeNamespace(t.Context(), &workflowservice.DescribeNamespaceRequest{
		Namespace: namespace,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := described.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration(); got != retention {
		t.Errorf("retention %v, want %v", got, retention)
	}
	cluster, err := c.WorkflowService().GetClusterInfo(t.Context(), &workflowservice.GetClusterInfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if cluster.GetHistoryShardCount() != 16 || cluster.GetServerVersion() != "1.32.1" {
		t.Errorf("server %s with %d shards", cluster.GetServerVersion(), cluster.GetHistoryShardCount())
	}

	t.Run("search attributes", func(t *testing.T) { listBySearchAttributes(t, c) })
	t.Run("pause", func(t *testing.T) { pauseWorkflow(t, c) })
	t.Run("UI", func(t *testing.T) { askUI(t, s) })
	t.Run("loopback only", func(t *testing.T) { listensOnLoopbackOnly(t) })
}

// listBySearchAttributes starts a workflow with every search attribute and finds it by each.
func listBySearchAttributes(t *testing.T, c client.Client) {
	due := time.Date(2026, 11, 20, 9, 30, 0, 0, time.UTC)
	updates := []temporal.SearchAttributeUpdate{
		temporal.NewSearchAttributeKeyTime("LockstepDueAt").ValueSet(due),
		temporal.NewSearchAttributeKeyInt64("LockstepRecords").ValueSet(200),
	}
	queries := []string{"LockstepDueAt = '2026-11-20T09:30:00Z'", "LockstepRecords = 200"}
	for name, kind := range SearchAttributes {
		if kind == enums.INDEXED_VALUE_TYPE_KEYWORD {
			updates = append(updates, temporal.NewSearchAttributeKeyKeyword(name).ValueSet("of "+name))
			queries = append(queries, name+" = 'of "+name+"'")
		}
	}
	if len(updates) != len(SearchAttributes) {
		t.Fatalf("%d attributes set of %d", len(updates), len(SearchAttributes))
	}
	if _, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: "listed", TaskQueue: "nobody", TypedSearchAttributes: temporal.NewSearchAttributes(updates...),
	}, "Nothing"); err != nil {
		t.Fatal(err)
	}
	for _, query := range queries {
		eventually(t, query, func() error {
			count, err := c.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{Query: query})
			if err != nil {
				return err
			}
			if count.GetCount() != 1 {
				return fmt.Errorf("%d workflows", count.GetCount())
			}
			return nil
		})
	}
}

func pauseWorkflow(t *testing.T, c client.Client) {
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "paused", TaskQueue: "nobody"}, "Nothing")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.WorkflowService().PauseWorkflowExecution(t.Context(), &workflowservice.PauseWorkflowExecutionRequest{
		Namespace: namespace, WorkflowId: run.GetID(), RunId: run.GetRunID(), Reason: "test", RequestId: "1",
	}); err != nil {
		t.Errorf("operators cannot pause a workflow: %v", err)
	}
}

func askUI(t *testing.T, s *Server) {
	for _, path := range []string{"/", "/healthz", "/api/v1/settings", "/api/v1/namespaces/" + namespace + "/workflows"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.UIURL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s answers %d", path, resp.StatusCode)
		}
	}
}

// listensOnLoopbackOnly reads this process's listening sockets.
func listensOnLoopbackOnly(t *testing.T) {
	mine := map[string]bool{}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc here")
	}
	for _, entry := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil {
			mine[target] = true
		}
	}
	listening := 0
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			// sl local_address rem_address st … inode; state 0A listens.
			words := strings.Fields(line)
			if len(words) < 10 || words[3] != "0A" || !mine["socket:["+words[9]+"]"] {
				continue
			}
			listening++
			if !strings.HasPrefix(words[1], "0100007F:") {
				t.Errorf("listens on %s of %s", words[1], table)
			}
		}
	}
	if listening < 5 {
		t.Errorf("found %d listening sockets, want the four services and the UI", listening)
	}
}

// A workflow that sleeps lives through the death of the server, and of Postgres under it.
func TestWorkflowsSurviveKills(t *testing.T) {
	db := localpgtest.Server(t, localpg.Options{Durable: true})
	ports, err := loopback.Ports(2)
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{Postgres: db.URL("postgres"), Namespace: namespace, Port: ports[0], UIPort: ports[1]}
	server := startProcess(t, opts)
	c := dial(t, address(opts.Port))
	w := worker.New(c, "naps", worker.Options{})
	w.RegisterWorkflowWithOptions(nap, workflow.RegisterOptions{Name: "Nap"})
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)

	first := startNap(t, c, "over the server's death", 2*time.Second)
	kill(t, server)
	server = startProcess(t, opts)
	awake(t, c, first)

	second := startNap(t, c, "over the database's death", 2*time.Second)
	if err := db.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := db.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	awake(t, c, second)
	awake(t, c, startNap(t, c, "afterwards", time.Millisecond))
	if server.ProcessState != nil {
		t.Error("the server did not live through the database's death")
	}
}

func nap(ctx workflow.Context, d time.Duration) error { return workflow.Sleep(ctx, d) }

func startNap(t *testing.T, c client.Client, id string, d time.Duration) client.WorkflowRun {
	t.Helper()
	var run client.WorkflowRun
	eventually(t, "start "+id, func() (err error) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		run, err = c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: "naps"}, "Nap", d)
		return err
	})
	return run
}

func awake(t *testing.T, c client.Client, run client.WorkflowRun) {
	t.Helper()
	eventually(t, run.GetID()+" ends", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		got, err := c.DescribeWorkflowExecution(ctx, run.GetID(), run.GetRunID())
		if err != nil {
			return err
		}
		if status := got.GetWorkflowExecutionInfo().GetStatus(); status != enums.WORKFLOW_EXECUTION_STATUS_COMPLETED {
			return errors.New(status.String())
		}
		return nil
	})
}

func TestServerOnSQLiteKeepsItsStateOverKills(t *testing.T) {
	file := filepath.Join(t.TempDir(), "temporal.db")
	ports, err := loopback.Ports(2)
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{SQLite: file, Namespace: namespace, Port: ports[0], UIPort: ports[1]}
	server := startProcess(t, opts)
	c := dial(t, address(opts.Port))
	if _, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: "kept", TaskQueue: "nobody",
		TypedSearchAttributes: temporal.NewSearchAttributes(temporal.NewSearchAttributeKeyKeyword("LockstepLane").ValueSet("live")),
	}, "Nothing"); err != nil {
		t.Fatal(err)
	}
	kill(t, server)
	startProcess(t, opts)
	eventually(t, "the workflow is still there", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := c.DescribeWorkflowExecution(ctx, "kept", "")
		return err
	})
	if _, err := os.Stat(file + "-wal"); err != nil {
		t.Errorf("the file has no write-ahead log: %v", err)
	}
}

func TestHalfMadeSQLiteFileIsMadeAnew(t *testing.T) {
	file := filepath.Join(t.TempDir(), "temporal.db")
	if err := os.WriteFile(file+".new", []byte("what a killed start left"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := prepareSQLite(file); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for name, opts := range map[string]Options{
		"no state":     {Namespace: namespace},
		"two states":   {Namespace: namespace, Postgres: "postgres://127.0.0.1/x", SQLite: "x.db"},
		"no namespace": {SQLite: filepath.Join(t.TempDir(), "x.db")},
		"no address":   {Namespace: namespace, Postgres: "secret words"},
		"odd SQLite":   {Namespace: namespace, SQLite: "x?mode=memory"},
		"no Postgres":  {Namespace: namespace, Postgres: "postgres://user:hush@127.0.0.1:1/postgres"},
		"taken port":   {Namespace: namespace, SQLite: filepath.Join(t.TempDir(), "x.db"), Port: taken.Addr().(*net.TCPAddr).Port},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Start(t.Context(), opts)
			if err == nil {
				t.Fatal("started")
			}
			for _, secret := range []string{"hush", "secret words"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("error holds a secret: %v", err)
				}
			}
		})
	}
}

// The server takes an unknown key, and a value of the wrong type, without a word: its own file loader is asked.
func TestEverySettingExists(t *testing.T) {
	file := map[string][]map[string]any{}
	for key, value := range settings {
		if d, ok := value.(time.Duration); ok {
			value = d.String()
		}
		file[key] = []map[string]any{{"value": value}}
	}
	text, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	loaded := dynamicconfig.LoadYamlFile(text)
	for _, problem := range append(loaded.Errors, loaded.Warnings...) {
		t.Error(problem)
	}
	if len(loaded.Map) != len(settings) {
		t.Errorf("%d settings loaded of %d", len(loaded.Map), len(settings))
	}
	unknown := dynamicconfig.LoadYamlFile([]byte("history.noSuchKey: [{value: 1}]"))
	if len(unknown.Warnings) == 0 {
		t.Error("the loader no longer tells unknown keys: this test checks nothing")
	}
}

func TestSearchAttributesFitSQLVisibility(t *testing.T) {
	room := map[enums.IndexedValueType]int{
		enums.INDEXED_VALUE_TYPE_KEYWORD: 10, enums.INDEXED_VALUE_TYPE_DATETIME: 3, enums.INDEXED_VALUE_TYPE_INT: 3,
	}
	for name, kind := range SearchAttributes {
		if room[kind]--; room[kind] < 0 {
			t.Errorf("no room for %s of type %s", name, kind)
		}
	}
}

func start(t *testing.T, opts Options) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	opts.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	s, err := Start(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// startProcess runs the server in a process of its own and waits until it serves the namespace.
func startProcess(t *testing.T, opts Options) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(opts)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serverEnv+"="+string(text))
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			kill(t, cmd)
		}
	})
	c := dial(t, address(opts.Port))
	eventually(t, "the server answers", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: "LockstepState = 'none'"})
		return err
	})
	return cmd
}

func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed just now
}

func dial(t *testing.T, address string) client.Client {
	t.Helper()
	c, err := client.NewLazyClient(client.Options{HostPort: address, Namespace: namespace, Logger: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func eventually(t *testing.T, what string, step func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := until(ctx, what, step); err != nil {
		t.Fatal(err)
	}
}

func TestDataIsInTheTwoDatabasesOnly(t *testing.T) {
	store, err := preparePostgres(localpgtest.Server(t, localpg.Options{}).URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	got := []string{store.main.DatabaseName, store.visibility.DatabaseName}
	if !slices.Equal(got, []string{"temporal", "temporal_visibility"}) {
		t.Errorf("databases %v", got)
	}
	for _, cfg := range []int{store.main.MaxConns, store.visibility.MaxConns} {
		if cfg != connections {
			t.Errorf("%d connections, want %d", cfg, connections)
		}
	}
}
