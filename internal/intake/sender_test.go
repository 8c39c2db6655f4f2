package intake_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"github.com/gowebpki/jcs"

	"lockstep/schema"
)

// secretOf returns a secret of a source's own, as its profile spells secrets.
func secretOf(profile, name string) string {
	digest := sha256.Sum256([]byte("secret of " + name))
	if profile == "standard_webhooks" {
		return "whsec_" + base64.StdEncoding.EncodeToString(digest[:])
	}
	return hex.EncodeToString(digest[:])
}

// signing is what a sender signs with.
type signing struct {
	secret string
	id     string
	at     time.Time
}

// signed returns a request of a source with the first secret, a new id and the present time.
func (h *house) signed(source, body string) *http.Request {
	h.t.Helper()
	profile := h.bundle.Map.Sources[source].Signature.Profile
	return h.signedWith(source, body, signing{secret: secretOf(profile, source), id: "msg_" + rand.Text(), at: h.now()})
}

// signedWith signs as the source's vendor documents it, independently of the verifier.
func (h *house) signedWith(source, body string, with signing) *http.Request {
	h.t.Helper()
	def := h.bundle.Map.Sources[source].Signature
	if def.Profile == "json" {
		body = h.signedInside(body, with.secret)
	}
	r := httptest.NewRequest(http.MethodPost, "/webhooks/"+source, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	seconds := strconv.FormatInt(with.at.Unix(), 10)
	millis := strconv.FormatInt(with.at.UnixMilli(), 10)
	iso := with.at.UTC().Format(time.RFC3339)
	set := r.Header.Set
	in64, inHex := base64.StdEncoding.EncodeToString, hex.EncodeToString
	switch def.Profile {
	case "json":
	case "static_key":
		set(def.Header, with.secret)
	case "standard_webhooks":
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(with.secret, "whsec_"))
		must(h.t, err)
		set("webhook-id", with.id)
		set("webhook-timestamp", seconds)
		set("webhook-signature", "v1,"+in64(mac(string(key), with.id+"."+seconds+"."+body)))
	case "zendesk":
		set("X-Zendesk-Webhook-Signature-Timestamp", iso)
		set("X-Zendesk-Webhook-Signature", in64(mac(with.secret, iso+body)))
	case "hubspot_v3":
		set("X-HubSpot-Request-Timestamp", millis)
		set("X-HubSpot-Signature-v3", in64(mac(with.secret, "POST"+def.PublicURL+body+millis)))
	case "github":
		set("X-Hub-Signature-256", "sha256="+inHex(mac(with.secret, body)))
		set("X-GitHub-Delivery", with.id)
	case "slack":
		set("X-Slack-Request-Timestamp", seconds)
		set("X-Slack-Signature", "v0="+inHex(mac(with.secret, "v0:"+seconds+":"+body)))
	case "hmac":
		signed := with.id + "."
		set(def.IDHeader, with.id)
		if def.TimestampHeader != "" {
			signed += iso + "."
			set(def.TimestampHeader, iso)
		}
		set(def.Header, inHex(mac(with.secret, signed+body)))
	default:
		h.t.Fatalf("no sender signs as %s", def.Profile)
	}
	return r
}

// signedInside replaces the member `signature` by the HMAC over the canonical form of the others, and leaves every other
// byte as it is.
func (h *house) signedInside(body, secret string) string {
	h.t.Helper()
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(body), &members) != nil {
		return body
	}
	was, ok := members["signature"]
	delete(members, "signature")
	rest, err := json.Marshal(members)
	must(h.t, err)
	canonical, err := jcs.Transform(rest)
	if err != nil {
		return body
	}
	now := strconv.Quote(hex.EncodeToString(mac(secret, string(canonical))))
	if !ok {
		return strings.TrimSuffix(strings.TrimSpace(body), "}") + `,"signature":` + now + "}"
	}
	at := strings.LastIndex(body, string(was))
	return body[:at] + now + body[at+len(was):]
}

func mac(key, text string) []byte {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(text))
	return h.Sum(nil)
}

// change is an event of the sources with the change_set envelope.
type change struct {
	record  string
	at      string
	status  string
	eventID string
	more    string
}

func (c change) String() string {
	if c.at == "" {
		c.at = "2026-01-02T03:04:05Z"
	}
	if c.status == "" {
		c.status = "Active"
	}
	id := ""
	if c.eventID != "" {
		id = `"event_id":` + strconv.Quote(c.eventID) + ","
	}
	return fmt.Sprintf(`{%s"event_type":"UPDATE","source_system":"CRM","timestamp":%q,"record_id":%q,"object_type":"Account",`+
		`"change_set":{"Customer_Status__c":{"old_value":null,"new_value":%q}%s},"signature":""}`, id, c.at, c.record, c.status, c.more)
}

// contact is an event of the source desk.
func contact(id, wrapped string, phone string) string {
	return fmt.Sprintf(`{"version":"0","id":%q,"detail-type":"v2.externalcontacts.contacts.{id}","source":"aws.partner/genesys","time":%q,`+
		`"detail":{"topicName":"v2.externalcontacts.contacts.{id}","eventBody":{"id":%q,"modifyDate":"2026-01-02T03:04:05Z","lastName":"Roe",`+
		`"workPhone":{"display":%q,"e164":%q}}}}`, wrapped, wrapped, id, phone, phone)
}

// captured is a CDC event of the sources cdc.
func captured(commit int, ids ...string) string {
	quoted, _ := json.Marshal(ids)
	return fmt.Sprintf(`{"id":"e-%d","detail-type":"Account Change","detail":{"payload":{"ChangeEventHeader":{"entityName":"Account","recordIds":%s,"changeType":"UPDATE",`+
		`"transactionKey":"0002","sequenceNumber":1,"commitTimestamp":%d,"commitUser":"005xx","commitNumber":%d,"changedFields":["Customer_Status__c"]},`+
		`"Customer_Status__c":"Churned"}}}`, commit, quoted, 1767323045000+commit, 1000+commit)
}

// newUUID is a record id of the source desk.
func newUUID() string { return schema.NewRandom().String() }

// newRecord is a record id of a CRM.
func newRecord() string { return "001" + rand.Text()[:15] }
