package store_test

import (
	"testing"
	"time"

	"lockstep/schema"
)

// failing says how a delivery fails: the kind of the last failure and the full hours since the first; "" when it does not.
func (b *bench) failing(record schema.ID) string {
	b.t.Helper()
	return b.Text(`SELECT failing_kind || ' ' || floor(extract(epoch FROM now() - failing_since) / 3600) FROM delivery WHERE record = $1 AND system = 'genesys'`,
		record.String())
}

// anHourAgo sets the clock of every failure back.
func (b *bench) anHourAgo() {
	b.t.Helper()
	b.Exec(`UPDATE delivery SET failing_since = failing_since - interval '1 hour'`)
	b.Exec(`UPDATE delivery SET ready_at = now() WHERE state = 'ready'`)
}

// fails ends what was told of a record as a failure.
func fails(kind schema.Kind, more ...func(*schema.Ending)) func(*schema.Ending) {
	return func(e *schema.Ending) {
		e.Told, e.Failed, e.Kind = false, true, kind
		for _, f := range more {
			f(e)
		}
	}
}

// The clock of a record that fails starts with its first failure and goes on through every claim, read and hand-over, until
// the system has been told.
func TestAFailureIsCountedFromTheFirst(t *testing.T) {
	b := newBench(t)
	record := b.recordOf(b.ready("003A", "genesys", schema.OpWrite))
	expect := func(when, want string) {
		t.Helper()
		if got := b.failing(record); got != want {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
		b.Sound()
	}
	c := b.claim(toGenesys)
	expect("claimed", "")
	b.answer(b.opened(c), fails(schema.Contention))
	expect("after the first failure", "Contention 0")
	b.anHourAgo()
	b.answer(b.opened(b.claim(toGenesys)), fails(schema.Conflict, func(e *schema.Ending) { e.Next = schema.OpRead }))
	expect("after the second", "Conflict 1")
	b.anHourAgo()
	toRead := toGenesys
	toRead.Op = schema.OpRead
	b.answer(b.opened(b.claim(toRead)), func(e *schema.Ending) { e.Told, e.Next = false, schema.OpWrite })
	expect("after a read", "Conflict 2")
	b.ready("003A", "genesys", schema.OpWrite)
	expect("after another event", "Conflict 2")
	_, err := b.GiveBack(t.Context(), b.claim(toGenesys).ID, schema.ReasonTargetUnavailable, 0)
	must(t, err)
	b.Exec(`UPDATE system_state SET breaker = 'closed'`)
	expect("given back", "Conflict 2")
	b.answer(b.opened(b.claim(toGenesys)), fails(schema.Contention, func(e *schema.Ending) { e.HandOver = true }))
	expect("handed over", "Contention 2")
	swept, err := b.Sweep(t.Context())
	must(t, err)
	if len(swept) != 1 || swept[0].Failing < 2*time.Hour || swept[0].Failing > 2*time.Hour+time.Minute {
		t.Fatalf("the sweep starts %+v", swept)
	}
	must(t, b.OpenIncident(t.Context(), swept[0].ID, "ops"))
	if got := b.Texts(`SELECT reason || ' ' || owner FROM member WHERE closed IS NULL`); len(got) != 1 || got[0] != "record_busy ops" {
		t.Errorf("before its first call the owner hears of %v", got)
	}
	o := b.opened(swept[0])
	if item := o.Items[0]; item.Failing < 2*time.Hour || item.Failing > 2*time.Hour+time.Minute {
		t.Errorf("the call is told %s", item.Failing)
	}
	_, err = b.CloseCall(t.Context(), *o.Call, o.Items, func(items []*schema.Item, holder func(string) (schema.ID, error)) ([]schema.Ending, error) {
		if items[0].Failing != o.Items[0].Failing {
			t.Errorf("the answer is told %s", items[0].Failing)
		}
		return endings(o, fails(schema.Contention, func(e *schema.Ending) { e.Stay = true }))(items, holder)
	})
	must(t, err)
	expect("tried again alone", "Contention 2")
	b.answer(b.opened(swept[0]))
	expect("told", "")
	if d := b.delivery(record, "genesys"); d.State != "idle" || d.Tries != 0 {
		t.Errorf("delivery %+v", d)
	}
}

// What starts the clock of a failure, and what stops it.
func TestWhatStartsAndStopsTheClock(t *testing.T) {
	parked := func(reason schema.Reason) func(b *bench, c schema.Claim) {
		return func(b *bench, c schema.Claim) {
			b.answer(b.opened(c), fails(schema.Contention))
			b.anHourAgo()
			b.answer(b.opened(b.claim(toGenesys)), fails(schema.Contention, func(e *schema.Ending) { e.Parked = reason }))
		}
	}
	release := func(b *bench, record schema.ID) {
		moved, err := b.Unpark(b.t.Context(), record, "genesys", "dana")
		must(b.t, err)
		if !moved {
			b.t.Error("not released")
		}
	}
	another := func(b *bench, _ schema.ID) { b.ready("003A", "genesys", schema.OpWrite) }
	for name, c := range map[string]struct {
		meanwhile    func(b *bench, c schema.Claim)
		then         func(b *bench, record schema.ID)
		before, want string
		tries        int
	}{
		"a call without an answer": {func(b *bench, c schema.Claim) {
			b.opened(c)
			b.Exec(`UPDATE call SET deadline = now() - interval '1 second', sent_at = now() - interval '2 minutes'`)
			b.opened(c)
		}, nil, "UnknownOutcome 0", "UnknownOutcome 0", 0},
		"given back without an answer": {func(b *bench, c schema.Claim) {
			b.opened(c)
			_, err := b.GiveBack(b.t.Context(), c.ID, schema.ReasonTargetUnavailable, 0)
			must(b.t, err)
		}, nil, "UnknownOutcome 0", "UnknownOutcome 0", 0},
		"trouble of the whole system": {func(b *bench, c schema.Claim) {
			must(b.t, b.FailCall(b.t.Context(), *b.opened(c).Call, schema.Unavailable, time.Time{}))
			_, err := b.GiveBack(b.t.Context(), c.ID, schema.ReasonTargetUnavailable, 0)
			must(b.t, err)
		}, nil, "", "", 0},
		"another half was found": {func(b *bench, c schema.Claim) {
			b.answer(b.opened(c), func(e *schema.Ending) { e.Told, e.Failed = false, true })
		}, nil, "", "", 1},
		"given up":                      {parked(schema.ReasonGivenUp), nil, "Contention 1", "Contention 1", 2},
		"given up, released":            {parked(schema.ReasonGivenUp), release, "Contention 1", "", 0},
		"given up, and something new":   {parked(schema.ReasonGivenUp), another, "Contention 1", "", 0},
		"stopped by a person, and news": {parked(schema.ReasonParkedByPerson), another, "Contention 1", "Contention 1", 2},
		"in step by itself": {func(b *bench, c schema.Claim) { b.answer(b.opened(c), fails(schema.Contention)) }, func(b *bench, record schema.ID) {
			b.tell("003A", `{"in":"step"}`)
			b.decideOnly(record, func(r *schema.OpenRecord) schema.Resolution {
				res := ended(schema.Echo)(r)
				res.Rev++
				return res
			})
		}, "Contention 0", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			record := b.recordOf(b.ready("003A", "genesys", schema.OpWrite))
			c.meanwhile(b, b.claim(toGenesys))
			if got := b.failing(record); got != c.before {
				t.Errorf("before: %q, want %q", got, c.before)
			}
			if c.then != nil {
				c.then(b, record)
			}
			if got, d := b.failing(record), b.delivery(record, "genesys"); got != c.want || d.Tries != c.tries {
				t.Errorf("%q after %d tries, want %q after %d: %+v", got, d.Tries, c.want, c.tries, d)
			}
			b.Sound()
			b.Conserved()
		})
	}
}
