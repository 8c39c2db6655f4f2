package schema

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Map is the integration map: the whole domain on one page. internal/integrationmap loads it, checks it and names the
// line of whatever is wrong with it.
type Map struct {
	Version    int                        `yaml:"version" json:"version" validate:"eq=1"`
	Mode       Mode                       `yaml:"mode" json:"mode" validate:"oneof=live observe"`
	Owners     map[string]Owner           `yaml:"owners" json:"owners" validate:"required,min=1,dive,keys,name,endkeys"`
	Systems    map[string]System          `yaml:"systems" json:"systems" validate:"required,min=1,dive,keys,name,max=64,endkeys"`
	Sources    map[string]Source          `yaml:"sources" json:"sources" validate:"dive,keys,name,endkeys"`
	Objects    map[string]Object          `yaml:"objects" json:"objects" validate:"required,min=1,dive,keys,name,max=64,endkeys"`
	Importance map[Importance]RetryPolicy `yaml:"importance" json:"importance" validate:"dive,keys,oneof=high normal low,endkeys"`
	Runbooks   map[Reason]string          `yaml:"runbooks" json:"runbooks" validate:"dive,required,runbook"`
}

// Mode says whether vendors are written.
type Mode string

// The modes.
const (
	// ModeLive keeps the systems in step.
	ModeLive Mode = "live"
	// ModeObserve decides and records, reads, and writes nothing.
	ModeObserve Mode = "observe"
)

// Owner is a person or a team that a failure can reach; never a system.
type Owner struct {
	Name   string `yaml:"name" json:"name" validate:"required,max=80"`
	Slack  string `yaml:"slack" json:"slack,omitempty" validate:"omitempty,max=80,slack_id"`
	Email  string `yaml:"email" json:"email,omitempty" validate:"omitempty,email"`
	Deputy string `yaml:"deputy" json:"deputy,omitempty" validate:"omitempty,name"`
}

// System is one system that Lockstep keeps in step, or only listens to.
type System struct {
	// Kind names the connector; `source` is a system without one: it sends and is never written.
	Kind  string `yaml:"kind" json:"kind" validate:"required,name"`
	Owner string `yaml:"owner" json:"owner" validate:"required,name"`
	// Endpoint, Login and Credential are references, never values.
	Endpoint   Reference `yaml:"endpoint" json:"endpoint,omitempty"`
	Login      Reference `yaml:"login" json:"login,omitempty"`
	Credential Reference `yaml:"credential" json:"credential,omitempty"`
	// ReceiverKey is the public keyset that `protect: encrypt` seals to.
	ReceiverKey Reference `yaml:"receiver_key" json:"receiver_key,omitempty"`
	// CallRate is the ceiling of vendor calls, our share of the system's quota.
	CallRate Rate `yaml:"call_rate" json:"call_rate,omitempty"`
	// Slots is how many claims may be open at once; 0 means 4.
	Slots int `yaml:"slots" json:"slots,omitempty" validate:"gte=0,lte=64"`
	// Timeout bounds one vendor call; 0 means 10 s.
	Timeout Duration `yaml:"timeout" json:"timeout,omitempty"`
	// Settle is how long a write may stay invisible to a read by key; 0 means 2 s.
	Settle Duration `yaml:"settle" json:"settle,omitempty"`
	// PhoneRegion is where a number without a country code is at home.
	PhoneRegion string `yaml:"phone_region" json:"phone_region" validate:"required,iso3166_1_alpha2"`
	// Options are the connector's own settings; the connector refuses those that it does not know.
	Options map[string]string `yaml:"options" json:"options,omitempty"`
}

// Source is one path /webhooks/{source}: who signs, how events are wrapped, which objects they tell of.
type Source struct {
	System    string    `yaml:"system" json:"system" validate:"required,name"`
	Envelope  string    `yaml:"envelope" json:"envelope" validate:"required,name"`
	Signature Signature `yaml:"signature" json:"signature" validate:"required"`
	// Dedupe says which signed bytes make two deliveries the same event.
	Dedupe Dedupe `yaml:"dedupe" json:"dedupe"`
	// Reject is the answer to a refused payload: 400, or 202 for senders that switch a hook off after errors (ruling 1).
	Reject int `yaml:"reject" json:"reject,omitempty" validate:"omitempty,oneof=400 202"`
	// RecordID is the grammar of the source's record ids; empty means [A-Za-z0-9_-]{1,64}.
	RecordID string `yaml:"record_id" json:"record_id,omitempty" validate:"omitempty,regexp"`
	// MaxBody bounds a POST in bytes; 0 means 262144.
	MaxBody int `yaml:"max_body" json:"max_body,omitempty" validate:"gte=0,lte=4194304"`
	// Objects maps the vendor's object names to ours.
	Objects map[string]SourceObject `yaml:"objects" json:"objects" validate:"required,min=1,dive"`
}

// SourceObject is one vendor object that a source tells of.
type SourceObject struct {
	Object string `yaml:"object" json:"object" validate:"required,name"`
	// Schema names a JSON Schema family such as `crm-flat/customer`; empty means no check beside the map's own.
	Schema string `yaml:"schema" json:"schema,omitempty" validate:"omitempty,schema_name"`
}

// Signature is how a source proves that a POST is its own. The presets fill everything but the secrets.
type Signature struct {
	// Profile is standard_webhooks, zendesk, hubspot_v3, github, slack, hmac (all fields below count), json (the
	// signature is a member of the body) or static_key.
	Profile string `yaml:"profile" json:"profile" validate:"required,oneof=standard_webhooks zendesk hubspot_v3 github slack hmac json static_key"`
	// Secrets are the live secrets, newest first; a missing file beyond the first is no secret.
	Secrets []Reference `yaml:"secrets" json:"secrets" validate:"required,min=1,max=2"`
	// SecretEncoding is text (the bytes as they stand), base64 or whsec (base64 after the prefix `whsec_`).
	SecretEncoding string `yaml:"secret_encoding" json:"secret_encoding,omitempty" validate:"omitempty,oneof=text base64 whsec"`
	// Template is the signed string over {method} {url} {id} {timestamp} {body}; {body} is required.
	Template string `yaml:"template" json:"template,omitempty" validate:"omitempty,max=200"`
	// Header carries the signature or the static key.
	Header string `yaml:"header" json:"header,omitempty" validate:"omitempty,http_header"`
	// IDHeader carries {id}.
	IDHeader string `yaml:"id_header" json:"id_header,omitempty" validate:"omitempty,http_header"`
	// TimestampHeader carries {timestamp}.
	TimestampHeader string `yaml:"timestamp_header" json:"timestamp_header,omitempty" validate:"omitempty,http_header"`
	// TimestampFormat is s, ms or iso8601.
	TimestampFormat string `yaml:"timestamp_format" json:"timestamp_format,omitempty" validate:"omitempty,oneof=s ms iso8601"`
	// Prefix stands before each signature, as in `sha256=` or `v1,`.
	Prefix string `yaml:"prefix" json:"prefix,omitempty" validate:"omitempty,max=20"`
	// Encoding is hex, base64 or either.
	Encoding string `yaml:"encoding" json:"encoding,omitempty" validate:"omitempty,oneof=hex base64 either"`
	// Tolerance is how far the signed time may lie from ours, both ways; 0 means 5 minutes, `none` no limit.
	Tolerance Tolerance `yaml:"tolerance" json:"tolerance,omitempty"`
	// Member is the body member of profile json; empty means `signature`.
	Member string `yaml:"member" json:"member,omitempty" validate:"omitempty,max=64"`
	// PublicURL is the URL that the sender signed, for templates with {url}; behind a proxy ours differs.
	PublicURL string `yaml:"public_url" json:"public_url,omitempty" validate:"omitempty,url"`
}

// Dedupe says what makes two deliveries of a source the same event.
type Dedupe struct {
	// By is signed_id (the id header that the signature covers), body_id (a member of the signed body) or content.
	// Empty means signed_id where the profile signs one, else content.
	By string `yaml:"by" json:"by,omitempty" validate:"omitempty,oneof=signed_id body_id content"`
	// Pointer is the JSON pointer of body_id within one event.
	Pointer string `yaml:"pointer" json:"pointer,omitempty" validate:"omitempty,startswith=/,max=200"`
}

// Object is one governed object: its systems, its match keys, its fields.
type Object struct {
	Owner   string              `yaml:"owner" json:"owner" validate:"required,name"`
	Systems map[string]ObjectIn `yaml:"systems" json:"systems" validate:"required,min=1,dive"`
	// Match lists the match keys, strongest first.
	Match  []MatchRule      `yaml:"match" json:"match" validate:"dive"`
	Fields map[string]Field `yaml:"fields" json:"fields" validate:"required,min=1,dive,keys,name,endkeys"`
	// OnDelete says what a deletion in one system means for the others: keep is the only rule so far.
	OnDelete string `yaml:"on_delete" json:"on_delete,omitempty" validate:"omitempty,oneof=keep"`
}

// ObjectIn is an object as one system has it.
type ObjectIn struct {
	// Object is the vendor's name.
	Object string `yaml:"object" json:"object" validate:"required,max=64"`
	// Create says whether a record that this system lacks is created there.
	Create bool `yaml:"create" json:"create,omitempty"`
}

// MatchRule is one match key.
type MatchRule struct {
	Field string `yaml:"field" json:"field" validate:"required,name"`
	// Reserves says that two records never share a value; phones never reserve (protocol F16).
	Reserves bool `yaml:"reserves" json:"reserves,omitempty"`
	// Issuer keeps equal values of different issuers apart, as with two CRMs that both have a customer C-1.
	Issuer string `yaml:"issuer" json:"issuer,omitempty" validate:"omitempty,name"`
}

// FieldType is a canonical type.
type FieldType string

// The canonical types.
const (
	TypeCanonicalID FieldType = "canonical_id"
	TypeText        FieldType = "text"
	TypeEmail       FieldType = "email"
	TypePhone       FieldType = "phone"
	TypeTimestamp   FieldType = "timestamp"
	TypeDate        FieldType = "date"
	TypeInteger     FieldType = "integer"
	TypeDecimal     FieldType = "decimal"
	TypeBoolean     FieldType = "boolean"
)

// Field is one canonical field and the rules about it.
type Field struct {
	Type FieldType `yaml:"type" json:"type" validate:"required,oneof=canonical_id text email phone timestamp date integer decimal boolean"`
	// SystemOfRecord is the system whose word counts; for canonical_id it is `lockstep`.
	SystemOfRecord string `yaml:"system_of_record" json:"system_of_record" validate:"required,name"`
	// Direction is one_way (from the system of record) or two_way.
	Direction Direction `yaml:"direction" json:"direction" validate:"required,oneof=one_way two_way"`
	// Conflict decides between systems; every two-way field has one (D7).
	Conflict *ConflictPolicy `yaml:"conflict" json:"conflict,omitempty"`
	// Systems maps the field in each system that has it.
	Systems map[string]Mapping `yaml:"systems" json:"systems" validate:"required,min=1,dive"`
	// PersonalData is the class: none, contact, identity, sensitive or secret.
	PersonalData PersonalData `yaml:"personal_data" json:"personal_data" validate:"required,oneof=none contact identity sensitive secret"`
	// Delivery is push (at once) or pull (with the next call or import).
	Delivery Delivery `yaml:"delivery" json:"delivery" validate:"required,oneof=push pull"`
	// Importance picks the retry policy; empty means normal.
	Importance Importance `yaml:"importance" json:"importance,omitempty" validate:"omitempty,oneof=high normal low"`
	// Owner answers for the field where it is not the object's owner.
	Owner string `yaml:"owner" json:"owner,omitempty" validate:"omitempty,name"`
	// MaxLength bounds the canonical spelling in characters; 0 means 1000.
	MaxLength int `yaml:"max_length" json:"max_length,omitempty" validate:"gte=0,lte=32000"`
	// WhenEmpty says whether another system may fill the field while its system of record has left it empty: accept or
	// refuse; empty means accept.
	WhenEmpty string `yaml:"when_empty" json:"when_empty,omitempty" validate:"omitempty,oneof=accept refuse"`
}

// Direction says which way a field travels.
type Direction string

// The directions.
const (
	OneWay Direction = "one_way"
	TwoWay Direction = "two_way"
)

// ConflictPolicy is how a two-way field decides between two systems' words.
type ConflictPolicy struct {
	// Rule is newest_wins or record_system_wins.
	Rule ConflictRule `yaml:"rule" json:"rule" validate:"required,oneof=newest_wins record_system_wins"`
	// Window is, for record_system_wins, how long after a change by the system of record another system's change still
	// loses to it.
	Window Duration `yaml:"window" json:"window,omitempty"`
}

// ConflictRule names a rule.
type ConflictRule string

// The conflict rules.
const (
	NewestWins       ConflictRule = "newest_wins"
	RecordSystemWins ConflictRule = "record_system_wins"
)

// PersonalData is a field's data class.
type PersonalData string

// The data classes.
const (
	PersonalNone      PersonalData = "none"
	PersonalContact   PersonalData = "contact"
	PersonalIdentity  PersonalData = "identity"
	PersonalSensitive PersonalData = "sensitive"
	PersonalSecret    PersonalData = "secret"
)

// Delivery says how urgently a change of the field travels.
type Delivery string

// The deliveries.
const (
	Push Delivery = "push"
	Pull Delivery = "pull"
)

// Mapping is a canonical field in one system. In YAML a plain string is the vendor field alone.
type Mapping struct {
	Field string `yaml:"field" json:"field" validate:"required,max=128"`
	// In and Out are transform chains from and to the system.
	In  []string `yaml:"in" json:"in,omitempty"`
	Out []string `yaml:"out" json:"out,omitempty"`
	// Protect is how a secret field leaves: encrypt (to the receiver's key), token or drop.
	Protect string `yaml:"protect" json:"protect,omitempty" validate:"omitempty,oneof=encrypt token drop"`
}

// Importance is how much the business suffers while something waits.
type Importance string

// The importances.
const (
	ImportanceHigh   Importance = "high"
	ImportanceNormal Importance = "normal"
	ImportanceLow    Importance = "low"
)

// RetryPolicy is how patiently trouble of one record is retried before a person hears of it.
type RetryPolicy struct {
	// First and Longest bound the delay between attempts; the delay between them is drawn with full jitter.
	First   Duration `yaml:"first" json:"first"`
	Longest Duration `yaml:"longest" json:"longest"`
	// EscalateAfter opens the incident beside the retries.
	EscalateAfter Duration `yaml:"escalate_after" json:"escalate_after"`
}

// Reference points at a value that never stands in the map: `env:NAME`, or `file:path` below the secrets folder.
type Reference string

// Split returns the scheme and the rest; ok is false when the reference is malformed.
func (r Reference) Split() (scheme, rest string, ok bool) {
	scheme, rest, ok = strings.Cut(string(r), ":")
	if !ok || rest == "" || (scheme != "env" && scheme != "file") {
		return "", "", false
	}
	if scheme == "file" && (strings.HasPrefix(rest, "/") || strings.Contains("/"+rest+"/", "/../")) {
		return "", "", false
	}
	return scheme, rest, true
}

// Rate is calls per span, spelt `25/s` or `300/min`.
type Rate struct {
	Calls int
	Per   time.Duration
}

// PerSecond returns the rate in calls a second; 0 when there is none.
func (r Rate) PerSecond() float64 {
	if r.Per <= 0 {
		return 0
	}
	return float64(r.Calls) / r.Per.Seconds()
}

// UnmarshalText reads `25/s`, `300/min` or `10000/h`.
func (r *Rate) UnmarshalText(b []byte) error {
	spans := map[string]time.Duration{"s": time.Second, "min": time.Minute, "h": time.Hour}
	calls, span, _ := strings.Cut(string(b), "/")
	n, err := strconv.Atoi(calls)
	per, known := spans[span]
	if err != nil || n <= 0 || !known {
		return fmt.Errorf("a rate is written like 25/s, 300/min or 10000/h")
	}
	*r = Rate{Calls: n, Per: per}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (r Rate) MarshalText() ([]byte, error) {
	switch r.Per {
	case 0:
		return nil, nil
	case time.Second:
		return fmt.Appendf(nil, "%d/s", r.Calls), nil
	case time.Minute:
		return fmt.Appendf(nil, "%d/min", r.Calls), nil
	default:
		return fmt.Appendf(nil, "%d/h", r.Calls), nil
	}
}

// Duration is a span spelt as Go spells it: `500ms`, `5m`, `24h`.
type Duration time.Duration

// Or returns the span, or fallback when it is 0.
func (d Duration) Or(fallback time.Duration) time.Duration {
	if d == 0 {
		return fallback
	}
	return time.Duration(d)
}

// UnmarshalText reads a span that is not negative.
func (d *Duration) UnmarshalText(b []byte) error {
	span, err := time.ParseDuration(string(b))
	if err != nil || span < 0 {
		return fmt.Errorf("a span of time is written like 500ms, 5m or 24h")
	}
	*d = Duration(span)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Tolerance is a span of clock difference; `none` switches the check off for senders that sign no time.
type Tolerance struct {
	Span time.Duration
	None bool
}

// Or returns the span, fallback when it is unset; unlimited is true for `none`.
func (t Tolerance) Or(fallback time.Duration) (span time.Duration, unlimited bool) {
	if t.None {
		return 0, true
	}
	if t.Span == 0 {
		return fallback, false
	}
	return t.Span, false
}

// UnmarshalText reads a span or `none`.
func (t *Tolerance) UnmarshalText(b []byte) error {
	if string(b) == "none" {
		*t = Tolerance{None: true}
		return nil
	}
	var d Duration
	if err := d.UnmarshalText(b); err != nil || d == 0 {
		return fmt.Errorf("a tolerance is written like 5m or none")
	}
	*t = Tolerance{Span: time.Duration(d)}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (t Tolerance) MarshalText() ([]byte, error) {
	if t.None {
		return []byte("none"), nil
	}
	if t.Span == 0 {
		return nil, nil
	}
	return Duration(t.Span).MarshalText()
}

// UnmarshalYAML reads a mapping written out, or the vendor field alone.
func (m *Mapping) UnmarshalYAML(unmarshal func(any) error) error {
	var name string
	if unmarshal(&name) == nil {
		*m = Mapping{Field: name}
		return nil
	}
	type written Mapping
	return unmarshal((*written)(m))
}
