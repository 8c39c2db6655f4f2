package stack

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"lockstep/demo/supervisor"
)

// The parts, what runs them and when they are ready. The programs' flags and variables stand here and nowhere else.

// ReadyLine is what the demo's own sub-commands print when they are ready.
const ReadyLine = "lockstep-demo: ready"

// Namespace is where every workflow of Lockstep lives.
const Namespace = "lockstep"

// The files of the secrets folder with addresses that hold a password: what stands in a process's environment or command
// line is seen by others.
const (
	applicationAddress = "database_url"
	ownerAddress       = "migrate_url"
	temporalAddress    = "temporal_url"
)

// readyPath on the admin listener answers 200 once the process can do its work.
const readyPath = "/readyz"

func (s *Stack) postgresPart() supervisor.Part {
	return supervisor.Part{
		Name:    "postgres",
		Command: func() (*exec.Cmd, error) { return s.postgres.Command(), nil },
		Ready:   s.postgres.Ping,
		// A fast shutdown: SIGTERM would wait for every connection to end by itself.
		StopSignal: syscall.SIGINT,
		Grace:      30 * time.Second,
	}
}

func (s *Stack) temporalPart() supervisor.Part {
	args := []string{
		"temporal", "--port", strconv.Itoa(s.addresses.temporal), "--ui-port", strconv.Itoa(s.addresses.temporalUI),
	}
	if s.opts.SQLite {
		args = append(args, "--sqlite", s.folder.join("temporal.db"))
	} else {
		args = append(args, "--postgres", filepath.Join(s.Secrets(), temporalAddress))
	}
	return supervisor.Part{
		Name: "temporal", Command: s.program(s.opts.Executable, args, nil), ReadyLine: ReadyLine,
		ReadyWithin: 3 * time.Minute,
	}
}

const simulatorsName = "simulators"

func (s *Stack) simulatorsPart() supervisor.Part {
	return supervisor.Part{
		Name:      simulatorsName,
		Command:   s.program(s.opts.Executable, []string{"simulators", "--config", s.simulatorsFile()}, nil),
		ReadyLine: ReadyLine,
	}
}

func (s *Stack) simulatorsFile() string { return s.folder.join("simulators.json") }

func (s *Stack) intakePart() supervisor.Part {
	return s.lockstepPart("intake", "intake", "lockstep", []string{"serve", "--roles", "intake"},
		map[string]string{"LOCKSTEP_LISTEN": s.addresses.intake})
}

// everythingPart is all of Lockstep in the process of intake.
func (s *Stack) everythingPart() supervisor.Part {
	return s.lockstepPart("intake", "intake", "lockstep", []string{"serve", "--roles", "intake,dispatch,worker"},
		map[string]string{"LOCKSTEP_LISTEN": s.addresses.intake})
}

func (s *Stack) dispatchPart() supervisor.Part {
	return s.lockstepPart("dispatch", "dispatch", "lockstep", []string{"serve", "--roles", "dispatch"}, nil)
}

func (s *Stack) workerPart(name string) supervisor.Part {
	return s.lockstepPart(name, "worker", "worker", nil, nil)
}

// lockstepPart is one of Lockstep's own processes: configured by the environment, ready when its admin listener says so.
func (s *Stack) lockstepPart(name, role, program string, args []string, own map[string]string) supervisor.Part {
	admin := s.addresses.admin[name]
	vars := s.settings()
	vars["LOCKSTEP_ADMIN_LISTEN"] = admin
	maps.Copy(vars, own)
	return supervisor.Part{
		Name: name, Role: role, Command: s.program(filepath.Join(s.opts.Binaries, program), args, vars),
		Ready: func(ctx context.Context) error { return ask(ctx, "http://"+admin+readyPath) },
		// Told to stop, it finishes what it began, for at most 20 s.
		Grace: 25 * time.Second,
	}
}

// settings are the variables of every process and command of Lockstep's.
func (s *Stack) settings() map[string]string {
	vars := map[string]string{
		"LOCKSTEP_DATABASE_URL": "file:" + applicationAddress,
		"LOCKSTEP_MAP":          s.opts.Map,
		"LOCKSTEP_SECRETS":      s.folder.join("secrets"),
		"LOCKSTEP_DEMO":         "1",
		"TEMPORAL_ADDRESS":      listenOn(s.addresses.temporal),
		"TEMPORAL_NAMESPACE":    Namespace,
	}
	maps.Copy(vars, s.landscape.env)
	return vars
}

// program makes commands with an environment of their own: nothing of the caller's settings leaks into a part.
func (s *Stack) program(path string, args []string, vars map[string]string) func() (*exec.Cmd, error) {
	all := map[string]string{}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "LANG", "TZ", "GOMAXPROCS", "GOMEMLIMIT"} {
		if value, ok := os.LookupEnv(name); ok {
			all[name] = value
		}
	}
	maps.Copy(all, vars)
	return func() (*exec.Cmd, error) {
		cmd := exec.Command(path, args...) //nolint:noctx // the supervisor ends it
		cmd.Dir = s.folder.path
		cmd.Env = environ(all)
		return cmd, nil
	}
}

// ask returns nil when the address answers 200.
func ask(ctx context.Context, address string) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // only read
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 500)) // for the message only
		return fmt.Errorf("%s answers %d: %s", readyPath, resp.StatusCode, text)
	}
	return nil
}
