package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"lockstep/internal/integrationmap"
	"lockstep/internal/secrets"
)

// The exit codes of every command.
const (
	ExitFine    = 0
	ExitFinding = 1
	ExitUsage   = 2
	ExitRemote  = 3
)

// Streams are where a command writes.
type Streams struct {
	Out io.Writer
	Err io.Writer
}

// commands is the command line of the binary `lockstep`.
type commands struct {
	Serve   serveCommand   `cmd:"" help:"Run roles: intake, dispatch, worker."`
	Health  healthCommand  `cmd:"" help:"Ask the process at LOCKSTEP_ADMIN_LISTEN whether it can do its work."`
	Migrate migrateCommand `cmd:"" help:"Bring the database's schema up to date, as its owner."`
	Keys    keysCommand    `cmd:"" help:"Make the keys that seal what is stored."`
	Map     mapCommand     `cmd:"" help:"Check and activate the integration map."`
	Event   eventCommand   `cmd:"" help:"Look into the life of an event."`
	Stats   statsCommand   `cmd:"" help:"Print the numbers, in one snapshot."`
	System  systemCommand  `cmd:"" help:"Pause, resume and prepare systems."`
	Park    parkCommand    `cmd:"" help:"Let a parked delivery go on."`
	Journal journalCommand `cmd:"" help:"Check the journal; recover after the database was restored."`
}

// scene is what every command runs in.
type scene struct {
	ctx     context.Context //nolint:containedctx // kong calls a command with one value, and the command ends with it
	config  Config
	streams Streams
}

// finding is an error that means: it ran, and found something.
type finding struct{ error }

// usage is an error in how a command was called or configured.
type usage struct{ error }

// Run runs the command line of `lockstep` and returns its exit code: 0 fine, 1 finding, 2 usage, 3 remote down.
func Run(args []string, streams Streams) int {
	var c commands
	code := -1
	parser, err := kong.New(&c, kong.Name("lockstep"), kong.Description("Keeps a contact centre's systems in step."),
		kong.Writers(streams.Out, streams.Err), kong.Exit(func(n int) { code = n }), kong.UsageOnError())
	if err != nil {
		return fail(streams, usage{err})
	}
	parsed, err := parser.Parse(args)
	if code >= 0 {
		return code
	}
	if err != nil {
		return fail(streams, usage{fmt.Errorf("%w (see lockstep --help)", err)})
	}
	config, err := ReadConfig()
	if err != nil {
		return fail(streams, usage{err})
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := parsed.Run(&scene{ctx: ctx, config: config, streams: streams}); err != nil {
		return fail(streams, err)
	}
	return ExitFine
}

// RunWorker runs the binary `worker` and returns its exit code.
func RunWorker(streams Streams) int {
	return Run([]string{"serve", "--roles", RoleWorker}, streams)
}

func fail(streams Streams, err error) int {
	_, _ = fmt.Fprintln(streams.Err, err)
	var problems integrationmap.Problems
	var secret *secrets.Error
	switch {
	case errors.As(err, &finding{}):
		return ExitFinding
	case errors.As(err, &usage{}), errors.As(err, &problems), errors.As(err, &secret), errors.Is(err, fs.ErrNotExist), strings.HasPrefix(err.Error(), "configuration:"):
		return ExitUsage
	}
	return ExitRemote
}

// Unwrap returns what was found.
func (f finding) Unwrap() error { return f.error }

// Unwrap returns what is wrong.
func (u usage) Unwrap() error { return u.error }

// print writes a value as JSON, or lines for a person.
func (s *scene) print(asJSON bool, value any, lines func(w io.Writer)) error {
	if !asJSON {
		lines(s.streams.Out)
		return nil
	}
	e := json.NewEncoder(s.streams.Out)
	e.SetIndent("", "  ")
	if err := e.Encode(value); err != nil {
		return fmt.Errorf("cannot write: %w", err)
	}
	return nil
}

type serveCommand struct {
	Roles []string `help:"What to run: intake, dispatch, worker." default:"intake,dispatch" enum:"intake,dispatch,worker"`
}

// Run serves until the process is told to stop.
func (c *serveCommand) Run(s *scene) error {
	return Serve(s.ctx, s.config, c.Roles, s.streams.Out, s.streams.Err)
}
