package salesforcetest

import (
	"strings"
	"time"
)

// humanOrigin is what change events call a change made in the browser.
const humanOrigin = "com/salesforce/api/soap/62.0;client=SfdcInternalAPI/"

// cdcBody is a change event in the envelope of EventBridge. Compound fields stand in nested objects: a contact's
// FirstName in Name, its MailingCity in MailingAddress.
func (s *Simulator) cdcBody(c change) ordered {
	s.commits++
	header := ordered{
		{"entityName", c.row.object.Name}, {"recordIds", []string{c.id}}, {"changeType", c.kind},
		{"changedFields", []string{}}, {"nulledFields", []string{}}, {"diffFields", []string{}},
		{"changeOrigin", c.origin}, {"transactionKey", s.ids.UUID()}, {"sequenceNumber", 1},
		{"commitTimestamp", c.at.UnixMilli()}, {"commitNumber", 248197218873 + s.commits}, {"commitUser", c.by},
	}
	payload := ordered{{"ChangeEventHeader", header}}
	changed, nulled := []string{}, []string{}
	for _, f := range c.row.object.fields {
		value := c.after[f.Name]
		switch {
		case c.kind == "DELETE", f.Name == "Id", f.Name == "IsDeleted", f.Name == "SystemModstamp":
			continue
		case f.Name == "Name" && f.ReadOnly, c.kind == "UPDATE" && same(c.before[f.Name], value):
			continue
		case c.kind != "UPDATE" && value == nil:
			continue
		}
		group, part := compound(c.row.object, f.Name)
		payload = nest(payload, group, part, cdcValue(value))
		if c.kind == "UPDATE" {
			path := strings.TrimPrefix(group+"."+part, ".")
			if changed = append(changed, path); value == nil {
				nulled = append(nulled, path)
			}
		}
	}
	header[3].Value, header[4].Value = changed, nulled
	return ordered{
		{"version", "0"}, {"id", s.ids.UUID()}, {"detail-type", c.row.object.Name + "ChangeEvent"},
		{"source", "aws.partner/salesforce.com/" + s.options.OrgID + "/0YLxx0000000001GAA"},
		{"account", "123456789012"}, {"time", c.at.Format(time.RFC3339)}, {"region", "us-east-1"}, {"resources", []any{}},
		{"detail", ordered{{"payload", payload}, {"event", ordered{{"replayId", s.commits}}}}},
	}
}

// compound returns the compound field that a field is a part of, and its name therein.
func compound(o *object, name string) (group, part string) {
	if o.Name == "Contact" && (name == "FirstName" || name == "LastName" || name == "Salutation") {
		return "Name", name
	}
	for _, prefix := range []string{"Billing", "Shipping", "Mailing", "Other"} {
		part, ok := strings.CutPrefix(name, prefix)
		switch part {
		case "Street", "City", "State", "PostalCode", "Country":
			if ok {
				return prefix + "Address", part
			}
		}
	}
	return "", name
}

// nest adds a member, inside its compound field if it has one.
func nest(payload ordered, group, part string, value any) ordered {
	if group == "" {
		return append(payload, member{part, value})
	}
	for i, m := range payload {
		if m.Name == group {
			parts, _ := m.Value.(ordered)
			payload[i].Value = append(parts, member{part, value})
			return payload
		}
	}
	return append(payload, member{group, ordered{{part, value}}})
}

// cdcValue spells dates as epoch milliseconds.
func cdcValue(v any) any {
	if t, ok := v.(time.Time); ok {
		return t.UnixMilli()
	}
	return v
}
