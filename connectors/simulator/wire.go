package simulator

import (
	"net"
	"net/http"
	"strconv"
	"time"
)

// send puts the answer on the wire, spoilt as the fault asks.
func (f *Front) send(w http.ResponseWriter, a Answer, fault Fault) {
	if fault.Kind == FaultResetAfter {
		reset(w)
		return
	}
	header := w.Header()
	for key, values := range a.Header {
		header[key] = values
	}
	header.Set("Date", f.Clock.Now().Format(http.TimeFormat))
	if a.Status != http.StatusNoContent && a.Status != http.StatusNotModified {
		header.Set("Content-Length", strconv.Itoa(len(a.Body)))
	}
	w.WriteHeader(a.Status)
	switch fault.Kind {
	case FaultTruncate:
		truncate(w, a.Body, fault.Bytes)
	case FaultDrip:
		f.drip(w, a.Body, fault)
	default:
		_, _ = w.Write(a.Body) // the client may be gone; the journal says what was decided
	}
}

// truncate announces the whole body, sends a part of it and drops the connection.
func truncate(w http.ResponseWriter, body []byte, keep int) {
	if keep == 0 {
		keep = len(body) / 2
	}
	_, _ = w.Write(body[:min(keep, len(body))])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// drip sends the body in small pieces with pauses between them.
func (f *Front) drip(w http.ResponseWriter, body []byte, fault Fault) {
	piece := max(fault.Bytes, 1)
	out := http.NewResponseController(w)
	_ = out.Flush()
	for len(body) > 0 {
		f.wait(time.Duration(fault.Ms) * time.Millisecond)
		n := min(piece, len(body))
		if _, err := w.Write(body[:n]); err != nil {
			return
		}
		if out.Flush() != nil {
			return
		}
		body = body[n:]
	}
}

// reset drops the connection with a TCP reset where it can, so that the client sees no orderly end.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
