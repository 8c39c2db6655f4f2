package genesystest

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"

	"lockstep/connectors/simulator"
)

// identifier is a value that belongs to one contact at a time, in its comparable form.
type identifier struct{ Type, Value, Source string }

const (
	typeEmail      = "Email"
	typePhone      = "Phone"
	typeExternalID = "ExternalId"
	// maxIdentifier bounds an identifier's value in characters.
	maxIdentifier = 255
)

var identifierTypes = []string{
	"SocialLine", "SocialFacebook", "SocialTwitter", "SocialWhatsapp", "SocialInstagram", "AppleOpaqueId", typeEmail,
	typePhone, "Cookie", typeExternalID,
}

// contactIdentifier is ContactIdentifier of the specification.
type contactIdentifier struct {
	Type           string          `json:"type"`
	Value          string          `json:"value"`
	DateCreated    string          `json:"dateCreated,omitempty"`
	ExternalSource *sourceRef      `json:"externalSource,omitempty"`
	Division       *map[string]any `json:"division,omitempty"`
}

type sourceRef struct {
	ID                string `json:"id"`
	Name              string `json:"name,omitempty"`
	Active            *bool  `json:"active,omitempty"`
	SelfURI           string `json:"selfUri,omitempty"`
	LinkConfiguration any    `json:"linkConfiguration,omitempty"`
}

// ownership is who owns an identifier and since when, by the unskewed clock.
type ownership struct {
	contact *contact
	since   time.Time
}

// contacts is every contact and who owns which identifier.
type contacts struct {
	byID    map[string]*contact
	ordered []*contact // by birth, deleted and merged ones too
	owners  map[identifier]ownership
	// wanting leads to the contacts that carry an identifier; the oldest owns it unless another claimed it.
	wanting map[identifier]map[*contact]bool
}

func newContacts() contacts {
	return contacts{
		byID: map[string]*contact{}, owners: map[identifier]ownership{}, wanting: map[identifier]map[*contact]bool{},
	}
}

// identify reads an identifier of a request.
func (s *Simulator) identify(in contactIdentifier) (identifier, *apiError) {
	i := slices.IndexFunc(identifierTypes, func(t string) bool { return strings.EqualFold(t, in.Type) })
	value := strings.TrimSpace(in.Value)
	switch {
	case i < 0:
		return identifier{}, invalidValue("type", "The identifier type is not one of "+strings.Join(identifierTypes, ", ")+".")
	case value == "" || utf8.RuneCountInString(value) > maxIdentifier:
		return identifier{}, unprocessable("value", "An identifier needs a value of at most 255 characters.")
	}
	key := identifier{Type: identifierTypes[i], Value: value}
	switch key.Type {
	case typeEmail:
		key.Value = strings.ToLower(value)
	case typePhone:
		number, ok := s.parsePhone(value, "")
		if !strings.HasPrefix(value, "+") || !ok {
			return identifier{}, unprocessable("value",
				"Phone number identifier values must be provided with the country code and a leading '+' symbol.")
		}
		key.Value = phonenumbers.Format(number, phonenumbers.E164)
	case typeExternalID:
		if in.ExternalSource == nil || in.ExternalSource.ID == "" {
			return identifier{}, unprocessable("externalSource", "An ExternalId identifier needs an externalSource.")
		}
		if s.shelves["ExternalSource"].find(in.ExternalSource.ID) == nil {
			return identifier{}, unprocessable("externalSource", "The external source "+in.ExternalSource.ID+" does not exist.")
		}
		key.Source = in.ExternalSource.ID
	}
	return key, nil
}

// carried lists the identifiers that a contact's fields and claims carry.
func (c *contact) carried() map[identifier]bool {
	out := map[identifier]bool{}
	for key := range c.claimed {
		out[key] = true
	}
	for name, kind := range contactFields {
		switch kind {
		case fieldEmail:
			if text, ok := c.doc[name].(string); ok {
				out[identifier{Type: typeEmail, Value: strings.ToLower(text)}] = true
			}
		case fieldPhone:
			phone, _ := c.doc[name].(map[string]any)
			if text, ok := phone["e164"].(string); ok {
				out[identifier{Type: typePhone, Value: text}] = true
			}
		case fieldExternalIDs:
			for _, key := range externalIDs(c.doc) {
				out[key] = true
			}
		default: // the others identify nobody
		}
	}
	return out
}

// externalIDs lists the external ids of a stored document.
func externalIDs(doc map[string]any) []identifier {
	list, _ := doc["externalIds"].([]any)
	var out []identifier
	for _, item := range list {
		entry, _ := item.(map[string]any)
		source, _ := entry["externalSource"].(map[string]any)
		key := identifier{Type: typeExternalID}
		key.Value, _ = entry["value"].(string)
		key.Source, _ = source["id"].(string)
		out = append(out, key)
	}
	return out
}

// reindex brings the owners in line with what the contact carries now. What it no longer carries passes on to the
// oldest other contact that does.
func (s *Simulator) reindex(c *contact) {
	before, after := c.wants, map[identifier]bool{}
	if !c.deleted && c.mergedTo == nil {
		after = c.carried()
	}
	c.wants = after
	for key := range before {
		if after[key] {
			continue
		}
		delete(s.contacts.wanting[key], c)
		delete(c.released, key)
		if s.contacts.owners[key].contact == c {
			s.passOn(key)
		}
	}
	for key := range after {
		if before[key] {
			continue
		}
		if s.contacts.wanting[key] == nil {
			s.contacts.wanting[key] = map[*contact]bool{}
		}
		s.contacts.wanting[key][c] = true
		if s.contacts.owners[key].contact == nil {
			s.contacts.owners[key] = ownership{c, s.clock.True()}
		}
	}
}

func (s *Simulator) passOn(key identifier) {
	var next *contact
	for c := range s.contacts.wanting[key] {
		if !c.released[key] && (next == nil || c.born < next.born) {
			next = c
		}
	}
	if next == nil {
		delete(s.contacts.owners, key)
		if len(s.contacts.wanting[key]) == 0 {
			delete(s.contacts.wanting, key)
		}
		return
	}
	s.contacts.owners[key] = ownership{next, s.clock.True()}
}

// takenByAnother refuses external ids that another contact owns: they are unique.
func (s *Simulator) takenByAnother(doc map[string]any, mine ...*contact) *apiError {
	for _, key := range externalIDs(doc) {
		if owner := s.contacts.owners[key].contact; owner != nil && !slices.Contains(mine, owner) {
			e := conflict("externalIds", "The external id is claimed by another contact.")
			e.Details[0].EntityID, e.Details[0].EntityName = owner.id, "ExternalContact"
			return e
		}
	}
	return nil
}

// visible reports whether look-ups see what was written at since.
func (s *Simulator) visible(since time.Time) bool {
	return !s.clock.True().Before(since.Add(time.Duration(s.switches.LookupLagMS) * time.Millisecond))
}

// lookUp serves POST /identifierlookup/contacts.
func (s *Simulator) lookUp(rq *request) (simulator.Answer, *apiError) {
	var in contactIdentifier
	if err := rq.decode(&in); err != nil {
		return simulator.Answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key, err := s.identify(in)
	if err != nil {
		return simulator.Answer{}, err
	}
	owner := s.contacts.owners[key]
	if owner.contact == nil || !s.visible(owner.since) {
		return simulator.Answer{}, &apiError{
			Status: 404, Code: "contact.not.found", Message: "No contact was found for the identifier.",
		}
	}
	return ok(s.show(owner.contact, expand(rq.list("expand"))))
}

// maxReverse bounds a reverse look-up.
const maxReverse = 25

// reverse serves GET /reversewhitepageslookup: every contact that shows the number, the address or the name.
func (s *Simulator) reverse(rq *request) (simulator.Answer, *apiError) {
	value := strings.TrimSpace(rq.Query.Get("lookupVal"))
	if value == "" {
		return simulator.Answer{}, invalidValue("lookupVal", "The parameter lookupVal is required.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := []identifier{{Type: typeEmail, Value: strings.ToLower(value)}}
	if number, ok := s.parsePhone(value, ""); ok {
		keys = append(keys, identifier{Type: typePhone, Value: phonenumbers.Format(number, phonenumbers.E164)})
	}
	found := []*contact{}
	for _, key := range keys {
		for c := range s.contacts.wanting[key] {
			if s.visible(c.indexed) {
				found = append(found, c)
			}
		}
	}
	slices.SortFunc(found, func(a, b *contact) int { return cmp.Compare(a.born, b.born) })
	shown := []any{}
	for _, c := range slices.Compact(found)[:min(len(found), maxReverse)] {
		shown = append(shown, s.show(c, expand(rq.list("expand"))))
	}
	return ok(map[string]any{"contacts": shown})
}

// listIdentifiers serves GET /contacts/{id}/identifiers.
func (s *Simulator) listIdentifiers(rq *request) (simulator.Answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.contact(rq.Vars["id"])
	if err != nil {
		return simulator.Answer{}, err
	}
	return ok(map[string]any{"entities": s.showIdentifiers(c)})
}

// showIdentifiers lists the identifiers that the contact owns.
func (s *Simulator) showIdentifiers(c *contact) []any {
	owned := []identifier{}
	for key := range c.wants {
		if s.contacts.owners[key].contact == c {
			owned = append(owned, key)
		}
	}
	slices.SortFunc(owned, func(a, b identifier) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Value, b.Value))
	})
	out := []any{}
	for _, key := range owned {
		out = append(out, s.showIdentifier(key))
	}
	return out
}

func (s *Simulator) showIdentifier(key identifier) map[string]any {
	out := map[string]any{
		"type": key.Type, "value": key.Value, "division": division(),
		"dateCreated": stamp(s.contacts.owners[key].since.Add(s.clock.Skewed())),
	}
	if key.Source != "" {
		out["externalSource"] = map[string]any{"id": key.Source, "selfUri": sourceURI(key.Source)}
	}
	return out
}

// claim serves PATCH /contacts/{id}/identifiers.
func (s *Simulator) claim(rq *request) (simulator.Answer, *apiError) {
	var in struct {
		Operation  string            `json:"operation"`
		Identifier contactIdentifier `json:"identifier"`
	}
	if err := rq.decode(&in); err != nil {
		return simulator.Answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.contact(rq.Vars["id"])
	if err != nil {
		return simulator.Answer{}, err
	}
	key, err := s.identify(in.Identifier)
	if err != nil {
		return simulator.Answer{}, err
	}
	w := s.writer(rq)
	switch {
	case strings.EqualFold(in.Operation, "Claim"):
		err = w.claim(c, key)
	case strings.EqualFold(in.Operation, "Release"):
		err = w.release(c, key)
	default:
		err = invalidValue("operation", "The operation must be Claim or Release.")
	}
	if err != nil {
		return simulator.Answer{}, err
	}
	shown := map[string]any{"type": key.Type, "value": key.Value}
	if s.contacts.owners[key].contact == c {
		shown = s.showIdentifier(key)
	}
	return ok(shown)
}

// claim makes a contact the owner of an identifier. Another owner refuses it.
func (w *writer) claim(c *contact, key identifier) *apiError {
	owner := w.s.contacts.owners[key].contact
	if owner != nil && owner != c {
		e := conflict("identifier", "The identifier is claimed by another contact.")
		e.Details[0].EntityID, e.Details[0].EntityName = owner.id, "ExternalContact"
		return e
	}
	doc := c.doc
	if key.Type == typeExternalID && !slices.Contains(externalIDs(doc), key) {
		list, _ := doc["externalIds"].([]any)
		if len(list) >= maxExternalIDs {
			return unprocessable("externalIds", "A contact holds at most 10 external ids.")
		}
		doc = merged(doc, map[string]any{"externalIds": append(slices.Clone(list), externalID(key))})
	}
	delete(c.released, key)
	if key.Type != typeExternalID {
		c.claimed[key] = true
	}
	w.put(c, doc, claimWrite("Claim", key, owner != c))
	w.s.contacts.owners[key] = ownership{c, w.s.clock.True()}
	return nil
}

// release gives an identifier up; it passes on to the next contact that carries it.
func (w *writer) release(c *contact, key identifier) *apiError {
	if w.s.contacts.owners[key].contact != c {
		return &apiError{
			Status: 404, Code: "not.found", Message: "The contact does not own the identifier.",
		}
	}
	delete(c.claimed, key)
	doc := c.doc
	if key.Type == typeExternalID {
		list := slices.DeleteFunc(externalIDs(doc), func(have identifier) bool { return have == key })
		rest := make([]any, len(list))
		for i, have := range list {
			rest[i] = externalID(have)
		}
		fields := map[string]any{"externalIds": rest}
		if len(rest) == 0 {
			fields["externalIds"] = nil
		}
		doc = merged(doc, fields)
	} else if c.wants[key] {
		c.released[key] = true
	}
	w.put(c, doc, claimWrite("Release", key, true))
	if w.s.contacts.owners[key].contact == c {
		w.s.passOn(key)
	}
	return nil
}

// claimWrite tells the journal of a claim: an external id as the field it stands in, another identifier by itself.
func claimWrite(operation string, key identifier, changes bool) write {
	if key.Type == typeExternalID {
		return write{op: simulator.OpUpdate, names: []string{"externalIds"}, force: changes}
	}
	return write{op: simulator.OpUpdate, force: changes, extra: map[string]any{"identifiers": []any{
		map[string]any{"operation": operation, "type": key.Type, "value": key.Value},
	}}}
}
