package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"lockstep/internal/secrets"
	"lockstep/internal/store"
	"lockstep/rules"
	"lockstep/schema"
)

// singles is how many records in trouble a system may have in workflows of their own.
const singles = 50

// defaultSlots is how many claims of a system may be open.
const defaultSlots = 4

// openJournal opens the database and refuses one that cannot keep the promise of a 2xx.
func (w *wiring) openJournal(ctx context.Context) (*store.Store, error) {
	url, err := w.databaseURL()
	if err != nil {
		return nil, err
	}
	sealer, err := w.secrets.Sealer(secrets.SealKeys)
	if err != nil {
		return nil, fmt.Errorf("secrets: %w (make keys with `lockstep keys new`)", err)
	}
	index, err := w.secrets.Index(secrets.IndexKeys)
	if err != nil {
		return nil, fmt.Errorf("secrets: %w (make keys with `lockstep keys new`)", err)
	}
	s, err := store.Open(ctx, store.Options{URL: url, Connections: w.Connections, Sealer: sealer, Index: index, Digest: w.bundle.Digest})
	if err != nil {
		return nil, err
	}
	if err := w.checkJournal(ctx, s); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

func (w *wiring) checkJournal(ctx context.Context, s *store.Store) error {
	if err := s.Answers(ctx); err != nil {
		return fmt.Errorf("the database is not migrated: run `lockstep migrate` (%w)", err)
	}
	off, err := s.Durable(ctx)
	if err != nil {
		return err
	}
	if len(off) > 0 && !w.Demo {
		return fmt.Errorf("the database may lose what it committed: switch %s on", strings.Join(off, ", "))
	}
	return nil
}

// prepareJournal makes the rows that the roles work with: the active bundle if there is none, and the slots.
func (w *wiring) prepareJournal(ctx context.Context, s *store.Store) (active string, err error) {
	if err := s.TryKeys(ctx); err != nil {
		return "", err
	}
	if active, err = s.ActivateFirstBundle(ctx, w.bundle.Digest, w.bundle.YAML); err != nil {
		return "", err
	}
	var setups []schema.SystemSetup
	for _, name := range slices.Sorted(maps.Keys(w.bundle.Map.Systems)) {
		y := w.bundle.Map.Systems[name]
		if y.Kind == rules.SourceKind {
			continue
		}
		slots := y.Slots
		if slots == 0 {
			slots = defaultSlots
		}
		setups = append(setups, schema.SystemSetup{System: name, Slots: slots, Singles: singles})
	}
	return active, s.SetUpSystems(ctx, setups)
}

// dedupeKeep is how long one generation of dedupe keys is kept: longer than any source redelivers.
const dedupeKeep = 35 * 24 * time.Hour

func (w *wiring) retention() store.Retention {
	return store.Retention{Ended: w.KeepEnded, Dead: w.KeepDead, Keys: dedupeKeep}
}
