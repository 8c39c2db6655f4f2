package integrationmap

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"lockstep/rules"
	"lockstep/schema"
)

// checker collects what is wrong between the parts of a map.
type checker struct {
	page     page
	m        *schema.Map
	known    Known
	problems Problems
}

// checkMeaning checks what the parts say about each other. Every rule has a refused map of its name in testdata.
func checkMeaning(p page, m *schema.Map, known Known) Problems {
	c := &checker{page: p, m: m, known: known}
	c.owners()
	c.systems()
	c.objects()
	c.sources()
	c.runbooks()
	if len(c.problems) == 0 && known.Wiring != nil {
		for _, f := range known.Wiring(m) {
			c.add(f.Path, f.Message, f.Remedy)
		}
	}
	return c.problems
}

func (c *checker) add(path []string, message, remedy string) {
	c.problems = append(c.problems, c.page.problem(path, message, remedy))
}

func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func (c *checker) owner(path []string, owner string) {
	if _, ok := c.m.Owners[owner]; !ok && owner != "" {
		c.add(path, fmt.Sprintf("nobody is called %q", owner), didYouMean(owner, names(c.m.Owners)))
	}
}

func (c *checker) owners() {
	for _, name := range names(c.m.Owners) {
		o := c.m.Owners[name]
		c.owner([]string{"owners", name, "deputy"}, o.Deputy)
		if o.Slack == "" && o.Email == "" {
			c.add([]string{"owners", name}, "cannot be reached", "give slack or email")
		}
	}
}

func (c *checker) systems() {
	for _, name := range names(c.m.Systems) {
		s, at := c.m.Systems[name], []string{"systems", name}
		c.owner(append(at, "owner"), s.Owner)
		if name == rules.LockstepSystem {
			c.add(at, "is our own name", "choose another")
		}
		if s.Kind == rules.SourceKind {
			continue
		}
		if !slices.Contains(c.known.Kinds, s.Kind) {
			c.add(append(at, "kind"), fmt.Sprintf("there is no connector %q", s.Kind), didYouMean(s.Kind, append(c.known.Kinds, rules.SourceKind)))
		}
		c.reference(append(at, "endpoint"), s.Endpoint, true)
		c.reference(append(at, "login"), s.Login, false)
		c.reference(append(at, "credential"), s.Credential, true)
		c.reference(append(at, "receiver_key"), s.ReceiverKey, false)
		if s.CallRate.Calls == 0 {
			c.add(append(at, "call_rate"), "is missing", "our share of the system's quota, like 25/s or 300/min")
		}
	}
}

func (c *checker) reference(path []string, r schema.Reference, required bool) {
	if r == "" {
		if required {
			c.add(path, "is missing", "a reference like env:NAME or file:path")
		}
		return
	}
	if _, _, ok := r.Split(); !ok {
		c.add(path, "is not a reference", "values never stand in the map: write env:NAME, or file:path below the secrets folder")
	}
}

func (c *checker) sources() {
	for _, name := range names(c.m.Sources) {
		s, at := c.m.Sources[name], []string{"sources", name}
		if _, ok := c.m.Systems[s.System]; !ok {
			c.add(append(at, "system"), fmt.Sprintf("there is no system %q", s.System), didYouMean(s.System, names(c.m.Systems)))
			continue
		}
		if !slices.Contains(c.known.Envelopes, s.Envelope) {
			c.add(append(at, "envelope"), fmt.Sprintf("there is no envelope %q", s.Envelope), didYouMean(s.Envelope, c.known.Envelopes))
		}
		c.signature(append(at, "signature"), s.Signature)
		c.dedupe(append(at, "dedupe"), s)
		for _, vendorObject := range names(s.Objects) {
			c.sourceObject(append(at, "objects", vendorObject), s, s.Objects[vendorObject])
		}
	}
}

func (c *checker) sourceObject(at []string, s schema.Source, so schema.SourceObject) {
	o, ok := c.m.Objects[so.Object]
	if !ok {
		c.add(append(at, "object"), fmt.Sprintf("there is no object %q", so.Object), didYouMean(so.Object, names(c.m.Objects)))
		return
	}
	if _, ok := o.Systems[s.System]; !ok {
		c.add(append(at, "object"), fmt.Sprintf("object %q is not in system %q", so.Object, s.System), "list the system below the object")
	}
	if so.Schema != "" && !slices.Contains(c.known.Schemas, so.Schema) {
		c.add(append(at, "schema"), fmt.Sprintf("there is no JSON Schema %q", so.Schema), didYouMean(so.Schema, c.known.Schemas))
	}
}

// signsID says which profiles cover an id of the delivery; the others cannot dedupe by one (A04).
func signsID(s schema.Signature) bool {
	return s.Profile == "standard_webhooks" || s.Profile == "hmac" && s.IDHeader != ""
}

func (c *checker) signature(at []string, s schema.Signature) {
	for i, r := range s.Secrets {
		c.reference(append(at, "secrets", strconv.Itoa(i)), r, true)
	}
	switch s.Profile {
	case "static_key":
		if s.Header == "" {
			c.add(append(at, "header"), "is missing", "the header that carries the key")
		}
	case "hmac":
		for _, setting := range [][2]string{{"template", s.Template}, {"header", s.Header}, {"encoding", s.Encoding}} {
			if setting[1] == "" {
				c.add(append(at, setting[0]), "is missing", "profile hmac says it all: template, header, encoding")
			}
		}
	}
}

func (c *checker) dedupe(at []string, s schema.Source) {
	switch s.Dedupe.By {
	case "signed_id":
		if !signsID(s.Signature) {
			c.add(append(at, "by"), "the signature covers no id of the delivery", "use body_id with a pointer, or content")
		}
	case "body_id":
		if s.Dedupe.Pointer == "" {
			c.add(append(at, "pointer"), "is missing", "a JSON pointer such as /eventId")
		}
		if s.Signature.Profile == "static_key" {
			c.add(append(at, "by"), "a static key covers no bytes of the body", "use content")
		}
	}
}

func (c *checker) objects() {
	for _, name := range names(c.m.Objects) {
		o, at := c.m.Objects[name], []string{"objects", name}
		c.owner(append(at, "owner"), o.Owner)
		for _, system := range names(o.Systems) {
			c.objectIn(append(at, "systems", system), o, system)
		}
		c.fields(at, o)
		c.match(at, o)
	}
}

func (c *checker) objectIn(at []string, o schema.Object, system string) {
	s, ok := c.m.Systems[system]
	if !ok {
		c.add(at, fmt.Sprintf("there is no system %q", system), didYouMean(system, names(c.m.Systems)))
		return
	}
	if s.Kind == rules.SourceKind {
		if o.Systems[system].Create {
			c.add(append(at, "create"), "a source is never written", "remove it")
		}
		return
	}
	for _, name := range names(o.Fields) {
		if f := o.Fields[name]; f.Type == schema.TypeCanonicalID {
			if _, mapped := f.Systems[system]; !mapped {
				c.add(at, "has no place for our own id", fmt.Sprintf("map %s in %s: without it a write can neither be repeated nor found again", name, system))
			}
		}
	}
}

func (c *checker) fields(at []string, o schema.Object) {
	canonical := 0
	vendorFields := map[string]string{}
	for _, name := range names(o.Fields) {
		f, here := o.Fields[name], append(slices.Clone(at), "fields", name)
		c.owner(append(here, "owner"), f.Owner)
		if f.Type == schema.TypeCanonicalID {
			canonical++
			c.canonicalField(here, f)
		} else {
			c.ownedField(here, o, f)
		}
		for _, system := range names(f.Systems) {
			c.mapping(append(here, "systems", system), o, f, system)
			key := system + " " + f.Systems[system].Field
			if first, taken := vendorFields[key]; taken {
				c.add(append(here, "systems", system), fmt.Sprintf("is mapped by %s already", first), "one vendor field, one canonical field")
			}
			vendorFields[key] = name
		}
	}
	if canonical != 1 {
		c.add(append(at, "fields"), "has to have one field of type canonical_id", "add customer_uuid or the like")
	}
}

func (c *checker) canonicalField(at []string, f schema.Field) {
	if f.SystemOfRecord != rules.LockstepSystem {
		c.add(append(at, "system_of_record"), fmt.Sprintf("cannot be %q", f.SystemOfRecord), "our own id has system_of_record: lockstep")
	}
	if f.Direction != schema.OneWay || f.Conflict != nil {
		c.add(append(at, "direction"), "our own id travels one way", "direction: one_way, no conflict")
	}
}

func (c *checker) ownedField(at []string, o schema.Object, f schema.Field) {
	if _, ok := o.Systems[f.SystemOfRecord]; !ok {
		c.add(append(at, "system_of_record"), fmt.Sprintf("system %q does not have the object", f.SystemOfRecord), didYouMean(f.SystemOfRecord, names(o.Systems)))
	} else if _, ok := f.Systems[f.SystemOfRecord]; !ok {
		c.add(append(at, "systems"), fmt.Sprintf("the system of record %q does not map the field", f.SystemOfRecord), "nobody else may say it")
	}
	switch {
	case f.Direction == schema.TwoWay && f.Conflict == nil:
		c.add(append(at, "conflict"), "a two-way field needs a conflict rule", "newest_wins or record_system_wins")
	case f.Direction == schema.OneWay && f.Conflict != nil:
		c.add(append(at, "conflict"), "a one-way field has no conflicts", "remove it, or make the field two_way")
	}
	if f.PersonalData == schema.PersonalSecret && f.Direction == schema.TwoWay {
		c.add(append(at, "direction"), "a secret field travels one way", "direction: one_way")
	}
}

func (c *checker) mapping(at []string, o schema.Object, f schema.Field, system string) {
	if _, ok := o.Systems[system]; !ok {
		c.add(at, fmt.Sprintf("system %q does not have the object", system), didYouMean(system, names(o.Systems)))
		return
	}
	m := f.Systems[system]
	for i, step := range slices.Concat(m.In, m.Out) {
		chain, place := "in", i
		if i >= len(m.In) {
			chain, place = "out", i-len(m.In)
		}
		if _, err := rules.ParseTransform(step); err != nil {
			c.add(append(slices.Clone(at), chain, strconv.Itoa(place)), err.Error(), "")
		}
	}
	secret := f.PersonalData == schema.PersonalSecret
	switch receives := system != f.SystemOfRecord; {
	case secret && receives && m.Protect == "":
		c.add(append(at, "protect"), "a secret field does not leave in the clear", "protect: encrypt, token or drop")
	case !secret && m.Protect != "":
		c.add(append(at, "protect"), "only a secret field is protected", "personal_data: secret, or remove it")
	case secret && !receives && m.Protect != "":
		c.add(append(at, "protect"), "the system of record is not told its own secret", "remove it")
	case m.Protect == "encrypt" && c.m.Systems[system].ReceiverKey == "":
		c.add(append(at, "protect"), "there is no key to encrypt to", fmt.Sprintf("give systems.%s.receiver_key", system))
	}
}

// match refuses ladders that could attach a record to the wrong person.
func (c *checker) match(at []string, o schema.Object) {
	at = append(at, "match")
	phonesOnly := true
	for i, rule := range o.Match {
		f, ok := o.Fields[rule.Field]
		here := append(slices.Clone(at), strconv.Itoa(i), "field")
		switch {
		case !ok:
			c.add(here, fmt.Sprintf("there is no field %q", rule.Field), didYouMean(rule.Field, names(o.Fields)))
			continue
		case f.Type == schema.TypeCanonicalID:
			c.add(here, fmt.Sprintf("%s is our own id and always matches first", rule.Field), "remove it")
		case f.PersonalData == schema.PersonalSecret:
			c.add(here, fmt.Sprintf("%s is secret", rule.Field), "match by another field")
		case f.Type == schema.TypePhone && rule.Reserves:
			c.add(append(here[:len(here)-1], "reserves"), "a phone number never reserves", "families share them; remove reserves")
		}
		phonesOnly = phonesOnly && f.Type == schema.TypePhone
	}
	if len(o.Match) == 0 {
		c.add(at, "is missing", "list the match keys, strongest first")
	} else if phonesOnly {
		c.add(at, "is a ladder of phone numbers only", "numbers are shared, masked and ported: put an external id or e-mail before")
	}
}

func (c *checker) runbooks() {
	for _, f := range schema.Failures {
		if c.m.Runbooks[f.Reason] == "" {
			c.add([]string{"runbooks", string(f.Reason)}, "has no runbook", fmt.Sprintf("add `%s: %s`", f.Reason, f.Reason))
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(c.m.Runbooks)) {
		if !reason.Known() {
			var all []string
			for _, f := range schema.Failures {
				all = append(all, string(f.Reason))
			}
			c.add([]string{"runbooks", string(reason)}, "is no reason", didYouMean(string(reason), all))
		}
	}
}
