package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"lockstep/internal/store/storetest"
	"lockstep/schema"
)

// bench is a journal whose decisions and answers the test makes itself, without rules and without vendors.
type bench struct {
	*storetest.Journal
	t *testing.T
}

func newBench(t *testing.T, o ...storetest.Options) *bench {
	t.Helper()
	o = append(o, storetest.Options{})
	return &bench{Journal: storetest.Open(t, o[0]), t: t}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tell brings one event of salesforce about a record to the journal and returns its id.
func (b *bench) tell(ref, body string) schema.ID {
	b.t.Helper()
	p := storetest.Posting("salesforce", ref, body, schema.EventChange, body)
	a, err := b.Accept(b.t.Context(), p)
	must(b.t, err)
	if a.Events != 1 {
		b.t.Fatalf("accepted %+v", a)
	}
	return schema.EventID(a.Receipt, 1)
}

// recordOf returns the record of an event.
func (b *bench) recordOf(event schema.ID) schema.ID {
	b.t.Helper()
	return b.id(`SELECT record FROM ref JOIN event ON event.ref = ref.id WHERE event.id = $1`, event.String())
}

func (b *bench) id(query string, args ...any) (id schema.ID) {
	b.t.Helper()
	if err := b.Owner.GetContext(b.t.Context(), &id, query, args...); err != nil {
		b.t.Fatalf("%s: %v", query, err)
	}
	return id
}

// verdict decides every event of a record the same way.
type verdict func(r *schema.OpenRecord) schema.Resolution

// applied has the events decided, told to a system by an operation.
func applied(system string, op schema.Op) verdict {
	return func(r *schema.OpenRecord) schema.Resolution {
		res := schema.Resolution{Record: r.ID, Object: r.Object, Rev: r.Rev + 1, State: r.State, Identified: r.Identified}
		lane := schema.LaneBulk
		for _, e := range r.Events {
			lane = min(lane, e.Lane)
			res.Standing = append(res.Standing, e.ID)
			res.Verdicts = append(res.Verdicts, schema.Resolved{Event: e.ID, Source: e.Source, Round: e.Round, State: schema.EventDecided, Outcome: schema.Applied})
		}
		res.Wants = []schema.Wanted{{System: system, Op: op, Lane: lane}}
		return res
	}
}

// ended has the events end at once.
func ended(outcome schema.Outcome) verdict {
	return func(r *schema.OpenRecord) schema.Resolution {
		res := schema.Resolution{Record: r.ID, Object: r.Object, Rev: r.Rev, State: r.State, Identified: r.Identified}
		for _, e := range r.Events {
			res.Verdicts = append(res.Verdicts, schema.Resolved{
				Event: e.ID, Source: e.Source, Round: e.Round, Outcome: outcome, Final: true, Owner: "ops", Reason: reasonOf(outcome),
			})
		}
		return res
	}
}

// held keeps the events for a reason.
func held(reason schema.Reason, until time.Time) verdict {
	return func(r *schema.OpenRecord) schema.Resolution {
		res := schema.Resolution{Record: r.ID, Object: r.Object, Rev: r.Rev, State: r.State, Identified: r.Identified}
		for _, e := range r.Events {
			res.Verdicts = append(res.Verdicts, schema.Resolved{Event: e.ID, Source: e.Source, Round: e.Round, State: schema.EventHeld, Reason: reason, HeldUntil: until})
		}
		return res
	}
}

func reasonOf(o schema.Outcome) schema.Reason {
	if o == schema.Dead {
		return schema.ReasonInternal
	}
	return ""
}

// decide decides what is new in a lane.
func (b *bench) decide(v verdict, lane ...schema.Lane) schema.Decided {
	b.t.Helper()
	lane = append(lane, schema.LaneNormal)
	done, err := b.Decide(b.t.Context(), schema.DecideQuery{Lane: lane[0]}, everyRecord(v))
	must(b.t, err)
	return done
}

// decideOnly decides one record, whether or not it has new events.
func (b *bench) decideOnly(record schema.ID, v verdict) {
	b.t.Helper()
	_, err := b.Decide(b.t.Context(), schema.DecideQuery{Lane: schema.LaneNormal, Only: record}, everyRecord(v))
	must(b.t, err)
}

func everyRecord(v verdict) schema.Decider {
	return func(_ context.Context, records []*schema.OpenRecord, _ schema.Look) ([]schema.Resolution, error) {
		var out []schema.Resolution
		for _, r := range records {
			out = append(out, v(r))
		}
		return out, nil
	}
}

// ready brings one event to the point at which a system has to be told, and returns it.
func (b *bench) ready(ref, system string, op schema.Op) schema.ID {
	b.t.Helper()
	event := b.tell(ref, fmt.Sprintf(`{"of":%q,"n":%q}`, ref, schema.NewRandom()))
	b.decide(applied(system, op))
	return event
}

var toGenesys = schema.ClaimQuery{System: "genesys", Object: "customer", Op: schema.OpWrite, Lane: schema.LaneNormal, Bulk: 10, Calls: 2}

// claim claims what is ready for genesys; it has to be there.
func (b *bench) claim(q schema.ClaimQuery) schema.Claim {
	b.t.Helper()
	c, ok, err := b.Claim(b.t.Context(), q)
	must(b.t, err)
	if !ok {
		b.t.Fatalf("nothing is claimed of %+v; deliveries %v", q, b.Texts(`SELECT x::text FROM delivery x`))
	}
	return c
}

// mayClaim reports whether anything can be claimed, and claims it.
func (b *bench) mayClaim(q schema.ClaimQuery) bool {
	b.t.Helper()
	_, ok, err := b.Claim(b.t.Context(), q)
	must(b.t, err)
	return ok
}

// open opens the call of a part that tells all of its records.
func (b *bench) open(c schema.Claim, part int) schema.Opening {
	b.t.Helper()
	o, err := b.OpenCall(b.t.Context(), quickly(c, part), everything)
	must(b.t, err)
	return o
}

// opened is open for a call that has to be made.
func (b *bench) opened(c schema.Claim) schema.Opening {
	b.t.Helper()
	o := b.open(c, 0)
	if o.Call == nil {
		b.t.Fatalf("no call is opened: %+v", o)
	}
	return o
}

func quickly(c schema.Claim, part int) schema.OpenQuery {
	return schema.OpenQuery{Claim: c.ID, Part: part, Timeout: time.Minute, Margin: time.Second}
}

func everything(_ schema.Call, items []*schema.Item, _ bool) (sent []int, payload []byte, endings []schema.Ending, err error) {
	for i := range items {
		sent = append(sent, i)
	}
	return sent, []byte("payload"), nil, nil
}

// answer closes a call; change says what becomes of each record beyond being told.
func (b *bench) answer(o schema.Opening, change ...func(*schema.Ending)) (late bool) {
	b.t.Helper()
	late, err := b.CloseCall(b.t.Context(), *o.Call, o.Items, endings(o, change...))
	must(b.t, err)
	return late
}

func endings(o schema.Opening, change ...func(*schema.Ending)) schema.Settler {
	return func(items []*schema.Item, _ func(string) (schema.ID, error)) ([]schema.Ending, error) {
		if len(items) != len(o.Items) {
			return nil, errors.New("other items than were told")
		}
		out := make([]schema.Ending, len(items))
		for i, item := range items {
			out[i] = schema.Ending{Record: item.Record, Rev: o.Items[i].Rev, Told: true}
			for _, f := range change {
				f(&out[i])
			}
		}
		return out, nil
	}
}

// delivery is a delivery's row as the test compares it.
type delivery struct {
	State      string  `db:"state"`
	Op         string  `db:"op"`
	DesiredRev int64   `db:"desired_rev"`
	OwedFrom   int64   `db:"owed_from"`
	Tries      int     `db:"tries"`
	Reason     string  `db:"reason"`
	Isolate    bool    `db:"isolate"`
	ReadWanted bool    `db:"read_wanted"`
	Waits      bool    `db:"waits"`
	In         float64 `db:"in_seconds"`
	Claim      string  `db:"claim"`
}

func (b *bench) delivery(record schema.ID, system string) (d delivery) {
	b.t.Helper()
	must(b.t, b.Owner.GetContext(b.t.Context(), &d, `SELECT state, op, desired_rev, coalesce(owed_from, 0) AS owed_from, tries, coalesce(reason, '') AS reason, isolate,
  read_wanted, waits_for IS NOT NULL AS waits, extract(epoch FROM ready_at - now())::float8 AS in_seconds, coalesce(claim::text, '') AS claim
FROM delivery WHERE record = $1 AND system = $2`, record.String(), system))
	return d
}

// outcome returns how an event ended, "" while it is open.
func (b *bench) outcome(event schema.ID) string {
	b.t.Helper()
	return b.Text(`SELECT outcome FROM outcome WHERE event = $1 ORDER BY round DESC LIMIT 1`, event.String())
}

func (b *bench) openClaims() int64 { return b.Count(`SELECT count(*) FROM claim WHERE open`) }

func (b *bench) takenSlots() int64 {
	return b.Count(`SELECT count(*) FROM slot WHERE claim IS NOT NULL`)
}
