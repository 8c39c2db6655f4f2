// Package scenarios_test plays the promises against the whole demo: real processes, real Postgres, real Temporal, simulated
// vendors over HTTP. Each promise is a script of its own in this folder.
package scenarios_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/demo/command"
	"lockstep/demo/stack"
)

// demo is the running demo that all tests here share; they run one after the other.
var demo *stack.Stack

// TestMain plays the demo's own program when it is called as such (the stack starts Temporal and the simulators so), else
// it brings the demo up and runs the tests.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-test.") {
		os.Exit(command.Run(os.Args[1:], os.Stdout, os.Stderr, nil))
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	// Postgres runs as another user: it has to be able to enter.
	home, err := os.MkdirTemp("/tmp", "lockstep-scenarios-")
	if err != nil {
		return 0, err
	}
	defer func() {
		if os.Getenv("LOCKSTEP_KEEP") == "" {
			err = errors.Join(err, os.RemoveAll(home))
		}
	}()
	demo, err = bringUp(context.Background(), home)
	defer func() { err = errors.Join(err, demo.Down()) }()
	if err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// bringUp starts a demo in a folder of its own, from programs that are built for it. What it returns has to be brought
// down, also after an error.
func bringUp(ctx context.Context, home string, tags ...string) (*stack.Stack, error) {
	opts, err := prepared(home, tags...)
	if err != nil {
		return nil, err
	}
	return stack.Up(ctx, opts)
}

// prepared builds the programs and says how to bring a demo up with them.
func prepared(home string, tags ...string) (opts stack.Options, err error) {
	if err := os.Chmod(home, 0o711); err != nil {
		return opts, err
	}
	binaries := filepath.Join(home, "bin")
	for name, source := range map[string]string{"lockstep": "./starter", "worker": "./worker"} {
		if err := build(filepath.Join(binaries, name), source, tags...); err != nil {
			return opts, err
		}
	}
	executable, err := os.Executable()
	if err != nil {
		return opts, err
	}
	return stack.Options{
		Folder: filepath.Join(home, "state"), Fresh: true, Map: "../../integration-map.yaml", Binaries: binaries, Executable: executable,
		Endpoints: filepath.Join(home, "endpoints.json"),
		Say:       func(text string) { fmt.Fprintln(os.Stderr, text) },
	}, nil
}

// build compiles a program of the main module, with the versions that the main module chooses.
func build(to, source string, tags ...string) error {
	cmd := exec.Command("go", "build", "-C", "../..", "-tags", strings.Join(tags, ","), "-o", to, source)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s: %w", source, err)
	}
	return nil
}
