package rules

import (
	"slices"

	"lockstep/schema"
)

// Check reports the first value of a change that cannot be spelt canonically, as a refusal that names field and rule
// and masks the value; nil when the whole change set is sound (ruling 8: whole or not at all).
func (r *Ruleset) Check(systemName string, c schema.Change, mask func(string) string) *schema.Refusal {
	for _, p := range r.systems[systemName].ports {
		raw, named := c.Fields[p.vendor]
		if !named || p.secret() {
			continue
		}
		if _, problem := p.canonical(raw); problem != nil {
			text, _, _ := literal(raw)
			return &schema.Refusal{
				Reason: problem.reason, Field: p.vendor, Rule: problem.rule, Masked: mask(text), Remedy: problem.remedy,
			}
		}
	}
	return nil
}

// Keys are a change's match keys in the order of the map, strongest first. A source without record ids is recognised by
// the first of them.
func (r *Ruleset) Keys(systemName string, c schema.Change) []schema.Key {
	var keys []schema.Key
	for _, m := range r.match {
		p := m.field.ports[systemName]
		if p == nil || p.secret() {
			continue
		}
		raw, named := c.Fields[p.vendor]
		if !named {
			continue
		}
		if v, problem := p.canonical(raw); problem == nil && !v.IsNull() {
			keys = append(keys, m.key(v))
		}
	}
	return keys
}

// Governed returns the names of the canonical fields that a change tells of, sorted.
func (r *Ruleset) Governed(systemName string, c schema.Change) []string {
	var names []string
	for _, p := range r.systems[systemName].ports {
		if _, named := c.Fields[p.vendor]; named {
			names = append(names, p.field.name)
		}
	}
	slices.Sort(names)
	return names
}

// Push reports whether a change tells of a field that travels at once.
func (r *Ruleset) Push(systemName string, c schema.Change) bool {
	return slices.ContainsFunc(r.systems[systemName].ports, func(p *port) bool {
		_, named := c.Fields[p.vendor]
		return named && p.field.Delivery == schema.Push
	})
}

// FieldOwner returns who answers for a vendor field of a system, "" where the object's owner does or the map lists no
// such system.
func (r *Ruleset) FieldOwner(systemName, vendorField string) string {
	if s := r.systems[systemName]; s != nil && s.byVendor[vendorField] != nil {
		return s.byVendor[vendorField].field.Owner
	}
	return ""
}

// Canonical returns what a change says under the canonical names, for the schema of the canonical object. Null values
// are left out.
func (r *Ruleset) Canonical(systemName string, c schema.Change) map[string]any {
	out := map[string]any{}
	for _, p := range r.systems[systemName].ports {
		raw, named := c.Fields[p.vendor]
		if !named || p.secret() {
			continue
		}
		if v, problem := p.canonical(raw); problem == nil && !v.IsNull() {
			out[p.field.name] = typed(p.field.Type, v)
		}
	}
	return out
}
