package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lockstep/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is what the clock says in these tests.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

// sender is a source as its own side knows it: it signs without any code of this package.
type sender struct {
	name   string
	source schema.Signature
	// secret makes a new secret, as it is stored.
	secret func(*rand.Rand) []byte
	// sign signs a message; body may be a JSON object only where the signature goes into it.
	sign func(secret []byte, m message) Request
	// time spells a moment for the timestamp header; nil where none is signed.
	time func(time.Time) string
	// loose are headers that the signature does not cover.
	loose []string
}

// message is what a sender sends.
type message struct {
	id, timestamp, method, url string
	body                       string
}

const hookURL = "https://hooks.example.com/webhooks/crm?tenant=acme"

func digest(key []byte, signed string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(signed))
	return h.Sum(nil)
}

func based(mac []byte) string { return base64.StdEncoding.EncodeToString(mac) }

func textSecret(random *rand.Rand) []byte {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	secret := make([]byte, 24+random.IntN(40))
	for i := range secret {
		secret[i] = letters[random.IntN(len(letters))]
	}
	return secret
}

func keyBytes(random *rand.Rand) []byte {
	key := make([]byte, 24+random.IntN(41))
	for i := range key {
		key[i] = byte(random.Uint32())
	}
	return key
}

func unwhsec(secret []byte) []byte {
	key, err := base64.StdEncoding.DecodeString(string(secret[len("whsec_"):]))
	if err != nil {
		panic(err)
	}
	return key
}

func unixSeconds(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }
func unixMillis(at time.Time) string  { return strconv.FormatInt(at.UnixMilli(), 10) }
func zulu(at time.Time) string        { return at.UTC().Format("2006-01-02T15:04:05Z") }

func header(pairs ...string) http.Header {
	h := http.Header{"Content-Type": {"application/json"}, "User-Agent": {"test"}}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

// bodyHMAC is a sender that signs the body alone into one header.
func bodyHMAC(source schema.Signature, name string, encode func([]byte) string, loose ...string) sender {
	return sender{
		name: name, source: source, secret: textSecret, loose: loose,
		sign: func(secret []byte, m message) Request {
			return Request{"POST", hookURL, header(source.Header, source.Prefix+encode(digest(secret, m.body))), []byte(m.body)}
		},
	}
}

var senders = []sender{
	{
		name: "standard_webhooks", source: schema.Signature{Profile: "standard_webhooks"}, time: unixSeconds, loose: []string{"X-Request-Id", "webhook-attempt"},
		secret: func(random *rand.Rand) []byte { return []byte("whsec_" + based(keyBytes(random))) },
		sign: func(secret []byte, m message) Request {
			mac := digest(unwhsec(secret), m.id+"."+m.timestamp+"."+m.body)
			return Request{"POST", hookURL, header("webhook-id", m.id, "webhook-timestamp", m.timestamp, "webhook-signature", "v1,"+based(mac)), []byte(m.body)}
		},
	},
	{
		name: "zendesk", source: schema.Signature{Profile: "zendesk"}, time: zulu, secret: textSecret,
		loose: []string{"X-Zendesk-Webhook-Invocation-Id", "X-Zendesk-Webhook-Id", "X-Zendesk-Account-Id"},
		sign: func(secret []byte, m message) Request {
			mac := digest(secret, m.timestamp+m.body)
			return Request{"POST", hookURL, header("X-Zendesk-Webhook-Signature", based(mac), "X-Zendesk-Webhook-Signature-Timestamp", m.timestamp), []byte(m.body)}
		},
	},
	{
		name: "hubspot_v3", source: schema.Signature{Profile: "hubspot_v3"}, time: unixMillis, secret: textSecret, loose: []string{"X-HubSpot-Signature", "X-HubSpot-Signature-Version"},
		sign: func(secret []byte, m message) Request {
			mac := digest(secret, m.method+m.url+m.body+m.timestamp)
			return Request{m.method, m.url, header("X-HubSpot-Signature-v3", based(mac), "X-HubSpot-Request-Timestamp", m.timestamp), []byte(m.body)}
		},
	},
	bodyHMACPreset("github", "X-Hub-Signature-256", "sha256=", hex.EncodeToString, "X-GitHub-Delivery", "X-GitHub-Event", "X-Hub-Signature"),
	{
		name: "slack", source: schema.Signature{Profile: "slack"}, time: unixSeconds, secret: textSecret, loose: []string{"X-Slack-Retry-Num", "X-Slack-Retry-Reason"},
		sign: func(secret []byte, m message) Request {
			mac := digest(secret, "v0:"+m.timestamp+":"+m.body)
			return Request{"POST", hookURL, header("X-Slack-Signature", "v0="+hex.EncodeToString(mac), "X-Slack-Request-Timestamp", m.timestamp), []byte(m.body)}
		},
	},
	bodyHMAC(schema.Signature{Profile: "hmac", Template: "{body}", Header: "X-Hub-Signature-256", Prefix: "sha256="}, "hmac over the body, either encoding, base64 sent", based, "X-Delivery"),
	bodyHMAC(schema.Signature{Profile: "hmac", Template: "{body}", Header: "X-Hub-Signature-256", Prefix: "sha256="}, "hmac over the body, either encoding, hex sent", hex.EncodeToString, "X-Delivery"),
	bodyHMAC(schema.Signature{Profile: "hmac", Template: "{body}", Header: "X-Mac", Encoding: "base64"}, "hmac without prefix", based, "X-Delivery"),
	{
		name: "hmac over everything", time: unixMillis,
		source: schema.Signature{
			Profile: "hmac", Template: "1|{method}|{url}|{id}|{timestamp}|{body}", Header: "X-Sig", IDHeader: "X-Id", TimestampHeader: "X-Time", TimestampFormat: "ms",
			Prefix: "v=", Encoding: "hex", SecretEncoding: "base64",
		},
		secret: func(random *rand.Rand) []byte { return []byte(based(keyBytes(random))) },
		sign: func(secret []byte, m message) Request {
			mac := digest(unwhsec(append([]byte("whsec_"), secret...)), "1|"+m.method+"|"+m.url+"|"+m.id+"|"+m.timestamp+"|"+m.body)
			return Request{m.method, m.url, header("X-Sig", "v="+hex.EncodeToString(mac), "X-Id", m.id, "X-Time", m.timestamp), []byte(m.body)}
		},
		loose: []string{"X-Delivery"},
	},
	inBody("json, hex sent", schema.Signature{Profile: "json"}, hex.EncodeToString),
	inBody("json, base64 sent", schema.Signature{Profile: "json", Member: "sig", Encoding: "base64"}, based),
	{
		name: "static_key", source: schema.Signature{Profile: "static_key", Header: "Authorization", Prefix: "Bearer "}, secret: textSecret, loose: []string{"x-ms-correlation-request-id"},
		sign: func(secret []byte, m message) Request {
			return Request{"POST", hookURL, header("Authorization", "Bearer "+string(secret)), []byte(m.body)}
		},
	},
}

func bodyHMACPreset(profile, name, prefix string, encode func([]byte) string, loose ...string) sender {
	s := bodyHMAC(schema.Signature{Header: name, Prefix: prefix}, profile, encode, loose...)
	s.source = schema.Signature{Profile: profile}
	return s
}

// inBody is a sender that puts the signature into a body that is canonical without it.
func inBody(name string, source schema.Signature, encode func([]byte) string) sender {
	member := source.Member
	if member == "" {
		member = "signature"
	}
	return sender{
		name: name, source: source, secret: textSecret, loose: []string{"X-Delivery", "X-Signature"},
		sign: func(secret []byte, m message) Request {
			signed := m.body[:len(m.body)-1] + `,"` + member + `":"` + encode(digest(secret, m.body)) + `"}`
			return Request{"POST", hookURL, header(), []byte(signed)}
		},
	}
}

// draw returns a message that any sender can send, signed at a moment.
func (s sender) draw(random *rand.Rand, at time.Time) message {
	m := message{
		id: fmt.Sprintf("msg_%x-%d", random.Uint64(), random.IntN(1000)), method: "POST", url: hookURL,
		body: fmt.Sprintf(`{"change":{"Phone":{"new":"+1317555%04d","old":null}},"n":%d,"record":"a%x"}`, random.IntN(10_000), random.IntN(1_000_000), random.Uint64()),
	}
	if s.time != nil {
		m.timestamp = s.time(at)
	}
	return m
}

func verifier(t testing.TB, source schema.Signature, now func() time.Time, secrets ...[]byte) *Verifier {
	t.Helper()
	v, err := New(source, func() ([][]byte, error) { return secrets, nil }, now)
	if err != nil {
		t.Fatalf("%s: %v", source.Profile, err)
	}
	return v
}
