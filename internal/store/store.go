package store

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"lockstep/internal/secrets"
	"lockstep/schema"
)

// Sealer seals what a row holds under a data key of its own (D11).
type Sealer interface {
	Seal(plaintext []byte, place secrets.Place) (sealed, wrapped []byte, err error)
	Open(sealed, wrapped []byte, place secrets.Place) ([]byte, error)
}

// Index makes the keyed codes by which sealed values are found again.
type Index interface {
	// MAC returns the code under the newest key.
	MAC(purpose string, parts ...[]byte) []byte
	// All returns the code under every live key, newest first.
	All(purpose string, parts ...[]byte) [][]byte
}

// Options opens a store.
type Options struct {
	// URL is the database, as the application's role.
	URL string
	// Connections bounds the pool; 0 means 16.
	Connections int
	Sealer      Sealer
	Index       Index
	// Digest is the bundle that this process holds: with another one active it neither decides nor renders.
	Digest string
	// CheckAfter is how long a claim may stay silent before its workflow is started again; 0 means 10 s.
	CheckAfter time.Duration
	// Silence is how long the server may leave a statement without an answer before the connection counts as dead; 0
	// means 15 s.
	Silence time.Duration
}

// Store is the database. It is safe for concurrent use.
type Store struct {
	db         *sqlx.DB
	sealer     Sealer
	index      Index
	digest     string
	checkAfter time.Duration

	// seats bounds the transactions to one less than the connections: preparing a statement takes one of its own.
	seats chan struct{}
	mu    sync.Mutex
	stmts map[string]*sqlx.Stmt

	wake  *waker
	group *group
}

// Open connects. It does not migrate. The error names the database without its password.
func Open(ctx context.Context, o Options) (*Store, error) {
	dsn, err := withSettings(o.URL)
	if err != nil {
		return nil, err
	}
	connector, err := pq.NewConnector(dsn)
	if err != nil {
		return nil, errors.New("store: the database address cannot be read")
	}
	connector.Dialer(dialer{silence: cmp.Or(o.Silence, defaultSilence)})
	db := sqlx.NewDb(sql.OpenDB(connector), "postgres")
	n := o.Connections
	if n == 0 {
		n = 16
	}
	db.SetMaxOpenConns(n + 1)
	db.SetMaxIdleConns(n + 1)
	db.SetConnMaxIdleTime(5 * time.Minute)
	s := &Store{
		db: db, sealer: sealing(o.Sealer), index: o.Index, digest: o.Digest, checkAfter: cmp.Or(o.CheckAfter, 10*time.Second),
		seats: make(chan struct{}, n), stmts: map[string]*sqlx.Stmt{}, wake: newWaker(dsn), group: newGroup(),
	}
	if err := db.PingContext(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("store: the database does not answer: %w", coded(err))
	}
	return s, nil
}

// Close closes the connections.
func (s *Store) Close() error {
	s.group.close()
	s.wake.close()
	return s.db.Close()
}

// withSettings adds what every session of ours needs: a 2xx means committed, nobody waits long for a lock, and a
// process that stops inside a transaction does not keep its locks.
func withSettings(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "", errors.New("store: the database address is not like postgres://user@host/database")
	}
	q := u.Query()
	q.Set("synchronous_commit", "on")
	q.Set("lock_timeout", "250ms")
	q.Set("idle_in_transaction_session_timeout", "5s")
	q.Set("timezone", "UTC")
	// Every statement goes from a few keys to their rows. A plan made while a table was small must not scan it for ever.
	q.Set("enable_hashjoin", "off")
	q.Set("enable_mergejoin", "off")
	q.Set("binary_parameters", "yes")
	if q.Get("connect_timeout") == "" {
		q.Set("connect_timeout", "5")
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// tx is one transaction.
type tx struct {
	*sqlx.Tx
	store *Store
}

// within runs f in a transaction and commits it. An error of the commit is an unknown outcome for the caller.
func (s *Store) within(ctx context.Context, f func(t *tx) error) error {
	select {
	case s.seats <- struct{}{}:
		defer func() { <-s.seats }()
	case <-ctx.Done():
		return coded(ctx.Err())
	}
	t, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return coded(err)
	}
	if err := f(&tx{Tx: t, store: s}); err != nil {
		_ = t.Rollback()
		return coded(err)
	}
	return coded(t.Commit())
}

// patiently repeats a transaction that lost a race for a lock: it has changed nothing. It is for transactions whose
// loss would cost more than the wait, as the close of a call.
func (s *Store) patiently(ctx context.Context, f func(t *tx) error) error {
	for {
		err := s.within(ctx, f)
		if !errors.Is(err, schema.ErrRaced) || ctx.Err() != nil {
			return err
		}
	}
}

// prepared returns the statement of a query, prepared once for each connection.
func (t *tx) prepared(ctx context.Context, query string) (*sqlx.Stmt, error) {
	s := t.store
	s.mu.Lock()
	defer s.mu.Unlock()
	stmt := s.stmts[query]
	if stmt == nil {
		var err error
		if stmt, err = s.db.PreparexContext(ctx, query); err != nil {
			return nil, err
		}
		s.stmts[query] = stmt
	}
	return t.StmtxContext(ctx, stmt), nil
}

// do runs a statement and returns how many rows it touched.
func (t *tx) do(ctx context.Context, query string, args ...any) (int64, error) {
	stmt, err := t.prepared(ctx, query) //nolint:sqlclosecheck // the end of the transaction closes it
	if err != nil {
		return 0, err
	}
	res, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// get reads one row into dest.
func (t *tx) get(ctx context.Context, dest any, query string, args ...any) error {
	stmt, err := t.prepared(ctx, query) //nolint:sqlclosecheck // the end of the transaction closes it
	if err != nil {
		return err
	}
	return stmt.GetContext(ctx, dest, args...)
}

// list reads all rows into the slice that dest points to.
func (t *tx) list(ctx context.Context, dest any, query string, args ...any) error {
	stmt, err := t.prepared(ctx, query) //nolint:sqlclosecheck // the end of the transaction closes it
	if err != nil {
		return err
	}
	return stmt.SelectContext(ctx, dest, args...)
}

// Error is a database error without the values that Postgres quotes in its own text (B02).
type Error struct {
	// Code is the SQLSTATE; empty when the server said none: the connection failed, or a row could not be read.
	Code string
	// Constraint and Table name what was violated.
	Constraint string
	Table      string
	cause      error
}

// Error returns the codes.
func (e *Error) Error() string {
	if e.Code == "" {
		return "postgres: " + e.withoutCode()
	}
	s := "postgres: " + e.Code
	if e.Table != "" {
		s += " on " + e.Table
	}
	if e.Constraint != "" {
		s += " (" + e.Constraint + ")"
	}
	return s
}

// withoutCode says in words of ours what the driver said in its own.
func (e *Error) withoutCode() string {
	switch {
	case errors.Is(e.cause, sql.ErrNoRows):
		return "no such row"
	case errors.Is(e.cause, context.Canceled), errors.Is(e.cause, context.DeadlineExceeded):
		return "not in time"
	case strings.HasPrefix(e.cause.Error(), "sql: Scan"), strings.HasPrefix(e.cause.Error(), "sql: expected"), strings.HasPrefix(e.cause.Error(), "sql: converting"):
		return "a row or a parameter does not have the shape that we expect"
	}
	return "connection failed"
}

const uniqueViolation = "23505"

// contested are the unique indexes where somebody else may have been first between our look and our write: a repeated
// transaction sees their row.
func contested() []string { return []string{"ref_vendor", "ref_live", "identity_key_reserved"} }

// Is sorts the error under the journal's sentinels, and sees through to those of context and sql, which quote nothing.
func (e *Error) Is(target error) bool {
	switch target {
	case schema.ErrRaced:
		return slices.Contains([]string{"55P03", "40P01", "40001"}, e.Code) || e.Code == uniqueViolation && slices.Contains(contested(), e.Constraint)
	case schema.ErrUnavailable:
		return e.Code == "" && !errors.Is(e.cause, sql.ErrNoRows) && !errors.Is(e.cause, context.Canceled) || e.Code == "25P03" || len(e.Code) == 5 && slices.Contains([]string{"08", "53", "57"}, e.Code[:2])
	}
	return slices.Contains([]error{context.Canceled, context.DeadlineExceeded, sql.ErrNoRows, sql.ErrTxDone, sql.ErrConnDone}, target) &&
		errors.Is(e.cause, target)
}

// coded strips an error of the driver or the connection of everything but its codes: their text quotes values. Errors of
// ours pass.
func coded(err error) error {
	if err == nil {
		return nil
	}
	var ours *Error
	if errors.As(err, &ours) {
		return err
	}
	var pqErr *pq.Error
	if errors.As(err, &pqErr) {
		return &Error{Code: string(pqErr.Code), Constraint: pqErr.Constraint, Table: pqErr.Table, cause: err}
	}
	if fromDriver(err) {
		return &Error{cause: err}
	}
	return err
}

// fromDriver reports whether an error comes from database/sql, lib/pq or the connection below.
func fromDriver(err error) bool {
	var netErr net.Error
	for _, known := range []error{sql.ErrNoRows, sql.ErrTxDone, sql.ErrConnDone, driver.ErrBadConn, context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, known) {
			return true
		}
	}
	return errors.As(err, &netErr) || strings.HasPrefix(err.Error(), "sql:") || strings.HasPrefix(err.Error(), "pq:")
}
