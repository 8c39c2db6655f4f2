// Package command is the demo's command line: everything at once, or one part in the foreground.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"lockstep/demo/endpoints"
)

// The exit codes.
const (
	codeFine    = 0
	codeFinding = 1
	codeUsage   = 2
)

// Play sends traffic to a running demo and checks what came of it. The report is printed as JSON; passed says whether
// everything it checks holds. say hears of progress in plain words. It returns early when ctx ends.
type Play func(ctx context.Context, at endpoints.Endpoints, say func(string)) (report any, passed bool, err error)

// line is the command line.
type line struct {
	Run        runCommand        `cmd:"" default:"withargs" help:"Start everything on this machine, play traffic, and stay up until Ctrl-C (the default)."`
	Chaos      chaosCommand      `cmd:"" help:"Kill parts of a running demo while events are in flight, and check what is left."`
	Temporal   temporalCommand   `cmd:"" help:"Run the Temporal server and its UI in the foreground."`
	Simulators simulatorsCommand `cmd:"" help:"Run the simulated systems in the foreground."`
}

// outlets is where a command writes: results to out, everything else to talk.
type outlets struct {
	out, talk io.Writer
}

func (o outlets) say(text string) { fmt.Fprintln(o.talk, text) }

// log returns a logger for a part in the foreground.
func (o outlets) log() *slog.Logger { return slog.New(slog.NewTextHandler(o.talk, nil)) }

// errFinding ends a command with the code of a finding; what was found is written already.
var errFinding = errors.New("not everything holds")

// Run runs the command line and returns the exit code: 0 fine, 1 a finding or a failure, 2 wrong usage.
func Run(args []string, out, talk io.Writer, play Play) int {
	var commands line
	code := -1
	parser, err := kong.New(&commands,
		kong.Name("demo"),
		kong.Description("Lockstep on one machine: Postgres, Temporal, simulated systems, and Lockstep itself."),
		kong.Writers(talk, talk),
		kong.Exit(func(c int) { code = c }),
	)
	if err != nil {
		fmt.Fprintln(talk, err)
		return codeUsage
	}
	parsed, err := parser.Parse(args)
	if code >= 0 { // --help was printed
		return code
	}
	if err != nil {
		fmt.Fprintf(talk, "demo: %v\nSee --help.\n", err)
		return codeUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.Bind(outlets{out, talk}, play)
	switch err := parsed.Run(); {
	case err == nil:
		return codeFine
	case errors.Is(err, errFinding):
		return codeFinding
	default:
		fmt.Fprintln(talk, "demo:", strings.TrimSpace(err.Error()))
		return codeFinding
	}
}
