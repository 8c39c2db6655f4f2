package connectors

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lockstep/schema"
)

const canary = "canary-ada@example.com-+13175550100"

// ask sends a request whose body and query hold canaries and returns the failure, which must hold none of it.
func ask(t *testing.T, ctx context.Context, transport *Transport, base string, effect bool) *Error {
	t.Helper()
	r := Request{Method: http.MethodGet, Base: base, Route: "/things/{id}", Args: []string{"abc"}}
	if effect {
		r.Method, r.Body, r.Effect = http.MethodPatch, []byte(`{"email":"`+canary+`"}`), true
		r.Header = http.Header{"Authorization": {"Bearer " + canary}}
	}
	_, err := transport.Do(ctx, r)
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("failure is %v, want an *Error", err)
	}
	for _, text := range []string{e.Error(), fmt.Sprintf("%v %+v %#v", e, e, e)} {
		if strings.Contains(text, canary) || strings.Contains(text, base) {
			t.Errorf("failure tells too much: %s", text)
		}
	}
	return e
}

// D04, D08, D09: what a lost answer means depends on whether a byte went out and whether it can have had an effect.
func TestD04LostAnswers(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	scripts := map[string]struct {
		script func(w *wire, n int64, c net.Conn)
		code   string
	}{
		"closed without a word": {func(w *wire, _ int64, c net.Conn) {
			w.readRequest(c, bufio.NewReader(c))
		}, CodeLost},
		"reset": {func(w *wire, _ int64, c net.Conn) {
			w.readRequest(c, bufio.NewReader(c))
			_ = c.(*net.TCPConn).SetLinger(0)
		}, CodeLost},
		"no HTTP at all": {func(w *wire, _ int64, c net.Conn) {
			w.readRequest(c, bufio.NewReader(c))
			_, _ = io.WriteString(c, "220 mail.example.com ESMTP\r\n\r\n")
		}, CodeLost},
		"half a head": {func(w *wire, _ int64, c net.Conn) {
			w.readRequest(c, bufio.NewReader(c))
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Ty")
		}, CodeLost},
		"half a body": {func(w *wire, _ int64, c net.Conn) {
			w.readRequest(c, bufio.NewReader(c))
			_, _ = io.WriteString(c, head+"Content-Length: 100\r\n\r\n[{\"id\":1},")
		}, CodeLost},
		"half a chunk": {func(w *wire, _ int64, c net.Conn) {
			w.readRequest(c, bufio.NewReader(c))
			_, _ = io.WriteString(c, head+"Transfer-Encoding: chunked\r\n\r\n20\r\n[{\"id\"")
		}, CodeLost},
		"no answer in time": {func(w *wire, _ int64, c net.Conn) {
			w.readRequest(c, bufio.NewReader(c))
			_, _ = io.ReadAll(c)
		}, CodeTimeout},
		"a drip": {func(w *wire, _ int64, c net.Conn) {
			w.readRequest(c, bufio.NewReader(c))
			_, _ = io.WriteString(c, head+"Content-Length: 1000000\r\n\r\n")
			for {
				if _, err := c.Write([]byte(" ")); err != nil {
					return
				}
				time.Sleep(5 * time.Millisecond) // the drip itself
			}
		}, CodeTimeout},
	}
	for name, s := range scripts {
		for effect, kind := range map[bool]schema.Kind{true: schema.UnknownOutcome, false: schema.Unavailable} {
			t.Run(fmt.Sprintf("%s/effect=%t", name, effect), func(t *testing.T) {
				w, base := listen(t, s.script)
				patience := 10 * time.Second
				if s.code == CodeTimeout {
					patience = 250 * time.Millisecond
				}
				e := ask(t, within(t, patience), reach(t, base), base, effect)
				if e.Kind != kind || e.Code != s.code {
					t.Errorf("got %s %s, want %s %s", e.Kind, e.Code, kind, s.code)
				}
				if n := w.requests.Load(); n != 1 {
					t.Errorf("the server saw %d requests, want 1", n)
				}
			})
		}
	}
}

// D10, D11: what surely never went out is Unavailable, whatever it would have done.
func TestD10NeverSent(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := "http://" + closed.Addr().String()
	_ = closed.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	names := &resolver{answer: func(string, int) []net.IP { return nil }}

	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancelExpired := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancelExpired()
	cases := map[string]struct {
		ctx       context.Context
		base      string
		transport func() *Transport
		code      string
	}{
		"refused":       {t.Context(), refusing, func() *Transport { return reach(t, refusing) }, CodeDial},
		"no such name":  {t.Context(), "https://crm.example", func() *Transport { return reach(t, "https://crm.example", resolve(names)) }, CodeDNS},
		"not TLS":       {t.Context(), "https" + plain.URL[4:], func() *Transport { return reach(t, plain.URL) }, CodeTLS},
		"canceled":      {canceled, plain.URL, func() *Transport { return reach(t, plain.URL) }, CodeCanceled},
		"too late":      {expired, plain.URL, func() *Transport { return reach(t, plain.URL) }, CodeTimeout},
		"another host":  {t.Context(), "https://elsewhere.example", func() *Transport { return reach(t, plain.URL) }, CodeHostDenied},
		"another port":  {t.Context(), "http://127.0.0.1:1", func() *Transport { return reach(t, plain.URL) }, CodeHostDenied},
		"another scope": {t.Context(), "ftp" + plain.URL[4:], func() *Transport { return reach(t, plain.URL) }, CodeHostDenied},
	}
	for name, c := range cases {
		for _, effect := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/effect=%t", name, effect), func(t *testing.T) {
				e := ask(t, c.ctx, c.transport(), c.base, effect)
				if e.Kind != schema.Unavailable || e.Code != c.code {
					t.Errorf("got %s %s, want Unavailable %s", e.Kind, e.Code, c.code)
				}
			})
		}
	}
}

// A request of which bytes went out is never sent again, although Go's pool would repeat a GET.
func TestSentRequestsAreNeverRepeated(t *testing.T) {
	w, base := listen(t, func(w *wire, _ int64, c net.Conn) {
		r := bufio.NewReader(c)
		if !w.readRequest(c, r) {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
		w.readRequest(c, r) // and closes without an answer
	})
	transport := reach(t, base)
	get := Request{Method: http.MethodGet, Base: base, Route: "/things"}
	if _, err := transport.Do(t.Context(), get); err != nil {
		t.Fatal(err)
	}
	_, err := transport.Do(t.Context(), get)
	if kind, _ := KindOf(err); kind != schema.Unavailable {
		t.Errorf("second request: %v, want Unavailable", err)
	}
	if n := w.requests.Load(); n != 2 {
		t.Errorf("the server saw %d requests, want 2", n)
	}
}

// A connection that died in the pool costs nothing: nothing was sent over it.
func TestDeadPooledConnectionIsReplaced(t *testing.T) {
	gone := make(chan struct{})
	w, base := listen(t, func(w *wire, n int64, c net.Conn) {
		if !w.readRequest(c, bufio.NewReader(c)) {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
		if n == 1 {
			_ = c.Close()
			close(gone)
		}
	})
	transport := reach(t, base)
	patch := Request{Method: http.MethodPatch, Base: base, Route: "/things", Body: []byte("{}"), Effect: true}
	if _, err := transport.Do(t.Context(), patch); err != nil {
		t.Fatal(err)
	}
	<-gone
	for range 20 {
		if _, err := transport.Do(t.Context(), patch); err != nil {
			// The close had not been noticed when the bytes went out: no lie, no repetition.
			if kind, _ := KindOf(err); kind != schema.UnknownOutcome {
				t.Fatalf("second request: %v", err)
			}
			continue
		}
		break
	}
	if got, sent := w.requests.Load(), int64(2); got < sent {
		t.Errorf("the server saw %d requests, want at least %d", got, sent)
	}
}

// sink is a connection that takes everything.
type sink struct{ net.Conn }

func (sink) Write(b []byte) (int, error) { return len(b), nil }

// The clock is looked at once more right before the first byte.
func TestNothingIsWrittenAfterTheDeadline(t *testing.T) {
	c := &conn{Conn: sink{}}
	late := &flight{deadline: time.Now().Add(-time.Millisecond)}
	late.take(c)
	if n, err := c.Write([]byte("PATCH")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write after the deadline: %d bytes, %v", n, err)
	}
	if late.land() {
		t.Error("a request of which nothing was written counts as sent")
	}
	c = &conn{Conn: sink{}}
	inTime := &flight{deadline: time.Now().Add(time.Minute)}
	inTime.take(c)
	if n, err := c.Write([]byte("PATCH")); n != 5 || err != nil {
		t.Errorf("write before the deadline: %d bytes, %v", n, err)
	}
	if !inTime.land() {
		t.Error("a request that was written counts as not sent")
	}
	// The wall clock counts too: the monotonic one stands still while a machine is suspended.
	if !passed(time.Now().Round(0).Add(-time.Second)) || passed(time.Now().Add(time.Minute)) {
		t.Error("passed misjudges")
	}
}

// A request that was given up cannot slip out afterwards, and one that was being written counts as sent.
func TestLandedFlight(t *testing.T) {
	client, server := net.Pipe()
	defer func() { _ = server.Close() }()
	c := &conn{Conn: client}
	f := &flight{deadline: time.Now().Add(time.Minute)}
	f.take(c)
	if f.land() {
		t.Error("nothing was written, but it counts as sent")
	}
	if n, err := c.Write([]byte("PATCH")); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("write on a sealed connection: %d bytes, %v", n, err)
	}

	writing := &conn{Conn: client}
	f = &flight{deadline: time.Now().Add(time.Minute)}
	f.take(writing)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = writing.Write([]byte("PATCH"))
	}()
	for deadline := time.Now().Add(5 * time.Second); writing.state.Load() != connWriting; {
		if time.Now().After(deadline) {
			t.Fatal("the writer does not block in the pipe")
		}
		time.Sleep(time.Millisecond)
	}
	if !f.land() {
		t.Error("a write under way does not count as sent")
	}
	_ = client.Close()
	<-done
}

// D17: a redirect is an answer, not an instruction.
func TestD17RedirectsAreNotFollowed(t *testing.T) {
	var sentinel atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { sentinel.Add(1) }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, target := range []string{elsewhere.URL, "http://169.254.169.254/latest/meta-data/", "//127.0.0.1/", "/things/other"} {
			var requests atomic.Int64
			transport, base := serve(t, func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				w.Header().Set("Location", target)
				w.WriteHeader(status)
			})
			response, err := transport.Do(t.Context(), Request{Method: http.MethodGet, Base: base, Route: "/things"})
			if err != nil || response.Status != status {
				t.Fatalf("%d to %s: %v", status, target, err)
			}
			if e := response.Refusal(false); e.Kind != schema.Unsupported || e.Code != CodeRedirect {
				t.Errorf("%d to %s: %v, want Unsupported", status, target, e)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("%d to %s: %d requests, want 1", status, target, n)
			}
		}
	}
	if n := sentinel.Load(); n != 0 {
		t.Errorf("the sentinel saw %d connects, want 0", n)
	}
}

// D18: a body is bounded as it is decoded, however small it travels.
func TestD18GiantAnswers(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	block := bytes.Repeat([]byte(" "), 1<<20)
	for range 64 {
		if _, err := z.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	cases := map[string]http.HandlerFunc{
		"plain": func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		},
		"gzip bomb": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
		},
	}
	for name, handler := range cases {
		for effect, kind := range map[bool]schema.Kind{true: schema.UnknownOutcome, false: schema.Unavailable} {
			t.Run(fmt.Sprintf("%s/effect=%t", name, effect), func(t *testing.T) {
				transport, base := serve(t, handler, func(c *TransportConfig) { c.MaxResponse = 1 << 20 })
				if e := ask(t, t.Context(), transport, base, effect); e.Kind != kind || e.Code != CodeAnswerTooBig {
					t.Errorf("got %s %s, want %s %s", e.Kind, e.Code, kind, CodeAnswerTooBig)
				}
			})
		}
	}
}

func TestGzipAnswersAreRead(t *testing.T) {
	transport, base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "gzip" {
			t.Errorf("Accept-Encoding is %q", r.Header.Get("Accept-Encoding"))
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write([]byte(`{"n":12345678901234567890.5}`))
		_ = z.Close()
	})
	response, err := transport.Do(t.Context(), Request{Method: http.MethodGet, Base: base, Route: "/things"})
	if err != nil {
		t.Fatal(err)
	}
	var answer map[string]any
	if err := response.Decode(&answer); err != nil || fmt.Sprint(answer["n"]) != "12345678901234567890.5" {
		t.Errorf("decoded %v, %v: numbers keep their spelling", answer, err)
	}
}

// D08: whatever is not one whole JSON value of the right type is no success.
func TestD08UnreadableAnswers(t *testing.T) {
	for _, body := range []string{"", "<!doctype html><p>maintenance", "[1,2", `{"a":1} trailing`, `"text"`, "nul", "[1]", "\x1f\x8b\x08"} {
		for effect, kind := range map[bool]schema.Kind{true: schema.UnknownOutcome, false: schema.Unavailable} {
			r := &Response{Status: 200, Body: []byte(body), system: "crm", effect: effect}
			err := r.Decode(&struct{ A int }{})
			if got, _ := KindOf(err); got != kind {
				t.Errorf("%q effect=%t: %v, want %s", body, effect, err, kind)
			}
		}
	}
}

func TestRequestIsRefusedBeforeItIsSent(t *testing.T) {
	transport, base := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a bad request went out") },
		func(c *TransportConfig) { c.MaxRequest = 10 })
	bad := map[string]Request{
		"header with a line end": {Header: http.Header{"Authorization": {"Bearer x\r\nHost: evil"}}},
		"header with a NUL":      {Header: http.Header{"Authorization": {"Bearer \x00"}}},
		"header beyond ASCII":    {Header: http.Header{"Authorization": {"Bearer ü"}}},
		"too few arguments":      {Route: "/things/{id}"},
		"too many arguments":     {Route: "/things", Args: []string{"a"}},
		"body beyond the bound":  {Body: []byte("01234567890")},
	}
	for name, r := range bad {
		r.Method, r.Base, r.Route, r.Effect = http.MethodPost, base, or(r.Route, "/things"), true
		_, err := transport.Do(t.Context(), r)
		if kind, _ := KindOf(err); kind != schema.Invalid {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
	}
}

func TestObservationNamesTheRouteOnly(t *testing.T) {
	var seen []Observation
	transport, base := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) },
		func(c *TransportConfig) { c.Observe = func(o Observation) { seen = append(seen, o) } })
	_, err := transport.Do(t.Context(), Request{Method: http.MethodGet, Base: base, Route: "/things/{id}", Args: []string{"secret7"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = transport.Do(t.Context(), Request{Method: http.MethodGet, Base: "https://other.example", Route: "/things/{id}", Args: []string{"secret7"}})
	if err == nil {
		t.Fatal("a foreign host was asked")
	}
	want := []Observation{
		{System: "crm", Method: "GET", Route: "/things/{id}", Status: http.StatusTeapot},
		{System: "crm", Method: "GET", Route: "/things/{id}", Kind: schema.Unavailable, Code: CodeHostDenied},
	}
	for i := range seen {
		seen[i].Took = 0
	}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("observed %v, want %v", seen, want)
	}
}

// D21: a full pool makes the next wait until its deadline, and nobody deadlocks.
func TestD21PoolExhaustion(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan struct{}, 100)
	transport, base := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		entered <- struct{}{}
		<-release
		_, _ = w.Write([]byte("{}"))
	}, func(c *TransportConfig) { c.Connections = 4 })
	r := Request{Method: http.MethodPatch, Base: base, Route: "/things", Body: []byte("{}"), Effect: true}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if _, err := transport.Do(t.Context(), r); err != nil {
				t.Errorf("a request with a connection failed: %v", err)
			}
		})
	}
	for range 4 {
		<-entered
	}
	for range 36 {
		all.Go(func() {
			_, err := transport.Do(within(t, 50*time.Millisecond), r)
			if kind, _ := KindOf(err); kind != schema.Unavailable {
				t.Errorf("a request without a connection: %v, want Unavailable: nothing was sent", err)
			}
		})
	}
	deadline := time.After(5 * time.Second)
	waited := make(chan struct{})
	go func() { all.Wait(); close(waited) }()
	time.AfterFunc(100*time.Millisecond, func() { close(release) })
	select {
	case <-waited:
	case <-deadline:
		t.Fatal("deadlock")
	}
}

// D01: every form of Retry-After is bounded.
func TestD01RetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	cases := map[string]struct {
		values []string
		want   time.Duration
	}{
		"absent":           {nil, 0},
		"seconds":          {[]string{"7"}, 7 * time.Second},
		"padded":           {[]string{" 7 "}, 7 * time.Second},
		"zero":             {[]string{"0"}, time.Second},
		"negative":         {[]string{"-5"}, time.Second},
		"float":            {[]string{"2.5"}, 3 * time.Second},
		"billion":          {[]string{"1000000000"}, time.Hour},
		"beyond a float":   {[]string{"1e999"}, time.Second},
		"infinite":         {[]string{"Inf"}, time.Hour},
		"not a number":     {[]string{"NaN"}, time.Second},
		"garbage":          {[]string{"soon"}, time.Second},
		"empty":            {[]string{""}, time.Second},
		"date":             {[]string{"Thu, 01 Jan 2026 00:02:00 GMT"}, 2 * time.Minute},
		"past date":        {[]string{"Thu, 01 Jan 2015 00:02:00 GMT"}, time.Second},
		"far date":         {[]string{"Fri, 31 Dec 9999 23:59:59 GMT"}, time.Hour},
		"RFC 850 date":     {[]string{"Thursday, 01-Jan-26 00:00:30 GMT"}, 30 * time.Second},
		"asctime date":     {[]string{"Thu Jan  1 00:00:30 2026"}, 30 * time.Second},
		"duplicate":        {[]string{"3", "90", "soon"}, 90 * time.Second},
		"date and seconds": {[]string{"Thu, 01 Jan 2026 00:02:00 GMT", "3"}, 2 * time.Minute},
	}
	for name, c := range cases {
		if got := RetryAfter(http.Header{"Retry-After": c.values}, now); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.String(), rapid.StringMatching(`-?[0-9]{1,40}(\.[0-9]+)?(e[0-9]{1,4})?`)).Draw(t, "value")
		if got := RetryAfter(http.Header{"Retry-After": {value}}, now); got < MinRetryAfter || got > MaxRetryAfter {
			t.Fatalf("%q: %v is out of bounds", value, got)
		}
	})
}

func TestRefusalKinds(t *testing.T) {
	later := http.Header{"Retry-After": {"9"}}
	cases := []struct {
		status         int
		header         http.Header
		effect, spoken bool
		want           schema.Kind
	}{
		{301, nil, true, false, schema.Unsupported},
		{400, nil, true, true, schema.Invalid},
		{401, nil, true, true, schema.AuthExpired},
		{403, nil, true, true, schema.Forbidden},
		{404, nil, true, true, schema.NotFound},
		{405, nil, true, true, schema.Unsupported},
		{408, nil, true, true, schema.Unavailable},
		{409, nil, true, true, schema.Conflict},
		{410, nil, true, true, schema.NotFound},
		{412, nil, true, true, schema.Conflict},
		{413, nil, true, true, schema.Invalid},
		{415, nil, true, true, schema.Unsupported},
		{420, nil, true, true, schema.Unavailable},
		{422, nil, true, true, schema.Invalid},
		{423, nil, true, true, schema.Contention},
		{428, nil, true, true, schema.Unsupported},
		{429, nil, true, false, schema.Throttled},
		{429, later, true, true, schema.Throttled},
		{500, nil, true, true, schema.Unavailable},
		{500, nil, true, false, schema.UnknownOutcome},
		{500, nil, false, false, schema.Unavailable},
		{502, nil, true, true, schema.UnknownOutcome},
		{502, nil, false, true, schema.Unavailable},
		{503, nil, true, true, schema.Unavailable},
		{503, nil, true, false, schema.UnknownOutcome},
		{503, later, true, false, schema.Throttled},
		{504, nil, true, true, schema.UnknownOutcome},
	}
	for _, c := range cases {
		r := &Response{Status: c.status, Header: c.header, system: "crm", effect: c.effect}
		e := r.Refusal(c.spoken)
		if e.Kind != c.want {
			t.Errorf("%d effect=%t spoken=%t: %s, want %s", c.status, c.effect, c.spoken, e.Kind, c.want)
		}
		if c.header != nil && e.RetryAfter != 9*time.Second {
			t.Errorf("%d: waits %v, want 9s", c.status, e.RetryAfter)
		}
	}
	for status := 100; status < 600; status++ {
		if ItemKind(status).Scope() == schema.ScopeSystem {
			t.Errorf("an item of status %d is the system's trouble", status)
		}
	}
}
