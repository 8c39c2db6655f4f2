package genesystest

import (
	"slices"

	"lockstep/connectors/simulator"
)

// conversation finds the conversation that a path names; the org is locked.
func (s *Simulator) conversation(rq *request) (*entity, *apiError) {
	if e := s.shelves["Conversation"].find(rq.Vars["conversation"]); e != nil {
		return e, nil
	}
	return nil, with(404, "conversation.not.found", "The conversation {conversationId} was not found.",
		map[string]string{"conversationId": rq.Vars["conversation"]})
}

// getConversation serves GET /conversations/{conversation}.
func (s *Simulator) getConversation(rq *request) (simulator.Answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.conversation(rq)
	if err != nil {
		return simulator.Answer{}, err
	}
	return ok(s.shelves["Conversation"].show(e))
}

// participant finds a participant in a copy of the conversation's participants.
func (s *Simulator) participant(rq *request, e *entity) (participants []any, mine map[string]any, err *apiError) {
	participants, _ = clone(e.doc)["participants"].([]any)
	for _, item := range participants {
		if p, _ := item.(map[string]any); p["id"] == rq.Vars["participant"] {
			return participants, p, nil
		}
	}
	return nil, nil, with(404, "participant.not.found", "The participant {participantId} was not found.",
		map[string]string{"participantId": rq.Vars["participant"]})
}

// patchAttributes serves PATCH .../participants/{participant}/attributes: merges by key, texts only, 202.
func (s *Simulator) patchAttributes(rq *request) (simulator.Answer, *apiError) {
	attributes, err := s.mergeAttributes(rq)
	if err != nil {
		return simulator.Answer{}, err
	}
	if _, media := rq.Vars["media"]; media {
		return simulator.JSON(202, jsonType, map[string]any{"attributes": attributes}), nil
	}
	return empty(202)
}

func (s *Simulator) mergeAttributes(rq *request) (map[string]any, *apiError) {
	var in struct {
		Attributes map[string]*string `json:"attributes"`
	}
	if err := rq.decode(&in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.conversation(rq)
	if err != nil {
		return nil, err
	}
	participants, mine, err := s.participant(rq, e)
	if err != nil {
		return nil, err
	}
	attributes, _ := mine["attributes"].(map[string]any)
	if attributes == nil {
		attributes = map[string]any{}
	}
	for key, value := range in.Attributes {
		if value == nil {
			delete(attributes, key)
		} else {
			attributes[key] = *value
		}
	}
	mine["attributes"] = attributes
	s.writer(rq).alter("Conversation", e, map[string]any{"participants": participants})
	return attributes, nil
}

// putTags serves PUT /conversations/{conversation}/tags.
func (s *Simulator) putTags(rq *request) (simulator.Answer, *apiError) {
	var in struct {
		ExternalTag *string `json:"externalTag"`
	}
	if err := rq.decode(&in); err != nil {
		return simulator.Answer{}, err
	}
	if in.ExternalTag == nil {
		return simulator.Answer{}, badRequest("The externalTag is required.")
	}
	return s.alterConversation(rq, map[string]any{"externalTag": *in.ExternalTag})
}

// alterConversation writes fields and answers 202 without a body.
func (s *Simulator) alterConversation(rq *request, fields map[string]any) (simulator.Answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.conversation(rq)
	if err != nil {
		return simulator.Answer{}, err
	}
	s.writer(rq).alter("Conversation", e, fields)
	return empty(202)
}

// associate serves PUT /externalcontacts/conversations/{conversation}; without a contact it takes the link away.
func (s *Simulator) associate(rq *request) (simulator.Answer, *apiError) {
	var in struct {
		ExternalContactID string `json:"externalContactId"`
		ConversationID    string `json:"conversationId"`
		CommunicationID   string `json:"communicationId"`
		MediaType         string `json:"mediaType"`
	}
	if err := rq.decode(&in); err != nil {
		return simulator.Answer{}, err
	}
	if in.ExternalContactID == "" {
		return s.alterConversation(rq, map[string]any{"externalContactId": nil})
	}
	s.mu.Lock()
	_, err := s.contact(in.ExternalContactID)
	s.mu.Unlock()
	if err != nil {
		return simulator.Answer{}, err
	}
	return s.alterConversation(rq, map[string]any{"externalContactId": in.ExternalContactID})
}

// wrapup is Wrapup of the specification.
type wrapup struct {
	Code                  string   `json:"code"`
	Name                  string   `json:"name,omitempty"`
	Notes                 string   `json:"notes,omitempty"`
	Tags                  []string `json:"tags,omitempty"`
	DurationSeconds       int      `json:"durationSeconds,omitempty"`
	EndTime               string   `json:"endTime,omitempty"`
	Provisional           bool     `json:"provisional,omitempty"`
	DisableEndTimeUpdates bool     `json:"disableEndTimeUpdates,omitempty"`
}

// postWrapup serves POST .../communications/{communication}/wrapup.
func (s *Simulator) postWrapup(rq *request) (simulator.Answer, *apiError) {
	var in wrapup
	if err := rq.decode(&in); err != nil {
		return simulator.Answer{}, err
	}
	if in.Code == "" {
		return simulator.Answer{}, badRequest("A wrap-up needs the id of a code.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.conversation(rq)
	if err != nil {
		return simulator.Answer{}, err
	}
	participants, mine, err := s.participant(rq, e)
	if err != nil {
		return simulator.Answer{}, err
	}
	mine["wrapup"] = in
	s.writer(rq).alter("Conversation", e, map[string]any{"participants": participants})
	return empty(202)
}

// getWrapup serves GET of the same path.
func (s *Simulator) getWrapup(rq *request) (simulator.Answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.conversation(rq)
	if err != nil {
		return simulator.Answer{}, err
	}
	_, mine, err := s.participant(rq, e)
	if err != nil {
		return simulator.Answer{}, err
	}
	if mine["wrapup"] == nil {
		return simulator.Answer{}, notFound("wrap-up", rq.Vars["communication"])
	}
	return ok(mine["wrapup"])
}

// assign serves POST /conversations/{conversation}/assign.
func (s *Simulator) assign(rq *request) (simulator.Answer, *apiError) {
	var in struct {
		ID string `json:"id"`
	}
	if err := rq.decode(&in); err != nil {
		return simulator.Answer{}, err
	}
	if _, err := s.alterConversation(rq, map[string]any{"assignee": map[string]any{"id": in.ID}}); err != nil {
		return simulator.Answer{}, err
	}
	return simulator.JSON(202, jsonType, "Accepted"), nil
}

// transfer serves POST .../participants/{participant}/replace and its /queue and /agent forms.
func (s *Simulator) transfer(rq *request) (simulator.Answer, *apiError) {
	in, err := rq.object()
	if err != nil {
		return simulator.Answer{}, err
	}
	for name := range in {
		if !slices.Contains([]string{
			"transferType", "keepInternalMessageAlive", "queueId", "queueName", "userId", "userName", "userDisplayName", "voicemail",
			"address",
		}, name) {
			return simulator.Answer{}, badRequest("Unknown field \"" + name + "\".")
		}
	}
	return s.alterConversation(rq, map[string]any{"recentTransfers": []any{in}})
}

// notAUser answers the operations that need a user, which client credentials have not (connectors.md 1.2).
func (s *Simulator) notAUser(*request) (simulator.Answer, *apiError) {
	return simulator.Answer{}, &apiError{
		Status: 400, Code: "not.a.user",
		Message: "This request requires a user context. Client credentials cannot be used for requests to this resource.",
	}
}
