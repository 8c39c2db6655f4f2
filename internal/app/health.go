package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// healthWithin bounds the question; an orchestrator asks again soon.
const healthWithin = 2 * time.Second

type healthCommand struct{}

// Run asks the admin listener of a running process; for an orchestrator that has no HTTP client at hand.
func (c *healthCommand) Run(s *scene) error {
	ctx, cancel := context.WithTimeout(s.ctx, healthWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.config.Admin+"/readyz", nil)
	if err != nil {
		return usage{fmt.Errorf("LOCKSTEP_ADMIN_LISTEN is not host:port: %w", err)}
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return errors.New("nobody answers at LOCKSTEP_ADMIN_LISTEN")
	}
	defer func() { _ = resp.Body.Close() }() // only the status is read
	if resp.StatusCode != http.StatusOK {
		return finding{fmt.Errorf("not ready: GET /readyz answers %d", resp.StatusCode)}
	}
	_, err = fmt.Fprintln(s.streams.Out, "ready")
	return err
}
