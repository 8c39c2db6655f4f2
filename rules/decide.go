package rules

import (
	"bytes"
	"slices"
	"time"

	"lockstep/schema"
)

// keptLimit is how often in a row a system may give back another value than the one that we wrote before a person is
// asked (INV-09: loops die).
const keptLimit = 3

// readLimit is how often an event waits for a read before what cannot be ordered counts as overruled.
const readLimit = 3

// SkewBound is how far ahead of our clock an event may be dated before it waits for its time (D5).
const SkewBound = 2 * time.Minute

// Event is one journal event as decide sees it.
type Event struct {
	ID     schema.ID
	System string
	Change schema.Change
	// ReceivedAt stands in for the time of a source that gives none.
	ReceivedAt time.Time
	// Reads counts how often the event already waited for a read.
	Reads int
}

// Input is everything a decision of one record depends on.
type Input struct {
	Record schema.ID
	Rev    int64
	// State is changed in place.
	State *schema.State
	// Events are the new events, in any order.
	Events []Event
	// Verify names the systems whose record must be read before it is written (protocol F11).
	Verify map[string]bool
	// Looks has an entry for each system that we read since the last decision: why what it showed cannot be understood, or
	// empty when it can.
	Looks map[string]schema.Reason
	Now   time.Time
}

// Decision is what follows from the new events of one record.
type Decision struct {
	// Rev is the record's revision after the decision; unchanged when nothing new has to be told or asked.
	Rev int64
	// Verdicts has one entry for each event, in the order of the input.
	Verdicts []Verdict
	// Standing are the events whose word stands in some field: an earlier event that is not among them is superseded.
	Standing []schema.ID
	// Wants has an entry for each system that must be told or asked something.
	Wants []Want
}

// Verdict is what became of one event.
type Verdict struct {
	Event schema.ID
	// Outcome is empty while the event is held.
	Outcome schema.Outcome
	// Reason says why the event is held.
	Reason schema.Reason
	// Until is when a held event is decided again by itself; zero when it waits for a read or a person.
	Until time.Time
	// Changed is set when the event told something new; one that did not is final at once.
	Changed bool
	// SupersededBy is the event whose word stands instead.
	SupersededBy schema.ID
	// Fields says, for each canonical field that the event told of, whether its word stands and by which rule.
	Fields map[string]FieldVerdict
}

// FieldVerdict is what became of an event's word about one field. It holds names, never values.
type FieldVerdict struct {
	// Verdict is stands, echo, older, overruled or kept_out.
	Verdict string `json:"verdict"`
	Rule    Rule   `json:"rule,omitempty"`
	// By is the system whose word stands.
	By string `json:"by,omitempty"`
}

// The field verdicts.
const (
	FieldStands    = "stands"
	FieldEcho      = "echo"
	FieldOlder     = "older"
	FieldOverruled = "overruled"
	// FieldKeptOut: the system is not entitled to the field.
	FieldKeptOut = "kept_out"
)

// Want is what a system has to be told or asked.
type Want struct {
	System string
	Op     schema.Op
	// Push is set when a field that travels at once is among them.
	Push bool
	// Stuck is set when all that differs are values that the system keeps changing back.
	Stuck bool
	// Unread is set when the system was just read and what it showed cannot be understood: a person has to act before it is
	// worth reading again.
	Unread schema.Reason
}

// Decide brings the new events of a record into its state and says what follows. It is pure but for the state, which it
// changes in place.
func (r *Ruleset) Decide(in Input) Decision {
	d := Decision{Rev: in.Rev}
	before := r.winners(in.Record, in.State)
	for name, reason := range in.Looks {
		in.State.System(name).Unread = reason
	}
	reads := map[string]bool{}
	verdicts := make(map[schema.ID]*Verdict, len(in.Events))
	for _, e := range inSourceOrder(in.Events) {
		v := r.take(e, in, reads)
		verdicts[e.ID] = &v
	}
	after := r.winners(in.Record, in.State)
	d.Wants = r.wants(in, after, reads)
	for _, e := range in.Events {
		v := verdicts[e.ID]
		r.judge(v, e, after)
		d.Verdicts = append(d.Verdicts, *v)
	}
	if changed(before, after) || len(d.Wants) > 0 && (len(reads) > 0 || slices.ContainsFunc(d.Verdicts, toldAnything)) {
		d.Rev++
	}
	d.Standing = standing(after)
	return d
}

func toldAnything(v Verdict) bool { return v.Changed }

// inSourceOrder sorts a copy by source time, so that a burst is taken as it happened and few events need a read. The
// result does not depend on it.
func inSourceOrder(events []Event) []Event {
	sorted := slices.Clone(events)
	slices.SortStableFunc(sorted, func(a, b Event) int {
		if c := a.moment().At - b.moment().At; c != 0 {
			return int(max(-1, min(1, c)))
		}
		if a.Change.Sequence != b.Change.Sequence {
			if a.Change.Sequence < b.Change.Sequence {
				return -1
			}
			return 1
		}
		return bytes.Compare(a.ID[:], b.ID[:])
	})
	return sorted
}

func (e Event) moment() schema.Moment {
	at := e.Change.At
	if at.IsZero() {
		at = e.ReceivedAt
	}
	return schema.Moment{At: at.UnixMilli(), Seq: e.Change.Sequence}
}

// winners returns the value that stands of every field.
func (r *Ruleset) winners(record schema.ID, state *schema.State) map[string]winner {
	ws := make(map[string]winner, len(r.fields))
	for _, f := range r.fields {
		if w, ok := r.winnerOf(f, record, state); ok {
			ws[f.name] = w
		}
	}
	return ws
}

func changed(before, after map[string]winner) bool {
	if len(before) != len(after) {
		return true
	}
	for name, w := range after {
		if before[name] != w {
			return true
		}
	}
	return false
}

// standing returns the events whose word stands in some field.
func standing(ws map[string]winner) []schema.ID {
	var ids []schema.ID
	for _, w := range ws {
		if w.event != (schema.ID{}) && !slices.Contains(ids, w.event) {
			ids = append(ids, w.event)
		}
	}
	slices.SortFunc(ids, func(a, b schema.ID) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

// take brings one event into the state: wholly, or, when it has to wait, not at all (ruling 8).
func (r *Ruleset) take(e Event, in Input, reads map[string]bool) Verdict {
	v := Verdict{Event: e.ID, Fields: map[string]FieldVerdict{}}
	if !e.Change.At.IsZero() && e.Change.Kind != schema.EventRead && e.Change.At.After(in.Now.Add(SkewBound)) {
		v.Reason, v.Until = schema.ReasonClockSkew, e.Change.At
		return v
	}
	if e.Change.Kind == schema.EventChange && !e.Change.Cut && !r.governs(e) {
		v.Outcome = schema.Ignored
		return v
	}
	s := in.State.System(e.System)
	if other := s.ID != "" && e.Change.Ref != "" && s.ID != e.Change.Ref; other && s.GoneAt.IsZero() {
		v.Outcome = schema.Superseded
		return v
	} else if other {
		// The system has a new record in the place of the one that is gone.
		*s = schema.SystemState{Fields: map[string]*schema.History{}}
	}
	if s.ID == "" {
		s.ID = e.Change.Ref
	}
	unread := s.Unread != "" && e.Change.Kind != schema.EventRead && r.systems[e.System].written
	if unread && e.Reads == 0 {
		// Something happened there since we looked: that is worth another look.
		reads[e.System] = true
	}
	switch e.Change.Kind {
	case schema.EventDelete:
		return takeDelete(s, e, v)
	case schema.EventMerge:
		v.Reason = schema.ReasonVendorMerge
		return v
	case schema.EventChange, schema.EventFull, schema.EventRead:
	}
	if gone := s.GoneAt; !gone.IsZero() && !after(e.moment(), gone) {
		v.Outcome = schema.Superseded
		return v
	}
	mustRead := e.Change.Cut || e.Change.Kind == schema.EventChange && (!s.Whole || unread)
	if mustRead && (e.Reads == 0 || unread) && r.systems[e.System].written {
		return holdForRead(v, e, s, reads)
	}
	fresh := cloneSystem(s)
	for _, o := range r.sights(e, in, fresh) {
		if o.sight == sightUnclear {
			return holdForRead(v, e, s, reads)
		}
		v.Changed = v.Changed || o.sight == sightNewest
		v.Fields[o.field] = FieldVerdict{Verdict: sightWords[o.sight]}
	}
	*s = *fresh
	s.GoneAt = schema.Moment{}
	if e.Change.Kind != schema.EventChange {
		s.Whole = true
		s.Sights = addSight(s.Sights, e.moment())
	}
	if e.Change.Kind == schema.EventRead {
		s.Sending = nil
	}
	return v
}

// governs reports whether the map governs any field that the event names.
func (r *Ruleset) governs(e Event) bool {
	return slices.ContainsFunc(r.systems[e.System].ports, func(p *port) bool {
		_, named := e.Change.Fields[p.vendor]
		return named
	})
}

var sightWords = map[sight]string{sightKnown: FieldEcho, sightOlder: FieldOlder, sightNewest: FieldStands}

func takeDelete(s *schema.SystemState, e Event, v Verdict) Verdict {
	if !s.GoneAt.IsZero() || !newerThanAll(s, e.moment()) {
		v.Outcome = schema.Superseded
		return v
	}
	s.GoneAt = e.moment()
	v.Outcome, v.Changed = schema.Applied, true
	return v
}

// newerThanAll reports whether nothing of the system is known that is newer.
func newerThanAll(s *schema.SystemState, m schema.Moment) bool {
	for _, h := range s.Fields {
		if run, ok := shadow(h); ok && !run.Flags.Has(schema.RunFloating) && !after(m, run.To) && !sameAs(m, run.To) {
			return false
		}
	}
	return true
}

// holdForRead has an event wait for a read; one that waited for a read which nobody understands waits on, for the reason
// of that.
func holdForRead(v Verdict, e Event, s *schema.SystemState, reads map[string]bool) Verdict {
	v.Fields = nil
	if s.Unread != "" && e.Reads > 0 {
		v.Reason = s.Unread
		return v
	}
	reads[e.System] = true
	v.Reason = schema.ReasonReading
	return v
}

// seen is what an event told about one field.
type seen struct {
	field string
	sight sight
}

// sights observes every field that the event tells of. It stops at the first unclear one.
func (r *Ruleset) sights(e Event, in Input, s *schema.SystemState) []seen {
	var out []seen
	for _, p := range r.systems[e.System].ports {
		o, told := p.observationOf(e)
		if !told {
			continue
		}
		o.expected = !o.ours && !o.read && slices.Contains(s.Sending[p.field.name], o.value)
		o.rev = in.Rev + 1
		// A read that nobody understands has ordered nothing.
		o.settled = o.settled && (s.Unread == "" || !p.system.written)
		h := s.Fields[p.field.name]
		if h == nil {
			h = &schema.History{}
			s.Fields[p.field.name] = h
		}
		what := observe(h, o, s.Sights)
		out = append(out, seen{p.field.name, what})
		if what == sightUnclear {
			return out
		}
	}
	return out
}

// observationOf returns what an event says about the port's field. A full event says null of what it leaves out.
func (p *port) observationOf(e Event) (o observation, told bool) {
	raw, named := e.Change.Fields[p.vendor]
	if p.secret() || !named && (e.Change.Kind == schema.EventChange || e.Change.Cut) {
		return observation{}, false
	}
	value, problem := p.canonical(raw)
	if problem != nil {
		// Check has refused or held every event with such a value before.
		return observation{}, false
	}
	o = observation{
		value: value, moment: e.moment(), event: e.ID, ours: e.Change.Ours,
		said: named && e.Change.Kind == schema.EventChange,
		read: e.Change.Kind == schema.EventRead,
		// A system that only sends cannot be read: what came first stands.
		settled: e.Reads >= readLimit || e.Reads > 0 && e.Change.Kind != schema.EventRead || !p.system.written,
	}
	o.changed = o.said
	if old, told := e.Change.Old[p.vendor]; told {
		was, problem := p.canonical(old)
		o.changed = problem != nil || was != value
	}
	return o, true
}

const keptSights = 8

func addSight(sights []schema.Moment, m schema.Moment) []schema.Moment {
	i := len(sights)
	for i > 0 && after(sights[i-1], m) && !sameAs(sights[i-1], m) {
		i--
	}
	if i > 0 && sameAs(sights[i-1], m) {
		return sights
	}
	sights = slices.Insert(slices.Clone(sights), i, m)
	if len(sights) > keptSights {
		sights = sights[1:]
	}
	return sights
}

func cloneSystem(s *schema.SystemState) *schema.SystemState {
	c := *s
	c.Fields = make(map[string]*schema.History, len(s.Fields))
	for name, h := range s.Fields {
		ch := *h
		ch.Runs = slices.Clone(h.Runs)
		c.Fields[name] = &ch
	}
	return &c
}

// judge settles an event's verdict once every event is taken.
func (r *Ruleset) judge(v *Verdict, e Event, ws map[string]winner) {
	if v.Outcome != "" || v.Reason != "" {
		return
	}
	v.Outcome = schema.Echo
	for name, fv := range v.Fields {
		w := ws[name]
		switch {
		case w.event == e.ID:
			fv = FieldVerdict{Verdict: FieldStands, Rule: w.rule, By: w.system}
			v.Outcome = schema.Applied
		case fv.Verdict == FieldStands && !r.entitled(name, e.System):
			fv = FieldVerdict{Verdict: FieldKeptOut, Rule: w.rule, By: w.system}
		case fv.Verdict == FieldStands:
			fv = FieldVerdict{Verdict: FieldOverruled, Rule: w.rule, By: w.system}
		case fv.Verdict == FieldOlder:
			fv.By = w.system
		}
		if fv.Verdict != FieldEcho && v.Outcome != schema.Applied {
			v.Outcome = schema.Superseded
		}
		if fv.Verdict != FieldEcho && fv.Verdict != FieldStands && v.SupersededBy == (schema.ID{}) {
			v.SupersededBy = w.event
		}
		v.Fields[name] = fv
	}
	if v.Outcome == schema.Applied {
		v.SupersededBy = schema.ID{}
	}
}

func (r *Ruleset) entitled(name, system string) bool {
	f := r.byName[name]
	return f.Direction == schema.TwoWay || f.SystemOfRecord == system
}

// wants says what every system has to be told or asked, from the state alone: what an earlier decision wanted and is
// still open is wanted again.
func (r *Ruleset) wants(in Input, ws map[string]winner, reads map[string]bool) []Want {
	var wants []Want
	for _, name := range r.Systems {
		if reads[name] {
			wants = append(wants, Want{System: name, Op: schema.OpRead})
			continue
		}
		if w, ok := r.want(name, in.State, in.Record, ws, in.Verify[name]); ok {
			if w.Op == schema.OpRead {
				w.Unread = in.Looks[name]
			}
			wants = append(wants, w)
		}
	}
	return wants
}

// Next says what a system has to be told or asked, once nothing of the record is on its way to it; ok is false when
// the system is in step.
func (r *Ruleset) Next(systemName string, record schema.ID, state *schema.State, verify bool) (w Want, ok bool) {
	return r.want(systemName, state, record, r.winners(record, state), verify)
}

func (r *Ruleset) want(name string, state *schema.State, record schema.ID, ws map[string]winner, verify bool) (Want, bool) {
	sys := r.systems[name]
	s := state.System(name)
	if !sys.written || !s.GoneAt.IsZero() {
		return Want{}, false
	}
	if s.ID == "" {
		return r.wantCreate(sys, s, ws)
	}
	if !s.Whole || s.Unread != "" || verify {
		return Want{System: name, Op: schema.OpRead}, true
	}
	differing, stuck := r.differing(sys, s, ws)
	if len(differing) == 0 && !stuck || r.Observe {
		return Want{}, false
	}
	w := Want{System: name, Op: schema.OpWrite, Push: travelsAtOnce(differing), Stuck: len(differing) == 0}
	if p := r.key.ports[name]; p != nil {
		if run, known := shadow(s.Fields[r.key.name]); !known || run.Value.Reveal() != record.String() {
			w.Op = schema.OpLink
		}
	}
	return w, true
}

func (r *Ruleset) wantCreate(sys *system, s *schema.SystemState, ws map[string]winner) (Want, bool) {
	if !sys.create || !r.recognisable(ws) || r.Observe && s.Looked {
		return Want{}, false
	}
	w := Want{System: sys.name, Op: schema.OpFind}
	if s.Looked {
		w.Op = schema.OpCreate
	}
	for _, p := range sys.ports {
		w.Push = w.Push || p.field.Delivery == schema.Push && ws[p.field.name].rule != ""
	}
	return w, true
}

// recognisable reports whether the record has a match key that others could find it by.
func (r *Ruleset) recognisable(ws map[string]winner) bool {
	for _, m := range r.match {
		if w, ok := ws[m.field.name]; ok && !w.value.IsNull() {
			return true
		}
	}
	return false
}

// differing returns the ports whose system does not hold the value that stands and may be told it. stuck is true when
// one of them was told too often.
func (r *Ruleset) differing(sys *system, s *schema.SystemState, ws map[string]winner) (ports []*port, stuck bool) {
	for _, p := range sys.ports {
		w, said := ws[p.field.name]
		if !said || !p.mayBeTold(s.Fields[p.field.name], w) {
			continue
		}
		h := s.Fields[p.field.name]
		run, known := shadow(h)
		if known && run.Value == p.project(w.value) || !known && w.value.IsNull() {
			continue
		}
		if h != nil && h.Kept >= keptLimit {
			stuck = true
			continue
		}
		ports = append(ports, p)
	}
	return ports, stuck
}

// mayBeTold is promise 2 at the decision, and again at the write: the system of record of a one-way field is only told
// what fills an empty field, or its own word again where a filling of ours crossed it; and nobody is told anything
// instead of a value whose fate a person decides.
func (p *port) mayBeTold(h *schema.History, w winner) bool {
	if p.protect == "drop" {
		return false
	}
	run, known := shadow(h)
	switch {
	case known && run.Flags.Has(schema.RunDead):
		return false
	case p.field.Direction == schema.TwoWay || !p.isRecordSystem() || p.field.Type == schema.TypeCanonicalID:
		return true
	case !known || run.Value.IsNull():
		return true
	}
	return run.Flags.Has(schema.RunOwn) && w.system == p.system.name && w.class == classStated
}

func travelsAtOnce(ports []*port) bool {
	return slices.ContainsFunc(ports, func(p *port) bool { return p.field.Delivery == schema.Push })
}
