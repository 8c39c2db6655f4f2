package connectors

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"lockstep/schema"
)

// TransportConfig configures one system's HTTP client. The zero value of a field means its default.
type TransportConfig struct {
	// System is the system's name in the integration map; it stands in every error.
	System string
	// Hosts are the only host:port pairs that requests may go to, lower case. Without a port 443 is meant.
	Hosts []string
	// HostSuffix, such as `my.salesforce.com`, allows every host below it on port 443. It has at least three labels.
	HostSuffix string
	// AllowLoopback lets the demo and tests reach a simulator on this machine, over plain HTTP too. Nothing else lifts
	// the address rules.
	AllowLoopback bool
	// DialTimeout, TLSTimeout and HeaderTimeout bound the phases of a request: 5 s, 5 s and 30 s.
	DialTimeout, TLSTimeout, HeaderTimeout time.Duration
	// Timeout bounds a request whose context has no deadline: 10 s.
	Timeout time.Duration
	// MaxRequest and MaxResponse bound the bodies in bytes, the answer's after decompression: 16 MiB each.
	MaxRequest, MaxResponse int64
	// Connections bounds how many are open to one host: 16. A request beyond that waits for one until its deadline.
	Connections int
	// RootCAs are the certificate authorities of tests; nil means the machine's.
	RootCAs *x509.CertPool
	// Resolver is the name server of tests; nil means the machine's.
	Resolver *net.Resolver
	// Observe, when set, hears of every request after its end, for metrics and logs. It must not block.
	Observe func(Observation)
}

// Observation is what metrics and logs may know of a request: never its URL, never a value of it.
type Observation struct {
	System string
	Method string
	// Route is the template, such as /api/v2/externalcontacts/contacts/{id}.
	Route string
	// Status is 0 when no whole answer came; Kind and Code then say why.
	Status int
	Kind   schema.Kind
	Code   string
	Took   time.Duration
}

// Request is one HTTP request to a vendor.
type Request struct {
	Method string
	// Base is scheme and authority, as in https://api.mypurecloud.ie, with an optional path prefix.
	Base string
	// Route is the path template; every {placeholder} is filled by the next of Args.
	Route string
	Args  []string
	// Query never carries personal data (B09).
	Query url.Values
	// Header adds to what the transport sets itself.
	Header http.Header
	// Body is the encoded body; nil sends none.
	Body []byte
	// Effect is set when the request may change something: then a lost answer is UnknownOutcome, else Unavailable.
	Effect bool
}

// Response is a whole answer: status line, fields and body came complete and within bounds. Its status may be any; a
// redirect is an answer like another and is never followed (D17).
type Response struct {
	Status int
	Header http.Header
	Body   []byte
	system string
	effect bool
}

// Transport is the HTTP client of one system. It is safe for concurrent use.
//
// It never retries. Go's own client sends a request again in one case only that this transport leaves to it: on a
// connection from the pool that turned out to be dead before a single byte of the request went out. A request of which
// a byte went out is never sent again here, a GET neither.
//
// It speaks HTTP/1.1: one request per connection, so that a lost connection is one request's trouble and "was a byte of
// it sent" has an answer.
type Transport struct {
	config TransportConfig
	hosts  map[string]bool
	pool   *http.Transport
}

// NewTransport returns a client, or an error that names the bad setting.
func NewTransport(c TransportConfig) (*Transport, error) {
	c.DialTimeout = or(c.DialTimeout, 5*time.Second)
	c.TLSTimeout = or(c.TLSTimeout, 5*time.Second)
	c.HeaderTimeout = or(c.HeaderTimeout, 30*time.Second)
	c.Timeout = or(c.Timeout, 10*time.Second)
	c.MaxRequest = or(c.MaxRequest, 16<<20)
	c.MaxResponse = or(c.MaxResponse, 16<<20)
	c.Connections = or(c.Connections, 16)
	if c.HostSuffix != "" && strings.Count(c.HostSuffix, ".") < 2 {
		return nil, fmt.Errorf("connectors: host suffix of system %s needs at least three labels", c.System)
	}
	t := &Transport{config: c, hosts: map[string]bool{}}
	for _, host := range c.Hosts {
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(strings.Trim(host, "[]"), "443")
		}
		t.hosts[strings.ToLower(host)] = true
	}
	plain := &net.Dialer{Timeout: c.DialTimeout, Resolver: c.Resolver}
	// Plain HTTP ends on this machine or nowhere.
	plain.Control = control(func(a netip.Addr) bool { return a.IsLoopback() && c.AllowLoopback })
	secure := &net.Dialer{Timeout: c.DialTimeout, Resolver: c.Resolver}
	secure.Control = control(func(a netip.Addr) bool { return admit(a, c.AllowLoopback) })
	t.pool = &http.Transport{
		// A proxy of the environment would see the traffic and blind the address rules.
		Proxy: nil,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			socket, err := plain.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &conn{Conn: socket}, nil
		},
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return dialTLS(ctx, secure, c, network, addr)
		},
		Protocols:              http1(),
		ResponseHeaderTimeout:  c.HeaderTimeout,
		MaxResponseHeaderBytes: 64 << 10,
		MaxConnsPerHost:        c.Connections,
		MaxIdleConnsPerHost:    c.Connections,
		IdleConnTimeout:        60 * time.Second,
	}
	return t, nil
}

func http1() *http.Protocols {
	p := &http.Protocols{}
	p.SetHTTP1(true)
	return p
}

func or[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// errTLS marks a failed handshake.
var errTLS = errors.New("tls handshake failed")

func dialTLS(ctx context.Context, dialer *net.Dialer, c TransportConfig, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, errAddressDenied
	}
	socket, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.TLSTimeout)
	defer cancel()
	secure := tls.Client(socket, &tls.Config{ServerName: host, RootCAs: c.RootCAs, MinVersion: tls.VersionTLS12})
	if secure.HandshakeContext(ctx) != nil {
		_ = socket.Close()
		return nil, errTLS
	}
	return &conn{Conn: secure}, nil
}

// Close closes the idle connections.
func (t *Transport) Close() { t.pool.CloseIdleConnections() }

// Do sends the request once and returns the whole answer. Its errors are all *Error: Unavailable when surely nothing
// was sent or when the request has no effect, UnknownOutcome when bytes of an effectful request went out and no whole
// answer came. Statuses are the caller's to judge. Whether it is safe to repeat is the request's own matter.
func (t *Transport) Do(ctx context.Context, r Request) (*Response, error) {
	start := time.Now()
	response, failure := t.do(ctx, r)
	if t.config.Observe != nil {
		o := Observation{System: t.config.System, Method: r.Method, Route: r.Route, Took: time.Since(start)}
		if failure != nil {
			o.Kind, o.Code = failure.Kind, failure.Code
		} else {
			o.Status = response.Status
		}
		t.config.Observe(o)
	}
	if failure != nil {
		return nil, failure
	}
	return response, nil
}

func (t *Transport) do(ctx context.Context, r Request) (*Response, *Error) {
	request, failure := t.request(r)
	if failure != nil {
		return nil, failure
	}
	ctx, cancel := t.bounded(ctx)
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)

	deadline, _ := ctx.Deadline()
	flight := &flight{deadline: deadline}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		// The pool asks for a second connection when it means to send again: fine while nothing was sent.
		GetConn: func(string) {
			if flight.sent() {
				stop(errLost)
			}
		},
		GotConn: func(i httptrace.GotConnInfo) { flight.take(i.Conn) },
	})
	answer, err := t.pool.RoundTrip(request.WithContext(ctx))
	if err != nil {
		return nil, t.failure(ctx, err, flight.land(), r.Effect)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, t.config.MaxResponse+1))
	if err != nil {
		return nil, t.failure(ctx, err, true, r.Effect)
	}
	if int64(len(body)) > t.config.MaxResponse {
		return nil, t.lost(CodeAnswerTooBig, true, r.Effect)
	}
	return &Response{
		Status: answer.StatusCode, Header: answer.Header, Body: body,
		system: t.config.System, effect: r.Effect,
	}, nil
}

// bounded gives a context without a deadline the transport's own.
func (t *Transport) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, t.config.Timeout)
}

// request builds the HTTP request; whatever is wrong with it is found before anything is sent.
func (t *Transport) request(r Request) (*http.Request, *Error) {
	base, err := ParseBase(r.Base, t.config.AllowLoopback)
	if err != nil || !t.allowed(base) {
		return nil, t.lost(CodeHostDenied, false, r.Effect)
	}
	path, err := expand(r.Route, r.Args)
	if err != nil {
		return nil, t.refused(CodeBadRequest)
	}
	if int64(len(r.Body)) > t.config.MaxRequest {
		return nil, t.refused(CodeRequestTooBig)
	}
	target := &url.URL{
		Scheme: base.Scheme, Host: base.Host, Path: strings.TrimSuffix(base.Path, "/") + path, RawQuery: r.Query.Encode(),
	}
	request := &http.Request{Method: r.Method, URL: target, Host: base.Host, Header: http.Header{}, ProtoMajor: 1, ProtoMinor: 1}
	for name, values := range r.Header {
		request.Header[name] = values
	}
	request.Header.Set("User-Agent", "lockstep")
	request.Header.Set("Accept", "application/json")
	if !r.Effect {
		// A look-up during a call must not be answered from a cache on the way.
		request.Header.Set("Cache-Control", "no-cache")
	}
	if !headerValues(request.Header) {
		return nil, t.refused(CodeBadRequest)
	}
	if r.Body != nil {
		request.Body = io.NopCloser(bytes.NewReader(r.Body))
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(r.Body)), nil }
		request.ContentLength = int64(len(r.Body))
		if request.Header.Get("Content-Type") == "" {
			request.Header.Set("Content-Type", "application/json")
		}
	}
	return request, nil
}

// headerValues reports whether every value is of printable ASCII, so that none can end its line (A17).
func headerValues(h http.Header) bool {
	for _, values := range h {
		for _, value := range values {
			for i := range len(value) {
				if value[i] < ' ' || value[i] > '~' {
					return false
				}
			}
		}
	}
	return true
}

// ParseBase reads an endpoint or login URL: https, a host, nothing but a plain path behind it. Plain http is for
// loopback, where loopback is allowed. The error does not quote the URL.
func ParseBase(text string, allowLoopback bool) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("not an absolute URL")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(text, "#"):
		return nil, errors.New("the URL holds more than scheme, host and path")
	case u.RawPath != "" || strings.Contains(u.Path, "//") || strings.Contains(u.Path+"/", "/../") || strings.Contains(u.Path+"/", "/./"):
		return nil, errors.New("the URL's path is not plain")
	case u.Scheme == "https", u.Scheme == "http" && allowLoopback:
		return u, nil
	default:
		return nil, errors.New("the URL is not https")
	}
}

// Authority returns a base URL's host:port in the form of TransportConfig.Hosts.
func Authority(base *url.URL) string {
	port := base.Port()
	if port == "" {
		port = "443"
		if base.Scheme == "http" {
			port = "80"
		}
	}
	return strings.ToLower(net.JoinHostPort(base.Hostname(), port))
}

func (t *Transport) allowed(base *url.URL) bool {
	authority := Authority(base)
	if t.hosts[authority] {
		return true
	}
	return t.config.HostSuffix != "" && base.Scheme == "https" &&
		strings.HasSuffix(authority, "."+strings.ToLower(t.config.HostSuffix)+":443")
}

// Allows reports whether requests may go to the base URL.
func (t *Transport) Allows(base string) bool {
	u, err := ParseBase(base, t.config.AllowLoopback)
	return err == nil && t.allowed(u)
}

// errLost stops a repetition by the pool.
var errLost = errors.New("connection lost")

// failure names what went wrong without any word of the error itself: it may quote a URL or a body.
func (t *Transport) failure(ctx context.Context, err error, sent, effect bool) *Error {
	var dns *net.DNSError
	var dial *net.OpError
	var timeout net.Error
	code := CodeLost
	switch {
	case errors.Is(err, errAddressDenied):
		code = CodeAddressDenied
	case errors.Is(context.Cause(ctx), errLost):
	case errors.Is(ctx.Err(), context.Canceled):
		code = CodeCanceled
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded):
		code = CodeTimeout
	case errors.As(err, &dns):
		code = CodeDNS
	case errors.Is(err, errTLS):
		code = CodeTLS
	case errors.As(err, &timeout) && timeout.Timeout():
		code = CodeTimeout
	case errors.As(err, &dial) && dial.Op == "dial":
		code = CodeDial
	}
	return t.lost(code, sent, effect)
}

// lost is the failure of a request that got no whole answer.
func (t *Transport) lost(code string, sent, effect bool) *Error {
	return &Error{System: t.config.System, Kind: lostKind(sent && effect), Code: code}
}

// refused is the failure of a request that we do not send, now or later.
func (t *Transport) refused(code string) *Error {
	return &Error{System: t.config.System, Kind: schema.Invalid, Code: code}
}

func lostKind(unknown bool) schema.Kind {
	if unknown {
		return schema.UnknownOutcome
	}
	return schema.Unavailable
}

// Decode reads the body as one JSON value, numbers in their spelling, and holds it against its validate tags. Its error
// is Unreadable.
func (r *Response) Decode(v any) error {
	d := json.NewDecoder(bytes.NewReader(r.Body))
	d.UseNumber()
	if d.Decode(v) != nil {
		return r.Unreadable()
	}
	if _, err := d.Token(); err != io.EOF || schema.Validate(v) != nil {
		return r.Unreadable()
	}
	return nil
}

// Unreadable is the failure of an answer that is not what its vendor sends: a proxy's page, a cut document, a missing
// member. It is no success and no refusal (D08).
func (r *Response) Unreadable() *Error {
	return &Error{System: r.system, Kind: lostKind(r.effect), Code: CodeAnswerUnread, Status: r.Status}
}
