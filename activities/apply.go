package activities

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"lockstep/connectors"
	"lockstep/rules"
	"lockstep/schema"
)

// Apply makes one vendor call for a part of a claim and writes down what came of it. Safe to repeat at any point: the
// call's row stands before the first byte goes out, and nobody calls for the same records before its deadline. It sends
// heartbeats, and ends soon after a person cancels the run.
func (a *Activities) Apply(ctx context.Context, in ApplyInput) (ApplyResult, error) {
	info := activity.GetInfo(ctx)
	work, stop := beating(ctx, cmp.Or(a.Beat, HeartbeatInterval), func(ctx context.Context) { activity.RecordHeartbeat(ctx) })
	defer stop()
	result, err := a.Attempt(work, in, int(info.Attempt), time.Since(info.ScheduledTime))
	if cause := context.Cause(work); err != nil && temporal.IsCanceledError(cause) {
		// Any other error would fail the run, and nobody would park what was cancelled.
		return ApplyResult{}, cause
	}
	return result, err
}

// Attempt is Apply for whoever counts attempts himself: n counts from 1, since is how long ago the first was asked for.
func (a *Activities) Attempt(ctx context.Context, in ApplyInput, n int, since time.Duration) (ApplyResult, error) {
	system, ok := a.Systems[in.System]
	if !ok {
		return ApplyResult{}, fault("system-not-wired")
	}
	attempt := attempt{policy: in.Policy, single: in.Single, n: n, since: since, jitter: a.Jitter}
	for {
		work := &applying{a: a, system: system, policy: in.Policy, single: in.Single}
		opening, err := a.Journal.OpenCall(ctx, schema.OpenQuery{Claim: in.Claim, Part: in.Part, Timeout: in.Policy.Call, Margin: a.Margin}, work.render)
		switch {
		case err != nil:
			return ApplyResult{}, attempt.database(err)
		case opening.Done:
			return ApplyResult{Done: true}, nil
		case opening.Wait > 0:
			return ApplyResult{}, attempt.wait(opening.Reason, opening.Wait)
		case opening.Call == nil:
			// The systems were in step already, or the records went on to another operation.
			continue
		}
		return a.call(ctx, attempt, work, opening)
	}
}

// call makes the committed call and writes its answer down.
func (a *Activities) call(ctx context.Context, attempt attempt, work *applying, opening schema.Opening) (ApplyResult, error) {
	call := *opening.Call
	limited, cancel := context.WithDeadline(ctx, call.Deadline)
	started := time.Now()
	failed := work.send(limited, call)
	cancel()
	a.observe(call, failed, time.Since(started))
	if failed != nil {
		return ApplyResult{}, a.failed(ctx, attempt, call, failed)
	}
	var result ApplyResult
	ctx, cancel = closing(ctx)
	defer cancel()
	late, err := a.Journal.CloseCall(ctx, call, opening.Items, func(items []*schema.Item, holder func(string) (schema.ID, error)) ([]schema.Ending, error) {
		endings, err := work.settle(call, opening.Items, items, holder)
		result = sum(endings)
		return endings, err
	})
	if err != nil {
		return ApplyResult{}, attempt.database(err)
	}
	if late {
		return ApplyResult{}, attempt.late()
	}
	if work.retry != nil {
		return ApplyResult{}, attempt.record(work.retry)
	}
	result.Done = opening.Left == 0 && work.stays == 0
	return result, nil
}

// closeWithin bounds the writing down of an answer.
const closeWithin = 10 * time.Second

// closing is the context in which an answer is written down: even though somebody wants the attempt to end, since what is
// not written down has to be asked for again.
func closing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
}

// failed writes down that the whole call failed. An unknown outcome leaves the call's row as it is: the request may
// still be under way, so the next attempt waits for the deadline.
func (a *Activities) failed(ctx context.Context, attempt attempt, call schema.Call, failed error) error {
	var e *connectors.Error
	if !errors.As(failed, &e) {
		return fault("connector")
	}
	if e.Kind == schema.UnknownOutcome {
		return attempt.unknown(e, time.Until(call.Deadline)+a.Margin)
	}
	pause, trouble := attempt.trouble(e)
	var until time.Time
	if pause > 0 {
		until = time.Now().Add(pause)
	}
	ctx, cancel := closing(ctx)
	defer cancel()
	if err := a.Journal.FailCall(ctx, call, e.Kind, until); err != nil {
		return attempt.database(err)
	}
	return trouble
}

func (a *Activities) observe(call schema.Call, failed error, took time.Duration) {
	if a.Observe == nil {
		return
	}
	kind, _ := connectors.KindOf(failed)
	a.Observe(Observed{System: call.System, Op: call.Op, Kind: kind, Took: took})
}

func sum(endings []schema.Ending) ApplyResult {
	var r ApplyResult
	for _, e := range endings {
		switch {
		case e.Dead != nil:
			r.Dead++
		case e.Parked != "":
			r.Parked++
		case e.HandOver:
			r.HandedOver++
		case e.Told:
			r.Told++
		default:
			r.Again++
		}
	}
	return r
}

// applying is one call on its way: what was rendered for each item, and what the vendor answered.
type applying struct {
	a      *Activities
	system System
	policy Policy
	single bool

	rules    *rules.Ruleset
	object   connectors.Object
	rendered []rules.Rendered
	lookups  [][]connectors.MatchKey
	ids      []string
	changes  []connectors.Change
	answers  []connectors.Answer
	found    []connectors.Found

	// stays counts the records that stay in their claim, retry is why the only one has to be tried again.
	stays int
	retry *connectors.Error
}

// render is the schema.Renderer: it says under lock what the call tells.
func (w *applying) render(call schema.Call, items []*schema.Item, unanswered bool) (sent []int, payload []byte, endings []schema.Ending, err error) {
	if w.rules = w.a.Rulesets[call.Object]; w.rules == nil {
		return nil, nil, nil, fmt.Errorf("activities: object %q is not in the map", call.Object)
	}
	// The transaction may be repeated: what was prepared for the first try is gone.
	w.rendered, w.lookups, w.ids, w.changes = nil, nil, nil, nil
	name, key, fields := w.rules.VendorObject(call.System)
	w.object = connectors.Object{Name: name, Key: key, Fields: fields}
	for i, item := range items {
		ending, ready, err := w.prepare(call, item, unanswered)
		if err != nil {
			return nil, nil, nil, err
		}
		if !ready {
			endings = append(endings, ending)
			continue
		}
		sent = append(sent, i)
	}
	sent = sent[:w.fit(call, len(sent))]
	payload, err = json.Marshal([]any{w.changes, w.ids, w.lookups})
	return sent, payload, endings, err
}

// fit cuts the call down to what the vendor takes in one request.
func (w *applying) fit(call schema.Call, n int) int {
	n = min(n, max(1, w.system.Connector.Batch(call.Op)))
	splitter, ok := w.system.Connector.(connectors.Splitter)
	switch {
	case !ok || n == 0:
	case call.Op == schema.OpFind:
		n = splitter.FitsLookups(w.object, w.lookups[:n])
	case call.Op.Effect():
		n = splitter.Fits(call.Op, w.object, w.changes[:n])
	}
	if call.Op == schema.OpFind {
		w.lookups = w.lookups[:n]
	}
	if call.Op.Effect() {
		w.changes, w.rendered = w.changes[:n], w.rendered[:n]
	}
	if call.Op == schema.OpRead {
		w.ids = w.ids[:n]
	}
	return n
}

// prepare adds an item to the call, or says what becomes of it without one.
func (w *applying) prepare(call schema.Call, item *schema.Item, unanswered bool) (ending schema.Ending, ready bool, err error) {
	ending = schema.Ending{Record: item.Record, Rev: item.Rev}
	id := item.State.System(call.System).ID
	switch call.Op {
	case schema.OpRead:
		if id == "" {
			return w.onward(call, item, ending), false, nil
		}
		w.ids = append(w.ids, id)
		return ending, true, nil
	case schema.OpFind:
		if id != "" {
			return w.onward(call, item, ending), false, nil
		}
		w.lookups = append(w.lookups, matchKeys(w.rules.LookUp(call.System, item.Record, item.State)))
		return ending, true, nil
	case schema.OpWrite, schema.OpLink, schema.OpCreate:
		return w.prepareWrite(call, item, ending, unanswered)
	case schema.OpDelete, schema.OpSteps:
	}
	return ending, false, fmt.Errorf("activities: operation %q is not offered", call.Op)
}

// onward says what has to be done next for an item whose operation no longer fits its state.
func (w *applying) onward(call schema.Call, item *schema.Item, ending schema.Ending) schema.Ending {
	want, more := w.rules.Next(call.System, item.Record, item.State, false)
	switch {
	case !more:
		ending.Told = true
	case want.Stuck:
		ending.Parked = schema.ReasonValueNotKept
		ending.Members = []schema.Member{w.member(call, item, schema.ReasonValueNotKept, "")}
	}
	ending.Next = want.Op
	return ending
}

func (w *applying) prepareWrite(call schema.Call, item *schema.Item, ending schema.Ending, unanswered bool) (schema.Ending, bool, error) {
	want, more := w.rules.Next(call.System, item.Record, item.State, false)
	if !more || want.Stuck || want.Op != call.Op {
		return w.onward(call, item, ending), false, nil
	}
	r, err := w.rules.Render(call.System, item.Record, item.State, call.Op == schema.OpCreate, w.only(call, item), w.a.Protect)
	if err != nil {
		return ending, false, err
	}
	if len(r.Fields) == 0 {
		return w.onward(call, item, ending), false, nil
	}
	if unanswered && (r.Shared || call.Op == schema.OpCreate || w.policy.escalates(item.Failing)) {
		// Nobody knows whether the last call came through: look before doing it again (D4).
		return w.lookFirst(call, item, ending), false, nil
	}
	w.rules.Sending(call.System, item.State, r.Told, unanswered)
	item.Changed = true
	w.rendered = append(w.rendered, r)
	w.changes = append(w.changes, connectors.Change{ID: r.ID, Canonical: item.Record, Fields: r.Fields})
	return ending, true, nil
}

// only returns the event whose words alone are told now, when the refused one has to be found.
func (w *applying) only(call schema.Call, item *schema.Item) schema.ID {
	if !item.Isolate {
		return schema.ID{}
	}
	for _, event := range item.Events {
		r, err := w.rules.Render(call.System, item.Record, item.State, call.Op == schema.OpCreate, event, w.a.Protect)
		if err == nil && len(r.Events) > 0 {
			return event
		}
	}
	return schema.ID{}
}

func matchKeys(keys []rules.LookUpKey) []connectors.MatchKey {
	kinds := map[schema.FieldType]connectors.MatchKind{
		schema.TypeCanonicalID: connectors.MatchCanonical, schema.TypeEmail: connectors.MatchEmail, schema.TypePhone: connectors.MatchPhone,
	}
	out := make([]connectors.MatchKey, len(keys))
	for i, k := range keys {
		kind, ok := kinds[k.Type]
		if !ok {
			kind = connectors.MatchExternal
		}
		out[i] = connectors.MatchKey{Kind: kind, Field: k.Field, Value: k.Value}
	}
	return out
}

// send makes the vendor request. Its error is a *connectors.Error about the call as a whole.
func (w *applying) send(ctx context.Context, call schema.Call) (err error) {
	switch c := w.system.Connector; call.Op {
	case schema.OpRead:
		w.answers, err = offer[connectors.Reader](c, w).Read(ctx, w.object, w.ids)
	case schema.OpFind:
		w.found, err = offer[connectors.Finder](c, w).Find(ctx, w.object, w.lookups)
	case schema.OpWrite:
		w.answers, err = offer[connectors.Writer](c, w).Write(ctx, w.object, w.changes)
	case schema.OpLink:
		w.answers, err = offer[connectors.Linker](c, w).Link(ctx, w.object, w.changes)
	case schema.OpCreate:
		w.answers, err = offer[connectors.Creator](c, w).Create(ctx, w.object, w.changes)
	case schema.OpDelete, schema.OpSteps:
		err = &connectors.Error{System: call.System, Kind: schema.Unsupported}
	}
	return err
}

// offer returns what the connector can do. The wiring has checked at start-up that the map asks for nothing else.
func offer[T any](c connectors.Connector, w *applying) T {
	can, ok := c.(T)
	if !ok {
		panic("activities: " + w.system.Kind + " does not offer what the map asks for")
	}
	return can
}

func (w *applying) member(call schema.Call, item *schema.Item, reason schema.Reason, vendorField string) schema.Member {
	owner := w.rules.FieldOwner(call.System, vendorField)
	if owner == "" {
		owner = w.a.Map.Objects[call.Object].Owner
	}
	return schema.Member{Reason: reason, System: call.System, Object: call.Object, Owner: owner, Record: item.Record}
}
