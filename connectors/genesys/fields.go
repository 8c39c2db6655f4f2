package genesys

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"lockstep/connectors"
	"lockstep/schema"
)

// contactObject is the vendor's name of the one object that this connector knows.
const contactObject = "ExternalContact"

var (
	plainGrammar  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,63}$`)
	customGrammar = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)
)

// phoneField reports whether a member of a contact is a phone object.
func phoneField(name string) bool {
	switch name {
	case "workPhone", "cellPhone", "homePhone", "otherPhone":
		return true
	default:
		return false
	}
}

// externalID returns the source's name of a field externalIds.<name>.
func externalID(field string) (source string, ok bool) {
	source, ok = strings.CutPrefix(field, "externalIds.")
	return source, ok && sourceGrammar.MatchString(source)
}

// customField returns the name of a field customFields.<name>.
func customField(field string) (name string, ok bool) {
	name, ok = strings.CutPrefix(field, "customFields.")
	return name, ok && customGrammar.MatchString(name)
}

func knownField(field string) bool {
	_, external := externalID(field)
	_, custom := customField(field)
	return external || custom || plainGrammar.MatchString(field)
}

// usable reports whether the object is one that we know and its names can stand in a request.
func usable(o connectors.Object) bool {
	_, keyed := externalID(o.Key)
	return o.Name == contactObject && keyed && !slices.ContainsFunc(o.Fields, func(f string) bool { return !knownField(f) })
}

// contact is a contact as the vendor shows it.
type contact struct {
	ID               string     `json:"id"`
	ModifyDate       string     `json:"modifyDate"`
	CanonicalContact *reference `json:"canonicalContact"`
	members          map[string]any
}

type reference struct {
	ID string `json:"id"`
}

// UnmarshalJSON keeps every member beside the named ones.
func (c *contact) UnmarshalJSON(b []byte) error {
	type named contact
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	if err := json.Unmarshal(b, (*named)(c)); err != nil {
		return err
	}
	return d.Decode(&c.members)
}

// liveID is the id that the contact goes by now: a merged one is known by its canonical contact (connectors.md, 1.5).
func (c *contact) liveID() string {
	if c.CanonicalContact != nil && recordID(c.CanonicalContact.ID) {
		return c.CanonicalContact.ID
	}
	return c.ID
}

// record flattens the contact. Genesys leaves empty members out, so what it does not show is empty.
func (c *contact) record(o connectors.Object, sources map[string]string) connectors.Record {
	r := connectors.Record{ID: c.liveID(), Fields: schema.Fields{}, ModifiedAt: parseTime(c.ModifyDate)}
	for _, field := range o.Fields {
		if value, ok := flat(c.members, field, sources); ok {
			r.Fields[field] = value
		}
	}
	return r
}

// flat returns one flat value of a contact; ok is false when the member has a form that is not known here.
func flat(members map[string]any, field string, sources map[string]string) (value any, ok bool) {
	if name, ok := customField(field); ok {
		custom, _ := members["customFields"].(map[string]any)
		return custom[name], scalar(custom[name])
	}
	if name, ok := externalID(field); ok {
		return externalValue(members, sources[name]), true
	}
	if phoneField(field) {
		return phoneText(members[field])
	}
	return members[field], scalar(members[field])
}

// externalValue returns the contact's id under a source; nil when it has none. Of several the first counts: that is the
// one the contact got first, before others were merged into it.
func externalValue(members map[string]any, sourceID string) any {
	list, _ := members["externalIds"].([]any)
	for _, item := range list {
		entry, _ := item.(map[string]any)
		source, _ := entry["externalSource"].(map[string]any)
		if id, _ := source["id"].(string); id != "" && strings.EqualFold(id, sourceID) {
			value, _ := entry["value"].(string)
			return value
		}
	}
	return nil
}

// phoneText returns a phone's E.164 form, or what it displays when it could not be normalised.
func phoneText(v any) (text any, ok bool) {
	if v == nil {
		return nil, true
	}
	phone, ok := v.(map[string]any)
	if !ok {
		return nil, false
	}
	for _, form := range []string{"e164", "display", "userInput"} {
		if text, _ := phone[form].(string); text != "" {
			return text, true
		}
	}
	return nil, true
}

func scalar(v any) bool {
	switch v.(type) {
	case nil, string, bool, json.Number:
		return true
	default:
		return false
	}
}

// nested returns a value as the vendor takes it; ok is false for a value of a wrong type.
func nested(field string, value any) (wire any, ok bool) {
	if !phoneField(field) {
		return value, scalar(value)
	}
	text, ok := value.(string)
	return map[string]string{"display": text, "e164": text}, ok
}

// parseTime reads an RFC 3339 time; zero when it is not that.
func parseTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// listing is what every page of a list has: a cursor in one of its two forms.
type listing struct {
	NextURI string `json:"nextUri"`
	Cursors struct {
		After string `json:"after"`
	} `json:"cursors"`
}
