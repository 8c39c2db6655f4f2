package command

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"syscall"

	"lockstep/demo/chaos"
	"lockstep/demo/endpoints"
)

// chaosCommand kills parts of a demo that runs already.
type chaosCommand struct {
	Endpoints string `type:"existingfile" required:"" placeholder:"FILE" help:"The file that a running demo writes with --endpoints."`
	Rounds    int    `default:"1" help:"How many rounds; each kills every part at least once."`
	Events    int64  `default:"100" help:"How many events a round has to see accepted."`
	Seed      uint64 `default:"1" help:"Decides who does what, and the order of the kills."`
	JSON      bool   `name:"json" help:"Print each round as one JSON object on a line of standard output."`
}

// Run runs the rounds. A round that cannot be held, because nothing was in flight or a part does not come back, is an
// error; one that does not hold is a finding.
func (c *chaosCommand) Run(ctx context.Context, to outlets) error {
	at, err := endpoints.Read(c.Endpoints)
	if err != nil {
		return err
	}
	runner, err := chaos.New(ctx, chaos.Options{
		Seed: c.Seed, Events: c.Events, Say: to.say,
		At: func() endpoints.Endpoints {
			// While the file is being replaced the last look has to do.
			if now, err := endpoints.Read(c.Endpoints); err == nil {
				at = now
			}
			return living(at)
		},
	})
	if err != nil {
		return err
	}
	broken := 0
	for range c.Rounds {
		round, err := runner.Round(ctx, chaos.EveryPart())
		if err != nil {
			return err
		}
		if !round.Holds() {
			broken++
		}
		if err := c.print(to, round); err != nil {
			return err
		}
	}
	if broken > 0 {
		return fmt.Errorf("%d of %d rounds do not hold: %w", broken, c.Rounds, errFinding)
	}
	return nil
}

func (c *chaosCommand) print(to outlets, round chaos.Round) error {
	if c.JSON {
		text, err := json.Marshal(round)
		if err != nil {
			return fmt.Errorf("print a round: %w", err)
		}
		fmt.Fprintln(to.out, string(text))
		return nil
	}
	fmt.Fprintf(to.out, "round %d: %d events, %d kills, in step after %.0f s: %d lost, %d doubled, %d differences\n",
		round.N, round.Accepted, len(round.Kills), round.Converged, round.Lost, round.Doubled, round.Differences)
	for _, finding := range round.Findings {
		fmt.Fprintln(to.out, "  "+finding)
	}
	return nil
}

// living leaves out the processes that are gone: the file tells of a part that died once it is back.
func living(at endpoints.Endpoints) endpoints.Endpoints {
	gone := func(pid int) bool { return pid == 0 || syscall.Kill(pid, 0) != nil }
	at.PIDs.Worker = slices.DeleteFunc(slices.Clone(at.PIDs.Worker), gone)
	at.PIDs.Intake = slices.DeleteFunc(slices.Clone(at.PIDs.Intake), gone)
	at.PIDs.Dispatch = slices.DeleteFunc(slices.Clone(at.PIDs.Dispatch), gone)
	if gone(at.PIDs.Temporal) {
		at.PIDs.Temporal = 0
	}
	if gone(at.PIDs.Postgres) {
		at.PIDs.Postgres = 0
	}
	return at
}
