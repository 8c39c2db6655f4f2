package checker

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"lockstep/demo/endpoints"
)

// Agreement is whether both systems show what they have to show.
type Agreement struct {
	Records     int `json:"records"`
	Fields      int `json:"fields"`
	Differences int `json:"differences"`
	// Lost counts customers that a system does not have, Doubled those that it has more than once.
	Lost    int `json:"lost"`
	Doubled int `json:"doubled"`
	// Findings are the first of them in words.
	Findings []string `json:"findings,omitempty"`
}

const maxFindings = 20

func (a *Agreement) find(format string, args ...any) {
	if len(a.Findings) < maxFindings {
		a.Findings = append(a.Findings, fmt.Sprintf(format, args...))
	}
}

// Landscape is the two systems.
type Landscape struct {
	Salesforce *Client
	Genesys    *Client
}

// LandscapeAt returns the two systems of a running demo.
func LandscapeAt(at endpoints.Endpoints) Landscape {
	return Landscape{Salesforce: NewClient(Salesforce, at.Systems[Salesforce]), Genesys: NewClient(Genesys, at.Systems[Genesys])}
}

// Clients returns both.
func (l Landscape) Clients() []*Client { return []*Client{l.Salesforce, l.Genesys} }

// Others are records that were there before, by their ids: somebody else's customers.
type Others map[string]bool

// Others returns the records that are there now.
func (l Landscape) Others(ctx context.Context) (Others, error) {
	contacts, externals, err := l.records(ctx, nil)
	if err != nil {
		return nil, err
	}
	known := Others{}
	for _, r := range contacts {
		known[r.Text("Id")] = true
	}
	for _, r := range externals {
		known[r.Text("id")] = true
	}
	return known, nil
}

// records returns both systems' records but those of others.
func (l Landscape) records(ctx context.Context, but Others) (contacts, externals []Record, err error) {
	if contacts, err = l.Salesforce.State(ctx, "Contact"); err != nil {
		return nil, nil, err
	}
	if externals, err = l.Genesys.State(ctx, "ExternalContact"); err != nil {
		return nil, nil, err
	}
	contacts = slices.DeleteFunc(contacts, func(r Record) bool { return but[r.Text("Id")] })
	externals = slices.DeleteFunc(externals, func(r Record) bool { return but[r.Text("id")] })
	return contacts, externals, nil
}

// Compare looks at both systems' state now, but for others' records.
func (l Landscape) Compare(ctx context.Context, people []*Person, but Others) (Agreement, error) {
	contacts, externals, err := l.records(ctx, but)
	if err != nil {
		return Agreement{}, err
	}
	a := Agreement{Records: len(people)}
	inSalesforce := a.byCanonical(Salesforce, contacts, func(r Record) string { return r.Text("Ext_Id__c") })
	inGenesys := a.byCanonical(Genesys, externals, func(r Record) string { return ExternalID(r, SourceLockstep) })
	fields, canonicals := Fields(), canonicalIDs(contacts, externals)
	for i, p := range people {
		canonical := cmp.Or(canonicals[p.SalesforceID], canonicals[p.GenesysID])
		s, g := inSalesforce[canonical], inGenesys[canonical]
		if canonical == "" || s == nil || g == nil {
			a.Lost++
			a.find("customer %d (salesforce %s, genesys %s) is in step under %q in salesforce: %t, in genesys: %t", i, p.SalesforceID, p.GenesysID, canonical, s != nil, g != nil)
			continue
		}
		for _, f := range fields {
			a.Fields++
			want, inS, inG := p.Expect(f), f.Salesforce(s), f.Genesys(g)
			if inS != want || inG != want {
				a.Differences++
				a.find("customer %d %s: %q is right, salesforce shows %q, genesys %q", i, f.Name, want, inS, inG)
			}
		}
	}
	if extra := len(inSalesforce) - len(people); extra > 0 {
		a.Doubled += extra
		a.find("salesforce has %d customers too many", extra)
	}
	if extra := len(inGenesys) - len(people); extra > 0 {
		a.Doubled += extra
		a.find("genesys has %d customers too many", extra)
	}
	return a, nil
}

// byCanonical sorts records by our id. Two of one id are one too many, and so is one without that another carries.
func (a *Agreement) byCanonical(system string, records []Record, id func(Record) string) map[string]Record {
	out := map[string]Record{}
	for _, r := range records {
		key := id(r)
		switch {
		case key == "":
			key = system + " without our id: " + r.Text("Id") + r.Text("id")
			out[key] = r
		case out[key] != nil:
			a.Doubled++
			a.find("%s has %s twice", system, key)
		default:
			out[key] = r
		}
	}
	return out
}

// Adopt fills in the ids of the customers' records that others made, where a person at a screen would look them up: by our
// id.
func (l Landscape) Adopt(ctx context.Context, people []*Person) error {
	contacts, externals, err := l.records(ctx, nil)
	if err != nil {
		return err
	}
	canonicals := canonicalIDs(contacts, externals)
	bySalesforce, byGenesys := map[string]string{}, map[string]string{}
	for _, r := range contacts {
		bySalesforce[canonicals[r.Text("Id")]] = r.Text("Id")
	}
	for _, r := range externals {
		byGenesys[canonicals[r.Text("id")]] = r.Text("id")
	}
	for _, p := range people {
		id := cmp.Or(canonicals[p.SalesforceID], canonicals[p.GenesysID])
		if id == "" {
			continue
		}
		p.SalesforceID, p.GenesysID = cmp.Or(p.SalesforceID, bySalesforce[id]), cmp.Or(p.GenesysID, byGenesys[id])
		p.InStep = canonicals[p.SalesforceID] == id && canonicals[p.GenesysID] == id
	}
	return nil
}

// canonicalIDs maps vendors' record ids to ours.
func canonicalIDs(contacts, externals []Record) map[string]string {
	ids := map[string]string{}
	for _, r := range contacts {
		ids[r.Text("Id")] = r.Text("Ext_Id__c")
	}
	for _, r := range externals {
		ids[r.Text("id")] = ExternalID(r, SourceLockstep)
	}
	return ids
}
