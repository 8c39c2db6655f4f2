package stack

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"lockstep/demo/endpoints"
	"lockstep/demo/simulators"
	"lockstep/internal/loopback"
	"lockstep/internal/secrets"
	"lockstep/schema"
)

// landscape is what the integration map asks the demo to simulate: the systems, and where the map says that their
// addresses and secrets are found. The map is the only place that names them.
type landscape struct {
	systems simulators.Config
	// env are the variables, and files the secret files, that the map refers to.
	env   map[string]string
	files map[string]string
	// pinned are the external sources whose ids the map pins, by system, id to name.
	pinned map[string]map[string]string
}

// survey reads the map and invents an address and secrets for each system with a simulator.
func survey(mapFile, intake string) (*landscape, error) {
	text, err := os.ReadFile(mapFile)
	if err != nil {
		return nil, fmt.Errorf("integration map: %w", err)
	}
	var m schema.Map
	if err := yaml.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("integration map: %s: %w", mapFile, err)
	}
	l := &landscape{systems: simulators.Config{}, env: map[string]string{}, files: map[string]string{}, pinned: map[string]map[string]string{}}
	for _, name := range slices.Sorted(maps.Keys(m.Systems)) {
		if m.Systems[name].Kind == "source" {
			continue
		}
		if err := l.add(name, m, intake); err != nil {
			return nil, fmt.Errorf("integration map: system %s: %w", name, err)
		}
	}
	if len(l.systems) == 0 {
		return nil, errors.New("integration map: no system to simulate")
	}
	return l, nil
}

func (l *landscape) add(name string, m schema.Map, intake string) error {
	ports, err := loopback.Ports(3)
	if err != nil {
		return err
	}
	system := m.Systems[name]
	sim := simulators.System{
		Kind: system.Kind, Listen: listenOn(ports[0]), LoginListen: listenOn(ports[1]), ControlListen: listenOn(ports[2]),
		ClientID: secrets.DemoMarker + "-" + name, ClientSecret: invent(),
		ExternalIDField: externalID(name, m),
	}
	source, signature, err := sourceOf(name, m)
	if err != nil {
		return err
	}
	sim.Source = source
	sim.WebhookURL = intake + "/webhooks/" + source
	sim.WebhookSecret, sim.WebhookHeader = webhookSecret(signature), signature.Header
	l.systems[name] = sim
	l.pinned[name] = map[string]string{}
	for option, id := range system.Options {
		if source, ok := strings.CutPrefix(option, "external_source."); ok {
			l.pinned[name][id] = source
		}
	}
	return errors.Join(
		l.refer(system.Endpoint, "http://"+sim.Listen),
		// Salesforce grants client credentials at the org's own address only, so both may be the same.
		l.refer(system.Login, "http://"+loginOf(sim)),
		l.refer(system.Credential, sim.ClientID+":"+sim.ClientSecret),
		l.refer(signature.Secrets[0], sim.WebhookSecret),
	)
}

// pin makes what the map pins by id: an org that was set up before has it.
func (l *landscape) pin(ctx context.Context, name string) error {
	for id, source := range l.pinned[name] {
		body, err := json.Marshal(map[string]string{"id": id, "name": source})
		if err != nil {
			return fmt.Errorf("system %s: %w", name, err)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+l.systems[name].ControlListen+"/records/ExternalSource", bytes.NewReader(body))
		if err != nil {
			return fmt.Errorf("system %s: %w", name, err)
		}
		resp, err := http.DefaultClient.Do(req) //nolint:forbidigo // a simulator on this machine
		if err != nil {
			return fmt.Errorf("system %s: %w", name, err)
		}
		_ = resp.Body.Close() // the status says it all
		if resp.StatusCode >= 300 {
			return fmt.Errorf("system %s: external source %s: %s", name, source, resp.Status)
		}
	}
	return nil
}

// refer makes the value found where the reference points.
func (l *landscape) refer(ref schema.Reference, value string) error {
	if ref == "" {
		return nil
	}
	scheme, rest, ok := ref.Split()
	if !ok {
		return fmt.Errorf("%q is not a reference", ref)
	}
	if scheme == "env" {
		l.env[rest] = value
	} else {
		l.files[rest] = value
	}
	return nil
}

// write puts the secret files below the folder, and makes the keys of an installation there once: what is sealed in the
// database of an earlier run opens with them.
func (l *landscape) write(dir string) error {
	if err := secrets.Generate(dir); err != nil && !errors.Is(err, secrets.ErrExists) {
		return err
	}
	for name, value := range l.files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("secrets: %w", err)
		}
		draft := path + ".new"
		if err := errors.Join(os.WriteFile(draft, []byte(value+"\n"), 0o600), os.Rename(draft, path)); err != nil {
			return fmt.Errorf("secrets: %w", err)
		}
	}
	return nil
}

// describe returns the systems as the endpoints file tells of them.
func (l *landscape) describe() map[string]endpoints.System {
	described := map[string]endpoints.System{}
	for name, sim := range l.systems {
		described[name] = endpoints.System{
			Kind: sim.Kind, URL: "http://" + sim.Listen, LoginURL: "http://" + loginOf(sim),
			ClientID: sim.ClientID, ClientSecret: sim.ClientSecret, ExternalIDField: sim.ExternalIDField,
			Source: sim.Source, WebhookSecret: sim.WebhookSecret, ControlURL: "http://" + sim.ControlListen,
		}
	}
	return described
}

// loginOf is where the system grants tokens.
func loginOf(sim simulators.System) string {
	if sim.Kind == "salesforce" {
		return sim.Listen
	}
	return sim.LoginListen
}

// sourceOf returns the source that a system's webhooks come under.
func sourceOf(system string, m schema.Map) (string, schema.Signature, error) {
	for _, name := range slices.Sorted(maps.Keys(m.Sources)) {
		source := m.Sources[name]
		if source.System == system && source.Envelope == m.Systems[system].Kind && len(source.Signature.Secrets) > 0 {
			return name, source.Signature, nil
		}
	}
	return "", schema.Signature{}, errors.New("no source tells of its changes in its own envelope")
}

// externalID is the vendor field that carries our canonical id.
func externalID(system string, m schema.Map) string {
	for _, name := range slices.Sorted(maps.Keys(m.Objects)) {
		for _, field := range m.Objects[name].Fields {
			if field.Type == schema.TypeCanonicalID && field.Systems[system].Field != "" {
				return field.Systems[system].Field
			}
		}
	}
	return ""
}

// webhookSecret invents a secret in the encoding that the profile asks for.
func webhookSecret(s schema.Signature) string {
	switch {
	case s.Profile == "standard_webhooks" || s.SecretEncoding == "whsec":
		return "whsec_" + base64.StdEncoding.EncodeToString([]byte(invent()))
	case s.SecretEncoding == "base64":
		return base64.StdEncoding.EncodeToString([]byte(invent()))
	}
	return invent()
}

// invent returns a secret that only a demo accepts.
func invent() string { return secrets.DemoMarker + "-" + rand.Text() }

func listenOn(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// environ returns the variables as a process takes them.
func environ(vars map[string]string) []string {
	list := make([]string, 0, len(vars))
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		list = append(list, name+"="+strings.ReplaceAll(vars[name], "\x00", ""))
	}
	return list
}
