package rules

import (
	"bytes"
	"slices"

	"lockstep/schema"
)

// Rendered is what one vendor call tells a system about one record.
type Rendered struct {
	// ID is the vendor's id; empty for a create.
	ID string
	// Fields are the values under the vendor's names.
	Fields schema.Fields
	// Told are the canonical values that the fields stand for, in the system's projection.
	Told map[string]schema.Value
	// Events are the events whose words are told, for naming a culprit; sorted.
	Events []schema.ID
	// Shared is set when another system may write one of the fields, too: such a write is not repeated blindly
	// (D4).
	Shared bool
}

// Protector spells a secret value for its receiver: encrypt or token.
type Protector func(protect, system, field string, v schema.Value) (any, error)

// Render returns what a system must be told now, under the ruleset's map: the fields whose value differs from the
// shadow, and no other (ruling 8, R-120). create tells every field that is not empty. only, when it is not zero,
// limits it to the words of one event, to find the one that is refused. An empty result means that the system is in
// step.
func (r *Ruleset) Render(systemName string, record schema.ID, state *schema.State, create bool, only schema.ID, protect Protector) (Rendered, error) {
	sys, s := r.systems[systemName], state.System(systemName)
	ws := r.winners(record, state)
	out := Rendered{ID: s.ID, Fields: schema.Fields{}, Told: map[string]schema.Value{}}
	ports, _ := r.differing(sys, s, ws)
	for _, p := range ports {
		w := ws[p.field.name]
		if only != (schema.ID{}) && w.event != only && p.field != r.key || create && w.value.IsNull() {
			continue
		}
		raw := p.render(w.value)
		if p.secret() && raw != nil {
			var err error
			if raw, err = protect(p.protect, systemName, p.field.name, w.value); err != nil {
				return Rendered{}, err
			}
		}
		out.Fields[p.vendor] = raw
		out.Told[p.field.name] = p.project(w.value)
		out.Shared = out.Shared || p.field.Direction == schema.TwoWay
		if w.event != (schema.ID{}) && !slices.Contains(out.Events, w.event) {
			out.Events = append(out.Events, w.event)
		}
	}
	slices.SortFunc(out.Events, func(a, b schema.ID) int { return bytes.Compare(a[:], b[:]) })
	return out, nil
}

// LookUp returns the match keys by which a system is asked for a record, strongest first, under the vendor's field
// names. Our own id comes first: it finds a record that we made and never heard of again.
func (r *Ruleset) LookUp(systemName string, record schema.ID, state *schema.State) []LookUpKey {
	var keys []LookUpKey
	if p := r.key.ports[systemName]; p != nil {
		keys = append(keys, LookUpKey{Type: schema.TypeCanonicalID, Field: p.vendor, Value: schema.Text(record.String())})
	}
	for _, m := range r.match {
		p := m.field.ports[systemName]
		w, ok := r.winnerOf(m.field, record, state)
		if p == nil || p.secret() || !ok || w.value.IsNull() {
			continue
		}
		keys = append(keys, LookUpKey{Type: m.field.Type, Field: p.vendor, Value: p.project(w.value)})
	}
	return keys
}

// LookUpKey is one match key under a vendor's field name.
type LookUpKey struct {
	Type  schema.FieldType
	Field string
	Value schema.Value
}

// Sending notes what a call is about to tell a system. unanswered keeps what an earlier call told whose outcome nobody
// knows.
func (r *Ruleset) Sending(systemName string, state *schema.State, told map[string]schema.Value, unanswered bool) {
	s := state.System(systemName)
	if !unanswered || s.Sending == nil {
		s.Sending = map[string][]schema.Value{}
	}
	for name, v := range told {
		if !slices.Contains(s.Sending[name], v) {
			s.Sending[name] = append(s.Sending[name], v)
		}
	}
}

// Wrote brings an answered write into the state. at is the system's own time of it or zero, sent our clock in ms, rev the
// revision that was told. unclear is true when something must be read before the system can be called in step.
func (r *Ruleset) Wrote(systemName string, state *schema.State, id string, told map[string]schema.Value, at schema.Moment, sent, rev int64) (unclear bool) {
	s := state.System(systemName)
	s.Sending = nil
	if id != "" && s.ID == "" {
		s.ID, s.Whole = id, true
	}
	for name, v := range told {
		h := s.Fields[name]
		if h == nil {
			h = &schema.History{}
			s.Fields[name] = h
		}
		if wrote(h, v, at, sent, rev) {
			unclear = true
		}
	}
	return unclear
}

// Found brings the end of a look-up into the state: with an id when the record was found, without when there is none.
func (r *Ruleset) Found(systemName string, state *schema.State, id string) {
	s := state.System(systemName)
	s.Looked = true
	if id != "" {
		s.ID = id
	}
}

// Forget takes the id of a record back that its system no longer has.
func (r *Ruleset) Forget(systemName string, state *schema.State, at schema.Moment) {
	state.System(systemName).GoneAt = at
}

// Kill takes an event's words back: they stand nowhere, and what they replaced stands again (protocol F12).
func (r *Ruleset) Kill(state *schema.State, event schema.ID) {
	for _, s := range state.Systems {
		for _, h := range s.Fields {
			kill(h, event)
		}
	}
}

// Revive gives an event its words again, for a replay.
func (r *Ruleset) Revive(state *schema.State, event schema.ID) {
	for _, s := range state.Systems {
		for _, h := range s.Fields {
			revive(h, event)
		}
	}
}

// Culprit returns the event whose word a vendor refused: the one that said the named vendor field, else the only one
// that was told. ok is false when several could be meant.
func (r *Ruleset) Culprit(systemName string, record schema.ID, state *schema.State, vendorField string, told Rendered) (event schema.ID, ok bool) {
	if p := r.systems[systemName].byVendor[vendorField]; p != nil {
		if w, said := r.winnerOf(p.field, record, state); said && w.event != (schema.ID{}) {
			return w.event, true
		}
	}
	if len(told.Events) == 1 {
		return told.Events[0], true
	}
	return schema.ID{}, false
}

// Wins returns the events whose words stand in the record; an open event that is not among them is superseded.
func (r *Ruleset) Wins(record schema.ID, state *schema.State) []schema.ID {
	return standing(r.winners(record, state))
}
