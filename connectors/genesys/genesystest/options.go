package genesystest

import (
	"fmt"
	"time"

	"lockstep/connectors/simulator"
)

// Options describe the org. The zero value is an org in us-east-1 with the platform's default limits.
type Options struct {
	OrgID string
	// ClientID and ClientSecret are the OAuth client's; Clients holds further ones, id to secret.
	ClientID, ClientSecret string
	Clients                map[string]string
	// TokenLife is what expires_in tells; 0 means 86,399 s.
	TokenLife time.Duration
	// RequestsPerMinute is a client's window; 0 means 300, negative none.
	RequestsPerMinute int
	// Region is where a number without a country code is at home; empty means US.
	Region string
	// WebhookKey is the static key that an API destination sends, in the header WebhookHeader (X-Api-Key when empty).
	WebhookKey, WebhookHeader string
	// Webhook are the first settings of POST /webhooks; the zero value sends nothing until a URL is set.
	Webhook simulator.WebhookSettings
	// Switches are the first settings of POST /switches.
	Switches Switches
	// Clock is the time; nil means time.Now.
	Clock func() time.Time
	// Seed makes ids and tokens repeat.
	Seed uint64
}

// Switches turn quirks on and off while the simulator runs.
type Switches struct {
	// LookupLagMS is how long a contact or an identifier is missing from look-ups and searches after it was written.
	LookupLagMS int `json:"lookup_lag_ms"`
	// StrictPaths demands the `$.` before the field of a PATCH change and of a field rule, as the newer specification
	// does.
	StrictPaths bool `json:"strict_paths"`
}

func (s Switches) check() error {
	if s.LookupLagMS < 0 {
		return fmt.Errorf("lookup_lag_ms must not be negative")
	}
	return nil
}

// The standing values of an org; tests use them as they are.
const (
	DefaultOrgID         = "4f6e9c1a-7f0b-4a4e-9a55-0c5d7f1e2b30"
	DefaultClientID      = "2a9e6f0c-5b1d-4c53-8d0e-6f7a1b2c3d4e"
	DefaultClientSecret  = "simulated-client-secret"
	DefaultWebhookKey    = "simulated-api-destination-key"
	DefaultWebhookHeader = "X-Api-Key"
	// DefaultUserID is an agent, DefaultQueueID a queue that the agent is a member of.
	DefaultUserID  = "7d0f4a52-1c7e-4b8e-9f0a-3e5b8c6d2a11"
	DefaultQueueID = "c1b2a3d4-5e6f-4708-8910-1a2b3c4d5e6f"
	// homeDivision is the division of everything.
	homeDivision = "1e3c5a7b-9d8f-4c2a-b1e0-5f6a7b8c9d0e"
)

func (o Options) filled() Options {
	fill := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	fill(&o.OrgID, DefaultOrgID)
	fill(&o.ClientID, DefaultClientID)
	fill(&o.ClientSecret, DefaultClientSecret)
	fill(&o.Region, "US")
	fill(&o.WebhookKey, DefaultWebhookKey)
	fill(&o.WebhookHeader, DefaultWebhookHeader)
	if o.TokenLife == 0 {
		o.TokenLife = 86_399 * time.Second
	}
	if o.RequestsPerMinute == 0 {
		o.RequestsPerMinute = 300
	}
	return o
}
