package simulator

import (
	"sync"
	"time"
)

// Tokens remembers which access tokens a login host has issued. It is safe for concurrent use.
type Tokens struct {
	clock *Clock
	mu    sync.Mutex
	live  map[string]grant
}

type grant struct {
	client  string
	expires time.Time
}

// NewTokens returns an empty store.
func NewTokens(clock *Clock) *Tokens {
	return &Tokens{clock: clock, live: map[string]grant{}}
}

// Issue remembers token as client's for life.
func (t *Tokens) Issue(token, client string, life time.Duration) {
	now := t.clock.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for old, g := range t.live {
		if !g.expires.After(now) {
			delete(t.live, old)
		}
	}
	t.live[token] = grant{client: client, expires: now.Add(life)}
}

// Client returns the client of a live token; ok is false for an unknown, expired or revoked one.
func (t *Tokens) Client(token string) (client string, ok bool) {
	now := t.clock.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	g, ok := t.live[token]
	return g.client, ok && g.expires.After(now)
}

// Revoke ends one token; ok is false when it was not live.
func (t *Tokens) Revoke(token string) (ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok = t.live[token]
	delete(t.live, token)
	return ok
}

// RevokeAll ends every token.
func (t *Tokens) RevokeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.live)
}
