// Package localpgtest gives tests a database each. One server is started for a test binary, at the first call, and ends
// with it; LOCKSTEP_DATABASE_URL names a server to use instead, as a user who may create databases.
package localpgtest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lib/pq"

	"lockstep/internal/localpg"
)

// patience bounds each step; a healthy one takes a second or two.
const patience = 2 * time.Minute

// Template makes databases that are copies of one another. It is a package variable of the test.
type Template struct {
	// Prepare fills the first database, once for a test binary; the others are copies of it.
	Prepare func(url string) error

	once sync.Once
	name string
	err  error
}

// New returns the address of a database of the test's own. It goes when the test ends.
func (p *Template) New(t testing.TB) string {
	t.Helper()
	s := serverOf(t)
	p.once.Do(func() { p.name, p.err = s.prepare(p.Prepare) })
	if p.err != nil {
		t.Fatalf("prepare the template database: %v", p.err)
	}
	return s.database(t, p.name)
}

// Database returns the address of an empty database of the test's own. It goes when the test ends.
func Database(t testing.TB) string {
	t.Helper()
	return serverOf(t).database(t, "template0")
}

// Server runs a server of the test's own, to be killed or stopped by it.
func Server(t testing.TB, opts localpg.Options) *localpg.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := localpg.Start(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// server makes and drops databases.
type server struct {
	// maintenance is the address of the database to make others from.
	maintenance string
	address     func(database string) string
	// own holds on to a server of ours: once it is garbage its leash ends it.
	own *localpg.Server
}

// running starts the binary's server, or takes the named one. A server of ours is never stopped: its leash ends it with
// the process, and no goroutine waits for it.
var running = sync.OnceValues(func() (*server, error) {
	if named := os.Getenv("LOCKSTEP_DATABASE_URL"); named != "" {
		return given(named)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := localpg.Start(ctx, localpg.Options{})
	if err != nil {
		return nil, err
	}
	return &server{maintenance: s.URL("postgres"), address: s.URL, own: s}, nil
})

func serverOf(t testing.TB) *server {
	t.Helper()
	s, err := running()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// given uses the server of LOCKSTEP_DATABASE_URL, after dropping what earlier test runs left on it.
func given(address string) (*server, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("LOCKSTEP_DATABASE_URL is not a URL") // the parser's own words would quote the password
	}
	s := &server{maintenance: address, address: func(database string) string {
		u := *parsed
		u.Path = "/" + database
		return u.String()
	}}
	return s, s.sweep()
}

// The names of our databases: purpose, the second they were made in, a random word.
const (
	templatePrefix = "lockstep_template_"
	testPrefix     = "lockstep_test_"
)

func newName(prefix string) string {
	return prefix + strconv.FormatInt(time.Now().Unix(), 10) + "_" + strings.ToLower(rand.Text()[:10])
}

// prepare makes a template database and closes it to connections, which copying demands.
func (s *server) prepare(fill func(url string) error) (string, error) {
	name := newName(templatePrefix)
	if err := s.create(name, "template0"); err != nil {
		return "", err
	}
	if fill != nil {
		if err := fill(s.address(name)); err != nil {
			return "", errors.Join(err, s.drop(name))
		}
	}
	return name, s.do(
		"ALTER DATABASE "+pq.QuoteIdentifier(name)+" WITH ALLOW_CONNECTIONS false",
		"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = "+pq.QuoteLiteral(name))
}

func (s *server) database(t testing.TB, template string) string {
	t.Helper()
	name := newName(testPrefix)
	if err := s.create(name, template); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.drop(name); err != nil {
			t.Error(err)
		}
	})
	return s.address(name)
}

func (s *server) create(name, template string) error {
	return s.do("CREATE DATABASE " + pq.QuoteIdentifier(name) + " TEMPLATE " + pq.QuoteIdentifier(template))
}

// drop also cuts the connections that a test left open.
func (s *server) drop(name string) error {
	return s.do("DROP DATABASE IF EXISTS " + pq.QuoteIdentifier(name) + " WITH (FORCE)")
}

// sweep drops our databases that are older than any test run: a run that was killed could not.
func (s *server) sweep() error {
	var names []string
	if err := s.with(func(ctx context.Context, db *sql.DB) error {
		rows, err := db.QueryContext(ctx, "SELECT datname FROM pg_database")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			names = append(names, name)
		}
		return rows.Err()
	}); err != nil {
		return err
	}
	for _, name := range names {
		if !stale(name, time.Now()) {
			continue
		}
		if err := s.drop(name); err != nil {
			return err
		}
	}
	return nil
}

// stale reports whether the name is one of ours and more than an hour old.
func stale(name string, now time.Time) bool {
	rest, ok := strings.CutPrefix(name, templatePrefix)
	if !ok {
		if rest, ok = strings.CutPrefix(name, testPrefix); !ok {
			return false
		}
	}
	second, _, _ := strings.Cut(rest, "_")
	made, err := strconv.ParseInt(second, 10, 64)
	return err == nil && now.Sub(time.Unix(made, 0)) > time.Hour
}

// do runs statements outside of a transaction, in the maintenance database.
func (s *server) do(statements ...string) error {
	return s.with(func(ctx context.Context, db *sql.DB) error {
		for _, statement := range statements {
			if _, err := db.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	})
}

// with opens a connection for one errand: a pool that stays open would be a leaked goroutine to the tests.
func (s *server) with(errand func(context.Context, *sql.DB) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	db, err := sql.Open("postgres", s.maintenance)
	if err != nil {
		return err
	}
	return errors.Join(errand(ctx, db), db.Close())
}
