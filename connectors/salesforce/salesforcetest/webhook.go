package salesforcetest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockstep/connectors/simulator"
)

// The shapes of event bodies.
const (
	// FormatApex is the body that an Apex trigger's callout posts (requirements R-119, without the in-body signature).
	FormatApex = "apex"
	// FormatCDC is a change event as Event Relay and EventBridge deliver it (connectors.md 2.10).
	FormatCDC = "cdc"
)

// announce queues the event of a committed change. The org is locked.
func (s *Simulator) announce(c change) {
	if !slices.Contains(s.told, c.row.object.Name) || s.sender.Settings().URL == "" {
		return
	}
	body := apexBody(c)
	if s.format == FormatCDC {
		body = s.cdcBody(c)
	}
	s.sender.Enqueue(simulator.Message{ID: "msg_" + s.ids.Text(27), Record: c.id, Body: simulator.Encode(body)})
}

// apexBody tells old and new value of every changed field.
func apexBody(c change) ordered {
	set := ordered{}
	for _, name := range c.fields {
		f := c.row.object.find(name)
		set = append(set, member{name, ordered{
			{"old_value", f.apex(c.before[name])}, {"new_value", f.apex(c.after[name])},
		}})
	}
	return ordered{
		{"event_type", c.kind}, {"source_system", "SALESFORCE"}, {"timestamp", c.at.Format(time.RFC3339)},
		{"record_id", c.id}, {"object_type", c.row.object.Name}, {"change_set", set}, {"sequence", c.seq},
		{"changed_by", c.by},
	}
}

// sign adds the Standard Webhooks headers; while two secrets are live, both sign.
func (s *Simulator) sign(r *http.Request, m simulator.Message, at time.Time) {
	s.mu.Lock()
	secrets := slices.Clone(s.secrets)
	s.mu.Unlock()
	stamp := strconv.FormatInt(at.Unix(), 10)
	var signatures []string
	for _, secret := range secrets {
		signatures = append(signatures, SignWebhook(secret, m.ID, stamp, m.Body))
	}
	// Spelt as Standard Webhooks spells them.
	r.Header["webhook-id"] = []string{m.ID}
	r.Header["webhook-timestamp"] = []string{stamp}
	r.Header["webhook-signature"] = []string{strings.Join(signatures, " ")}
	r.Header.Set("User-Agent", "SFDC-Callout/62.0")
}

// SignWebhook returns the Standard Webhooks signature `v1,<base64>` of a body under a `whsec_` secret.
func SignWebhook(secret, id, timestamp string, body []byte) string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		panic("salesforcetest: the webhook secret was not checked") // every way in checks it
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.", id, timestamp)
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// checkSecret demands `whsec_` and base64 of 24 to 64 bytes.
func checkSecret(secret string) error {
	encoded, ok := strings.CutPrefix(secret, "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return fmt.Errorf("a webhook secret is whsec_ and the base64 of 24 to 64 bytes")
	}
	return nil
}
