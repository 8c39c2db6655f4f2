package intake_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockstep/internal/intake"
	"lockstep/internal/store"
	"lockstep/schema"
)

// Slow headers, slow bodies and idle connections by the thousand leave the others' requests alone.
func TestA16_SlowSockets(t *testing.T) {
	sockets, requests := 2000, 200
	if testing.Short() {
		sockets = 200
	}
	h := newHouse(t)
	d := h.door()
	address, _ := h.listen(d, intake.Limits{})
	var wg sync.WaitGroup
	var opened atomic.Int64
	for worker := range 8 {
		wg.Go(func() {
			for n := worker; n < sockets; n += 8 {
				dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+n%200))}, Timeout: 10 * time.Second}
				c, err := dialer.DialContext(t.Context(), "tcp", address)
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { _ = c.Close() })
				opened.Add(1)
				_, _ = io.WriteString(c, []string{
					"", "POST /webhooks/github HTTP/1.1\r\nHost: x\r\nX-Slow: ",
					"POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
					"POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n",
				}[n%4])
			}
		})
	}
	wg.Wait()
	if int(opened.Load()) != sockets {
		t.Fatalf("%d slow sockets of %d", opened.Load(), sockets)
	}
	client := h.client()
	var sends []func()
	for range requests {
		sends = append(sends, func() {
			a, err := send(client, address, h.signed("github", change{record: newRecord()}.String()))
			if err != nil || a.status != http.StatusAccepted {
				t.Errorf("%s, %v", a, err)
			}
		})
	}
	inParallel(8, sends)
	if n := h.count("SELECT count(*) FROM event"); n != requests {
		t.Errorf("%d events of %d", n, requests)
	}
}

// client keeps its connections.
func (h *house) client() *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	h.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

// send sends a prepared request over the network.
func send(client *http.Client, address string, r *http.Request) (answered, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return answered{}, err
	}
	out, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+address+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		return answered{}, err
	}
	out.Header = r.Header
	res, err := client.Do(out)
	if err != nil {
		return answered{}, err
	}
	return read(&silent{}, res), nil
}

// silent is for answers that may be cut: what cannot be read has the status alone.
type silent struct{ testing.TB }

func (*silent) Helper()               {}
func (*silent) Error(...any)          {}
func (*silent) Errorf(string, ...any) {}

// The bounds on connections hold, for one sender and for all; closing one makes room.
func TestA16_ConnectionBounds(t *testing.T) {
	h := newHouse(t)
	address, server := h.listen(h.door(), intake.Limits{Connections: 25, PerAddress: 10})
	if server.ReadHeaderTimeout != 5*time.Second || server.ReadTimeout != 15*time.Second || server.IdleTimeout != time.Minute || server.WriteTimeout == 0 || server.MaxHeaderBytes != 16<<10 {
		t.Errorf("the server waits for ever: %v %v %v %v %d", server.ReadHeaderTimeout, server.ReadTimeout, server.IdleTimeout, server.WriteTimeout, server.MaxHeaderBytes)
	}
	var alive []net.Conn
	open := func(last byte) bool {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 2, last)}}
		c, err := dialer.DialContext(t.Context(), "tcp", address)
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		must(t, c.SetDeadline(time.Now().Add(20*time.Second)))
		if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return false
		}
		var one [1]byte
		if _, err := c.Read(one[:]); err != nil {
			return false
		}
		alive = append(alive, c)
		return true
	}
	count := func(last byte, tries int) (served int) {
		for range tries {
			if open(last) {
				served++
			}
		}
		return served
	}
	if n := count(1, 15); n != 10 {
		t.Errorf("%d connections of one sender, want 10", n)
	}
	if n := count(2, 15); n != 10 {
		t.Errorf("%d connections of another, want 10", n)
	}
	if n := count(3, 15); n != 5 {
		t.Errorf("%d more, want 5 up to the bound of all", n)
	}
	must(t, alive[0].Close())
	h.await("room for one more", func() bool { return open(1) })
}

// gate is a journal that does not answer for some sources until it is opened.
type gate struct {
	*store.Store
	stuck   func(source string) bool
	waiting atomic.Int64
	open    chan struct{}
}

func (g *gate) Accept(ctx context.Context, p *schema.Posting) (schema.Accepted, error) {
	if g.stuck(p.Source) {
		g.waiting.Add(1)
		<-g.open
	}
	return g.Store.Accept(ctx, p)
}

// A source that floods is told to come again; the others are answered as if it were not there.
func TestA27_OneSourceFloods(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := &gate{Store: h.openStore(), stuck: func(source string) bool { return source == "github" }, open: make(chan struct{})}
	d := &door{h: h, store: g.Store, Handler: h.intake(g).Handler()}
	const flood = 600
	var inside, turned atomic.Int64
	var wg sync.WaitGroup
	for range flood {
		r := h.signed("github", change{record: newRecord()}.String())
		wg.Go(func() {
			switch a := d.do(r); {
			case a.status == http.StatusAccepted:
				inside.Add(1)
			case a.status == http.StatusTooManyRequests && a.header.Get("Retry-After") != "":
				turned.Add(1)
			default:
				t.Error(a)
			}
		})
	}
	h.await("the flood to be turned away", func() bool { return g.waiting.Load()+turned.Load() == flood })
	if g.waiting.Load() == 0 || turned.Load() == 0 || g.waiting.Load() > 256 {
		t.Errorf("%d of the flood are inside and %d were turned away", g.waiting.Load(), turned.Load())
	}
	for _, source := range []string{"standard", "desk", "crm-legacy", "crm-flat", "cdc"} {
		for range 20 {
			d.accepted(source, h.bodyFor(source))
		}
	}
	close(g.open)
	wg.Wait()
	if inside.Load()+turned.Load() != flood {
		t.Errorf("%d taken and %d turned away of %d", inside.Load(), turned.Load(), flood)
	}
}

// All sources together cannot take more than there is: then 503, and the sender comes again.
func TestA27_EverybodyFloods(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := &gate{Store: h.openStore(), stuck: func(string) bool { return true }, open: make(chan struct{})}
	d := &door{h: h, store: g.Store, Handler: h.intake(g).Handler()}
	var sources []string
	for name := range h.bundle.Map.Sources {
		if name != "flat-timeless" {
			sources = append(sources, name)
		}
	}
	var mu sync.Mutex
	statuses := map[int]int{}
	var wg sync.WaitGroup
	const each = 60
	for _, source := range sources {
		for range each {
			r := h.signed(source, h.bodyFor(source))
			wg.Go(func() {
				a := d.do(r)
				mu.Lock()
				defer mu.Unlock()
				statuses[a.status]++
			})
		}
	}
	all := each * len(sources)
	h.await("the bound", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return int(g.waiting.Load())+statuses[http.StatusServiceUnavailable]+statuses[http.StatusTooManyRequests] == all
	})
	if n := g.waiting.Load(); n != 512 {
		t.Errorf("%d requests are worked on at once, want 512", n)
	}
	close(g.open)
	wg.Wait()
	if statuses[http.StatusAccepted] != 512 || statuses[http.StatusServiceUnavailable] == 0 {
		t.Errorf("answers %v", statuses)
	}
}

// A graceful stop costs no sender anything: no 5xx, and no connection lost that the server had taken.
func TestE19_GracefulStop(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.openStore()
	in := h.intake(s)
	var taken sync.Map
	address, server, listener := h.listenAs(in.Handler(), intake.Limits{}, func(s *http.Server) {
		s.ConnState = func(c net.Conn, state http.ConnState) {
			if state == http.StateActive {
				taken.Store(c.RemoteAddr().String(), true)
			}
		}
	})
	var accepted, told atomic.Int64
	var stopped atomic.Bool
	var receipts sync.Map
	var wg sync.WaitGroup
	const senders = 6
	for range senders {
		client := h.client()
		wg.Go(func() {
			for hears := 0; ; {
				local := ""
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { local = i.Conn.LocalAddr().String() }})
				r := h.signed("github", change{record: newRecord()}.String()).WithContext(ctx)
				a, err := send(client, address, r)
				if err != nil {
					if _, had := taken.Load(local); had && local != "" {
						t.Errorf("a connection that the server had taken was lost: %v", err)
					}
					if !stopped.Load() {
						t.Errorf("before the stop: %v", err)
					}
					return
				}
				if a.status != http.StatusAccepted {
					t.Errorf("%s", a)
					return
				}
				if a.closes {
					if hears++; hears == 2 {
						told.Add(1)
					}
				}
				taken.Delete(local)
				accepted.Add(1)
				receipts.Store(*a.body.Receipt, true)
			}
		})
	}
	h.await("some traffic", func() bool { return accepted.Load() > 100 })
	in.Stop()
	h.await("every sender to be told", func() bool { return told.Load() == senders })
	stopped.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	must(t, listener.Drain(ctx))
	must(t, ctx.Err())
	must(t, server.Shutdown(ctx))
	wg.Wait()
	n := 0
	receipts.Range(func(any, any) bool { n++; return true })
	if n == 0 || h.count("SELECT count(*) FROM event") < n {
		t.Errorf("%d events for %d receipts", h.count("SELECT count(*) FROM event"), n)
	}
}

// The closed store answers too: nobody hangs on a queue that no one empties.
func TestAcceptAfterTheStoreWasClosed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.openStore()
	d := &door{h: h, store: s, Handler: h.intake(s).Handler()}
	var wg sync.WaitGroup
	var odd atomic.Int64
	for n := range 64 {
		r := h.signed("github", change{record: newRecord()}.String())
		wg.Go(func() {
			if n == 20 {
				_ = s.Close()
			}
			if a := d.do(r); a.status != http.StatusAccepted && a.status != http.StatusServiceUnavailable {
				odd.Add(1)
			}
		})
	}
	wg.Wait()
	if odd.Load() > 0 {
		t.Errorf("%d odd answers", odd.Load())
	}
	if _, err := s.Accept(t.Context(), &schema.Posting{Source: "x", Receipt: schema.NewReceipt()}); !errors.Is(err, schema.ErrUnavailable) {
		t.Errorf("%v", fmt.Errorf("after the close: %w", err))
	}
}
