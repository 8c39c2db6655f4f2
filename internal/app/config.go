package app

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"lockstep/internal/integrationmap"
	"lockstep/internal/payload"
	"lockstep/internal/secrets"
	"lockstep/schema"
)

// Config is the process's own configuration, read once from the environment. What the domain needs stands in the
// integration map.
type Config struct {
	// Database is the database as the application's role: an address, or a reference such as file:database_url.
	Database string `env:"LOCKSTEP_DATABASE_URL"`
	// Owner is the same database as the migrations' role, or a reference; empty means Database.
	Owner string `env:"LOCKSTEP_MIGRATE_URL"`
	// Map is the integration map's file.
	Map string `env:"LOCKSTEP_MAP" envDefault:"integration-map.yaml"`
	// Secrets is the folder that file: references point into; Mounted is set where an orchestrator fills it.
	Secrets string `env:"LOCKSTEP_SECRETS"`
	Mounted bool   `env:"LOCKSTEP_SECRETS_MOUNTED"`
	// Listen is for webhooks; Admin, on loopback, for health, metrics and the API.
	Listen string `env:"LOCKSTEP_LISTEN" envDefault:"127.0.0.1:8080"`
	Admin  string `env:"LOCKSTEP_ADMIN_LISTEN" envDefault:"127.0.0.1:9090"`
	// Temporal is the frontend's address and the namespace.
	Temporal  string `env:"TEMPORAL_ADDRESS" envDefault:"127.0.0.1:7233"`
	Namespace string `env:"TEMPORAL_NAMESPACE" envDefault:"lockstep"`
	// Demo lets vendors be simulators on this machine and secrets be those of the demo.
	Demo bool `env:"LOCKSTEP_DEMO"`
	// Log is debug, info, warn or error.
	Log slog.Level `env:"LOCKSTEP_LOG" envDefault:"info"`
	// KeepEnded and KeepDead are how long raw bodies are kept.
	KeepEnded time.Duration `env:"LOCKSTEP_KEEP_ENDED" envDefault:"168h" validate:"gt=0"`
	KeepDead  time.Duration `env:"LOCKSTEP_KEEP_DEAD" envDefault:"2160h" validate:"gt=0"`
	// Connections bounds the pool.
	Connections int `env:"LOCKSTEP_DATABASE_CONNECTIONS" envDefault:"16" validate:"gte=4"` // two commits, a decision and a question at a time
	// Stop is how long a process that is told to stop may finish what it began.
	Stop time.Duration `env:"LOCKSTEP_STOP" envDefault:"20s" validate:"gt=0"`
}

// ReadConfig reads the environment. Its error names the variable and what it takes.
func ReadConfig() (Config, error) {
	c, err := env.ParseAs[Config]()
	var all env.AggregateError
	if errors.As(err, &all) {
		var problems []string
		for _, e := range all.Errors {
			problems = append(problems, variableProblem(e))
		}
		return c, fmt.Errorf("configuration: %s", strings.Join(problems, "; "))
	}
	if err != nil {
		return c, errors.New("configuration: the environment cannot be read")
	}
	return c, c.check()
}

// variableProblem says which variable is wrong and what it takes. The value is not repeated: it may be a secret in the
// wrong place.
func variableProblem(err error) string {
	var parse env.ParseError
	if !errors.As(err, &parse) {
		return "a variable cannot be read"
	}
	takes := map[reflect.Type]string{
		reflect.TypeFor[bool](): "true or false", reflect.TypeFor[int](): "a whole number",
		reflect.TypeFor[time.Duration](): "a span of time like 20s", reflect.TypeFor[slog.Level](): "debug, info, warn or error",
	}
	return variableOf(parse.Name) + " takes " + takes[parse.Type]
}

// variableOf returns the variable that a member is read from.
func variableOf(member string) string {
	if field, ok := reflect.TypeFor[Config]().FieldByName(member); ok {
		member, _, _ = strings.Cut(field.Tag.Get("env"), ",")
	}
	return member
}

// check refuses numbers that make no sense.
func (c Config) check() error {
	var faults schema.Faults
	if !errors.As(schema.Validate(c), &faults) {
		return nil
	}
	problems := make([]string, len(faults))
	for i, f := range faults {
		takes := "a span of time above zero"
		if f.Rule == "gte" {
			takes = "a number of at least " + f.Bound
		}
		problems[i] = variableOf(f.Path) + " takes " + takes
	}
	return fmt.Errorf("configuration: %s", strings.Join(problems, "; "))
}

// wiring is what every role is made of: configuration, secrets, map and shapes.
type wiring struct {
	Config
	secrets *secrets.Dir
	bundle  *integrationmap.Bundle
	shapes  *payload.Catalogue
}

func (c Config) loadMap() (*integrationmap.Bundle, *payload.Catalogue, error) {
	shapes, err := payload.Load(schema.Shapes)
	if err != nil {
		return nil, nil, err
	}
	bundle, err := integrationmap.Load(c.Map, integrationmap.Known{
		Kinds: Kinds(), Envelopes: Envelopes(), Schemas: shapes.Families(), Wiring: wiringFaults,
	})
	return bundle, shapes, err
}

func (c Config) openSecrets() (*secrets.Dir, error) {
	if c.Secrets == "" {
		return nil, fmt.Errorf("configuration: LOCKSTEP_SECRETS is not set; it names the folder that holds keys and credentials")
	}
	dir, err := secrets.Open(c.Secrets, secrets.Options{Mounted: c.Mounted, Demo: c.Demo})
	if err != nil {
		return nil, fmt.Errorf("configuration: LOCKSTEP_SECRETS: %w", err)
	}
	return dir, nil
}

// wire opens the secrets folder and loads the map.
func (c Config) wire() (*wiring, error) {
	dir, err := c.openSecrets()
	if err != nil {
		return nil, err
	}
	w := &wiring{Config: c, secrets: dir}
	if w.bundle, w.shapes, err = c.loadMap(); err != nil {
		_ = dir.Close()
		return nil, err
	}
	return w, nil
}

// close ends what wire began.
func (w *wiring) close() { _ = w.secrets.Close() }

// databaseURL resolves the address of the database.
func (w *wiring) databaseURL() (string, error) {
	if w.Database == "" {
		return "", fmt.Errorf("configuration: LOCKSTEP_DATABASE_URL is not set; write postgres://user@host/database or file:database_url")
	}
	return address(w.secrets, "LOCKSTEP_DATABASE_URL", w.Database)
}

// ownerURL resolves the address of the database for its migrations. The secrets are opened only for a reference.
func (c Config) ownerURL() (string, error) {
	name, value := "LOCKSTEP_MIGRATE_URL", c.Owner
	if value == "" {
		name, value = "LOCKSTEP_DATABASE_URL", c.Database
	}
	if value == "" {
		return "", fmt.Errorf("configuration: LOCKSTEP_MIGRATE_URL is not set; it is the database as its owner, postgres://owner@host/database or file:migrate_url")
	}
	if !strings.HasPrefix(value, "file:") {
		return value, nil
	}
	dir, err := c.openSecrets()
	if err != nil {
		return "", err
	}
	defer func() { _ = dir.Close() }() // only read
	return address(dir, name, value)
}

// address returns what a variable holds or refers to.
func address(dir *secrets.Dir, variable, value string) (string, error) {
	if !strings.HasPrefix(value, "file:") {
		return value, nil
	}
	secret, err := dir.Resolve(schema.Reference(value))
	if err != nil {
		return "", fmt.Errorf("configuration: %s: %w", variable, err)
	}
	return strings.TrimSpace(string(secret.Reveal())), nil
}

// resolve returns what a reference of the map points at.
func (w *wiring) resolve(at string, r schema.Reference) (string, error) {
	if r == "" {
		return "", nil
	}
	secret, err := w.secrets.Resolve(r)
	return w.text(at, secret, err)
}

func (w *wiring) text(at string, secret secrets.Secret, err error) (string, error) {
	if err != nil {
		return "", fmt.Errorf("%s: %s: %w", w.Map, at, err)
	}
	return strings.TrimSpace(string(secret.Reveal())), nil
}
