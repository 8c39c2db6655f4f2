package salesforcetest

import (
	"fmt"
	"slices"
	"strings"

	"lockstep/connectors/simulator"
)

// object returns the object that the request names, in any case.
func (s *Simulator) object(rq *request) (*object, *apiError) {
	return s.objectNamed(rq.Vars["object"])
}

func (s *Simulator) objectNamed(name string) (*object, *apiError) {
	for _, known := range s.names {
		if strings.EqualFold(known, name) {
			return s.tables[known].object, nil
		}
	}
	return nil, notFound()
}

// byID finds the live record that a path names by id.
func (s *Simulator) byID(o *object, id string) (*record, *apiError) {
	if row := s.tables[o.Name].row(id); row != nil {
		if row.deleted.IsZero() {
			return row, nil
		}
		return nil, deleted()
	}
	full, ok := fullID(id)
	switch {
	case !ok && len(id) == 18:
		return nil, &apiError{Code: "MALFORMED_ID", Message: "malformed id " + id, Fields: []string{}}
	case !ok:
		return nil, noSuchKey(id)
	case !strings.HasPrefix(full, o.Prefix):
		return nil, wrongID(o.Name+" ID", id, "Id")
	}
	return nil, notFound()
}

// byKey finds the live records that a path names by external id. Id is a key too.
func (s *Simulator) byKey(rq *request) (*object, *field, any, []*record, *apiError) {
	o, err := s.object(rq)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	f := o.find(rq.Vars["field"])
	if f == nil || !f.ExternalID && f.Name != "Id" {
		return nil, nil, nil, nil, noSuchKey(rq.Vars["field"])
	}
	if f.Name == "Id" {
		row, err := s.byID(o, rq.Vars["value"])
		return o, f, rq.Vars["value"], []*record{row}, err
	}
	value, err := f.accept(rq.Vars["value"])
	if err != nil {
		return nil, nil, nil, nil, err
	}
	return o, f, value, s.tables[o.Name].having(f, value), nil
}

// several answers 300 with the URLs of the records that match.
func several(found []*record, version int) simulator.Answer {
	urls := []string{}
	for _, row := range found {
		urls = append(urls, fmt.Sprintf("/services/data/v%d.0/sobjects/%s/%s", version, row.object.Name, row.id))
	}
	return simulator.JSON(300, jsonType, urls)
}

// created is the answer to an insert.
func created(row *record, version int, upsert bool) simulator.Answer {
	body := ordered{{"id", row.id}, {"success", true}, {"errors", []any{}}}
	if upsert && version >= 46 {
		body = append(body, member{"created", true})
	}
	return simulator.JSON(201, jsonType, body).With("Location",
		fmt.Sprintf("/services/data/v%d.0/sobjects/%s/%s", version, row.object.Name, row.id))
}

func (s *Simulator) createOne(rq *request) simulator.Answer {
	return s.write(rq, func(t *transaction) simulator.Answer {
		row, err := s.insert(t, rq)
		if err != nil {
			return err.answer()
		}
		return created(row, rq.version, false)
	})
}

// createUnderID serves POST /sobjects/{object}/Id, an insert with Id as the external id.
func (s *Simulator) createUnderID(rq *request) simulator.Answer {
	if rq.Vars["id"] != "Id" {
		return dialect{s}.MethodNotAllowed(rq.Call, []string{"HEAD", "GET", "PATCH", "DELETE"})
	}
	return s.createOne(rq)
}

func (s *Simulator) insert(t *transaction, rq *request) (*record, *apiError) {
	o, err := s.object(rq)
	if err != nil {
		return nil, err
	}
	values, err := s.body(rq, o, forCreate)
	if err != nil {
		return nil, err
	}
	return t.try(func() (*record, *apiError) { return t.create(o, values, "") })
}

// try rolls a failed step back.
func (t *transaction) try(step func() (*record, *apiError)) (*record, *apiError) {
	m := t.mark()
	row, err := step()
	if err != nil {
		t.rollback(m)
	}
	return row, err
}

// body reads the fields of a single record. The key of the path must not stand in it once more.
func (s *Simulator) body(rq *request, o *object, why purpose, keys ...string) (map[string]any, *apiError) {
	var body map[string]any
	if err := decode(rq.Body, &body); err != nil {
		return nil, err
	}
	for name := range body {
		for _, key := range slices.Concat([]string{"Id"}, keys) {
			if strings.EqualFold(name, key) {
				return nil, &apiError{
					Code: "INVALID_FIELD", Message: fmt.Sprintf("The %s field should not be specified in the sobject data.", key),
				}
			}
		}
	}
	return s.accept(o, body, why)
}

func (s *Simulator) getOne(rq *request) simulator.Answer {
	return s.read(rq, func() simulator.Answer {
		o, err := s.object(rq)
		if err != nil {
			return err.answer()
		}
		row, err := s.byID(o, rq.Vars["id"])
		if err != nil {
			if err.Code == "ENTITY_IS_DELETED" {
				err = notFound()
			}
			return err.answer()
		}
		return s.retrieve(rq, row)
	})
}

func (s *Simulator) getKeyed(rq *request) simulator.Answer {
	return s.read(rq, func() simulator.Answer {
		_, _, _, found, err := s.byKey(rq)
		switch {
		case err != nil:
			return err.answer()
		case len(found) == 0:
			return notFound().answer()
		case len(found) > 1:
			return several(found, rq.version)
		}
		return s.retrieve(rq, found[0])
	})
}

// relationship answers paths behind an external id, which the simulator's records do not have.
func (s *Simulator) relationship(*request) simulator.Answer { return notFound().answer() }

// retrieve shows one record, if the conditions of the request let it.
func (s *Simulator) retrieve(rq *request, row *record) simulator.Answer {
	fields, err := s.chosen(row.object, rq.Query.Get("fields"))
	if err != nil {
		return err.answer()
	}
	status, err := condition(rq.Request.Header, row, true)
	if err != nil {
		return err.answer()
	}
	if status != 0 {
		return validators(simulator.Empty(status), row)
	}
	return validators(simulator.JSON(200, jsonType, s.show(row, fields, rq.version)), row)
}

// chosen returns the fields of a comma-separated list and Id; nil means all.
func (s *Simulator) chosen(o *object, list string) ([]*field, *apiError) {
	if list == "" {
		return nil, nil
	}
	return pick(o, strings.Split(list, ","))
}

func pick(o *object, names []string) ([]*field, *apiError) {
	var out []*field
	for _, name := range names {
		f := o.find(strings.TrimSpace(name))
		if f == nil {
			return nil, noSuchField(o, strings.TrimSpace(name))
		}
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	if id := o.find("Id"); !slices.Contains(out, id) {
		out = append(out, id)
	}
	return out, nil
}

func (s *Simulator) updateOne(rq *request) simulator.Answer {
	return s.write(rq, func(t *transaction) simulator.Answer {
		o, err := s.object(rq)
		if err != nil {
			return err.answer()
		}
		row, err := s.byID(o, rq.Vars["id"])
		if err != nil {
			return err.answer()
		}
		values, err := s.body(rq, o, forUpdate)
		if err != nil {
			return err.answer()
		}
		if answer, refused := s.change(t, rq, row, values); refused {
			return answer
		}
		return simulator.Empty(204)
	})
}

// change updates a record if the conditions of the request let it.
func (s *Simulator) change(t *transaction, rq *request, row *record, values map[string]any) (simulator.Answer, bool) {
	status, err := condition(rq.Request.Header, row, false)
	if err == nil && status != 0 {
		return simulator.Empty(status), true
	}
	if err == nil {
		_, err = t.try(func() (*record, *apiError) { return row, t.update(row, values) })
	}
	if err != nil {
		return err.answer(), true
	}
	return simulator.Answer{}, false
}

func (s *Simulator) upsertOne(rq *request) simulator.Answer {
	return s.write(rq, func(t *transaction) simulator.Answer {
		o, f, value, found, err := s.byKey(rq)
		if err != nil {
			return err.answer()
		}
		if len(found) > 1 {
			return several(found, rq.version)
		}
		why := forCreate
		if len(found) == 1 {
			why = forUpdate
		}
		values, err := s.body(rq, o, why, f.Name)
		if err != nil {
			return err.answer()
		}
		if len(found) == 1 {
			if answer, refused := s.change(t, rq, found[0], values); refused {
				return answer
			}
			return upserted(found[0], rq.version)
		}
		if rq.Query.Get("updateOnly") == "true" {
			return notFound().answer()
		}
		values[f.Name] = value
		row, err := t.try(func() (*record, *apiError) { return t.create(o, values, "") })
		if err != nil {
			return err.answer()
		}
		return created(row, rq.version, true)
	})
}

// upserted is the answer to an upsert that updated: empty up to v45, a body from v46 on.
func upserted(row *record, version int) simulator.Answer {
	if version < 46 {
		return simulator.Empty(204)
	}
	return simulator.JSON(200, jsonType, ordered{
		{"id", row.id}, {"success", true}, {"errors", []any{}}, {"created", false},
	})
}

func (s *Simulator) deleteOne(rq *request) simulator.Answer {
	return s.write(rq, func(t *transaction) simulator.Answer {
		o, err := s.object(rq)
		if err != nil {
			return err.answer()
		}
		row, err := s.byID(o, rq.Vars["id"])
		if err != nil {
			return err.answer()
		}
		return s.erase(t, row)
	})
}

func (s *Simulator) deleteKeyed(rq *request) simulator.Answer {
	return s.write(rq, func(t *transaction) simulator.Answer {
		_, _, _, found, err := s.byKey(rq)
		switch {
		case err != nil:
			return err.answer()
		case len(found) == 0:
			return notFound().answer()
		case len(found) > 1:
			return several(found, rq.version)
		}
		return s.erase(t, found[0])
	})
}

func (s *Simulator) erase(t *transaction, row *record) simulator.Answer {
	_, err := t.try(func() (*record, *apiError) { return row, t.remove(row, simulator.OpDelete) })
	if err != nil {
		return err.answer()
	}
	return simulator.Empty(204)
}
