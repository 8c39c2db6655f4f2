package salesforcetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// ordered is a JSON object that keeps the order of its members.
type ordered []member

type member struct {
	Name  string
	Value any
}

// MarshalJSON writes the members in order.
func (o ordered) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		for _, part := range []any{m.Name, m.Value} {
			if err := e.Encode(part); err != nil {
				return nil, err
			}
			b.Truncate(b.Len() - 1) // the encoder's line end
			b.WriteByte(':')
		}
		b.Truncate(b.Len() - 1) // the colon behind the value
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// decode reads one JSON value with its numbers as they are spelt.
func decode(body []byte, into any) *apiError {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	err := d.Decode(into)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		return badJSON("Unexpected character: was expecting the end of the input at [line:1, column:" + position(d) + "]")
	}
	if errors.Is(err, io.EOF) {
		return badJSON("The HTTP entity body is required, but this request has no entity body.")
	}
	return badJSON("Unexpected character or token at [line:1, column:" + position(d) + "]")
}

func position(d *json.Decoder) string { return fmt.Sprint(d.InputOffset() + 1) }

// purpose tells what the values of a body are for.
type purpose int

const (
	forCreate purpose = iota
	forUpdate
)

// accept turns the members of a body into stored values: names in any case, relationships by external id resolved,
// computed fields refused.
func (s *Simulator) accept(o *object, body map[string]any, why purpose) (map[string]any, *apiError) {
	out := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(body)) {
		if strings.EqualFold(name, "attributes") {
			continue
		}
		f := o.find(name)
		if f == nil {
			if via := o.relations[strings.ToLower(name)]; via != nil {
				id, err := s.related(via, body[name])
				if err != nil {
					return nil, err
				}
				out[via.Name] = id
				continue
			}
			return nil, noSuchField(o, name)
		}
		if f.ReadOnly || f.CreateOnly && why == forUpdate {
			return nil, &apiError{
				Code: "INVALID_FIELD_FOR_INSERT_UPDATE", Fields: []string{f.Name},
				Message: fmt.Sprintf("Unable to create/update fields: %s. Please check the security settings of this field and "+
					"verify that it is read/write for your profile or permission set.", f.Name),
			}
		}
		value, err := f.accept(body[name])
		if err != nil {
			return nil, err
		}
		if id, ok := value.(string); ok && f.Type == "reference" {
			if value, err = s.referenced(f, id); err != nil {
				return nil, err
			}
		}
		out[f.Name] = value
	}
	return out, nil
}

// related resolves a relationship given by external id, such as "Account":{"Ext_Id__c":"A1"}.
func (s *Simulator) related(via *field, raw any) (any, *apiError) {
	if raw == nil {
		return nil, nil
	}
	body, ok := raw.(map[string]any)
	if !ok {
		return nil, badJSON("Cannot deserialize instance of reference from VALUE_STRING at [line:1, column:2]")
	}
	for _, target := range via.ReferenceTo {
		o := s.tables[target].object
		for _, name := range slices.Sorted(maps.Keys(body)) {
			f := o.find(name)
			if strings.EqualFold(name, "attributes") || f == nil {
				continue
			}
			if f.Name == "Id" {
				return s.referenced(via, fmt.Sprint(body[name]))
			}
			if !f.ExternalID {
				continue
			}
			value, err := f.accept(body[name])
			if err != nil {
				return nil, err
			}
			found := s.tables[target].having(f, value)
			if len(found) == 1 {
				return found[0].id, nil
			}
			return nil, &apiError{
				Code: "INVALID_FIELD", Fields: []string{},
				Message: fmt.Sprintf("Foreign key external ID: %v not found for field %s in entity %s", value, f.Name, o.Name),
			}
		}
	}
	return nil, &apiError{
		Code: "INVALID_FIELD", Fields: []string{},
		Message: fmt.Sprintf("%s: the relationship names no external id field", via.Relationship),
	}
}

// referenced checks that id points to a live record of an object that the field may point to.
func (s *Simulator) referenced(f *field, id string) (any, *apiError) {
	for _, target := range f.ReferenceTo {
		if row := s.tables[target].row(id); row != nil && row.deleted.IsZero() {
			return row.id, nil
		}
	}
	full, ok := fullID(id)
	if !ok || !s.prefixFits(f.ReferenceTo, full) {
		return nil, wrongID(f.Label, id, f.Name)
	}
	return nil, &apiError{
		Code: "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", Fields: []string{},
		Message: "insufficient access rights on cross-reference id: " + id,
	}
}

func (s *Simulator) prefixFits(objects []string, id string) bool {
	return slices.ContainsFunc(objects, func(name string) bool {
		return strings.HasPrefix(id, s.tables[name].object.Prefix)
	})
}

// attributes is the head of every record in an answer.
func attributes(o *object, id string, version int) ordered {
	return ordered{{"type", o.Name}, {"url", fmt.Sprintf("/services/data/v%d.0/sobjects/%s/%s", version, o.Name, id)}}
}

// show returns a record as an answer shows it, with the given fields or all of them.
func (s *Simulator) show(r *record, fields []*field, version int) ordered {
	if fields == nil {
		fields = r.object.fields
	}
	out := ordered{{"attributes", attributes(r.object, r.id, version)}}
	for _, f := range fields {
		out = append(out, member{f.Name, f.show(r.values[f.Name])})
	}
	return out
}
