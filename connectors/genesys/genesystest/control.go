package genesystest

import (
	"bytes"
	"net/http"

	"lockstep/connectors/simulator"
)

// contactObject is the name of contacts in the control API and the journal.
const contactObject = "ExternalContact"

// State returns records as GET would show them; deleted ones carry "deleted":true. See simulator.Vendor.
func (s *Simulator) State(object, id string, withDeleted bool) ([]any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []any
	switch shelf := s.shelves[object]; {
	case object == contactObject:
		out = s.contactState(id, withDeleted)
	case shelf != nil:
		for _, e := range shelf.list {
			if (withDeleted || !e.deleted) && (id == "" || e.id == id) {
				out = append(out, mark(shelf.show(e), e.deleted))
			}
		}
	default:
		return nil, simulator.ErrUnknown
	}
	return out, nil
}

// contactState lists contacts. A merged one is no longer live: it shows among the deleted, with its mergedTo.
func (s *Simulator) contactState(id string, withDeleted bool) []any {
	var out []any
	for _, c := range s.contacts.ordered {
		gone := c.deleted || c.mergedTo != nil
		if (withDeleted || !gone) && (id == "" || c.id == id) {
			out = append(out, mark(s.show(c, expansion{identifiers: true}), c.deleted))
		}
	}
	return out
}

func mark(shown map[string]any, deleted bool) map[string]any {
	if deleted {
		shown["deleted"] = true
	}
	return shown
}

// Save creates or updates records as a person in the agent desktop would. See simulator.Vendor.
func (s *Simulator) Save(object string, body []byte, _ string) (any, bool, error) {
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		var record map[string]any
		if err := decode(body, &record); err != nil {
			return nil, false, rejection(err)
		}
		return s.saveOne(object, record)
	}
	var records []map[string]any
	if err := decode(body, &records); err != nil {
		return nil, false, rejection(err)
	}
	out, anyNew := []any{}, false
	for _, record := range records {
		saved, isNew, err := s.saveOne(object, record)
		if err != nil {
			return nil, false, err
		}
		out, anyNew = append(out, saved), anyNew || isNew
	}
	return out, anyNew, nil
}

func (s *Simulator) saveOne(object string, record map[string]any) (saved any, isNew bool, err error) {
	id, _ := record["id"].(string)
	delete(record, "id")
	err = s.edit("POST", object, func(w *writer) *apiError {
		var refused *apiError
		if object == contactObject {
			saved, isNew, refused = w.saveContact(id, record)
		} else {
			saved, isNew = w.saveEntity(object, id, record)
		}
		return refused
	})
	return saved, isNew, err
}

func (w *writer) saveContact(id string, record map[string]any) (any, bool, *apiError) {
	if w.s.contacts.byID[id] == nil {
		c, err := w.create(record, id)
		if err != nil {
			return nil, false, err
		}
		return w.s.show(c, expansion{}), true, nil
	}
	c, err := w.s.contact(id)
	if err != nil {
		return nil, false, err
	}
	fields, err := w.s.accept(withSchema(c, record))
	if err != nil {
		return nil, false, err
	}
	if err := w.change(c, fields, ""); err != nil {
		return nil, false, err
	}
	return w.s.show(c, expansion{}), false, nil
}

// withSchema spares a person the schema that a form in the browser sends along.
func withSchema(c *contact, record map[string]any) map[string]any {
	if record["customFields"] != nil && record["schema"] == nil && c.doc["schema"] != nil {
		record["schema"] = c.doc["schema"]
	}
	return record
}

// saveEntity stores a record of another service as it is given: the control API is trusted there.
func (w *writer) saveEntity(kind, id string, record map[string]any) (any, bool) {
	shelf := w.s.shelves[kind]
	if e := shelf.find(id); e != nil {
		w.alter(kind, e, record)
		return shelf.show(e), false
	}
	if kind == "User" && record["version"] == nil {
		record["version"] = 1.0
	}
	return shelf.show(w.shelve(kind, id, merged(map[string]any{}, record))), true
}

// Remove deletes a record as a person would. See simulator.Vendor.
func (s *Simulator) Remove(object, id, _ string) error {
	return s.edit("DELETE", object, func(w *writer) *apiError {
		if object == contactObject {
			c, err := s.contact(id)
			if err == nil {
				w.remove(c)
			}
			return err
		}
		e, err := s.entity(object, id)
		if err == nil {
			w.drop(object, e)
		}
		return err
	})
}

// Merge merges contacts as a person would; body names them: {"contactIds":[...],"valueOverride":{...}}. See
// simulator.Vendor.
func (s *Simulator) Merge(object string, body []byte, _ string) (any, error) {
	if object != contactObject {
		return nil, simulator.ErrUnknown
	}
	var in struct {
		ContactIDs    []string       `json:"contactIds"`
		ValueOverride map[string]any `json:"valueOverride"`
	}
	if err := simulator.Decode(body, &in); err != nil {
		return nil, err
	}
	var shown any
	err := s.edit("POST", object, func(w *writer) *apiError {
		c, err := w.merge(in.ContactIDs, in.ValueOverride)
		if err == nil {
			shown = s.show(c, expansion{})
		}
		return err
	})
	return shown, err
}

// edit runs one change of a person under a journal entry of its own.
func (s *Simulator) edit(method, object string, work func(*writer) *apiError) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if object != contactObject && s.shelves[object] == nil {
		return simulator.ErrUnknown
	}
	entry := s.journal.Begin(simulator.Entry{
		Kind: simulator.EntryEdit, Method: method, Route: "/records/{object}", Path: "/records/" + object, Credential: "human",
	})
	if err := work(&writer{s: s, entry: entry}); err != nil {
		s.journal.End(entry, err.Status, "")
		return rejection(err)
	}
	s.journal.End(entry, 200, "")
	return nil
}

func rejection(err *apiError) error {
	a := err.answer("")
	return &simulator.Rejection{Status: a.Status, Body: a.Body}
}

// Switch changes what body names of the switches. See simulator.Vendor.
func (s *Simulator) Switch(body []byte) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.switches
	if err := simulator.Decode(body, &next); err != nil {
		return nil, err
	}
	if err := next.check(); err != nil {
		return nil, err
	}
	s.switches = next
	return next, nil
}

// extendControl adds what only Genesys has.
func (s *Simulator) extendControl(mux *http.ServeMux) {
	mux.HandleFunc("POST /events", func(w http.ResponseWriter, r *http.Request) {
		body, err := simulator.ReadBody(r)
		var in emitted
		if err == nil {
			err = simulator.Decode(body, &in)
		}
		var envelope, subject string
		if err == nil {
			envelope, subject, err = s.Emit(in.Topic, in.ID, in.EventBody)
		}
		if err != nil {
			simulator.Refuse(w, err)
			return
		}
		simulator.Reply(w, 201, map[string]string{"envelope_id": envelope, "id": subject})
	})
}
