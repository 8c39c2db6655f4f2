package store_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"lockstep/internal/store"
	"lockstep/internal/store/storetest"
	"lockstep/schema"
)

// as opens the database in a role.
func (b *bench) as(role string) *sqlx.DB {
	b.t.Helper()
	db, err := sqlx.Open("postgres", b.URL+"&role="+role)
	must(b.t, err)
	b.t.Cleanup(func() { _ = db.Close() })
	return db
}

// denied reports whether a statement is refused for want of a right, and not for anything else.
func (b *bench) denied(db *sqlx.DB, statement string) bool {
	b.t.Helper()
	_, err := db.ExecContext(b.t.Context(), statement)
	var refused *pq.Error
	if err != nil && !errors.As(err, &refused) {
		b.t.Fatalf("%s: %v", statement, err)
	}
	return refused != nil && refused.Code == "42501"
}

// everyTable is every table of the journal; partitions too.
const everyTable = `SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')`

func TestTheApplicationCannotChangeWhatHappened(t *testing.T) {
	b := newBench(t)
	event := b.ready("003A", "genesys", schema.OpWrite)
	b.answer(b.opened(b.claim(toGenesys)))
	must(t, b.PauseSystem(t.Context(), "genesys", "dana"))
	app := b.as("lockstep_app")
	// The ledger and the audit can only be added to: through the parent as through each partition.
	for _, table := range []string{"event", "outcome", "audit"} {
		for _, part := range b.Texts(everyTable+` AND (c.relname = $1 OR c.relname LIKE $2)`, table, table+`\_%`) {
			for _, statement := range []string{"DELETE FROM " + part, "TRUNCATE " + part, "DROP TABLE " + part} {
				if !b.denied(app, statement) {
					t.Errorf("the application may %s", statement)
				}
			}
			for _, column := range b.Texts(`SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attidentity = ''`, part) {
				if statement := `UPDATE ` + part + ` SET ` + column + ` = NULL`; !b.denied(app, statement) {
					t.Errorf("the application may %s", statement)
				}
			}
		}
	}
	// What it may take away are rows that stand for work, never what was accepted.
	var mayDelete []string
	for _, table := range b.Texts(everyTable + ` AND NOT c.relispartition`) {
		if !b.denied(app, "DELETE FROM "+table+" WHERE false") {
			mayDelete = append(mayDelete, table)
		}
		if !b.denied(app, "TRUNCATE "+table) || !b.denied(app, "ALTER TABLE "+table+" ADD COLUMN x int") {
			t.Errorf("the application may change table %s", table)
		}
	}
	slices.Sort(mayDelete)
	if want := []string{"delivery", "identity_key", "open_event", "ref", "slot"}; !slices.Equal(mayDelete, want) {
		t.Errorf("the application may delete from %v, want %v", mayDelete, want)
	}
	for _, statement := range []string{"CREATE TABLE x (n int)", "CREATE ROLE x", "CREATE FUNCTION x() RETURNS int LANGUAGE sql AS 'SELECT 1'", "ALTER ROLE lockstep_app SUPERUSER"} {
		if !b.denied(app, statement) {
			t.Errorf("the application may %s", statement)
		}
	}
	if b.outcome(event) != "applied" {
		t.Error("the ledger has changed")
	}
}

func TestTheReaderCannotWrite(t *testing.T) {
	b := newBench(t)
	b.ready("003A", "genesys", schema.OpWrite)
	reader := b.as("lockstep_read")
	for _, table := range b.Texts(everyTable + ` AND NOT c.relispartition`) {
		var n int
		if err := reader.GetContext(t.Context(), &n, "SELECT count(*) FROM "+table); err != nil {
			t.Errorf("%s cannot be read: %v", table, err)
		}
		for _, statement := range []string{"DELETE FROM " + table, "TRUNCATE " + table, "INSERT INTO " + table + " DEFAULT VALUES"} {
			if !b.denied(reader, statement) {
				t.Errorf("the reader may %s", statement)
			}
		}
		column := b.Text(`SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attidentity = '' ORDER BY attnum`, table)
		if statement := "UPDATE " + table + " SET " + column + " = NULL"; !b.denied(reader, statement) {
			t.Errorf("the reader may %s", statement)
		}
	}
	for _, call := range []string{
		"SELECT trim_bodies('1 second', '1 second', 1)", "SELECT rotate_dedupe('1 second')", "SELECT make_partitions(1)", "SELECT fold_tallies('1 second', 1)", "SELECT nextval('open_event_seq_seq')",
	} {
		if !b.denied(reader, call) {
			t.Errorf("the reader may %s", call)
		}
	}
}

// Whoever reads the rows, with whatever right, reads no value of a customer.
func TestSealedColumnsCannotBeRead(t *testing.T) {
	b := newBench(t)
	const name, number = "Canary-Ada Byron", "canary-4711"
	body := `{"Name":"` + name + `","Number":"` + number + `"}`
	event := b.tell(number, body)
	b.decide(func(r *schema.OpenRecord) schema.Resolution {
		if got := string(r.Events[0].Body); got != body {
			t.Errorf("the body comes back as %q", got)
		}
		s := r.State.System("salesforce")
		s.ID = number
		s.Fields["name"] = &schema.History{Runs: []schema.Run{{Value: schema.Text(name), Event: r.Events[0].ID}}}
		res := applied("genesys", schema.OpCreate)(r)
		res.Identified, res.Keys = true, []schema.Key{{Kind: "name", Value: schema.Text(name), Reserves: true}}
		return res
	})
	n, err := b.Refuse(t.Context(), schema.Refused{Source: "salesforce", Object: "customer", Owner: "ops", Refusal: schema.Refusal{Reason: schema.ReasonBadValue, Field: "/Name"}, Body: []byte(body)})
	must(t, err)
	q := toGenesys
	q.Op = schema.OpCreate
	o, err := b.OpenCall(t.Context(), quickly(b.claim(q), 0), func(_ schema.Call, items []*schema.Item, _ bool) ([]int, []byte, []schema.Ending, error) {
		return []int{0}, []byte(body), nil, nil
	})
	must(t, err)
	b.answer(o, func(e *schema.Ending) { e.Ref = "g-" + number })
	if got := b.Holding(name, number); len(got) > 0 {
		t.Errorf("readable: %v", got)
	}
	for _, column := range []string{`SELECT body FROM event WHERE id = '` + event.String() + `'`, `SELECT state FROM record`, `SELECT body FROM dead_letter`} {
		var sealed []byte
		must(t, b.as("lockstep_read").GetContext(t.Context(), &sealed, column))
		if len(sealed) < len(name) {
			t.Errorf("%s is %d bytes: nothing is kept there", column, len(sealed))
		}
	}
	if n == 0 {
		t.Error("no dead letter")
	}
	// The scan finds what is not sealed.
	b.Exec(`UPDATE record SET bundle = $1`, name)
	b.Exec(`UPDATE call SET payload_mac = $1`, []byte(number))
	if got := b.Holding(name, number); len(got) != 2 {
		t.Errorf("the scan finds only %v", got)
	}
}

func TestARowCannotBeReadInAnothersPlace(t *testing.T) {
	b := newBench(t)
	b.tell("003A", `{"a":1}`)
	b.tell("003B", `{"b":1}`)
	b.Exec(`UPDATE event e SET body = o.body, dek = o.dek FROM event o WHERE o.id <> e.id`)
	seen := 0
	_, err := b.Decide(t.Context(), schema.DecideQuery{Lane: schema.LaneNormal}, func(_ context.Context, records []*schema.OpenRecord, _ schema.Look) ([]schema.Resolution, error) {
		for _, r := range records {
			for _, e := range r.Events {
				seen++
				if !e.Damaged || e.Body != nil {
					t.Errorf("a body that was moved to another row is opened there: %s", e.Body)
				}
			}
		}
		return nil, nil
	})
	must(t, err)
	if seen != 2 {
		t.Errorf("%d events were to be decided", seen)
	}
}

// A process with the keys of another installation would take every row for damaged: it does not start.
func TestOtherKeysAreRefused(t *testing.T) {
	b := newBench(t)
	if err := b.TryKeys(t.Context()); err != nil {
		t.Fatalf("an empty journal: %v", err)
	}
	b.tell("003A", `{"a":1}`)
	if err := b.TryKeys(t.Context()); err != nil {
		t.Fatalf("its own keys: %v", err)
	}
	b.Exec(`UPDATE event SET dek = '\x00'`)
	if err := b.TryKeys(t.Context()); !errors.Is(err, store.ErrOtherKeys) {
		t.Errorf("keys that open nothing: %v", err)
	}
}

func TestMigratingAgainChangesNothing(t *testing.T) {
	url := storetest.Database(t)
	b := newBench(t, storetest.Options{URL: url})
	before := b.Texts(`SELECT version_id::text FROM goose_db_version ORDER BY 1`)
	event := b.tell("003A", `{"a":1}`)
	must(t, store.Migrate(t.Context(), url))
	if after := b.Texts(`SELECT version_id::text FROM goose_db_version ORDER BY 1`); !slices.Equal(before, after) {
		t.Errorf("versions %v became %v", before, after)
	}
	b.decide(ended(schema.Echo))
	if b.outcome(event) != "echo" {
		t.Error("what was accepted before is not decided after")
	}
}
