// Package endpoints is where a running demo can be reached: the file that scripts, checkers and people read.
package endpoints

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/go-playground/validator/v10"
)

// Endpoints is the content of the file. It holds the demo's own secrets, which open nothing but the demo.
type Endpoints struct {
	// Intake is the base URL that /webhooks/{source} lies below.
	Intake string `json:"intake" validate:"required,http_url"`
	// Admin is the base URL of the loopback listener with health, metrics and /api/v1.
	Admin string `json:"admin" validate:"required,http_url"`
	// Temporal is host and port of the gRPC front end.
	Temporal string `json:"temporal" validate:"required,hostname_port"`
	// TemporalUI is the URL of Temporal's own page.
	TemporalUI string `json:"temporal_ui" validate:"required,http_url"`
	// Postgres is the address of the application's database.
	Postgres string `json:"postgres" validate:"required,startswith=postgres://"`
	// Systems are the simulated systems by their name in the integration map.
	Systems map[string]System `json:"systems" validate:"required,min=1,dive,keys,required,endkeys,required"`
	PIDs    PIDs              `json:"pids"`
}

// System is one simulated system.
type System struct {
	Kind string `json:"kind" validate:"required"`
	// URL and LoginURL are the vendor's API and its login.
	URL          string `json:"url" validate:"required,http_url"`
	LoginURL     string `json:"login_url" validate:"required,http_url"`
	ClientID     string `json:"client_id" validate:"required"`
	ClientSecret string `json:"client_secret" validate:"required"`
	// ExternalIDField is the vendor field that carries our canonical id.
	ExternalIDField string `json:"external_id_field" validate:"required"`
	// Source is the name that its webhooks come under, signed with WebhookSecret.
	Source        string `json:"source" validate:"required"`
	WebhookSecret string `json:"webhook_secret" validate:"required"`
	// ControlURL is the simulator's control API: journal, faults, state.
	ControlURL string `json:"control_url" validate:"required,http_url"`
}

// PIDs are the process numbers of the parts.
type PIDs struct {
	Worker     []int `json:"worker" validate:"required,min=1,dive,gt=0"`
	Intake     []int `json:"intake" validate:"required,min=1,dive,gt=0"`
	Dispatch   []int `json:"dispatch" validate:"required,min=1,dive,gt=0"`
	Temporal   int   `json:"temporal" validate:"gt=0"`
	Postgres   int   `json:"postgres" validate:"gt=0"`
	Simulators int   `json:"simulators" validate:"gt=0"`
}

// Check returns an error that names the fields that are missing or malformed, and none of their values.
func (e Endpoints) Check() error {
	err := validator.New(validator.WithRequiredStructEnabled()).Struct(e)
	var wrong validator.ValidationErrors
	if !errors.As(err, &wrong) {
		return err
	}
	var all []error
	for _, field := range wrong {
		all = append(all, fmt.Errorf("endpoints: %s breaks the rule %s", field.Namespace(), field.Tag()))
	}
	return errors.Join(all...)
}

// Write checks e and puts it into the file at once: a reader sees the old content or the new one. Only the file's owner
// can read it.
func Write(path string, e Endpoints) error {
	if err := e.Check(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return fmt.Errorf("endpoints: %w", err)
	}
	draft, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return fmt.Errorf("endpoints: %w", err)
	}
	_, err = draft.Write(append(text, '\n'))
	if err := errors.Join(err, draft.Close()); err != nil {
		return errors.Join(fmt.Errorf("endpoints: %w", err), os.Remove(draft.Name()))
	}
	if err := os.Rename(draft.Name(), path); err != nil {
		return errors.Join(fmt.Errorf("endpoints: %w", err), os.Remove(draft.Name()))
	}
	return nil
}

// Read returns what Write wrote.
func Read(path string) (Endpoints, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Endpoints{}, fmt.Errorf("endpoints: %w", err)
	}
	var e Endpoints
	if err := json.Unmarshal(text, &e); err != nil {
		return Endpoints{}, fmt.Errorf("endpoints: %s: %w", path, err)
	}
	return e, e.Check()
}
