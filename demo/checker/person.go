package checker

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// The systems of the demo's landscape, and Lockstep itself.
const (
	Salesforce = "salesforce"
	Genesys    = "genesys"
)

// Field is a governed field: where each system holds it, and the rule about it. It is written down here once more, apart
// from the integration map, so that the checker does not learn the rules from what it checks.
type Field struct {
	Name string
	// Owner is the system of record.
	Owner string
	// TwoWay fields belong to whoever said something last; Window is how long the owner's word outweighs newer ones.
	TwoWay bool
	Window time.Duration
	// Salesforce and Genesys return what a record shows in the field, in one spelling.
	Salesforce func(Record) string
	Genesys    func(Record) string
}

// Fields are the governed fields of a customer.
func Fields() []Field {
	same := func(path string) func(Record) string { return func(r Record) string { return r.Text(path) } }
	return []Field{
		{Name: "external_id", Owner: Salesforce, Salesforce: same("Customer_Number__c"), Genesys: func(r Record) string { return ExternalID(r, SourceCRM) }},
		{Name: "first_name", Owner: Salesforce, Salesforce: same("FirstName"), Genesys: same("firstName")},
		{Name: "last_name", Owner: Salesforce, Salesforce: same("LastName"), Genesys: same("lastName")},
		{Name: "email_address", Owner: Salesforce, TwoWay: true, Salesforce: lower("Email"), Genesys: lower("workEmail")},
		{Name: "phone_number", Owner: Salesforce, TwoWay: true, Window: 5 * time.Second, Salesforce: same("Phone_E164__c"), Genesys: same("workPhone.e164")},
		{Name: "customer_status", Owner: Salesforce, Salesforce: same("Customer_Status__c"), Genesys: same("customFields.customer_status")},
		{Name: "last_interaction_date", Owner: Genesys, Salesforce: moment("Last_Support_Interaction__c"), Genesys: moment("customFields.last_interaction_date")},
	}
}

func lower(path string) func(Record) string {
	return func(r Record) string { return strings.ToLower(r.Text(path)) }
}

// moment spells a time in whole seconds: Salesforce keeps no more.
func moment(path string) func(Record) string {
	return func(r Record) string {
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.000-0700"} {
			if t, err := time.Parse(layout, r.Text(path)); err == nil {
				return t.UTC().Truncate(time.Second).Format(time.RFC3339)
			}
		}
		return r.Text(path)
	}
}

// The external sources of the demo's Genesys org, as the integration map pins them.
const (
	SourceLockstep = "0d5c7b1e-92f4-4a57-8c6e-3b8f1a2d4e60"
	SourceCRM      = "6f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f9"
)

// ExternalID returns a contact's id under an external source.
func ExternalID(r Record, source string) string {
	ids, _ := r["externalIds"].([]any)
	for _, id := range ids {
		if m, ok := id.(map[string]any); ok {
			if entry := Record(m); entry.Text("externalSource.id") == source {
				return entry.Text("value")
			}
		}
	}
	return ""
}

// Word is what somebody said in one field.
type Word struct {
	Value  string
	System string
	// At is the time that the system gives the change, Seq its own number for it.
	At  time.Time
	Seq int64
}

// Person is one customer, as the people at the systems' screens know them.
type Person struct {
	// SalesforceID and GenesysID are filled in once the systems have the customer.
	SalesforceID string
	GenesysID    string
	// InStep is set once both records carry the same id of ours.
	InStep bool
	// Words are what was said, by field.
	Words map[string][]Word
}

// Say notes that a person at a system's screen set a field.
func (p *Person) Say(field string, w Word) {
	if p.Words == nil {
		p.Words = map[string][]Word{}
	}
	p.Words[field] = append(p.Words[field], w)
}

// Expect returns what both systems have to show in a field, by the published rules alone.
func (p *Person) Expect(f Field) string {
	words := p.entitled(f)
	if len(words) == 0 {
		return ""
	}
	return slices.MaxFunc(words, func(a, b Word) int { return f.compare(a, b) }).Value
}

// entitled returns the words that count: everybody's in a two-way field, else the owner's. What the owner left empty may
// be filled by another, and the first filling stands.
func (p *Person) entitled(f Field) []Word {
	words := p.Words[f.Name]
	if f.TwoWay {
		return words
	}
	own := slices.DeleteFunc(slices.Clone(words), func(w Word) bool { return w.System != f.Owner })
	if len(own) > 0 || len(words) == 0 {
		return own
	}
	return words[:1]
}

// compare orders two words of a field by the field's rule.
func (f Field) compare(a, b Word) int {
	return cmp.Or(f.effective(a).Compare(f.effective(b)), cmp.Compare(rank(f, a), rank(f, b)), cmp.Compare(a.Seq, b.Seq))
}

func (f Field) effective(w Word) time.Time {
	if w.System == f.Owner {
		return w.At.Add(f.Window)
	}
	return w.At
}

func rank(f Field, w Word) int {
	if w.System == f.Owner {
		return 1
	}
	return 0
}
