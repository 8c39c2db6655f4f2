// Package storetest gives tests a journal of their own: a migrated database, a store in the application's role, and a
// look behind both as the database's owner. An Installation adds a map, systems, a dispatcher and the activities; its
// claims are carried by the test.
package storetest

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"lockstep/internal/localpg/localpgtest"
	"lockstep/internal/secrets"
	"lockstep/internal/store"
	"lockstep/schema"
)

var migrated = localpgtest.Template{Prepare: func(url string) error { return store.Migrate(context.Background(), url) }}

// Database returns the address of a migrated database of the test's own, as its owner.
func Database(t testing.TB) string {
	t.Helper()
	return migrated.New(t)
}

// Options say what kind of journal it is.
type Options struct {
	// Digest is the active bundle; empty means "test".
	Digest string
	// Systems have slots; none means salesforce and genesys with 4 slots and 5 singles each.
	Systems []schema.SystemSetup
	// CheckAfter is how long a claim may stay silent; 0 means an hour, so that no sweep meddles.
	CheckAfter time.Duration
	// Connections bounds the pool; 0 means 16.
	Connections int
	// URL is a database of the test's own; empty means a new one on the server of the test binary.
	URL string
}

// Journal is a store on a database of the test's own.
type Journal struct {
	*store.Store
	// URL is the database as its owner.
	URL string
	// Owner is the database as its owner, to look at rows and to break them.
	Owner *sqlx.DB
	// Keys is the secrets folder and Folder its path.
	Keys   *secrets.Dir
	Folder string

	t       testing.TB
	options Options
	sealer  *secrets.Sealer
	index   *secrets.Index
}

// Open returns a journal. Everything of it goes when the test ends.
func Open(t testing.TB, o Options) *Journal {
	t.Helper()
	o.Digest, o.CheckAfter = cmp.Or(o.Digest, "test"), cmp.Or(o.CheckAfter, time.Hour)
	if o.Systems == nil {
		o.Systems = []schema.SystemSetup{{System: "genesys", Slots: 4, Singles: 5}, {System: "salesforce", Slots: 4, Singles: 5}}
	}
	if o.URL == "" {
		o.URL = Database(t)
	}
	j := &Journal{URL: o.URL, Folder: t.TempDir(), t: t, options: o}
	must(t, secrets.Generate(j.Folder))
	var err error
	j.Keys, err = secrets.Open(j.Folder, secrets.Options{})
	must(t, err)
	t.Cleanup(func() { _ = j.Keys.Close() })
	j.sealer, err = j.Keys.Sealer(secrets.SealKeys)
	must(t, err)
	j.index, err = j.Keys.Index(secrets.IndexKeys)
	must(t, err)
	j.Owner, err = sqlx.Open("postgres", j.URL)
	must(t, err)
	t.Cleanup(func() { _ = j.Owner.Close() })
	j.Store = j.Process(o.Digest)
	_, err = j.ActivateFirstBundle(t.Context(), o.Digest, []byte(o.Digest))
	must(t, err)
	must(t, j.SetUpSystems(t.Context(), o.Systems))
	return j
}

// Process opens the journal once more, as another process does that holds a bundle.
func (j *Journal) Process(digest string) *store.Store {
	j.t.Helper()
	s, err := store.Open(j.t.Context(), store.Options{
		URL: j.URL + "&role=lockstep_app", Sealer: j.sealer, Index: j.index, Digest: digest, CheckAfter: j.options.CheckAfter, Connections: j.options.Connections,
	})
	must(j.t, err)
	j.t.Cleanup(func() { _ = s.Close() })
	return s
}

// Exec runs a statement as the owner and returns how many rows it touched.
func (j *Journal) Exec(query string, args ...any) int64 {
	j.t.Helper()
	res, err := j.Owner.ExecContext(j.t.Context(), query, args...)
	if err != nil {
		j.t.Fatalf("%s: %v", query, err)
	}
	n, err := res.RowsAffected()
	must(j.t, err)
	return n
}

// Count returns the number that a query selects.
func (j *Journal) Count(query string, args ...any) (n int64) {
	j.t.Helper()
	if err := j.Owner.GetContext(j.t.Context(), &n, query, args...); err != nil {
		j.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// Texts returns the first column of every row that a query selects; null is "".
func (j *Journal) Texts(query string, args ...any) []string {
	j.t.Helper()
	rows, err := j.Owner.QueryContext(j.t.Context(), query, args...)
	if err != nil {
		j.t.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var text *string
		must(j.t, rows.Scan(&text))
		if text == nil {
			text = new(string)
		}
		out = append(out, *text)
	}
	must(j.t, rows.Err())
	return out
}

// Text returns the first column of the first row that a query selects, "" when there is none.
func (j *Journal) Text(query string, args ...any) string {
	j.t.Helper()
	if texts := j.Texts(query, args...); len(texts) > 0 {
		return texts[0]
	}
	return ""
}

// Sound fails the test where an invariant of the protocol is broken.
func (j *Journal) Sound() {
	j.t.Helper()
	broken, err := j.CheckInvariants(context.WithoutCancel(j.t.Context()))
	must(j.t, err)
	if len(broken) > 0 {
		j.t.Errorf("broken invariants: %v", broken)
	}
}

// Conserved fails the test where an accepted event is neither open nor ended, by the tallies or by the rows (INV-02).
func (j *Journal) Conserved() schema.Stats {
	j.t.Helper()
	stats, err := j.Stats(j.t.Context())
	must(j.t, err)
	ended := int64(0)
	for _, n := range stats.Outcomes {
		ended += n
	}
	if stats.Accepted != ended+stats.Open.Sum() {
		j.t.Errorf("%d accepted, but %d ended and %+v open", stats.Accepted, ended, stats.Open)
	}
	for name, s := range stats.Sources {
		ended := int64(0)
		for _, n := range s.Outcomes {
			ended += n
		}
		if s.Accepted != ended+s.Open {
			j.t.Errorf("%s: %d accepted, but %v ended and %d open", name, s.Accepted, s.Outcomes, s.Open)
		}
	}
	return stats
}

// Holding returns the tables, with the value, in which a value can be read: as it stands, or in the hex or base64 of a
// column's bytes.
func (j *Journal) Holding(values ...string) []string {
	j.t.Helper()
	var found []string
	for _, table := range j.Texts(`SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1`) {
		for _, value := range values {
			for _, form := range forms(value) {
				if j.Count(`SELECT count(*) FROM `+table+` x WHERE strpos(lower(x::text), lower($1)) > 0`, form) > 0 {
					found = append(found, table+": "+value)
					break
				}
			}
		}
	}
	return found
}

// forms are the ways in which a value can stand in the text of a row. In base64 it depends on what stands before it; the
// characters that it shares with its neighbours are left out.
func forms(value string) []string {
	out := []string{value, hex.EncodeToString([]byte(value))}
	for before := range 3 {
		text := base64.RawStdEncoding.EncodeToString(append(make([]byte, before), value...))
		out = append(out, text[(before*8+5)/6:(before+len(value))*8/6])
	}
	return out
}

// Posting is one event of a system in a unit of its own; key tells units of one body apart.
func Posting(system, ref, key string, kind schema.EventKind, body string) *schema.Posting {
	return &schema.Posting{Source: system, Receipt: schema.NewReceipt(), Units: []schema.Unit{{
		Key: [][]byte{[]byte(key)}, Body: []byte(body),
		Events: []schema.NewEvent{{System: system, Object: "customer", Ref: ref, Kind: kind, Lane: schema.LaneNormal, Body: []byte(body)}},
	}}}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually polls until done says so.
func eventually(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, limit)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
