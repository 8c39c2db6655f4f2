package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// Vendor is what the control API asks of a simulator.
type Vendor interface {
	// State returns the records of an object in the vendor's shape: all, or the one with the id; deleted ones on request.
	State(object, id string, deleted bool) ([]any, error)
	// Save creates or updates records as a human user would; body is one record or an array of them. It returns them in
	// the vendor's shape; created is set when none of them existed.
	Save(object string, body []byte, by string) (saved any, created bool, err error)
	// Remove deletes a record as a human user would.
	Remove(object, id, by string) error
	// Merge merges records as a human user would and returns the record that stays.
	Merge(object string, body []byte, by string) (any, error)
	// ConfigureWebhooks changes what body names of the webhook settings.
	ConfigureWebhooks(body []byte) error
	// Webhooks returns the webhook settings, without secrets, and the counts.
	Webhooks() any
	// Switch changes what body names of the vendor's switches and returns all of them.
	Switch(body []byte) (any, error)
	// RotateSecrets replaces the secrets that body names.
	RotateSecrets(body []byte) error
	// RevokeTokens ends every token.
	RevokeTokens()
}

// Rejection is a refusal in the vendor's own words, which the control API passes on.
type Rejection struct {
	Status int
	Body   []byte
}

// Error returns the status; the body may quote what was sent.
func (r *Rejection) Error() string { return "the vendor refuses: status " + strconv.Itoa(r.Status) }

// ErrUnknown is the refusal of an object or a record that does not exist.
var ErrUnknown = errors.New("no such object or record")

// ControlOptions are the parts of a control API.
type ControlOptions struct {
	Clock   *Clock
	Journal *Journal
	Plan    *Plan
	Quota   *Quota
	Vendor  Vendor
	// Routes are the vendor's operations, which GET /routes lists for writers of faults.
	Routes []Route
	// Extend adds the vendor's own operations.
	Extend func(*http.ServeMux)
}

// control is the control API.
type control struct{ ControlOptions }

// NewControl returns the control API, which the package comment describes.
func NewControl(o ControlOptions) http.Handler {
	c := control{o}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /journal", c.journal)
	mux.HandleFunc("GET /routes", c.routes)
	mux.HandleFunc("GET /faults", c.listFaults)
	mux.HandleFunc("POST /faults", c.addFault)
	mux.HandleFunc("DELETE /faults", c.removeFaults)
	mux.HandleFunc("GET /state/{object}", c.state)
	mux.HandleFunc("POST /records/{object}", c.save)
	mux.HandleFunc("POST /records/{object}/merge", c.merge)
	mux.HandleFunc("DELETE /records/{object}/{id}", c.remove)
	mux.HandleFunc("GET /webhooks", func(w http.ResponseWriter, _ *http.Request) { Reply(w, 200, c.Vendor.Webhooks()) })
	mux.HandleFunc("POST /webhooks", c.configureWebhooks)
	mux.HandleFunc("POST /switches", c.changeSwitches)
	mux.HandleFunc("GET /switches", c.changeSwitches)
	mux.HandleFunc("POST /quota", c.changeQuota)
	mux.HandleFunc("POST /tokens", c.changeTokens)
	mux.HandleFunc("POST /secrets", c.changeSecrets)
	mux.HandleFunc("POST /clock", c.skewClock)
	if o.Extend != nil {
		o.Extend(mux)
	}
	return mux
}

func (c control) journal(w http.ResponseWriter, r *http.Request) {
	after := int64(0)
	if text := r.URL.Query().Get("after"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			Refuse(w, errors.New("after must be a number"))
			return
		}
		after = n
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	_ = c.Journal.WriteTo(w, after, r.URL.Query().Get("closed") == "true") // the reader may have gone
}

func (c control) routes(w http.ResponseWriter, _ *http.Request) {
	type route struct {
		Method string `json:"method"`
		Route  string `json:"route"`
		Class  Class  `json:"class"`
		Bulk   bool   `json:"bulk"`
	}
	out := []route{}
	for _, r := range c.Routes {
		out = append(out, route{r.Method, r.Template, r.Class, r.Bulk})
	}
	Reply(w, 200, out)
}

func (c control) listFaults(w http.ResponseWriter, _ *http.Request) { Reply(w, 200, c.Plan.List()) }

func (c control) addFault(w http.ResponseWriter, r *http.Request) {
	var fault Fault
	if err := decodeBody(r, &fault); err != nil {
		Refuse(w, err)
		return
	}
	id, err := c.Plan.Add(fault)
	if err != nil {
		Refuse(w, err)
		return
	}
	Reply(w, 201, map[string]string{"id": id})
}

func (c control) removeFaults(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	if !c.Plan.Remove(id) && id != "" {
		Refuse(w, ErrUnknown)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (c control) state(w http.ResponseWriter, r *http.Request) {
	records, err := c.Vendor.State(r.PathValue("object"), r.URL.Query().Get("id"), r.URL.Query().Get("all") == "true")
	if err != nil {
		Refuse(w, err)
		return
	}
	if records == nil {
		records = []any{}
	}
	Reply(w, 200, records)
}

func (c control) save(w http.ResponseWriter, r *http.Request) {
	body, err := ReadBody(r)
	if err != nil {
		Refuse(w, err)
		return
	}
	saved, created, err := c.Vendor.Save(r.PathValue("object"), body, r.URL.Query().Get("user"))
	if err != nil {
		Refuse(w, err)
		return
	}
	status := 200
	if created {
		status = 201
	}
	Reply(w, status, saved)
}

func (c control) merge(w http.ResponseWriter, r *http.Request) {
	body, err := ReadBody(r)
	if err != nil {
		Refuse(w, err)
		return
	}
	kept, err := c.Vendor.Merge(r.PathValue("object"), body, r.URL.Query().Get("user"))
	if err != nil {
		Refuse(w, err)
		return
	}
	Reply(w, 200, kept)
}

func (c control) remove(w http.ResponseWriter, r *http.Request) {
	if err := c.Vendor.Remove(r.PathValue("object"), r.PathValue("id"), r.URL.Query().Get("user")); err != nil {
		Refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (c control) configureWebhooks(w http.ResponseWriter, r *http.Request) {
	body, err := ReadBody(r)
	if err == nil {
		err = c.Vendor.ConfigureWebhooks(body)
	}
	if err != nil {
		Refuse(w, err)
		return
	}
	Reply(w, 200, c.Vendor.Webhooks())
}

func (c control) changeSwitches(w http.ResponseWriter, r *http.Request) {
	body, err := ReadBody(r)
	if err != nil {
		Refuse(w, err)
		return
	}
	if len(body) == 0 {
		body = []byte("{}")
	}
	all, err := c.Vendor.Switch(body)
	if err != nil {
		Refuse(w, err)
		return
	}
	Reply(w, 200, all)
}

func (c control) changeQuota(w http.ResponseWriter, r *http.Request) {
	var change QuotaChange
	if err := decodeBody(r, &change); err != nil {
		Refuse(w, err)
		return
	}
	for _, n := range []*int{change.PerMinute, change.Daily, change.DailyUsed} {
		if n != nil && *n < 0 {
			Refuse(w, errors.New("a quota must not be negative"))
			return
		}
	}
	c.Quota.Change(change)
	w.WriteHeader(http.StatusNoContent)
}

func (c control) changeTokens(w http.ResponseWriter, r *http.Request) {
	var change struct {
		Revoke bool `json:"revoke"`
	}
	if err := decodeBody(r, &change); err != nil {
		Refuse(w, err)
		return
	}
	if change.Revoke {
		c.Vendor.RevokeTokens()
	}
	w.WriteHeader(http.StatusNoContent)
}

func (c control) changeSecrets(w http.ResponseWriter, r *http.Request) {
	body, err := ReadBody(r)
	if err == nil {
		err = c.Vendor.RotateSecrets(body)
	}
	if err != nil {
		Refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (c control) skewClock(w http.ResponseWriter, r *http.Request) {
	var change struct {
		SkewMS *int64 `json:"skew_ms"`
	}
	if err := decodeBody(r, &change); err != nil {
		Refuse(w, err)
		return
	}
	if change.SkewMS != nil {
		c.Clock.Skew(time.Duration(*change.SkewMS) * time.Millisecond)
	}
	Reply(w, 200, map[string]any{"now": c.Clock.Now(), "skew_ms": c.Clock.Skewed().Milliseconds()})
}

// maxControlBody holds an import of some hundred thousand records.
const maxControlBody = 256 << 20

// ReadBody reads the body of a control operation.
func ReadBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxControlBody+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxControlBody {
		return nil, fmt.Errorf("the body is longer than %d bytes", maxControlBody)
	}
	return body, nil
}

func decodeBody(r *http.Request, into any) error {
	body, err := ReadBody(r)
	if err != nil {
		return err
	}
	return Decode(body, into)
}

// Decode reads one JSON value and refuses unknown members and anything behind it.
func Decode(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("the body is not the JSON that this operation takes: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("the body goes on behind its JSON value")
	}
	return nil
}

// Reply answers a control operation with v.
func Reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(Encode(v), '\n')) // the client may be gone
}

// Refuse answers a control operation with err: it passes the vendor's own words on, or says in plain ones what is
// wrong.
func Refuse(w http.ResponseWriter, err error) {
	var rejection *Rejection
	if errors.As(err, &rejection) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(rejection.Status)
		_, _ = w.Write(rejection.Body) // the client may be gone
		return
	}
	status := http.StatusBadRequest
	if errors.Is(err, ErrUnknown) {
		status = http.StatusNotFound
	}
	Reply(w, status, map[string]string{"error": err.Error()})
}
