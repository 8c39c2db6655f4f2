// Package people acts as people at the screens of both systems do: they create customers and change them, some without a
// right to what they change. It remembers what everybody said, so that a checker can tell what both systems have to show.
package people

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"lockstep/demo/checker"
)

// Cast is the customers and the screens at which people change them. It is used by one goroutine.
type Cast struct {
	land checker.Landscape
	// troupe tells the people of this cast from those of another one in the same systems.
	troupe uint64
	all    []*checker.Person
	rand   *rand.Rand
	edits  int
}

// New returns a cast of nobody yet. What its people do follows from the seed, and casts of different seeds share nobody.
func New(land checker.Landscape, seed uint64) *Cast {
	return &Cast{land: land, troupe: seed, rand: rand.New(rand.NewPCG(seed, 2))} //nolint:gosec // repeatable on purpose
}

// All returns the customers.
func (c *Cast) All() []*checker.Person { return c.all }

// The synthetic customers; none of them lives.
var (
	firstNames = []string{"Ada", "Grace", "Katherine", "Alan", "Edsger", "Barbara", "Radia", "Donald", "Hedy", "Claude"}
	lastNames  = []string{"Byron", "Hopper", "Johnson", "Turing", "Dijkstra", "Liskov", "Perlman", "Knuth", "Lamarr", "Shannon"}
	statuses   = []string{"Active", "Churned", "Trial", "Suspended"}
)

// newcomer is a customer before any system has one.
type newcomer struct {
	number, first, last, email, phone string
}

func (c *Cast) newcomer(i int) newcomer {
	return newcomer{
		number: fmt.Sprintf("C-%d-%05d", c.troupe, i), first: fmt.Sprintf("%s %d", firstNames[i%len(firstNames)], i), last: lastNames[i/len(firstNames)%len(lastNames)],
		email: c.mail("customer", i), phone: c.phone(1, i),
	}
}

func (c *Cast) mail(of string, n int) string {
	return fmt.Sprintf("%s.%d.%d@example.com", of, c.troupe, n)
}

// phone returns a number that only this cast has for this purpose; there are 10,000 of each.
func (c *Cast) phone(purpose uint64, n int) string {
	return fmt.Sprintf("+1%d555%04d", 210+(4*c.troupe+purpose)%700, n%10_000)
}

// Arrive creates n customers: some at the CRM's screen, some at the contact centre's, some at both at once.
func (c *Cast) Arrive(ctx context.Context, n int) error {
	var atCRM, atDesk []checker.Record
	var ofCRM, ofDesk []*checker.Person
	var asCRM, asDesk []newcomer
	for i := range n {
		p, who := &checker.Person{}, c.newcomer(len(c.all))
		c.all = append(c.all, p)
		if where := i % 5; where < 3 {
			atCRM, ofCRM, asCRM = append(atCRM, who.contact()), append(ofCRM, p), append(asCRM, who)
			if where == 2 {
				// The same person calls while somebody types them into the CRM. The phone is another one.
				desk := who
				desk.first, desk.phone = "Caller", c.phone(2, len(c.all))
				atDesk, ofDesk, asDesk = append(atDesk, desk.external()), append(ofDesk, p), append(asDesk, desk)
			}
		} else {
			atDesk, ofDesk, asDesk = append(atDesk, who.external()), append(ofDesk, p), append(asDesk, who)
		}
	}
	contacts, err := c.land.Salesforce.Save(ctx, "Contact", atCRM)
	if err != nil {
		return err
	}
	for i, r := range contacts {
		ofCRM[i].SalesforceID = r.Text("Id")
		asCRM[i].introduce(ofCRM[i], checker.Salesforce, r)
	}
	externals, err := c.land.Genesys.Save(ctx, "ExternalContact", atDesk)
	if err != nil {
		return err
	}
	for i, r := range externals {
		ofDesk[i].GenesysID = r.Text("id")
		asDesk[i].introduce(ofDesk[i], checker.Genesys, r)
	}
	return nil
}

func (n newcomer) contact() checker.Record {
	return checker.Record{
		"Customer_Number__c": n.number, "FirstName": n.first, "LastName": n.last, "Email": n.email, "Phone_E164__c": n.phone, "Customer_Status__c": "Active",
	}
}

func (n newcomer) external() checker.Record {
	return checker.Record{"firstName": n.first, "lastName": n.last, "workEmail": n.email, "workPhone": map[string]any{"e164": n.phone, "display": n.phone}}
}

// introduce notes what the creation of a record said.
func (n newcomer) introduce(p *checker.Person, system string, r checker.Record) {
	say := func(field, value string) { p.Say(field, word(system, r, value)) }
	say("first_name", n.first)
	say("last_name", n.last)
	say("email_address", n.email)
	say("phone_number", n.phone)
	if system == checker.Salesforce {
		say("external_id", n.number)
		say("customer_status", "Active")
	}
}

// word is what a saved record says, with the time and number that its system gives the change.
func word(system string, r checker.Record, value string) checker.Word {
	w := checker.Word{Value: value, System: system}
	if system == checker.Salesforce {
		w.At = parse("2006-01-02T15:04:05.000-0700", r.Text("LastModifiedDate"))
		var seq json.Number
		if n, ok := r["Change_Seq__c"].(json.Number); ok {
			seq = n
		}
		f, _ := seq.Float64() // Salesforce shows every number as a double; absent is 0
		w.Seq = int64(f)
		return w
	}
	w.At = parse(time.RFC3339Nano, r.Text("modifyDate"))
	return w
}

func parse(layout, text string) time.Time {
	t, err := time.Parse(layout, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// Change has somebody at a screen change one customer; some have no right to what they change. Only customers who
// were in step once take part: nobody could tell whether two records that differ from the start are one customer.
func (c *Cast) Change(ctx context.Context) error {
	p := c.all[c.rand.IntN(len(c.all))]
	if !p.InStep {
		return nil
	}
	c.edits++
	n := c.edits
	switch c.rand.IntN(8) {
	case 0:
		return c.atCRM(ctx, p, "first_name", "FirstName", fmt.Sprintf("Renamed %d", n))
	case 1:
		return c.atCRM(ctx, p, "customer_status", "Customer_Status__c", fmt.Sprintf("%s %d", statuses[n%len(statuses)], n))
	case 2:
		return c.atCRM(ctx, p, "email_address", "Email", c.mail("crm", n))
	case 3:
		return c.atCRM(ctx, p, "phone_number", "Phone_E164__c", c.phone(3, n))
	case 4:
		return c.atDesk(ctx, p, "email_address", c.mail("desk", n), func(v string) checker.Record { return checker.Record{"workEmail": v} })
	case 5:
		return c.atDesk(ctx, p, "phone_number", c.phone(4, n), func(v string) checker.Record {
			return checker.Record{"workPhone": map[string]any{"e164": v, "display": v}}
		})
	case 6:
		at := time.Now().UTC().Add(-time.Duration(n) * time.Minute).Truncate(time.Second).Format(time.RFC3339)
		return c.atDesk(ctx, p, "last_interaction_date", at, func(v string) checker.Record {
			return checker.Record{"schema": map[string]any{"id": customSchema, "version": 1}, "customFields": map[string]any{"last_interaction_date": v}}
		})
	default:
		// Not theirs to change: the CRM is the record of the name. It has to come back.
		return c.atDesk(ctx, p, "last_name", fmt.Sprintf("Overheard %d", n), func(v string) checker.Record { return checker.Record{"lastName": v} })
	}
}

// customSchema is the schema of custom fields of the demo's Genesys org, as the integration map names it.
const customSchema = "5a9c4c1e-0c54-4f0b-9b1e-2f8a7d3c6b10"

func (c *Cast) atCRM(ctx context.Context, p *checker.Person, field, vendorField, value string) error {
	saved, err := c.land.Salesforce.Save(ctx, "Contact", []checker.Record{{"Id": p.SalesforceID, vendorField: value}})
	if err == nil {
		p.Say(field, word(checker.Salesforce, saved[0], value))
	}
	return err
}

func (c *Cast) atDesk(ctx context.Context, p *checker.Person, field, value string, as func(string) checker.Record) error {
	r := as(value)
	r["id"] = p.GenesysID
	saved, err := c.land.Genesys.Save(ctx, "ExternalContact", []checker.Record{r})
	if err == nil {
		p.Say(field, word(checker.Genesys, saved[0], value))
	}
	return err
}
