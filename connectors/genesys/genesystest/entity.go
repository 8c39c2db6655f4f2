package genesystest

import (
	"slices"

	"lockstep/connectors/simulator"
)

// entity is a record of the other services.
type entity struct {
	id      string
	doc     map[string]any
	deleted bool
	// members of a queue: user to whether the user has joined.
	members map[string]bool
	// codes are the wrap-up codes of a queue.
	codes []string
}

// shelf holds the entities of one kind.
type shelf struct {
	name string
	uri  string
	byID map[string]*entity
	list []*entity
}

func newShelves() map[string]*shelf {
	out := map[string]*shelf{}
	for name, uri := range map[string]string{
		"ExternalSource": "/api/v2/externalcontacts/externalsources/", "Queue": "/api/v2/routing/queues/",
		"WrapupCode": "/api/v2/routing/wrapupcodes/", "User": "/api/v2/users/", "Conversation": "/api/v2/conversations/",
		"Workitem": "/api/v2/taskmanagement/workitems/", "Note": "/api/v2/externalcontacts/notes/",
	} {
		out[name] = &shelf{name: name, uri: uri, byID: map[string]*entity{}}
	}
	return out
}

func (s *shelf) add(e *entity) {
	s.byID[e.id] = e
	s.list = append(s.list, e)
}

// find returns a live entity; nil when there is none.
func (s *shelf) find(id string) *entity {
	if e := s.byID[id]; e != nil && !e.deleted {
		return e
	}
	return nil
}

// having returns the first live entity whose field holds value.
func (s *shelf) having(field string, value any) *entity {
	for _, e := range s.list {
		if !e.deleted && e.doc[field] == value {
			return e
		}
	}
	return nil
}

func (s *shelf) show(e *entity) map[string]any {
	out := clone(e.doc)
	out["id"], out["selfUri"] = e.id, s.uri+e.id
	return out
}

func (s *shelf) live() []*entity {
	return slices.DeleteFunc(slices.Clone(s.list), func(e *entity) bool { return e.deleted })
}

// shelve adds an entity and journals it.
func (w *writer) shelve(kind, id string, doc map[string]any) *entity {
	if id == "" {
		id = w.s.ids.UUID()
	}
	e := &entity{id: id, doc: doc}
	w.s.shelves[kind].add(e)
	w.note(simulator.Effect{Object: kind, ID: id, Op: simulator.OpCreate, Fields: clone(doc)})
	return e
}

// alter writes fields of an entity; nil clears.
func (w *writer) alter(kind string, e *entity, fields map[string]any) {
	effect := simulator.Effect{Object: kind, ID: e.id, Op: simulator.OpUpdate, Fields: fields, Noop: true}
	next := merged(e.doc, fields)
	for name, value := range fields {
		set(&effect.Before, name, e.doc[name])
		effect.Noop = effect.Noop && string(simulator.Encode(e.doc[name])) == string(simulator.Encode(value))
	}
	e.doc = next
	w.note(effect)
}

// drop deletes an entity.
func (w *writer) drop(kind string, e *entity) {
	e.deleted = true
	w.note(simulator.Effect{Object: kind, ID: e.id, Op: simulator.OpDelete})
}
