package connectortest

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"lockstep/connectors"
	"lockstep/schema"
)

// testRevokedToken: no operation notices that its token was revoked (D07).
func testRevokedToken(t *testing.T, h Harness) {
	b := open(t, h)
	b.warm()
	for i, op := range operations {
		c := b.staged(op, i)
		b.Revoke()
		before := len(b.wire.all(true))
		if e := b.call(b.ctx(), op, []connectors.Change{c})[0].Err; e != nil {
			t.Errorf("%s noticed: %v", op, e)
		}
		if n := len(b.wire.all(true)) - before; n != 1 {
			t.Errorf("%s: %d logins, want 1", op, n)
		}
	}
}

// testRenewals: many calls in flight with a revoked token make one login (D07, B16).
func testRenewals(t *testing.T, h Harness) {
	b := open(t, h)
	b.warm()
	c := b.staged(schema.OpWrite, 1)
	for range 3 {
		b.Revoke()
		before := len(b.wire.all(true))
		var all sync.WaitGroup
		for n := range 200 {
			all.Go(func() {
				var err error
				if n%2 == 0 {
					_, err = b.Write(b.ctx(), h.Object, []connectors.Change{c})
				} else {
					_, err = b.Read(b.ctx(), h.Object, []string{c.ID})
				}
				if err != nil {
					t.Errorf("a call noticed: %v", b.fails(err))
				}
			})
		}
		all.Wait()
		if n := len(b.wire.all(true)) - before; n != 1 {
			t.Errorf("%d logins, want 1", n)
		}
	}
}

// testRotation: a secret that was rotated is picked up at the next login, even when the old one was read a moment
// before (B16, R-143); a wrong one is AuthExpired and tells nothing.
func testRotation(t *testing.T, h Harness) {
	var reads atomic.Int64
	var mu sync.Mutex
	secrets := []connectors.Credential{}
	b := open(t, h, func(b *bench) {
		secrets = append(secrets, b.Credential)
		b.secret = func() connectors.Credential {
			mu.Lock()
			defer mu.Unlock()
			reads.Add(1)
			if len(secrets) > 1 {
				first := secrets[0]
				secrets = secrets[1:]
				return first
			}
			return secrets[0]
		}
	})
	c := b.staged(schema.OpWrite, 1)
	read := func() error {
		_, err := b.Read(b.ctx(), h.Object, []string{c.ID})
		return err
	}
	if err := read(); err != nil {
		t.Fatal(b.fails(err))
	}
	rotated := connectors.Credential{ClientID: b.Credential.ClientID, ClientSecret: "rotated-secret-canary-0001"}
	mu.Lock()
	secrets = []connectors.Credential{b.Credential, rotated}
	mu.Unlock()
	b.Rotate(rotated.ClientSecret)
	b.Revoke()
	if err := read(); err != nil {
		t.Errorf("the rotated secret is not picked up: %v", b.fails(err))
	}
	wrong := connectors.Credential{ClientID: b.Credential.ClientID, ClientSecret: "wrong-secret-canary-0002"}
	mu.Lock()
	secrets = []connectors.Credential{wrong}
	mu.Unlock()
	b.Revoke()
	e := b.fails(read())
	if e == nil || e.Kind != schema.AuthExpired {
		t.Errorf("a wrong secret: %v, want AuthExpired", e)
	}
	if text := fmt.Sprintf("%v %+v %#v", e, e, e); strings.Contains(text, wrong.ClientSecret) || strings.Contains(text, rotated.ClientSecret) {
		t.Errorf("B03: a failure tells a secret: %s", text)
	}
}
