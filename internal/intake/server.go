package intake

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Limits bound what a sender can hold on to (A16).
type Limits struct {
	// Connections is for all senders together, PerAddress for one; 0 means 4096 and 1024.
	Connections int
	PerAddress  int
}

// NewServer returns a server that gives up on slow senders. What net/http itself has to say goes to the log.
func NewServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:  handler,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		// OPTIONS * is a request like any other: unknown.
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            5 * time.Second,
		ReadTimeout:                  15 * time.Second,
		WriteTimeout:                 30 * time.Second,
		IdleTimeout:                  60 * time.Second,
		MaxHeaderBytes:               16 << 10,
	}
}

// Listener bounds connections: one beyond the bounds is closed at once.
type Listener struct {
	net.Listener
	limits Limits

	mu        sync.Mutex
	all       int
	byAddress map[string]int
	closed    bool
	// empty is closed once the listener is and no connection of it is open any more.
	empty     chan struct{}
	emptyOnce sync.Once
}

// Listen bounds the connections of a listener.
func Listen(l net.Listener, limits Limits) *Listener {
	if limits.Connections == 0 {
		limits.Connections = 4096
	}
	if limits.PerAddress == 0 {
		limits.PerAddress = 1024
	}
	return &Listener{Listener: l, limits: limits, byAddress: map[string]int{}, empty: make(chan struct{})}
}

// Accept returns the next connection within the bounds.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host := sender(c.RemoteAddr())
		if l.enter(host) {
			return &boundedConn{Conn: c, leave: sync.OnceFunc(func() { l.leave(host) })}, nil
		}
		_ = c.Close() // one too many; there is nobody to tell
	}
}

// sender names who connects: an IPv4 address, or the network of an IPv6 one, since one host has all of it.
func sender(address net.Addr) string {
	at, err := netip.ParseAddrPort(address.String())
	if err != nil {
		return address.String()
	}
	ip := at.Addr().Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	const network = 64
	return netip.PrefixFrom(ip, network).Masked().String()
}

func (l *Listener) enter(host string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= l.limits.Connections || l.byAddress[host] >= l.limits.PerAddress {
		return false
	}
	l.all++
	l.byAddress[host]++
	return true
}

func (l *Listener) leave(host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.byAddress[host]--; l.byAddress[host] == 0 {
		delete(l.byAddress, host)
	}
	l.tell()
}

// tell tells Drain of the end of the last connection. One may be accepted even while the listener closes.
func (l *Listener) tell() {
	if l.closed && l.all == 0 {
		l.emptyOnce.Do(func() { close(l.empty) })
	}
}

// Close takes no more connections; those that are open stay so. Safe to repeat.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	l.tell()
	return l.Listener.Close()
}

// Drain takes no more connections and waits until those that are open have ended, or the context has. A server is shut
// down after it: net/http drops what it reads once its own shutdown has begun (E19).
func (l *Listener) Drain(ctx context.Context) error {
	err := l.Close()
	select {
	case <-l.empty:
	case <-ctx.Done():
	}
	return err
}

type boundedConn struct {
	net.Conn
	leave func()
}

// Close closes the connection and gives its place up.
func (c *boundedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
