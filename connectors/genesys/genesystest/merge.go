package genesystest

import (
	"cmp"
	"fmt"
	"slices"

	"lockstep/connectors/simulator"
)

const (
	// maxMerge is how many contacts one merge takes, maxMergeSet how large a merge tree grows.
	maxMerge    = 25
	maxMergeSet = 52
)

// mergeContacts serves POST /contacts/merge: a new contact takes the place of the given ones.
func (s *Simulator) mergeContacts(rq *request) (simulator.Answer, *apiError) {
	var in struct {
		ContactIDs    []string       `json:"contactIds"`
		ValueOverride map[string]any `json:"valueOverride"`
	}
	if err := rq.decode(&in); err != nil {
		return simulator.Answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.writer(rq).merge(in.ContactIDs, in.ValueOverride)
	if err != nil {
		return simulator.Answer{}, err
	}
	return ok(s.show(c, expansion{}))
}

// mergePair serves the deprecated POST /merge/contacts, which cannot merge two curated contacts.
func (s *Simulator) mergePair(rq *request) (simulator.Answer, *apiError) {
	var in struct {
		Source string `json:"sourceContactId"`
		Target string `json:"targetContactId"`
	}
	if err := rq.decode(&in); err != nil {
		return simulator.Answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list, err := s.named([]string{in.Source, in.Target})
	if err != nil {
		return simulator.Answer{}, err
	}
	if list[0].kind == "Curated" && list[1].kind == "Curated" {
		return simulator.Answer{}, badRequest("Two curated contacts cannot be merged.")
	}
	c, err := s.writer(rq).merge([]string{in.Source, in.Target}, nil)
	if err != nil {
		return simulator.Answer{}, err
	}
	return ok(s.show(c, expansion{}))
}

// named finds the distinct live contacts of a merge.
func (s *Simulator) named(ids []string) ([]*contact, *apiError) {
	if len(ids) < 2 || len(ids) > maxMerge {
		return nil, unprocessable("contactIds", fmt.Sprintf("A merge takes between 2 and %d contacts.", maxMerge))
	}
	var list []*contact
	for _, id := range ids {
		c, err := s.contact(id)
		if err != nil {
			return nil, err
		}
		if slices.Contains(list, c) {
			return nil, unprocessable("contactIds", "The contacts of a merge must be different ones.")
		}
		list = append(list, c)
	}
	return list, mergeable(list)
}

func mergeable(list []*contact) *apiError {
	size := 1
	for _, c := range list {
		size += max(len(c.mergeSet()), 1)
	}
	if size > maxMergeSet {
		return unprocessable("contactIds", fmt.Sprintf("The merge set would exceed %d contacts.", maxMergeSet))
	}
	return nil
}

func (w *writer) merge(ids []string, override map[string]any) (*contact, *apiError) {
	list, err := w.s.named(ids)
	if err != nil {
		return nil, err
	}
	fields, err := w.s.accept(override)
	if err != nil {
		return nil, err
	}
	doc := w.s.fused(list, fields)
	if err := w.s.takenByAnother(doc, list...); err != nil {
		return nil, err
	}
	return w.fuse(list, doc, write{names: namesOf(doc)}), nil
}

// fused is the document of a merger: each field from the contact that was modified last, external ids of all, e-mail
// addresses and phones that conflict moved to fields that are free. Of a single contact it is a copy.
func (s *Simulator) fused(list []*contact, override map[string]any) map[string]any {
	newest := slices.Clone(list)
	slices.SortStableFunc(newest, func(a, b *contact) int { return cmp.Compare(b.modified.UnixNano(), a.modified.UnixNano()) })
	doc := clone(newest[0].doc)
	for _, c := range newest[1:] {
		for _, name := range namesOf(clone(c.doc)) {
			value := clone(c.doc)[name]
			switch contactFields[name] {
			case fieldExternalIDs, fieldArray:
				old, _ := doc[name].([]any)
				more, _ := value.([]any)
				both := combine(old, more, true)
				doc[name] = both[:max(min(len(both), maxExternalIDs), len(old))]
			case fieldEmail, fieldPhone:
				move(doc, name, value)
			default:
				if blank(doc[name]) {
					doc[name] = value
				}
			}
		}
	}
	return merged(doc, override)
}

// spare lists where a value of a kind may stand.
var spare = map[fieldKind][]string{
	fieldEmail: {"workEmail", "personalEmail", "otherEmail"},
	fieldPhone: {"workPhone", "cellPhone", "homePhone", "otherPhone"},
}

// move puts an e-mail address or a phone into its field, or a free one if it is not there yet.
func move(doc map[string]any, name string, value any) {
	slots := spare[contactFields[name]]
	for _, slot := range slots {
		if sameValue(doc[slot], value) {
			return
		}
	}
	for _, slot := range append([]string{name}, slots...) {
		if blank(doc[slot]) {
			doc[slot] = value
			return
		}
	}
}

// sameValue compares addresses and phones by what identifies them.
func sameValue(a, b any) bool {
	ap, aok := a.(map[string]any)
	bp, bok := b.(map[string]any)
	if aok && bok && ap["e164"] != nil {
		return ap["e164"] == bp["e164"]
	}
	as, aok := a.(string)
	bs, bok := b.(string)
	return aok && bok && as == bs
}

// fuse makes the merger of checked contacts. Their ids lead to it from then on.
func (w *writer) fuse(list []*contact, doc map[string]any, what write) *contact {
	s := w.s
	id := s.ids.UUID()
	placeholder := &contact{id: id}
	owned := []identifier{}
	for _, c := range list {
		for key := range c.wants {
			if s.contacts.owners[key].contact == c {
				owned = append(owned, key)
			}
		}
		c.mergedTo = placeholder
		s.reindex(c)
	}
	what.op = simulator.OpMerge
	what.extra = map[string]any{"mergedFrom": idsOf(list)}
	now := s.now()
	*placeholder = contact{
		id: id, doc: map[string]any{}, kind: "Curated", created: now, modified: now, indexed: s.clock.True(),
		born: uint64(len(s.contacts.ordered)), mergedFrom: list, claimed: map[identifier]bool{}, released: map[identifier]bool{},
	}
	s.contacts.byID[id] = placeholder
	s.contacts.ordered = append(s.contacts.ordered, placeholder)
	for _, c := range list {
		for key := range c.claimed {
			placeholder.claimed[key] = true
		}
	}
	what.force = true
	w.put(placeholder, doc, what)
	for _, key := range owned {
		if placeholder.wants[key] {
			s.contacts.owners[key] = ownership{placeholder, s.clock.True()}
		}
	}
	for _, c := range list {
		c.modified = now
		w.note(simulator.Effect{
			Object: "ExternalContact", ID: c.id, Op: simulator.OpMerge, Fields: map[string]any{"mergedTo": id},
		})
		s.announce(c)
	}
	return placeholder
}

func idsOf(list []*contact) []string {
	out := make([]string, len(list))
	for i, c := range list {
		out[i] = c.id
	}
	return out
}
