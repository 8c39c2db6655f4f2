package genesystest

import "testing"

func TestQueuesAndMembers(t *testing.T) {
	o := start(t, Options{})
	const path = "/routing/queues"
	r := o.call(t, "POST", path, obj{"name": "Sales", "description": "d"})
	id, _ := r.at(t, "id").(string)
	if r.status != 200 || r.at(t, "memberCount") != 0.0 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	for name, c := range map[string]struct {
		r      reply
		status int
		code   any
	}{
		"again":        {o.call(t, "POST", path, obj{"name": "Sales"}), 400, "duplicate.name"},
		"nameless":     {o.call(t, "POST", path, obj{}), 400, "bad.request"},
		"another name": {o.call(t, "PUT", path+"/"+id, obj{"name": "Support"}), 400, "duplicate.name"},
		"own name":     {o.call(t, "PUT", path+"/"+id, obj{"name": "Sales", "description": "e"}), 200, nil},
		"missing":      {o.call(t, "GET", path+"/nope", nil), 404, "not.found"},
	} {
		if c.r.status != c.status || c.r.at(t, "code") != c.code {
			t.Errorf("%s: %d %s", name, c.r.status, c.r.body)
		}
	}
	for query, want := range map[string]float64{"": 2, "?name=S*": 2, "?name=*port": 1, "?name=Sales": 1, "?name=Sale": 0, "?id=" + id + ",x": 1, "?id=" + id + "&id=" + DefaultQueueID: 2} {
		if got := o.call(t, "GET", path+query, nil).at(t, "total"); got != want {
			t.Errorf("%s lists %v", query, got)
		}
	}
	members := path + "/" + id + "/members"
	if r := o.call(t, "POST", members, []obj{{"id": DefaultUserID}}); r.status != 200 {
		t.Errorf("adding: %d %s", r.status, r.body)
	}
	if r := o.call(t, "POST", members, []obj{{"id": "nobody"}}); r.status != 404 {
		t.Errorf("adding nobody: %d", r.status)
	}
	if r := o.call(t, "GET", members+"?pageSize=100", nil); r.at(t, "entities", 0, "joined") != true || r.at(t, "entities", 0, "user", "email") == nil {
		t.Errorf("members: %s", r.body)
	}
	if r := o.call(t, "GET", members+"?pageSize=101", nil); r.status != 400 {
		t.Errorf("a long page: %d", r.status)
	}
	if r := o.call(t, "PATCH", members, []obj{{"id": DefaultUserID, "joined": false}, {"id": "nobody", "joined": true}}); r.status != 200 {
		t.Errorf("unjoining: %d %s", r.status, r.body)
	}
	if n := len(o.call(t, "GET", members+"?joined=true", nil).at(t, "entities").([]any)); n != 0 {
		t.Errorf("%d joined members", n)
	}
	if r := o.call(t, "PATCH", members+"/"+DefaultUserID, obj{"joined": true}); r.status != 202 {
		t.Errorf("joining one: %d", r.status)
	}
	if r := o.call(t, "DELETE", path+"/"+id, nil); r.status != 400 || r.at(t, "code") != "active.queue" {
		t.Errorf("deleting an active queue: %d %s", r.status, r.body)
	}
	if r := o.call(t, "DELETE", members+"/"+DefaultUserID, nil); r.status != 204 {
		t.Errorf("removing: %d", r.status)
	}
	if r := o.call(t, "DELETE", members+"/"+DefaultUserID, nil); r.status != 404 {
		t.Errorf("removing again: %d", r.status)
	}
	o.call(t, "POST", members, []obj{{"id": DefaultUserID}})
	if r := o.call(t, "POST", members+"?delete=true", []obj{{"id": DefaultUserID}}); r.status != 200 {
		t.Errorf("removing in bulk: %d", r.status)
	}
	if r := o.call(t, "DELETE", path+"/"+id, nil); r.status != 200 {
		t.Errorf("deleting: %d", r.status)
	}
	many := make([]obj, 101)
	for i := range many {
		many[i] = obj{"id": "x"}
	}
	if r := o.call(t, "PATCH", path+"/"+DefaultQueueID+"/members", many); r.status != 400 {
		t.Errorf("101 members: %d", r.status)
	}
}

func TestWrapupCodes(t *testing.T) {
	o := start(t, Options{})
	r := o.call(t, "POST", "/routing/wrapupcodes", obj{"name": "Done"})
	id := r.at(t, "id").(string)
	if r := o.call(t, "POST", "/routing/wrapupcodes", obj{"name": "Done"}); r.at(t, "code") != "duplicate.name" {
		t.Errorf("again: %s", r.body)
	}
	codes := "/routing/queues/" + DefaultQueueID + "/wrapupcodes"
	if r := o.call(t, "POST", codes, []obj{{"id": id}}); r.status != 200 {
		t.Errorf("to the queue: %d %s", r.status, r.body)
	}
	if r := o.call(t, "GET", codes, nil); r.at(t, "entities", 0, "name") != "Done" {
		t.Errorf("of the queue: %s", r.body)
	}
	if r := o.call(t, "PUT", "/routing/wrapupcodes/"+id, obj{"name": "Closed"}); r.at(t, "name") != "Closed" {
		t.Errorf("rename: %s", r.body)
	}
	if r := o.call(t, "DELETE", "/routing/wrapupcodes/"+id, nil); r.status != 200 {
		t.Errorf("delete: %d", r.status)
	}
	if r := o.call(t, "POST", codes, []obj{{"id": id}}); r.status != 404 {
		t.Errorf("a deleted code: %d", r.status)
	}
}

func TestUsers(t *testing.T) {
	o := start(t, Options{})
	if r := o.call(t, "GET", "/users/nobody/routingstatus", nil); r.status != 200 || r.at(t, "status") != "OFF_QUEUE" {
		t.Errorf("an unknown user: %d %s", r.status, r.body)
	}
	status := "/users/" + DefaultUserID + "/routingstatus"
	if r := o.call(t, "PUT", status, obj{"status": "IDLE"}); r.status != 200 || o.call(t, "GET", status, nil).at(t, "status") != "IDLE" {
		t.Errorf("setting a status: %d %s", r.status, r.body)
	}
	if r := o.call(t, "PUT", status, obj{"status": "ASLEEP"}); r.status != 400 {
		t.Errorf("an unknown status: %d", r.status)
	}
	user := "/users/" + DefaultUserID
	if r := o.call(t, "PATCH", user, obj{"title": "Lead"}); r.status != 400 {
		t.Errorf("without a version: %d", r.status)
	}
	if r := o.call(t, "PATCH", user, obj{"title": "Lead", "version": 1}); r.status != 200 || r.at(t, "version") != 2.0 {
		t.Errorf("with the version: %d %s", r.status, r.body)
	}
	r := o.call(t, "PATCH", user, obj{"title": "x", "version": 1})
	if r.status != 409 || r.at(t, "code") != "general.conflict" || r.at(t, "message") != "The version supplied does not match the current version of the user" {
		t.Errorf("a stale version: %d %s", r.status, r.body)
	}
	if got := o.call(t, "GET", user, nil).at(t, "title"); got != "Lead" {
		t.Errorf("the title is %v", got)
	}
}

func TestWorkitems(t *testing.T) {
	o := start(t, Options{})
	const path = "/taskmanagement/workitems"
	for name, bad := range map[string]struct {
		body   obj
		status int
	}{
		"short name": {obj{"name": "ab", "typeId": "t"}, 422}, "no type": {obj{"name": "abc"}, 422}, "no name": {obj{"typeId": "t"}, 422},
		"due too late": {obj{"name": "abc", "typeId": "t", "dateDue": "2099-01-01T00:00:00Z"}, 422},
		"no date":      {obj{"name": "abc", "typeId": "t", "dateDue": "soon"}, 400}, "odd member": {obj{"name": "abc", "typeId": "t", "x": 1}, 400},
	} {
		if r := o.call(t, "POST", path, bad.body); r.status != bad.status {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	r := o.call(t, "POST", path, obj{"name": "Case 1", "typeId": "t1", "queueId": DefaultQueueID, "externalTag": "500xx", "skillIds": []string{"s1"}})
	id, _ := r.at(t, "id").(string)
	if r.status != 201 || r.at(t, "type", "id") != "t1" || r.at(t, "assignmentState") != "AcdStarted" || r.at(t, "skills", 0, "id") != "s1" {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if r := o.call(t, "PATCH", path+"/"+id, obj{"priority": 5}); r.status != 200 || r.at(t, "priority") != 5.0 || r.at(t, "name") != "Case 1" {
		t.Errorf("PATCH: %d %s", r.status, r.body)
	}
	if r := o.call(t, "PATCH", path+"/"+id+"/assignment", obj{"id": DefaultUserID}); r.status != 202 || r.body != "" {
		t.Errorf("assignment: %d %s", r.status, r.body)
	}
	query := func(name, value string) any {
		r := o.call(t, "POST", path+"/query", obj{"filters": []obj{{"name": name, "type": "String", "operator": "EQ", "values": []string{value}}}})
		return len(r.at(t, "entities").([]any))
	}
	if query("queueId", DefaultQueueID) != 1 || query("externalTag", "500xx") != 1 || query("assigneeId", DefaultUserID) != 1 || query("queueId", "x") != 0 {
		t.Error("the query does not filter")
	}
	if r := o.call(t, "POST", path+"/query", obj{"filters": []obj{}}); r.status != 400 {
		t.Errorf("without filters: %d", r.status)
	}
	if r := o.call(t, "POST", path+"/"+id+"/terminate", nil); r.at(t, "statusCategory") != "Closed" {
		t.Errorf("terminate: %d %s", r.status, r.body)
	}
	if r := o.call(t, "DELETE", path+"/"+id, nil); r.status != 204 {
		t.Errorf("DELETE: %d", r.status)
	}
	if r := o.call(t, "GET", path+"/"+id, nil); r.status != 404 {
		t.Errorf("GET afterwards: %d", r.status)
	}
}

func TestConversations(t *testing.T) {
	o := start(t, Options{})
	contact := o.made(t, obj{"firstName": "Ada"})
	o.control(t, "POST", "/records/Conversation", `{"id":"c1","participants":[{"id":"p1","purpose":"customer","attributes":{"old":"1"}},{"id":"p2"}]}`)
	part := "/conversations/c1/participants/p1"
	for name, c := range map[string]struct {
		method, path string
		body         any
		status       int
		empty        bool
	}{
		"attributes":         {"PATCH", part + "/attributes", obj{"attributes": obj{"case": "500xx", "old": nil}}, 202, true},
		"media attributes":   {"PATCH", "/conversations/calls/c1/participants/p1/attributes", obj{"attributes": obj{"k": "v"}}, 202, false},
		"numbers":            {"PATCH", part + "/attributes", obj{"attributes": obj{"n": 1}}, 400, false},
		"unknown":            {"PATCH", "/conversations/c9/participants/p1/attributes", obj{"attributes": obj{}}, 404, false},
		"unknown part":       {"PATCH", "/conversations/c1/participants/p9/attributes", obj{"attributes": obj{}}, 404, false},
		"tags":               {"PUT", "/conversations/c1/tags", obj{"externalTag": "500xx"}, 202, true},
		"tags without a tag": {"PUT", "/conversations/c1/tags", obj{}, 400, false},
		"wrap-up":            {"POST", "/conversations/calls/c1/participants/p2/communications/s1/wrapup", obj{"code": "wc1", "notes": "done", "durationSeconds": 12}, 202, true},
		"wrap-up sans code":  {"POST", "/conversations/calls/c1/participants/p2/communications/s1/wrapup", obj{}, 400, false},
		"transfer":           {"POST", part + "/replace/queue", obj{"queueId": DefaultQueueID}, 202, true},
		"odd transfer":       {"POST", part + "/replace", obj{"x": 1}, 400, false},
		"assign":             {"POST", "/conversations/c1/assign", obj{"id": DefaultUserID}, 202, false},
		"contact":            {"PUT", "/externalcontacts/conversations/c1", obj{"externalContactId": contact, "conversationId": "c1", "communicationId": "s1", "mediaType": "VOICE"}, 202, true},
		"no contact":         {"PUT", "/externalcontacts/conversations/c1", obj{"externalContactId": "nobody", "conversationId": "c1", "communicationId": "s1", "mediaType": "VOICE"}, 404, false},
	} {
		r := o.call(t, c.method, c.path, c.body)
		if r.status != c.status || c.empty && r.body != "" {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	r := o.call(t, "GET", "/conversations/c1", nil)
	attributes := r.at(t, "participants", 0, "attributes").(obj)
	if attributes["case"] != "500xx" || attributes["k"] != "v" || attributes["old"] != nil || len(attributes) != 2 {
		t.Errorf("the attributes are %v", attributes)
	}
	if r.at(t, "externalTag") != "500xx" || r.at(t, "externalContactId") != contact {
		t.Errorf("the conversation is %s", r.body)
	}
	if r := o.call(t, "GET", "/conversations/calls/c1/participants/p2/communications/s1/wrapup", nil); r.at(t, "code") != "wc1" {
		t.Errorf("the wrap-up is %s", r.body)
	}
	if r := o.call(t, "GET", "/conversations/calls/c1/participants/p1/communications/s1/wrapup", nil); r.status != 404 {
		t.Errorf("no wrap-up: %d", r.status)
	}
}
