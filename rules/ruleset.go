package rules

import (
	"fmt"
	"maps"
	"slices"

	"lockstep/schema"
)

// LockstepSystem is the system of record of the canonical id: Lockstep itself.
const LockstepSystem = "lockstep"

// SourceKind is the kind of a system that sends and is never written.
const SourceKind = "source"

// Ruleset is the part of the integration map that governs one object, ready to decide with. It is immutable and safe
// for concurrent use.
type Ruleset struct {
	Object string
	// Observe is set when vendors are not written.
	Observe bool
	// Systems are the names of the systems that have the object, sorted.
	Systems []string

	fields  []*field
	byName  map[string]*field
	systems map[string]*system
	match   []matchRule
	key     *field
}

type system struct {
	name   string
	object string
	create bool
	// written is false for a system that only sends.
	written bool
	region  string
	// ports are the fields that the system has, in the order of fields.
	ports []*port
	// byVendor finds the port of a vendor field.
	byVendor map[string]*port
}

type field struct {
	schema.Field
	name string
	// ports has an entry for each system that has the field.
	ports map[string]*port
	// window is how long, in ms, the system of record's word outweighs others' newer ones.
	window int64
	fill   bool
}

type port struct {
	field  *field
	system *system
	vendor string
	in     []transform
	out    []transform
	// lossless is set when a value comes back from the system as it was sent.
	lossless bool
	protect  string
}

type matchRule struct {
	field    *field
	reserves bool
	issuer   string
}

// Compile returns the ruleset of one object. The map has passed internal/integrationmap, which names every fault with
// its line; an error here means that it was not asked.
func Compile(m *schema.Map, object string) (*Ruleset, error) {
	o, ok := m.Objects[object]
	if !ok {
		return nil, fmt.Errorf("rules: the map has no object %q", object)
	}
	r := &Ruleset{
		Object: object, Observe: m.Mode == schema.ModeObserve,
		byName: map[string]*field{}, systems: map[string]*system{},
		Systems: slices.Sorted(maps.Keys(o.Systems)),
	}
	for _, name := range r.Systems {
		s := m.Systems[name]
		r.systems[name] = &system{
			name: name, object: o.Systems[name].Object, create: o.Systems[name].Create,
			written: s.Kind != SourceKind, region: s.PhoneRegion, byVendor: map[string]*port{},
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Fields)) {
		if err := r.addField(name, o.Fields[name]); err != nil {
			return nil, err
		}
	}
	if r.key == nil {
		return nil, fmt.Errorf("rules: object %q has no field of type canonical_id", object)
	}
	for _, rule := range o.Match {
		f := r.byName[rule.Field]
		if f == nil {
			return nil, fmt.Errorf("rules: object %q matches by %q, which is no field", object, rule.Field)
		}
		r.match = append(r.match, matchRule{field: f, reserves: rule.Reserves, issuer: rule.Issuer})
	}
	return r, nil
}

func (r *Ruleset) addField(name string, def schema.Field) error {
	f := &field{Field: def, name: name, ports: map[string]*port{}, fill: def.WhenEmpty != "refuse"}
	if def.Conflict != nil && def.Conflict.Rule == schema.RecordSystemWins {
		f.window = def.Conflict.Window.Or(0).Milliseconds()
	}
	for _, name := range slices.Sorted(maps.Keys(def.Systems)) {
		mapping, s := def.Systems[name], r.systems[name]
		if s == nil {
			return fmt.Errorf("rules: field %q is mapped in %q, which does not have the object", f.name, name)
		}
		p := &port{field: f, system: s, vendor: mapping.Field, protect: mapping.Protect}
		var err error
		if p.in, err = chain(mapping.In); err != nil {
			return err
		}
		if p.out, err = chain(mapping.Out); err != nil {
			return err
		}
		p.lossless = len(p.in) == 0 && len(p.out) == 0
		f.ports[name] = p
		s.ports = append(s.ports, p)
		s.byVendor[p.vendor] = p
	}
	if def.Type == schema.TypeCanonicalID {
		r.key = f
	}
	r.fields = append(r.fields, f)
	r.byName[name] = f
	return nil
}

func chain(steps []string) ([]transform, error) {
	var out []transform
	for _, step := range steps {
		t, err := ParseTransform(step)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// VendorObject returns the vendor's name of the object in a system, the vendor field of our id ("" when it has none)
// and every vendor field that the map governs there, sorted.
func (r *Ruleset) VendorObject(systemName string) (name, key string, fields []string) {
	s := r.systems[systemName]
	for _, p := range s.ports {
		fields = append(fields, p.vendor)
	}
	slices.Sort(fields)
	if p := r.key.ports[systemName]; p != nil {
		key = p.vendor
	}
	return s.object, key, fields
}

// Written reports whether a system is ever written, or only sends.
func (r *Ruleset) Written(systemName string) bool { return r.systems[systemName].written }

// Importance returns the highest importance among the object's fields that a system is told.
func (r *Ruleset) Importance(systemName string) schema.Importance {
	highest := schema.ImportanceLow
	for _, p := range r.systems[systemName].ports {
		switch p.field.Importance {
		case schema.ImportanceHigh:
			return schema.ImportanceHigh
		case schema.ImportanceNormal, "":
			highest = schema.ImportanceNormal
		case schema.ImportanceLow:
		}
	}
	return highest
}

// secret reports whether the port hides the field's value from its system: what stands there is no statement.
func (p *port) secret() bool { return p.protect != "" }

// isRecordSystem reports whether the port's system is the field's system of record.
func (p *port) isRecordSystem() bool { return p.field.SystemOfRecord == p.system.name }

// canonical spells a raw vendor value of the port.
func (p *port) canonical(raw any) (schema.Value, *broken) {
	for _, t := range p.in {
		raw = t(raw)
	}
	return normalize(p.field.Type, raw, p.system.region, p.field.MaxLength)
}

// render spells a canonical value as the port's system takes it.
func (p *port) render(v schema.Value) any {
	if v.IsNull() {
		return nil
	}
	if len(p.out) == 0 {
		return typed(p.field.Type, v)
	}
	raw := any(v.Reveal())
	for _, t := range p.out {
		raw = t(raw)
	}
	if s, ok := raw.(string); ok && (p.field.Type == schema.TypeInteger || p.field.Type == schema.TypeDecimal || p.field.Type == schema.TypeBoolean) {
		return typed(p.field.Type, schema.Text(s))
	}
	return raw
}

// project returns what a canonical value looks like when it comes back from the port's system: the space in which the
// shadow is compared, so that a shortened name is no change (protocol F7, 4).
func (p *port) project(v schema.Value) schema.Value {
	if p.lossless || p.secret() || v.IsNull() {
		return v
	}
	back, problem := p.canonical(p.render(v))
	if problem != nil {
		return v
	}
	return back
}
