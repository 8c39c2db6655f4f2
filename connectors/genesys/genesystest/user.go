package genesystest

import (
	"slices"

	"lockstep/connectors/simulator"
)

// routingStatus is RoutingStatus of the specification.
type routingStatus struct {
	UserID    string `json:"userId"`
	Status    string `json:"status"`
	StartTime string `json:"startTime,omitempty"`
}

var statusValues = []string{"OFF_QUEUE", "IDLE", "INTERACTING", "NOT_RESPONDING", "COMMUNICATING"}

// routingStatus reads a user's status; an unknown user is OFF_QUEUE (connectors.md 1.7).
func (s *Simulator) routingStatus(user string) routingStatus {
	if status, ok := s.statuses[user]; ok {
		return status
	}
	return routingStatus{UserID: user, Status: "OFF_QUEUE"}
}

// getRoutingStatus serves GET /users/{id}/routingstatus.
func (s *Simulator) getRoutingStatus(rq *request) (simulator.Answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ok(s.routingStatus(rq.Vars["id"]))
}

// putRoutingStatus serves PUT of the same.
func (s *Simulator) putRoutingStatus(rq *request) (simulator.Answer, *apiError) {
	var in routingStatus
	if err := rq.decode(&in); err != nil {
		return simulator.Answer{}, err
	}
	if !slices.Contains(statusValues, in.Status) {
		return simulator.Answer{}, invalidValue("status", "The routing status is not known.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.entity("User", rq.Vars["id"])
	if err != nil {
		return simulator.Answer{}, err
	}
	before := s.routingStatus(e.id)
	status := routingStatus{UserID: e.id, Status: in.Status, StartTime: stamp(s.clock.Now())}
	s.statuses[e.id] = status
	s.writer(rq).note(simulator.Effect{
		Object: "User", ID: e.id, Op: simulator.OpUpdate, Fields: map[string]any{"routingStatus": status.Status},
		Before: map[string]any{"routingStatus": before.Status}, Noop: before.Status == status.Status,
	})
	return ok(status)
}

// listUsers serves GET /users.
func (s *Simulator) listUsers(rq *request) (simulator.Answer, *apiError) {
	return s.listEntities(rq, "User", "/api/v2/users", 500)
}

// patchUser serves PATCH /users/{id}, which demands the current version.
func (s *Simulator) patchUser(rq *request) (simulator.Answer, *apiError) {
	in, err := rq.object()
	if err != nil {
		return simulator.Answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.entity("User", rq.Vars["id"])
	if err != nil {
		return simulator.Answer{}, err
	}
	version, ok := in["version"].(float64)
	if !ok {
		return simulator.Answer{}, badRequest("The version is required.")
	}
	if version != e.doc["version"] {
		return simulator.Answer{}, conflict("version", "The version supplied does not match the current version of the user")
	}
	for _, computed := range []string{"id", "selfUri"} {
		delete(in, computed)
	}
	in["version"] = version + 1
	s.writer(rq).alter("User", e, in)
	return simulator.JSON(200, jsonType, s.shelves["User"].show(e)), nil
}
