package simulator

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Dialect is how a vendor words what happens in front of its operations.
type Dialect interface {
	// Client returns the client id behind the request, as far as the request tells it without being refused; "" if none.
	Client(c *Call) string
	// NotSimulated answers a route that the simulator does not offer; its status is 501.
	NotSimulated(c *Call) Answer
	// MethodNotAllowed answers a method that the route does not have.
	MethodNotAllowed(c *Call, allowed []string) Answer
	// Refuse answers a fault of kind status.
	Refuse(c *Call, f Fault) Answer
	// Throttle answers a fault of kind throttle, without the Retry-After header.
	Throttle(c *Call, f Fault) Answer
	// RevokeTokens ends every token.
	RevokeTokens()
}

// FrontOptions are the parts of a front.
type FrontOptions struct {
	Clock   *Clock
	Journal *Journal
	Plan    *Plan
	Routes  []Route
	Dialect Dialect
	// MaxBody bounds a request body in bytes; a longer one reaches the operation cut, with Call.Overlong set.
	MaxBody int64
}

// Front is one host of a vendor: it routes, journals every request, fires faults and sends the answers.
type Front struct {
	FrontOptions
	routes routes
	stop   chan struct{}
	once   sync.Once
}

// NewFront returns a host.
func NewFront(o FrontOptions) *Front {
	return &Front{FrontOptions: o, routes: parse(o.Routes), stop: make(chan struct{})}
}

// Close ends every delay that a fault holds, so that a server around the front shuts down at once. It may be called
// again.
func (f *Front) Close() { f.once.Do(func() { close(f.stop) }) }

// Call is one request on its way through a simulator. A subrequest of a composite call is a Call of its own that
// shares the journal entry.
type Call struct {
	Request *http.Request
	// Route is nil when the simulator does not offer the route.
	Route *Route
	Vars  map[string]string
	Query url.Values
	// Body is the request body, decompressed.
	Body []byte
	// Overlong is set when the body passed the front's bound.
	Overlong bool
	// Credential is the client id behind the token; empty when there is none.
	Credential string

	front *Front
	n     int64
	// itemFailed is shared with subrequests.
	itemFailed *bool
}

// ServeHTTP carries one request from the wire to the journal and back.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call, allowed := f.open(r)
	fault, _ := f.Plan.pick(call.target())
	if fault.Kind == FaultResetBefore {
		f.Journal.End(call.n, 0, fault.Kind)
		reset(w)
		return
	}
	answer := f.carry(call, allowed, &fault)
	status := answer.Status
	if fault.Kind == FaultResetAfter {
		status = 0
	}
	f.Journal.End(call.n, status, fault.Kind)
	f.send(w, answer, fault)
}

// open reads and routes the request and begins its journal entry.
func (f *Front) open(r *http.Request) (call *Call, allowed []string) {
	call = &Call{Request: r, front: f, Query: r.URL.Query(), itemFailed: new(bool)}
	call.Route, call.Vars, allowed = f.routes.match(r.Method, r.URL.EscapedPath())
	route := "unknown"
	if call.Route != nil {
		route = call.Route.Template
	}
	call.read(f.MaxBody)
	call.Credential = f.Dialect.Client(call)
	call.n = f.Journal.Begin(Entry{
		Kind: EntryRequest, Method: r.Method, Route: route, Path: pathWithKeys(r.URL), Credential: call.Credential,
	})
	return call, allowed
}

// carry lets the vendor work and the fault answer, in the order that the fault asks for.
func (f *Front) carry(call *Call, allowed []string, fault *Fault) Answer {
	if answer, ok := f.stands(call, *fault); ok && !fault.After {
		return answer
	}
	switch {
	case fault.Kind == FaultRevokeToken:
		f.Dialect.RevokeTokens()
	case fault.Kind == FaultSlow && !fault.After:
		f.wait(time.Duration(fault.Ms) * time.Millisecond)
	}
	answer := f.serve(call, allowed)
	if instead, ok := f.stands(call, *fault); ok {
		answer = instead
	}
	if fault.Kind == FaultSlow && fault.After {
		f.wait(time.Duration(fault.Ms) * time.Millisecond)
	}
	if fault.Kind == "" && *call.itemFailed {
		fault.Kind = FaultItem
	}
	return answer
}

// stands returns the answer of a fault that stands in for the vendor's.
func (f *Front) stands(call *Call, fault Fault) (Answer, bool) {
	var answer Answer
	switch fault.Kind {
	case FaultStatus:
		answer = f.Dialect.Refuse(call, fault)
	case FaultThrottle:
		answer = f.Dialect.Throttle(call, fault)
	case FaultHTML:
		answer = Answer{
			Status: http.StatusOK, Header: http.Header{"Content-Type": {"text/html; charset=utf-8"}},
			Body: []byte("<!DOCTYPE html><html><head><title>Maintenance</title></head><body>We'll be back soon.</body></html>\n"),
		}
	default:
		return Answer{}, false
	}
	fault.RetryAfter.set(answer.Header, f.Clock.Now())
	return answer, true
}

func (f *Front) serve(call *Call, allowed []string) Answer {
	switch {
	case call.Route != nil:
		return call.Route.Serve(call)
	case len(allowed) > 0:
		return f.Dialect.MethodNotAllowed(call, allowed)
	default:
		return f.Dialect.NotSimulated(call)
	}
}

// wait holds the request for d or until the front closes.
func (f *Front) wait(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-f.stop:
	}
}

// read takes the body off the wire. A body that breaks off stays what it is: the operation will refuse it.
func (c *Call) read(limit int64) {
	var source io.Reader = c.Request.Body
	if strings.EqualFold(c.Request.Header.Get("Content-Encoding"), "gzip") {
		unzipped, err := gzip.NewReader(source)
		if err != nil {
			return
		}
		source = unzipped
	}
	body, err := io.ReadAll(io.LimitReader(source, limit+1))
	if int64(len(body)) > limit {
		body, c.Overlong = body[:limit], true
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		body = nil
	}
	c.Body = body
}

// Effect journals a change of state. Call it while the state is locked.
func (c *Call) Effect(e Effect) { c.front.Journal.Effect(c.n, e) }

// Entry returns the number of the call's journal entry.
func (c *Call) Entry() int64 { return c.n }

// ItemFault fires a fault of kind item for one item of a bulk request; ids are the ids that the item goes by.
func (c *Call) ItemFault(index int, ids ...string) (Fault, bool) {
	fault, ok := c.front.Plan.pickItem(c.target(), index, ids)
	*c.itemFailed = *c.itemFailed || ok
	return fault, ok
}

// Sub routes a subrequest of a composite call. Its Route is nil when the simulator does not offer it; allowed lists the
// methods when only the method does not fit.
func (c *Call) Sub(method string, target *url.URL, header http.Header, body []byte) (sub *Call, allowed []string) {
	request := c.Request.Clone(c.Request.Context())
	request.Method, request.URL, request.RequestURI = method, target, target.RequestURI()
	for key, values := range header {
		request.Header[key] = values
	}
	sub = &Call{
		Request: request, Query: target.Query(), Body: body, Credential: c.Credential, front: c.front, n: c.n,
		itemFailed: c.itemFailed,
	}
	sub.Route, sub.Vars, allowed = c.front.routes.match(method, target.EscapedPath())
	return sub, allowed
}

func (c *Call) target() target {
	t := target{method: c.Request.Method, route: "unknown", class: ClassAny, credential: c.Credential}
	if c.Route == nil {
		return t
	}
	t.route, t.class, t.bulk = c.Route.Template, c.Route.Class, c.Route.Bulk
	if c.Route.ClassOf != nil {
		t.class = c.Route.ClassOf(c)
	}
	return t
}

// pathWithKeys keeps of the query only the keys: values may be anybody's data.
func pathWithKeys(u *url.URL) string {
	keys := make([]string, 0, len(u.Query()))
	for key := range u.Query() {
		keys = append(keys, url.QueryEscape(key))
	}
	if len(keys) == 0 {
		return u.EscapedPath()
	}
	slices.Sort(keys)
	return u.EscapedPath() + "?" + strings.Join(keys, "&")
}
