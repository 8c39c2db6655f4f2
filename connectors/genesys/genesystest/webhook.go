package genesystest

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"lockstep/connectors/simulator"
)

// contactTopic is the detail-type of contact events; it keeps the placeholder (connectors.md 1.11).
const contactTopic = "v2.externalcontacts.contacts.{id}"

// announce queues the event of a changed contact. The org is locked.
func (s *Simulator) announce(c *contact) {
	if s.sender.Settings().URL == "" {
		return
	}
	s.emit(contactTopic, c.id, c.id, s.notification(c))
}

// emit wraps an event as EventBridge does and queues it; it returns the envelope's id. The real id stands in topicName.
func (s *Simulator) emit(topic, id, record string, eventBody map[string]any) string {
	envelopeID := s.ids.UUID()
	envelope := map[string]any{
		"version": "0", "id": envelopeID, "detail-type": topic,
		"source":  "aws.partner/genesys.com/cloud/" + s.options.OrgID + "/lockstep",
		"account": "123456789012", "time": s.clock.Now().Truncate(time.Second).Format(time.RFC3339), "region": "us-east-1",
		"resources": []any{},
		"detail": map[string]any{
			"topicName": strings.Replace(topic, "{id}", id, 1), "version": "2", "eventBody": eventBody,
			"metadata": map[string]any{"CorrelationId": s.ids.UUID()},
		},
	}
	s.sender.Enqueue(simulator.Message{ID: envelopeID, Record: record, Body: simulator.Encode(envelope)})
	return envelopeID
}

// notification is a contact as events show it: flat ids where REST answers have references.
func (s *Simulator) notification(c *contact) map[string]any {
	out := clone(c.doc)
	out["id"], out["type"], out["division"] = c.id, c.kind, map[string]any{"id": homeDivision}
	out["createDate"], out["modifyDate"] = stamp(c.created), stamp(c.modified)
	if set := c.canonical().mergeSet(); set != nil {
		out["canonicalContactId"], out["mergeSet"] = c.canonical().id, idsOf(set)
	}
	if c.mergedFrom != nil {
		out["mergedFrom"] = idsOf(c.mergedFrom)
	}
	if c.mergedTo != nil {
		out["mergedTo"] = c.mergedTo.id
	}
	return out
}

// sign adds what an API destination adds: a static key, no signature.
func (s *Simulator) sign(r *http.Request, _ simulator.Message, _ time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Header.Set(s.header, s.key)
	r.Header.Set("User-Agent", "Amazon/EventBridge/ApiDestinations")
}

const conversationTopic = "v2.detail.events.conversation.{id}."

// conversationEvents are the conversation topics that can be emitted (connectors.md 1.11).
var conversationEvents = []string{
	"customer.start", "customer.end", "acd.start", "acd.end", "user.start", "user.end", "acw", "wrapup", "attributes",
	"contact", "flow.start", "flow.end", "flow.outcome", "outbound", "voicemail.start", "voicemail.end",
}

// emitted is the body of POST /events.
type emitted struct {
	// Topic is a conversation event such as customer.start, or a whole topic with its {id}.
	Topic string `json:"topic"`
	// ID fills {id}; empty makes a conversation up.
	ID string `json:"id"`
	// EventBody adds to and replaces members of what the simulator fills in.
	EventBody map[string]any `json:"event_body"`
}

// Emit sends an event that no request caused and returns the envelope's id and what it is about.
func (s *Simulator) Emit(topic, id string, body map[string]any) (envelope, subject string, err error) {
	if slices.Contains(conversationEvents, topic) {
		topic = conversationTopic + topic
	}
	if !strings.Contains(topic, "{id}") {
		return "", "", fmt.Errorf("topic is one of %s, or a whole topic with {id}", strings.Join(conversationEvents, ", "))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sender.Settings().URL == "" {
		return "", "", fmt.Errorf("no webhook URL is set")
	}
	if id == "" {
		id = s.ids.UUID()
	}
	full := map[string]any{}
	if short, ok := strings.CutPrefix(topic, conversationTopic); ok {
		full = s.conversationEvent(short, id)
	}
	for name, value := range body {
		full[name] = value
	}
	return s.emit(topic, id, id, full), id, nil
}

// conversationEvent fills in what every event of a kind carries. Times are epoch milliseconds here.
func (s *Simulator) conversationEvent(short, id string) map[string]any {
	out := map[string]any{
		"eventTime": s.clock.Now().UnixMilli(), "conversationId": id, "participantId": s.ids.UUID(), "sessionId": s.ids.UUID(),
		"mediaType": "VOICE", "direction": "INBOUND", "provider": "Edge", "divisionId": homeDivision,
	}
	switch short {
	case "customer.start", "customer.end":
		out["ani"], out["dnis"] = "tel:+13175550100", "tel:+18005550100"
	case "acd.start", "acd.end":
		out["queueId"] = DefaultQueueID
	case "user.start", "user.end", "acw":
		out["queueId"], out["userId"] = DefaultQueueID, DefaultUserID
	case "wrapup":
		out["queueId"] = DefaultQueueID
	}
	if short == "customer.end" || short == "user.end" {
		out["disconnectType"], out["interactingDurationMs"] = "PEER", 182_000
	}
	if short == "acw" || short == "wrapup" {
		out["wrapupDurationMs"] = 12_000
	}
	return out
}

// webhookChange is the body of POST /webhooks; what is absent stays.
type webhookChange struct {
	simulator.WebhookSettings
	Key    *string `json:"key"`
	Header *string `json:"header"`
}

var headerForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*$`)

// ConfigureWebhooks changes what body names. See simulator.Vendor.
func (s *Simulator) ConfigureWebhooks(body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	change := webhookChange{WebhookSettings: s.sender.Settings()}
	if err := simulator.Decode(body, &change); err != nil {
		return err
	}
	if change.Key != nil && *change.Key == "" {
		return fmt.Errorf("key must not be empty")
	}
	if change.Header != nil && !headerForm.MatchString(*change.Header) {
		return fmt.Errorf("header must be the name of an HTTP header")
	}
	err := s.sender.Change(func(settings *simulator.WebhookSettings) error {
		*settings = change.WebhookSettings
		return nil
	})
	if err != nil {
		return err
	}
	if change.Key != nil {
		s.key = *change.Key
	}
	if change.Header != nil {
		s.header = *change.Header
	}
	return nil
}

// Webhooks returns settings and counts. See simulator.Vendor.
func (s *Simulator) Webhooks() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return struct {
		simulator.WebhookSettings
		simulator.WebhookCounts
		Header string `json:"header"`
	}{s.sender.Settings(), s.sender.Counts(), s.header}
}
