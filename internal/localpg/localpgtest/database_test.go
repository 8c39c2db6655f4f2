package localpgtest

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lockstep/internal/localpg"
)

// The binary's server lives until the process ends; a leak check must not see it.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var prepared atomic.Int32

var notes = Template{Prepare: func(address string) (err error) {
	prepared.Add(1)
	db, err := sql.Open("postgres", address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.ExecContext(context.Background(), "CREATE TABLE note (body text); INSERT INTO note VALUES ('first')")
	return err
}}

func TestEachTestHasItsOwnCopy(t *testing.T) {
	for range 3 {
		db := open(t, notes.New(t))
		if got := count(t, db, "SELECT count(*) FROM note"); got != 1 {
			t.Errorf("copy holds %d notes, want the template's one", got)
		}
		if _, err := db.ExecContext(t.Context(), "INSERT INTO note VALUES ('second')"); err != nil {
			t.Fatal(err)
		}
	}
	if got := prepared.Load(); got != 1 {
		t.Errorf("the template was prepared %d times", got)
	}
}

func TestCopiesCanBeMadeAtOnce(t *testing.T) {
	for range 4 {
		t.Run("copy", func(t *testing.T) {
			t.Parallel()
			if got := count(t, open(t, notes.New(t)), "SELECT count(*) FROM note"); got != 1 {
				t.Errorf("copy holds %d notes", got)
			}
		})
	}
}

func TestDatabaseGoesWithItsTest(t *testing.T) {
	var address string
	t.Run("short", func(t *testing.T) {
		address = Database(t)
		open(t, address) // and its connection is cut
	})
	db := open(t, Database(t))
	parsed, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(parsed.Path, "/")
	if got := count(t, db, "SELECT count(*) FROM pg_database WHERE datname = $1", name); got != 0 {
		t.Errorf("database %s is still there", name)
	}
}

func TestGivenServerIsUsedAndSwept(t *testing.T) {
	own := Server(t, localpg.Options{})
	s, err := given(own.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	const old, strange = "lockstep_test_1000_abc", "lockstep_testing"
	for _, name := range []string{old, strange} {
		if err := s.create(name, "template0"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := given(own.URL("postgres")); err != nil {
		t.Fatal(err)
	}
	db := open(t, s.database(t, "template0"))
	if got := count(t, db, "SELECT count(*) FROM pg_database WHERE datname = $1", old); got != 0 {
		t.Error("a left-over database was not dropped")
	}
	if got := count(t, db, "SELECT count(*) FROM pg_database WHERE datname = $1", strange); got != 1 {
		t.Error("somebody else's database was dropped")
	}
}

func TestUnreadableAddressKeepsItsPassword(t *testing.T) {
	_, err := given("postgres://user:hush hush@[::1")
	if err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("error %v", err)
	}
}

func TestStale(t *testing.T) {
	now := time.Unix(10_000, 0)
	for name, want := range map[string]bool{
		"lockstep_test_1000_abc":     true,
		"lockstep_template_1000_abc": true,
		"lockstep_test_9000_abc":     false,
		"lockstep_test_x_abc":        false,
		"lockstep":                   false,
		"postgres":                   false,
	} {
		if got := stale(name, now); got != want {
			t.Errorf("stale(%s) = %v", name, got)
		}
	}
}

func open(t *testing.T, address string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := db.PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

func count(t *testing.T, db *sql.DB, query string, args ...any) int {
	t.Helper()
	var n int
	if err := db.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
