package genesystest

import (
	"strings"
	"unicode/utf8"

	"lockstep/connectors/simulator"
)

// maxSourceName bounds the name of an external source.
const maxSourceName = 200

// sourceBody is ExternalSource of the specification.
type sourceBody struct {
	ID                string         `json:"id"`
	Name              string         `json:"name"`
	Active            *bool          `json:"active"`
	LinkConfiguration map[string]any `json:"linkConfiguration"`
	SelfURI           string         `json:"selfUri"`
}

func (s *Simulator) readSource(rq *request, self *entity) (map[string]any, *apiError) {
	var in sourceBody
	if err := rq.decode(&in); err != nil {
		return nil, err
	}
	in.Name = strings.TrimSpace(in.Name)
	if n := utf8.RuneCountInString(in.Name); n == 0 || n > maxSourceName {
		return nil, unprocessable("name", "An external source needs a name of at most 200 characters.")
	}
	if other := s.shelves["ExternalSource"].having("name", in.Name); other != nil && other != self {
		return nil, conflict("name", "An external source of this name exists.")
	}
	doc := map[string]any{"name": in.Name, "active": in.Active == nil || *in.Active}
	if in.LinkConfiguration != nil {
		doc["linkConfiguration"] = in.LinkConfiguration
	}
	return doc, nil
}

// createSource serves POST /externalsources.
func (s *Simulator) createSource(rq *request) (simulator.Answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	doc, err := s.readSource(rq, nil)
	if err != nil {
		return simulator.Answer{}, err
	}
	e := s.writer(rq).shelve("ExternalSource", "", doc)
	return ok(s.shelves["ExternalSource"].show(e))
}

// listSources serves GET /externalsources; name matches as a prefix.
func (s *Simulator) listSources(rq *request) (simulator.Answer, *apiError) {
	size, from, err := s.cursorPage(rq)
	if err != nil {
		return simulator.Answer{}, err
	}
	prefix, active := rq.Query.Get("name"), rq.Query.Get("active")
	s.mu.Lock()
	defer s.mu.Unlock()
	shelf := s.shelves["ExternalSource"]
	out, next := []any{}, -1
	for n := from; n < len(shelf.list); n++ {
		e := shelf.list[n]
		name, _ := e.doc["name"].(string)
		if e.deleted || !strings.HasPrefix(strings.ToLower(name), strings.ToLower(prefix)) ||
			active != "" && (active == "true") != (e.doc["active"] == true) {
			continue
		}
		if len(out) == size {
			next = n
			break
		}
		out = append(out, shelf.show(e))
	}
	return ok(s.cursorListing("/api/v2/externalcontacts/externalsources", size, out, next))
}

// oneSource finds the source that a path names; the org is locked.
func (s *Simulator) oneSource(rq *request) (*entity, *apiError) {
	if e := s.shelves["ExternalSource"].find(rq.Vars["id"]); e != nil {
		return e, nil
	}
	return nil, notFound("external source", rq.Vars["id"])
}

// getSource serves GET /externalsources/{id}.
func (s *Simulator) getSource(rq *request) (simulator.Answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.oneSource(rq)
	if err != nil {
		return simulator.Answer{}, err
	}
	return ok(s.shelves["ExternalSource"].show(e))
}

// replaceSource serves PUT /externalsources/{id}.
func (s *Simulator) replaceSource(rq *request) (simulator.Answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.oneSource(rq)
	if err != nil {
		return simulator.Answer{}, err
	}
	doc, err := s.readSource(rq, e)
	if err != nil {
		return simulator.Answer{}, err
	}
	s.writer(rq).alter("ExternalSource", e, doc)
	return ok(s.shelves["ExternalSource"].show(e))
}

// deleteSource serves DELETE /externalsources/{id}. External ids that name it stay.
func (s *Simulator) deleteSource(rq *request) (simulator.Answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.oneSource(rq)
	if err != nil {
		return simulator.Answer{}, err
	}
	s.writer(rq).drop("ExternalSource", e)
	return empty(204)
}
