package store_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"lockstep/internal/secrets"
	"lockstep/internal/store"
	"lockstep/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ring is an index whose keys a test chooses: what one process believes to be live, the newest first.
type ring []string

func (r ring) MAC(purpose string, parts ...[]byte) []byte { return r.All(purpose, parts...)[0] }

func (r ring) All(purpose string, parts ...[]byte) (codes [][]byte) {
	for _, key := range r {
		h := hmac.New(sha256.New, []byte(key))
		for _, part := range append([][]byte{[]byte(purpose)}, parts...) {
			h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
			h.Write(part)
		}
		codes = append(codes, h.Sum(nil))
	}
	return codes
}

// plant is a database and the folder of its keys.
type plant struct {
	t      testing.TB
	url    string
	dir    string
	folder *secrets.Dir
	sealer *secrets.Sealer
	db     *sql.DB
	ahead  atomic.Int64
}

func newPlant(t testing.TB) *plant {
	t.Helper()
	p := &plant{t: t, url: migrated.New(t), dir: t.TempDir()}
	var err error
	check := func() {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	err = secrets.Generate(p.dir)
	check()
	p.folder, err = secrets.Open(p.dir, secrets.Options{Now: func() time.Time { return time.Now().Add(time.Duration(p.ahead.Load())) }})
	check()
	t.Cleanup(func() { _ = p.folder.Close() })
	p.sealer, err = p.folder.Sealer(secrets.SealKeys)
	check()
	p.db, err = sql.Open("postgres", p.url)
	check()
	t.Cleanup(func() { _ = p.db.Close() })
	return p
}

func (p *plant) store(index store.Index) *store.Store {
	p.t.Helper()
	s, err := store.Open(p.t.Context(), store.Options{URL: p.url + "&role=lockstep_app", Sealer: p.sealer, Index: index, Digest: "test", Connections: 6})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = s.Close() })
	return s
}

func (p *plant) count(query string, args ...any) (n int) {
	p.t.Helper()
	if err := p.db.QueryRowContext(context.Background(), query, args...).Scan(&n); err != nil {
		p.t.Fatal(err)
	}
	return n
}

// unit is one event under a key of its own.
func unit(key, body, record string, kept bool) schema.Unit {
	return schema.Unit{Key: [][]byte{[]byte(key)}, Kept: kept, Body: []byte(body), Events: []schema.NewEvent{{
		System: "crm", Object: "customer", Ref: record, Kind: schema.EventChange, Lane: schema.LaneNormal, Body: []byte(body),
	}}}
}

func posting(source string, units ...schema.Unit) *schema.Posting {
	return &schema.Posting{Source: source, Receipt: schema.NewReceipt(), Units: units}
}

// While a key of the index is being replaced, processes disagree for a moment on which keys there are, and on which is
// the newest. An event is taken once all the same, and a record has one ref.
func TestProcessesDisagreeOnTheKeys(t *testing.T) {
	for name, views := range map[string][2]ring{
		"before and after staging":   {{"one"}, {"one", "two"}},
		"before and after promoting": {{"one", "two"}, {"two", "one"}},
		"before and after pruning":   {{"two", "one"}, {"two"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlant(t)
			stores := []*store.Store{p.store(views[0]), p.store(views[1]), p.store(views[0]), p.store(views[1])}
			const events, records, repeats = 60, 20, 6
			receipts := make([]map[schema.ID]bool, events)
			taken := make([]int, events)
			var mu sync.Mutex
			var tasks []func()
			for i := range events {
				receipts[i] = map[schema.ID]bool{}
				for n := range repeats {
					tasks = append(tasks, func() {
						u := unit(fmt.Sprint("key", i), "body", fmt.Sprint("record", i%records), i%2 == 0)
						a := insist(t, stores[n%len(stores)], posting("crm", u))
						mu.Lock()
						defer mu.Unlock()
						receipts[i][a.Receipt] = true
						taken[i] += a.Events
					})
				}
			}
			run(16, tasks)
			for i := range events {
				if len(receipts[i]) != 1 || taken[i] != 1 {
					t.Errorf("event %d: receipts %v, taken %d times", i, receipts[i], taken[i])
				}
			}
			if n := p.count("SELECT count(*) FROM event"); n != events {
				t.Errorf("%d events, want %d", n, events)
			}
			if n := p.count("SELECT count(*) FROM record"); n != records {
				t.Errorf("%d records, want %d", n, records)
			}
			if n := p.count("SELECT count(*) FROM (SELECT record FROM ref GROUP BY record HAVING count(*) FILTER (WHERE state = 'active') <> 1) x"); n != 0 {
				t.Errorf("%d records without exactly one ref", n)
			}
			// No key names a receipt that nobody was given.
			if n := p.count("SELECT count(*) FROM (SELECT receipt FROM dedupe_current UNION SELECT receipt FROM dedupe_kept) d WHERE NOT EXISTS (SELECT 1 FROM event e WHERE e.id > d.receipt AND e.id::text LIKE left(d.receipt::text, 32) || '%')"); n != 0 {
				t.Errorf("%d receipts without an event", n)
			}
		})
	}
}

// insist posts until it is taken, as a sender does.
func insist(t testing.TB, s *store.Store, p *schema.Posting) schema.Accepted {
	t.Helper()
	for range 50 {
		a, err := s.Accept(t.Context(), p)
		if err == nil {
			return a
		}
		if !errors.Is(err, schema.ErrRaced) && !errors.Is(err, schema.ErrUnavailable) {
			t.Error(err)
			return a
		}
		p.Receipt = schema.NewReceipt()
	}
	t.Error("not taken after 50 tries")
	return schema.Accepted{}
}

func run(workers int, tasks []func()) {
	rand.Shuffle(len(tasks), func(i, j int) { tasks[i], tasks[j] = tasks[j], tasks[i] })
	inOrder(workers, tasks)
}

// inOrder begins the tasks in their order, some at a time.
func inOrder(workers int, tasks []func()) {
	queue := make(chan func())
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for task := range queue {
				task()
			}
		})
	}
	for _, task := range tasks {
		queue <- task
	}
	close(queue)
	wg.Wait()
}

// A whole rotation through the folder: what came while two keys were live is known under each of them.
func TestDedupeAcrossAKeyRotation(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	open := func() *store.Store {
		index, err := p.folder.Index(secrets.IndexKeys)
		if err != nil {
			t.Fatal(err)
		}
		return p.store(index)
	}
	s := open()
	accept := func(key string) schema.Accepted {
		t.Helper()
		a, err := s.Accept(t.Context(), posting("crm", unit(key, "body of "+key, "record of "+key, true)))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	step := func(change func(string, schema.Reference) error) {
		t.Helper()
		if err := change(p.dir, secrets.IndexKeys); err != nil {
			t.Fatal(err)
		}
		p.ahead.Add(int64(3 * time.Second))
	}
	first := map[string]schema.ID{}
	again := func(when string, keys ...string) {
		t.Helper()
		for _, key := range keys {
			if a := accept(key); a.Events != 0 || a.Receipt != first[key] {
				t.Errorf("%s: %s came again and was taken as %+v", when, key, a)
			}
		}
	}
	first["before"] = accept("before").Receipt
	step(secrets.Stage)
	first["staged"] = accept("staged").Receipt
	again("staged", "before", "staged")
	step(secrets.Promote)
	first["promoted"] = accept("promoted").Receipt
	again("promoted", "before", "staged", "promoted")
	if n := p.count("SELECT count(*) FROM dedupe_kept"); n != 5 {
		t.Errorf("%d keys are remembered, want 1 from before and 2 of each later one", n)
	}
	step(secrets.Prune)
	again("pruned", "staged", "promoted")
	if a, err := s.Accept(t.Context(), posting("crm", unit("other", "x", "record of staged", true))); err != nil || a.Events != 1 {
		t.Fatalf("%+v, %v", a, err)
	}
	if n := p.count("SELECT count(*) FROM record"); n != 3 {
		t.Errorf("%d records, want 3: a record is known under the new key, too", n)
	}
	if a, err := s.Accept(t.Context(), posting("crm", unit("promoted", "another body", "record of promoted", true))); err != nil || len(a.Conflicts) != 1 || a.Receipt != first["promoted"] {
		t.Errorf("another body under the new key alone: %+v, %v", a, err)
	}
}

// A transaction that is stuck with one key fails the posting that needs it, and nobody else's (protocol F10).
func TestAStuckKeyFailsOnlyItsOwn(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	keys := ring{"one"}
	s := p.store(keys)
	tx, err := p.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	stuck := keys.MAC("dedupe", []byte("crm"), []byte("stuck"))
	if _, err := tx.ExecContext(t.Context(), "INSERT INTO dedupe_current (source, key, receipt, body_mac) VALUES ('crm', $1, gen_random_uuid(), $1)", stuck); err != nil {
		t.Fatal(err)
	}
	var failed, taken atomic.Int64
	var tasks []func()
	for i := range 100 {
		key := fmt.Sprint("key", i)
		if i%25 == 0 {
			key = "stuck"
		}
		tasks = append(tasks, func() {
			a, err := s.Accept(t.Context(), posting("crm", unit(key, "body", key, false)))
			switch {
			case key == "stuck" && errors.Is(err, schema.ErrRaced):
				failed.Add(1)
			case key != "stuck" && err == nil && a.Events == 1:
				taken.Add(1)
			default:
				t.Errorf("%s: %+v, %v", key, a, err)
			}
		})
	}
	run(len(tasks), tasks)
	if failed.Load() != 4 || taken.Load() != 96 {
		t.Errorf("%d failed and %d were taken", failed.Load(), taken.Load())
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if a, err := s.Accept(t.Context(), posting("crm", unit("stuck", "body", "stuck", false))); err != nil || a.Events != 1 {
		t.Errorf("afterwards: %+v, %v", a, err)
	}
}

// counted is an index that counts what it is asked.
type counted struct {
	ring
	asked atomic.Int64
}

func (c *counted) All(purpose string, parts ...[]byte) [][]byte {
	c.asked.Add(1)
	return c.ring.All(purpose, parts...)
}

func (c *counted) MAC(purpose string, parts ...[]byte) []byte { return c.All(purpose, parts...)[0] }

// What comes while others commit is committed together: a disk that is slow costs a few waits, not one for each posting.
func TestPostingsShareACommit(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	index := &counted{ring: ring{"one"}}
	s := p.store(index)
	tx, err := p.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }() // released below
	if _, err := tx.ExecContext(t.Context(), "LOCK TABLE event IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	const postings = 100
	var all sync.WaitGroup
	for i := range postings {
		all.Go(func() {
			if a, err := s.Accept(t.Context(), posting("crm", unit(fmt.Sprint("key", i), "body", fmt.Sprint("record", i), false))); err != nil || a.Events != 1 {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
	for deadline := time.Now().Add(10 * time.Second); index.asked.Load() < 3*postings; { // for its key, its body and its record
		if time.Now().After(deadline) {
			t.Fatalf("only %d postings are on their way", index.asked.Load()/3)
		}
		runtime.Gosched()
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	if n := p.count("SELECT count(DISTINCT xmin::text) FROM event"); n > postings/4 || n < 2 {
		t.Errorf("%d postings took %d commits", postings, n)
	}
}

// Processes that take the same new keys in different orders never wait for each other in a circle (protocol F10).
func TestTheSameKeysInDifferentOrders(t *testing.T) {
	t.Parallel()
	// Each window of records comes in several postings at once, in as many orders, as after an outage: half of them tell
	// the same events, the other half events of their own.
	const windows, repeats, units = 250, 8, 6
	p := newPlant(t)
	// A circle is found out long before our own patience with a lock ends.
	if _, err := p.db.ExecContext(t.Context(), `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = 5', current_database()); END $$`); err != nil {
		t.Fatal(err)
	}
	stores := []*store.Store{p.store(ring{"one"}), p.store(ring{"one"}), p.store(ring{"one"}), p.store(ring{"one"})}
	var taken, tries atomic.Int64
	var tasks []func()
	for window := range windows {
		for n := range repeats {
			tasks = append(tasks, func() {
				var us []schema.Unit
				for _, i := range rand.Perm(units) {
					key := fmt.Sprint("key", window, "-", i)
					if n%2 == 1 {
						key += fmt.Sprint("-", n)
					}
					us = append(us, unit(key, "body", fmt.Sprint("record", window, "-", i), i%3 == 0))
				}
				for range 20 {
					a, err := stores[n%len(stores)].Accept(t.Context(), posting("crm", us...))
					tries.Add(1)
					if errors.Is(err, schema.ErrRaced) {
						continue
					}
					if err != nil || len(a.Conflicts) > 0 {
						t.Errorf("%+v, %v", a, err)
					}
					taken.Add(int64(a.Events))
					return
				}
				t.Error("not taken after 20 tries")
			})
		}
	}
	inOrder(4*repeats, tasks)
	const events = windows * units * (1 + repeats/2)
	if n := p.count("SELECT count(*) FROM event"); taken.Load() != events || n != events {
		t.Errorf("%d events taken and %d rows, want %d", taken.Load(), n, events)
	}
	if n := p.count("SELECT count(*) FROM record"); n != windows*units {
		t.Errorf("%d records, want %d", n, windows*units)
	}
	if postings := int64(windows * repeats); tries.Load() > postings+postings/20 {
		t.Errorf("%d tries for %d postings", tries.Load(), postings)
	}
	for _, s := range stores { // a session that ends tells what it has counted
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := p.count("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"); n != 0 {
		t.Errorf("%d deadlocks", n)
	}
}

// Whatever is posted in whatever order, the answers are those of a plain map from keys to bodies.
func TestAcceptAgreesWithItsModel(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	stores := []*store.Store{p.store(ring{"one"}), p.store(ring{"one", "two"}), p.store(ring{"two", "one"})}
	var sources atomic.Int64
	type known struct {
		body    string
		receipt schema.ID
	}
	rapid.Check(t, func(rt *rapid.T) {
		source := fmt.Sprint("source", sources.Add(1))
		model := map[string]known{}
		events := 0
		for range rapid.IntRange(1, 8).Draw(rt, "postings") {
			type part struct{ key, body string }
			parts := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) part {
				return part{rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(rt, "key"), rapid.SampledFrom([]string{"x", "x", "x", "y"}).Draw(rt, "body")}
			}), 1, 4).Draw(rt, "units")
			var us []schema.Unit
			for _, q := range parts {
				us = append(us, unit(q.key, q.body, source+q.key, q.key < "c"))
			}
			post := posting(source, us...)
			got, err := stores[rapid.IntRange(0, 2).Draw(rt, "store")].Accept(context.Background(), post)
			if err != nil {
				rt.Fatal(err)
			}
			want := schema.Accepted{Receipt: post.Receipt}
			own, newest := map[string]known{}, schema.ID{}
			for i, q := range parts {
				was, came := model[q.key]
				if !came {
					was, came = own[q.key]
				}
				switch {
				case !came:
					own[q.key] = known{q.body, post.Receipt}
					want.Events++
					was = own[q.key]
				case was.body != q.body:
					if len(want.Conflicts) == 0 {
						want.Receipt = was.receipt
					}
					want.Conflicts = append(want.Conflicts, i)
				}
				if slices.Compare(was.receipt[:], newest[:]) > 0 {
					newest = was.receipt
				}
			}
			switch {
			case len(want.Conflicts) > 0:
				want.Events = 0
			default:
				for key, k := range own {
					model[key] = k
				}
				if want.Events == 0 {
					want.Receipt = newest
				}
			}
			events += want.Events
			if got.Receipt != want.Receipt || got.Events != want.Events || !slices.Equal(got.Conflicts, want.Conflicts) {
				rt.Fatalf("%v: %+v, want %+v", parts, got, want)
			}
		}
		if n := p.count("SELECT count(*) FROM event WHERE source = $1", source); n != events {
			rt.Fatalf("%d events, want %d", n, events)
		}
	})
}

// However many bodies are due, all of them are forgotten.
func TestHousekeepingForgetsAll(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	s := p.store(ring{"one"})
	if _, err := p.db.ExecContext(t.Context(), `INSERT INTO event (id, ref, source, kind, lane, received_at, body, dek)
SELECT (left(first_id(now() - interval '1 hour')::text, 14) || '7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, gen_random_uuid(), 'crm', 'change', 3, now(), 'x', 'x' FROM generate_series(1, 25000) n`); err != nil {
		t.Fatal(err)
	}
	if err := s.Housekeep(t.Context(), store.Retention{Ended: 2 * time.Hour, Dead: 2 * time.Hour, Keys: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if n := p.count("SELECT count(*) FROM event WHERE body IS NOT NULL"); n != 25_000 {
		t.Errorf("%d bodies are left before their time", n)
	}
	if err := s.Housekeep(t.Context(), store.Retention{Ended: time.Minute, Dead: time.Minute, Keys: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if n := p.count("SELECT count(*) FROM event WHERE body IS NOT NULL OR dek IS NOT NULL"); n != 0 {
		t.Errorf("%d bodies are left after their time", n)
	}
}

// A lock that somebody holds on the remembered keys does not keep tomorrow's partitions from being made.
func TestHousekeepingBesideALock(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	s := p.store(ring{"one"})
	day := time.Now().UTC().AddDate(0, 0, 2).Format("20060102")
	if _, err := p.db.ExecContext(t.Context(), "DROP TABLE event_"+day); err != nil {
		t.Fatal(err)
	}
	tx, err := p.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "LOCK TABLE dedupe_current IN ACCESS SHARE MODE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := s.Housekeep(ctx, store.Retention{Ended: time.Hour, Dead: time.Hour}); err == nil {
		t.Error("a rotation that cannot be made is not told")
	}
	if n := p.count("SELECT count(*) FROM pg_class WHERE relname = $1", "event_"+day); n != 1 {
		t.Error("the partition was not made")
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := s.Housekeep(t.Context(), store.Retention{Ended: time.Hour, Dead: time.Hour}); err != nil {
		t.Error(err)
	}
}
