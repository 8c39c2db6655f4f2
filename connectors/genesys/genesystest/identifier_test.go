package genesystest

import (
	"net/url"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lockstep/connectors/simulator"
)

const lookupPath = "/externalcontacts/identifierlookup/contacts"

func TestLookUpByIdentifier(t *testing.T) {
	o := start(t, Options{})
	source := o.source(t, "lockstep")
	id := o.made(t, obj{"workEmail": "Ada@Example.com", "cellPhone": obj{"display": "+13175550100"}, "externalIds": []any{xid(source, "C-1")}})
	for name, c := range map[string]struct {
		in     obj
		status int
	}{
		"e-mail in any case": {matchEmail("ADA@example.com"), 200}, "phone": {matchPhone("+13175550100"), 200},
		"phone with blanks": {matchPhone("+1 317 555 0100"), 200}, "phone sans plus": {matchPhone("13175550100"), 422},
		"external id": {matchID(source, "C-1"), 200}, "type in any case": {obj{"type": "email", "value": "ada@example.com"}, 200},
		"external id sans source": {obj{"type": "ExternalId", "value": "C-1"}, 422}, "unknown source": {matchID("x", "C-1"), 422},
		"unknown type": {obj{"type": "Fax", "value": "1"}, 400}, "empty": {matchEmail(" "), 422}, "nobody": {matchEmail("bo@example.com"), 404},
		"case of an external id": {matchID(source, "c-1"), 404},
	} {
		for _, path := range []string{lookupPath, "/externalcontacts/identifierlookup"} {
			r := o.call(t, "POST", path, c.in)
			if r.status != c.status || c.status == 200 && r.at(t, "id") != id {
				t.Errorf("%s: %d %s", name, r.status, r.body)
			}
		}
	}
}

// The first created contact owns a shared number; if it goes, the next one does.
func TestSharedIdentifiersPassOn(t *testing.T) {
	o := start(t, Options{})
	phone := obj{"e164": "+13175550100"}
	first := o.made(t, obj{"firstName": "Alexis", "workPhone": phone})
	second := o.made(t, obj{"firstName": "David", "homePhone": phone})
	owner := func() any {
		r := o.call(t, "POST", lookupPath, matchPhone("+13175550100"))
		if r.status == 404 {
			return nil
		}
		return r.at(t, "id")
	}
	if got := owner(); got != first {
		t.Errorf("the number belongs to %v", got)
	}
	reverse := "/externalcontacts/reversewhitepageslookup?lookupVal=" + url.QueryEscape("+13175550100") + "&expand=contacts.externalOrganization"
	if r := o.call(t, "GET", reverse, nil); len(r.at(t, "contacts").([]any)) != 2 || r.at(t, "contacts", 0, "id") != first {
		t.Errorf("the reverse look-up shows %s", r.body)
	}
	o.call(t, "DELETE", contactsPath+"/"+first, nil)
	if got := owner(); got != second {
		t.Errorf("after the deletion it belongs to %v", got)
	}
	o.call(t, "PATCH", contactsPath+"/"+second, obj{"changes": []obj{{"field": "$.homePhone", "action": "Remove"}}})
	if got := owner(); got != nil {
		t.Errorf("nobody has it, and it belongs to %v", got)
	}
	if r := o.call(t, "GET", "/externalcontacts/reversewhitepageslookup?lookupVal=+13175550100", nil); len(r.at(t, "contacts").([]any)) != 0 {
		t.Errorf("a plus sign that was not encoded finds %s", r.body)
	}
	if r := o.call(t, "GET", "/externalcontacts/reversewhitepageslookup", nil); r.status != 400 {
		t.Errorf("without a value: %d", r.status)
	}
}

func TestReverseLookUpIsBounded(t *testing.T) {
	o := start(t, Options{})
	for range 30 {
		o.Put("ExternalContact", obj{"otherEmail": "shared@example.com"})
	}
	r := o.call(t, "GET", "/externalcontacts/reversewhitepageslookup?lookupVal=shared%40example.com", nil)
	if n := len(r.at(t, "contacts").([]any)); n != 25 {
		t.Errorf("%d contacts", n)
	}
}

func TestClaims(t *testing.T) {
	o := start(t, Options{})
	source := o.source(t, "lockstep")
	a := o.made(t, obj{"firstName": "A", "workEmail": "a@example.com", "externalIds": []any{xid(source, "1")}})
	b := o.made(t, obj{"firstName": "B"})
	claim := func(id, operation string, identifier obj) reply {
		return o.call(t, "PATCH", contactsPath+"/"+id+"/identifiers", obj{"operation": operation, "identifier": identifier})
	}
	for _, taken := range []obj{matchEmail("A@example.com"), matchID(source, "1")} {
		if r := claim(b, "Claim", taken); r.status != 409 || r.at(t, "code") != "general.conflict" || r.at(t, "details", 0, "entityId") != a {
			t.Errorf("what A owns: %d %s", r.status, r.body)
		}
	}
	if r := claim(a, "Claim", matchEmail("a@example.com")); r.status != 200 {
		t.Errorf("what A owns, by A: %d %s", r.status, r.body)
	}
	if r := claim(b, "Claim", matchPhone("+13175550100")); r.status != 200 || r.at(t, "value") != "+13175550100" {
		t.Errorf("what nobody owns: %d %s", r.status, r.body)
	}
	if r := o.call(t, "POST", lookupPath, matchPhone("+13175550100")); r.at(t, "id") != b {
		t.Errorf("the claimed number finds %s", r.body)
	}
	if r := claim(b, "Claim", matchID(source, "2")); r.status != 200 {
		t.Errorf("a new external id: %d %s", r.status, r.body)
	}
	if got := o.Record("ExternalContact", b)["externalIds"].([]any); len(got) != 1 {
		t.Errorf("the claimed external id is not shown: %v", got)
	}
	if r := claim(b, "Release", matchEmail("a@example.com")); r.status != 404 {
		t.Errorf("releasing another's: %d %s", r.status, r.body)
	}
	if r := claim(a, "Release", matchEmail("a@example.com")); r.status != 200 {
		t.Errorf("releasing: %d %s", r.status, r.body)
	}
	if r := claim(b, "Claim", matchEmail("a@example.com")); r.status != 200 {
		t.Errorf("claiming the released: %d %s", r.status, r.body)
	}
	if r := claim(a, "Release", matchID(source, "1")); r.status != 200 || o.Record("ExternalContact", a)["externalIds"] != nil {
		t.Errorf("releasing an external id: %d %s", r.status, r.body)
	}
	if r := claim(a, "Take", matchEmail("x@example.com")); r.status != 400 {
		t.Errorf("an unknown operation: %d", r.status)
	}
	if r := o.call(t, "GET", contactsPath+"/"+b+"/identifiers", nil); len(r.at(t, "entities").([]any)) != 3 {
		t.Errorf("B owns %s", r.body)
	}
}

// An external id has one owner: whoever writes it second is refused, whatever the way.
func TestExternalIDsAreUnique(t *testing.T) {
	o := start(t, Options{})
	source, other := o.source(t, "lockstep"), o.source(t, "crm")
	o.made(t, obj{"externalIds": []any{xid(source, "1")}})
	b := o.made(t, obj{"firstName": "B", "externalIds": []any{xid(other, "1")}})
	taken := []any{xid(source, "1")}
	for name, r := range map[string]reply{
		"create": o.call(t, "POST", contactsPath, obj{"externalIds": taken}),
		"put":    o.call(t, "PUT", contactsPath+"/"+b, obj{"externalIds": taken}),
		"patch":  o.call(t, "PATCH", contactsPath+"/"+b, obj{"changes": []obj{{"field": "$.externalIds", "value": taken, "action": "AppendToCollection"}}}),
		"enrich": o.call(t, "POST", enrichPath, obj{"matchingIdentifiers": []any{matchID(other, "1")}, "action": "Update", "contact": obj{"externalIds": taken}}),
	} {
		if r.status != 409 || r.at(t, "details", 0, "fieldName") != "externalIds" {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	if got := o.Record("ExternalContact", b); got["firstName"] != "B" || len(got["externalIds"].([]any)) != 1 {
		t.Errorf("a refusal left %v", got)
	}
}

func TestLookUpsLag(t *testing.T) {
	hand := newHandClock()
	o := start(t, Options{Clock: hand.now, Switches: Switches{LookupLagMS: 5000}})
	id := o.made(t, obj{"firstName": "Ada", "workEmail": "ada@example.com"})
	seen := func() (found []bool) {
		return []bool{
			o.call(t, "POST", lookupPath, matchEmail("ada@example.com")).status == 200,
			len(o.call(t, "GET", "/externalcontacts/reversewhitepageslookup?lookupVal=ada@example.com", nil).at(t, "contacts").([]any)) == 1,
			len(o.call(t, "GET", contactsPath+"?q=ada", nil).at(t, "entities").([]any)) == 1,
			len(o.call(t, "GET", "/externalcontacts/scan/contacts", nil).at(t, "entities").([]any)) == 1,
		}
	}
	if got := seen(); sprint(got) != "[false false false false]" {
		t.Errorf("at once: %v", got)
	}
	if r := o.call(t, "GET", contactsPath+"/"+id, nil); r.status != 200 {
		t.Errorf("by id: %d", r.status)
	}
	hand.advance(5 * time.Second)
	if got := seen(); sprint(got) != "[true true true true]" {
		t.Errorf("later: %v", got)
	}
}

// Whatever is written, an identifier is owned by a live contact that carries it, if there is one.
func TestOwnershipHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		saved, _, err := s.Save("ExternalSource", []byte(`{"name":"lockstep"}`), "")
		if err != nil {
			t.Fatal(err)
		}
		source := saved.(map[string]any)["id"].(string)
		var ids []string
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			fields := obj{}
			if rapid.Bool().Draw(t, "email") {
				fields["workEmail"] = rapid.SampledFrom([]string{"a@x.co", "b@x.co", "c@x.co"}).Draw(t, "address")
			}
			if rapid.Bool().Draw(t, "external") {
				fields["externalIds"] = []any{xid(source, rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "value"))}
			}
			switch {
			case len(ids) > 1 && rapid.IntRange(0, 5).Draw(t, "merge") == 0:
				pair := rapid.SliceOfNDistinct(rapid.SampledFrom(ids), 2, 2, rapid.ID[string]).Draw(t, "pair")
				_, _ = s.Merge("ExternalContact", simulator.Encode(obj{"contactIds": pair}), "") // may be refused
			case len(ids) > 0 && rapid.IntRange(0, 4).Draw(t, "remove") == 0:
				_ = s.Remove("ExternalContact", rapid.SampledFrom(ids).Draw(t, "id"), "") // may be gone
			default:
				if len(ids) > 0 && rapid.Bool().Draw(t, "edit") {
					fields["id"] = rapid.SampledFrom(ids).Draw(t, "id")
				}
				if saved, isNew, err := s.Save("ExternalContact", simulator.Encode(fields), ""); err == nil && isNew {
					ids = append(ids, saved.(map[string]any)["id"].(string))
				}
			}
			checkOwners(t, s)
		}
	})
}

func checkOwners(t *rapid.T, s *Simulator) {
	s.mu.Lock()
	defer s.mu.Unlock()
	carriers := map[identifier][]*contact{}
	for _, c := range s.contacts.ordered {
		if !c.deleted && c.mergedTo == nil {
			for key := range c.carried() {
				carriers[key] = append(carriers[key], c)
			}
		}
	}
	for key, owner := range s.contacts.owners {
		if c := owner.contact; c.deleted || c.mergedTo != nil || !c.carried()[key] {
			t.Fatalf("%v belongs to a contact that does not carry it", key)
		}
	}
	for key, list := range carriers {
		if s.contacts.owners[key].contact == nil {
			t.Fatalf("%v belongs to nobody though %d carry it", key, len(list))
		}
		if key.Type == typeExternalID && len(list) > 1 {
			t.Fatalf("%v is carried by %d contacts", key, len(list))
		}
	}
}
