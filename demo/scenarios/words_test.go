package scenarios_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"lockstep/demo/chaos"
	"lockstep/demo/checker"
	"lockstep/demo/stack"
)

// word is one word of the scripts' language: how many arguments it takes, and what it does.
type word struct {
	least, most int
	do          func(ctx context.Context, ts *testscript.TestScript, s *scene, args []string) error
}

func words() map[string]func(*testscript.TestScript, bool, []string) {
	all := map[string]word{
		"save": {3, 3, save}, "delete": {2, 2, remove}, "settle": {0, 0, settle}, "shows": {4, 4, shows}, "absent": {2, 2, absent}, "same": {2, 2, same},
		"mark": {0, 0, mark}, "wrote": {2, 2, wrote}, "called": {3, 3, called},
		"post": {2, 4, post}, "answers": {1, 2, answers}, "ends": {1, 2, ends}, "waiting": {2, 2, waiting},
		"control": {3, 3, control}, "heal": {1, 1, heal}, "secret": {2, 2, secret},
		"slay": {1, 1, slay}, "freeze": {1, 1, freeze}, "thaw": {1, 1, thaw},
		"lockstep": {1, 20, lockstep}, "workflows": {2, 2, workflows}, "cancel": {1, 1, cancel}, "history": {2, 2, history},
		"id": {2, 2, identify}, "crowd": {2, 2, crowd}, "now": {0, 0, now},
	}
	commands := map[string]func(*testscript.TestScript, bool, []string){}
	for name, w := range all {
		commands[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			if len(args) < w.least || len(args) > w.most {
				ts.Fatalf("%s takes %d to %d arguments", name, w.least, w.most)
			}
			err := w.do(context.Background(), ts, sceneOf(ts), args)
			switch {
			case neg && err == nil:
				ts.Fatalf("! %s: it does", name)
			case !neg && err != nil:
				ts.Fatalf("%s: %v", name, err)
			}
		}
	}
	return commands
}

// save SYSTEM NAME JSON: a person at a screen creates or changes a record, whose id $NAME_SYSTEM holds from then on.
func save(ctx context.Context, ts *testscript.TestScript, s *scene, args []string) error {
	c, err := s.system(args[0])
	if err != nil {
		return err
	}
	var r checker.Record
	decode(ts, args[2], &r)
	if s.who[args[1]] == nil {
		s.who[args[1]] = map[string]string{}
	}
	id := s.who[args[1]][args[0]]
	if key, err := s.canonicalOf(ctx, args[1]); id == "" && err == nil && key != "" {
		known, err := s.find(ctx, args[0], args[1])
		if err != nil {
			return err
		}
		id = known.Text(idOf(args[0]))
	}
	if id != "" {
		r[idOf(args[0])] = id
	}
	saved, err := c.Save(ctx, objectOf(args[0]), []checker.Record{r})
	if err != nil {
		return err
	}
	s.who[args[1]][args[0]] = saved[0].Text(idOf(args[0]))
	ts.Setenv(args[1]+"_"+args[0], s.who[args[1]][args[0]])
	return nil
}

// now: $NOW is this moment from now on.
func now(_ context.Context, ts *testscript.TestScript, _ *scene, _ []string) error {
	ts.Setenv("NOW", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"))
	return nil
}

// crowd SYSTEM N: so many customers whom the system has never seen, all at once.
func crowd(ctx context.Context, ts *testscript.TestScript, s *scene, args []string) error {
	c, err := s.system(args[0])
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	records := make([]checker.Record, n)
	for i := range records {
		records[i] = checker.Record{"LastName": "Crowd", "Email": expand(ts, fmt.Sprintf("crowd.$N.%d@example.com", i))}
	}
	_, err = c.Save(ctx, objectOf(args[0]), records)
	return err
}

// delete SYSTEM NAME: a person deletes the record.
func remove(ctx context.Context, _ *testscript.TestScript, s *scene, args []string) error {
	c, err := s.system(args[0])
	if err != nil {
		return err
	}
	r, err := s.find(ctx, args[0], args[1])
	if err != nil {
		return err
	}
	return c.Delete(ctx, objectOf(args[0]), r.Text(idOf(args[0])))
}

// settle: wait until nothing is under way but what waits for somebody.
func settle(ctx context.Context, _ *testscript.TestScript, s *scene, _ []string) error {
	return s.settle(ctx)
}

// shows SYSTEM NAME PATH VALUE: the system's record has the value there, soon.
func shows(ctx context.Context, ts *testscript.TestScript, s *scene, args []string) error {
	want := expand(ts, args[3])
	return eventually(ctx, func(ctx context.Context) error {
		r, err := s.find(ctx, args[0], args[1])
		if err != nil {
			return err
		}
		if got := r.Text(args[2]); got != want {
			return fmt.Errorf("%s of %s in %s is %q, not %q", args[2], args[1], args[0], got, want)
		}
		return nil
	})
}

// absent SYSTEM NAME: the system has no record of them.
func absent(ctx context.Context, _ *testscript.TestScript, s *scene, args []string) error {
	if r, err := s.find(ctx, args[0], args[1]); err == nil {
		return fmt.Errorf("%s has %s", args[0], r.Text(idOf(args[0])))
	}
	return nil
}

// same NAME NAME: both are one customer.
func same(ctx context.Context, _ *testscript.TestScript, s *scene, args []string) error {
	return eventually(ctx, func(ctx context.Context) error {
		one, err := s.canonicalOf(ctx, args[0])
		if err != nil {
			return err
		}
		other, err := s.canonicalOf(ctx, args[1])
		if err != nil {
			return err
		}
		if one == "" || one != other {
			return fmt.Errorf("%s is %q, %s is %q", args[0], one, args[1], other)
		}
		return nil
	})
}

// mark: what wrote and called count begins here.
func mark(ctx context.Context, _ *testscript.TestScript, s *scene, _ []string) error {
	return s.mark(ctx)
}

// wrote SYSTEM N: so many changes of records were ours.
func wrote(ctx context.Context, _ *testscript.TestScript, s *scene, args []string) error {
	c, err := s.system(args[0])
	if err != nil {
		return err
	}
	entries, err := s.entries(ctx, c)
	if err != nil {
		return err
	}
	n := 0
	for _, entry := range entries {
		for _, e := range entry.Effects {
			if !e.Human && !e.Noop && e.Object == objectOf(args[0]) {
				n++
			}
		}
	}
	if strconv.Itoa(n) != args[1] {
		return fmt.Errorf("%d records of %s were written", n, args[0])
	}
	return nil
}

// called SYSTEM STATUS N: so many of our requests were answered so; status 0 is a connection that was dropped.
func called(ctx context.Context, _ *testscript.TestScript, s *scene, args []string) error {
	c, err := s.system(args[0])
	if err != nil {
		return err
	}
	entries, err := s.entries(ctx, c)
	if err != nil {
		return err
	}
	n := len(slices.DeleteFunc(entries, func(e checker.Entry) bool { return e.Kind != "request" || strconv.Itoa(e.Status) != args[1] }))
	if strconv.Itoa(n) != args[2] {
		return fmt.Errorf("%d requests to %s were answered %s", n, args[0], args[1])
	}
	return nil
}

// waiting STATE N: since the script began, so many more deliveries (or, with held, events) are in the state.
func waiting(ctx context.Context, _ *testscript.TestScript, s *scene, args []string) error {
	return eventually(ctx, func(ctx context.Context) error {
		stats, err := s.lockstep.Stats(ctx)
		if err != nil {
			return err
		}
		n := checker.Waiting(stats, args[0]) - checker.Waiting(s.before, args[0])
		if strconv.FormatInt(n, 10) != args[1] {
			return fmt.Errorf("%d are %s", n, args[0])
		}
		return nil
	})
}

// control SYSTEM WHAT JSON: set something of the simulated vendor: faults, webhooks, quota, tokens, secrets, switches.
func control(ctx context.Context, ts *testscript.TestScript, s *scene, args []string) error {
	c, err := s.system(args[0])
	if err != nil {
		return err
	}
	var value any
	decode(ts, args[2], &value)
	return c.Set(ctx, args[1], value)
}

// heal SYSTEM: end all faults.
func heal(ctx context.Context, _ *testscript.TestScript, s *scene, args []string) error {
	c, err := s.system(args[0])
	if err != nil {
		return err
	}
	return c.Clear(ctx)
}

// secret NAME VALUE: a file of the secrets folder is replaced; the value - removes it.
func secret(_ context.Context, ts *testscript.TestScript, _ *scene, args []string) error {
	path := filepath.Join(demo.Secrets(), filepath.FromSlash(args[0]))
	if args[1] == "-" {
		return os.Remove(path)
	}
	draft := path + ".new"
	return errors.Join(os.WriteFile(draft, []byte(expand(ts, args[1])), 0o600), os.Rename(draft, path))
}

// slay PART: SIGKILL.
func slay(ctx context.Context, _ *testscript.TestScript, _ *scene, args []string) error {
	return signal(ctx, args[0], syscall.SIGKILL)
}

// freeze PART: SIGSTOP, so that it is neither there nor gone. Thaw it again.
func freeze(ctx context.Context, ts *testscript.TestScript, _ *scene, args []string) error {
	ts.Defer(func() { _ = signal(context.Background(), args[0], syscall.SIGCONT) }) // thawed already, as a rule
	return signal(ctx, args[0], syscall.SIGSTOP)
}

// thaw PART: SIGCONT.
func thaw(ctx context.Context, _ *testscript.TestScript, _ *scene, args []string) error {
	return signal(ctx, args[0], syscall.SIGCONT)
}

// signal sends a signal to a part and, but for SIGKILL, to what it has started: each connection of Postgres is a process.
func signal(ctx context.Context, part string, s syscall.Signal) error {
	return eventually(ctx, func(ctx context.Context) error {
		pids := chaos.PIDs(demo.Endpoints(), part)
		if len(pids) == 0 {
			return fmt.Errorf("%s is down", part)
		}
		var err error
		if s != syscall.SIGKILL {
			if pids, err = withChildren(ctx, pids); err != nil {
				return err
			}
		}
		for _, pid := range pids {
			err = errors.Join(err, syscall.Kill(pid, s))
		}
		return err
	})
}

// withChildren adds the processes that the given ones have started.
func withChildren(ctx context.Context, pids []int) ([]int, error) {
	list, err := exec.CommandContext(ctx, "ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		return nil, err
	}
	all := slices.Clone(pids)
	for line := range strings.Lines(string(list)) {
		var pid, parent int
		if _, err := fmt.Sscan(line, &pid, &parent); err != nil {
			return nil, fmt.Errorf("ps says %q: %w", line, err)
		}
		if slices.Contains(pids, parent) {
			all = append(all, pid)
		}
	}
	return all, nil
}

// lockstep ARGS...: the operator's command, with its output for stdout and stderr. $RECEIPT is the last answer's.
func lockstep(ctx context.Context, ts *testscript.TestScript, s *scene, args []string) error {
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "RECEIPT", s.answer.Receipt)
	}
	cmd, err := demo.Command(ctx, args...)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	return cmd.Run()
}

// id NAME VARIABLE: the variable holds our id of somebody from now on.
func identify(ctx context.Context, ts *testscript.TestScript, s *scene, args []string) error {
	return eventually(ctx, func(ctx context.Context) error {
		id, err := s.canonicalOf(ctx, args[0])
		if err == nil && id == "" {
			err = fmt.Errorf("%s has no id of ours", args[0])
		}
		ts.Setenv(args[1], id)
		return err
	})
}

// workflows N QUERY: so many workflows fit the query, soon.
func workflows(ctx context.Context, ts *testscript.TestScript, _ *scene, args []string) error {
	return withTemporal(ctx, func(c client.Client) error {
		return eventually(ctx, func(ctx context.Context) error {
			n, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: expand(ts, args[1])})
			if err != nil {
				return err
			}
			if strconv.FormatInt(n.GetCount(), 10) != args[0] {
				return fmt.Errorf("%d workflows are so", n.GetCount())
			}
			return nil
		})
	})
}

// cancel QUERY: a person cancels the workflows that fit the query in Temporal's UI; there has to be one, soon.
func cancel(ctx context.Context, ts *testscript.TestScript, _ *scene, args []string) error {
	return withTemporal(ctx, func(c client.Client) error {
		return eventually(ctx, func(ctx context.Context) error {
			runs, err := checker.Runs(ctx, c, stack.Namespace, expand(ts, args[0]))
			if err != nil {
				return err
			}
			if len(runs) == 0 {
				return errors.New("no workflow is so")
			}
			for _, run := range runs {
				err = errors.Join(err, c.CancelWorkflow(ctx, run.WorkflowID, run.RunID))
			}
			return err
		})
	})
}

// record keeps the histories that scripts name among those that every later build has to replay.
var record = flag.Bool("record", false, "keep the histories that the scripts name in workflows/testdata/histories")

// history NAME QUERY: one run fits the query and has ended, soon; this build replays it.
func history(ctx context.Context, ts *testscript.TestScript, _ *scene, args []string) error {
	return withTemporal(ctx, func(c client.Client) error {
		var run checker.Run
		if err := eventually(ctx, func(ctx context.Context) error {
			runs, err := checker.Runs(ctx, c, stack.Namespace, expand(ts, args[1])+` AND ExecutionStatus != "Running"`)
			if err == nil && len(runs) == 0 {
				err = errors.New("no workflow is so")
			}
			if err == nil {
				run = runs[0]
			}
			return err
		}); err != nil {
			return err
		}
		if *record {
			path := filepath.Join(root(), "workflows", "testdata", "histories", args[0]+".json")
			return errors.Join(os.WriteFile(path, append(run.JSON, '\n'), 0o600), run.Replays())
		}
		return run.Replays()
	})
}

func withTemporal(ctx context.Context, do func(client.Client) error) error {
	c, err := client.DialContext(ctx, client.Options{HostPort: demo.Endpoints().Temporal, Namespace: stack.Namespace, Logger: silent{}})
	if err != nil {
		return err
	}
	defer c.Close()
	return do(c)
}

// silent is a logger of the SDK that says nothing of restarts.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
