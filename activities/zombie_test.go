package activities_test

import (
	"context"
	"errors"
	"testing"

	"go.temporal.io/sdk/temporal"

	"lockstep/activities"
	"lockstep/connectors/simulator"
	"lockstep/schema"
)

// paused is the journal of a worker that is stopped at one point and goes on when the test says so.
type paused struct {
	activities.Journal
	at      point
	reached chan struct{}
	goOn    chan struct{}
}

func newPaused(j activities.Journal, at point) *paused {
	return &paused{j, at, make(chan struct{}), make(chan struct{})}
}

func (p *paused) stop() {
	close(p.reached)
	<-p.goOn
}

// OpenCall stops behind the commit.
func (p *paused) OpenCall(ctx context.Context, q schema.OpenQuery, render schema.Renderer) (schema.Opening, error) {
	o, err := p.Journal.OpenCall(ctx, q, render)
	if p.at == afterOpen {
		p.stop()
	}
	return o, err
}

// CloseCall stops before it begins.
func (p *paused) CloseCall(ctx context.Context, call schema.Call, told []*schema.Item, settle schema.Settler) (bool, error) {
	if p.at == beforeClose {
		p.stop()
	}
	return p.Journal.CloseCall(ctx, call, told, settle)
}

// TestE12 stops a worker in the middle of an attempt, for longer than its call may last, while others settle its claim and
// tell the org something newer. When it goes on it changes nothing, in the org or in the journal.
func TestE12(t *testing.T) {
	for _, at := range []point{afterOpen, beforeClose} {
		for _, end := range []string{"another attempt settles it", "a person stops it", "it is given back"} {
			t.Run(string(at)+"/"+end, func(t *testing.T) {
				t.Parallel()
				o := newOffice(t)
				first := o.customer(1)
				o.Settle()
				old := o.says(1, schema.Fields{"name": "Old"})
				c := o.next(schema.OpWrite)
				stopped := newPaused(o.Store, at)
				result := make(chan error, 1)
				go func() {
					_, err := o.worker(stopped).Attempt(context.WithoutCancel(t.Context()), o.Input(c, 0), 1, 0)
					result <- err
				}()
				<-stopped.reached
				switch end {
				case "another attempt settles it":
					o.Carry(c)
				case "a person stops it":
					_, err := o.Park(t.Context(), c.ID, schema.ReasonParkedByPerson, "ops", "dana")
					must(t, err)
					_, err = o.Unpark(t.Context(), o.Event(first).Record, "crm", "dana")
					must(t, err)
				case "it is given back":
					_, err := o.GiveBack(t.Context(), c.ID, schema.ReasonTargetSlow, 0)
					must(t, err)
				}
				o.Settle()
				newer := o.says(1, schema.Fields{"name": "Newer"})
				o.Settle()
				record := o.Event(first).Record.String()
				state := func() string {
					return o.Text(`SELECT md5(state::text) FROM record WHERE id = $1`, record) +
						o.Text(`SELECT string_agg(event::text || outcome, ' ' ORDER BY event) FROM outcome`) + o.Text(`SELECT string_agg(id::text || state, ' ' ORDER BY id) FROM call`)
				}
				before, calls := state(), len(o.org.Requests())
				close(stopped.goOn)
				err := <-result
				var app *temporal.ApplicationError
				if !errors.As(err, &app) || app.NonRetryable() {
					t.Errorf("the zombie ends with %v", err)
				}
				if after := state(); after != before {
					t.Errorf("the zombie changed\n%s\ninto\n%s", before, after)
				}
				for _, r := range o.org.Requests()[calls:] {
					if len(r.Effects) > 0 {
						t.Errorf("the zombie reached the org: %s %s", r.Method, r.Path)
					}
				}
				o.Settle()
				if got := o.contact(1)["LastName"]; got != "Newer" {
					t.Errorf("the org has %q in the end", got)
				}
				for _, event := range []schema.ID{old, newer} {
					if e := o.Event(event); e.Outcome != schema.Applied && e.Outcome != schema.Superseded {
						t.Errorf("an event is %s %s", e.State, e.Outcome)
					}
				}
			})
		}
	}
}

// TestUnknownOutcomes cuts the connection before or after the org did what was asked, for each class of call: nothing is
// done twice, nothing is lost, and only what could do harm is looked at first.
func TestUnknownOutcomes(t *testing.T) {
	for _, c := range []struct {
		name         string
		op           schema.Op
		word         schema.Fields
		field, value string
		looks        schema.Op
	}{
		{"absolute", schema.OpWrite, schema.Fields{"name": "Byron"}, "LastName", "Byron", ""},
		{"two-way", schema.OpWrite, schema.Fields{"lang": "fr"}, "Preferred_Language__c", "fr", schema.OpRead},
		{"create", schema.OpCreate, nil, "LastName", "n1", schema.OpFind},
	} {
		for _, kind := range []string{simulator.FaultResetBefore, simulator.FaultResetAfter, simulator.FaultTruncate} {
			t.Run(c.name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				o := newOffice(t)
				event := o.customer(1)
				if c.op == schema.OpWrite {
					o.Settle()
					event = o.says(1, c.word)
				}
				claim := o.next(c.op)
				fault := o.org.Inject(simulator.Fault{Class: simulator.ClassWrite, Kind: kind, Count: 1})
				_, err := o.Attempt(claim, 0, 1)
				var app *temporal.ApplicationError
				if !errors.As(err, &app) || app.NonRetryable() || app.NextRetryDelay() < patience.Call/2 {
					t.Fatalf("the attempt ends with %v", err)
				}
				if o.Text(`SELECT state FROM call ORDER BY id DESC LIMIT 1`) != "sent" {
					t.Error("the call counts as answered")
				}
				if again, err := o.Attempt(claim, 0, 2); err == nil {
					t.Errorf("another call beside the one that may still arrive: %+v", again)
				}
				before := o.Count(`SELECT count(*) FROM call`)
				o.Carry(claim)
				o.Settle()
				next := o.Text(`SELECT op FROM call ORDER BY id OFFSET $1 LIMIT 1`, before)
				if want := string(c.looks); want != "" && next != want || want == "" && next != string(c.op) {
					t.Errorf("the next call is %s", next)
				}
				if o.Event(event).Outcome != schema.Applied || o.contact(1)[c.field] != c.value {
					t.Errorf("the event is %s, the org has %v", o.Event(event).Outcome, o.contact(1))
				}
				o.onlyOnce(c.field, c.value)
				if unknown := o.Count(`SELECT count(*) FROM call WHERE state = 'unknown'`); unknown != 1 {
					t.Errorf("%d calls of unknown outcome after %s", unknown, fault)
				}
			})
		}
	}
}

// Nothing is waited for that cannot arrive: a call that the system refused as a whole is repeated without a look.
func TestARefusedCallIsNotUnknown(t *testing.T) {
	o := newOffice(t)
	o.customer(1)
	c := o.next(schema.OpCreate)
	o.org.Inject(simulator.Fault{Class: simulator.ClassWrite, Kind: simulator.FaultThrottle, Count: 1})
	if _, err := o.Attempt(c, 0, 1); err == nil {
		t.Fatal("a refusal is a success")
	}
	if got := o.Text(`SELECT state || ' ' || kind FROM call ORDER BY id DESC LIMIT 1`); got != "answered Throttled" {
		t.Errorf("the call is %s", got)
	}
	o.Carry(c)
	o.Settle()
	if got := o.Texts(`SELECT op FROM call ORDER BY id`); len(got) != 3 || got[0] != "find" || got[1] != "create" || got[2] != "create" {
		t.Errorf("calls %v", got)
	}
	o.onlyOnce("LastName", "n1")
}
