package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Class is what a route does, for faults that match by class.
type Class string

// The classes. Bulk is not a class of its own: a bulk route reads or writes as well.
const (
	ClassToken Class = "token"
	ClassRead  Class = "read"
	ClassWrite Class = "write"
	// ClassBulk in a fault matches every route that carries many records.
	ClassBulk Class = "bulk"
	// ClassAny in a fault matches every route.
	ClassAny Class = "any"
)

// The kinds of faults; the package comment says what each does.
const (
	FaultStatus      = "status"
	FaultThrottle    = "throttle"
	FaultSlow        = "slow"
	FaultDrip        = "drip"
	FaultResetBefore = "reset_before"
	FaultResetAfter  = "reset_after"
	FaultTruncate    = "truncate"
	FaultHTML        = "html_200"
	FaultItem        = "item"
	FaultRevokeToken = "revoke_token"
)

var faultKinds = []string{
	FaultStatus, FaultThrottle, FaultSlow, FaultDrip, FaultResetBefore, FaultResetAfter, FaultTruncate, FaultHTML,
	FaultItem, FaultRevokeToken,
}

// Fault is one disturbance of the plan, as POST /faults takes it.
type Fault struct {
	// Route matches a route template, with the method before it or without: `PATCH /composite/sobjects` does not match
	// `/services/data/{version}/composite/sobjects`, the whole template does. Empty matches every route.
	Route string `json:"route,omitempty"`
	// Class matches a class of routes; empty means any.
	Class Class `json:"class,omitempty"`
	// Credential matches the client id of the token; empty matches every client. A request without a live token has none.
	Credential string `json:"credential,omitempty"`
	Kind       string `json:"kind"`

	// Code is the HTTP status of status (required) and throttle (429), and the item's status where the vendor has one.
	Code int `json:"code,omitempty"`
	// BodyCode is the vendor's own code in the error body; empty means the vendor's usual one for the status.
	BodyCode string `json:"body_code,omitempty"`
	// Message replaces the vendor's usual message.
	Message string `json:"message,omitempty"`
	// Field is named by the error where the vendor's errors name fields.
	Field string `json:"field,omitempty"`
	// RetryAfter is the Retry-After header of status and throttle: a number of seconds; a text, sent as it stands;
	// `date:30`, sent as the HTTP date 30 s ahead; or a list of these, sent as several headers. Absent means none.
	RetryAfter RetryAfter `json:"retry_after,omitzero"`
	// Retryable is the item's own hint where the vendor gives one; absent means true.
	Retryable *bool `json:"retryable,omitempty"`

	// Ms is the delay of slow, and the pause between two pieces of drip.
	Ms int `json:"ms,omitempty"`
	// Bytes is the size of a piece of drip (1) and what truncate lets through (half of the body).
	Bytes int `json:"bytes,omitempty"`
	// After lets the vendor carry the request out first: status, throttle and html_200 then hide what it answered, slow
	// delays the answer instead of the work.
	After bool `json:"after,omitempty"`

	// Index and RecordID pick the item of a bulk request; both absent means every item.
	Index    *int   `json:"index,omitempty"`
	RecordID string `json:"record_id,omitempty"`

	// Count ends the fault after so many firings; 0 means never.
	Count int `json:"count,omitempty"`
	// ForMs ends the fault so many milliseconds after it was posted; 0 means never.
	ForMs int `json:"for_ms,omitempty"`
	// Probability is the chance that a matching request (for item: a matching item) fires; 0 and absent mean 1.
	Probability float64 `json:"probability,omitempty"`
	// Seed starts the draws of Probability; the same seed and sequence of requests fire alike.
	Seed uint64 `json:"seed,omitempty"`
}

// Check returns what is wrong with the fault.
func (f Fault) Check() error {
	switch {
	case !slices.Contains(faultKinds, f.Kind):
		return fmt.Errorf("kind must be one of %s", strings.Join(faultKinds, ", "))
	case f.Kind == FaultStatus && (f.Code < 300 || f.Code > 599):
		return fmt.Errorf("kind status needs a code between 300 and 599")
	case f.Code != 0 && (f.Code < 200 || f.Code > 599):
		return fmt.Errorf("code must be an HTTP status")
	case f.Probability < 0 || f.Probability > 1:
		return fmt.Errorf("probability must lie between 0 and 1")
	case (f.Kind == FaultSlow || f.Kind == FaultDrip) && f.Ms <= 0:
		return fmt.Errorf("kind %s needs ms", f.Kind)
	case f.Ms < 0 || f.Bytes < 0 || f.Count < 0 || f.ForMs < 0:
		return fmt.Errorf("ms, bytes, count and for_ms must not be negative")
	}
	switch f.Class {
	case "", ClassToken, ClassRead, ClassWrite, ClassBulk, ClassAny:
		return nil
	}
	return fmt.Errorf("class must be token, read, write, bulk or any")
}

// RetryAfter is one or several values of the Retry-After header.
type RetryAfter []string

// UnmarshalJSON reads a number, a text or a list of these.
func (r *RetryAfter) UnmarshalJSON(b []byte) error {
	var values []json.RawMessage
	if bytes.HasPrefix(b, []byte("[")) {
		if err := json.Unmarshal(b, &values); err != nil {
			return err
		}
	} else {
		values = []json.RawMessage{b}
	}
	*r = nil
	for _, v := range values {
		var text string
		if json.Unmarshal(v, &text) != nil {
			var number json.Number
			if json.Unmarshal(v, &number) != nil {
				return fmt.Errorf("retry_after is a number, a text or a list of these")
			}
			text = number.String()
		}
		*r = append(*r, text)
	}
	return nil
}

// Seconds is the Retry-After of n seconds.
func Seconds(n int) RetryAfter { return RetryAfter{strconv.Itoa(n)} }

func (r RetryAfter) set(h http.Header, now time.Time) {
	for _, v := range r {
		if ahead, ok := strings.CutPrefix(v, "date:"); ok {
			if s, err := strconv.Atoi(ahead); err == nil {
				v = now.Add(time.Duration(s) * time.Second).Format(http.TimeFormat)
			}
		}
		h.Add("Retry-After", v)
	}
}

// FaultStanding is a fault of the plan and what became of it.
type FaultStanding struct {
	ID string `json:"id"`
	Fault
	// Fired counts the firings.
	Fired int `json:"fired"`
	// Active is false once the count or the time has run out.
	Active bool `json:"active"`
}

// Plan is the list of faults of a simulator, in the order in which they were posted. It is safe for concurrent use.
type Plan struct {
	clock  *Clock
	mu     sync.Mutex
	faults []*planned
	last   int
}

type planned struct {
	id string
	Fault
	fired   int
	expires time.Time
	draws   *rand.Rand
}

// NewPlan returns an empty plan.
func NewPlan(clock *Clock) *Plan { return &Plan{clock: clock} }

// Add appends a fault and returns its id.
func (p *Plan) Add(f Fault) (string, error) {
	if err := f.Check(); err != nil {
		return "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	entry := &planned{id: "fault-" + strconv.Itoa(p.last), Fault: f, draws: rand.New(rand.NewPCG(f.Seed, 1))}
	if f.ForMs > 0 {
		entry.expires = p.clock.True().Add(time.Duration(f.ForMs) * time.Millisecond)
	}
	p.faults = append(p.faults, entry)
	return entry.id, nil
}

// Remove ends a fault; an empty id ends all. It reports whether there was one.
func (p *Plan) Remove(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := len(p.faults)
	p.faults = slices.DeleteFunc(p.faults, func(f *planned) bool { return id == "" || f.id == id })
	return len(p.faults) < before
}

// List returns every fault that was not removed.
func (p *Plan) List() []FaultStanding {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := []FaultStanding{}
	for _, f := range p.faults {
		out = append(out, FaultStanding{ID: f.id, Fault: f.Fault, Fired: f.fired, Active: p.active(f)})
	}
	return out
}

// target is what a fault is matched against.
type target struct {
	method, route string
	class         Class
	bulk          bool
	credential    string
}

// pick fires the first fault that hits the request as a whole.
func (p *Plan) pick(t target) (Fault, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.faults {
		if f.Kind != FaultItem && p.active(f) && f.matches(t) && f.draw() {
			f.fired++
			return f.Fault, true
		}
	}
	return Fault{}, false
}

// pickItem fires the first fault that hits one item of a bulk request; ids are the ids that the item goes by.
func (p *Plan) pickItem(t target, index int, ids []string) (Fault, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.faults {
		if f.Kind != FaultItem || !p.active(f) || !f.matches(t) {
			continue
		}
		if f.Index != nil && *f.Index != index {
			continue
		}
		if f.RecordID != "" && !slices.Contains(ids, f.RecordID) {
			continue
		}
		if f.draw() {
			f.fired++
			return f.Fault, true
		}
	}
	return Fault{}, false
}

func (p *Plan) active(f *planned) bool {
	return (f.Count == 0 || f.fired < f.Count) && (f.expires.IsZero() || p.clock.True().Before(f.expires))
}

func (f *planned) matches(t target) bool {
	if f.Route != "" && f.Route != t.route && f.Route != t.method+" "+t.route {
		return false
	}
	if f.Credential != "" && f.Credential != t.credential {
		return false
	}
	switch f.Class {
	case "", ClassAny:
		return true
	case ClassBulk:
		return t.bulk
	default:
		return f.Class == t.class
	}
}

func (f *planned) draw() bool {
	return f.Probability == 0 || f.draws.Float64() < f.Probability
}
