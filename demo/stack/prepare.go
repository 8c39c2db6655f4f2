package stack

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// prepare runs the commands that an operator runs once: schema, map, systems. Each is safe to repeat.
func (s *Stack) prepare(ctx context.Context) error {
	owner := map[string]string{"LOCKSTEP_MIGRATE_URL": "file:" + ownerAddress}
	if err := s.lockstep(ctx, owner, "migrate"); err != nil {
		return err
	}
	if err := s.lockstep(ctx, nil, "map", "activate", "--by", "demo"); err != nil {
		return err
	}
	return s.prepareSystems(ctx)
}

// prepareSystems makes what has to exist in the simulated systems.
func (s *Stack) prepareSystems(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(s.landscape.systems)) {
		if err := s.landscape.pin(ctx, name); err != nil {
			return err
		}
		if err := s.lockstep(ctx, nil, "system", "prepare", name); err != nil {
			return err
		}
	}
	return nil
}

// Command returns one of Lockstep's commands, configured as its processes are.
func (s *Stack) Command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	return s.command(ctx, nil, args)
}

// Secrets returns the folder that the map's references point into.
func (s *Stack) Secrets() string { return s.folder.join("secrets") }

func (s *Stack) command(ctx context.Context, own map[string]string, args []string) (*exec.Cmd, error) {
	vars := s.settings()
	maps.Copy(vars, own)
	made, err := s.program(filepath.Join(s.opts.Binaries, "lockstep"), args, vars)()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, made.Path, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = made.Dir, made.Env, 2*time.Second
	return cmd, nil
}

// lockstep runs one of Lockstep's commands to its end. The error holds what it said.
func (s *Stack) lockstep(ctx context.Context, own map[string]string, args ...string) error {
	cmd, err := s.command(ctx, own, args)
	if err != nil {
		return err
	}
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("lockstep %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(said)))
	}
	return nil
}
