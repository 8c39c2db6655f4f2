package signature

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"lockstep/schema"
)

// vectors are published by the vendors, or computed with their own libraries (connectors.md section 9).
type vectors struct {
	Slack      slackVector `json:"slack"`
	SlackShort slackVector `json:"slack_short"`
	Standard   struct {
		Secret, ID, Timestamp, Payload, Signature string
	} `json:"standard_webhooks"`
	Zendesk struct {
		Secret, Timestamp, Body, Signature string
		EmptyBody                          string `json:"empty_body_signature"`
	} `json:"zendesk"`
	HubSpot struct {
		Secret, Method, URI, Body, Signature string
		Timestamp                            string `json:"timestamp_ms"`
	} `json:"hubspot_v3"`
	HubSpotV1 string `json:"hubspot_v1"`
	HubSpotV2 string `json:"hubspot_v2"`
	Genesys   struct {
		Secret, Body, Base64, Hex string
	} `json:"genesys_open_messaging_x_hub"`
	Salesforce struct {
		Secret    string `json:"client_secret"`
		ID        string `json:"id"`
		IssuedAt  string `json:"issued_at"`
		Signature string `json:"signature"`
	} `json:"salesforce_token_signature"`
}

type slackVector struct{ Secret, Timestamp, Body, Signature string }

func readVectors(t *testing.T) (v vectors) {
	t.Helper()
	content, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestPublishedVectors(t *testing.T) {
	v := readVectors(t)
	at := func(format, text string) func() time.Time {
		moment, ok := parseTime(format, text)
		if !ok {
			t.Fatalf("the vector's time %q", text)
		}
		return func() time.Time { return moment.Add(4 * time.Minute) }
	}
	slack := func(v slackVector) Request {
		return Request{"POST", "", header("X-Slack-Signature", v.Signature, "X-Slack-Request-Timestamp", v.Timestamp), []byte(v.Body)}
	}
	zendesk := func(body, signature string) Request {
		return Request{"POST", "", header("X-Zendesk-Webhook-Signature", signature, "X-Zendesk-Webhook-Signature-Timestamp", v.Zendesk.Timestamp), []byte(body)}
	}
	hubspot := func(signature string) Request {
		return Request{
			v.HubSpot.Method, v.HubSpot.URI,
			header("X-HubSpot-Signature-v3", signature, "X-HubSpot-Request-Timestamp", v.HubSpot.Timestamp), []byte(v.HubSpot.Body),
		}
	}
	genesys := schema.Signature{Profile: "hmac", Template: "{body}", Header: "X-Hub-Signature-256", Prefix: "sha256=", Encoding: "either"}
	genesysRequest := func(signature string) Request {
		return Request{"POST", "", header("X-Hub-Signature-256", signature), []byte(v.Genesys.Body)}
	}
	for _, c := range []struct {
		name    string
		source  schema.Signature
		secret  string
		request Request
		now     func() time.Time
		// short says that the published secret is shorter than New allows.
		short bool
	}{
		{"slack", schema.Signature{Profile: "slack"}, v.Slack.Secret, slack(v.Slack), at(seconds, v.Slack.Timestamp), false},
		{"slack, short secret", schema.Signature{Profile: "slack"}, v.SlackShort.Secret, slack(v.SlackShort), at(seconds, v.SlackShort.Timestamp), true},
		{"standard webhooks", schema.Signature{Profile: "standard_webhooks"}, v.Standard.Secret, Request{
			"POST", "", header("webhook-id", v.Standard.ID, "webhook-timestamp", v.Standard.Timestamp, "webhook-signature", v.Standard.Signature), []byte(v.Standard.Payload),
		}, at(seconds, v.Standard.Timestamp), false},
		{"zendesk", schema.Signature{Profile: "zendesk"}, v.Zendesk.Secret, zendesk(v.Zendesk.Body, v.Zendesk.Signature), at(iso8601, v.Zendesk.Timestamp), false},
		{"zendesk, empty body", schema.Signature{Profile: "zendesk"}, v.Zendesk.Secret, zendesk("", v.Zendesk.EmptyBody), at(iso8601, v.Zendesk.Timestamp), false},
		{"hubspot v3", schema.Signature{Profile: "hubspot_v3"}, v.HubSpot.Secret, hubspot(v.HubSpot.Signature), at(milliseconds, v.HubSpot.Timestamp), false},
		{"genesys, base64", genesys, v.Genesys.Secret, genesysRequest(v.Genesys.Base64), atNoon, true},
		{"genesys, hex", genesys, v.Genesys.Secret, genesysRequest(v.Genesys.Hex), atNoon, true},
	} {
		scheme, err := compile(c.source)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		core := &Verifier{scheme: scheme, now: c.now}
		key, ok := decodeSecret(scheme.secretEncoding, []byte(c.secret))
		if !ok {
			t.Fatalf("%s: the vector's secret", c.name)
		}
		check := func(r Request) Cause {
			_, cause := core.check(r, [][]byte{key})
			return cause
		}
		if !c.short {
			v := verifier(t, c.source, c.now, []byte(c.secret))
			check = func(r Request) Cause {
				_, err := v.Verify(r)
				cause, _ := CauseOf(err)
				return cause
			}
		} else if _, err := New(c.source, func() ([][]byte, error) { return [][]byte{[]byte(c.secret)}, nil }, c.now); err == nil {
			t.Errorf("%s: New took the short secret", c.name)
		}
		if cause := check(c.request); cause != "" {
			t.Errorf("%s: %s", c.name, cause)
		}
		for i := range c.request.Body {
			r := clone(c.request)
			r.Body[i] ^= 1
			if cause := check(r); cause != WrongSignature {
				t.Errorf("%s with byte %d of the body changed: %q", c.name, i, cause)
			}
		}
		value := c.request.Header.Get(scheme.header)
		for i := range value {
			r := clone(c.request)
			changed := []byte(value)
			changed[i] ^= 1
			r.Header.Set(scheme.header, string(changed))
			if cause := check(r); cause != WrongSignature && cause != MalformedSignature {
				t.Errorf("%s with character %d of the signature changed: %q", c.name, i, cause)
			}
		}
	}

	t.Run("hubspot v1 and v2 are refused", func(t *testing.T) {
		for _, profile := range []string{"hubspot_v1", "hubspot_v2", "hubspot"} {
			if _, err := compile(schema.Signature{Profile: profile}); err == nil {
				t.Errorf("%s compiled", profile)
			}
		}
		verifier := verifier(t, schema.Signature{Profile: "hubspot_v3"}, at(milliseconds, v.HubSpot.Timestamp), []byte(v.HubSpot.Secret))
		for _, signature := range []string{v.HubSpotV1, v.HubSpotV2} {
			if _, err := verifier.Verify(hubspot(signature)); err == nil {
				t.Error("an old signature in the header of v3 was accepted")
			}
			r := hubspot(signature)
			r.Header.Del("X-HubSpot-Signature-v3")
			r.Header.Set("X-HubSpot-Signature", signature)
			if _, err := verifier.Verify(r); err == nil {
				t.Error("an old signature in the old header was accepted")
			}
		}
	})

	t.Run("salesforce token reply", func(t *testing.T) {
		s := v.Salesforce
		if got := based(sum([]byte(s.Secret), []byte(s.ID), []byte(s.IssuedAt))); got != s.Signature {
			t.Error("the reply's signature does not come out")
		}
		if based(sum([]byte(s.Secret), []byte(s.ID), []byte(strings.TrimSuffix(s.IssuedAt, "0")))) == s.Signature {
			t.Error("another time gives the same signature")
		}
	})
}
