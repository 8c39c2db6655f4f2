package rules

import (
	"bytes"
	"cmp"

	"lockstep/schema"
)

// Rule is why a value stands or does not, one word for the outcome's explanation.
type Rule string

// The rules of a field verdict.
const (
	// RuleRecordSystem: the system of record said it.
	RuleRecordSystem Rule = "record_system"
	// RuleNewest: the newest word counts in a two-way field.
	RuleNewest Rule = "newest_wins"
	// RuleRecordSystemWins: in a two-way field the system of record's word stands for a while.
	RuleRecordSystemWins Rule = "record_system_wins"
	// RuleFills: the system of record had left the field empty.
	RuleFills Rule = "fills_empty"
	// RuleHolds: nobody said it of late; it is what the system of record holds.
	RuleHolds Rule = "record_system_holds"
	// RuleCanonical: the field is our own id.
	RuleCanonical Rule = "canonical_id"
)

// winner is the value of a field that stands, with the version that made it.
type winner struct {
	value  schema.Value
	system string
	event  schema.ID
	rule   Rule

	class     int
	effective int64
	rank      int
	seq       uint64
}

// The classes of a version: a better one wins whatever its time.
const (
	classHeld = iota + 1
	classFill
	classStated
)

// outranks is a total order over the versions of one field, so that the winner is the same in whatever order they come
// (INV-06): class, time, the system of record first, sequence, event.
func (w winner) outranks(v winner) bool {
	order := cmp.Or(
		cmp.Compare(w.class, v.class),
		cmp.Compare(w.effective, v.effective),
		cmp.Compare(w.rank, v.rank),
		cmp.Compare(w.seq, v.seq),
		bytes.Compare(w.event[:], v.event[:]),
		cmp.Compare(w.system, v.system),
	)
	return order > 0
}

// winnerOf folds what every system said about a field into the value that stands; ok is false when nobody said
// anything.
func (r *Ruleset) winnerOf(f *field, record schema.ID, state *schema.State) (best winner, ok bool) {
	if f == r.key {
		return winner{value: schema.Text(record.String()), system: LockstepSystem, rule: RuleCanonical}, true
	}
	for _, name := range r.Systems {
		p, s := f.ports[name], state.Systems[name]
		if p == nil || s == nil {
			continue
		}
		if w, said := p.word(s.Fields[f.name], state); said && (!ok || w.outranks(best)) {
			best, ok = w, true
		}
	}
	return best, ok
}

// word returns what the port's system has to say about the field, as far as it is entitled to.
func (p *port) word(h *schema.History, state *schema.State) (w winner, ok bool) {
	if p.secret() {
		return winner{}, false
	}
	f := p.field
	if f.Direction == schema.TwoWay || p.isRecordSystem() {
		for run := range statements(h) {
			return p.version(run, classStated), true
		}
	}
	if p.isRecordSystem() {
		if run, known := shadow(h); known && !run.Value.IsNull() && !run.Flags.Has(schema.RunDead) {
			return p.version(run, classHeld), true
		}
		return winner{}, false
	}
	if f.Direction == schema.OneWay && f.fill {
		return p.filling(h, state)
	}
	return winner{}, false
}

// filling returns the newest word of a system that is not the system of record, while that one has left the field
// empty. Once the system of record holds a value, even one that we filled in, nobody else changes it.
func (p *port) filling(h *schema.History, state *schema.State) (w winner, ok bool) {
	if s := state.Systems[p.field.SystemOfRecord]; s != nil {
		if run, known := shadow(s.Fields[p.field.name]); known && !run.Value.IsNull() {
			return winner{}, false
		}
	}
	for run := range statements(h) {
		if !run.Value.IsNull() {
			return p.version(run, classFill), true
		}
	}
	return winner{}, false
}

// version turns a run into a candidate.
func (p *port) version(run *schema.Run, class int) winner {
	w := winner{
		value: run.Value, system: p.system.name, event: run.Event,
		class: class, effective: run.From.At, seq: run.From.Seq,
	}
	if p.isRecordSystem() {
		w.rank = 1
		w.effective += p.field.window
	}
	switch {
	case class == classHeld:
		w.rule = RuleHolds
	case class == classFill:
		w.rule = RuleFills
	case p.field.Direction == schema.OneWay:
		w.rule = RuleRecordSystem
	case p.field.Conflict != nil && p.field.Conflict.Rule == schema.RecordSystemWins:
		w.rule = RuleRecordSystemWins
	default:
		w.rule = RuleNewest
	}
	return w
}
