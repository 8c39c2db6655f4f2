package activities_test

import (
	"context"
	"testing"

	"lockstep/activities"
	"lockstep/connectors/simulator"
	"lockstep/schema"
)

// mortal is the journal of a worker that dies at one point of its attempt.
type mortal struct {
	activities.Journal
	at point
}

// point is where a worker dies.
type point string

const (
	beforeOpen  point = "before the call is committed"
	afterOpen   point = "after the call is committed, before the first byte"
	beforeClose point = "after the vendor answered, before that is written down"
	afterClose  point = "after the answer is written down, before anybody hears of it"
)

var points = []point{beforeOpen, afterOpen, beforeClose, afterClose}

// OpenCall dies before or after it.
func (m mortal) OpenCall(ctx context.Context, q schema.OpenQuery, render schema.Renderer) (schema.Opening, error) {
	if m.at == beforeOpen {
		return schema.Opening{}, errDied
	}
	o, err := m.Journal.OpenCall(ctx, q, render)
	if err == nil && m.at == afterOpen {
		return schema.Opening{}, errDied
	}
	return o, err
}

// CloseCall dies before or after it.
func (m mortal) CloseCall(ctx context.Context, call schema.Call, told []*schema.Item, settle schema.Settler) (bool, error) {
	if m.at == beforeClose {
		return false, errDied
	}
	late, err := m.Journal.CloseCall(ctx, call, told, settle)
	if err == nil && m.at == afterClose {
		return false, errDied
	}
	return late, err
}

// TestE01 has a worker die at each point of an attempt at each operation. Another one goes on; in the end the change was
// applied exactly once.
func TestE01(t *testing.T) {
	for _, work := range []struct {
		name string
		op   schema.Op
		// begin brings the installation to the moment at which the operation is due and returns the event.
		begin func(o *office) schema.ID
		// field and value are what the org has to hold in the end.
		field, value string
		// unsure is set where it is looked at first whether an unanswered call came through.
		unsure schema.Op
	}{
		{"find", schema.OpFind, func(o *office) schema.ID { return o.customer(1) }, "LastName", "n1", ""},
		{"create", schema.OpCreate, func(o *office) schema.ID { return o.customer(1) }, "LastName", "n1", schema.OpFind},
		{"write what only others own", schema.OpWrite, func(o *office) schema.ID {
			o.customer(1)
			o.Settle()
			return o.says(1, schema.Fields{"name": "Byron"})
		}, "LastName", "Byron", ""},
		{"write what the system may change, too", schema.OpWrite, func(o *office) schema.ID {
			o.customer(1)
			o.Settle()
			return o.says(1, schema.Fields{"lang": "fr"})
		}, "Preferred_Language__c", "fr", schema.OpRead},
	} {
		for _, at := range points {
			t.Run(work.name+"/"+string(at), func(t *testing.T) {
				t.Parallel()
				o := newOffice(t)
				event := work.begin(o)
				c := o.next(work.op)
				if _, err := o.worker(mortal{o.Store, at}).Attempt(t.Context(), o.Input(c, 0), 1, 0); err == nil {
					t.Fatal("nobody died")
				}
				if e := o.Event(event); e.Outcome == schema.Applied && e.State == "done" && at != afterClose {
					t.Errorf("the event is %s although nobody lived to see it", e.Outcome)
				}
				before := o.Count(`SELECT count(*) FROM call`)
				o.Carry(c) // Temporal's next attempt, on another worker
				o.Settle()
				if e := o.Event(event); e.Outcome != schema.Applied {
					t.Errorf("the event is %s %s", e.State, e.Outcome)
				}
				contact := o.contact(1)
				if contact[work.field] != work.value || contact["Ext_Id__c"] != o.Event(event).Record.String() {
					t.Errorf("the org has %v", contact)
				}
				o.onlyOnce(work.field, work.value)
				if sent := o.Count(`SELECT count(*) FROM call WHERE state = 'sent'`); sent != 0 {
					t.Errorf("%d calls are open", sent)
				}
				lost := at == afterOpen || at == beforeClose
				if unknown := o.Count(`SELECT count(*) FROM call WHERE state = 'unknown'`); (unknown == 1) != lost {
					t.Errorf("%d calls of unknown outcome", unknown)
				}
				// What only others own is told again; what may have changed since is looked at first.
				first := o.Text(`SELECT op FROM call ORDER BY id OFFSET $1 LIMIT 1`, before)
				if lost && work.unsure != "" && first != string(work.unsure) || lost && work.unsure == "" && first != string(work.op) {
					t.Errorf("after the death the next call is %s", first)
				}
			})
		}
	}
}

// onlyOnce checks that a value came into the org by one effect, and that nothing was created twice.
func (o *office) onlyOnce(field, value string) {
	o.t.Helper()
	set, created := 0, 0
	for _, e := range o.org.Effects() {
		if e.Op == simulator.OpCreate && e.Object == "Contact" {
			created++
		}
		if e.Fields[field] == value && e.Before[field] != value {
			set++
		}
	}
	if set != 1 || created != 1 {
		o.t.Errorf("%s was set %d times by %d creations", field, set, created)
	}
}
