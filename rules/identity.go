package rules

import (
	"slices"

	"github.com/google/uuid"

	"lockstep/schema"
)

func (m matchRule) key(v schema.Value) schema.Key {
	kind := m.field.name
	if m.field.Type == schema.TypeEmail || m.field.Type == schema.TypePhone {
		kind = string(m.field.Type)
	}
	return schema.Key{Kind: kind, Issuer: m.issuer, Value: v, Reserves: m.reserves && m.field.Type != schema.TypePhone}
}

// RecordKeys are the match keys of the values that stand in a record, strongest first.
func (r *Ruleset) RecordKeys(record schema.ID, state *schema.State) []schema.Key {
	var keys []schema.Key
	for _, m := range r.match {
		if w, ok := r.winnerOf(m.field, record, state); ok && !w.value.IsNull() {
			keys = append(keys, m.key(w.value))
		}
	}
	return keys
}

// CanonicalIDs are the ids of ours that systems hold in the id field of the record, other than its own: whoever holds
// one was made by us for that record.
func (r *Ruleset) CanonicalIDs(record schema.ID, state *schema.State) []schema.ID {
	var ids []schema.ID
	for _, name := range r.Systems {
		s := state.Systems[name]
		if s == nil || !s.GoneAt.IsZero() {
			continue
		}
		run, known := shadow(s.Fields[r.key.name])
		if !known {
			continue
		}
		if id, err := uuid.Parse(run.Value.Reveal()); err == nil && id != record && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// Identify returns which of the candidates is the record meant, -1 for none: the only one that shares the strongest
// shared key and contradicts none stronger. A shared key that reserves cannot be passed over; a shared phone number
// can. reason is set when a person has to choose (ruling 9, R-97: accuracy over speed, ambiguous is never picked).
func Identify(keys []schema.Key, candidates []schema.Candidate) (position int, reason schema.Reason) {
	for i, key := range keys {
		var sharing []int
		for n, c := range candidates {
			if c.Shares == i && (key.Reserves || !c.Contradicts) {
				sharing = append(sharing, n)
			}
		}
		switch {
		case len(sharing) == 0:
			continue
		case len(sharing) > 1:
			return -1, schema.ReasonAmbiguousMatch
		case candidates[sharing[0]].Contradicts:
			return -1, schema.ReasonKeyTaken
		}
		return sharing[0], ""
	}
	return -1, ""
}

// MatchFound returns which of the records that a look-up in a system found is the one meant: its position, or -1 when
// there is none. reason is set when a person has to choose.
func (r *Ruleset) MatchFound(systemName string, record schema.ID, state *schema.State, found []schema.Change) (position int, reason schema.Reason) {
	mine := r.RecordKeys(record, state)
	var candidates []schema.Candidate
	var positions []int
	for i, c := range found {
		holder := r.holder(systemName, c)
		if holder == record {
			return i, ""
		}
		if candidate, shares := compare(mine, r.Keys(systemName, c)); shares {
			candidate.Contradicts = candidate.Contradicts || holder != schema.ID{}
			candidates, positions = append(candidates, candidate), append(positions, i)
		}
	}
	n, why := Identify(mine, candidates)
	if n < 0 {
		return -1, why
	}
	return positions[n], ""
}

// holder returns the record of ours whose id a change carries; zero when it carries none.
func (r *Ruleset) holder(systemName string, c schema.Change) schema.ID {
	p := r.key.ports[systemName]
	if p == nil {
		return schema.ID{}
	}
	v, problem := p.canonical(c.Fields[p.vendor])
	if problem != nil {
		return schema.ID{}
	}
	id, err := uuid.Parse(v.Reveal())
	if err != nil {
		return schema.ID{}
	}
	return id
}

// compare finds the strongest of my keys that the other has, too.
func compare(mine, theirs []schema.Key) (c schema.Candidate, shares bool) {
	for i, key := range mine {
		for _, other := range theirs {
			if other.Kind != key.Kind || other.Issuer != key.Issuer {
				continue
			}
			if other.Value == key.Value {
				c.Shares = i
				return c, true
			}
			c.Contradicts = true
		}
	}
	return schema.Candidate{}, false
}
