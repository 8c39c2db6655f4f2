package dispatch_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lockstep/activities"
	"lockstep/internal/integrationmap"
	"lockstep/internal/protocol"
	"lockstep/internal/store/storetest"
	"lockstep/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const twoSystems = `
version: 1
mode: live
owners: {ops: {name: Dana Ruiz, slack: U02DANARUIZ}, telephony: {name: Lee Okafor, slack: U02LEEOKAFOR}}
systems:
  crm: {kind: model, owner: ops, endpoint: env:X, credential: env:X, call_rate: 1000/s, phone_region: US}
  desk: {kind: model, owner: ops, endpoint: env:X, credential: env:X, call_rate: 1000/s, phone_region: US}
  till: {kind: source, owner: ops, phone_region: US}
objects:
  customer:
    owner: ops
    systems:
      crm: {object: Person, create: true}
      desk: {object: Person, create: true}
      till: {object: Person}
    match: [{field: email, reserves: true}, {field: phone}]
    fields:
      uuid: {type: canonical_id, system_of_record: lockstep, direction: one_way, personal_data: none, delivery: pull, systems: {crm: key, desk: key}}
      email: {type: email, system_of_record: crm, direction: two_way, conflict: {rule: newest_wins}, personal_data: contact, delivery: pull, systems: {crm: email, desk: mail, till: mail}}
      phone: {type: phone, system_of_record: crm, direction: one_way, personal_data: contact, delivery: push, owner: telephony, systems: {crm: phone, desk: phone}}
      name: {type: text, system_of_record: crm, direction: one_way, personal_data: identity, delivery: pull, systems: {crm: name, desk: name}}
      nick: {type: text, system_of_record: crm, direction: two_way, conflict: {rule: newest_wins}, personal_data: none, delivery: pull, systems: {crm: nick, desk: nickname}}
      spent: {type: text, system_of_record: till, direction: one_way, personal_data: none, delivery: pull, systems: {till: spent, crm: spent}}
runbooks: RUNBOOKS
`

// town is an installation with two systems in memory.
type town struct {
	*storetest.Installation
	crm, desk *protocol.Vendor
	bundle    *integrationmap.Bundle
	t         *testing.T
}

// parts are what a town is made of; a fault says how its vendors behave.
func parts(t *testing.T, bulk int, faults protocol.Faults) (storetest.Parts, *protocol.Vendor, *protocol.Vendor) {
	t.Helper()
	if faults.Rand == nil {
		faults.Rand = rand.New(rand.NewPCG(1, 1))
	}
	crm := protocol.NewVendor("crm", bulk, false, false, faults)
	faults.Rand = rand.New(rand.NewPCG(2, 2))
	desk := protocol.NewVendor("desk", bulk, true, true, faults)
	crm.Emit, desk.Emit = silence, silence
	return storetest.Parts{
		Bundle: storetest.ParseMap(t, twoSystems, "model"),
		Systems: map[string]activities.System{
			"crm":  {Name: "crm", Kind: "model", Connector: crm, Settle: time.Millisecond},
			"desk": {Name: "desk", Kind: "model", Connector: desk, Settle: time.Millisecond},
		},
	}, crm, desk
}

func silence(*protocol.Vendor, schema.Change) {}

func newTown(t *testing.T, bulk int) *town {
	t.Helper()
	p, crm, desk := parts(t, bulk, protocol.Faults{})
	return &town{Installation: storetest.Install(t, p), crm: crm, desk: desk, bundle: p.Bundle, t: t}
}

// person creates somebody in the CRM and tells of it.
func (w *town) person(n int, more ...string) (id string, receipt schema.ID) {
	w.t.Helper()
	fields := map[string]string{"email": fmt.Sprintf("p%d@example.com", n), "name": fmt.Sprint("n", n)}
	for i := 0; i < len(more); i += 2 {
		fields[more[i]] = more[i+1]
	}
	id, at := w.crm.Human("", fields)
	return id, w.Tell("crm", whole(id, at, fields))
}

func whole(id string, at int64, fields map[string]string) schema.Change {
	c := schema.Change{Object: "Person", Ref: id, Kind: schema.EventFull, At: time.UnixMilli(at).UTC(), Fields: schema.Fields{}}
	for name, value := range fields {
		c.Fields[name] = value
	}
	return c
}

// edit changes one field as a person would and tells of it.
func (w *town) edit(v *protocol.Vendor, id, field, value string) schema.ID {
	w.t.Helper()
	_, at := v.Human(id, map[string]string{field: value})
	return w.Tell(v.Name, schema.Change{Object: "Person", Ref: id, Kind: schema.EventChange, At: time.UnixMilli(at).UTC(), Fields: schema.Fields{field: value}})
}

// settled returns how the only event of a receipt ended once everything is quiet.
func (w *town) settled(receipt schema.ID) schema.EventLife {
	w.t.Helper()
	w.Settle()
	return w.Event(receipt)
}

func (w *town) in(v *protocol.Vendor, n int) map[string]string {
	w.t.Helper()
	records, without, doubled := v.State("key")
	if without+doubled > 0 {
		w.t.Errorf("%s: %d without our id, %d twice", v.Name, without, doubled)
	}
	for _, r := range records {
		if r["email"] == fmt.Sprintf("p%d@example.com", n) || r["mail"] == fmt.Sprintf("p%d@example.com", n) {
			return r
		}
	}
	return nil
}
