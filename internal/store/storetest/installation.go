package storetest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"lockstep/activities"
	"lockstep/connectors"
	"lockstep/internal/dispatch"
	"lockstep/internal/integrationmap"
	"lockstep/internal/protocol"
	"lockstep/internal/store"
	"lockstep/rules"
	"lockstep/schema"
)

// ParseMap reads an integration map. RUNBOOKS in it stands for all of them.
func ParseMap(t testing.TB, yaml string, kinds ...string) *integrationmap.Bundle {
	t.Helper()
	runbooks := make([]string, len(schema.Failures))
	for i, f := range schema.Failures {
		runbooks[i] = string(f.Reason) + ": " + string(f.Reason)
	}
	b, err := integrationmap.Parse("map.yaml", []byte(strings.Replace(yaml, "RUNBOOKS", "{"+strings.Join(runbooks, ", ")+"}", 1)), integrationmap.Known{
		Kinds: kinds, Envelopes: append([]string{"change_set", "flat"}, kinds...),
	})
	must(t, err)
	return b
}

// Parts are what an installation is made of.
type Parts struct {
	Bundle *integrationmap.Bundle
	// Systems are those that can be called.
	Systems map[string]activities.System
	// Envelopes has one entry for each source; none means that every system tells schema.Change as JSON.
	Envelopes map[string]connectors.Envelope
	Protect   rules.Protector
	// Policy is how patient claims are; what is zero is a second, the delays milliseconds.
	Policy activities.Policy
	// CheckAfter is how long a claim may stay silent; 0 means an hour.
	CheckAfter time.Duration
	// Slots and Singles are each system's; 0 means 4 and 5.
	Slots, Singles int
	// Start takes the claims; nil keeps them for Next.
	Start func(c schema.Claim)
	// Log is the dispatchers'; nil discards it.
	Log *slog.Logger
	// Idle leaves the dispatcher to the test.
	Idle bool
}

// Installation is a journal with a dispatcher and the activities. Nobody carries its claims but the test: by Next and
// Attempt step by step, or by Settle until everything is quiet.
type Installation struct {
	*Journal
	Parts
	Activities *activities.Activities

	ctx     context.Context
	claims  chan schema.Claim
	running sync.WaitGroup
}

// Install opens a journal, starts a dispatcher on it and stops that when the test ends.
func Install(t testing.TB, p Parts) *Installation {
	t.Helper()
	p.fill()
	setups := []schema.SystemSetup{}
	for _, name := range slices.Sorted(maps.Keys(p.Systems)) {
		setups = append(setups, schema.SystemSetup{System: name, Slots: cmp.Or(p.Slots, 4), Singles: cmp.Or(p.Singles, 5)})
	}
	return InstallOn(t, Open(t, Options{Digest: p.Bundle.Digest, Systems: setups, CheckAfter: p.CheckAfter}), p)
}

// InstallOn starts a dispatcher on a journal that the test has opened.
func InstallOn(t testing.TB, j *Journal, p Parts) *Installation {
	t.Helper()
	p.fill()
	i := &Installation{Journal: j, Parts: p, claims: make(chan schema.Claim, 4096), Activities: &activities.Activities{
		Journal: j.Store, Map: p.Bundle.Map, Rulesets: p.Bundle.Rulesets, Systems: p.Systems, Protect: p.Protect,
		Margin: 50 * time.Millisecond, Jitter: func() float64 { return 0 },
		WhoCancelled: func(context.Context, string, string) (string, error) { return "", nil },
	}}
	if i.Start == nil {
		i.Start = func(c schema.Claim) { i.claims <- c }
	}
	var stop context.CancelFunc
	i.ctx, stop = context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(func() {
		stop()
		i.running.Wait()
	})
	if !p.Idle {
		i.Dispatch(j.Store)
	}
	return i
}

// Dispatch runs one more dispatcher until the test ends, on the store of its process.
func (i *Installation) Dispatch(s *store.Store) {
	d := i.Dispatcher(s)
	i.running.Go(func() { d.Run(i.ctx) })
}

// Dispatcher returns a dispatcher that does not run.
func (i *Installation) Dispatcher(s dispatch.Journal) *dispatch.Dispatcher {
	return dispatch.New(dispatch.Options{
		Journal: s, Now: time.Now, Log: i.Log, Sizes: i.sizes,
		Bundle: dispatch.Bundle{Map: i.Bundle.Map, Rulesets: i.Bundle.Rulesets, Envelopes: i.Envelopes},
		Start: func(_ context.Context, c schema.Claim) error {
			i.Start(c)
			return nil
		},
	})
}

func (p *Parts) fill() {
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	if p.Envelopes == nil {
		p.Envelopes = map[string]connectors.Envelope{}
		for name := range p.Bundle.Map.Systems {
			p.Envelopes[name] = protocol.Envelope{}
		}
	}
	for _, of := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&p.Policy.Call, time.Second}, {&p.Policy.Moment, time.Second}, {&p.Policy.First, time.Millisecond}, {&p.Policy.Longest, 20 * time.Millisecond},
	} {
		*of.field = cmp.Or(*of.field, of.value)
	}
}

func (i *Installation) sizes(system string, op schema.Op) (bulk, calls int) {
	c := i.Systems[system].Connector
	if c == nil {
		return 0, 0
	}
	return c.Batch(op), c.CallsPerClaim()
}

// Tell brings a change to the journal as a source named like its system does, and returns the receipt.
func (i *Installation) Tell(system string, c schema.Change) schema.ID {
	i.t.Helper()
	body, err := json.Marshal(c)
	must(i.t, err)
	p := Posting(system, c.Ref, schema.NewRandom().String(), c.Kind, string(body))
	p.Units[0].Events[0].SourceAt, p.Units[0].Events[0].Sequence = c.At, c.Sequence
	accepted, err := i.Accept(i.t.Context(), p)
	must(i.t, err)
	return accepted.Receipt
}

// Next returns the next claim that the dispatcher makes or starts again.
func (i *Installation) Next() schema.Claim {
	i.t.Helper()
	select {
	case c := <-i.claims:
		return c
	case <-time.After(10 * time.Second):
		i.t.Fatalf("no claim; the deliveries are %v, the open events %v", i.Texts(`SELECT x::text FROM delivery x`), i.Texts(`SELECT x::text FROM open_event x`))
		return schema.Claim{}
	}
}

// Claimed reports whether a claim waits to be carried.
func (i *Installation) Claimed() bool { return len(i.claims) > 0 }

// Attempt makes one attempt at a part of a claim, as a worker does.
func (i *Installation) Attempt(c schema.Claim, part, n int) (activities.ApplyResult, error) {
	return i.Activities.Attempt(i.ctx, i.Input(c, part), n, 0)
}

// Input is what the workflow of a claim asks for.
func (i *Installation) Input(c schema.Claim, part int) activities.ApplyInput {
	return activities.ApplyInput{Claim: c.ID, Part: part, System: c.System, Single: c.Kind == schema.ClaimSingle, Policy: i.Policy}
}

// Carry does what the workflow of a claim does, until nothing of the claim is left.
func (i *Installation) Carry(c schema.Claim) {
	i.t.Helper()
	for part := range max(1, c.Parts) {
		asked := time.Now()
		for n, done := 1, false; !done; n++ {
			result, err := i.Activities.Attempt(i.ctx, i.Input(c, part), n, time.Since(asked))
			done = result.Done
			if err != nil && i.givenBack(c, err) {
				return
			}
			if err == nil {
				n, asked = 0, time.Now()
			}
		}
	}
}

// givenBack gives a claim back where the attempt asks for that; else it waits as long as the attempt asks for.
func (i *Installation) givenBack(c schema.Claim, err error) bool {
	i.t.Helper()
	var app *temporal.ApplicationError
	if !errors.As(err, &app) {
		i.t.Fatalf("an attempt ends with %v", err)
	}
	if app.Type() != activities.ErrorGiveBack {
		select {
		case <-time.After(app.NextRetryDelay()):
		case <-i.t.Context().Done():
		}
		return false
	}
	var trouble activities.Trouble
	must(i.t, app.Details(&trouble))
	_, err = i.GiveBack(i.ctx, c.ID, trouble.Reason, trouble.Pause)
	must(i.t, err)
	return true
}

const countRestless = `SELECT (SELECT count(*) FROM open_event WHERE state = 'new' OR state = 'held' AND (held_until < now() + interval '1 minute' OR reason = 'reading'))
 + (SELECT count(*) FROM delivery WHERE state IN ('ready', 'claimed'))`

// Settle carries every claim until nothing moves any more: what is left waits for a person.
func (i *Installation) Settle() schema.Stats {
	i.t.Helper()
	eventually(i.t, 20*time.Second, "the journal is not quiet", func() bool {
		for i.Claimed() {
			i.Carry(i.Next())
		}
		return i.Count(countRestless) == 0 && !i.Claimed()
	})
	i.Sound()
	return i.Conserved()
}

// Decided waits until no event is new.
func (i *Installation) Decided() {
	i.t.Helper()
	eventually(i.t, 10*time.Second, "events are not decided", func() bool {
		return i.Count(`SELECT count(*) FROM open_event WHERE state = 'new'`) == 0
	})
}

// Event returns the life of the only event of a receipt.
func (i *Installation) Event(receipt schema.ID) schema.EventLife {
	i.t.Helper()
	life, err := i.Life(i.t.Context(), receipt, func(schema.Claim) string { return "" })
	must(i.t, err)
	if len(life.Events) != 1 {
		i.t.Fatalf("%d events under a receipt", len(life.Events))
	}
	return life.Events[0]
}
