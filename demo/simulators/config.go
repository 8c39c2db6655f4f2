// Package simulators serves the simulated systems of the demo on loopback: each has its vendor's API, its login and a
// control API for scenarios, faults and checks.
package simulators

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/go-playground/validator/v10"
)

// Config is the systems to simulate, by their name in the integration map.
type Config map[string]System

// System is one simulated system. Addresses are host and port.
type System struct {
	Kind string `json:"kind" validate:"required"`
	// Listen serves the vendor's API, LoginListen its login host, ControlListen the control API.
	Listen        string `json:"listen" validate:"required,tcp_addr"`
	LoginListen   string `json:"login_listen" validate:"required,tcp_addr"`
	ControlListen string `json:"control_listen" validate:"required,tcp_addr"`
	ClientID      string `json:"client_id" validate:"required"`
	ClientSecret  string `json:"client_secret" validate:"required"`
	// ExternalIDField is the vendor field that carries our canonical id.
	ExternalIDField string `json:"external_id_field" validate:"required"`
	// Source is the name that the webhooks come under; WebhookURL is where they go.
	Source     string `json:"source" validate:"required"`
	WebhookURL string `json:"webhook_url" validate:"required,http_url"`
	// WebhookSecret signs them, or stands in WebhookHeader where the vendor sends a static key.
	WebhookSecret string `json:"webhook_secret" validate:"required"`
	WebhookHeader string `json:"webhook_header,omitempty"`
}

// Write puts the configuration into a file that only its owner can read.
func (c Config) Write(path string) error {
	if err := c.check(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(c, "", "  ") //nolint:gosec // for a file of mode 0600
	if err != nil {
		return fmt.Errorf("simulators: %w", err)
	}
	draft := path + ".new"
	if err := errors.Join(os.WriteFile(draft, text, 0o600), os.Rename(draft, path)); err != nil {
		return fmt.Errorf("simulators: %w", err)
	}
	return nil
}

// Read returns what Write wrote.
func Read(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("simulators: %w", err)
	}
	var c Config
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, fmt.Errorf("simulators: %s: %w", path, err)
	}
	return c, c.check()
}

// check names what is missing, and none of the values.
func (c Config) check() error {
	if len(c) == 0 {
		return errors.New("simulators: nothing to simulate")
	}
	check := validator.New(validator.WithRequiredStructEnabled())
	var all []error
	for name, system := range c {
		var wrong validator.ValidationErrors
		if err := check.Struct(system); errors.As(err, &wrong) {
			for _, field := range wrong {
				all = append(all, fmt.Errorf("simulators: %s.%s breaks the rule %s", name, field.Field(), field.Tag()))
			}
		}
	}
	return errors.Join(all...)
}
