package store

import "context"

// CheckEpoch compares the database's identity with the one that the journal was written under. Another identity or
// timeline means that the journal was restored: then a new epoch begins, in which nothing is written before it was
// read, and nothing is decided until Recover. It returns whether work may go on.
func (s *Store) CheckEpoch(ctx context.Context) (working bool, err error) {
	err = s.patiently(ctx, func(t *tx) error {
		begun, err := t.do(ctx, `INSERT INTO epoch (n, system_id, timeline, recovered)
SELECT e.n + 1, s.system_identifier::text, c.timeline_id, false FROM pg_control_system() s, pg_control_checkpoint() c, (SELECT * FROM epoch ORDER BY n DESC LIMIT 1) e
WHERE e.system_id <> s.system_identifier::text OR e.timeline <> c.timeline_id ON CONFLICT DO NOTHING`)
		if err != nil {
			return err
		}
		if begun > 0 {
			if err := t.readFirst(ctx); err != nil {
				return err
			}
		}
		return t.get(ctx, &working, `SELECT recovered FROM epoch ORDER BY n DESC LIMIT 1`)
	})
	return working, err
}

// readFirst ends every claim of before a restore and has each system looked at before it is told what was waiting: that
// is as old as the backup (protocol F11).
func (t *tx) readFirst(ctx context.Context) error {
	for _, statement := range []string{
		`SELECT 1 FROM record WHERE id IN (SELECT record FROM delivery WHERE state <> 'idle') ORDER BY id FOR UPDATE`,
		// Whoever is about to claim does so before this, or sees the new epoch.
		`LOCK TABLE claim IN SHARE ROW EXCLUSIVE MODE`,
		`UPDATE delivery d SET ready_at = greatest(d.ready_at, u.deadline)
FROM (SELECT claim, part, max(deadline) AS deadline FROM call WHERE state = 'sent' GROUP BY 1, 2) u WHERE d.claim = u.claim AND d.part = u.part`,
		`UPDATE delivery SET state = CASE WHEN state = 'claimed' THEN 'ready' ELSE state END, claim = NULL, part = NULL,
  op = CASE WHEN op IN ('create', 'find') THEN 'find' ELSE 'read' END WHERE state <> 'idle'`,
		`UPDATE call SET state = 'unknown' WHERE state = 'sent'`,
		`UPDATE claim SET open = false WHERE open`,
		`UPDATE slot SET claim = NULL WHERE claim IS NOT NULL`,
	} {
		// Not prepared: that takes another connection, which the lock keeps waiting.
		if _, err := t.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// BeginEpoch starts a new epoch because an operator says that the journal was restored.
func (s *Store) BeginEpoch(ctx context.Context, by string) error {
	return s.patiently(ctx, func(t *tx) error {
		if _, err := t.do(ctx, `INSERT INTO epoch (n, system_id, timeline, recovered)
SELECT e.n + 1, e.system_id, e.timeline, false FROM (SELECT * FROM epoch ORDER BY n DESC LIMIT 1) e`); err != nil {
			return err
		}
		if err := t.readFirst(ctx); err != nil {
			return err
		}
		_, err := t.do(ctx, `INSERT INTO audit (actor, act, object) VALUES ($1, 'begin epoch', 'journal')`, by)
		return err
	})
}

// Recover lets work go on in the present epoch.
func (s *Store) Recover(ctx context.Context, by string) error {
	return s.within(ctx, func(t *tx) error {
		if _, err := t.do(ctx, `UPDATE epoch SET recovered = true WHERE n = (SELECT max(n) FROM epoch)`); err != nil {
			return err
		}
		_, err := t.do(ctx, `INSERT INTO audit (actor, act, object) VALUES ($1, 'recover', 'journal')`, by)
		return err
	})
}
