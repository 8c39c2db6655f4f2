package genesystest

import (
	"fmt"
	"maps"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// contact is an external contact.
type contact struct {
	id string
	// doc holds the fields that are not empty, as they are stored.
	doc               map[string]any
	kind              string // Ephemeral, Identified or Curated
	created, modified time.Time
	// indexed is when the contact became visible to look-ups, by the unskewed clock and without the lag.
	indexed time.Time
	deleted bool
	// mergedTo is the contact that a merge made out of this one, mergedFrom the ones that this one was made of.
	mergedTo   *contact
	mergedFrom []*contact
	born       uint64
	// wants are the identifiers that the contact carries, claimed those that it claimed explicitly, released those that it
	// gave up although a field still shows them.
	wants, claimed, released map[identifier]bool
}

// The kinds of fields.
type fieldKind int

const (
	fieldName fieldKind = iota + 1
	fieldText
	fieldEmail
	fieldPhone
	fieldBool
	fieldAddress
	fieldExternalIDs
	fieldCustom
	fieldObject
	fieldArray
	// fieldComputed may stand in a request, as in a contact that was read before, and has no effect there.
	fieldComputed
)

// contactFields are the fields of an external contact and what they hold.
var contactFields = map[string]fieldKind{
	"firstName": fieldName, "middleName": fieldName, "lastName": fieldName, "salutation": fieldName, "title": fieldName,
	"workPhone": fieldPhone, "cellPhone": fieldPhone, "homePhone": fieldPhone, "otherPhone": fieldPhone,
	"workEmail": fieldEmail, "personalEmail": fieldEmail, "otherEmail": fieldEmail,
	"address": fieldAddress, "twitterId": fieldObject, "lineId": fieldObject, "whatsAppId": fieldObject,
	"facebookId": fieldObject, "instagramId": fieldObject, "appleOpaqueIds": fieldArray, "externalIds": fieldExternalIDs,
	"externalOrganization": fieldObject, "surveyOptOut": fieldBool, "externalSystemUrl": fieldText,
	"schema": fieldObject, "customFields": fieldCustom, "division": fieldComputed, "externalDataSources": fieldComputed,
	"identifiers": fieldComputed, "id": fieldComputed, "modifyDate": fieldComputed, "createDate": fieldComputed,
	"type": fieldComputed, "canonicalContact": fieldComputed, "mergeSet": fieldComputed, "mergedFrom": fieldComputed,
	"mergedTo": fieldComputed, "mergeOperation": fieldComputed, "selfUri": fieldComputed,
}

// The bounds of a contact (connectors.md 1.5).
const (
	maxName        = 1000
	maxEmail       = 256
	maxText        = 1000
	maxExternalIDs = 10
)

// accept turns the fields of a request into stored ones; an empty value stays as nil, so that a caller can tell a
// cleared field from one that was not sent.
func (s *Simulator) accept(in map[string]any) (map[string]any, *apiError) {
	out := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(in)) {
		kind, known := contactFields[name]
		if !known {
			return nil, badRequest(fmt.Sprintf("Unknown field %q.", name))
		}
		if kind == fieldComputed {
			continue
		}
		value, err := s.acceptField(name, kind, in[name])
		if err != nil {
			return nil, err
		}
		out[name] = value
	}
	if custom, _ := out["customFields"].(map[string]any); len(custom) > 0 && out["schema"] == nil {
		return nil, unprocessable("schema", "customFields need a schema beside them.")
	}
	return out, nil
}

func (s *Simulator) acceptField(name string, kind fieldKind, raw any) (any, *apiError) {
	if raw == nil {
		return nil, nil
	}
	switch kind {
	case fieldName, fieldText, fieldEmail:
		return acceptText(name, kind, raw)
	case fieldPhone:
		return s.acceptPhone(name, raw)
	case fieldBool:
		if _, ok := raw.(bool); !ok {
			return nil, badRequest("The field " + name + " must be a boolean.")
		}
		return raw, nil
	case fieldAddress:
		return acceptAddress(name, raw)
	case fieldExternalIDs:
		return s.acceptExternalIDs(raw)
	case fieldArray:
		list, ok := raw.([]any)
		if !ok {
			return nil, badRequest("The field " + name + " must be an array.")
		}
		if len(list) == 0 {
			return nil, nil
		}
		return raw, nil
	default:
		object, ok := raw.(map[string]any)
		if !ok {
			return nil, badRequest("The field " + name + " must be an object.")
		}
		return withoutNulls(object), nil
	}
}

func acceptText(name string, kind fieldKind, raw any) (any, *apiError) {
	text, ok := raw.(string)
	if !ok {
		return nil, badRequest("The field " + name + " must be a string.")
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, nil
	}
	most := map[fieldKind]int{fieldName: maxName, fieldEmail: maxEmail, fieldText: maxText}[kind]
	if utf8.RuneCountInString(text) > most {
		return nil, unprocessable(name, fmt.Sprintf("The field %s must not be longer than %d characters.", name, most))
	}
	if kind == fieldEmail {
		if a, err := mail.ParseAddress(text); err != nil || a.Address != text {
			return nil, unprocessable(name, "The field "+name+" must be a valid email address.")
		}
	}
	return text, nil
}

func acceptAddress(name string, raw any) (any, *apiError) {
	object, ok := raw.(map[string]any)
	if !ok {
		return nil, badRequest("The field " + name + " must be an object.")
	}
	for member, value := range object {
		switch member {
		case "address1", "address2", "city", "state", "postalCode", "countryCode":
		default:
			return nil, badRequest("Unknown field \"address." + member + "\".")
		}
		if _, ok := value.(string); value != nil && !ok {
			return nil, badRequest("The field address." + member + " must be a string.")
		}
	}
	return withoutNulls(object), nil
}

// acceptExternalIDs demands sources that exist; the same pair twice counts once.
func (s *Simulator) acceptExternalIDs(raw any) (any, *apiError) {
	list, ok := raw.([]any)
	if !ok {
		return nil, badRequest("The field externalIds must be an array.")
	}
	out := []any{}
	seen := map[identifier]bool{}
	for _, item := range list {
		entry, _ := item.(map[string]any)
		source, _ := entry["externalSource"].(map[string]any)
		sourceID, _ := source["id"].(string)
		value, _ := entry["value"].(string)
		value = strings.TrimSpace(value)
		switch {
		case sourceID == "" || value == "":
			return nil, unprocessable("externalIds", "An external id needs an externalSource.id and a value.")
		case utf8.RuneCountInString(value) > maxIdentifier:
			return nil, unprocessable("externalIds", "An external id must not be longer than 255 characters.")
		case s.shelves["ExternalSource"].find(sourceID) == nil:
			return nil, unprocessable("externalIds.externalSource", "The external source "+sourceID+" does not exist.")
		}
		key := identifier{Type: typeExternalID, Value: value, Source: sourceID}
		if !seen[key] {
			seen[key] = true
			out = append(out, externalID(key))
		}
	}
	if len(out) > maxExternalIDs {
		return nil, unprocessable("externalIds", fmt.Sprintf("A contact holds at most %d external ids.", maxExternalIDs))
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

func externalID(key identifier) map[string]any {
	return map[string]any{"externalSource": map[string]any{"id": key.Source}, "value": key.Value}
}

// withoutNulls drops empty members; an object without members is nil.
func withoutNulls(object map[string]any) any {
	out := map[string]any{}
	for name, value := range object {
		if value != nil {
			out[name] = value
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// merged overwrites a document with accepted fields; nil clears.
func merged(doc, fields map[string]any) map[string]any {
	out := clone(doc)
	for name, value := range fields {
		if value == nil {
			delete(out, name)
		} else {
			out[name] = value
		}
	}
	return out
}

// canonical follows merges to the contact that stands for c now.
func (c *contact) canonical() *contact {
	for c.mergedTo != nil {
		c = c.mergedTo
	}
	return c
}

// mergeSet lists the contacts of the merge tree below c, c first; nil when c is no part of a merge.
func (c *contact) mergeSet() []*contact {
	if c.mergedFrom == nil {
		return nil
	}
	set := []*contact{c}
	for _, from := range c.mergedFrom {
		if below := from.mergeSet(); below != nil {
			set = append(set, below...)
		} else {
			set = append(set, from)
		}
	}
	return set
}

// expansion is what a request asked to see beside the plain fields.
type expansion struct {
	identifiers, sources, organization bool
}

func expand(names []string) expansion {
	var x expansion
	for _, name := range names {
		switch strings.TrimPrefix(name, "contacts.") {
		case "identifiers":
			x.identifiers = true
		case "externalSources":
			x.sources = true
		case "externalOrganization":
			x.organization = true
		}
	}
	return x
}

// show returns the contact as REST answers have it: references where events have ids.
func (s *Simulator) show(c *contact, x expansion) map[string]any {
	out := clone(c.doc)
	out["id"], out["type"], out["division"] = c.id, c.kind, division()
	out["createDate"], out["modifyDate"] = stamp(c.created), stamp(c.modified)
	out["selfUri"] = contactURI(c.id)
	s.showSources(out, x.sources)
	if x.identifiers {
		out["identifiers"] = s.showIdentifiers(c)
	}
	if set := c.canonical().mergeSet(); set != nil {
		out["canonicalContact"], out["mergeSet"] = contactRef(c.canonical()), refs(set)
	}
	if c.mergedFrom != nil {
		out["mergedFrom"] = refs(c.mergedFrom)
	}
	if c.mergedTo != nil {
		out["mergedTo"] = contactRef(c.mergedTo)
	}
	return out
}

// showSources adds to each external id where its source is found, and on request what it is called.
func (s *Simulator) showSources(out map[string]any, named bool) {
	list, _ := out["externalIds"].([]any)
	for _, item := range list {
		entry, _ := item.(map[string]any)
		source, _ := entry["externalSource"].(map[string]any)
		id, _ := source["id"].(string)
		source["selfUri"] = sourceURI(id)
		if e := s.shelves["ExternalSource"].find(id); e != nil && named {
			source["name"], source["active"] = e.doc["name"], e.doc["active"]
		}
	}
}

func contactURI(id string) string { return "/api/v2/externalcontacts/contacts/" + id }
func sourceURI(id string) string  { return "/api/v2/externalcontacts/externalsources/" + id }

func contactRef(c *contact) map[string]any {
	return map[string]any{"id": c.id, "selfUri": contactURI(c.id)}
}

func refs(list []*contact) []any {
	out := make([]any, len(list))
	for i, c := range list {
		out[i] = contactRef(c)
	}
	return out
}
