package intake

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"lockstep/internal/signature"
	"lockstep/schema"
)

// Journal is the database as intake needs it.
type Journal interface {
	Accept(ctx context.Context, p *schema.Posting) (schema.Accepted, error)
	Refuse(ctx context.Context, r schema.Refused) (n int64, err error)
}

// Count counts what happens at the door, for the metrics.
type Count interface {
	Accepted(ctx context.Context, source string, n int)
	// Ungoverned counts fields of accepted events that the integration map says nothing about (A15).
	Ungoverned(ctx context.Context, source string, n int)
	Duplicate(ctx context.Context, source string)
	Refused(ctx context.Context, source string, reason schema.Reason)
	Unauthorised(ctx context.Context, source, cause string)
	Signed(ctx context.Context, source string, age time.Duration)
	OldSecret(ctx context.Context, source string, at time.Time)
}

// Intake takes the POSTs of all sources.
type Intake struct {
	journal   Journal
	count     Count
	log       *slog.Logger
	sources   map[string]*Source
	now       func() time.Time
	admission *admission
	stopping  atomic.Bool
}

// retryAfter is how long, in seconds, a sender is asked to wait.
const retryAfter = 2

// New wires the sources.
func New(journal Journal, count Count, log *slog.Logger, now func() time.Time, sources []*Source) (*Intake, error) {
	in := &Intake{journal: journal, count: count, log: log, sources: map[string]*Source{}, now: now}
	for _, s := range sources {
		if err := s.prepare(); err != nil {
			return nil, err
		}
		in.sources[s.Name] = s
	}
	in.admission = newAdmission(maxInside, slices.Collect(maps.Keys(in.sources)))
	return in, nil
}

// Stop has every answer from now on say that its connection closes, so that senders have gone elsewhere by the time the
// server shuts down (E19). What comes all the same is worked on as ever.
func (in *Intake) Stop() { in.stopping.Store(true) }

// Handler serves POST /webhooks/{source} and GET /healthz. A path that is not spelt plainly is none of ours; nothing is
// redirected.
func (in *Intake) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /webhooks/{source}", in.webhook)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if in.stopping.Load() {
			w.Header().Set("Connection", "close")
		}
		defer in.survive(w, r)
		if path.Clean(r.URL.Path) != r.URL.Path {
			problem(w, http.StatusNotFound, "unknown_path")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// survive answers 503 where the handler panicked. The value stays unsaid: it may quote the request.
func (in *Intake) survive(w http.ResponseWriter, r *http.Request) {
	switch recover() {
	case nil:
	case http.ErrAbortHandler:
		panic(http.ErrAbortHandler)
	default:
		in.log.ErrorContext(r.Context(), "a request made the handler panic", "route", "/webhooks/{source}")
		in.later(w)
	}
}

// Receipt is the answer to an accepted POST.
type Receipt struct {
	Receipt schema.ID `json:"receipt"`
	// Events counts what was new.
	Events int `json:"events"`
	// Duplicate is set when everything in it had come before, under the same receipt.
	Duplicate bool `json:"duplicate,omitempty"`
}

// Rejection is the answer to a refused POST.
type Rejection struct {
	Error schema.Refusal `json:"error"`
	// DeadLetter is where the original is kept.
	DeadLetter string `json:"dead_letter,omitempty"`
	// Receipt is the one of the body that came first under the same id.
	Receipt *schema.ID `json:"receipt,omitempty"`
}

func (in *Intake) webhook(w http.ResponseWriter, r *http.Request) {
	source := in.sources[r.PathValue("source")]
	if source == nil {
		problem(w, http.StatusNotFound, "unknown_source")
		return
	}
	body, status := readBody(w, r, source.maxBody())
	if status != 0 {
		problem(w, status, bodyProblems[status])
		return
	}
	spill(body)
	// Seats are for work: whoever sends slowly holds none.
	leave, status := in.admission.enter(source.Name)
	if status != 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
		problem(w, status, "come_again")
		return
	}
	defer leave()
	signed, ok := in.verify(w, r, source, body)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), commitWithin)
	defer cancel()
	r = r.WithContext(ctx)
	read, err := source.read(signed, body)
	if err != nil {
		in.refuse(w, r, source, body, err)
		return
	}
	in.accept(w, r, source, body, read)
}

// commitWithin is how long a sender waits for the commit: senders give up after ten seconds and more, and an answer
// tells them more than a silence.
const commitWithin = 8 * time.Second

var bodyProblems = map[int]string{
	http.StatusRequestEntityTooLarge: "body_too_large",
	http.StatusUnsupportedMediaType:  "not_plain_json",
	http.StatusBadRequest:            "body_not_readable",
}

// readBody reads the raw bytes. A status other than 0 refuses the request: nothing was stored.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) (body []byte, status int) {
	types := r.Header["Content-Type"]
	if len(types) != 1 || !isJSON(types[0]) || len(r.Header["Content-Encoding"]) > 0 {
		return nil, http.StatusUnsupportedMediaType
	}
	if r.ContentLength > limit {
		return nil, http.StatusRequestEntityTooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, http.StatusRequestEntityTooLarge
	case err != nil:
		return nil, http.StatusBadRequest
	}
	return body, 0
}

func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}

// verify checks the signature. Its answer tells nothing of why.
func (in *Intake) verify(w http.ResponseWriter, r *http.Request, source *Source, body []byte) (signature.Signed, bool) {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	signed, err := source.Verifier.Verify(signature.Request{
		Method: r.Method, URL: scheme + "://" + r.Host + r.URL.RequestURI(), Header: r.Header, Body: body,
	})
	switch {
	case errors.Is(err, signature.ErrSecrets):
		in.log.ErrorContext(r.Context(), "a source's secrets cannot be used", "source", source.Name)
		in.later(w)
		return signed, false
	case err != nil:
		cause, _ := signature.CauseOf(err)
		in.count.Unauthorised(r.Context(), source.Name, string(cause))
		problem(w, http.StatusUnauthorized, "unauthorised")
		return signed, false
	}
	if !signed.At.IsZero() {
		in.count.Signed(r.Context(), source.Name, in.now().Sub(signed.At))
	}
	if signed.Secret > 0 {
		in.count.OldSecret(r.Context(), source.Name, in.now())
	}
	return signed, true
}

// refuse keeps the original and tells the sender what to mend. Without the dead letter there is no refusal: then the
// sender has to come again.
func (in *Intake) refuse(w http.ResponseWriter, r *http.Request, source *Source, body []byte, cause error) {
	refused := source.refused(cause, body)
	n, err := in.journal.Refuse(r.Context(), refused)
	if err != nil {
		in.failed(r, source, "a refused body could not be kept", err)
		in.later(w)
		return
	}
	if refused.Refusal.Reason == schema.ReasonInternal {
		in.log.ErrorContext(r.Context(), "reading a body failed; it is kept for an engineer", "source", source.Name, "dead_letter", deadLetter(n))
	}
	in.count.Refused(r.Context(), source.Name, refused.Refusal.Reason)
	status := source.Def.Reject
	if status == 0 {
		status = http.StatusBadRequest
	}
	answer(w, status, Rejection{Error: refused.Refusal, DeadLetter: deadLetter(n)})
}

func deadLetter(n int64) string { return "dl-" + strconv.FormatInt(n, 10) }

// failed notes an error that no outage explains.
func (in *Intake) failed(r *http.Request, source *Source, what string, err error) {
	if r.Context().Err() == nil && !errors.Is(err, schema.ErrUnavailable) && !errors.Is(err, schema.ErrRaced) {
		in.log.ErrorContext(r.Context(), what, "source", source.Name, "error", err)
	}
}

// accept commits the posting and answers with its receipt.
func (in *Intake) accept(w http.ResponseWriter, r *http.Request, source *Source, body []byte, read reading) {
	accepted, err := in.journal.Accept(r.Context(), read.posting)
	if err != nil {
		in.failed(r, source, "a posting could not be written", err)
		in.later(w)
		return
	}
	if len(accepted.Conflicts) > 0 {
		in.conflict(w, r, source, body, accepted)
		return
	}
	if accepted.Events == 0 {
		in.count.Duplicate(r.Context(), source.Name)
	} else {
		in.count.Accepted(r.Context(), source.Name, accepted.Events)
		in.count.Ungoverned(r.Context(), source.Name, read.ungoverned)
	}
	answer(w, http.StatusAccepted, Receipt{Receipt: accepted.Receipt, Events: accepted.Events, Duplicate: accepted.Events == 0})
}

// conflict quarantines a body that came under the id of another (A02): neither is picked silently, the first stands.
func (in *Intake) conflict(w http.ResponseWriter, r *http.Request, source *Source, body []byte, accepted schema.Accepted) {
	refused := source.refused(&schema.Refusal{
		Reason: schema.ReasonSameIDOtherBody, Rule: "an id names one body", Remedy: "send the change under an id of its own",
	}, body)
	refused.Quarantined = true
	n, err := in.journal.Refuse(r.Context(), refused)
	if err != nil {
		in.failed(r, source, "a conflicting body could not be kept", err)
		in.later(w)
		return
	}
	in.count.Refused(r.Context(), source.Name, refused.Refusal.Reason)
	answer(w, http.StatusConflict, Rejection{Error: refused.Refusal, DeadLetter: deadLetter(n), Receipt: &accepted.Receipt})
}

// later answers 503: nothing was promised, the sender has to come again.
func (in *Intake) later(w http.ResponseWriter) {
	w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	problem(w, http.StatusServiceUnavailable, "come_again")
}

func problem(w http.ResponseWriter, status int, code string) {
	answer(w, status, map[string]map[string]string{"error": {"reason": code}})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the sender is gone; it will come again
}
