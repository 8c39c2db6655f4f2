package activities_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lockstep/activities"
	"lockstep/connectors"
	"lockstep/connectors/salesforce"
	"lockstep/connectors/salesforce/salesforcetest"
	"lockstep/internal/store/storetest"
	"lockstep/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const webToCRM = `
version: 1
mode: live
owners: {ops: {name: Dana Ruiz, slack: U02DANARUIZ}}
systems:
  web: {kind: source, owner: ops, phone_region: US}
  crm: {kind: salesforce, owner: ops, endpoint: env:X, credential: env:X, call_rate: 1000/s, phone_region: US}
objects:
  customer:
    owner: ops
    systems:
      web: {object: Person}
      crm: {object: Contact, create: true}
    match: [{field: email, reserves: true}]
    fields:
      uuid: {type: canonical_id, system_of_record: lockstep, direction: one_way, personal_data: none, delivery: pull, systems: {crm: Ext_Id__c}}
      email: {type: email, system_of_record: web, direction: one_way, personal_data: contact, delivery: pull, systems: {web: mail, crm: Email}}
      last_name: {type: text, system_of_record: web, direction: one_way, personal_data: identity, delivery: pull, systems: {web: name, crm: LastName}}
      language: {type: text, system_of_record: web, direction: two_way, conflict: {rule: newest_wins}, personal_data: none, delivery: pull, systems: {web: lang, crm: Preferred_Language__c}}
runbooks: RUNBOOKS
`

// office is an installation that tells a simulated Salesforce org what a web shop says.
type office struct {
	*storetest.Installation
	org *salesforcetest.Server
	t   *testing.T
	// secret is what the credential's file holds.
	secret atomic.Value
	// at is the time of the next word.
	at time.Time
}

// patience is short: a call that nobody answers is waited for.
var patience = activities.Policy{Call: 400 * time.Millisecond, Moment: 2 * time.Second, First: time.Millisecond, Longest: 10 * time.Millisecond}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{org: salesforcetest.Start(t, salesforcetest.Options{}), t: t, at: time.Now().UTC().Truncate(time.Second)}
	o.secret.Store(o.org.ClientSecret)
	p := storetest.Parts{Bundle: storetest.ParseMap(t, webToCRM, "salesforce"), Policy: patience}
	p.Systems = map[string]activities.System{"crm": system(t, "crm", o.org.URL, func() string { return o.secret.Load().(string) })}
	o.Installation = storetest.Install(t, p)
	return o
}

// system is a Salesforce org behind an address.
func system(t *testing.T, name, url string, secret func() string) activities.System {
	t.Helper()
	c, err := salesforce.New(salesforce.Config{
		System: name, Endpoint: url, AllowLoopback: true, Options: map[string]string{"sequence_field": "Change_Seq__c"},
		Credential: func(context.Context) (connectors.Credential, error) {
			return connectors.Credential{ClientID: salesforcetest.DefaultClientID, ClientSecret: secret()}, nil
		},
	})
	must(t, err)
	t.Cleanup(c.Close)
	return activities.System{Name: name, Kind: "salesforce", Connector: c, Settle: time.Millisecond}
}

// says is a word of the web shop about its customer n, a second after the one before.
func (o *office) says(n int, fields schema.Fields) schema.ID {
	o.t.Helper()
	o.at = o.at.Add(time.Second)
	kind := schema.EventChange
	if fields["mail"] != nil {
		kind = schema.EventFull
	}
	return o.Tell("web", schema.Change{Object: "Person", Ref: fmt.Sprint("w", n), Kind: kind, At: o.at, Fields: fields})
}

// customer is the web shop's first word of somebody.
func (o *office) customer(n int) schema.ID {
	o.t.Helper()
	return o.says(n, schema.Fields{"mail": fmt.Sprintf("p%d@example.com", n), "name": fmt.Sprint("n", n)})
}

// contact is somebody as the org has him; there has to be exactly one.
func (o *office) contact(n int) map[string]any {
	o.t.Helper()
	var found []map[string]any
	for _, c := range o.org.Records("Contact") {
		if c["Email"] == fmt.Sprintf("p%d@example.com", n) {
			found = append(found, c)
		}
	}
	if len(found) != 1 {
		o.t.Fatalf("the org has %d of customer %d", len(found), n)
	}
	return found[0]
}

// next returns the next claim, which has to be of an operation; those before it are carried.
func (o *office) next(op schema.Op) schema.Claim {
	o.t.Helper()
	for {
		c := o.Next()
		if c.Op == op {
			return c
		}
		o.Carry(c)
	}
}

// worker returns activities of another process, over another journal if one is given.
func (o *office) worker(j activities.Journal) *activities.Activities {
	w := *o.Activities
	w.Journal = j
	return &w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// errDied stands for a process that is no more.
var errDied = errors.New("died")
