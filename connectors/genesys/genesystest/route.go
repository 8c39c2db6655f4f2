package genesystest

import "lockstep/connectors/simulator"

// routes are the operations of the api host; literal templates stand before those that would swallow them.
func (s *Simulator) routes() []simulator.Route {
	const (
		reads, writes = simulator.ClassRead, simulator.ClassWrite
		external      = "/api/v2/externalcontacts"
		contacts      = external + "/contacts"
		one           = contacts + "/{id}"
		bulk          = external + "/bulk/contacts"
		sources       = external + "/externalsources"
		conversations = "/api/v2/conversations"
		talk          = conversations + "/{conversation}"
		queues        = "/api/v2/routing/queues"
		codes         = "/api/v2/routing/wrapupcodes"
		users         = "/api/v2/users"
		items         = "/api/v2/taskmanagement/workitems"
	)
	var out []simulator.Route
	add := func(method, template string, class simulator.Class, work operation) {
		out = append(out, simulator.Route{Method: method, Template: template, Class: class, Serve: s.serve(work)})
	}
	addBulk := func(template string, class simulator.Class, work operation) {
		out = append(out, simulator.Route{
			Method: "POST", Template: template, Class: class, Bulk: true, Serve: s.serve(work),
		})
	}

	add("POST", contacts, writes, s.createContact)
	add("GET", contacts, reads, s.searchContacts)
	add("POST", contacts+"/search", reads, s.postSearch)
	add("POST", contacts+"/enrich", writes, s.enrichOne)
	add("POST", contacts+"/merge", writes, s.mergeContacts)
	add("POST", external+"/merge/contacts", writes, s.mergePair)
	add("GET", one, reads, s.getContact)
	add("PUT", one, writes, s.replaceContact)
	add("PATCH", one, writes, s.patchContact)
	add("DELETE", one, writes, s.deleteContact)
	add("GET", one+"/unresolved", reads, s.getUnresolved)
	add("GET", one+"/identifiers", reads, s.listIdentifiers)
	add("PATCH", one+"/identifiers", writes, s.claim)
	add("POST", one+"/promotion", writes, s.promote)
	add("POST", one+"/notes", writes, s.createNote)
	add("GET", one+"/notes", reads, s.listNotes)
	addBulk(bulk, reads, s.bulkRead)
	addBulk(bulk+"/unresolved", reads, s.bulkUnresolved)
	addBulk(bulk+"/add", writes, s.bulkAdd)
	addBulk(bulk+"/update", writes, s.bulkUpdate)
	addBulk(bulk+"/remove", writes, s.bulkRemove)
	out = append(out, simulator.Route{
		Method: "POST", Template: bulk + "/enrich", Class: writes, Bulk: true, Serve: s.serve(s.bulkEnrich),
		ClassOf: func(c *simulator.Call) simulator.Class {
			if c.Query.Get("dryRun") == "true" {
				return reads
			}
			return writes
		},
	})
	add("POST", external+"/identifierlookup", reads, s.lookUp)
	add("POST", external+"/identifierlookup/contacts", reads, s.lookUp)
	add("GET", external+"/reversewhitepageslookup", reads, s.reverse)
	add("GET", external+"/scan/contacts", reads, s.scan)
	add("GET", external+"/scan/contacts/divisionviews/all", reads, s.scan)
	add("PUT", external+"/conversations/{conversation}", writes, s.associate)
	add("GET", sources, reads, s.listSources)
	add("POST", sources, writes, s.createSource)
	add("GET", sources+"/{id}", reads, s.getSource)
	add("PUT", sources+"/{id}", writes, s.replaceSource)
	add("DELETE", sources+"/{id}", writes, s.deleteSource)

	add("GET", conversations+"/calls", reads, s.notAUser)
	add("POST", conversations+"/calls", writes, s.notAUser)
	add("PATCH", conversations+"/calls/{conversation}", writes, s.notAUser)
	add("PATCH", conversations+"/calls/{conversation}/participants/{participant}", writes, s.notAUser)
	add("PATCH", conversations+"/calls/{conversation}/participants/{participant}/communications/{communication}", writes,
		s.notAUser)
	add("POST", conversations+"/calls/{conversation}/participants/{participant}/monitor", writes, s.notAUser)
	for _, method := range []string{"POST", "PATCH", "DELETE"} {
		add(method, conversations+"/calls/{conversation}/participants/{participant}/consult", writes, s.notAUser)
	}
	add("PUT", conversations+"/calls/{conversation}/participants/{participant}/communications/{communication}/uuidata",
		writes, s.notAUser)
	add("GET", users+"/me", reads, s.notAUser)
	for _, below := range []string{"me", "me/{rest}", "messages", "messages/{rest}", "messages/{rest}/{more}"} {
		for method, class := range map[string]simulator.Class{
			"GET": reads, "POST": writes, "PUT": writes, "PATCH": writes, "DELETE": writes,
		} {
			add(method, "/api/v2/voicemail/"+below, class, s.notAUser)
		}
	}

	add("GET", talk, reads, s.getConversation)
	add("PUT", talk+"/tags", writes, s.putTags)
	add("POST", talk+"/assign", writes, s.assign)
	participant := talk + "/participants/{participant}"
	add("PATCH", participant+"/attributes", writes, s.patchAttributes)
	add("POST", participant+"/replace", writes, s.transfer)
	add("POST", participant+"/replace/queue", writes, s.transfer)
	add("POST", participant+"/replace/agent", writes, s.transfer)
	media := conversations + "/{media}/{conversation}/participants/{participant}"
	add("PATCH", media+"/attributes", writes, s.patchAttributes)
	add("POST", media+"/communications/{communication}/wrapup", writes, s.postWrapup)
	add("GET", media+"/communications/{communication}/wrapup", reads, s.getWrapup)

	add("GET", queues, reads, s.listQueues)
	add("POST", queues, writes, s.createNamed("Queue"))
	add("GET", queues+"/{id}", reads, s.getEntity("Queue"))
	add("PUT", queues+"/{id}", writes, s.replaceNamed("Queue"))
	add("DELETE", queues+"/{id}", writes, s.deleteQueue)
	for _, members := range []string{queues + "/{id}/members", queues + "/{id}/users"} {
		add("GET", members, reads, s.listMembers)
		add("POST", members, writes, s.changeMembers)
		add("PATCH", members, writes, s.changeMembers)
		add("PATCH", members+"/{member}", writes, s.changeMember)
		add("DELETE", members+"/{member}", writes, s.changeMember)
	}
	add("GET", queues+"/{id}/wrapupcodes", reads, s.queueCodes)
	add("POST", queues+"/{id}/wrapupcodes", writes, s.queueCodes)
	add("GET", codes, reads, s.listCodes)
	add("POST", codes, writes, s.createNamed("WrapupCode"))
	add("GET", codes+"/{id}", reads, s.getEntity("WrapupCode"))
	add("PUT", codes+"/{id}", writes, s.replaceNamed("WrapupCode"))
	add("DELETE", codes+"/{id}", writes, s.deleteCode)

	add("GET", users, reads, s.listUsers)
	add("GET", users+"/{id}", reads, s.getEntity("User"))
	add("PATCH", users+"/{id}", writes, s.patchUser)
	add("GET", users+"/{id}/routingstatus", reads, s.getRoutingStatus)
	add("PUT", users+"/{id}/routingstatus", writes, s.putRoutingStatus)

	add("POST", items, writes, s.createWorkitem)
	add("POST", items+"/query", reads, s.queryWorkitems)
	add("GET", items+"/{id}", reads, s.getEntity("Workitem"))
	add("PATCH", items+"/{id}", writes, s.patchWorkitem)
	add("DELETE", items+"/{id}", writes, s.deleteWorkitem)
	add("PATCH", items+"/{id}/assignment", writes, s.assignWorkitem)
	add("POST", items+"/{id}/terminate", writes, s.terminateWorkitem)
	return out
}
