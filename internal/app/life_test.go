package app

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep/schema"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// lives are events at each point of their way.
func lives() map[string]schema.EventLife {
	at := func(ms int) time.Time { return time.Date(2026, 1, 2, 3, 4, 5, ms*int(time.Millisecond), time.UTC) }
	id := func(n byte) schema.ID { return schema.ID{0: 0x01, 6: 0x70, 8: 0x80, 15: n} }
	life := func(change func(*schema.EventLife)) schema.EventLife {
		e := schema.EventLife{
			Event: id(1), Source: "salesforce", System: "salesforce", Object: "customer", Kind: schema.EventChange, Record: id(9), Lane: "push", SourceAt: at(0), ReceivedAt: at(400),
		}
		change(&e)
		return e
	}
	told := schema.CallLife{Call: id(7), System: "genesys", Op: schema.OpWrite, State: schema.CallAnswered, SentAt: at(450), AnsweredAt: at(520), Records: 3}
	return map[string]schema.EventLife{
		"new": life(func(e *schema.EventLife) { e.State, e.SourceAt = "new", time.Time{} }),
		"applied": life(func(e *schema.EventLife) {
			e.State, e.Outcome, e.EndedAt, e.Calls = "done", schema.Applied, at(530), []schema.CallLife{told}
			e.Deliveries = []schema.DeliveryLife{{System: "genesys", State: schema.DeliveryIdle, Op: schema.OpWrite}}
		}),
		"retried": life(func(e *schema.EventLife) {
			slowed, lost := told, told
			slowed.Kind = schema.Throttled
			lost.State, lost.SentAt, lost.AnsweredAt = schema.CallUnknown, at(700), time.Time{}
			e.State, e.Outcome, e.Rev, e.Calls = "decided", schema.Applied, 4, []schema.CallLife{slowed, lost}
			e.Deliveries = []schema.DeliveryLife{{
				System: "genesys", State: schema.DeliveryClaimed, Op: schema.OpWrite, Tries: 2, Workflow: "sync/customer/" + id(9).String() + "/" + id(5).String(),
			}}
		}),
		"parked": life(func(e *schema.EventLife) {
			e.State, e.Outcome, e.Rev = "decided", schema.Applied, 4
			e.Deliveries = []schema.DeliveryLife{{System: "genesys", State: schema.DeliveryParked, Op: schema.OpFind, Reason: schema.ReasonAmbiguousMatch}}
		}),
		"held": life(func(e *schema.EventLife) {
			e.State, e.Reason, e.Sentence = "held", schema.ReasonAmbiguousMatch, schema.ReasonAmbiguousMatch.Sentence()
		}),
		"superseded": life(func(e *schema.EventLife) {
			by := id(2)
			e.State, e.Outcome, e.EndedAt, e.SupersededBy = "done", schema.Superseded, at(410), &by
			e.Fields = json.RawMessage(`{"last_name":{"verdict":"kept_out","by":"salesforce"}}`)
		}),
		"dead": life(func(e *schema.EventLife) {
			refused := told
			refused.Kind = schema.Invalid
			e.State, e.Outcome, e.Reason, e.EndedAt, e.DeadLetter = "done", schema.Dead, schema.ReasonValueRefused, at(530), "dl-7"
			e.Sentence, e.Calls = e.Reason.Sentence(), []schema.CallLife{refused}
		}),
	}
}

// What `event show` prints of an event at each point of its way, for a person and as JSON.
func TestEventShowIsAsItWas(t *testing.T) {
	bundle, _, err := Config{Map: shippedMap}.loadMap()
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range lives() {
		life := schema.Life{Receipt: schema.ReceiptOf(e.Event), Events: []schema.EventLife{e}}
		var text, asJSON strings.Builder
		printLife(&text, life, bundle.Map)
		s := &scene{streams: Streams{Out: &asJSON}}
		if err := s.print(true, life, nil); err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", "life", name+".txt")
		got := text.String() + "\n" + asJSON.String()
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s is printed as\n%s", name, got)
		}
	}
}
