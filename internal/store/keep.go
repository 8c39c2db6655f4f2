package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"lockstep/schema"
)

// Retention is how long what is kept.
type Retention struct {
	// Ended is for raw bodies of ended events, Dead for those of dead letters, Keys for remembered dedupe keys of one
	// generation.
	Ended time.Duration
	Dead  time.Duration
	Keys  time.Duration
}

const (
	// rotatePatience bounds the wait for the locks of a change of generations.
	rotatePatience = 3 * time.Second
	// trimBatch is how many bodies are forgotten in one transaction.
	trimBatch = 10_000
	// foldAfter is when the numbers of a minute are added up: nobody counts in them any more. foldBatch is how many rows that
	// are in one transaction.
	foldAfter = 10 * time.Minute
	foldBatch = 10_000
)

// MakePartitions makes the partitions of the coming days. Safe to repeat.
func (s *Store) MakePartitions(ctx context.Context) error {
	return s.within(ctx, func(t *tx) error {
		_, err := t.ExecContext(ctx, `SELECT make_partitions(3)`)
		return err
	})
}

// Housekeep makes the partitions of the coming days, forgets bodies whose time is up, adds up old tallies and starts a new
// generation of dedupe keys when the old one is due. Each of the four is done whatever becomes of the others. Safe to
// repeat and to run in several processes.
func (s *Store) Housekeep(ctx context.Context, keep Retention) error {
	return errors.Join(s.MakePartitions(ctx), s.trim(ctx, keep), s.fold(ctx), s.rotate(ctx, keep.Keys))
}

// trim forgets bodies until none is left whose time is up.
func (s *Store) trim(ctx context.Context, keep Retention) error {
	for {
		var trimmed int64
		if err := s.within(ctx, func(t *tx) error {
			return t.get(ctx, &trimmed, `SELECT trim_bodies($1::interval, $2::interval, $3)`, seconds(keep.Ended), seconds(keep.Dead), int64(trimBatch))
		}); err != nil || trimmed < trimBatch {
			return err
		}
	}
}

// fold adds up the tallies of minutes that are over.
func (s *Store) fold(ctx context.Context) error {
	for {
		var folded int64
		if err := s.patiently(ctx, func(t *tx) error {
			return t.get(ctx, &folded, `SELECT fold_tallies($1::interval, $2)`, seconds(foldAfter), int64(foldBatch))
		}); err != nil || folded < foldBatch {
			return err
		}
	}
}

// rotate starts a new generation of dedupe keys. The tables are locked for it: a busy intake makes that wait, a dump of
// the database makes it fail.
func (s *Store) rotate(ctx context.Context, keep time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, rotatePatience)
	defer cancel()
	return s.patiently(ctx, func(t *tx) error {
		_, err := t.ExecContext(ctx, `SELECT rotate_dedupe($1::interval)`, seconds(keep))
		return err
	})
}

func seconds(d time.Duration) string { return fmt.Sprintf("%d seconds", int64(d.Seconds())) }

// BeginDeciding notes that this process decides from now on. afterCrash is true when an earlier one ended without
// saying so: then records are decided one by one until the backlog of that time is over (protocol F18).
func (s *Store) BeginDeciding(ctx context.Context) (id int64, afterCrash bool, err error) {
	err = s.within(ctx, func(t *tx) error {
		n, err := t.do(ctx, `UPDATE decider SET seen = true, ended = now() WHERE ended IS NULL AND alive < now() - interval '10 seconds'`)
		if err != nil {
			return err
		}
		afterCrash = n > 0
		return t.get(ctx, &id, `INSERT INTO decider DEFAULT VALUES RETURNING id`)
	})
	return id, afterCrash, err
}

// StillDeciding notes that the decider lives. crashed is true when another one was found that does not.
func (s *Store) StillDeciding(ctx context.Context, id int64) (crashed bool, err error) {
	err = s.within(ctx, func(t *tx) error {
		if _, err := t.do(ctx, `UPDATE decider SET alive = now() WHERE id = $1`, id); err != nil {
			return err
		}
		n, err := t.do(ctx, `UPDATE decider SET seen = true, ended = now() WHERE ended IS NULL AND id <> $1 AND alive < now() - interval '10 seconds'`, id)
		crashed = n > 0
		return err
	})
	return crashed, err
}

// EndDeciding notes a clean end.
func (s *Store) EndDeciding(ctx context.Context, id int64) error {
	return s.within(ctx, func(t *tx) error {
		_, err := t.do(ctx, `UPDATE decider SET ended = now() WHERE id = $1`, id)
		return err
	})
}

// LastSequence returns the highest sequence of an open event, 0 when there is none.
func (s *Store) LastSequence(ctx context.Context) (seq int64, err error) {
	err = s.within(ctx, func(t *tx) error {
		return t.get(ctx, &seq, `SELECT coalesce(max(seq), 0) FROM open_event WHERE state = 'new'`)
	})
	return seq, err
}

// Durable reports the settings without which a 2xx would be a lie; empty when all are as they have to be.
func (s *Store) Durable(ctx context.Context) (off []string, err error) {
	err = s.within(ctx, func(t *tx) error {
		return t.list(ctx, &off, `SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off' ORDER BY name`)
	})
	return off, err
}

// Answers reports whether the database answers and is migrated.
func (s *Store) Answers(ctx context.Context) error {
	return s.within(ctx, func(t *tx) error {
		var one int
		err := t.get(ctx, &one, `SELECT 1 FROM epoch LIMIT 1`)
		if errors.Is(err, sql.ErrNoRows) {
			return schema.ErrNotFound
		}
		return err
	})
}
