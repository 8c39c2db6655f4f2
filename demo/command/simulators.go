package command

import (
	"context"

	"lockstep/demo/simulators"
	"lockstep/demo/stack"
)

// simulatorsCommand runs the simulated systems.
type simulatorsCommand struct {
	Config string `required:"" type:"existingfile" placeholder:"FILE" help:"The systems, their addresses and their secrets."`
}

// Run serves until it is told to stop.
func (c *simulatorsCommand) Run(ctx context.Context, to outlets) error {
	config, err := simulators.Read(c.Config)
	if err != nil {
		return err
	}
	return simulators.Serve(ctx, config, func() { to.say(stack.ReadyLine) })
}
