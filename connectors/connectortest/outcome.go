package connectortest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"lockstep/connectors"
	"lockstep/connectors/simulator"
	"lockstep/schema"
)

// operations are those that a fault is tried on.
var operations = []schema.Op{schema.OpWrite, schema.OpCreate, schema.OpLink, schema.OpRead, schema.OpFind}

// staged puts what an operation needs into the vendor and returns its change: a linked record to write, read or find, a
// person's own to link, nothing to create.
func (b *bench) staged(op schema.Op, n int) connectors.Change {
	switch op {
	case schema.OpCreate:
		return b.person(n)
	case schema.OpLink:
		c := b.person(n)
		c.ID = b.Put(c.Fields)
		c.Fields = schema.Fields{b.h.Text: "linked"}
		return c
	case schema.OpWrite:
		c := b.planted(n)
		c.Fields = schema.Fields{b.h.Text: "written"}
		return c
	default:
		return b.planted(n)
	}
}

// settled repeats the operation without any fault and checks that it ends as if there had been none.
func (b *bench) settled(op schema.Op, n int, c connectors.Change, records int) {
	b.t.Helper()
	answers := b.call(b.ctx(), op, []connectors.Change{c})
	if answers[0].Err != nil {
		b.t.Errorf("repeated: %v", answers[0].Err)
		return
	}
	if got := b.Count(); got != records {
		b.t.Errorf("there are %d records, want %d", got, records)
	}
	want := b.h.Person(n)
	switch op {
	case schema.OpCreate:
		c.ID = answers[0].ID
	case schema.OpWrite, schema.OpLink:
		want[b.h.Text] = c.Fields[b.h.Text]
	default:
		return
	}
	want[b.h.Object.Key] = c.Canonical.String()
	b.holds(c.ID, want)
}

func lost(op schema.Op) schema.Kind {
	if op.Effect() {
		return schema.UnknownOutcome
	}
	return schema.Unavailable
}

// testUnknownOutcomes breaks the answer of every operation in every way (D04, D08, D09, D19).
func testUnknownOutcomes(t *testing.T, h Harness) {
	faults := map[string]struct {
		fault   simulator.Fault
		applied bool
		slow    bool
	}{
		"reset before":    {fault: simulator.Fault{Kind: simulator.FaultResetBefore}},
		"reset after":     {fault: simulator.Fault{Kind: simulator.FaultResetAfter}, applied: true},
		"cut body":        {fault: simulator.Fault{Kind: simulator.FaultTruncate}, applied: true},
		"page before":     {fault: simulator.Fault{Kind: simulator.FaultHTML}},
		"page after":      {fault: simulator.Fault{Kind: simulator.FaultHTML, After: true}, applied: true},
		"gateway timeout": {fault: simulator.Fault{Kind: simulator.FaultStatus, Code: 504, After: true}, applied: true},
		"bad gateway":     {fault: simulator.Fault{Kind: simulator.FaultStatus, Code: 502}},
		"slow after":      {fault: simulator.Fault{Kind: simulator.FaultSlow, Ms: 1200, After: true}, applied: true, slow: true},
		"drip":            {fault: simulator.Fault{Kind: simulator.FaultDrip, Ms: 100}, applied: true, slow: true},
	}
	for name, f := range faults {
		for i, op := range operations {
			if f.slow && (op == schema.OpLink || op == schema.OpFind) {
				continue // as write and read; waiting costs time
			}
			t.Run(fmt.Sprintf("%s/%s", name, op), func(t *testing.T) {
				t.Parallel()
				b := open(t, h)
				b.warm()
				c := b.staged(op, i)
				records := b.Count()
				if op == schema.OpCreate {
					records++
				}
				fault := f.fault
				fault.Count = 1
				b.Inject(fault)
				ctx := b.ctx()
				if f.slow {
					short, cancel := context.WithTimeout(ctx, 600*time.Millisecond)
					defer cancel()
					ctx = short
				}
				before := b.effects()
				b.one(func() {
					answers := b.call(ctx, op, []connectors.Change{c})
					if e := answers[0].Err; e == nil || e.Kind != lost(op) {
						t.Errorf("got %v, want %s", e, lost(op))
					}
				})
				if applied := b.effects() > before; applied != (f.applied && op.Effect()) {
					t.Errorf("the vendor applied it: %t", applied)
				}
				b.settled(op, i, c, records)
			})
		}
	}
}

// testServerErrors: a server error in the vendor's own words has applied nothing that a repetition would harm (D03).
func testServerErrors(t *testing.T, h Harness) {
	for _, code := range []int{500, 503, 408} {
		for i, op := range operations {
			t.Run(fmt.Sprintf("%d/%s", code, op), func(t *testing.T) {
				b := open(t, h)
				b.warm()
				c := b.staged(op, i)
				records := b.Count()
				if op == schema.OpCreate {
					records++
				}
				b.Inject(simulator.Fault{Kind: simulator.FaultStatus, Code: code, Count: 1})
				before := b.effects()
				b.one(func() {
					e := b.call(b.ctx(), op, []connectors.Change{c})[0].Err
					if e == nil || e.Kind != schema.Unavailable || e.Status != code {
						t.Errorf("got %v, want Unavailable (%d)", e, code)
					}
				})
				if b.effects() != before {
					t.Error("the vendor applied it")
				}
				b.settled(op, i, c, records)
			})
		}
	}
}

// testRetryAfter: a wait is obeyed in every form and bounded (D01); without one the vendor's body or nothing counts
// (D02).
func testRetryAfter(t *testing.T, h Harness) {
	forms := map[string]struct {
		values    simulator.RetryAfter
		low, high time.Duration
	}{
		"absent":    {nil, 0, time.Hour},
		"seconds":   {simulator.RetryAfter{"7"}, 7 * time.Second, 7 * time.Second},
		"zero":      {simulator.RetryAfter{"0"}, time.Second, time.Second},
		"negative":  {simulator.RetryAfter{"-3"}, time.Second, time.Second},
		"float":     {simulator.RetryAfter{"2.5"}, 3 * time.Second, 3 * time.Second},
		"billion":   {simulator.RetryAfter{"1000000000"}, time.Hour, time.Hour},
		"garbage":   {simulator.RetryAfter{"soon"}, time.Second, time.Second},
		"date":      {simulator.RetryAfter{"date:90"}, 60 * time.Second, 91 * time.Second},
		"duplicate": {simulator.RetryAfter{"3", "9"}, 9 * time.Second, 9 * time.Second},
	}
	b := open(t, h)
	b.warm()
	n := 0
	for name, f := range forms {
		for _, op := range operations {
			n++
			c := b.staged(op, n%40)
			for _, code := range []int{429, 503} {
				if code == 503 && f.values == nil {
					continue
				}
				b.Inject(simulator.Fault{Kind: simulator.FaultThrottle, Code: code, RetryAfter: f.values, Count: 1})
				before := b.effects()
				b.one(func() {
					e := b.call(b.ctx(), op, []connectors.Change{c})[0].Err
					if e == nil || e.Kind != schema.Throttled || e.RetryAfter < f.low || e.RetryAfter > f.high {
						t.Errorf("%d %s, %s: %v (waits %v), want Throttled, %v to %v", code, name, op, e, e.RetryAfter, f.low, f.high)
					}
				})
				if b.effects() != before {
					t.Errorf("%s, %s: the vendor applied it", name, op)
				}
			}
		}
	}
}

// testRefusals: each refusal of a whole call becomes its kind, with nothing of its words (D12).
func testRefusals(t *testing.T, h Harness) {
	b := open(t, h)
	b.warm()
	c := b.staged(schema.OpWrite, 1)
	for _, r := range h.Refusals {
		r.Fault.Kind, r.Fault.Count = simulator.FaultStatus, 1
		r.Fault.Message = or(r.Fault.Message, fmt.Sprint("the value ", b.h.Person(1)[h.Email], " is refused"))
		b.Inject(r.Fault)
		b.one(func() {
			e := b.call(b.ctx(), schema.OpWrite, []connectors.Change{c})[0].Err
			if e == nil || e.Kind != r.Kind || e.Status != r.Fault.Code {
				t.Errorf("%d %s: %v, want %s", r.Fault.Code, r.Fault.BodyCode, e, r.Kind)
			}
		})
	}
}

func or(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}

// testRedirects: no answer sends us anywhere (A23, D17).
func testRedirects(t *testing.T, h Harness) {
	var sentinel atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { sentinel.Add(1) }))
	defer elsewhere.Close()
	b := open(t, h)
	b.warm()
	for i, target := range []string{elsewhere.URL, "http://169.254.169.254/latest/meta-data/", "//localhost/", "/elsewhere"} {
		b.wire.answer(func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Location", target)
			w.WriteHeader([]int{301, 302, 307, 308}[i])
			return true
		})
		for _, op := range operations {
			c := b.staged(op, i)
			b.one(func() {
				if e := b.call(b.ctx(), op, []connectors.Change{c})[0].Err; e == nil || e.Kind != schema.Unsupported {
					t.Errorf("%s to %s: %v, want Unsupported", op, target, e)
				}
			})
		}
	}
	if n := sentinel.Load(); n != 0 {
		t.Errorf("the sentinel saw %d connects, want 0", n)
	}
}

// testGiantAnswers: an answer without end ends at the bound (D18).
func testGiantAnswers(t *testing.T, h Harness) {
	b := open(t, h, func(b *bench) { b.limit = 1 << 20 })
	b.warm()
	b.wire.answer(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		block := make([]byte, 64<<10)
		for i := range block {
			block[i] = ' '
		}
		for sent := 0; sent < 64<<20; sent += len(block) {
			if _, err := w.Write(block); err != nil {
				return true
			}
		}
		_, _ = io.WriteString(w, "[]")
		return true
	})
	for i, op := range operations {
		c := b.staged(op, i)
		b.one(func() {
			if e := b.call(b.ctx(), op, []connectors.Change{c})[0].Err; e == nil || e.Kind != lost(op) || e.Code != connectors.CodeAnswerTooBig {
				t.Errorf("%s: %v, want %s", op, e, lost(op))
			}
		})
	}
}
