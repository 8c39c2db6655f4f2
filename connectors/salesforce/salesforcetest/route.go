package salesforcetest

import "lockstep/connectors/simulator"

const (
	base   = "/services/data/{version}"
	reads  = simulator.ClassRead
	writes = simulator.ClassWrite
)

// operation is one operation of the data API. It serves a call of its own and a part of a composite call alike.
type operation struct {
	method, template string
	class            simulator.Class
	serve            func(*request) simulator.Answer
	// many is set for operations that carry many records.
	many bool
	// classOf decides the class by the body.
	classOf func(*simulator.Call) simulator.Class
}

// operations lists literal templates before those that would swallow them.
func (s *Simulator) operations() []operation {
	sobject := base + "/sobjects/{object}"
	single := sobject + "/{id}"
	keyed := sobject + "/{field}/{value}"
	collection := base + "/composite/sobjects"
	all := []operation{
		{method: "GET", template: base, class: reads, serve: s.resources},
		{method: "GET", template: base + "/limits", class: reads, serve: s.limits},

		{method: "GET", template: base + "/query", class: reads, serve: s.query},
		{method: "GET", template: base + "/queryAll", class: reads, serve: s.query},
		{method: "GET", template: base + "/query/{locator}", class: reads, serve: s.queryMore},
		{method: "GET", template: base + "/queryAll/{locator}", class: reads, serve: s.queryMore},
		{method: "GET", template: base + "/search", class: reads, serve: s.search},
		{method: "GET", template: base + "/parameterizedSearch", class: reads, serve: s.parameterizedSearch},
		{method: "POST", template: base + "/parameterizedSearch", class: reads, serve: s.parameterizedSearch},

		{method: "POST", template: base + "/composite", class: writes, serve: s.composite, many: true,
			classOf: compositeClass},
		{method: "POST", template: collection, class: writes, serve: s.createMany, many: true},
		{method: "PATCH", template: collection, class: writes, serve: s.updateMany, many: true},
		{method: "DELETE", template: collection, class: writes, serve: s.deleteMany, many: true},
		{method: "GET", template: collection + "/{object}", class: reads, serve: s.retrieveMany, many: true},
		{method: "POST", template: collection + "/{object}", class: reads, serve: s.retrieveMany, many: true},
		{method: "PATCH", template: collection + "/{object}/{field}", class: writes, serve: s.upsertMany, many: true},

		{method: "GET", template: base + "/sobjects", class: reads, serve: s.describeGlobal},
		{method: "GET", template: sobject, class: reads, serve: s.basics},
		{method: "POST", template: sobject, class: writes, serve: s.createOne},
		{method: "GET", template: sobject + "/describe", class: reads, serve: s.describe},
		{method: "GET", template: sobject + "/updated", class: reads, serve: s.updated},
		{method: "GET", template: sobject + "/deleted", class: reads, serve: s.deletedSince},
		{method: "GET", template: single, class: reads, serve: s.getOne},
		{method: "PATCH", template: single, class: writes, serve: s.updateOne},
		{method: "POST", template: single, class: writes, serve: s.createUnderID},
		{method: "DELETE", template: single, class: writes, serve: s.deleteOne},
		{method: "GET", template: keyed, class: reads, serve: s.getKeyed},
		{method: "PATCH", template: keyed, class: writes, serve: s.upsertOne},
		{method: "DELETE", template: keyed, class: writes, serve: s.deleteKeyed},
	}
	// A slash that the client did not encode makes more segments: to Salesforce that is a walk along relationships.
	for _, deeper := range []string{keyed + "/{r1}", keyed + "/{r1}/{r2}", keyed + "/{r1}/{r2}/{r3}"} {
		all = append(all,
			operation{method: "GET", template: deeper, class: reads, serve: s.relationship},
			operation{method: "PATCH", template: deeper, class: writes, serve: s.relationship},
			operation{method: "DELETE", template: deeper, class: writes, serve: s.relationship},
		)
	}
	return all
}

// routes are those of the My Domain host.
func (s *Simulator) routes() []simulator.Route {
	out := append(s.loginRoutes(s.token), simulator.Route{
		Method: "GET", Template: "/services/data", Class: reads, Serve: s.versions,
	})
	for _, o := range s.operations() {
		out = append(out, simulator.Route{
			Method: o.method, Template: o.template, Class: o.class, ClassOf: o.classOf, Bulk: o.many, Serve: s.api(o.serve),
		})
	}
	return out
}

// loginRoutes are those that login.salesforce.com has too.
func (s *Simulator) loginRoutes(token func(*simulator.Call) simulator.Answer) []simulator.Route {
	const class = simulator.ClassToken
	return []simulator.Route{
		{Method: "POST", Template: "/services/oauth2/token", Class: class, Serve: token},
		{Method: "POST", Template: "/services/oauth2/revoke", Class: class, Serve: s.revoke},
		{Method: "GET", Template: "/services/oauth2/userinfo", Class: class, Serve: s.signedIn(s.identity)},
		{Method: "GET", Template: "/id/{org}/{user}", Class: class, Serve: s.signedIn(s.identity)},
	}
}
