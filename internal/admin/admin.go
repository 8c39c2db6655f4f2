// Package admin serves what operators and checks ask a process: health, readiness, metrics, an event's life and the
// numbers. It belongs on a loopback listener.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/google/uuid"

	"lockstep/schema"
)

// Journal is the database as this package needs it.
type Journal interface {
	Life(ctx context.Context, receipt schema.ID, workflowID func(schema.Claim) string) (schema.Life, error)
	Stats(ctx context.Context) (schema.Stats, error)
	Broken(ctx context.Context) ([]schema.Broken, error)
	Answers(ctx context.Context) error
}

// Options make the handler.
type Options struct {
	Journal Journal
	// WorkflowID names the workflow of a claim.
	WorkflowID func(schema.Claim) string
	// Metrics serves GET /metrics.
	Metrics http.Handler
	// Ready says whether the process may be sent work; nil means that the journal decides alone.
	Ready func() error
	Log   *slog.Logger
}

// patience bounds one question to the database.
const patience = 10 * time.Second

// Handler serves /healthz, /readyz, /metrics, /debug/pprof/, /api/v1/events/{receipt}, /api/v1/stats and /api/v1/invariants.
func Handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", o.ready)
	mux.HandleFunc("GET /api/v1/events/{receipt}", o.event)
	mux.HandleFunc("GET /api/v1/stats", o.stats)
	mux.HandleFunc("GET /api/v1/invariants", o.invariants)
	mux.Handle("GET /metrics", o.Metrics)
	mux.HandleFunc("GET /debug/pprof/", local(pprof.Index))
	mux.HandleFunc("GET /debug/pprof/profile", local(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/trace", local(pprof.Trace))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	})
}

// local serves on loopback addresses only, wherever the listener is told to listen: profiles are for who is on the machine
// (B08).
func local(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		at, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		if !ok || !at.IP.IsLoopback() {
			http.NotFound(w, r)
			return
		}
		serve(w, r)
	}
}

func (o Options) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	var err error
	if o.Ready != nil {
		err = o.Ready()
	}
	if err == nil {
		err = o.Journal.Answers(ctx)
	}
	if err != nil {
		problem(w, http.StatusServiceUnavailable, "not_ready", "the database does not answer, or the process is stopping")
		return
	}
	answer(w, http.StatusOK, map[string]string{"status": "ready"})
}

func (o Options) event(w http.ResponseWriter, r *http.Request) {
	receipt, err := uuid.Parse(r.PathValue("receipt"))
	if err != nil {
		problem(w, http.StatusBadRequest, "bad_receipt", "a receipt is the uuid that a 202 answered with")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	life, err := o.Journal.Life(ctx, receipt, o.WorkflowID)
	switch {
	case errors.Is(err, schema.ErrNotFound):
		problem(w, http.StatusNotFound, "unknown_receipt", "nothing was accepted under this receipt, or its days are over")
	case err != nil:
		o.unanswered(w, r, err)
	default:
		answer(w, http.StatusOK, life)
	}
}

func (o Options) stats(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	stats, err := o.Journal.Stats(ctx)
	if err != nil {
		o.unanswered(w, r, err)
		return
	}
	answer(w, http.StatusOK, stats)
}

// invariants answers 200 whatever it finds: it was asked, and it knows.
func (o Options) invariants(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	broken, err := o.Journal.Broken(ctx)
	if err != nil {
		o.unanswered(w, r, err)
		return
	}
	answer(w, http.StatusOK, schema.Check{Findings: broken})
}

// unanswered says that the database gave no answer; an error that no outage explains is noted.
func (o Options) unanswered(w http.ResponseWriter, r *http.Request, err error) {
	if o.Log != nil && r.Context().Err() == nil && !errors.Is(err, schema.ErrUnavailable) {
		o.Log.ErrorContext(r.Context(), "a question to the database failed", "error", err)
	}
	w.Header().Set("Retry-After", "2")
	problem(w, http.StatusServiceUnavailable, "come_again", "the database does not answer")
}

func problem(w http.ResponseWriter, status int, reason, remedy string) {
	answer(w, status, map[string]map[string]string{"error": {"reason": reason, "remedy": remedy}})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // whoever asked is gone
}
