package genesystest

import (
	"maps"
	"slices"
	"strings"

	"lockstep/connectors/simulator"
)

// maxMembers is how many members one request names.
const maxMembers = 100

// entity finds an entity by id or answers 404; the org is locked.
func (s *Simulator) entity(kind, id string) (*entity, *apiError) {
	if e := s.shelves[kind].find(id); e != nil {
		return e, nil
	}
	return nil, notFound(strings.ToLower(kind), id)
}

// listEntities answers an offset listing of those entities that fit the query's name and ids.
func (s *Simulator) listEntities(rq *request, kind, path string, most int) (simulator.Answer, *apiError) {
	size, number, err := rq.paging(25, most)
	if err != nil {
		return simulator.Answer{}, err
	}
	ids := rq.list("id")
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []any{}
	for _, e := range s.shelves[kind].live() {
		name, _ := e.doc["name"].(string)
		if fitsName(rq.Query.Get("name"), name) && (len(ids) == 0 || slices.Contains(ids, e.id)) {
			out = append(out, s.shelves[kind].show(e))
		}
	}
	return ok(page(path, out, size, number))
}

// fitsName matches with asterisks for any characters.
func fitsName(pattern, name string) bool {
	if pattern == "" {
		return true
	}
	pattern, name = strings.ToLower(pattern), strings.ToLower(name)
	parts := strings.Split(pattern, "*")
	if !strings.HasPrefix(name, parts[0]) {
		return false
	}
	name = name[len(parts[0]):]
	for _, part := range parts[1:] {
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name = name[i+len(part):]
	}
	return name == "" || strings.HasSuffix(pattern, "*")
}

// namedDoc reads a body that needs a name no other entity of the kind has.
func (s *Simulator) namedDoc(rq *request, kind string, self *entity) (map[string]any, *apiError) {
	in, err := rq.object()
	if err != nil {
		return nil, err
	}
	name, _ := in["name"].(string)
	if name = strings.TrimSpace(name); name == "" {
		return nil, badRequest("The name is required.")
	}
	if other := s.shelves[kind].having("name", name); other != nil && other != self {
		return nil, &apiError{Status: 400, Code: "duplicate.name", Message: "The name is in use already."}
	}
	in["name"] = name
	for _, computed := range []string{
		"id", "selfUri", "dateCreated", "dateModified", "modifiedBy", "createdBy", "memberCount", "userMemberCount",
		"joinedMemberCount",
	} {
		delete(in, computed)
	}
	return in, nil
}

func (s *Simulator) listQueues(rq *request) (simulator.Answer, *apiError) {
	return s.listEntities(rq, "Queue", "/api/v2/routing/queues", 500)
}

// createNamed serves POST of queues and wrap-up codes.
func (s *Simulator) createNamed(kind string) operation {
	return func(rq *request) (simulator.Answer, *apiError) {
		s.mu.Lock()
		defer s.mu.Unlock()
		doc, err := s.namedDoc(rq, kind, nil)
		if err != nil {
			return simulator.Answer{}, err
		}
		now := stamp(s.clock.Now())
		doc["dateCreated"], doc["dateModified"] = now, now
		if doc["division"] == nil {
			doc["division"] = division()
		}
		if kind == "Queue" {
			doc["memberCount"] = 0.0
		}
		return ok(s.shelves[kind].show(s.writer(rq).shelve(kind, "", doc)))
	}
}

// getEntity serves GET of one entity.
func (s *Simulator) getEntity(kind string) operation {
	return func(rq *request) (simulator.Answer, *apiError) {
		s.mu.Lock()
		defer s.mu.Unlock()
		e, err := s.entity(kind, rq.Vars["id"])
		if err != nil {
			return simulator.Answer{}, err
		}
		return ok(s.shelves[kind].show(e))
	}
}

// replaceNamed serves PUT of queues and wrap-up codes.
func (s *Simulator) replaceNamed(kind string) operation {
	return func(rq *request) (simulator.Answer, *apiError) {
		s.mu.Lock()
		defer s.mu.Unlock()
		e, err := s.entity(kind, rq.Vars["id"])
		if err != nil {
			return simulator.Answer{}, err
		}
		doc, err := s.namedDoc(rq, kind, e)
		if err != nil {
			return simulator.Answer{}, err
		}
		doc["dateModified"] = stamp(s.clock.Now())
		s.writer(rq).alter(kind, e, doc)
		return ok(s.shelves[kind].show(e))
	}
}

// deleteQueue serves DELETE /routing/queues/{id}; a queue with members needs forceDelete.
func (s *Simulator) deleteQueue(rq *request) (simulator.Answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.entity("Queue", rq.Vars["id"])
	if err != nil {
		return simulator.Answer{}, err
	}
	if len(e.members) > 0 && rq.Query.Get("forceDelete") != "true" {
		return simulator.Answer{}, &apiError{Status: 400, Code: "active.queue", Message: "The queue is active."}
	}
	s.writer(rq).drop("Queue", e)
	return empty(200)
}

// deleteCode serves DELETE /routing/wrapupcodes/{id}.
func (s *Simulator) deleteCode(rq *request) (simulator.Answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.entity("WrapupCode", rq.Vars["id"])
	if err != nil {
		return simulator.Answer{}, err
	}
	s.writer(rq).drop("WrapupCode", e)
	return empty(200)
}

// listMembers serves GET /routing/queues/{id}/members and the older /users.
func (s *Simulator) listMembers(rq *request) (simulator.Answer, *apiError) {
	size, number, err := rq.paging(25, 100)
	if err != nil {
		return simulator.Answer{}, err
	}
	joined := rq.Query.Get("joined")
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.entity("Queue", rq.Vars["id"])
	if err != nil {
		return simulator.Answer{}, err
	}
	out := []any{}
	for _, user := range slices.Sorted(maps.Keys(e.members)) {
		if joined == "" || (joined == "true") == e.members[user] {
			out = append(out, s.showMember(e, user))
		}
	}
	return ok(page("/api/v2/routing/queues/"+e.id+"/members", out, size, number))
}

func (s *Simulator) showMember(queue *entity, user string) map[string]any {
	out := map[string]any{
		"id": user, "ringNumber": 1, "joined": queue.members[user], "memberBy": "user",
		"routingStatus": s.routingStatus(user), "selfUri": "/api/v2/routing/queues/" + queue.id + "/members/" + user,
	}
	if e := s.shelves["User"].find(user); e != nil {
		out["name"], out["user"] = e.doc["name"], s.shelves["User"].show(e)
	}
	return out
}

// memberBody is one entry of a members request.
type memberBody struct {
	ID         string `json:"id"`
	Joined     *bool  `json:"joined"`
	RingNumber int    `json:"ringNumber"`
	Name       string `json:"name"`
}

// changeMembers serves POST .../members?delete= (add or take away) and PATCH .../members (join or unjoin).
func (s *Simulator) changeMembers(rq *request) (simulator.Answer, *apiError) {
	var in []memberBody
	if err := rq.decode(&in); err != nil {
		return simulator.Answer{}, err
	}
	if len(in) > maxMembers {
		return simulator.Answer{}, badRequest("At most 100 members are changed at once.")
	}
	adding, joining := rq.Request.Method == "POST" && rq.Query.Get("delete") != "true", rq.Request.Method == "PATCH"
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.entity("Queue", rq.Vars["id"])
	if err != nil {
		return simulator.Answer{}, err
	}
	for _, m := range in {
		if adding && s.shelves["User"].find(m.ID) == nil {
			return simulator.Answer{}, notFound("user", m.ID)
		}
	}
	members := maps.Clone(e.members)
	if members == nil {
		members = map[string]bool{}
	}
	for _, m := range in {
		_, member := members[m.ID]
		switch {
		case adding && !member:
			members[m.ID] = true
		case joining && member && m.Joined != nil:
			members[m.ID] = *m.Joined
		case !adding && !joining:
			delete(members, m.ID)
		}
	}
	s.setMembers(rq, e, members)
	return ok(map[string]any{"entities": s.shownMembers(e)})
}

func (s *Simulator) shownMembers(e *entity) []any {
	out := []any{}
	for _, user := range slices.Sorted(maps.Keys(e.members)) {
		out = append(out, s.showMember(e, user))
	}
	return out
}

func (s *Simulator) setMembers(rq *request, e *entity, members map[string]bool) {
	effect := simulator.Effect{
		Object: "Queue", ID: e.id, Op: simulator.OpUpdate, Fields: map[string]any{"members": members},
		Before: map[string]any{"members": e.members}, Noop: maps.Equal(members, e.members),
	}
	e.members = members
	e.doc["memberCount"] = float64(len(members))
	s.writer(rq).note(effect)
}

// changeMember serves PATCH and DELETE of one member.
func (s *Simulator) changeMember(rq *request) (simulator.Answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.entity("Queue", rq.Vars["id"])
	if err != nil {
		return simulator.Answer{}, err
	}
	members := maps.Clone(e.members)
	if _, member := members[rq.Vars["member"]]; !member {
		return simulator.Answer{}, notFound("queue member", rq.Vars["member"])
	}
	if rq.Request.Method == "DELETE" {
		delete(members, rq.Vars["member"])
		s.setMembers(rq, e, members)
		return empty(204)
	}
	var in memberBody
	if err := rq.decode(&in); err != nil {
		return simulator.Answer{}, err
	}
	if in.Joined != nil {
		members[rq.Vars["member"]] = *in.Joined
	}
	s.setMembers(rq, e, members)
	return empty(202)
}

// queueCodes serves GET and POST /routing/queues/{id}/wrapupcodes.
func (s *Simulator) queueCodes(rq *request) (simulator.Answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.entity("Queue", rq.Vars["id"])
	if err != nil {
		return simulator.Answer{}, err
	}
	if rq.Request.Method == "POST" {
		var in []struct {
			ID string `json:"id"`
		}
		if err := rq.decode(&in); err != nil {
			return simulator.Answer{}, err
		}
		codes := slices.Clone(e.codes)
		for _, c := range in {
			if s.shelves["WrapupCode"].find(c.ID) == nil {
				return simulator.Answer{}, notFound("wrap-up code", c.ID)
			}
			if !slices.Contains(codes, c.ID) {
				codes = append(codes, c.ID)
			}
		}
		s.writer(rq).note(simulator.Effect{
			Object: "Queue", ID: e.id, Op: simulator.OpUpdate, Fields: map[string]any{"wrapupCodes": codes},
			Before: map[string]any{"wrapupCodes": e.codes}, Noop: slices.Equal(codes, e.codes),
		})
		e.codes = codes
	}
	out := []any{}
	for _, id := range e.codes {
		if c := s.shelves["WrapupCode"].find(id); c != nil {
			out = append(out, s.shelves["WrapupCode"].show(c))
		}
	}
	if rq.Request.Method == "POST" {
		return ok(out)
	}
	return ok(page("/api/v2/routing/queues/"+e.id+"/wrapupcodes", out, 25, 1))
}

func (s *Simulator) listCodes(rq *request) (simulator.Answer, *apiError) {
	return s.listEntities(rq, "WrapupCode", "/api/v2/routing/wrapupcodes", 500)
}
