package connectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lockstep/schema"
)

var someCredential = Credential{ClientID: "client-canary", ClientSecret: "secret-canary"}

func credential(c Credential) func(context.Context) (Credential, error) {
	return func(context.Context) (Credential, error) { return c, nil }
}

// numbered logs in with tokens 1, 2, 3 … of a life.
func numbered(logins *atomic.Int64, life time.Duration) func(context.Context, Credential) (Token, error) {
	return func(context.Context, Credential) (Token, error) {
		return NewToken(fmt.Sprint("token-", logins.Add(1)), "", life), nil
	}
}

// B16: a token is renewed early, at 80 % of its life, beside the calls; after its end the calls wait.
func TestB16_TokensAreRenewedAt80PercentOfTheirLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int64
		s := NewTokenSource(TokenConfig{System: "crm", Credential: credential(someCredential), Login: numbered(&logins, 100*time.Minute)})
		want := func(secret string) {
			t.Helper()
			if token, err := s.Token(t.Context()); err != nil || token.secret != secret {
				t.Errorf("token %s, %v; want %s", token.secret, err, secret)
			}
			synctest.Wait()
		}
		want("token-1")
		time.Sleep(79 * time.Minute)
		want("token-1")
		time.Sleep(2 * time.Minute)
		want("token-1") // and starts the renewal
		want("token-2")
		time.Sleep(101 * time.Minute)
		want("token-3") // the old one has ended: the call waits
		if logins.Load() != 3 {
			t.Errorf("%d logins, want 3", logins.Load())
		}
	})
}

// B16: no token is used for more than a day, whatever its vendor says.
func TestB16_NoTokenLivesLongerThanADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int64
		s := NewTokenSource(TokenConfig{System: "crm", Credential: credential(someCredential), Login: numbered(&logins, 1000*time.Hour)})
		for range 2 {
			if _, err := s.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(24*time.Hour + time.Second)
		}
		if logins.Load() != 2 {
			t.Errorf("%d logins in two days, want one a day", logins.Load())
		}
	})
}

func TestFailedEarlyRenewalKeepsTheOldToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int64
		s := NewTokenSource(TokenConfig{System: "crm", Credential: credential(someCredential), Login: func(context.Context, Credential) (Token, error) {
			if logins.Add(1) == 1 {
				return NewToken("token-1", "", 100*time.Minute), nil
			}
			return Token{}, &Error{System: "crm", Kind: schema.Unavailable}
		}})
		for range 10 {
			if _, err := s.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(9*time.Minute + 59*time.Second)
			synctest.Wait()
		}
		for range 100 { // a second before its end: no hot loop of logins
			_, _ = s.Token(t.Context())
			synctest.Wait()
		}
		if n := logins.Load(); n > 4 {
			t.Errorf("%d logins, want few", n)
		}
		time.Sleep(time.Minute)
		_, err := s.Token(t.Context())
		if kind, _ := KindOf(err); kind != schema.Unavailable {
			t.Errorf("after its end: %v, want Unavailable", err)
		}
	})
}

// B16: however many calls wait for a token, one login is made for them all, and none of them can end it.
func TestB16_OneLoginForManyCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int64
		s := NewTokenSource(TokenConfig{System: "crm", Credential: credential(someCredential), Login: func(ctx context.Context, c Credential) (Token, error) {
			time.Sleep(time.Second)
			return numbered(&logins, time.Hour)(ctx, c)
		}})
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		// The first caller gives up; that must not end the login of the others.
		if _, err := s.Token(impatient); err == nil {
			t.Error("a caller whose time was over got a token")
		}
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				if token, err := s.Token(t.Context()); err != nil || token.secret != "token-1" {
					t.Errorf("token %s, %v", token.secret, err)
				}
			})
		}
		all.Wait()
		if logins.Load() != 1 {
			t.Errorf("%d logins, want 1", logins.Load())
		}
	})
}

// B16: a token is in memory only. A source made anew logs in, nothing spells a token out, and no code of this package could
// write one down.
func TestB16_TokensAreInMemoryOnly(t *testing.T) {
	var logins atomic.Int64
	config := TokenConfig{System: "crm", Credential: credential(someCredential), Login: numbered(&logins, time.Hour)}
	for n := range 2 {
		s := NewTokenSource(config)
		token, err := s.Token(t.Context())
		if err != nil || token.secret != fmt.Sprint("token-", n+1) {
			t.Errorf("source %d has %s, %v", n, token.secret, err)
		}
		asJSON, err := json.Marshal(map[string]any{"token": token, "source": s})
		if err != nil || strings.Contains(string(asJSON)+fmt.Sprintf("%v %+v %#v", token, token, token), token.secret) {
			t.Errorf("a token is spelt out: %s, %v", asJSON, err)
		}
	}
	files := token.NewFileSet()
	sources, err := filepath.Glob("*.go")
	if err != nil || len(sources) < 10 {
		t.Fatal(sources, err)
	}
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(files, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range f.Imports {
			switch path, _ := strconv.Unquote(spec.Path.Value); {
			case strings.HasPrefix(path, "os/"), path == "io/ioutil", strings.HasPrefix(path, "database/"), strings.HasPrefix(path, "lockstep/internal/"):
				t.Errorf("%s imports %s: a token could be written down", name, path)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && fmt.Sprint(sel.X) == "os" && !strings.HasPrefix(sel.Sel.Name, "Err") {
				t.Errorf("%s uses os.%s: a token could be written down", name, sel.Sel.Name)
			}
			return true
		})
	}
}

func TestRotatedCredentialIsReadAgain(t *testing.T) {
	refusal := &Error{System: "crm", Kind: schema.AuthExpired, Code: "invalid_client", Status: 401}
	old, fresh := Credential{"id", "old"}, Credential{"id", "new"}
	t.Run("rotated meanwhile", func(t *testing.T) {
		reads := 0
		s := NewTokenSource(TokenConfig{System: "crm", Credential: func(context.Context) (Credential, error) {
			reads++
			return []Credential{old, fresh}[min(reads, 2)-1], nil
		}, Login: func(_ context.Context, c Credential) (Token, error) {
			if c != fresh {
				return Token{}, refusal
			}
			return NewToken("t", "", time.Hour), nil
		}})
		if token, err := s.Token(t.Context()); err != nil || token.secret != "t" || reads != 2 {
			t.Errorf("token %q, %v after %d reads", token.secret, err, reads)
		}
	})
	t.Run("not rotated", func(t *testing.T) {
		logins := 0
		s := NewTokenSource(TokenConfig{System: "crm", Credential: credential(old), Login: func(context.Context, Credential) (Token, error) {
			logins++
			return Token{}, refusal
		}})
		_, err := s.Token(t.Context())
		if kind, _ := KindOf(err); kind != schema.AuthExpired || logins != 1 {
			t.Errorf("%v after %d logins; want AuthExpired after 1: the same secret helps nobody", err, logins)
		}
	})
	t.Run("unreadable", func(t *testing.T) {
		s := NewTokenSource(TokenConfig{System: "crm", Credential: func(context.Context) (Credential, error) {
			return Credential{}, errors.New("open /secrets/" + canary)
		}})
		_, err := s.Token(t.Context())
		var e *Error
		if !asError(err, &e) || e.Code != CodeNoCredential || strings.Contains(fmt.Sprintf("%+v %#v", err, err), canary) {
			t.Errorf("%v", err)
		}
	})
}

func asError(err error, e **Error) bool { return errors.As(err, e) }

// Whatever keeps us from logging in is the system's trouble, never a record's.
func TestLoginFailuresAreOfSystemScope(t *testing.T) {
	for _, kind := range schema.Kinds {
		s := NewTokenSource(TokenConfig{System: "crm", Credential: credential(someCredential), Login: func(context.Context, Credential) (Token, error) {
			return Token{}, &Error{System: "crm", Kind: kind, Code: "x"}
		}})
		_, err := s.Token(t.Context())
		if got, ok := KindOf(err); !ok || got.Scope() != schema.ScopeSystem {
			t.Errorf("%s became %v", kind, err)
		}
	}
}

// vendor is a token endpoint and an API that takes only its newest token.
type vendor struct {
	mu      sync.Mutex
	logins  int
	current string
	calls   int
	refuse  bool
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r.URL.Path == "/oauth/token" {
		v.logins++
		v.current = fmt.Sprint("token-", v.logins)
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": v.current, "expires_in": 3600})
		return
	}
	v.calls++
	if v.refuse || r.Header.Get("Authorization") != "Bearer "+v.current {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	_, _ = w.Write([]byte("{}"))
}

func (v *vendor) revoke() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.current = ""
}

func session(t *testing.T, v *vendor) *Session {
	t.Helper()
	transport, base := serve(t, v.ServeHTTP, func(c *TransportConfig) { c.Connections = 32 })
	login := Login{Transport: transport, Base: base, Route: "/oauth/token", Basic: true}
	return &Session{System: "crm", Transport: transport, Endpoint: base, Tokens: NewTokenSource(TokenConfig{
		System: "crm", Credential: credential(someCredential), Login: func(ctx context.Context, c Credential) (Token, error) {
			g, err := login.Ask(ctx, c)
			return NewToken(g.AccessToken, "", g.Life), err
		},
	})}
}

// D07, B16: a thousand calls in flight, the token revoked: one renewal, and no call notices.
func TestD07OneRenewalForAThousandCalls(t *testing.T) {
	v := &vendor{}
	s := session(t, v)
	call := func() {
		if _, err := s.Do(within(t, 20*time.Second), Request{Method: http.MethodPatch, Route: "/things", Body: []byte("{}"), Effect: true}); err != nil {
			t.Errorf("a call noticed: %v", err)
		}
	}
	call()
	for renewals := 1; renewals <= 3; renewals++ {
		v.revoke()
		var all sync.WaitGroup
		for range 1000 {
			all.Go(call)
		}
		all.Wait()
		if v.logins != 1+renewals {
			t.Fatalf("%d logins, want %d", v.logins, 1+renewals)
		}
	}
}

// D07: the second 401 ends the call; no third try, no login for each.
func TestD07SecondRefusalIsFinal(t *testing.T) {
	v := &vendor{refuse: true}
	s := session(t, v)
	_, err := s.Do(t.Context(), Request{Method: http.MethodGet, Route: "/things"})
	var e *Error
	if !asError(err, &e) || e.Kind != schema.AuthExpired || e.Status != 401 {
		t.Errorf("%v, want AuthExpired", err)
	}
	if v.calls != 2 || v.logins != 2 {
		t.Errorf("%d calls and %d logins, want 2 and 2", v.calls, v.logins)
	}
}

func TestForbiddenRenewsNothing(t *testing.T) {
	logins, calls := 0, 0
	transport, base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/oauth/token" {
			logins++
			_, _ = w.Write([]byte(`{"access_token":"t","expires_in":"3600"}`))
			return
		}
		calls++
		w.WriteHeader(http.StatusForbidden)
	})
	login := Login{Transport: transport, Base: base, Route: "/oauth/token"}
	s := &Session{System: "crm", Transport: transport, Endpoint: base, Tokens: NewTokenSource(TokenConfig{
		System: "crm", Credential: credential(someCredential), Login: func(ctx context.Context, c Credential) (Token, error) {
			g, err := login.Ask(ctx, c)
			return NewToken(g.AccessToken, "", g.Life), err
		},
	})}
	for range 3 {
		if r, err := s.Do(t.Context(), Request{Method: http.MethodGet, Route: "/things"}); err != nil || r.Status != 403 {
			t.Errorf("%v", err)
		}
	}
	if logins != 1 || calls != 3 {
		t.Errorf("%d logins and %d calls, want 1 and 3", logins, calls)
	}
}

// B03: a refused login tells a code, and nothing of the secret, the token or the endpoint's words.
func TestB03LoginFailures(t *testing.T) {
	cases := map[string]struct {
		status int
		body   string
		kind   schema.Kind
		code   string
	}{
		"unknown client":  {400, `{"error":"invalid_client","error_description":"` + canary + `"}`, schema.AuthExpired, "invalid_client"},
		"odd code":        {400, `{"error":"` + canary + ` is wrong"}`, schema.AuthExpired, ""},
		"HTML":            {400, canary, schema.AuthExpired, ""},
		"forbidden":       {403, canary, schema.AuthExpired, ""},
		"redirect":        {302, canary, schema.AuthExpired, CodeRedirect},
		"gone":            {404, canary, schema.AuthExpired, ""},
		"throttled":       {429, canary, schema.Throttled, ""},
		"down":            {503, canary, schema.Unavailable, ""},
		"no JSON":         {200, canary, schema.Unavailable, CodeAnswerUnread},
		"no token":        {200, `{"expires_in":3600}`, schema.Unavailable, CodeAnswerUnread},
		"hostile token":   {200, `{"access_token":"a\r\nb"}`, schema.Unavailable, CodeAnswerUnread},
		"token of a type": {200, `{"access_token":{"x":"` + canary + `"}}`, schema.Unavailable, CodeAnswerUnread},
	}
	for name, c := range cases {
		for _, basic := range []bool{true, false} {
			transport, base := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if err := r.ParseForm(); err != nil || r.PostForm.Get("grant_type") != "client_credentials" {
					t.Errorf("%s: form %v, %v", name, r.PostForm, err)
				}
				id, secret, isBasic := r.BasicAuth()
				if !isBasic {
					id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
				}
				if isBasic != basic || id != someCredential.ClientID || secret != someCredential.ClientSecret {
					t.Errorf("%s: credential is not sent as asked", name)
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			})
			_, err := Login{Transport: transport, Base: base, Route: "/oauth/token", Basic: basic}.Ask(t.Context(), someCredential)
			var e *Error
			if !asError(err, &e) || e.Kind != c.kind || e.Code != c.code {
				t.Errorf("%s: %v, want %s %s", name, err, c.kind, c.code)
			}
			for _, secret := range []string{canary, someCredential.ClientSecret, someCredential.ClientID, base} {
				if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), secret) {
					t.Errorf("%s: the failure tells %s", name, secret)
				}
			}
		}
	}
}

// B03: secrets print as masks whatever prints them.
func TestB03SecretsPrintAsMasks(t *testing.T) {
	token := NewToken("token-canary", "", time.Hour)
	holder := struct {
		C Credential
		T Token
		P *Credential
	}{someCredential, token, &someCredential}
	asJSON, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "c", someCredential, "t", token, "h", holder)
	for _, text := range []string{
		fmt.Sprint(holder), fmt.Sprintf("%v %+v %#v %s %q %x %d", holder, holder, holder, holder, holder, holder, holder),
		fmt.Sprintf("%s %q %x", token, token, token), string(asJSON), logged.String(), token.String(), someCredential.String(),
	} {
		for _, secret := range []string{"canary", fmt.Sprintf("%x", "canary")} {
			if strings.Contains(text, secret) {
				t.Errorf("a secret is printed: %s", text)
			}
		}
	}
}

func TestParseCredential(t *testing.T) {
	c, err := ParseCredential(" id:se:cret\n")
	if err != nil || c != (Credential{"id", "se:cret"}) {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"", "id", ":secret", "id:", canary} {
		if _, err := ParseCredential(bad); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestParseBase(t *testing.T) {
	for text, want := range map[string]bool{
		"https://acme.my.salesforce.com": true, "https://acme.example/": true, "https://acme.example/prefix": true,
		"https://acme.example:8443": true, "http://127.0.0.1:80": false, "https://u:p@acme.example": false,
		"https://acme.example?x": false, "https://acme.example?": false, "https://acme.example#": false, "acme.example": false,
		"https://": false, "https://:443": false, "https://acme.example/a%2fb": false, "https://acme.example/../x": false, "mailto:x@y": false,
		"://": false, "https://acme.example/a//b": false,
	} {
		_, err := ParseBase(text, false)
		if (err == nil) != want {
			t.Errorf("%s: %v", text, err)
		}
		if err != nil && strings.Contains(err.Error(), text) && len(text) > 3 {
			t.Errorf("the error quotes %s", text)
		}
	}
	if u, err := ParseBase("http://127.0.0.1:80", true); err != nil || Authority(u) != "127.0.0.1:80" {
		t.Error("plain HTTP is refused where loopback is allowed")
	}
	if got := Authority(&url.URL{Scheme: "https", Host: "A.example"}); got != "a.example:443" {
		t.Error(got)
	}
}
