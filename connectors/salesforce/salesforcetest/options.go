package salesforcetest

import (
	"crypto/rsa"
	"fmt"
	"time"

	"lockstep/connectors/simulator"
)

// Options describe the org. The zero value is a Developer org with the demo's custom fields.
type Options struct {
	// OrgID, UserID and HumanID are 18-character ids: the org, the integration user behind the token, and the person
	// behind changes through the control API.
	OrgID, UserID, HumanID string
	// ClientID and ClientSecret are the connected app's.
	ClientID, ClientSecret string
	// WebhookSecret signs events: `whsec_` and base64 of 24 to 64 bytes.
	WebhookSecret string
	// JWTKey verifies assertions of the JWT bearer flow for JWTUsername; nil refuses the flow.
	JWTKey      *rsa.PublicKey
	JWTUsername string
	// SessionTimeout is the life of a token; 0 means two hours.
	SessionTimeout time.Duration
	// InstanceURL is what token replies name as instance_url; empty means the host that was asked.
	InstanceURL string
	// IdentityURL stands before `/id/<org>/<user>` in token replies; empty means https://login.salesforce.com.
	IdentityURL string
	// DailyRequests is the allowance of 24 hours; 0 means 15,000, negative none.
	DailyRequests int
	// RequestsPerMinute refuses a client's further calls of a minute; 0 means no such ceiling, as in Salesforce.
	RequestsPerMinute int
	// Fields declares custom fields by object; nil means DemoFields.
	Fields map[string][]Field
	// Objects declares further objects.
	Objects []Object
	// Switches are the first settings of POST /switches.
	Switches Switches
	// Webhook are the first settings of POST /webhooks; the zero value sends nothing until a URL is set.
	Webhook simulator.WebhookSettings
	// WebhookFormat is FormatApex (when empty) or FormatCDC.
	WebhookFormat string
	// WebhookObjects lists the objects whose changes are told; nil means Account, Contact and Case.
	WebhookObjects []string
	// Clock is the time; nil means time.Now.
	Clock func() time.Time
	// Seed makes ids and tokens repeat.
	Seed uint64
}

// Switches turn quirks on and off while the simulator runs.
type Switches struct {
	// DuplicateRule is "", "alert" or "block" (DuplicatesOff and so on).
	DuplicateRule string `json:"duplicate_rule"`
	// UniqueCustomerNumber makes Customer_Number__c unique.
	UniqueCustomerNumber bool `json:"unique_customer_number"`
	// LockHoldMS is how long a write holds the row of its account after it is done; others meet UNABLE_TO_LOCK_ROW.
	LockHoldMS int `json:"lock_hold_ms"`
	// SearchLagMS is how long a written record is missing from the search index.
	SearchLagMS int `json:"search_lag_ms"`
	// ReplicationSeconds lets updated and deleted heed the seconds of start and end, which Salesforce ignores.
	ReplicationSeconds bool `json:"replication_seconds"`
	// NoRunAsUser refuses client credentials because the app has no run-as user.
	NoRunAsUser bool `json:"no_run_as_user"`
}

func (s Switches) check() error {
	switch s.DuplicateRule {
	case DuplicatesOff, DuplicatesAlert, DuplicatesBlock:
	default:
		return fmt.Errorf("duplicate_rule must be empty, alert or block")
	}
	if s.LockHoldMS < 0 || s.SearchLagMS < 0 {
		return fmt.Errorf("lock_hold_ms and search_lag_ms must not be negative")
	}
	return nil
}

// The standing values of an org; tests use them as they are.
const (
	DefaultOrgID         = "00Dxx0000000001EAA"
	DefaultUserID        = "005xx0000000001AAA"
	DefaultHumanID       = "005xx0000000002AAA"
	DefaultClientID      = "3MVG9simulatedConsumerKey.of_Lockstep"
	DefaultClientSecret  = "simulated-consumer-secret"
	DefaultWebhookSecret = "whsec_bG9ja3N0ZXAtc2ltdWxhdGVkLXdlYmhvb2stc2VjcmV0" // #nosec G101 -- opens nothing but a simulator
)

func (o Options) filled() Options {
	fill := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	fill(&o.OrgID, DefaultOrgID)
	fill(&o.UserID, DefaultUserID)
	fill(&o.HumanID, DefaultHumanID)
	fill(&o.ClientID, DefaultClientID)
	fill(&o.ClientSecret, DefaultClientSecret)
	fill(&o.WebhookSecret, DefaultWebhookSecret)
	fill(&o.JWTUsername, "integration@example.com")
	fill(&o.IdentityURL, "https://login.salesforce.com")
	fill(&o.WebhookFormat, FormatApex)
	if o.SessionTimeout == 0 {
		o.SessionTimeout = 2 * time.Hour
	}
	if o.DailyRequests == 0 {
		o.DailyRequests = 15_000
	}
	if o.Fields == nil {
		o.Fields = DemoFields()
	}
	if o.WebhookObjects == nil {
		o.WebhookObjects = []string{"Account", "Contact", "Case"}
	}
	return o
}
