package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"lockstep/demo/endpoints"
)

// Kill is a SIGKILL of a part.
type Kill struct {
	Part string `json:"part"`
	PIDs []int  `json:"pids"`
	// InFlight is how many events were on their way just before.
	InFlight int64 `json:"in_flight"`
}

// Parts are what can be killed.
func Parts() []string { return []string{"worker", "intake", "dispatch", "temporal", "postgres"} }

// PIDs returns the process numbers of a part; none while it is down.
func PIDs(at endpoints.Endpoints, part string) []int {
	single := func(pid int) []int { return slices.DeleteFunc([]int{pid}, func(n int) bool { return n == 0 }) }
	switch part {
	case "worker":
		return at.PIDs.Worker
	case "intake":
		return at.PIDs.Intake
	case "dispatch":
		return at.PIDs.Dispatch
	case "temporal":
		return single(at.PIDs.Temporal)
	case "postgres":
		return single(at.PIDs.Postgres)
	}
	return nil
}

// kill kills the plan's parts, each while events are in flight.
func (r *Runner) kill(ctx context.Context, plan Plan) ([]Kill, error) {
	parts := slices.Clone(plan.Parts)
	r.rand.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	groups := [][]string{parts}
	if !plan.Together {
		groups = groups[:0]
		for _, part := range parts {
			groups = append(groups, []string{part})
		}
	}
	var kills []Kill
	for _, group := range groups {
		if err := r.pause(ctx); err != nil {
			return kills, err
		}
		inFlight, pids, err := r.aim(ctx, group)
		if err != nil {
			return kills, err
		}
		for i, part := range group {
			if err := shoot(pids[i]); err != nil {
				return kills, fmt.Errorf("chaos: kill %s: %w", part, err)
			}
			kills = append(kills, Kill{Part: part, PIDs: pids[i], InFlight: inFlight})
		}
		r.opts.Say(fmt.Sprintf("killed %s with %d events in flight", strings.Join(group, ", "), inFlight))
	}
	return kills, nil
}

// aim waits until all of the parts run and events are in flight.
func (r *Runner) aim(ctx context.Context, parts []string) (inFlight int64, pids [][]int, err error) {
	err = until(ctx, returnsWithin, func() error {
		at := r.opts.At()
		pids = pids[:0]
		for _, part := range parts {
			n := PIDs(at, part)
			if len(n) == 0 {
				return fmt.Errorf("%s is down", part)
			}
			pids = append(pids, n)
		}
		stats, err := r.lockstep.Stats(ctx)
		if err != nil {
			return err
		}
		if inFlight = stats.Open.Sum(); inFlight == 0 {
			return errors.New("nothing is in flight")
		}
		return nil
	})
	return inFlight, pids, err
}

// shoot kills processes. One that ended by itself just now is as dead.
func shoot(pids []int) error {
	var all error
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			all = errors.Join(all, err)
		}
	}
	return all
}

// pause lets some traffic pass, so that the next kill meets another moment of an event's way.
func (r *Runner) pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Duration(200+r.rand.IntN(1800)) * time.Millisecond):
		return nil
	}
}
