package genesys

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockstep/connectors"
	"lockstep/schema"
)

// errorBody is the platform's one error document.
type errorBody struct {
	Message       string         `json:"message"`
	Code          string         `json:"code" validate:"required"`
	ContextID     string         `json:"contextId"`
	MessageParams map[string]any `json:"messageParams"`
}

type errorDetail struct {
	FieldName string `json:"fieldName"`
}

func readError(body []byte) (e errorBody, spoken bool) {
	spoken = json.Unmarshal(body, &e) == nil && schema.Validate(e) == nil
	return e, spoken
}

// readDetails returns the details of an error document.
func readDetails(body []byte) (details []errorDetail, ok bool) {
	var e struct {
		Details []errorDetail `json:"details" validate:"dive"`
	}
	ok = json.Unmarshal(body, &e) == nil && schema.Validate(e) == nil
	return e.Details, ok
}

// refused is the failure of a whole call.
func (g *Connector) refused(r *connectors.Response) *connectors.Error {
	body, spoken := readError(r.Body)
	e := r.Refusal(spoken)
	e.Correlation = connectors.Clean(r.Header.Get("ININ-Correlation-Id"))
	if !spoken {
		return e
	}
	if e.Correlation == "" {
		e.Correlation = connectors.Clean(body.ContextID)
	}
	e.Code = connectors.Clean(body.Code)
	if e.Kind == schema.Throttled && e.RetryAfter == 0 {
		e.RetryAfter = secondsOf(body)
	}
	if r.Status == http.StatusBadRequest && body.Code == "not.a.user" {
		e.Kind = schema.Unsupported
	}
	return e
}

var secondsGrammar = regexp.MustCompile(`\[([0-9]{1,9})\] seconds`)

// secondsOf reads the wait out of a 429's body, where the header is missing; 0 when it is not there either.
func secondsOf(body errorBody) time.Duration {
	text, _ := body.MessageParams["seconds"].(string)
	if m := secondsGrammar.FindStringSubmatch(body.Message); text == "" && m != nil {
		text = m[1]
	}
	seconds, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return connectors.BoundRetryAfter(time.Duration(min(seconds, 1<<20)) * time.Second)
}

// itemError is the failure of one item of a bulk call.
type itemError struct {
	Code      string        `json:"code"`
	Status    int           `json:"status" validate:"gte=0,lte=599"`
	Retryable bool          `json:"retryable"`
	Details   []errorDetail `json:"details" validate:"dive"`
}

// itemRefused classifies it. The vendor's own hint decides where a status alone would not: what it calls retryable is
// tried again, and a failure of its servers that it does not call retryable is looked at before anything else.
func (g *Connector) itemRefused(op schema.Op, o connectors.Object, status int, f *itemError) *connectors.Error {
	if f == nil {
		return g.failed(schema.UnknownOutcome, connectors.CodeAnswerUnread)
	}
	if f.Status != 0 {
		status = f.Status
	}
	e := &connectors.Error{
		System: g.system, Kind: connectors.ItemKind(status), Code: connectors.Clean(f.Code), Status: status,
		Field: governed(o, f.Details),
	}
	e.Kind = g.conflict(op, e)
	switch {
	case f.Retryable && e.Kind.Scope() == schema.ScopeTerminal:
		e.Kind = schema.Contention
	case !f.Retryable && status >= 500:
		e.Kind = schema.UnknownOutcome
	}
	return e
}

// conflict tells a lost race for an identifier from a record that changed meanwhile.
func (g *Connector) conflict(op schema.Op, e *connectors.Error) schema.Kind {
	if e.Status == http.StatusConflict && (op == schema.OpCreate || strings.Contains(e.Code, "identifier")) {
		return schema.LostRace
	}
	return e.Kind
}

// governed returns the object's field that an error names: workPhone for contact.workPhone.e164.
func governed(o connectors.Object, details []errorDetail) string {
	if len(details) == 0 {
		return ""
	}
	name := strings.TrimPrefix(strings.TrimPrefix(details[0].FieldName, "$."), "contact.")
	for name != "" {
		if slices.Contains(o.Fields, name) {
			return name
		}
		name = name[:max(0, strings.LastIndex(name, "."))]
	}
	return ""
}

// observeQuota tells the client's allowance of this minute.
func (g *Connector) observeQuota(h http.Header) {
	if g.onQuota == nil {
		return
	}
	count, err1 := strconv.Atoi(h.Get("inin-ratelimit-count"))
	allowed, err2 := strconv.Atoi(h.Get("inin-ratelimit-allowed"))
	if err1 != nil || err2 != nil || count < 0 || allowed < 0 {
		return
	}
	// The reset is a span, not a moment.
	reset, err := strconv.Atoi(h.Get("inin-ratelimit-reset"))
	if err != nil || reset < 0 || reset > 3600 {
		reset = 0
	}
	g.onQuota(connectors.Quota{
		Remaining: max(0, allowed-count), Allowed: allowed, Resets: time.Duration(reset) * time.Second,
	})
}

func (g *Connector) failed(kind schema.Kind, code string) *connectors.Error {
	return &connectors.Error{System: g.system, Kind: kind, Code: code}
}
