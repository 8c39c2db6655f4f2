package connectors

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"lockstep/schema"
)

// Credential is an OAuth client's id and secret. It prints as a mask.
type Credential struct {
	ClientID     string
	ClientSecret string
}

// ParseCredential reads `client id:client secret`, the text behind a credential reference of the integration map. White
// space around it is dropped; the secret may hold colons.
func ParseCredential(text string) (Credential, error) {
	id, secret, ok := strings.Cut(strings.TrimSpace(text), ":")
	if !ok || id == "" || secret == "" {
		return Credential{}, errors.New("a credential is written like client-id:client-secret")
	}
	return Credential{ClientID: id, ClientSecret: secret}, nil
}

const secretMask = "•••"

// String returns a mask.
func (Credential) String() string { return secretMask }

// Format writes a mask for every verb.
func (Credential) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secretMask) }

// LogValue returns a mask.
func (Credential) LogValue() slog.Value { return slog.StringValue(secretMask) }

// MarshalJSON writes a mask.
func (Credential) MarshalJSON() ([]byte, error) { return []byte(`"` + secretMask + `"`), nil }

// Token is an access token. It prints as a mask.
type Token struct {
	secret string
	// base is where the token is good, when the token endpoint says so.
	base string
	life time.Duration
}

// NewToken returns a token of a login. base is empty unless the vendor names the host to go on with; life is how long
// the vendor or its connector says that the token lasts.
func NewToken(secret, base string, life time.Duration) Token {
	return Token{secret: secret, base: base, life: life}
}

// String returns a mask.
func (Token) String() string { return secretMask }

// Format writes a mask for every verb.
func (Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secretMask) }

// LogValue returns a mask.
func (Token) LogValue() slog.Value { return slog.StringValue(secretMask) }

// MarshalJSON writes a mask.
func (Token) MarshalJSON() ([]byte, error) { return []byte(`"` + secretMask + `"`), nil }

const (
	// maxTokenLife caps a token's life whatever its vendor says (R-143, B16).
	maxTokenLife = 24 * time.Hour
	// renewalPause is how long a failed early renewal is not tried again while the old token still holds.
	renewalPause = 10 * time.Second
)

// TokenConfig configures a token source.
type TokenConfig struct {
	System string
	// Credential is read at each renewal, so that a rotated secret is picked up without a restart.
	Credential func(context.Context) (Credential, error)
	// Login asks the vendor for a token. Its errors are *Error; the code `invalid_client` or `invalid_client_id` makes
	// the source read the credential once more, in case it was rotated in between.
	Login func(context.Context, Credential) (Token, error)
	// Timeout bounds one renewal: 15 s.
	Timeout time.Duration
}

// TokenSource holds one system's access token, in memory only, and renews it: early, at 80 % of its life, beside the
// calls, which keep using the old one; late, when it has ended or was refused, with the calls waiting. One renewal runs
// at a time however many calls wait for it. It is safe for concurrent use.
type TokenSource struct {
	config TokenConfig

	mu       sync.Mutex
	token    Token
	renewAt  time.Time
	expires  time.Time
	pausedTo time.Time
	renewal  *renewal
}

// renewal is one login under way.
type renewal struct {
	done  chan struct{}
	token Token
	err   error
}

// NewTokenSource returns a source that logs in at its first use.
func NewTokenSource(c TokenConfig) *TokenSource {
	c.Timeout = or(c.Timeout, 15*time.Second)
	return &TokenSource{config: c}
}

// Token returns a token that holds. Its errors are *Error of system scope: what keeps us from logging in keeps every
// record waiting and is no record's fault. Safe to repeat.
func (s *TokenSource) Token(ctx context.Context) (Token, error) {
	s.mu.Lock()
	now := time.Now()
	if now.Before(s.expires) {
		token := s.token
		if now.After(s.renewAt) && now.After(s.pausedTo) {
			s.renew(ctx)
		}
		s.mu.Unlock()
		return token, nil
	}
	r := s.renew(ctx)
	s.mu.Unlock()
	select {
	case <-r.done:
		return r.token, r.err
	case <-ctx.Done():
		return Token{}, &Error{System: s.config.System, Kind: schema.Unavailable, Code: CodeTimeout}
	}
}

// Invalidate drops the token that the vendor refused, unless another one took its place already.
func (s *TokenSource) Invalidate(refused Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token.secret == refused.secret {
		s.token, s.expires = Token{}, time.Time{}
	}
}

// renew joins the login under way or starts one that no single caller can cancel. It needs the lock.
func (s *TokenSource) renew(ctx context.Context) *renewal {
	if s.renewal != nil {
		return s.renewal
	}
	r := &renewal{done: make(chan struct{})}
	s.renewal = r
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.Timeout)
	go func() {
		defer cancel()
		r.token, r.err = s.login(ctx)
		s.finish(r)
		close(r.done)
	}()
	return r
}

func (s *TokenSource) finish(r *renewal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renewal = nil
	now := time.Now()
	if r.err != nil {
		s.pausedTo = now.Add(renewalPause)
		return
	}
	life := min(r.token.life, maxTokenLife)
	s.token, s.renewAt, s.expires = r.token, now.Add(life*8/10), now.Add(life)
}

// login asks for a token, a second time if the credential was rotated while we held the old one.
func (s *TokenSource) login(ctx context.Context) (Token, error) {
	first, err := s.credential(ctx)
	if err != nil {
		return Token{}, err
	}
	token, err := s.config.Login(ctx, first)
	if unknownClient(err) {
		second, err := s.credential(ctx)
		if err == nil && second != first {
			token, err = s.config.Login(ctx, second)
			return token, s.systemScope(err)
		}
	}
	return token, s.systemScope(err)
}

func (s *TokenSource) credential(ctx context.Context) (Credential, error) {
	c, err := s.config.Credential(ctx)
	if err != nil || c.ClientID == "" || c.ClientSecret == "" {
		return Credential{}, &Error{System: s.config.System, Kind: schema.AuthExpired, Code: CodeNoCredential}
	}
	return c, nil
}

func unknownClient(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Code == "invalid_client" || e.Code == "invalid_client_id")
}

// systemScope turns whatever a login fails with into trouble of the system.
func (s *TokenSource) systemScope(err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if !errors.As(err, &e) {
		return &Error{System: s.config.System, Kind: schema.AuthExpired, Code: CodeNoToken}
	}
	if e.Kind.Scope() != schema.ScopeSystem {
		refused := *e
		refused.Kind = schema.AuthExpired
		return &refused
	}
	return e
}
