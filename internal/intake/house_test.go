package intake_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockstep/connectors"
	"lockstep/connectors/envelope"
	"lockstep/connectors/genesys"
	"lockstep/connectors/salesforce"
	"lockstep/internal/intake"
	"lockstep/internal/integrationmap"
	"lockstep/internal/localpg/localpgtest"
	"lockstep/internal/payload"
	"lockstep/internal/secrets"
	"lockstep/internal/signature"
	"lockstep/internal/store"
	"lockstep/internal/telemetry"
	"lockstep/schema"
)

var migrated = localpgtest.Template{Prepare: func(url string) error { return store.Migrate(context.Background(), url) }}

// house is an installation: a database, a secrets folder, a map and a clock that can be set.
type house struct {
	t       *testing.T
	url     string
	dir     string
	folder  *secrets.Dir
	sealer  *secrets.Sealer
	bundle  *integrationmap.Bundle
	shapes  *payload.Catalogue
	metrics *telemetry.Metrics
	log     *telemetry.Logger
	logged  *lockedBuffer
	ahead   atomic.Int64
	owner   *sql.DB
}

// lockedBuffer is what was written so far.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newHouse(t *testing.T) *house { return newHouseAt(t, migrated.New(t)) }

func newHouseAt(t *testing.T, url string) *house {
	t.Helper()
	h := &house{t: t, url: url, dir: t.TempDir(), logged: &lockedBuffer{}}
	must(t, secrets.Generate(h.dir))
	h.loadMap()
	for name, def := range h.bundle.Map.Sources {
		h.writeSecret(name, secretOf(def.Signature.Profile, name))
	}
	var err error
	h.folder, err = secrets.Open(h.dir, secrets.Options{Now: h.now})
	must(t, err)
	t.Cleanup(func() { _ = h.folder.Close() })
	h.sealer, err = h.folder.Sealer(secrets.SealKeys)
	must(t, err)
	names := telemetry.Names{}
	for name := range h.bundle.Map.Sources {
		names.Sources = append(names.Sources, name)
	}
	for _, cause := range signature.Causes {
		names.Causes = append(names.Causes, string(cause))
	}
	h.metrics, err = telemetry.NewMetrics(names)
	must(t, err)
	h.log = telemetry.New("intake", h.logged, slog.LevelDebug)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_ = h.metrics.Close(ctx)
		_ = h.log.Close(ctx)
	})
	return h
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h *house) loadMap() {
	h.t.Helper()
	text, err := os.ReadFile("testdata/integration-map.yaml")
	must(h.t, err)
	var runbooks []string
	for _, f := range schema.Failures {
		runbooks = append(runbooks, fmt.Sprintf("%s: %s", f.Reason, f.Reason))
	}
	text = bytes.Replace(text, []byte("RUNBOOKS"), []byte(strings.Join(runbooks, ", ")), 1)
	h.shapes, err = payload.Load(schema.Shapes)
	must(h.t, err)
	h.bundle, err = integrationmap.Parse("testdata/integration-map.yaml", text, integrationmap.Known{
		Kinds: []string{"salesforce", "genesys"}, Envelopes: []string{"salesforce", "genesys", "change_set", "flat"}, Schemas: h.shapes.Families(),
	})
	must(h.t, err)
}

// now is the real time and as much more as the test has set.
func (h *house) now() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) }

func (h *house) forward(by time.Duration) { h.ahead.Add(int64(by)) }

// writeSecret puts a secret in place whole, as an operator's tool does.
func (h *house) writeSecret(name, secret string) {
	h.t.Helper()
	draft := filepath.Join(h.dir, "."+name)
	must(h.t, os.WriteFile(draft, []byte(secret+"\n"), 0o600))
	must(h.t, os.Rename(draft, filepath.Join(h.dir, name)))
}

// openStore returns a store of its own, as another process has it.
func (h *house) openStore() *store.Store {
	h.t.Helper()
	index, err := h.folder.Index(secrets.IndexKeys)
	must(h.t, err)
	return h.openStoreWith(index)
}

func (h *house) openStoreWith(index store.Index) *store.Store {
	h.t.Helper()
	s, err := store.Open(h.t.Context(), store.Options{URL: h.url + "&role=lockstep_app", Sealer: h.sealer, Index: index, Digest: "test", Connections: 8})
	must(h.t, err)
	h.t.Cleanup(func() { _ = s.Close() })
	_, err = s.ActivateFirstBundle(h.t.Context(), "test", []byte("test"))
	must(h.t, err)
	return s
}

func (h *house) envelopeOf(name string) connectors.Envelope {
	h.t.Helper()
	def := h.bundle.Map.Sources[name]
	var inner connectors.Envelope
	var err error
	switch def.Envelope {
	case "change_set":
		inner = envelope.ChangeSet{}
	case "flat":
		for object := range def.Objects {
			inner, err = envelope.NewFlat(object, "")
		}
	case "salesforce":
		inner, err = salesforce.NewEnvelope(nil, []string{"Last_Support_Interaction__c"}, nil)
	case "genesys":
		inner, err = genesys.NewEnvelope(nil)
	}
	must(h.t, err)
	families := map[string]string{}
	for object, o := range def.Objects {
		families[object] = o.Schema
	}
	return payload.Upcasting{Envelope: inner, Catalogue: h.shapes, Families: families}
}

// sources wires every source of the map.
func (h *house) sources() []*intake.Source {
	h.t.Helper()
	var out []*intake.Source
	for name, def := range h.bundle.Map.Sources {
		covers, err := signature.Covered(def.Signature)
		must(h.t, err)
		verifier, err := signature.New(def.Signature, func() ([][]byte, error) { return h.folder.Live(def.Signature.Secrets) }, h.now)
		must(h.t, err)
		out = append(out, &intake.Source{
			Name: name, Def: def, Verifier: verifier, Covers: covers, Envelope: h.envelopeOf(name), Rulesets: h.bundle.Rulesets,
			Owners: map[string]string{"customer": "ops"}, Shapes: h.shapes,
		})
	}
	return out
}

func (h *house) intake(journal intake.Journal) *intake.Intake {
	h.t.Helper()
	return h.intakeOf(journal, h.sources())
}

func (h *house) intakeOf(journal intake.Journal, sources []*intake.Source) *intake.Intake {
	h.t.Helper()
	in, err := intake.New(journal, h.metrics, h.log.Logger, h.now, sources)
	must(h.t, err)
	return in
}

// door is a handler over a store of its own: one process of several.
func (h *house) door() *door {
	h.t.Helper()
	s := h.openStore()
	return &door{h: h, store: s, Handler: h.intake(s).Handler()}
}

// door is what a sender reaches.
type door struct {
	http.Handler
	h     *house
	store *store.Store
}

// answered is what a sender gets.
type answered struct {
	status int
	// closes is set when the server closes the connection after the answer.
	closes bool
	header http.Header
	raw    []byte
	body   struct {
		Receipt    *schema.ID     `json:"receipt"`
		Events     int            `json:"events"`
		Duplicate  bool           `json:"duplicate"`
		Error      schema.Refusal `json:"error"`
		DeadLetter string         `json:"dead_letter"`
	}
}

func (a answered) String() string { return fmt.Sprintf("%d %s", a.status, bytes.TrimSpace(a.raw)) }

// do hands a request to the handler itself.
func (d *door) do(r *http.Request) answered {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return read(d.h.t, w.Result())
}

func read(t testing.TB, res *http.Response) (a answered) {
	t.Helper()
	defer res.Body.Close()
	a.status, a.header, a.closes = res.StatusCode, res.Header, res.Close
	var err error
	if a.raw, err = io.ReadAll(res.Body); err != nil {
		t.Error(err)
	}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(a.raw, &a.body); err != nil {
			t.Errorf("%d %q: %v", a.status, a.raw, err)
		}
	}
	return a
}

// post signs a body for a source, and posts it.
func (d *door) post(source, body string) answered {
	d.h.t.Helper()
	return d.do(d.h.signed(source, body))
}

// accepted posts what has to be taken.
func (d *door) accepted(source, body string) answered {
	d.h.t.Helper()
	a := d.post(source, body)
	if a.status != http.StatusAccepted || a.body.Receipt == nil || a.body.DeadLetter != "" {
		d.h.t.Fatalf("%s: %s; want a receipt", source, a)
	}
	return a
}

// refused posts what has to be refused, and checks that only the dead letters know of it.
func (d *door) refused(source, body string, reason schema.Reason) answered {
	d.h.t.Helper()
	before := d.h.counts("event", "open_event", "ref", "record", "dedupe_current", "dedupe_kept")
	a := d.post(source, body)
	if a.status != http.StatusBadRequest || a.body.Error.Reason != reason || a.body.DeadLetter == "" || a.body.Receipt != nil {
		d.h.t.Fatalf("%s: %s; want %s", source, a, reason)
	}
	if after := d.h.counts("event", "open_event", "ref", "record", "dedupe_current", "dedupe_kept"); after != before {
		d.h.t.Fatalf("%s: a refused body changed the journal from %s to %s", source, before, after)
	}
	return a
}

// database returns connections as the database's owner.
func (h *house) database() *sql.DB {
	h.t.Helper()
	if h.owner == nil {
		var err error
		h.owner, err = sql.Open("postgres", h.url)
		must(h.t, err)
		h.t.Cleanup(func() { _ = h.owner.Close() })
	}
	return h.owner
}

// counts says how many rows tables have.
func (h *house) counts(tables ...string) string {
	h.t.Helper()
	var parts []string
	for _, table := range tables {
		parts = append(parts, fmt.Sprintf("'%s=' || (SELECT count(*) FROM %s)", table, table))
	}
	var counts string
	must(h.t, h.database().QueryRowContext(h.t.Context(), "SELECT "+strings.Join(parts, "|| ' ' ||")).Scan(&counts))
	return counts
}

// count runs a query of one number.
func (h *house) count(query string, args ...any) (n int) {
	h.t.Helper()
	must(h.t, h.database().QueryRowContext(h.t.Context(), query, args...).Scan(&n))
	return n
}

// exec runs statements as the database's owner.
func (h *house) exec(statements ...string) {
	h.t.Helper()
	for _, s := range statements {
		_, err := h.database().ExecContext(h.t.Context(), s)
		must(h.t, err)
	}
}

// bodies returns the opened bodies of all events, in the order of their ids.
func (h *house) bodies() [][]byte {
	h.t.Helper()
	return h.open("event", "SELECT id, body, dek FROM event ORDER BY id")
}

// letter returns the opened body of a dead letter such as dl-7.
func (h *house) letter(name string) []byte {
	h.t.Helper()
	bodies := h.open("dead_letter", "SELECT id, body, dek FROM dead_letter WHERE n = "+strings.TrimPrefix(name, "dl-"))
	if len(bodies) != 1 {
		h.t.Fatalf("%d dead letters %s", len(bodies), name)
	}
	return bodies[0]
}

func (h *house) open(table, query string) (bodies [][]byte) {
	h.t.Helper()
	rows, err := h.database().QueryContext(h.t.Context(), query)
	must(h.t, err)
	defer rows.Close()
	for rows.Next() {
		var id schema.ID
		var sealed, dek []byte
		must(h.t, rows.Scan(&id, &sealed, &dek))
		body, err := h.sealer.Open(sealed, dek, secrets.Place{Table: table, Column: "body", Row: id})
		must(h.t, err)
		bodies = append(bodies, body)
	}
	must(h.t, rows.Err())
	return bodies
}

// scrape returns the metrics as a scraper sees them.
func (h *house) scrape() string {
	w := httptest.NewRecorder()
	h.metrics.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

// logs returns everything logged so far.
func (h *house) logs() string {
	h.t.Helper()
	must(h.t, h.log.Flush(h.t.Context()))
	return h.logged.String()
}

// sound checks the protocol's invariants.
func (d *door) sound() {
	d.h.t.Helper()
	broken, err := d.store.CheckInvariants(d.h.t.Context())
	must(d.h.t, err)
	if len(broken) > 0 {
		d.h.t.Errorf("broken invariants: %v", broken)
	}
}
