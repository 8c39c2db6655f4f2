package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"lockstep/demo/stack"
)

// runCommand starts everything.
type runCommand struct {
	Once      bool          `help:"Play, print the result, stop everything, and end with exit code 0 only if everything holds."`
	Idle      bool          `help:"Play nothing."`
	JSON      bool          `name:"json" help:"Print the result as JSON on standard output."`
	Endpoints string        `type:"path" placeholder:"FILE" help:"When ready, and again whenever a part was restarted, write where everything is as one JSON object."`
	Within    time.Duration `default:"15m" help:"With --once: end with an error when the traffic is not done by then."`
	Keep      bool          `help:"With --idle: carry on with the databases of the run before. The simulated systems begin empty all the same."`
	SQLite    bool          `name:"sqlite" help:"Keep Temporal's state in an SQLite file instead of in Postgres."`
	Workers   int           `default:"1" help:"How many worker processes run."`
	Folder    string        `type:"path" placeholder:"DIR" help:"Where the state is kept (default: LOCKSTEP_DEMO_DIR, or a folder in your cache)."`
	Binaries  string        `type:"existingdir" hidden:"" help:"The folder with the programs lockstep and worker (default: beside this one)."`
	Map       string        `type:"existingfile" default:"integration-map.yaml" help:"The integration map."`
}

// Run brings everything up, plays, and takes everything down again.
func (c *runCommand) Run(ctx context.Context, to outlets, play Play) (err error) {
	if c.Once && c.Idle {
		return errors.New("--once plays and --idle does not: choose one")
	}
	if c.Keep && !c.Idle {
		return errors.New("--keep needs --idle: the simulated systems begin empty and give out ids again that the old databases know")
	}
	executable, err := os.Executable()
	if err != nil {
		return fmt.Errorf("where is this program: %w", err)
	}
	if c.Binaries == "" {
		c.Binaries = filepath.Dir(executable)
	}
	if c.Folder == "" {
		c.Folder = stack.Folder()
	}
	began := time.Now()
	say := func(text string) { to.say(fmt.Sprintf("%6.1f s  %s", time.Since(began).Seconds(), text)) }
	s, err := stack.Up(ctx, stack.Options{
		Folder: c.Folder, Fresh: !c.Keep, SQLite: c.SQLite, Workers: c.Workers, Map: c.Map, Binaries: c.Binaries,
		Executable: executable, Endpoints: c.Endpoints, Say: say, Log: to.log(),
	})
	defer func() {
		say("stopping")
		err = errors.Join(err, s.Down())
	}()
	if err != nil {
		return err
	}
	at := s.Endpoints()
	to.say("")
	to.say("  Temporal UI   " + at.TemporalUI)
	to.say("  API           " + at.Admin + "/api/v1/stats")
	to.say("  logs          " + s.Logs())
	to.say("")
	if !c.Idle {
		if err := c.play(ctx, s, to, play, say); err != nil {
			return err
		}
	}
	if !c.Once {
		say("up until Ctrl-C")
		<-ctx.Done()
	}
	return nil
}

// play runs the traffic and prints the result. Without --once a finding is printed and everything stays up to be looked
// at.
func (c *runCommand) play(ctx context.Context, s *stack.Stack, to outlets, play Play, say func(string)) error {
	if play == nil {
		return errors.New("this build has no traffic to play: use --idle")
	}
	limit, cancel := ctx, context.CancelFunc(func() {})
	if c.Once {
		limit, cancel = context.WithTimeout(ctx, c.Within)
	}
	defer cancel()
	report, passed, err := play(limit, s.Endpoints(), say)
	if err != nil {
		if ctx.Err() != nil && !c.Once {
			return nil // Ctrl-C while it played
		}
		return fmt.Errorf("play: %w", err)
	}
	if c.JSON {
		text, err := json.Marshal(report)
		if err != nil {
			return fmt.Errorf("print the report: %w", err)
		}
		fmt.Fprintln(to.out, string(text))
	} else {
		fmt.Fprintln(to.out, report)
	}
	if !passed && c.Once {
		return errFinding
	}
	return nil
}
