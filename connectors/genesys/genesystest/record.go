package genesystest

import (
	"reflect"

	"lockstep/connectors/simulator"
)

// writer makes changes on behalf of one journal entry. The org is locked while it works, and what it is asked to do has
// been checked, so no change is ever half made.
type writer struct {
	s     *Simulator
	entry int64
	// key is the Idempotency-Key header of the request.
	key string
}

func (s *Simulator) writer(rq *request) *writer {
	return &writer{s: s, entry: rq.Entry(), key: rq.Request.Header.Get("Idempotency-Key")}
}

func (w *writer) note(e simulator.Effect) {
	if w.key != "" {
		e.Key = w.key
	}
	w.s.journal.Effect(w.entry, e)
}

// write says what a change of a contact is.
type write struct {
	op string
	// names are the fields that the request wrote.
	names []string
	// extra stands beside the fields in the journal.
	extra map[string]any
	// force tells of a change although no field changes.
	force bool
	// key is the external id by which the request named the contact.
	key string
}

// contact finds a live contact by its id; the id of a merged one leads to the contact that stands for it.
func (s *Simulator) contact(id string) (*contact, *apiError) {
	c := s.contacts.byID[id]
	if c == nil || c.canonical().deleted {
		return nil, contactNotFound(id)
	}
	return c.canonical(), nil
}

// add makes a new contact of a checked document.
func (w *writer) add(id string, doc map[string]any, kind string, what write) *contact {
	s := w.s
	if id == "" {
		id = s.ids.UUID()
	}
	now := s.now()
	c := &contact{
		id: id, doc: map[string]any{}, kind: kind, created: now, modified: now, indexed: s.clock.True(),
		born: uint64(len(s.contacts.ordered)), claimed: map[identifier]bool{}, released: map[identifier]bool{},
	}
	s.contacts.byID[id] = c
	s.contacts.ordered = append(s.contacts.ordered, c)
	what.force = true
	w.put(c, doc, what)
	return c
}

// put stores a checked document: effect, index and event in one locked moment. An identical write is journaled as one
// and changes nothing, modifyDate included.
func (w *writer) put(c *contact, doc map[string]any, what write) {
	s := w.s
	before := c.doc
	e := simulator.Effect{Object: "ExternalContact", ID: c.id, Op: what.op, Fields: map[string]any{}, Key: what.key}
	for _, name := range what.names {
		e.Fields[name] = doc[name]
		if what.op != simulator.OpCreate {
			set(&e.Before, name, before[name])
		}
	}
	for name, value := range what.extra {
		e.Fields[name] = value
	}
	if ids := externalIDs(doc); e.Key == "" && len(ids) > 0 {
		e.Key = ids[0].Value
	}
	e.Noop = !what.force && reflect.DeepEqual(before, doc)
	c.doc = doc
	if !e.Noop && what.op != simulator.OpCreate {
		c.modified = s.now()
	}
	s.reindex(c)
	w.note(e)
	if !e.Noop {
		s.announce(c)
	}
}

// remove deletes a contact. No event tells of it.
func (w *writer) remove(c *contact) {
	c.deleted = true
	c.modified = w.s.now()
	w.s.reindex(c)
	e := simulator.Effect{Object: "ExternalContact", ID: c.id, Op: simulator.OpDelete}
	if ids := externalIDs(c.doc); len(ids) > 0 {
		e.Key = ids[0].Value
	}
	w.note(e)
}

func set(m *map[string]any, name string, value any) {
	if *m == nil {
		*m = map[string]any{}
	}
	(*m)[name] = value
}
