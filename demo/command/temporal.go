package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"lockstep/demo/stack"
	"lockstep/demo/temporalserver"
)

// temporalCommand runs the Temporal server.
type temporalCommand struct {
	Port     int    `help:"The port of the gRPC front end; 0 picks one."`
	UIPort   int    `name:"ui-port" help:"The port of the UI; 0 picks one."`
	Postgres string `type:"existingfile" placeholder:"FILE" help:"A file with the address of the Postgres that keeps the state: it holds a password."`
	SQLite   string `name:"sqlite" type:"path" placeholder:"FILE" help:"Keep the state in this file."`
}

// Run serves until it is told to stop.
func (c *temporalCommand) Run(ctx context.Context, to outlets) error {
	opts := temporalserver.Options{Namespace: stack.Namespace, Port: c.Port, UIPort: c.UIPort, SQLite: c.SQLite, Log: to.log()}
	if c.SQLite == "" {
		address, err := os.ReadFile(c.Postgres)
		if err != nil {
			return fmt.Errorf("give --postgres or --sqlite: %w", err)
		}
		opts.Postgres = strings.TrimSpace(string(address))
	}
	up, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	s, err := temporalserver.Start(up, opts)
	if err != nil {
		return err
	}
	defer s.Stop()
	to.say("gRPC on " + s.Address() + ", UI on " + s.UIURL())
	to.say(stack.ReadyLine)
	select {
	case <-ctx.Done():
		return nil
	case <-s.Failed():
		return errors.New("the Temporal server met an error that it cannot live with")
	}
}
