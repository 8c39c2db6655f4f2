package store

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// defaultSilence is longer than any statement of ours takes.
const defaultSilence = 15 * time.Second

// dialer connects to a server that may fall silent without closing its connections: a frozen process, a host that is
// gone, a firewall that forgot. Neither the kernel nor the driver notices, and whoever waits for an answer would wait
// for a quarter of an hour, whatever its context says.
type dialer struct {
	net     net.Dialer
	silence time.Duration
}

// DialContext connects.
func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.net.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &impatientConn{Conn: c, silence: d.silence}, nil
}

// Dial connects.
func (d dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialTimeout connects within a limit.
func (d dialer) DialTimeout(network, address string, limit time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

// impatientConn gives each read and write a limit of its own, unless the driver has set one. The pool's connections are
// read only while an answer is due.
type impatientConn struct {
	net.Conn
	silence time.Duration
	driven  atomic.Bool
}

// SetDeadline sets the driver's own limit; the zero time ends it.
func (c *impatientConn) SetDeadline(t time.Time) error {
	c.driven.Store(!t.IsZero())
	return c.Conn.SetDeadline(t)
}

// Read reads.
func (c *impatientConn) Read(b []byte) (int, error) {
	if !c.driven.Load() {
		if err := c.SetReadDeadline(time.Now().Add(c.silence)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(b)
}

// Write writes.
func (c *impatientConn) Write(b []byte) (int, error) {
	if !c.driven.Load() {
		if err := c.SetWriteDeadline(time.Now().Add(c.silence)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(b)
}
