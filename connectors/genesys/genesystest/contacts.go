package genesystest

import (
	"maps"
	"slices"

	"lockstep/connectors/simulator"
)

// createContact serves POST /contacts. The status is 200, not 201 (connectors.md 1.5).
func (s *Simulator) createContact(rq *request) (simulator.Answer, *apiError) {
	in, err := rq.object()
	if err != nil {
		return simulator.Answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.writer(rq).create(in, "")
	if err != nil {
		return simulator.Answer{}, err
	}
	return ok(s.show(c, expansion{}))
}

// create checks the fields of a new contact and makes it.
func (w *writer) create(in map[string]any, id string) (*contact, *apiError) {
	fields, err := w.s.accept(in)
	if err != nil {
		return nil, err
	}
	doc := merged(map[string]any{}, fields)
	if err := w.s.takenByAnother(doc); err != nil {
		return nil, err
	}
	return w.add(id, doc, "Curated", write{op: simulator.OpCreate, names: namesOf(fields)}), nil
}

func namesOf(fields map[string]any) []string { return slices.Sorted(maps.Keys(fields)) }

// getContact serves GET /contacts/{id}.
func (s *Simulator) getContact(rq *request) (simulator.Answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.contact(rq.Vars["id"])
	if err != nil {
		return simulator.Answer{}, err
	}
	return ok(s.show(c, expand(rq.list("expand"))))
}

// getUnresolved serves GET /contacts/{id}/unresolved: the contact itself, merged or not.
func (s *Simulator) getUnresolved(rq *request) (simulator.Answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.contacts.byID[rq.Vars["id"]]
	if c == nil || c.deleted {
		return simulator.Answer{}, contactNotFound(rq.Vars["id"])
	}
	return ok(s.show(c, expand(rq.list("expand"))))
}

// replaceContact serves PUT /contacts/{id}: a field that is not sent is cleared.
func (s *Simulator) replaceContact(rq *request) (simulator.Answer, *apiError) {
	in, err := rq.object()
	if err != nil {
		return simulator.Answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.contact(rq.Vars["id"])
	if err != nil {
		return simulator.Answer{}, err
	}
	if err := s.writer(rq).replace(c, in); err != nil {
		return simulator.Answer{}, err
	}
	return ok(s.show(c, expansion{}))
}

func (w *writer) replace(c *contact, in map[string]any) *apiError {
	fields, err := w.s.accept(in)
	if err != nil {
		return err
	}
	doc := merged(map[string]any{}, fields)
	if err := w.s.takenByAnother(doc, c); err != nil {
		return err
	}
	for name := range c.doc {
		if _, sent := fields[name]; !sent {
			fields[name] = nil
		}
	}
	w.put(c, doc, write{op: simulator.OpUpdate, names: namesOf(fields)})
	return nil
}

// change writes the given fields and leaves the others; nil clears.
func (w *writer) change(c *contact, fields map[string]any, key string) *apiError {
	doc := merged(c.doc, fields)
	if err := w.s.takenByAnother(doc, c); err != nil {
		return err
	}
	w.put(c, doc, write{op: simulator.OpUpdate, names: namesOf(fields), key: key})
	return nil
}

// deleteContact serves DELETE /contacts/{id}.
func (s *Simulator) deleteContact(rq *request) (simulator.Answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.contact(rq.Vars["id"])
	if err != nil {
		return simulator.Answer{}, err
	}
	s.writer(rq).remove(c)
	return empty(200)
}

// promote serves POST /contacts/{id}/promotion.
func (s *Simulator) promote(rq *request) (simulator.Answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.contact(rq.Vars["id"])
	if err != nil {
		return simulator.Answer{}, err
	}
	changes := c.kind != "Curated"
	c.kind = "Curated"
	s.writer(rq).put(c, c.doc, write{
		op: simulator.OpUpdate, extra: map[string]any{"type": "Curated"}, force: changes,
	})
	return ok(s.show(c, expansion{}))
}
