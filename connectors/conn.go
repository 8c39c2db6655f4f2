package connectors

import (
	"net"
	"os"
	"sync/atomic"
	"time"
)

// conn is a pooled connection that knows how much of a request went out and refuses to write after its request's
// deadline. It wraps the TLS connection, not the socket below it: a handshake is not a request.
type conn struct {
	net.Conn
	written  atomic.Int64
	deadline atomic.Pointer[time.Time]
	state    atomic.Int32
}

// The states of a conn. A writer holds it while it writes; a sealed one writes nothing more.
const (
	connIdle int32 = iota
	connWriting
	connSealed
)

// Write sends b unless the deadline of the request has passed. This is the last look at the clock before the first
// byte (protocol, Apply step 2): a process that was stopped since the request was built sends nothing.
func (c *conn) Write(b []byte) (int, error) {
	if d := c.deadline.Load(); d != nil && passed(*d) {
		return 0, os.ErrDeadlineExceeded
	}
	if !c.state.CompareAndSwap(connIdle, connWriting) {
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Write(b)
	c.written.Add(int64(n))
	c.state.CompareAndSwap(connWriting, connIdle)
	return n, err
}

// passed compares both clocks: the monotonic one stands still while a virtual machine is suspended, the wall clock may
// be set back.
func passed(deadline time.Time) bool {
	now := time.Now()
	return !now.Before(deadline) || !now.Round(0).Before(deadline.Round(0))
}

// flight follows one request over the connections that it is given.
type flight struct {
	deadline time.Time
	held     *conn
	before   int64
}

// take notes that the request got a connection. A request of which bytes went out over another one gets it sealed.
func (f *flight) take(c net.Conn) {
	held, ok := c.(*conn)
	if !ok {
		return
	}
	if f.sent() {
		held.state.Store(connSealed)
		return
	}
	f.held, f.before = held, held.written.Load()
	held.deadline.Store(&f.deadline)
}

// sent reports whether a byte of the request went out.
func (f *flight) sent() bool { return f.held != nil && f.held.written.Load() > f.before }

// land ends the flight of a request that failed: nothing of it goes out any more, and the answer says whether anything
// did. A write under way counts as sent.
func (f *flight) land() (sent bool) {
	if f.held == nil {
		return false
	}
	if !f.held.state.CompareAndSwap(connIdle, connSealed) {
		return true
	}
	return f.sent()
}
