package app

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"lockstep/activities"
	"lockstep/connectors"
	"lockstep/internal/secrets"
	"lockstep/rules"
	"lockstep/schema"
)

// connect wires every system that has a connector. hear, when set, is told what answers tell of a system's allowance; it
// must not block.
func (w *wiring) connect(log *slog.Logger, hear func(system string, q connectors.Quota)) (map[string]activities.System, error) {
	systems := map[string]activities.System{}
	wired := map[string]connectors.Connector{}
	for _, name := range slices.Sorted(maps.Keys(w.bundle.Map.Systems)) {
		def := w.bundle.Map.Systems[name]
		if def.Kind == rules.SourceKind {
			continue
		}
		c, err := w.connector(name, def, log, hear)
		if err != nil {
			return nil, err
		}
		wired[name] = c
		systems[name] = activities.System{Name: name, Kind: def.Kind, Connector: c, Settle: def.Settle.Or(settleTime)}
	}
	if err := checkOffers(w.bundle.Map, w.bundle.Rulesets, wired); err != nil {
		return nil, usage{fmt.Errorf("%s: %w", w.Map, err)}
	}
	return systems, nil
}

func (w *wiring) connector(name string, def schema.System, log *slog.Logger, hear func(system string, q connectors.Quota)) (connectors.Connector, error) {
	at := "systems." + name
	endpoint, err := w.resolve(at+".endpoint", def.Endpoint)
	if err != nil {
		return nil, err
	}
	login, err := w.resolve(at+".login", def.Login)
	if err != nil {
		return nil, err
	}
	var onQuota func(connectors.Quota)
	if hear != nil {
		onQuota = func(q connectors.Quota) { hear(name, q) }
	}
	c, err := kinds[def.Kind].connect(connection{
		name: name, def: def, endpoint: endpoint, login: login, allowLoopback: w.Demo, onQuota: onQuota,
		// Read at each login, so that a rotated secret needs no restart (ruling 11).
		credential: func(ctx context.Context) (connectors.Credential, error) {
			secret, err := w.secrets.Fresh(def.Credential)
			text, err := w.text(at+".credential", secret, err)
			if err != nil {
				// The error of the call says only that there was no login.
				log.ErrorContext(ctx, "a credential cannot be read", "system", name, "error", err)
				return connectors.Credential{}, err
			}
			return connectors.ParseCredential(text)
		},
	})
	if err != nil {
		return nil, usage{fmt.Errorf("%s: %s: %w", w.Map, at, err)}
	}
	return c, nil
}

// protector returns what spells secret values for their receivers.
func (w *wiring) protector() (rules.Protector, error) {
	index, err := w.secrets.Index(secrets.IndexKeys)
	if err != nil {
		return nil, fmt.Errorf("secrets: %w", err)
	}
	return func(protect, system, field string, v schema.Value) (any, error) {
		if protect == "token" {
			return index.Token(system+"/"+field, v.Reveal()), nil
		}
		key, err := w.secrets.Resolve(w.bundle.Map.Systems[system].ReceiverKey)
		if err != nil {
			return nil, fmt.Errorf("rules: the receiver's key of %s: %w", system, err)
		}
		receiver, err := secrets.ParseReceiver(key.Reveal())
		if err != nil {
			return nil, fmt.Errorf("rules: the receiver's key of %s: %w", system, err)
		}
		return receiver.Encrypt([]byte(v.Reveal()))
	}, nil
}

// sizes says how many records one call of an operation holds, and how many calls a claim; it asks no system.
func sizes(systems map[string]activities.System) func(system string, op schema.Op) (bulk, calls int) {
	return func(system string, op schema.Op) (int, int) {
		c := systems[system].Connector
		if c == nil {
			return 0, 0
		}
		return c.Batch(op), c.CallsPerClaim()
	}
}
