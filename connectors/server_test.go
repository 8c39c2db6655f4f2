package connectors

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"
)

// serve starts an HTTP server and a transport that may reach it.
func serve(t *testing.T, handler http.HandlerFunc, adjust ...func(*TransportConfig)) (*Transport, string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return reach(t, server.URL, adjust...), server.URL
}

// reach returns a transport for a base URL on this machine.
func reach(t *testing.T, base string, adjust ...func(*TransportConfig)) *Transport {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	c := TransportConfig{System: "crm", Hosts: []string{u.Host}, AllowLoopback: true}
	for _, f := range adjust {
		f(&c)
	}
	transport, err := NewTransport(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.Close)
	return transport
}

// wire is a raw server: each connection goes to the script with its number, from 1.
type wire struct {
	listener net.Listener
	accepted atomic.Int64
	requests atomic.Int64
}

func listen(t *testing.T, script func(w *wire, n int64, c net.Conn)) (*wire, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: listener}
	done := make(chan struct{})
	open := make(chan net.Conn, 1024)
	go func() {
		defer close(done)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			open <- c
			n := w.accepted.Add(1)
			go func() {
				defer func() { _ = c.Close() }()
				script(w, n, c)
			}()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
		close(open)
		for c := range open {
			_ = c.Close()
		}
	})
	return w, "http://" + listener.Addr().String()
}

// readRequest reads one request, body and all.
func (w *wire) readRequest(c net.Conn, r *bufio.Reader) bool {
	request, err := http.ReadRequest(r)
	if err != nil {
		return false
	}
	w.requests.Add(1)
	body := make([]byte, request.ContentLength)
	for read := 0; read < len(body); {
		n, err := request.Body.Read(body[read:])
		read += n
		if err != nil {
			break
		}
	}
	return true
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
