package genesys

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"lockstep/connectors"
	"lockstep/connectors/envelope"
	"lockstep/schema"
)

// Envelope reads notification events as EventBridge delivers them. It is pure and safe for concurrent use.
//
// A contact topic tells the whole contact: it becomes a full record, or a merge when the contact is known by another id
// now. Every other topic becomes a change of its object without any field, so that intake can say that nothing of it is
// governed. Genesys tells no origin: an event never is Ours.
type Envelope struct {
	// Sources names external sources, id to name: Connector.Sources, or the options that pin them. An external id of a
	// source that is not named here is told under externalIds.<source id>.
	Sources map[string]string
}

var _ connectors.Envelope = Envelope{}

// NewEnvelope returns the envelope that belongs to a connector with the same options. Only pinned external sources have
// names in events: intake asks no vendor.
func NewEnvelope(options map[string]string) (Envelope, error) {
	set, err := readOptions(options)
	if err != nil {
		return Envelope{}, fmt.Errorf("genesys: %w", err)
	}
	sources := make(map[string]string, len(set.sources))
	for name, id := range set.sources {
		sources[id] = name
	}
	return Envelope{Sources: sources}, nil
}

// Split returns the events of one POST.
func (Envelope) Split(body []byte) ([]json.RawMessage, error) { return envelope.Split(body) }

// Parse reads one event.
func (e Envelope) Parse(raw json.RawMessage) ([]schema.Change, error) {
	o, err := envelope.Open(raw)
	if err != nil {
		return nil, err
	}
	detail, err := o.Object("detail")
	if err != nil {
		return nil, err
	}
	name, err := detail.Text("topicName", 400)
	if err != nil {
		return nil, err
	}
	t, ok := readTopic(name)
	if !ok {
		return nil, envelope.Mismatch(detail.At("topicName"), "a topic like v2.externalcontacts.contacts.{id} is required")
	}
	body, err := detail.Object("eventBody")
	if err != nil {
		return nil, err
	}
	if t.object == contactObject {
		return e.contact(t, body)
	}
	return e.other(t, body)
}

// topic is what a topic's name tells: v2.<service>.<kind>.<id>.<more>.
type topic struct{ object, ref string }

// objectNames are the objects behind topics; the first prefix that fits counts.
var objectNames = []struct{ prefix, object string }{
	{"v2.externalcontacts.contacts.", contactObject},
	{"v2.detail.events.conversation.", "Conversation"},
	{"v2.analytics.conversation.", "Conversation"},
	{"v2.detail.events.agent.", "Agent"},
	{"v2.taskmanagement.workitems.", "Workitem"},
	{"v2.routing.queues.", "Queue"},
	{"v2.users.", "User"},
}

// subObjects are the objects of longer contact topics.
var subObjects = map[string]string{"notes": "ExternalContactNote", "unresolved": "UnresolvedExternalContact"}

func readTopic(name string) (topic, bool) {
	for _, known := range objectNames {
		rest, ok := strings.CutPrefix(name, known.prefix)
		if !ok {
			continue
		}
		ref, more, longer := strings.Cut(rest, ".")
		t := topic{object: known.object, ref: ref}
		if longer && known.object == contactObject {
			kind, _, _ := strings.Cut(more, ".")
			t.object = subObjects[kind]
			if t.object == "" {
				t.object = contactObject + "Topic"
			}
		}
		return t, ref != ""
	}
	parts := strings.Split(name, ".")
	if len(parts) < 3 || parts[0] != "v2" || connectors.Clean(parts[1]) == "" {
		return topic{}, false
	}
	// A topic that nobody has subscribed to on purpose: its service stands for the object.
	return topic{object: parts[1]}, true
}

// contact reads the body of a contact topic.
func (e Envelope) contact(t topic, body envelope.Object) ([]schema.Change, error) {
	change := schema.Change{Object: contactObject, Kind: schema.EventFull}
	var err error
	if change.Ref, err = body.Text("id", 64); err != nil {
		return nil, err
	}
	if !recordID(change.Ref) || (t.ref != "{id}" && !strings.EqualFold(t.ref, change.Ref)) {
		return nil, &schema.Refusal{
			Reason: schema.ReasonBadRecordID, Field: body.At("id"), Rule: "the id of the topic, a UUID, is required",
		}
	}
	if change.At, err = body.Time("modifyDate"); err != nil {
		return nil, err
	}
	canonical, err := body.OptionalText("canonicalContactId", 64)
	if err != nil {
		return nil, err
	}
	if canonical != "" && !recordID(canonical) {
		return nil, &schema.Refusal{
			Reason: schema.ReasonBadRecordID, Field: body.At("canonicalContactId"), Rule: "a UUID is required",
		}
	}
	if canonical != "" && !strings.EqualFold(canonical, change.Ref) {
		change.Kind, change.Into = schema.EventMerge, canonical
		return []schema.Change{change}, nil
	}
	if change.Fields, err = e.fields(body); err != nil {
		return nil, err
	}
	return []schema.Change{change}, nil
}

// fields flattens the body under the names that reads have. Members of forms that are not known here are left out.
func (e Envelope) fields(body envelope.Object) (schema.Fields, error) {
	fields := schema.Fields{}
	for _, name := range body.Names() {
		value, _ := body.Value(name)
		switch {
		case name == "externalIds":
			if err := e.externalIDs(body, value, fields); err != nil {
				return nil, err
			}
		case name == "customFields":
			custom, ok := value.(map[string]any)
			if !ok && value != nil {
				return nil, envelope.Mismatch(body.At(name), "an object is required")
			}
			for _, member := range slices.Sorted(maps.Keys(custom)) {
				if envelope.Scalar(custom[member]) {
					fields["customFields."+member] = custom[member]
				}
			}
		case phoneField(name):
			text, ok := phoneText(value)
			if !ok {
				return nil, envelope.Mismatch(body.At(name), "a phone is an object")
			}
			fields[name] = text
		case envelope.Scalar(value):
			fields[name] = value
		}
	}
	return fields, nil
}

func (e Envelope) externalIDs(body envelope.Object, value any, fields schema.Fields) error {
	list, ok := value.([]any)
	if !ok && value != nil {
		return envelope.Mismatch(body.At("externalIds"), "an array is required")
	}
	for _, item := range list {
		entry, _ := item.(map[string]any)
		source, _ := entry["externalSource"].(map[string]any)
		id, _ := source["id"].(string)
		text, ok := entry["value"].(string)
		if !ok || id == "" {
			return envelope.Mismatch(body.At("externalIds"), "an external id has a value and an externalSource.id")
		}
		name := e.Sources[id]
		if name == "" {
			name = id
		}
		if _, taken := fields["externalIds."+name]; !taken {
			fields["externalIds."+name] = text
		}
	}
	return nil
}

// other reads the little that every topic has.
func (e Envelope) other(t topic, body envelope.Object) ([]schema.Change, error) {
	change := schema.Change{Object: t.object, Kind: schema.EventChange, Ref: t.ref}
	if change.Ref == "" || change.Ref == "{id}" {
		change.Ref = ""
		for _, name := range []string{"conversationId", "id", "userId"} {
			if text, err := body.OptionalText(name, 64); err == nil && text != "" {
				change.Ref = text
				break
			}
		}
	}
	if len(change.Ref) > 255 {
		return nil, &schema.Refusal{Reason: schema.ReasonBadRecordID, Field: body.At("id"), Rule: "an id of at most 255 bytes is required"}
	}
	var err error
	if value, _ := body.Value("eventTime"); isNumber(value) {
		change.At, err = body.Milliseconds("eventTime")
	} else {
		change.At, err = body.Time("eventTime")
	}
	if err != nil {
		return nil, err
	}
	return []schema.Change{change}, nil
}

func isNumber(v any) bool {
	_, ok := v.(json.Number)
	return ok
}
