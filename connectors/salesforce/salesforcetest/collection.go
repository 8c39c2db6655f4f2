package salesforcetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"lockstep/connectors/simulator"
)

const (
	// maxCollection is how many records a collection writes, maxRetrieve how many it reads.
	maxCollection = 200
	maxRetrieve   = 2000
)

// collection is the body of a collection write.
type collection struct {
	AllOrNone bool             `json:"allOrNone"`
	Records   []map[string]any `json:"records"`
}

func readCollection(body []byte) (collection, *apiError) {
	var c collection
	if err := decode(body, &c); err != nil {
		return c, err
	}
	return c, tooMany(len(c.Records))
}

func tooMany(n int) *apiError {
	if n <= maxCollection {
		return nil
	}
	return &apiError{
		Code: "EXCEEDED_ID_LIMIT", Fields: []string{},
		Message: fmt.Sprintf("record limit reached. cannot submit more than %d records into this call", maxCollection),
	}
}

// each runs one step per item and answers with the results in the order of the items. With all-or-none a failed item
// takes the others back with it.
func (s *Simulator) each(t *transaction, n int, allOrNone bool, step func(i int) (saveResult, *apiError)) simulator.Answer {
	start := t.mark()
	results, failed := make([]saveResult, n), false
	for i := range n {
		m := t.mark()
		result, err := step(i)
		if err != nil {
			t.rollback(m)
			result, failed = err.item(), true
		}
		results[i] = result
	}
	if failed && allOrNone {
		t.rollback(start)
		for i, result := range results {
			if result.Success {
				results[i] = rolledBack().item()
			}
		}
	}
	return simulator.JSON(200, jsonType, results)
}

func rolledBack() *apiError {
	return &apiError{
		Code: "ALL_OR_NONE_OPERATION_ROLLED_BACK", Fields: []string{},
		Message: "Record rolled back because not all records were valid and the request was using AllOrNone header",
	}
}

// itemFault returns the error of a fault that hits the item.
func itemFault(rq *request, i int, ids ...string) *apiError {
	fault, ok := rq.ItemFault(i, ids...)
	if !ok {
		return nil
	}
	if fault.BodyCode == "" {
		return locked(ids[0])
	}
	e := faultError(fault)
	e.Message = fault.Message
	if e.Message == "" {
		e.Message = "the simulator's fault plan refuses this record"
	}
	return e
}

func done(row *record, created *bool) saveResult {
	return saveResult{ID: row.id, Success: true, Errors: []itemError{}, Created: created}
}

// createMany serves POST /composite/sobjects; objects may be mixed.
func (s *Simulator) createMany(rq *request) simulator.Answer {
	c, err := readCollection(rq.Body)
	if err != nil {
		return err.answer()
	}
	return s.write(rq, func(t *transaction) simulator.Answer {
		return s.each(t, len(c.Records), c.AllOrNone, func(i int) (saveResult, *apiError) {
			o, err := s.typed(c.Records[i])
			if err != nil {
				return saveResult{}, err
			}
			if err := itemFault(rq, i, names(o, c.Records[i])...); err != nil {
				return saveResult{}, err
			}
			values, err := s.accept(o, c.Records[i], forCreate)
			if err != nil {
				return saveResult{}, err
			}
			row, err := t.create(o, values, "")
			if err != nil {
				return saveResult{}, err
			}
			return done(row, nil), nil
		})
	})
}

// updateMany serves PATCH /composite/sobjects; each record carries its id.
func (s *Simulator) updateMany(rq *request) simulator.Answer {
	c, err := readCollection(rq.Body)
	if err != nil {
		return err.answer()
	}
	return s.write(rq, func(t *transaction) simulator.Answer {
		return s.each(t, len(c.Records), c.AllOrNone, func(i int) (saveResult, *apiError) {
			o, err := s.typed(c.Records[i])
			if err != nil {
				return saveResult{}, err
			}
			body, id := withoutID(c.Records[i])
			if err := itemFault(rq, i, names(o, c.Records[i])...); err != nil {
				return saveResult{}, err
			}
			row, err := s.target(o, id)
			if err != nil {
				return saveResult{}, err
			}
			values, err := s.accept(o, body, forUpdate)
			if err != nil {
				return saveResult{}, err
			}
			if err := t.update(row, values); err != nil {
				return saveResult{}, err
			}
			return done(row, nil), nil
		})
	})
}

// upsertMany serves PATCH /composite/sobjects/{object}/{field}: one object, each record with its key.
func (s *Simulator) upsertMany(rq *request) simulator.Answer {
	c, err := readCollection(rq.Body)
	if err != nil {
		return err.answer()
	}
	return s.write(rq, func(t *transaction) simulator.Answer {
		o, err := s.object(rq)
		if err != nil {
			return err.answer()
		}
		f := o.find(rq.Vars["field"])
		if f == nil || !f.ExternalID && f.Name != "Id" {
			return noSuchKey(rq.Vars["field"]).answer()
		}
		seen := keyCounts(f, c.Records)
		return s.each(t, len(c.Records), c.AllOrNone, func(i int) (saveResult, *apiError) {
			if err := itemFault(rq, i, names(o, c.Records[i])...); err != nil {
				return saveResult{}, err
			}
			return s.upsertItem(t, o, f, c.Records[i], seen)
		})
	})
}

func (s *Simulator) upsertItem(t *transaction, o *object, f *field, body map[string]any, seen map[string]int) (
	saveResult, *apiError,
) {
	of, err := s.typed(body)
	if err != nil {
		return saveResult{}, err
	}
	if of != o {
		return saveResult{}, &apiError{
			Code: "INVALID_TYPE", Message: fmt.Sprintf("The type %s does not match the type %s of the request", of.Name, o.Name),
		}
	}
	var row *record
	if f.Name == "Id" {
		rest, id := withoutID(body)
		if body = rest; id != "" {
			if row, err = s.target(o, id); err != nil {
				return saveResult{}, err
			}
		}
	} else if row, err = s.keyed(o, f, body, seen); err != nil {
		return saveResult{}, err
	}
	isNew := row == nil
	why := forUpdate
	if isNew {
		why = forCreate
	}
	values, err := s.accept(o, body, why)
	if err != nil {
		return saveResult{}, err
	}
	if isNew {
		row, err = t.create(o, values, "")
	} else {
		err = t.update(row, values)
	}
	if err != nil {
		return saveResult{}, err
	}
	return done(row, &isNew), nil
}

// keyed finds the record that an item's external id names; nil when there is none yet.
func (s *Simulator) keyed(o *object, f *field, body map[string]any, seen map[string]int) (*record, *apiError) {
	raw := valueOf(body, f.Name)
	value, err := f.accept(raw)
	if err != nil {
		return nil, err
	}
	if value == nil {
		return nil, &apiError{
			Code: "MISSING_ARGUMENT", Fields: []string{}, Message: fmt.Sprintf("%s not specified", f.Name),
		}
	}
	if seen[f.folded(value)] > 1 {
		return nil, &apiError{
			Code: "DUPLICATE_VALUE", Fields: []string{f.Name}, Message: fmt.Sprintf("Duplicate external id specified: %v", value),
		}
	}
	found := s.tables[o.Name].having(f, value)
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		return found[0], nil
	}
	return nil, &apiError{
		Code: "DUPLICATE_EXTERNAL_ID", Fields: []string{f.Name},
		Message: fmt.Sprintf("%s: more than one record found for external id field: [%s, %s]", f.Name, found[0].id, found[1].id),
	}
}

func keyCounts(f *field, records []map[string]any) map[string]int {
	seen := map[string]int{}
	for _, body := range records {
		if value, err := f.accept(valueOf(body, f.Name)); err == nil && value != nil {
			seen[f.folded(value)]++
		}
	}
	return seen
}

// deleteMany serves DELETE /composite/sobjects?ids=.
func (s *Simulator) deleteMany(rq *request) simulator.Answer {
	ids := list(rq.Query["ids"])
	if err := tooMany(len(ids)); err != nil {
		return err.answer()
	}
	return s.write(rq, func(t *transaction) simulator.Answer {
		return s.each(t, len(ids), rq.Query.Get("allOrNone") == "true", func(i int) (saveResult, *apiError) {
			if err := itemFault(rq, i, ids[i]); err != nil {
				return saveResult{}, err
			}
			o := s.objectOfID(ids[i])
			if o == nil {
				return saveResult{}, wrongID("ID", ids[i], "Id")
			}
			row, err := s.target(o, ids[i])
			if err != nil {
				return saveResult{}, err
			}
			if err := t.remove(row, simulator.OpDelete); err != nil {
				return saveResult{}, err
			}
			return done(row, nil), nil
		})
	})
}

// retrieveMany serves GET and POST /composite/sobjects/{object}: what is not there is null.
func (s *Simulator) retrieveMany(rq *request) simulator.Answer {
	var want struct {
		IDs    []string `json:"ids"`
		Fields []string `json:"fields"`
	}
	if rq.Request.Method == "POST" {
		if err := decode(rq.Body, &want); err != nil {
			return err.answer()
		}
	} else {
		want.IDs, want.Fields = list(rq.Query["ids"]), list(rq.Query["fields"])
	}
	switch {
	case len(want.IDs) == 0 || len(want.Fields) == 0:
		return (&apiError{Code: "MISSING_ARGUMENT", Message: "ids and fields must be specified"}).answer()
	case len(want.IDs) > maxRetrieve:
		return (&apiError{
			Code: "EXCEEDED_ID_LIMIT", Fields: []string{},
			Message: fmt.Sprintf("record limit reached. cannot submit more than %d records into this call", maxRetrieve),
		}).answer()
	}
	return s.read(rq, func() simulator.Answer {
		o, err := s.object(rq)
		if err != nil {
			return err.answer()
		}
		fields, err := pick(o, want.Fields)
		if err != nil {
			return err.answer()
		}
		out := make([]any, len(want.IDs))
		for i, id := range want.IDs {
			row := s.tables[o.Name].row(id)
			if _, ok := fullID(id); row == nil && !ok && len(id) == 18 {
				return (&apiError{Code: "MALFORMED_ID", Message: "malformed id " + id}).answer()
			}
			if row != nil && row.deleted.IsZero() {
				out[i] = s.show(row, fields, rq.version)
			}
		}
		return simulator.JSON(200, jsonType, out)
	})
}

// target finds the record that an item names by id, with the errors that items have.
func (s *Simulator) target(o *object, id string) (*record, *apiError) {
	if id == "" {
		return nil, &apiError{
			Code: "MISSING_ARGUMENT", Fields: []string{}, Message: "Id not specified in an update call",
		}
	}
	if row := s.tables[o.Name].row(id); row != nil {
		if row.deleted.IsZero() {
			return row, nil
		}
		return nil, deleted()
	}
	full, ok := fullID(id)
	if !ok || !strings.HasPrefix(full, o.Prefix) {
		return nil, wrongID(o.Name+" ID", id, "Id")
	}
	return nil, &apiError{
		Code: "INVALID_CROSS_REFERENCE_KEY", Fields: []string{}, Message: "invalid cross reference id",
	}
}

// typed returns the object that a record's attributes name.
func (s *Simulator) typed(body map[string]any) (*object, *apiError) {
	head, _ := valueOf(body, "attributes").(map[string]any)
	name, _ := head["type"].(string)
	if name == "" {
		return nil, &apiError{Code: "INVALID_TYPE", Message: "The record has no attributes.type", Fields: []string{}}
	}
	o, err := s.objectNamed(name)
	if err != nil {
		return nil, &apiError{
			Code: "INVALID_TYPE", Fields: []string{}, Message: fmt.Sprintf("sObject type '%s' is not supported.", name),
		}
	}
	return o, nil
}

// objectOfID returns the object that a record id belongs to, by its prefix or because it is there.
func (s *Simulator) objectOfID(id string) *object {
	for _, name := range s.names {
		t := s.tables[name]
		if t.row(id) != nil || strings.HasPrefix(id, t.object.Prefix) {
			return t.object
		}
	}
	return nil
}

// withoutID takes the id out of an item's body.
func withoutID(body map[string]any) (rest map[string]any, id string) {
	rest = map[string]any{}
	for name, value := range body {
		if strings.EqualFold(name, "Id") {
			id, _ = value.(string)
			continue
		}
		rest[name] = value
	}
	return rest, id
}

// valueOf returns a member of a body by its name in any case.
func valueOf(body map[string]any, name string) any {
	for have, value := range body {
		if strings.EqualFold(have, name) {
			return value
		}
	}
	return nil
}

// names lists what an item goes by, for faults that name a record: its id and its external ids.
func names(o *object, body map[string]any) []string {
	_, id := withoutID(body)
	out := []string{id}
	for _, f := range o.fields {
		switch v := valueOf(body, f.Name).(type) {
		case string:
			if f.ExternalID {
				out = append(out, v)
			}
		case json.Number:
			if f.ExternalID {
				out = append(out, v.String())
			}
		}
	}
	return out
}

// list joins repeated and comma-separated values of a parameter.
func list(values []string) []string {
	var out []string
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
	}
	return slices.Clip(out)
}
