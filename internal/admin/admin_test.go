package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"lockstep/internal/admin"
	"lockstep/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	known   = uuid.MustParse("01a1f7a7-9385-745d-bd71-48f6eb4b0000")
	missing = uuid.MustParse("01a1f7a7-9385-745d-bd71-48f6eb4b1111")
)

// journal knows one receipt, and may be out of order.
type journal struct{ err error }

func (j journal) Life(ctx context.Context, receipt schema.ID, workflowID func(schema.Claim) string) (schema.Life, error) {
	switch deadline, bounded := ctx.Deadline(); {
	case j.err != nil:
		return schema.Life{}, j.err
	case !bounded || time.Until(deadline) > time.Minute:
		return schema.Life{}, errors.New("a question without a bound")
	case receipt != known:
		return schema.Life{}, schema.ErrNotFound
	}
	return schema.Life{Receipt: receipt, Events: []schema.EventLife{{
		Event: receipt, State: "new", Deliveries: []schema.DeliveryLife{{System: "desk", Workflow: workflowID(schema.Claim{System: "desk"})}},
	}}}, nil
}

func (j journal) Stats(context.Context) (schema.Stats, error) {
	return schema.Stats{Accepted: 7, Outcomes: map[schema.Outcome]int64{schema.Applied: 7}}, j.err
}

func (j journal) Broken(context.Context) ([]schema.Broken, error) {
	return []schema.Broken{{Invariant: 8, Sentence: "nothing is forgotten", Count: 2}}, j.err
}

func (j journal) Answers(context.Context) error { return j.err }

func handler(j journal, ready func() error, log *slog.Logger) http.Handler {
	return admin.Handler(admin.Options{
		Journal: j, Ready: ready, Log: log, WorkflowID: func(c schema.Claim) string { return "sync/" + c.System },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "lockstep_events_total 1\n") }),
	})
}

func get(h http.Handler, method, path string) *httptest.ResponseRecorder {
	return getAt(h, net.IPv4(127, 0, 0, 1), method, path)
}

// getAt asks at an address of the machine.
func getAt(h http.Handler, at net.IP, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, nil)
	h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: at, Port: 9090})))
	return w
}

// TestB08 shows that profiles and dumps are for who is on the machine: a listener that faces others has none.
func TestB08(t *testing.T) {
	h := handler(journal{}, nil, nil)
	paths := []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap", "/debug/pprof/trace?seconds=0.001"}
	for at, want := range map[string]int{"127.0.0.1": 200, "127.8.8.8": 200, "::1": 200, "10.0.0.7": 404, "192.168.1.1": 404, "203.0.113.9": 404, "fe80::1": 404, "2001:db8::1": 404, "0.0.0.0": 404} {
		for _, path := range paths {
			if w := getAt(h, net.ParseIP(at), "GET", path); w.Code != want || want != 200 && strings.Contains(w.Body.String(), "goroutine") {
				t.Errorf("%s at %s: %d, want %d", path, at, w.Code, want)
			}
		}
		if w := getAt(h, net.ParseIP(at), "GET", "/healthz"); w.Code != 200 {
			t.Errorf("health at %s: %d", at, w.Code)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", paths[0], nil))
	if w.Code != 404 {
		t.Errorf("at an address that nobody knows: %d", w.Code)
	}
}

func TestRoutes(t *testing.T) {
	fine := handler(journal{}, func() error { return nil }, nil)
	down := handler(journal{err: schema.ErrUnavailable}, nil, nil)
	stopping := handler(journal{}, func() error { return errors.New("stopping") }, nil)
	event := "/api/v1/events/" + known.String()
	for _, c := range []struct {
		handler      http.Handler
		method, path string
		want         int
		holds        string
	}{
		{fine, "GET", "/healthz", 200, `"ok"`}, {down, "GET", "/healthz", 200, `"ok"`}, {stopping, "GET", "/healthz", 200, `"ok"`},
		{fine, "GET", "/readyz", 200, `"ready"`}, {down, "GET", "/readyz", 503, `"not_ready"`}, {stopping, "GET", "/readyz", 503, `"not_ready"`},
		{fine, "GET", event, 200, `"workflow":"sync/desk"`}, {fine, "GET", "/api/v1/events/" + missing.String(), 404, `"unknown_receipt"`}, {down, "GET", event, 503, `"come_again"`},
		{fine, "GET", "/api/v1/events/7", 400, `"bad_receipt"`}, {fine, "GET", "/api/v1/events/" + strings.Repeat("a", 400), 400, `"bad_receipt"`},
		{fine, "GET", "/api/v1/events/%27%20OR%201=1--", 400, `"bad_receipt"`}, {fine, "GET", "/api/v1/events/", 404, ""}, {fine, "GET", "/api/v1/events", 404, ""},
		{fine, "GET", "/api/v1/stats", 200, `"accepted":7`}, {down, "GET", "/api/v1/stats", 503, `"come_again"`},
		{fine, "GET", "/api/v1/invariants", 200, `{"findings":[{"invariant":8,"sentence":"nothing is forgotten","count":2}]}`}, {down, "GET", "/api/v1/invariants", 503, `"come_again"`},
		{fine, "GET", "/metrics", 200, "lockstep_events_total"}, {fine, "GET", "/debug/pprof/", 200, "goroutine"}, {fine, "GET", "/debug/pprof/heap?debug=1", 200, "heap profile"},
		{fine, "GET", "/debug/pprof/cmdline", 404, ""}, {fine, "GET", "/debug/pprof/symbol", 404, ""}, {fine, "GET", "/", 404, ""}, {fine, "GET", "/webhooks/github", 404, ""},
		{fine, "POST", "/readyz", 405, ""}, {fine, "POST", "/api/v1/stats", 405, ""}, {fine, "DELETE", event, 405, ""}, {fine, "POST", "/debug/pprof/profile", 405, ""}, {fine, "PUT", "/metrics", 405, ""},
	} {
		w := get(c.handler, c.method, c.path)
		if w.Code != c.want || !strings.Contains(w.Body.String(), c.holds) {
			t.Errorf("%s %s: %d %s; want %d and %q", c.method, c.path, w.Code, w.Body, c.want, c.holds)
		}
		if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %s: headers %v", c.method, c.path, w.Header())
		}
		if isJSON := strings.HasPrefix(w.Header().Get("Content-Type"), "application/json"); isJSON && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s: %s is not JSON", c.method, c.path, w.Body)
		}
		if c.want >= 400 && c.holds != "" && !strings.Contains(w.Body.String(), `"remedy"`) {
			t.Errorf("%s %s: %s names no remedy", c.method, c.path, w.Body)
		}
	}
}

// Nothing of an error reaches the answer, and one that no outage explains reaches the log.
func TestErrorsOfTheDatabase(t *testing.T) {
	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logged, nil))
	for err, noted := range map[error]bool{errors.New("canary 123-45-6789"): true, fmt.Errorf("while asking: %w", schema.ErrUnavailable): false} {
		for _, path := range []string{"/api/v1/stats", "/api/v1/events/" + known.String(), "/readyz"} {
			logged.Reset()
			w := get(handler(journal{err: err}, nil, log), "GET", path)
			if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "canary") {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
			if got := logged.Len() > 0; got != (noted && path != "/readyz") {
				t.Errorf("%s with %q: logged %q", path, err, logged.String())
			}
		}
	}
}
