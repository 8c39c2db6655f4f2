package genesystest

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"lockstep/connectors/simulator"
)

// workitemBody is WorkitemCreate and WorkitemUpdate of the specification in one.
type workitemBody struct {
	Name                *string        `json:"name"`
	TypeID              *string        `json:"typeId"`
	Priority            *int           `json:"priority"`
	DateDue             *string        `json:"dateDue"`
	DateExpires         *string        `json:"dateExpires"`
	DateClosed          *string        `json:"dateClosed"`
	DurationSeconds     *int           `json:"durationSeconds"`
	TTL                 *int           `json:"ttl"`
	StatusID            *string        `json:"statusId"`
	WorkbinID           *string        `json:"workbinId"`
	AutoStatus          *bool          `json:"autoStatusTransition"`
	Description         *string        `json:"description"`
	CustomFields        map[string]any `json:"customFields"`
	QueueID             *string        `json:"queueId"`
	AssigneeID          *string        `json:"assigneeId"`
	AssignmentState     *string        `json:"assignmentState"`
	AssignmentOperation *string        `json:"assignmentOperation"`
	LanguageID          *string        `json:"languageId"`
	ExternalContactID   *string        `json:"externalContactId"`
	ExternalTag         *string        `json:"externalTag"`
	SkillIDs            []string       `json:"skillIds"`
	ScriptID            *string        `json:"scriptId"`
	WrapupCode          *string        `json:"wrapupCode"`
	UtilizationLabelID  *string        `json:"utilizationLabelId"`
	ScoredAgents        []any          `json:"scoredAgents"`
	PreferredAgentIDs   []string       `json:"preferredAgentIds"`
}

// check validates what the body holds.
func (b workitemBody) check(now time.Time) *apiError {
	if b.Name != nil {
		if n := utf8.RuneCountInString(*b.Name); n < 3 || n > 256 {
			return unprocessable("name", "A work item's name has between 3 and 256 characters.")
		}
	}
	if b.Description != nil && utf8.RuneCountInString(*b.Description) > 512 {
		return unprocessable("description", "A work item's description has at most 512 characters.")
	}
	if len(b.ScoredAgents) > 20 {
		return unprocessable("scoredAgents", "A work item has at most 20 scored agents.")
	}
	for name, text := range map[string]*string{"dateDue": b.DateDue, "dateExpires": b.DateExpires} {
		if text == nil {
			continue
		}
		at, err := time.Parse(time.RFC3339, *text)
		if err != nil {
			return &apiError{Status: 400, Code: "invalid.date", Message: "The value of " + name + " is no date."}
		}
		if name == "dateDue" && at.After(now.AddDate(0, 0, 365)) {
			return unprocessable(name, "A work item is due within 365 days.")
		}
	}
	return nil
}

// fields spells the body as the stored work item has it: references as objects.
func (b workitemBody) fields() map[string]any {
	out := map[string]any{}
	put := func(name string, value *string) {
		if value != nil {
			out[name] = *value
		}
	}
	ref := func(name string, id *string) {
		if id != nil {
			out[name] = map[string]any{"id": *id}
		}
	}
	put("name", b.Name)
	put("description", b.Description)
	put("dateDue", b.DateDue)
	put("dateExpires", b.DateExpires)
	put("dateClosed", b.DateClosed)
	put("externalTag", b.ExternalTag)
	put("assignmentState", b.AssignmentState)
	ref("type", b.TypeID)
	ref("status", b.StatusID)
	ref("workbin", b.WorkbinID)
	ref("queue", b.QueueID)
	ref("assignee", b.AssigneeID)
	ref("externalContact", b.ExternalContactID)
	ref("language", b.LanguageID)
	for name, n := range map[string]*int{
		"priority": b.Priority, "durationSeconds": b.DurationSeconds, "ttl": b.TTL,
	} {
		if n != nil {
			out[name] = float64(*n)
		}
	}
	if b.CustomFields != nil {
		out["customFields"] = b.CustomFields
	}
	for name, ids := range map[string][]string{"skills": b.SkillIDs, "preferredAgents": b.PreferredAgentIDs} {
		if ids != nil {
			list := []any{}
			for _, id := range ids {
				list = append(list, map[string]any{"id": id})
			}
			out[name] = list
		}
	}
	if b.ScoredAgents != nil {
		out["scoredAgents"] = b.ScoredAgents
	}
	return out
}

// createWorkitem serves POST /taskmanagement/workitems.
func (s *Simulator) createWorkitem(rq *request) (simulator.Answer, *apiError) {
	var in workitemBody
	if err := rq.decode(&in); err != nil {
		return simulator.Answer{}, err
	}
	switch {
	case in.Name == nil:
		return simulator.Answer{}, unprocessable("name", "A work item needs a name.")
	case in.TypeID == nil:
		return simulator.Answer{}, unprocessable("typeId", "A work item needs a typeId.")
	}
	if err := in.check(s.clock.Now()); err != nil {
		return simulator.Answer{}, err
	}
	now := stamp(s.clock.Now())
	doc := map[string]any{
		"dateCreated": now, "dateModified": now, "statusCategory": "Open", "assignmentState": "Idle", "priority": 0.0,
		"division": division(),
	}
	doc = merged(doc, in.fields())
	if in.QueueID != nil {
		doc["assignmentState"] = "AcdStarted"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.writer(rq).shelve("Workitem", "", doc)
	return simulator.JSON(201, jsonType, s.shelves["Workitem"].show(e)), nil
}

// patchWorkitem serves PATCH /taskmanagement/workitems/{id}.
func (s *Simulator) patchWorkitem(rq *request) (simulator.Answer, *apiError) {
	var in workitemBody
	if err := rq.decode(&in); err != nil {
		return simulator.Answer{}, err
	}
	if err := in.check(s.clock.Now()); err != nil {
		return simulator.Answer{}, err
	}
	return s.alterWorkitem(rq, in.fields(), 200)
}

func (s *Simulator) alterWorkitem(rq *request, fields map[string]any, status int) (simulator.Answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.entity("Workitem", rq.Vars["id"])
	if err != nil {
		return simulator.Answer{}, err
	}
	s.writer(rq).alter("Workitem", e, fields)
	e.doc["dateModified"] = stamp(s.clock.Now())
	if status == 202 {
		return empty(202)
	}
	return simulator.JSON(status, jsonType, s.shelves["Workitem"].show(e)), nil
}

// assignWorkitem serves PATCH /taskmanagement/workitems/{id}/assignment.
func (s *Simulator) assignWorkitem(rq *request) (simulator.Answer, *apiError) {
	var in struct {
		ID string `json:"id"`
	}
	if err := rq.decode(&in); err != nil {
		return simulator.Answer{}, err
	}
	return s.alterWorkitem(rq, map[string]any{"assignee": map[string]any{"id": in.ID}, "assignmentState": "Connected"}, 202)
}

// terminateWorkitem serves POST /taskmanagement/workitems/{id}/terminate.
func (s *Simulator) terminateWorkitem(rq *request) (simulator.Answer, *apiError) {
	fields := map[string]any{
		"statusCategory": "Closed", "assignmentState": "Terminated", "dateClosed": stamp(s.clock.Now()),
	}
	if len(rq.Body) > 0 {
		var in struct {
			StatusID string `json:"statusId"`
		}
		if err := rq.decode(&in); err != nil {
			return simulator.Answer{}, err
		}
		if in.StatusID != "" {
			fields["status"] = map[string]any{"id": in.StatusID}
		}
	}
	return s.alterWorkitem(rq, fields, 200)
}

// deleteWorkitem serves DELETE /taskmanagement/workitems/{id}.
func (s *Simulator) deleteWorkitem(rq *request) (simulator.Answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.entity("Workitem", rq.Vars["id"])
	if err != nil {
		return simulator.Answer{}, err
	}
	s.writer(rq).drop("Workitem", e)
	return empty(204)
}

// queryWorkitems serves POST /taskmanagement/workitems/query: at most three filters, one of them EQ on a container.
func (s *Simulator) queryWorkitems(rq *request) (simulator.Answer, *apiError) {
	var in struct {
		PageSize int `json:"pageSize"`
		Filters  []struct {
			Name     string `json:"name"`
			Type     string `json:"type"`
			Operator string `json:"operator"`
			Values   []any  `json:"values"`
		} `json:"filters"`
		Select     string         `json:"select"`
		Attributes []string       `json:"attributes"`
		After      string         `json:"after"`
		Sort       map[string]any `json:"sort"`
		Expands    []string       `json:"expands"`
	}
	if err := rq.decode(&in); err != nil {
		return simulator.Answer{}, err
	}
	if len(in.Filters) == 0 || len(in.Filters) > 3 {
		return simulator.Answer{}, badRequest("Between one and three filters are needed.")
	}
	from, err := s.openCursor(in.After)
	if err != nil {
		return simulator.Answer{}, err
	}
	size := in.PageSize
	if size <= 0 || size > 200 {
		size = 25
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	shelf := s.shelves["Workitem"]
	out, after := []any{}, ""
	for n := from; n < len(shelf.list); n++ {
		e := shelf.list[n]
		fits := !e.deleted
		for _, f := range in.Filters {
			if !strings.EqualFold(f.Operator, "EQ") || len(f.Values) != 1 {
				return simulator.Answer{}, badRequest("The simulator knows filters of one value with the operator EQ.")
			}
			fits = fits && fmt.Sprint(attribute(e, f.Name)) == fmt.Sprint(f.Values[0])
		}
		if !fits {
			continue
		}
		if len(out) == size {
			after = s.cursor(n)
			break
		}
		out = append(out, shelf.show(e))
	}
	listing := map[string]any{"entities": out, "pageSize": size}
	if after != "" {
		listing["after"] = after
	}
	return ok(listing)
}

// attribute reads a filter's attribute such as queueId or externalTag.
func attribute(e *entity, name string) any {
	if ref, ok := e.doc[strings.TrimSuffix(name, "Id")].(map[string]any); ok && strings.HasSuffix(name, "Id") {
		return ref["id"]
	}
	return e.doc[name]
}
