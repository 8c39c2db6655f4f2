package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lockstep/schema"
)

// empty takes everything out of the journal but the systems.
func (b *bench) empty() {
	b.t.Helper()
	b.Exec(`WITH a AS (DELETE FROM event), b AS (DELETE FROM open_event), c AS (DELETE FROM outcome), d AS (DELETE FROM call), e AS (DELETE FROM delivery),
f AS (DELETE FROM claim), g AS (DELETE FROM member), h AS (DELETE FROM dead_letter), i AS (DELETE FROM tally), j AS (DELETE FROM ref), k AS (DELETE FROM record),
l AS (DELETE FROM dedupe_current), m AS (UPDATE slot SET claim = NULL), n AS (UPDATE credential SET paused_until = NULL)
UPDATE system_state SET breaker = 'closed', open_until = NULL, trips = 0, paused_by = NULL`)
}

// TestNothingIsEverLostFromTheNumbers does whatever may happen to events, in any order, and counts after each step:
// accepted is always what ended and what is open (INV-02).
func TestNothingIsEverLostFromTheNumbers(t *testing.T) {
	b := newBench(t)
	verdicts := []verdict{
		applied("genesys", schema.OpWrite), applied("genesys", schema.OpWrite), applied("salesforce", schema.OpWrite), applied("salesforce", schema.OpRead),
		ended(schema.Echo), ended(schema.Ignored), ended(schema.Superseded), ended(schema.Dead), ended(schema.Erased),
		held(schema.ReasonAmbiguousMatch, time.Time{}), held(schema.ReasonClockSkew, time.Now()),
		func(r *schema.OpenRecord) schema.Resolution {
			res := applied("genesys", schema.OpWrite)(r)
			res.Wants[0].Parked = schema.ReasonValueNotKept
			return res
		},
	}
	changes := []func(*schema.Ending){
		func(*schema.Ending) {},
		func(e *schema.Ending) { e.More, e.Next = true, schema.OpWrite },
		fails(schema.Contention),
		fails(schema.Conflict, func(e *schema.Ending) { e.HandOver = true }),
		func(e *schema.Ending) { e.Told, e.Parked = false, schema.ReasonWriteForbidden },
		func(e *schema.Ending) { e.Gone, e.Told = true, false },
		func(e *schema.Ending) {
			e.Told = false
			e.Reads = []schema.NewEvent{{System: "genesys", Object: "customer", Ref: "r" + e.Record.String(), Kind: schema.EventRead, Lane: schema.LaneNormal, Body: []byte(schema.NewRandom().String())}}
		},
	}
	// done counts what happened in all runs together: a step that never finds anything to do proves nothing.
	done := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		b.empty()
		accepted, refused, duplicates := int64(0), int64(0), int64(0)
		var bodies []string
		var calls []schema.Opening
		race := func(err error) {
			if err != nil && !errors.Is(err, schema.ErrRaced) {
				rt.Fatal(err)
			}
		}
		for _, step := range rapid.Permutation([]string{
			"tell", "tell", "tell", "tell", "decide", "decide", "decide", "decide", "claim", "claim", "claim", "answer", "answer", "answer",
			"give back", "park", "release", "unhold", "again", "refuse", "fold",
		}).Draw(rt, "steps") {
			did := true
			switch step {
			case "tell":
				body := fmt.Sprintf(`{"n":%d}`, len(bodies))
				bodies = append(bodies, body)
				b.tell(rapid.SampledFrom([]string{"003A", "003B", "003C"}).Draw(rt, "record"), body)
				accepted++
			case "again":
				if did = len(bodies) > 0; did {
					a, err := b.Accept(t.Context(), posting("salesforce", unit(bodies[0], bodies[0], "003A", false)))
					if err != nil || a.Events != 0 {
						rt.Fatalf("%+v, %v", a, err)
					}
					duplicates++
				}
			case "refuse":
				_, err := b.Refuse(t.Context(), schema.Refused{Source: "salesforce", Object: "customer", Owner: "ops", Refusal: schema.Refusal{Reason: schema.ReasonBadValue}, Body: []byte("x")})
				race(err)
				refused++
			case "decide":
				v := verdicts[rapid.IntRange(0, len(verdicts)-1).Draw(rt, "verdict")]
				got, err := b.Decide(t.Context(), schema.DecideQuery{Lane: schema.LaneNormal}, everyRecord(v))
				race(err)
				did = got.Events > 0
			case "claim":
				for _, system := range []string{"genesys", "salesforce"} {
					for _, op := range []schema.Op{schema.OpWrite, schema.OpRead} {
						q := toGenesys
						q.System, q.Op = system, op
						if c, ok, err := b.Claim(t.Context(), q); err != nil {
							race(err)
						} else if ok {
							calls = append(calls, b.open(c, 0))
						}
					}
				}
				swept, err := b.Sweep(t.Context())
				race(err)
				for _, c := range swept {
					if c.Kind == schema.ClaimSingle {
						calls = append(calls, b.open(c, 0))
					}
				}
				did = len(calls) > 0
			case "answer":
				if did = len(calls) > 0; did {
					i := rapid.IntRange(0, len(calls)-1).Draw(rt, "call")
					o := calls[i]
					calls = slices.Delete(calls, i, i+1)
					if o.Call != nil {
						b.answer(o, changes[rapid.IntRange(0, len(changes)-1).Draw(rt, "ending")], bury(rt, b))
					}
				}
			case "give back", "park":
				claims := b.Texts(`SELECT id::text FROM claim WHERE open ORDER BY made_at`)
				if did = len(claims) > 0; did {
					id := b.id(`SELECT $1::uuid`, rapid.SampledFrom(claims).Draw(rt, "claim"))
					var err error
					if step == "park" {
						_, err = b.Park(t.Context(), id, schema.ReasonParkedByPerson, "ops", "dana")
					} else {
						_, err = b.GiveBack(t.Context(), id, schema.ReasonTargetSlow, 0)
					}
					race(err)
					b.Exec(`UPDATE system_state SET breaker = 'closed'`)
				}
			case "release":
				parked := b.Texts(`SELECT record::text FROM delivery WHERE state = 'parked'`)
				if did = len(parked) > 0; did {
					for _, system := range []string{"genesys", "salesforce"} {
						_, err := b.Unpark(t.Context(), b.id(`SELECT $1::uuid`, parked[0]), system, "dana")
						race(err)
					}
				}
			case "fold":
				did = b.Count(`SELECT fold_tallies('-1 hour', 5)`) > 0
			case "unhold":
				n, err := b.ReleaseHeld(t.Context())
				race(err)
				did = n > 0
			}
			if did {
				done[step]++
			}
			b.Exec(`UPDATE delivery SET ready_at = now() WHERE state = 'ready'`)
			stats := b.Conserved()
			if stats.Accepted != accepted || stats.Refused != refused || stats.Duplicates != duplicates {
				rt.Fatalf("after %s: the journal counts %d, %d and %d; accepted were %d, refused %d, sent again %d",
					step, stats.Accepted, stats.Refused, stats.Duplicates, accepted, refused, duplicates)
			}
			if t.Failed() {
				rt.Fatalf("after %s", step)
			}
		}
		b.Sound()
		if t.Failed() {
			rt.FailNow()
		}
	})
	for _, step := range []string{"tell", "decide", "again", "refuse", "claim", "answer", "give back", "park", "release", "unhold", "fold"} {
		if done[step] == 0 {
			t.Errorf("%s was done %d times in all", step, done[step])
		}
	}
}

// bury has, now and then, a system refuse the newest open event of a record for good.
func bury(rt *rapid.T, b *bench) func(*schema.Ending) {
	return func(e *schema.Ending) {
		if rapid.IntRange(0, 5).Draw(rt, "refused") > 0 {
			return
		}
		if open := b.Texts(`SELECT event::text FROM open_event WHERE record = $1 AND state = 'decided' ORDER BY event DESC`, e.Record.String()); len(open) > 0 {
			e.Dead = &schema.DeadEvent{Event: b.id(`SELECT $1::uuid`, open[0]), Reason: schema.ReasonValueRefused, Owner: "ops"}
		}
	}
}
