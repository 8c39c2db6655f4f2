package activities

import (
	"encoding/json"
	"errors"
	"time"

	"lockstep/connectors"
	"lockstep/schema"
)

const (
	// triesInBatch is how often a record's trouble sends it back before it gets a workflow of its own.
	triesInBatch = 3
	// triesToJoin is how often a look-up finds a record that is somebody else's before a person is asked.
	triesToJoin = 5
	// joinPause is how long the two halves of a customer get to become one before a look-up is repeated.
	joinPause = 2 * time.Second
)

// settle is the schema.Settler: it says under lock what the answer means for each record. told are the items as they
// were when the call was opened, items as they are now.
func (w *applying) settle(call schema.Call, told, items []*schema.Item, holder func(string) (schema.ID, error)) ([]schema.Ending, error) {
	w.stays, w.retry = 0, nil
	endings := make([]schema.Ending, len(items))
	for i, item := range items {
		var err error
		switch call.Op {
		case schema.OpFind:
			endings[i], err = w.settleFind(call, item, w.found[i], holder)
		case schema.OpRead:
			endings[i], err = w.settleRead(call, item, w.answers[i])
		case schema.OpWrite, schema.OpLink, schema.OpCreate:
			endings[i], err = w.settleWrite(call, told[i], item, i)
		case schema.OpDelete, schema.OpSteps:
			err = errors.New("activities: operation is not offered")
		}
		if err != nil {
			return nil, err
		}
		endings[i].Record, endings[i].Rev = item.Record, told[i].Rev
		if endings[i].Stay {
			w.stays++
		}
	}
	return endings, nil
}

// settleWrite brings a write into the record's state, or finds out who is to blame.
func (w *applying) settleWrite(call schema.Call, told, item *schema.Item, i int) (schema.Ending, error) {
	answer, r := w.answers[i], w.rendered[i]
	if answer.Err != nil {
		return w.settleFailure(call, item, i, answer.Err)
	}
	at := schema.Moment{}
	if !answer.ModifiedAt.IsZero() {
		at.At = answer.ModifiedAt.UnixMilli()
	}
	unclear := w.rules.Wrote(call.System, item.State, answer.ID, r.Told, at, call.SentAt.UnixMilli(), told.Rev)
	e := schema.Ending{State: item.State, Told: true}
	if answer.ID != "" && call.Op == schema.OpCreate {
		e.Ref = answer.ID
	}
	want, more := w.rules.Next(call.System, item.Record, item.State, false)
	e.Next = want.Op
	switch {
	case unclear:
		e.More, e.Next = true, schema.OpRead
	case more && want.Stuck:
		e.Parked, e.Told = schema.ReasonValueNotKept, false
		e.Members = []schema.Member{w.member(call, item, schema.ReasonValueNotKept, "")}
	case more && item.Isolate:
		// Only one event's words were told; the next one's turn has come.
		e.Told, e.Stay = false, w.single && want.Op == call.Op
	case more && !item.Dirty:
		e.More = true
	}
	return e, nil
}

// settleFailure decides about a record for which the call failed.
func (w *applying) settleFailure(call schema.Call, item *schema.Item, i int, failure *connectors.Error) (schema.Ending, error) {
	e := schema.Ending{Kind: failure.Kind, Failed: true}
	switch failure.Kind.Scope() {
	case schema.ScopeTerminal:
		return w.settleTerminal(call, item, i, failure, e)
	case schema.ScopeRecord, schema.ScopeSystem:
	}
	switch failure.Kind {
	case schema.UnknownOutcome:
		return w.lookFirst(call, item, e), nil
	case schema.Conflict:
		e.Next = schema.OpRead
	default:
	}
	switch {
	case w.outlasts(call, item, &e):
	case w.single && failure.Kind != schema.Conflict:
		e.Stay = true
		w.retry = failure
	case !w.single && item.Tries+1 >= triesInBatch:
		e.HandOver = true
	case w.single:
		// It has been read before, and that did not help: what stands in the way may stand there for long.
		e.After = w.backOff(item)
	default:
		e.After = 50*time.Millisecond + time.Duration(w.a.Jitter()*float64(2*time.Second))
	}
	return e, nil
}

// lookFirst has a system asked what it holds, before it is told again what it may have taken.
func (w *applying) lookFirst(call schema.Call, item *schema.Item, e schema.Ending) schema.Ending {
	e.Kind, e.Failed, e.Next = schema.UnknownOutcome, true, schema.OpRead
	if call.Op == schema.OpCreate {
		e.Next = schema.OpFind
	}
	if w.outlasts(call, item, &e) {
		return e
	}
	e.After = w.system.Settle
	if item.Tries >= triesInBatch {
		e.After = max(e.After, w.backOff(item))
	}
	return e
}

// outlasts tells the owner of a record that fails for longer than agreed, and parks one that fails for so long that a
// person has to act; then it returns true. It counts from the first failure: claims that come and go do not stop the
// clock.
func (w *applying) outlasts(call schema.Call, item *schema.Item, e *schema.Ending) (parked bool) {
	switch {
	case w.policy.givesUp(item.Failing):
		e.Parked = schema.ReasonGivenUp
		e.Members = append(e.Members, w.member(call, item, schema.ReasonGivenUp, ""))
		return true
	case w.policy.escalates(item.Failing):
		e.Members = append(e.Members, w.member(call, item, schema.ReasonOf(e.Kind), ""))
	}
	return false
}

// backOff is the pause of a record that has been in trouble for several tries. It ends where somebody has to hear of the
// record, so that nobody hears late.
func (w *applying) backOff(item *schema.Item) time.Duration {
	pause := jittered(w.a.Jitter, w.policy.First, w.policy.Longest, item.Tries-triesInBatch+1)
	for _, due := range []time.Duration{w.policy.EscalateAfter, w.policy.GiveUp} {
		if left := due - item.Failing; left > 0 {
			pause = min(pause, left)
		}
	}
	return pause
}

// settleTerminal finds the event that a vendor refuses for good. What only a person can change in the vendor is parked
// for that person.
func (w *applying) settleTerminal(call schema.Call, item *schema.Item, i int, failure *connectors.Error, e schema.Ending) (schema.Ending, error) {
	reason := schema.ReasonOf(failure.Kind)
	switch failure.Kind {
	case schema.NotFound:
		return w.settleGone(call, item, e)
	case schema.Invalid:
	default:
		e.Parked = reason
		e.Members = []schema.Member{w.member(call, item, reason, failure.Field)}
		return e, nil
	}
	r := w.rendered[i]
	culprit, ok := w.rules.Culprit(call.System, item.Record, item.State, failure.Field, r)
	switch {
	case ok:
		return w.bury(call, item, culprit, reason, failure, e)
	case len(r.Events) == 0:
		e.Parked = reason
		e.Members = []schema.Member{w.member(call, item, reason, failure.Field)}
	case w.single:
		e.Stay, e.Isolate = false, true
		e.More, e.Told = false, false
	default:
		e.HandOver, e.Isolate = true, true
	}
	return e, nil
}

// bury takes a refused event's words back; what they replaced is decided again.
func (w *applying) bury(call schema.Call, item *schema.Item, culprit schema.ID, reason schema.Reason, failure *connectors.Error, e schema.Ending) (schema.Ending, error) {
	m := w.member(call, item, reason, failure.Field)
	m.Event = culprit
	w.rules.Kill(item.State, culprit)
	e.State = item.State
	e.Dead = &schema.DeadEvent{Event: culprit, Reason: reason, Field: failure.Field, Code: failure.Code, Owner: m.Owner}
	e.Members = []schema.Member{m}
	want, more := w.rules.Next(call.System, item.Record, item.State, false)
	e.Told, e.More, e.Next = true, more, want.Op
	e.Standing = w.rules.Wins(item.Record, item.State)
	return e, nil
}

// settleGone notes that the system no longer has the record. It enters the journal as a deletion, and a person hears of
// it: from now on the system is told nothing about this customer (on_delete: keep).
func (w *applying) settleGone(call schema.Call, item *schema.Item, e schema.Ending) (schema.Ending, error) {
	id := item.State.System(call.System).ID
	body, err := json.Marshal(schema.Change{Object: w.object.Name, Ref: id, Kind: schema.EventDelete, At: call.SentAt.UTC()})
	if err != nil {
		return e, errors.New("activities: a deletion cannot be written")
	}
	e.Gone, e.Told, e.Failed = true, false, false
	e.Reads = []schema.NewEvent{{System: call.System, Object: call.Object, Ref: id, Kind: schema.EventDelete, SourceAt: call.SentAt.UTC(), Lane: call.Lane, Body: body}}
	e.Members = []schema.Member{w.member(call, item, schema.ReasonRecordGone, "")}
	return e, nil
}

// settleRead brings what was read into the journal.
func (w *applying) settleRead(call schema.Call, item *schema.Item, answer connectors.Answer) (schema.Ending, error) {
	if answer.Err != nil {
		if answer.Err.Kind == schema.Invalid {
			e := schema.Ending{Kind: answer.Err.Kind, Failed: true, Parked: schema.ReasonOf(answer.Err.Kind)}
			e.Members = []schema.Member{w.member(call, item, e.Parked, answer.Err.Field)}
			return e, nil
		}
		return w.settleFailure(call, item, 0, answer.Err)
	}
	read, err := w.journal(call, answer.Record)
	if err != nil {
		return schema.Ending{}, err
	}
	if answer.Record.ID != item.State.System(call.System).ID {
		// The system merged the record into another one, whose news this is. Nothing more will be heard of the one asked for.
		reason := schema.ReasonVendorMerge
		return schema.Ending{Parked: reason, Members: []schema.Member{w.member(call, item, reason, "")}, ReadsOfOther: []schema.NewEvent{read}}, nil
	}
	return schema.Ending{Reads: []schema.NewEvent{read}}, nil
}

// settleFind says which of the records found is the one meant. None leads to a create, several to a person.
func (w *applying) settleFind(call schema.Call, item *schema.Item, found connectors.Found, holder func(string) (schema.ID, error)) (schema.Ending, error) {
	if found.Err != nil {
		if found.Err.Kind.Scope() == schema.ScopeTerminal {
			e := schema.Ending{Kind: found.Err.Kind, Failed: true, Parked: schema.ReasonOf(found.Err.Kind)}
			e.Members = []schema.Member{w.member(call, item, e.Parked, found.Err.Field)}
			return e, nil
		}
		return w.settleFailure(call, item, 0, found.Err)
	}
	changes := make([]schema.Change, len(found.Records))
	for i, r := range found.Records {
		changes[i] = schema.Change{Ref: r.ID, Fields: r.Fields}
	}
	at, reason := w.rules.MatchFound(call.System, item.Record, item.State, changes)
	switch {
	case reason != "":
		return schema.Ending{Parked: reason, Next: schema.OpFind, Members: []schema.Member{w.member(call, item, reason, "")}}, nil
	case at < 0:
		w.rules.Found(call.System, item.State, "")
		want, more := w.rules.Next(call.System, item.Record, item.State, false)
		return schema.Ending{State: item.State, Told: !more, Next: want.Op}, nil
	}
	return w.adopt(call, item, &found.Records[at], holder)
}

// adopt makes a found record the customer's, unless another half of the customer has it already: then the two become
// one by their match keys, and the look-up is repeated.
func (w *applying) adopt(call schema.Call, item *schema.Item, record *connectors.Record, holder func(string) (schema.ID, error)) (schema.Ending, error) {
	of, err := holder(record.ID)
	if err != nil {
		return schema.Ending{}, err
	}
	read, err := w.journal(call, record)
	if err != nil {
		return schema.Ending{}, err
	}
	if of != (schema.ID{}) && of != item.Record {
		if item.Tries+1 >= triesToJoin {
			reason := schema.ReasonAmbiguousMatch
			return schema.Ending{Parked: reason, Next: schema.OpFind, Members: []schema.Member{w.member(call, item, reason, "")}}, nil
		}
		return schema.Ending{Failed: true, Next: schema.OpFind, After: joinPause, ReadsOfOther: []schema.NewEvent{read}}, nil
	}
	w.rules.Found(call.System, item.State, record.ID)
	return schema.Ending{State: item.State, Ref: record.ID, Reads: []schema.NewEvent{read}}, nil
}

// journal turns a vendor's record into an event of our own.
func (w *applying) journal(call schema.Call, r *connectors.Record) (schema.NewEvent, error) {
	body, err := json.Marshal(schema.Change{
		Object: w.object.Name, Ref: r.ID, Kind: schema.EventRead, At: r.ModifiedAt, Sequence: r.Sequence, Fields: r.Fields,
	})
	if err != nil {
		return schema.NewEvent{}, errors.New("activities: a record cannot be written")
	}
	return schema.NewEvent{
		System: call.System, Object: call.Object, Ref: r.ID, Kind: schema.EventRead, SourceAt: r.ModifiedAt, Sequence: r.Sequence, Lane: call.Lane, Body: body,
	}, nil
}
