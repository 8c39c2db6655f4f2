package dispatch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"lockstep/connectors"
	"lockstep/rules"
	"lockstep/schema"
)

// triesLimit is how often deciding an event may kill the process before it is buried (protocol F18).
const triesLimit = 3

// Bundle is the part of the integration map that decides.
type Bundle struct {
	Map      *schema.Map
	Rulesets map[string]*rules.Ruleset
	// Envelopes has one entry for each source.
	Envelopes map[string]connectors.Envelope
}

// decider decides records under lock.
type decider struct {
	bundle Bundle
	now    func() time.Time
}

// deliberation is one record on its way to a resolution.
type deliberation struct {
	record   *schema.OpenRecord
	rules    *rules.Ruleset
	events   []rules.Event
	keys     []schema.Key
	decision rules.Decision
	// readings has an entry for each system that we looked at.
	readings map[string]reading
	// settled are the verdicts of events that rules never saw.
	settled []schema.Resolved
	members []schema.Member
	before  []schema.Key
}

// decide is the schema.Decider of this role.
func (d *decider) decide(ctx context.Context, records []*schema.OpenRecord, look schema.Look) ([]schema.Resolution, error) {
	var all []*deliberation
	var resolutions []schema.Resolution
	for _, r := range records {
		if r.Damaged {
			resolutions = append(resolutions, d.setAside(r))
			continue
		}
		del, err := d.deliberate(r)
		if err != nil {
			return nil, err
		}
		all = append(all, del)
	}
	found, err := look(ctx, asks(all))
	if err != nil {
		return nil, err
	}
	targets, taken := map[schema.ID]bool{}, map[claimedKey]bool{}
	for _, del := range all {
		if del.meetsItself(taken) {
			continue
		}
		res, err := d.resolve(del, found[del.record.ID])
		if err != nil {
			return nil, err
		}
		if res.Join != (schema.ID{}) {
			targets[res.Join] = true
		}
		resolutions = append(resolutions, res)
	}
	// Whoever gains another record's half is decided in the next round, from both halves.
	return slices.DeleteFunc(resolutions, func(r schema.Resolution) bool { return targets[r.Record] }), nil
}

// setAside holds all events of a record that cannot be opened: an engineer has to look, and nobody else waits for it.
func (d *decider) setAside(r *schema.OpenRecord) schema.Resolution {
	del := &deliberation{record: r, rules: d.bundle.Rulesets[r.Object]}
	for _, e := range r.Events {
		del.settled = append(del.settled, d.hold(del, e, schema.ReasonInternal, ""))
	}
	return d.holdAll(del, schema.ReasonInternal)
}

// deliberate reads a record's events and decides them by the rules.
func (d *decider) deliberate(r *schema.OpenRecord) (*deliberation, error) {
	del := &deliberation{record: r, rules: d.bundle.Rulesets[r.Object], readings: newestReadings(r.Events)}
	if del.rules == nil {
		return nil, fmt.Errorf("dispatch: object %q is not in the map", r.Object)
	}
	del.before = del.rules.RecordKeys(r.ID, r.State)
	for _, e := range r.Events {
		if e.Tries >= triesLimit {
			del.settled = append(del.settled, d.bury(del, e))
			continue
		}
		if e.Damaged {
			del.settled = append(del.settled, d.refuse(del, e, &schema.Refusal{Reason: schema.ReasonInternal}))
			continue
		}
		event, refusal, ok := d.readSafely(del.rules, e)
		if !ok {
			del.settled = append(del.settled, d.bury(del, e))
			continue
		}
		if refusal != nil {
			del.settled = append(del.settled, d.refuse(del, e, refusal))
			continue
		}
		del.events = append(del.events, event)
	}
	if err := d.ruleSafely(del); err != nil {
		return nil, err
	}
	del.keys = del.rules.RecordKeys(r.ID, r.State)
	return del, nil
}

// readSafely reads an event. ok is false when that makes the envelope or the rules panic (E11).
func (d *decider) readSafely(rs *rules.Ruleset, e schema.OpenEvent) (event rules.Event, refusal *schema.Refusal, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	event, refusal = d.read(rs, e)
	return event, refusal, true
}

// read turns a journal row back into the event that it stands for. A value that cannot be spelt canonically holds the
// whole event: no partial updates (ruling 8).
func (d *decider) read(rs *rules.Ruleset, e schema.OpenEvent) (rules.Event, *schema.Refusal) {
	change, refusal := d.change(e)
	if refusal == nil && change.Kind != schema.EventDelete {
		refusal = rs.Check(e.System, change, func(string) string { return "" })
	}
	if refusal != nil {
		return rules.Event{}, refusal
	}
	return rules.Event{ID: e.ID, System: e.System, Change: change, ReceivedAt: e.ReceivedAt, Reads: e.Reads}, nil
}

func (d *decider) change(e schema.OpenEvent) (schema.Change, *schema.Refusal) {
	unreadable := &schema.Refusal{Reason: schema.ReasonInternal}
	if e.Source == schema.OwnSource {
		var c schema.Change
		dec := json.NewDecoder(bytes.NewReader(e.Body))
		dec.UseNumber()
		if dec.Decode(&c) != nil || schema.Validate(c) != nil {
			return c, unreadable
		}
		return c, nil
	}
	envelope := d.bundle.Envelopes[e.Source]
	if envelope == nil {
		return schema.Change{}, &schema.Refusal{Reason: schema.ReasonUnknownObject}
	}
	changes, err := envelope.Parse(e.Body)
	var refusal *schema.Refusal
	switch {
	case errors.As(err, &refusal):
		return schema.Change{}, refusal
	case err != nil || e.Part >= len(changes) || schema.Validate(changes[e.Part]) != nil:
		return schema.Change{}, unreadable
	}
	return changes[e.Part], nil
}

// ruleSafely decides by the rules. Should an event make them panic, it is buried alone and the others are decided
// without it.
func (d *decider) ruleSafely(del *deliberation) error {
	decision, ok := d.rule(del, del.events)
	if ok {
		del.decision = decision
		return nil
	}
	var sound []rules.Event
	for _, e := range del.events {
		if err := del.restart(); err != nil {
			return err
		}
		if _, ok := d.rule(del, []rules.Event{e}); ok {
			sound = append(sound, e)
			continue
		}
		del.settled = append(del.settled, d.bury(del, del.open(e.ID)))
	}
	if err := del.restart(); err != nil {
		return err
	}
	if decision, ok = d.rule(del, sound); !ok {
		return fmt.Errorf("dispatch: record %s cannot be decided", del.record.ID)
	}
	del.events, del.decision = sound, decision
	return nil
}

func (d *decider) rule(del *deliberation, events []rules.Event) (decision rules.Decision, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	r := del.record
	return del.rules.Decide(rules.Input{
		Record: r.ID, Rev: r.Rev, State: r.State, Events: events, Verify: r.Verify, Looks: del.looks(), Now: d.now(),
	}), true
}

func (del *deliberation) restart() (err error) {
	del.record.State, err = del.record.Again()
	return err
}

func (del *deliberation) open(id schema.ID) schema.OpenEvent {
	i := slices.IndexFunc(del.record.Events, func(e schema.OpenEvent) bool { return e.ID == id })
	return del.record.Events[i]
}

// asks says whose other self has to be looked for: of every record that is not recognised yet, and of those whose
// match keys changed.
func asks(all []*deliberation) []schema.Asked {
	var asked []schema.Asked
	for _, del := range all {
		r := del.record
		canonical := del.rules.CanonicalIDs(r.ID, r.State)
		if r.WantsJoin != (schema.ID{}) {
			canonical = append(canonical, r.WantsJoin)
		}
		unknown := !r.Identified || !slices.Equal(del.keys, del.before) || r.WantsJoin != (schema.ID{})
		if unknown && len(del.keys)+len(canonical) > 0 {
			asked = append(asked, schema.Asked{Record: r.ID, Object: r.Object, Keys: del.keys, Canonical: canonical})
		}
	}
	return asked
}

// claimedKey is a match key that a record of this decision is about to take.
type claimedKey struct {
	object string
	key    schema.Key
}

// meetsItself reports whether the record shares a match key with one that is decided beside it. Nobody can find either
// yet, so this one waits for the next round, which finds the other.
func (del *deliberation) meetsItself(taken map[claimedKey]bool) bool {
	if del.record.Identified && slices.Equal(del.keys, del.before) {
		return false
	}
	for _, k := range del.keys {
		if taken[claimedKey{del.record.Object, k}] {
			return true
		}
	}
	for _, k := range del.keys {
		taken[claimedKey{del.record.Object, k}] = true
	}
	return false
}

// resolve says what becomes of a record, now that it is known who else it could be.
func (d *decider) resolve(del *deliberation, candidates []schema.Candidate) (schema.Resolution, error) {
	r := del.record
	other, reason := d.identify(del, candidates)
	if other != (schema.ID{}) {
		return schema.Resolution{Record: r.ID, Object: r.Object, Join: other}, nil
	}
	if reason != "" {
		return d.holdAll(del, reason), nil
	}
	res := schema.Resolution{
		Record: r.ID, Object: r.Object, Rev: del.decision.Rev, State: r.State,
		Identified: r.Identified || len(del.keys) > 0, Keys: del.keys, Standing: del.decision.Standing, Verdicts: del.settled,
	}
	d.want(del, &res)
	owed := len(res.Wants) > 0
	for _, x := range r.Deliveries {
		owed = owed || x.State == schema.DeliveryClaimed && x.OwedFrom > 0
	}
	for _, v := range del.decision.Verdicts {
		resolved, err := d.verdict(del, v, owed)
		if err != nil {
			return res, err
		}
		res.Verdicts = append(res.Verdicts, resolved)
	}
	res.Members = append(res.Members, del.members...)
	return res, nil
}

// identify returns the record that this one is part of, zero for none, or why a person has to say.
func (d *decider) identify(del *deliberation, candidates []schema.Candidate) (schema.ID, schema.Reason) {
	if len(candidates) == 0 {
		return schema.ID{}, ""
	}
	if candidates[0].Shares < 0 {
		return byOurID(del, candidates)
	}
	keys := del.keys
	candidates = slices.DeleteFunc(slices.Clone(candidates), func(c schema.Candidate) bool {
		// A system that has both under one telephone number says that they are two.
		return !keys[c.Shares].Reserves && del.sharesSystem(c)
	})
	n, reason := rules.Identify(keys, candidates)
	switch {
	case n < 0:
		return schema.ID{}, reason
	case del.sharesSystem(candidates[n]):
		return schema.ID{}, schema.ReasonKeyTaken
	}
	return candidates[n].Record, ""
}

// byOurID follows an id of ours that a system holds for the record.
func byOurID(del *deliberation, candidates []schema.Candidate) (schema.ID, schema.Reason) {
	first := candidates[0]
	for _, c := range candidates {
		if c.Record != first.Record {
			return schema.ID{}, schema.ReasonAmbiguousMatch
		}
	}
	if del.sharesSystem(first) {
		if del.record.Identified {
			// A copy of our id in the wrong place; it is overwritten like any value that we own.
			return schema.ID{}, ""
		}
		return schema.ID{}, schema.ReasonAmbiguousMatch
	}
	return first.Record, ""
}

// sharesSystem reports whether a system has both, or had this one until it was deleted there.
func (del *deliberation) sharesSystem(c schema.Candidate) bool {
	return slices.ContainsFunc(c.Live, func(name string) bool {
		s := del.record.State.Systems[name]
		return s != nil && s.ID != ""
	})
}

// holdAll keeps every new event of a record for a person, and nothing of what they say.
func (d *decider) holdAll(del *deliberation, reason schema.Reason) schema.Resolution {
	res := schema.Resolution{Record: del.record.ID, Object: del.record.Object, Rev: del.record.Rev, Identified: del.record.Identified, Verdicts: del.settled}
	for _, e := range del.events {
		res.Verdicts = append(res.Verdicts, d.hold(del, del.open(e.ID), reason, ""))
	}
	res.Members = del.members
	return res
}

// refuse keeps an event that cannot be understood for a person. A read is over once the system was looked at again: that
// shows all that it could tell.
func (d *decider) refuse(del *deliberation, e schema.OpenEvent, refusal *schema.Refusal) schema.Resolved {
	if newest := del.readings[e.System].event; ofOurs(e) && newest != e.ID {
		return schema.Resolved{Event: e.ID, Source: e.Source, Round: e.Round, Outcome: schema.Superseded, SupersededBy: newest, Final: true}
	}
	del.notUnderstood(e, refusal.Reason)
	return d.hold(del, e, refusal.Reason, refusal.Field)
}

// hold keeps an event for a person and names the person.
func (d *decider) hold(del *deliberation, e schema.OpenEvent, reason schema.Reason, vendorField string) schema.Resolved {
	del.members = append(del.members, schema.Member{
		Reason: reason, System: e.System, Object: del.record.Object, Owner: d.owner(del, e.System, vendorField), Event: e.ID, Record: del.record.ID,
	})
	return schema.Resolved{Event: e.ID, Source: e.Source, Round: e.Round, State: schema.EventHeld, Reason: reason, Reads: e.Reads}
}

// bury ends an event that cannot be decided.
func (d *decider) bury(del *deliberation, e schema.OpenEvent) schema.Resolved {
	del.notUnderstood(e, schema.ReasonInternal)
	owner := d.owner(del, e.System, "")
	del.members = append(del.members, schema.Member{
		Reason: schema.ReasonInternal, System: e.System, Object: del.record.Object, Owner: owner, Event: e.ID, Record: del.record.ID,
	})
	return schema.Resolved{Event: e.ID, Source: e.Source, Round: e.Round, Outcome: schema.Dead, Reason: schema.ReasonInternal, Final: true, Owner: owner}
}

func (d *decider) owner(del *deliberation, system, vendorField string) string {
	if owner := del.rules.FieldOwner(system, vendorField); vendorField != "" && owner != "" {
		return owner
	}
	return d.bundle.Map.Objects[del.record.Object].Owner
}

// want turns what systems have to be told into deliveries.
func (d *decider) want(del *deliberation, res *schema.Resolution) {
	lane := schema.LaneBulk
	for _, e := range del.record.Events {
		lane = min(lane, e.Lane)
	}
	for _, w := range del.decision.Wants {
		wanted := schema.Wanted{System: w.System, Op: w.Op, Lane: lane}
		if w.Push {
			wanted.Lane = min(lane, schema.LanePush)
		}
		// The read itself is in front of a person already.
		wanted.Parked = w.Unread
		if x := del.record.Deliveries[w.System]; x.State == schema.DeliveryParked && len(del.record.Events) == 0 {
			// Nothing new was told: what waits for a person goes on waiting.
			wanted.Parked = x.Reason
		}
		if w.Stuck {
			wanted.Parked = schema.ReasonValueNotKept
			res.Members = append(res.Members, schema.Member{
				Reason: schema.ReasonValueNotKept, System: w.System, Object: res.Object, Owner: d.bundle.Map.Objects[res.Object].Owner, Record: res.Record,
			})
		}
		res.Wants = append(res.Wants, wanted)
	}
}

// verdict turns a verdict of the rules into one of the journal: held, waiting for the systems, or final.
func (d *decider) verdict(del *deliberation, v rules.Verdict, owed bool) (schema.Resolved, error) {
	e := del.open(v.Event)
	out := schema.Resolved{
		Event: e.ID, Source: e.Source, Round: e.Round, Outcome: v.Outcome, Reason: v.Reason, Reads: e.Reads, SupersededBy: v.SupersededBy,
	}
	if v.Outcome == "" {
		out.State, out.HeldUntil = schema.EventHeld, v.Until
		if v.Reason == schema.ReasonVendorMerge {
			return d.hold(del, e, v.Reason, ""), nil
		}
		return out, nil
	}
	if len(v.Fields) > 0 {
		fields, err := json.Marshal(v.Fields)
		if err != nil {
			return out, errors.New("dispatch: a verdict cannot be written")
		}
		out.Fields = fields
	}
	out.State = schema.EventDecided
	// What was decided before, and is again, tells nothing new; its word is told all the same before it counts as applied.
	out.Final = !owed || !v.Changed && v.Outcome != schema.Applied
	return out, nil
}
