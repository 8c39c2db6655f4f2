package genesystest

import (
	"fmt"
	"slices"
	"strings"

	"lockstep/connectors/simulator"
)

// enrichRequest is ContactEnrichRequest of the specification.
type enrichRequest struct {
	ID                  string              `json:"id,omitempty"`
	Division            *map[string]any     `json:"division,omitempty"`
	MatchingIdentifiers []contactIdentifier `json:"matchingIdentifiers"`
	Action              string              `json:"action"`
	Contact             map[string]any      `json:"contact,omitempty"`
	FieldRules          *fieldRules         `json:"fieldRules,omitempty"`
	Options             *enrichOptions      `json:"options,omitempty"`
}

type enrichOptions struct {
	Promote bool `json:"promote"`
}

type fieldRules struct {
	DefaultAction      string      `json:"defaultAction,omitempty"`
	Rules              []fieldRule `json:"rules,omitempty"`
	DefaultArrayAction string      `json:"defaultArrayAction,omitempty"`
}

type fieldRule struct {
	Field       string `json:"field"`
	Action      string `json:"action,omitempty"`
	ArrayAction string `json:"arrayAction,omitempty"`
}

// maxMatching bounds the identifiers of one enrich operation.
const maxMatching = 25

// enrichOne serves POST /contacts/enrich: 201 for a new contact, 200 for one that was there.
func (s *Simulator) enrichOne(rq *request) (simulator.Answer, *apiError) {
	var in enrichRequest
	if err := rq.decode(&in); err != nil {
		return simulator.Answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	shown, status, err := s.writer(rq).enrich(in, rq.Query.Get("dryRun") == "true")
	if err != nil {
		return simulator.Answer{}, err
	}
	return simulator.JSON(status, jsonType, shown), nil
}

// enrich finds, combines and writes. A dry run shows what would come of it.
func (w *writer) enrich(in enrichRequest, dry bool) (shown map[string]any, status int, err *apiError) {
	keys, err := w.s.matching(in)
	if err != nil {
		return nil, 0, err
	}
	provided, err := w.s.accept(in.Contact)
	if err != nil {
		return nil, 0, err
	}
	found := w.s.matched(keys)
	if err := in.refused(found); err != nil {
		return nil, 0, err
	}
	merging := strings.EqualFold(in.Action, "Merge") && len(found) > 1
	if !merging && len(found) > 1 {
		found = found[:1]
	}
	doc := map[string]any{}
	if len(found) > 0 {
		doc = w.s.fused(found, nil)
	}
	next, written, err := w.s.combined(doc, provided, in.FieldRules)
	if err != nil {
		return nil, 0, err
	}
	if w.s.addExternalIDs(next, keys, found) && !slices.Contains(written, "externalIds") {
		written = append(written, "externalIds")
	}
	if err := w.s.takenByAnother(next, found...); err != nil {
		return nil, 0, err
	}
	if merging {
		if err := mergeable(found); err != nil {
			return nil, 0, err
		}
	}
	status = 200
	if len(found) == 0 {
		status = 201
	}
	promoted := in.Options != nil && in.Options.Promote
	if dry {
		return w.s.preview(found, next, promoted), status, nil
	}
	c := w.enriched(found, next, written, keys, promoted)
	return w.s.show(c, expansion{}), status, nil
}

// refused is the answer to an operation that what was found does not allow.
func (in enrichRequest) refused(found []*contact) *apiError {
	switch {
	case strings.EqualFold(in.Action, "Insert") && len(found) > 0:
		e := conflict("matchingIdentifiers", "A contact with one of the identifiers exists.")
		e.Details[0].EntityID, e.Details[0].EntityName = found[0].id, "ExternalContact"
		return e
	case strings.EqualFold(in.Action, "Update") && len(found) == 0:
		return &apiError{
			Status: 404, Code: "contact.not.found", Message: "No contact was found for the matching identifiers.",
		}
	}
	return nil
}

// matching checks the request and reads its identifiers.
func (s *Simulator) matching(in enrichRequest) ([]identifier, *apiError) {
	if n := len(in.MatchingIdentifiers); n < 1 || n > maxMatching {
		return nil, unprocessable("matchingIdentifiers", fmt.Sprintf("Between 1 and %d matchingIdentifiers are needed.", maxMatching))
	}
	if !oneOf(in.Action, "Merge", "Upsert", "Update", "Insert") {
		return nil, invalidValue("action", "The action must be Merge, Upsert, Update or Insert.")
	}
	var keys []identifier
	for _, m := range in.MatchingIdentifiers {
		key, err := s.identify(m)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func oneOf(text string, values ...string) bool {
	return slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(v, text) })
}

// matched lists the contacts that own the identifiers, in the order of the identifiers, each once.
func (s *Simulator) matched(keys []identifier) []*contact {
	var found []*contact
	for _, key := range keys {
		if c := s.contacts.owners[key].contact; c != nil && !slices.Contains(found, c) {
			found = append(found, c)
		}
	}
	return found
}

// addExternalIDs adds the external ids among the identifiers that nobody else owns: the contact claims them. It reports
// whether it added any.
func (s *Simulator) addExternalIDs(doc map[string]any, keys []identifier, mine []*contact) (added bool) {
	have := externalIDs(doc)
	list, _ := doc["externalIds"].([]any)
	for _, key := range keys {
		owner := s.contacts.owners[key].contact
		if key.Type == typeExternalID && (owner == nil || slices.Contains(mine, owner)) && !slices.Contains(have, key) &&
			len(list) < maxExternalIDs {
			list, added = append(slices.Clone(list), externalID(key)), true
		}
	}
	if added {
		doc["externalIds"] = list
	}
	return added
}

// enriched writes the outcome, on a new contact, on the one that was found or on the merger of those that were, and
// claims the identifiers that nobody owns.
func (w *writer) enriched(
	found []*contact, doc map[string]any, written []string, keys []identifier, promoted bool,
) *contact {
	what := write{op: simulator.OpUpdate, names: written, key: keyOf(keys)}
	fresh := slices.DeleteFunc(keys, func(key identifier) bool {
		return w.s.contacts.owners[key].contact != nil || key.Type == typeExternalID
	})
	switch len(found) {
	case 0:
		kind := "Identified"
		if promoted {
			kind = "Curated"
		}
		what.op = simulator.OpCreate
		c := w.add("", doc, kind, what)
		w.claimAll(c, fresh)
		return c
	case 1:
		c := found[0]
		what.force = len(fresh) > 0 || promoted && c.kind != "Curated"
		if promoted {
			c.kind = "Curated"
		}
		for _, key := range fresh {
			c.claimed[key] = true
		}
		w.put(c, doc, what)
		return c
	}
	what.names = namesOf(doc)
	c := w.fuse(found, doc, what)
	w.claimAll(c, fresh)
	return c
}

func (w *writer) claimAll(c *contact, keys []identifier) {
	for _, key := range keys {
		c.claimed[key] = true
	}
	w.s.reindex(c)
}

// keyOf returns the external id among the identifiers, for the journal.
func keyOf(keys []identifier) string {
	for _, key := range keys {
		if key.Type == typeExternalID {
			return key.Value
		}
	}
	return ""
}

// preview shows a document as the contact that it would become.
func (s *Simulator) preview(found []*contact, doc map[string]any, promoted bool) map[string]any {
	now := s.now()
	c := &contact{doc: doc, kind: "Identified", created: now, modified: now}
	if len(found) == 1 {
		copied := *found[0]
		copied.doc = doc
		c = &copied
	}
	if promoted || len(found) > 1 {
		c.kind = "Curated"
	}
	shown := s.show(c, expansion{})
	if len(found) != 1 {
		delete(shown, "id")
		delete(shown, "selfUri")
	}
	return shown
}
