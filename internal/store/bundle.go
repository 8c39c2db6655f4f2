package store

import (
	"context"
	"database/sql"
	"errors"
)

// ActivateBundle makes a map the one that everybody decides and renders under. Processes that hold another wait until
// they are started with this one. Safe to repeat.
func (s *Store) ActivateBundle(ctx context.Context, digest string, yaml []byte, by string) error {
	return s.within(ctx, func(t *tx) error {
		if _, err := t.do(ctx, `INSERT INTO bundle (digest, map) VALUES ($1, $2) ON CONFLICT DO NOTHING`, digest, string(yaml)); err != nil {
			return err
		}
		n, err := t.do(ctx, `INSERT INTO active_bundle (digest) VALUES ($1)
ON CONFLICT (one) DO UPDATE SET digest = excluded.digest, since = now() WHERE active_bundle.digest <> excluded.digest`, digest)
		if err != nil || n == 0 {
			return err
		}
		_, err = t.do(ctx, `INSERT INTO audit (actor, act, object) VALUES ($1, 'activate bundle', $2)`, by, digest)
		return err
	})
}

// ActivateFirstBundle makes a map active if none is yet. It returns the active digest.
func (s *Store) ActivateFirstBundle(ctx context.Context, digest string, yaml []byte) (active string, err error) {
	err = s.within(ctx, func(t *tx) error {
		if _, err := t.do(ctx, `INSERT INTO bundle (digest, map) VALUES ($1, $2) ON CONFLICT DO NOTHING`, digest, string(yaml)); err != nil {
			return err
		}
		if _, err := t.do(ctx, `INSERT INTO active_bundle (digest) VALUES ($1) ON CONFLICT DO NOTHING`, digest); err != nil {
			return err
		}
		return t.get(ctx, &active, `SELECT digest FROM active_bundle`)
	})
	return active, err
}

// ActiveBundle returns the active digest, "" when there is none.
func (s *Store) ActiveBundle(ctx context.Context) (digest string, err error) {
	err = s.within(ctx, func(t *tx) error {
		err := t.get(ctx, &digest, `SELECT digest FROM active_bundle`)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return digest, err
}
