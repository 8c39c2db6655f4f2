package store_test

import (
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"lockstep/internal/store"
	"lockstep/internal/store/storetest"
)

// gate forwards connections to a server until it is shut: then nothing arrives any more, and nobody hears of it.
type gate struct {
	net.Listener
	to   string
	mu   sync.Mutex
	open *sync.Cond
	shut bool
}

func newGate(t *testing.T, to string) *gate {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{Listener: l, to: to}
	g.open = sync.NewCond(&g.mu)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", g.to)
			if err != nil {
				_ = from.Close()
				continue
			}
			all.Go(func() { g.pass(from, to) })
			all.Go(func() { g.pass(to, from) })
		}
	})
	t.Cleanup(func() {
		g.set(false)
		_ = l.Close()
		all.Wait()
	})
	return g
}

func (g *gate) pass(from, to net.Conn) {
	defer func() { _, _ = from.Close(), to.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		g.mu.Lock()
		for g.shut {
			g.open.Wait()
		}
		g.mu.Unlock()
		if _, werr := to.Write(buffer[:n]); werr != nil || err != nil {
			return
		}
	}
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	g.open.Broadcast()
}

// A database that falls silent, its connections open, costs as much as one that is gone: an error, and a new connection
// once it speaks again.
func TestASilentDatabaseIsGone(t *testing.T) {
	t.Parallel()
	j := storetest.Open(t, storetest.Options{})
	address, err := url.Parse(j.URL)
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(t, address.Host)
	address.Host = g.Addr().String()
	s, err := store.Open(t.Context(), store.Options{URL: address.String(), Sealer: nil, Index: nil, Digest: "test", Silence: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, err := s.Stats(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.set(true)
	answer := make(chan error, 1)
	go func() {
		_, err := s.Stats(t.Context())
		answer <- err
	}()
	select {
	case err := <-answer:
		if err == nil {
			t.Fatal("a silent database answered")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("whoever asks a silent database waits for ever")
	}
	g.set(false)
	if _, err := s.Stats(t.Context()); err != nil {
		t.Fatalf("after the silence: %v", err)
	}
}
