package genesystest

import "lockstep/connectors/simulator"

// createNote serves POST /contacts/{id}/notes.
func (s *Simulator) createNote(rq *request) (simulator.Answer, *apiError) {
	in, err := rq.object()
	if err != nil {
		return simulator.Answer{}, err
	}
	text, _ := in["noteText"].(string)
	if text == "" {
		return simulator.Answer{}, unprocessable("noteText", "A note needs a text.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.contact(rq.Vars["id"])
	if err != nil {
		return simulator.Answer{}, err
	}
	now := stamp(s.clock.Now())
	e := s.writer(rq).shelve("Note", "", map[string]any{
		"entityId": c.id, "entityType": "contact", "noteText": text, "createDate": now, "modifyDate": now,
		"createdBy": in["createdBy"],
	})
	return ok(s.shelves["Note"].show(e))
}

// listNotes serves GET /contacts/{id}/notes.
func (s *Simulator) listNotes(rq *request) (simulator.Answer, *apiError) {
	size, number, err := rq.paging(20, 100)
	if err != nil {
		return simulator.Answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.contact(rq.Vars["id"])
	if err != nil {
		return simulator.Answer{}, err
	}
	out := []any{}
	for _, e := range s.shelves["Note"].live() {
		if e.doc["entityId"] == c.id {
			out = append(out, s.shelves["Note"].show(e))
		}
	}
	return ok(page(contactURI(c.id)+"/notes", out, size, number))
}
