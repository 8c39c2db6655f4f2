package rules

import (
	"testing"

	"lockstep/schema"
)

// TestRuling09 is in spirit what every case here shows: ambiguous is answered as ambiguous, never picked.
func TestIdentify(t *testing.T) {
	keys := []schema.Key{
		{Kind: "external_id", Issuer: "crm", Value: schema.Text("C-1"), Reserves: true},
		{Kind: "email", Value: schema.Text("a@example.com"), Reserves: true},
		{Kind: "phone", Value: schema.Text("+13175550100")},
	}
	c := func(shares int, contradicts bool) schema.Candidate {
		return schema.Candidate{Shares: shares, Contradicts: contradicts}
	}
	for name, tc := range map[string]struct {
		candidates []schema.Candidate
		want       int
		reason     schema.Reason
	}{
		"nobody":                          {nil, -1, ""},
		"by external id":                  {[]schema.Candidate{c(0, false)}, 0, ""},
		"by e-mail":                       {[]schema.Candidate{c(1, false)}, 0, ""},
		"by phone alone":                  {[]schema.Candidate{c(2, false)}, 0, ""},
		"the stronger key counts":         {[]schema.Candidate{c(2, false), c(0, false), c(1, false)}, 1, ""},
		"two share the strongest":         {[]schema.Candidate{c(1, false), c(1, false)}, -1, schema.ReasonAmbiguousMatch},
		"two share a phone":               {[]schema.Candidate{c(2, false), c(2, false)}, -1, schema.ReasonAmbiguousMatch},
		"e-mail says yes, external id no": {[]schema.Candidate{c(1, true)}, -1, schema.ReasonKeyTaken},
		"phone says yes, e-mail no":       {[]schema.Candidate{c(2, true)}, -1, ""},
		"one of a family by phone":        {[]schema.Candidate{c(2, true), c(2, false)}, 1, ""},
	} {
		got, reason := Identify(keys, tc.candidates)
		if got != tc.want || reason != tc.reason {
			t.Errorf("%s: %d %q, want %d %q", name, got, reason, tc.want, tc.reason)
		}
	}
}

func TestMatchFound(t *testing.T) {
	r := customer(t)
	state := &schema.State{}
	decide(r, state, 0, full(1, "crm", later(1), schema.Fields{"Number": "C-1", "Name": "Ada", "Email": "ada@example.com", "Phone": "+13175550100"}))
	person := func(id, number, mail, phone string) schema.Change {
		f := schema.Fields{"ext": nil, "number": nil, "mail": nil, "phone": nil}
		for k, v := range map[string]string{"ext": id, "number": number, "mail": mail, "phone": phone} {
			if v != "" {
				f[k] = v
			}
		}
		return schema.Change{Fields: f}
	}
	other := schema.ID{0: 7}.String()
	for name, tc := range map[string]struct {
		found  []schema.Change
		want   int
		reason schema.Reason
	}{
		"none":                              {nil, -1, ""},
		"ours by our id":                    {[]schema.Change{person("", "", "ada@example.com", ""), person(record.String(), "", "", "")}, 1, ""},
		"by e-mail, spelt otherwise":        {[]schema.Change{person("", "", "ADA@Example.com", "")}, 0, ""},
		"by phone, spelt otherwise":         {[]schema.Change{person("", "", "", "(317) 555-0100")}, 0, ""},
		"same phone, other e-mail":          {[]schema.Change{person("", "", "eve@example.com", "+13175550100")}, -1, ""},
		"same e-mail, other number":         {[]schema.Change{person("", "C-2", "ada@example.com", "")}, -1, schema.ReasonKeyTaken},
		"two of one e-mail":                 {[]schema.Change{person("", "", "ada@example.com", ""), person("", "", "ada@example.com", "")}, -1, schema.ReasonAmbiguousMatch},
		"external id outranks e-mail":       {[]schema.Change{person("", "", "ada@example.com", ""), person("", "C-1", "", "")}, 1, ""},
		"stands for somebody else already":  {[]schema.Change{person(other, "", "ada@example.com", "")}, -1, schema.ReasonKeyTaken},
		"somebody else's with our phone":    {[]schema.Change{person(other, "", "", "+13175550100")}, -1, ""},
		"found by a search, shares nothing": {[]schema.Change{person("", "", "eve@example.com", "")}, -1, ""},
	} {
		got, reason := r.MatchFound("desk", record, state, tc.found)
		if got != tc.want || reason != tc.reason {
			t.Errorf("%s: %d %q, want %d %q", name, got, reason, tc.want, tc.reason)
		}
	}
}

func TestCanonicalIDs(t *testing.T) {
	r := customer(t)
	state := &schema.State{}
	other := schema.ID{0: 7}
	decide(r, state, 0, full(1, "crm", later(1), schema.Fields{"Ext": other.String(), "Name": "Ada"}), full(2, "desk", later(1), schema.Fields{"ext": "somebody's own code"}))
	ids := r.CanonicalIDs(record, state)
	if len(ids) != 1 || ids[0] != other {
		t.Errorf("ids %v", ids)
	}
}

func TestKeysNameTheStrongestFirst(t *testing.T) {
	r := customer(t)
	keys := r.Keys("crm", schema.Change{Fields: schema.Fields{"Phone": "317-555-0100", "Email": "A@example.com", "Number": " C-1 "}})
	if len(keys) != 3 || keys[0].Kind != "external_id" || keys[0].Issuer != "crm" || keys[0].Value.Reveal() != "C-1" || keys[1].Kind != "email" || keys[2].Kind != "phone" {
		t.Errorf("%d keys: %v", len(keys), keys)
	}
	if keys[2].Reserves {
		t.Error("a phone number reserves")
	}
}
