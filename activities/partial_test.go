package activities_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/activities"
	"lockstep/connectors"
	"lockstep/connectors/genesys"
	"lockstep/connectors/genesys/genesystest"
	"lockstep/connectors/salesforce/salesforcetest"
	"lockstep/internal/store/storetest"
	"lockstep/schema"
)

const oneDirection = `
version: 1
mode: live
owners: {ops: {name: Dana Ruiz, slack: U02DANARUIZ}}
systems:
  crm: {kind: salesforce, owner: ops, endpoint: env:X, credential: env:X, call_rate: 1000/s, phone_region: US}
  desk: {kind: genesys, owner: ops, endpoint: env:X, credential: env:X, call_rate: 1000/s, phone_region: US}
objects:
  customer:
    owner: ops
    systems:
      crm: {object: Contact}
      desk: {object: ExternalContact, create: true}
    match: [{field: email, reserves: true}]
    fields:
      uuid: {type: canonical_id, system_of_record: lockstep, direction: one_way, personal_data: none, delivery: pull, systems: {crm: Ext_Id__c, desk: externalIds.lockstep}}
      email: {type: email, system_of_record: crm, direction: one_way, personal_data: contact, delivery: pull, systems: {crm: Email, desk: workEmail}}
      last_name: {type: text, system_of_record: crm, direction: one_way, personal_data: identity, delivery: pull, systems: {crm: LastName, desk: lastName}}
runbooks: RUNBOOKS
`

// A map whose fields all travel one way runs: the CRM's words reach the contact centre, what is changed there comes back, and
// the CRM is written nothing but our id.
func TestAMapOfOneDirectionRuns(t *testing.T) {
	crm, desk := salesforcetest.Start(t, salesforcetest.Options{}), genesystest.Start(t, genesystest.Options{RequestsPerMinute: -1})
	g, err := genesys.New(genesys.Config{
		System: "desk", Endpoint: desk.URL, Login: desk.LoginURL, AllowLoopback: true,
		Credential: func(context.Context) (connectors.Credential, error) {
			return connectors.Credential{ClientID: desk.ClientID, ClientSecret: desk.ClientSecret}, nil
		},
	})
	must(t, err)
	t.Cleanup(g.Close)
	must(t, g.EnsureSources(t.Context(), "lockstep"))
	i := storetest.Install(t, storetest.Parts{
		Bundle: storetest.ParseMap(t, oneDirection, "salesforce", "genesys"), Policy: activities.Policy{Call: 5 * time.Second},
		Systems: map[string]activities.System{
			"crm":  system(t, "crm", crm.URL, func() string { return crm.ClientSecret }),
			"desk": {Name: "desk", Kind: "genesys", Connector: g, Settle: time.Millisecond},
		},
	})
	// The words are dated by a clock that is some seconds ahead of the systems' own.
	at := time.Now().UTC().Truncate(time.Second)
	says := func(system, object, ref string, kind schema.EventKind, f schema.Fields) schema.ID {
		t.Helper()
		at = at.Add(time.Second)
		return i.Tell(system, schema.Change{Object: object, Ref: ref, Kind: kind, At: at, Sequence: uint64(at.Unix()), Fields: f})
	}
	names := func() (out []string) {
		for _, c := range desk.Records("ExternalContact") {
			name, _ := c["lastName"].(string)
			out = append(out, name)
		}
		return out
	}
	id := crm.Put("Contact", map[string]any{"Email": "ada@example.com", "LastName": "Byron"})["Id"].(string)
	created := says("crm", "Contact", id, schema.EventFull, schema.Fields{"Email": "ada@example.com", "LastName": "Byron", "Ext_Id__c": nil})
	i.Settle()
	if got := names(); !slices.Equal(got, []string{"Byron"}) {
		t.Fatalf("the contact centre has %v", got)
	}
	crm.Put("Contact", map[string]any{"Id": id, "LastName": "King"})
	changed := says("crm", "Contact", id, schema.EventChange, schema.Fields{"LastName": "King"})
	i.Settle()
	contact := desk.Records("ExternalContact")[0]["id"].(string)
	desk.Put("ExternalContact", map[string]any{"id": contact, "lastName": "Overheard"})
	overheard := says("desk", "ExternalContact", contact, schema.EventChange, schema.Fields{"lastName": "Overheard"})
	i.Settle()
	if got := names(); !slices.Equal(got, []string{"King"}) {
		t.Errorf("the contact centre has %v", got)
	}
	for receipt, want := range map[schema.ID]schema.Outcome{created: schema.Applied, changed: schema.Applied, overheard: schema.Superseded} {
		if e := i.Event(receipt); e.Outcome != want {
			t.Errorf("an event is %s %s %s, want %s", e.State, e.Outcome, e.Reason, want)
		}
	}
	for _, e := range crm.Effects() {
		for field := range e.Fields {
			if field != "Ext_Id__c" {
				t.Errorf("the CRM is written %s", field)
			}
		}
	}
}

// A map of one object in one system runs: its events end, its records get our id, and there is nobody to tell.
func TestAMapOfOneSystemRuns(t *testing.T) {
	text, err := os.ReadFile("../internal/integrationmap/testdata/sound/one_object_one_system.yaml")
	must(t, err)
	crm := salesforcetest.Start(t, salesforcetest.Options{})
	i := storetest.Install(t, storetest.Parts{
		Bundle: storetest.ParseMap(t, string(text), "salesforce"), Policy: activities.Policy{Call: 5 * time.Second},
		Systems: map[string]activities.System{"crm": system(t, "crm", crm.URL, func() string { return crm.ClientSecret })},
	})
	ticket := crm.Put("Case", map[string]any{"Subject": "It rattles"})
	id, number := ticket["Id"].(string), ticket["CaseNumber"].(string)
	p := storetest.Posting("crm", id, "a case", schema.EventFull, `{"object":"Case","ref":"`+id+`","kind":"full","at":"2026-01-02T03:04:05Z","fields":{"CaseNumber":"`+number+`","Ext_Id__c":null}}`)
	p.Units[0].Events[0].Object = "case"
	accepted, err := i.Accept(t.Context(), p)
	must(t, err)
	i.Settle()
	e := i.Event(accepted.Receipt)
	if e.Outcome != schema.Applied {
		t.Errorf("the event is %s %s %s", e.State, e.Outcome, e.Reason)
	}
	if got := crm.Record("Case", id)["Ext_Id__c"]; got != e.Record.String() {
		t.Errorf("the case carries %v, want %s", got, e.Record)
	}
	if ops := i.Texts(`SELECT DISTINCT op FROM call`); !slices.Equal(ops, []string{string(schema.OpLink)}) {
		t.Errorf("calls of %s were made", strings.Join(ops, ", "))
	}
}
