package connectortest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/connectors"
	"lockstep/connectors/simulator"
	"lockstep/schema"
)

// bench is one test's connector on its simulator, with a recorder on the wire between them.
type bench struct {
	t *testing.T
	h Harness
	System
	Connector
	wire  *recorder
	limit int64
	quota func(connectors.Quota)
	// secret is what the connector's credential reference holds now.
	secret func() connectors.Credential
	errors []error
	mu     sync.Mutex
}

// open starts a bench and checks at its end that nothing leaked.
func open(t *testing.T, h Harness, adjust ...func(*bench)) *bench {
	t.Helper()
	b := &bench{t: t, h: h, System: h.Start(t), wire: &recorder{tokenPath: h.TokenPath}}
	b.secret = func() connectors.Credential { return b.Credential }
	for _, f := range adjust {
		f(b)
	}
	api := httptest.NewServer(b.wire.record(b.API, false))
	t.Cleanup(api.Close)
	login := api
	if b.Login != nil {
		login = httptest.NewServer(b.wire.record(b.Login, true))
		t.Cleanup(login.Close)
	}
	b.Connector = h.Connect(t, Places{
		Endpoint: api.URL, Login: login.URL, MaxResponse: b.limit, OnQuota: b.quota,
		Credential: func(context.Context) (connectors.Credential, error) { return b.secret(), nil },
	})
	t.Cleanup(b.Connector.Close)
	t.Cleanup(b.checkLeaks)
	t.Cleanup(b.checkPaths)
	return b
}

// warm makes the connector log in and look up whatever it looks up once.
func (b *bench) warm() {
	b.t.Helper()
	if _, err := b.Read(b.ctx(), b.h.Object, []string{b.h.Missing}); err != nil {
		b.t.Fatalf("the first read failed: %v", err)
	}
}

func (b *bench) ctx() context.Context {
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
	b.t.Cleanup(cancel)
	return ctx
}

// fails notes a failure for the leak check and returns it; nil when err is no *connectors.Error.
func (b *bench) fails(err error) *connectors.Error {
	b.t.Helper()
	if err == nil {
		return nil
	}
	b.mu.Lock()
	b.errors = append(b.errors, err)
	b.mu.Unlock()
	var e *connectors.Error
	if !errors.As(err, &e) {
		b.t.Errorf("failure is a %T, want a *connectors.Error", err)
		return nil
	}
	if e.System == "" || e.Kind == "" || connectors.Clean(e.Code) != e.Code || connectors.Clean(e.Correlation) != e.Correlation {
		b.t.Errorf("failure is not coded: %v", e)
	}
	return e
}

// person is a change that holds the n-th person.
func (b *bench) person(n int) connectors.Change {
	return connectors.Change{Canonical: schema.NewRandom(), Fields: b.h.Person(n)}
}

// keyed returns the person's values with our id on them, for a record that a person made and we linked.
func keyed(h Harness, c connectors.Change) schema.Fields {
	fields := maps.Clone(c.Fields)
	fields[h.Object.Key] = c.Canonical.String()
	return fields
}

// planted puts a record that carries our id into the vendor and returns a change for it.
func (b *bench) planted(n int) connectors.Change {
	c := b.person(n)
	c.ID = b.Put(keyed(b.h, c))
	return c
}

// one runs a call and checks that it was one request.
func (b *bench) one(call func()) {
	b.t.Helper()
	before := b.wire.count()
	call()
	if n := b.wire.count() - before; n != 1 {
		b.t.Errorf("the call was %d requests, want 1", n)
	}
}

// call runs one operation on changes and returns its answers; a failed call is a failure of each.
func (b *bench) call(ctx context.Context, op schema.Op, changes []connectors.Change) []connectors.Answer {
	b.t.Helper()
	answers, err := b.do(ctx, op, changes)
	if err != nil {
		answers = make([]connectors.Answer, len(changes))
		for i := range answers {
			answers[i].Err = b.fails(err)
		}
		return answers
	}
	if len(answers) != len(changes) {
		b.t.Fatalf("%d answers to %d changes", len(answers), len(changes))
	}
	for i, a := range answers {
		if a.Err == nil {
			continue
		}
		b.fails(a.Err)
		if a.Err.Kind.Scope() == schema.ScopeSystem {
			b.t.Errorf("answer %d is of system scope: %v", i, a.Err)
		}
	}
	return answers
}

func (b *bench) do(ctx context.Context, op schema.Op, changes []connectors.Change) ([]connectors.Answer, error) {
	switch op {
	case schema.OpWrite:
		return b.Write(ctx, b.h.Object, changes)
	case schema.OpLink:
		return b.Link(ctx, b.h.Object, changes)
	case schema.OpCreate:
		return b.Create(ctx, b.h.Object, changes)
	case schema.OpRead:
		ids := make([]string, len(changes))
		for i, c := range changes {
			ids[i] = c.ID
		}
		return b.Read(ctx, b.h.Object, ids)
	case schema.OpFind:
		lookups := make([][]connectors.MatchKey, len(changes))
		for i, c := range changes {
			lookups[i] = []connectors.MatchKey{b.emailKey(c)}
		}
		found, err := b.Find(ctx, b.h.Object, lookups)
		answers := make([]connectors.Answer, len(found))
		for i, f := range found {
			answers[i].Err = f.Err
			if f.Err == nil && len(f.Records) != 1 {
				b.t.Errorf("look-up %d found %d records, want 1", i, len(f.Records))
			}
		}
		return answers, err
	default:
		b.t.Fatalf("no such operation: %s", op)
		return nil, nil
	}
}

// text returns a person's value, which Harness.Person says is a text.
func (b *bench) text(c connectors.Change, field string) string {
	text, ok := c.Fields[field].(string)
	if !ok {
		b.t.Fatalf("a person has no text in %s", field)
	}
	return text
}

func (b *bench) emailKey(c connectors.Change) connectors.MatchKey {
	return connectors.MatchKey{Kind: connectors.MatchEmail, Field: b.h.Email, Value: schema.Text(b.text(c, b.h.Email))}
}

func (b *bench) phoneKey(c connectors.Change) connectors.MatchKey {
	return connectors.MatchKey{Kind: connectors.MatchPhone, Field: b.h.Phone, Value: schema.Text(b.text(c, b.h.Phone))}
}

func (b *bench) canonicalKey(c connectors.Change) connectors.MatchKey {
	return connectors.MatchKey{Kind: connectors.MatchCanonical, Field: b.h.Object.Key, Value: schema.Text(c.Canonical.String())}
}

// holds checks that a live record has exactly these values under the object's fields.
func (b *bench) holds(id string, want schema.Fields) {
	b.t.Helper()
	got := b.Get(id)
	if got == nil {
		b.t.Errorf("record is gone")
		return
	}
	for _, field := range b.h.Object.Fields {
		if fmt.Sprint(got[field]) != fmt.Sprint(want[field]) {
			b.t.Errorf("field %s holds %v, want %v", field, got[field], want[field])
		}
	}
}

// effects counts what requests changed; writes of a value that stood there already are not counted.
func (b *bench) effects() int {
	n := 0
	for _, e := range b.Journal() {
		if e.Kind != simulator.EntryRequest {
			continue
		}
		for _, f := range e.Effects {
			if !f.Noop {
				n++
			}
		}
	}
	return n
}

// checkLeaks looks for secrets and personal data in every failure of the test (B02, B03) and every request line (B09).
func (b *bench) checkLeaks() {
	canaries := slices.Concat(b.wire.secrets(), []string{b.Credential.ClientSecret}, b.personal())
	for _, err := range b.errors {
		for _, text := range []string{err.Error(), fmt.Sprintf("%v %+v %#v %q", err, err, err, err)} {
			for _, canary := range canaries {
				if canary != "" && strings.Contains(text, canary) {
					b.t.Errorf("B02, B03: a failure tells a secret or personal data: %s", text)
				}
			}
		}
	}
	for _, line := range b.wire.lines() {
		plain, err := url.QueryUnescape(line)
		if err != nil {
			plain = line
		}
		for _, canary := range slices.Concat(canaries, b.wire.tokens()) {
			if canary != "" && (strings.Contains(line, canary) || strings.Contains(plain, canary)) {
				b.t.Errorf("B03, B09: a request line tells a secret or personal data: %s", line)
			}
		}
	}
}

// personal are the values of the persons that the suite uses.
func (b *bench) personal() []string {
	values := []string{}
	for n := range 60 {
		for _, v := range b.h.Person(n) {
			if text, ok := v.(string); ok && len(text) > 6 {
				values = append(values, text)
			}
		}
	}
	return values
}

func (b *bench) checkPaths() {
	for _, line := range b.wire.lines() {
		path, _, _ := strings.Cut(line, "?")
		if path != b.h.TokenPath && !b.h.Paths.MatchString(path) {
			b.t.Errorf("A24: a request went to %s", path)
		}
	}
}

// recorder stands on the wire: it keeps what was asked and can answer in the vendor's place.
type recorder struct {
	tokenPath string
	mu        sync.Mutex
	seen      []seen
	// instead, when set, answers API requests in the vendor's place; it returns false to let one through.
	instead func(http.ResponseWriter, *http.Request) bool
}

// seen is one request as it came.
type seen struct {
	method, uri string
	header      http.Header
	body        []byte
	token       bool
}

func (r *recorder) record(next http.Handler, login bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			return
		}
		q.Body = io.NopCloser(bytes.NewReader(body))
		isToken := login || q.URL.Path == r.tokenPath
		r.mu.Lock()
		r.seen = append(r.seen, seen{q.Method, q.RequestURI, q.Header.Clone(), body, isToken})
		instead := r.instead
		r.mu.Unlock()
		if !isToken && instead != nil && instead(w, q) {
			return
		}
		next.ServeHTTP(w, q)
	})
}

func (r *recorder) answer(instead func(http.ResponseWriter, *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.instead = instead
}

// all returns the requests that are for tokens, or the others.
func (r *recorder) all(token bool) []seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := []seen{}
	for _, s := range r.seen {
		if s.token == token {
			list = append(list, s)
		}
	}
	return list
}

// count counts the requests that are not for tokens.
func (r *recorder) count() int { return len(r.all(false)) }

func (r *recorder) lines() []string {
	lines := []string{}
	for _, s := range slices.Concat(r.all(true), r.all(false)) {
		lines = append(lines, s.uri)
	}
	return lines
}

// tokens are the bearer tokens that went over the wire.
func (r *recorder) tokens() []string {
	list := []string{}
	for _, s := range r.all(false) {
		if token, ok := strings.CutPrefix(s.header.Get("Authorization"), "Bearer "); ok {
			list = append(list, token)
		}
	}
	return list
}

// secrets are tokens and Basic credentials.
func (r *recorder) secrets() []string {
	list := r.tokens()
	for _, s := range r.all(true) {
		if pair, ok := strings.CutPrefix(s.header.Get("Authorization"), "Basic "); ok {
			list = append(list, pair)
		}
	}
	return list
}
