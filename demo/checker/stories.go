package checker

import (
	"context"
	"fmt"

	"go.temporal.io/sdk/client"

	"lockstep/demo/endpoints"
)

// namespace is where the runs are.
const namespace = "lockstep"

// Stories exports every run that Temporal has and returns what does not hold: a history without bounds (INV-26), or one
// that this build would not go on with (INV-27). runs counts what was looked at.
func Stories(ctx context.Context, at endpoints.Endpoints) (runs int, findings []string, err error) {
	c, err := client.DialContext(ctx, client.Options{HostPort: at.Temporal, Namespace: namespace, Logger: silent{}})
	if err != nil {
		return 0, nil, fmt.Errorf("checker: %w", err)
	}
	defer c.Close()
	all, err := Runs(ctx, c, namespace, "")
	for _, run := range all {
		for _, check := range []func() error{run.Bounded, run.Replays} {
			if broken := check(); broken != nil {
				findings = append(findings, broken.Error())
			}
		}
	}
	return len(all), findings, err
}

// silent is a logger of the SDK that says nothing of restarts.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
