package salesforce

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"lockstep/connectors"
	"lockstep/schema"
)

// maxRecords is the collections' bound (REST API Developer Guide, sObject Collections).
const maxRecords = 200

// Fits returns min(200, len(changes)): a collection takes any mixture.
func (s *Connector) Fits(op schema.Op, _ connectors.Object, changes []connectors.Change) int {
	return min(len(changes), s.Batch(op))
}

// Write updates up to 200 records by their Ids; it never creates one. A record that is gone answers NotFound. Errors
// are *connectors.Error. Safe to repeat.
func (s *Connector) Write(ctx context.Context, o connectors.Object, changes []connectors.Change) ([]connectors.Answer, error) {
	return s.update(ctx, schema.OpWrite, o, changes)
}

// Link updates up to 200 records by their Ids and stamps our id on them; it never creates one. A record elsewhere that
// has our id already answers HumanNeeded. Errors are *connectors.Error. Safe to repeat.
func (s *Connector) Link(ctx context.Context, o connectors.Object, changes []connectors.Change) ([]connectors.Answer, error) {
	return s.update(ctx, schema.OpLink, o, changes)
}

func (s *Connector) update(ctx context.Context, op schema.Op, o connectors.Object, changes []connectors.Change) ([]connectors.Answer, error) {
	return s.collect(ctx, op, o, changes, "/composite/sobjects", nil, func(c connectors.Change) (map[string]any, *connectors.Error) {
		if !connectors.PlainID(c.ID) {
			return nil, s.badID()
		}
		r := row(o, c)
		r["id"] = c.ID
		if op == schema.OpLink && r[o.Key] == nil {
			r[o.Key] = c.Canonical.String()
		}
		return r, nil
	})
}

// Create makes up to 200 records under our ids: an upsert by the key field, so a repetition finds the first creation
// and writes the same values again (protocol F13, F15). Several records under one id answer HumanNeeded. Errors are
// *connectors.Error. Safe to repeat.
func (s *Connector) Create(ctx context.Context, o connectors.Object, changes []connectors.Change) ([]connectors.Answer, error) {
	if !fieldName(o.Key) {
		return nil, s.unsupported(connectors.CodeBadRequest)
	}
	return s.collect(ctx, schema.OpCreate, o, changes, "/composite/sobjects/{object}/{key}", []string{o.Name, o.Key},
		func(c connectors.Change) (map[string]any, *connectors.Error) {
			r := row(o, c)
			r[o.Key] = c.Canonical.String()
			return r, nil
		})
}

// collect sends the records that can be sent as one collection and puts every fate in its place.
func (s *Connector) collect(ctx context.Context, op schema.Op, o connectors.Object, changes []connectors.Change,
	route string, args []string, build func(connectors.Change) (map[string]any, *connectors.Error),
) ([]connectors.Answer, error) {
	if !usable(o) {
		return nil, s.unsupported(connectors.CodeBadRequest)
	}
	if len(changes) > maxRecords {
		return nil, s.unsupported(connectors.CodeBatchTooBig)
	}
	answers := make([]connectors.Answer, len(changes))
	rows, places := []map[string]any{}, []int{}
	for i, c := range changes {
		answers[i].ID = c.ID
		r, refused := build(c)
		if refused != nil {
			answers[i].Err = refused
			continue
		}
		rows, places = append(rows, r), append(places, i)
	}
	if len(rows) == 0 {
		return answers, nil
	}
	results, err := s.send(ctx, route, args, rows)
	if err != nil {
		return nil, err
	}
	for n, i := range places {
		answers[i] = s.fate(op, o, changes[i], results[n])
	}
	return answers, nil
}

// result is the fate of one record of a collection.
type result struct {
	ID      string    `json:"id"`
	Success bool      `json:"success"`
	Created bool      `json:"created"`
	Errors  []failure `json:"errors"`
}

func (s *Connector) send(ctx context.Context, route string, args []string, rows []map[string]any) ([]result, error) {
	body, err := json.Marshal(map[string]any{"allOrNone": false, "records": rows})
	if err != nil {
		return nil, s.invalid(connectors.CodeBadRequest)
	}
	response, err := s.call(ctx, connectors.Request{Method: http.MethodPatch, Route: route, Args: args, Body: body, Effect: true})
	if err != nil {
		return nil, err
	}
	var results []result
	if err := response.Decode(&results); err != nil {
		return nil, err
	}
	if len(results) != len(rows) {
		return nil, response.Unreadable()
	}
	return results, nil
}

// fate reads one result. A success that names no record, or another one than was written, is no success.
func (s *Connector) fate(op schema.Op, o connectors.Object, c connectors.Change, r result) connectors.Answer {
	if !r.Success {
		return connectors.Answer{ID: c.ID, Err: s.itemRefused(op, o, r.Errors)}
	}
	if !connectors.PlainID(r.ID) || (op != schema.OpCreate && LongID(r.ID) != LongID(c.ID)) {
		return connectors.Answer{ID: c.ID, Err: s.itemRefused(op, o, nil)}
	}
	return connectors.Answer{ID: LongID(r.ID), Created: r.Created}
}

// Read reads up to 200 records by their Ids. A missing or deleted one answers NotFound. An id that Salesforce refuses
// answers Invalid, and Contention those that were refused along with it. Errors are *connectors.Error. Safe to repeat.
func (s *Connector) Read(ctx context.Context, o connectors.Object, ids []string) ([]connectors.Answer, error) {
	if !usable(o) {
		return nil, s.unsupported(connectors.CodeBadRequest)
	}
	if len(ids) > maxRecords {
		return nil, s.unsupported(connectors.CodeBatchTooBig)
	}
	answers := make([]connectors.Answer, len(ids))
	asked, places := []string{}, []int{}
	for i, id := range ids {
		answers[i].ID = id
		if !connectors.PlainID(id) {
			answers[i].Err = s.badID()
			continue
		}
		asked, places = append(asked, id), append(places, i)
	}
	if len(asked) == 0 {
		return answers, nil
	}
	rows, err := s.rows(ctx, o, asked)
	if malformedID(err) {
		return s.malformed(answers), nil
	}
	if err != nil {
		return nil, err
	}
	for n, i := range places {
		if rows[n] == nil {
			answers[i].Err = &connectors.Error{System: s.system, Kind: schema.NotFound, Code: connectors.CodeNotInAnswer}
			continue
		}
		answers[i] = connectors.Answer{ID: rows[n].ID, Record: rows[n], ModifiedAt: rows[n].ModifiedAt}
	}
	return answers, nil
}

// malformedID reports whether the whole request was refused for one of its ids.
func malformedID(err error) bool {
	var e *connectors.Error
	return errors.As(err, &e) && e.Code == "MALFORMED_ID"
}

// malformed blames the ids that are not well formed, or all of them where every one looks so.
func (s *Connector) malformed(answers []connectors.Answer) []connectors.Answer {
	odd := slices.ContainsFunc(answers, func(a connectors.Answer) bool { return a.Err == nil && !wellFormed(a.ID) })
	for i, a := range answers {
		if a.Err != nil {
			continue
		}
		refused := &connectors.Error{System: s.system, Kind: schema.Invalid, Code: "MALFORMED_ID", Status: http.StatusBadRequest}
		if odd && wellFormed(a.ID) {
			refused.Kind = schema.Contention
		}
		answers[i].Err = refused
	}
	return answers
}

// rows reads records; nil stands for one that is not there.
func (s *Connector) rows(ctx context.Context, o connectors.Object, ids []string) ([]*connectors.Record, error) {
	body, err := json.Marshal(map[string]any{"ids": ids, "fields": s.columns(o)})
	if err != nil {
		return nil, s.invalid(connectors.CodeBadRequest)
	}
	response, err := s.call(ctx, connectors.Request{
		Method: http.MethodPost, Route: "/composite/sobjects/{object}", Args: []string{o.Name}, Body: body,
	})
	if err != nil {
		return nil, err
	}
	var found []map[string]any
	if err := response.Decode(&found); err != nil {
		return nil, err
	}
	if len(found) != len(ids) {
		return nil, response.Unreadable()
	}
	records := make([]*connectors.Record, len(ids))
	for i, row := range found {
		if row == nil {
			continue
		}
		r, ok := s.record(o, row)
		if !ok || r.ID != LongID(ids[i]) {
			return nil, response.Unreadable()
		}
		records[i] = &r
	}
	return records, nil
}

func (s *Connector) badID() *connectors.Error {
	return &connectors.Error{System: s.system, Kind: schema.Invalid, Code: connectors.CodeBadID}
}

func (s *Connector) invalid(code string) *connectors.Error {
	return &connectors.Error{System: s.system, Kind: schema.Invalid, Code: code}
}

func (s *Connector) unsupported(code string) *connectors.Error {
	return &connectors.Error{System: s.system, Kind: schema.Unsupported, Code: code}
}
