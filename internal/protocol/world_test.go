package protocol_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"lockstep/activities"
	"lockstep/connectors"
	"lockstep/internal/dispatch"
	"lockstep/internal/integrationmap"
	"lockstep/internal/localpg/localpgtest"
	"lockstep/internal/protocol"
	"lockstep/internal/secrets"
	"lockstep/internal/store"
	"lockstep/schema"
)

const modelMap = `
version: 1
mode: live
owners: {ops: {name: Dana Ruiz, slack: U02DANARUIZ}}
systems:
  crm: {kind: model, owner: ops, endpoint: env:X, credential: env:X, call_rate: 1000/s, phone_region: US}
  desk: {kind: model, owner: ops, endpoint: env:X, credential: env:X, call_rate: 1000/s, phone_region: US}
objects:
  customer:
    owner: ops
    systems:
      crm: {object: Person, create: true}
      desk: {object: Person, create: true}
    match: [{field: email, reserves: true}]
    fields:
      uuid: {type: canonical_id, system_of_record: lockstep, direction: one_way, personal_data: none, delivery: pull, systems: {crm: key, desk: key}}
      email: {type: email, system_of_record: crm, direction: one_way, personal_data: contact, delivery: pull, systems: {crm: email, desk: mail}}
      name: {type: text, system_of_record: crm, direction: one_way, personal_data: identity, delivery: pull, systems: {crm: name, desk: name}}
      last_seen: {type: text, system_of_record: desk, direction: one_way, personal_data: none, delivery: pull, systems: {crm: seen, desk: seen}}
      nick: {type: text, system_of_record: crm, direction: two_way, conflict: {rule: newest_wins}, personal_data: none, delivery: push, systems: {crm: nick, desk: nickname}}
runbooks: {RUNBOOKS}
`

var migrated = localpgtest.Template{Prepare: func(url string) error { return store.Migrate(context.Background(), url) }}

// world is the journal, two vendors and everything between.
type world struct {
	t        *testing.T
	store    *store.Store
	url      string
	crm      *protocol.Vendor
	desk     *protocol.Vendor
	runner   *protocol.Runner
	mortal   *protocol.Mortal
	bundle   *integrationmap.Bundle
	accepted atomic.Int64
	lost     atomic.Int64

	stop  context.CancelFunc
	ended sync.WaitGroup
	ctx   context.Context
}

type setup struct {
	faults protocol.Faults
	deaths float64
	bulk   int
}

func newWorld(t *testing.T, s setup) *world {
	t.Helper()
	w := &world{t: t}
	runbooks := ""
	for _, f := range schema.Failures {
		runbooks += fmt.Sprintf("%s: %s, ", f.Reason, f.Reason)
	}
	var err error
	w.bundle, err = integrationmap.Parse("model.yaml", []byte(replace(modelMap, "RUNBOOKS", runbooks)), integrationmap.Known{Kinds: []string{"model"}})
	if err != nil {
		t.Fatal(err)
	}
	w.url = migrated.New(t)
	w.store = openStore(t, w.url, w.bundle.Digest)
	w.crm = protocol.NewVendor("crm", s.bulk, false, false, s.faults)
	s.faults.Rand = rand.New(rand.NewPCG(7, 7))
	w.desk = protocol.NewVendor("desk", s.bulk, true, true, s.faults)
	w.crm.Emit, w.desk.Emit = w.post, w.post
	w.mortal = &protocol.Mortal{Journal: w.store, Chance: s.deaths}
	acts := &activities.Activities{
		Journal: w.mortal, Map: w.bundle.Map, Rulesets: w.bundle.Rulesets, Margin: 100 * time.Millisecond, Jitter: rand.Float64,
		Systems: map[string]activities.System{
			"crm":  {Name: "crm", Kind: "model", Connector: w.crm, Settle: 20 * time.Millisecond},
			"desk": {Name: "desk", Kind: "model", Connector: w.desk, Settle: 20 * time.Millisecond},
		},
	}
	w.runner = &protocol.Runner{Activities: acts, Policy: activities.Policy{
		Call: 300 * time.Millisecond, Moment: 500 * time.Millisecond, First: 10 * time.Millisecond, Longest: 200 * time.Millisecond,
	}}
	w.ctx, w.stop = context.WithCancel(context.Background())
	t.Cleanup(w.end)
	return w
}

func replace(s, old, with string) string {
	for i := range len(s) - len(old) {
		if s[i:i+len(old)] == old {
			return s[:i] + with + s[i+len(old):]
		}
	}
	return s
}

func openStore(t *testing.T, url, digest string) *store.Store {
	t.Helper()
	dir := t.TempDir()
	if err := secrets.Generate(dir); err != nil {
		t.Fatal(err)
	}
	folder, err := secrets.Open(dir, secrets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = folder.Close() })
	sealer, err := folder.Sealer(secrets.SealKeys)
	if err != nil {
		t.Fatal(err)
	}
	index, err := folder.Index(secrets.IndexKeys)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Options{
		URL: url + "&role=lockstep_app", Sealer: sealer, Index: index, Digest: digest, CheckAfter: 700 * time.Millisecond, Connections: 24,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, err := s.ActivateFirstBundle(t.Context(), digest, []byte("model")); err != nil {
		t.Fatal(err)
	}
	if err := s.SetUpSystems(t.Context(), []schema.SystemSetup{{System: "crm", Slots: 4, Singles: 10}, {System: "desk", Slots: 4, Singles: 10}}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) end() {
	w.stop()
	w.ended.Wait()
	w.runner.Wait()
}

// dispatch runs a dispatcher until its context ends.
func (w *world) dispatch(ctx context.Context) {
	level := slog.LevelError
	if os.Getenv("PROTOCOL_LOG") != "" {
		level = slog.LevelDebug
	}
	out := io.Discard
	if level == slog.LevelDebug {
		out = os.Stderr
	}
	d := dispatch.New(dispatch.Options{
		Journal: w.store, Now: time.Now, Log: slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level})),
		Bundle: dispatch.Bundle{Map: w.bundle.Map, Rulesets: w.bundle.Rulesets, Envelopes: map[string]connectors.Envelope{"crm": protocol.Envelope{}, "desk": protocol.Envelope{}}},
		Sizes: func(system string, op schema.Op) (int, int) {
			return w.vendor(system).Batch(op), w.vendor(system).CallsPerClaim()
		},
		Start: func(_ context.Context, c schema.Claim) error { return w.runner.Start(w.ctx, c) },
	})
	w.ended.Go(func() { d.Run(ctx) })
}

func (w *world) vendor(name string) *protocol.Vendor {
	if name == "crm" {
		return w.crm
	}
	return w.desk
}

// post brings a vendor's event to the journal, as intake does after its checks: at least once, in any order.
func (w *world) post(v *protocol.Vendor, c schema.Change) {
	body, err := json.Marshal(c)
	if err != nil {
		w.t.Error(err)
		return
	}
	w.ended.Go(func() {
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		p := &schema.Posting{Source: v.Name, Units: []schema.Unit{{
			Key: [][]byte{[]byte(c.Ref), []byte(strconv.FormatInt(c.At.UnixMilli(), 10))}, Body: body,
			Events: []schema.NewEvent{{System: v.Name, Object: "customer", Ref: c.Ref, Kind: c.Kind, SourceAt: c.At, Lane: schema.LaneNormal, Body: body}},
		}}}
		sent := false
		for tries := range 200 {
			p.Receipt = schema.NewReceipt()
			a, err := w.store.Accept(context.Background(), p)
			if err != nil {
				time.Sleep(20 * time.Millisecond)
				continue
			}
			w.accepted.Add(int64(a.Events))
			if sent || tries > 100 || rand.IntN(5) > 0 {
				return
			}
			sent = true // once more: a sender that did not hear the answer
		}
		w.lost.Add(1)
	})
}

// settle waits until nothing is open.
func (w *world) settle(limit time.Duration) schema.Stats {
	w.t.Helper()
	deadline := time.Now().Add(limit)
	quiet := 0
	for {
		stats, err := w.store.Stats(context.Background())
		if err != nil {
			w.t.Fatal(err)
		}
		open := int64(0)
		for _, s := range stats.Sources {
			open += s.Open
		}
		if open == 0 && len(stats.Deliveries) == 0 {
			if quiet++; quiet > 5 {
				return stats
			}
		} else {
			quiet = 0
		}
		if time.Now().After(deadline) {
			w.dump()
			w.t.Fatalf("not settled: %+v", stats)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// explain logs what is known of a record's nick.
func (w *world) explain(canonical string) {
	id, err := uuid.Parse(canonical)
	if err != nil {
		return
	}
	state, rev, err := w.store.State(context.Background(), id)
	if err != nil {
		w.t.Log(err)
		return
	}
	for name, s := range state.Systems {
		for field, h := range s.Fields {
			for _, r := range h.Runs {
				if field == "nick" {
					w.t.Logf("rev %d %s %s: %s %d..%d flags %05b event %s rev %d", rev, name, field, r.Value.Reveal(), r.From.At%1000000, r.To.At%1000000, r.Flags, r.Event, r.Rev)
				}
			}
		}
	}
}

// dump logs where the claims and deliveries stand.
func (w *world) dump() {
	db, err := sql.Open("postgres", w.url)
	if err != nil {
		w.t.Log(err)
		return
	}
	defer func() { _ = db.Close() }()
	for _, q := range []string{
		`SELECT json_agg(x)::text FROM (SELECT * FROM system_state) x`,
		`SELECT json_agg(x)::text FROM (SELECT * FROM credential) x`,
		`SELECT json_agg(x)::text FROM (SELECT * FROM claim WHERE open LIMIT 5) x`,
		`SELECT json_agg(x)::text FROM (SELECT * FROM slot WHERE claim IS NOT NULL LIMIT 5) x`,
		`SELECT json_agg(x)::text FROM (SELECT * FROM delivery WHERE state <> 'idle' LIMIT 5) x`,
		`SELECT json_agg(x)::text FROM (SELECT record, state, reason, held_until, rev, count(*) FROM open_event GROUP BY 1, 2, 3, 4, 5 LIMIT 5) x`,
		`SELECT json_agg(x)::text FROM (SELECT * FROM call ORDER BY id DESC LIMIT 3) x`,
	} {
		var s sql.NullString
		if err := db.QueryRowContext(context.Background(), q).Scan(&s); err != nil {
			w.t.Log(err)
		}
		w.t.Log(s.String)
	}
}
