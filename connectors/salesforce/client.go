package salesforce

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"lockstep/connectors"
	"lockstep/schema"
)

// Config configures a connector. Endpoint and Login are the My Domain URL; login.salesforce.com grants no client
// credentials.
type Config struct {
	// System is the system's name in the integration map.
	System string
	// Endpoint and Login are base URLs; an empty Login means Endpoint.
	Endpoint, Login string
	// Credential is read at each login.
	Credential func(context.Context) (connectors.Credential, error)
	// Options are the connector's settings of the integration map; New refuses one that it does not know:
	//
	//	api_version             v46.0 or newer, as v62.0, the default
	//	client                  the tag that our changes carry in CDC events; lockstep by default
	//	integration_user        the id of our user: changes made by it are ours; unknown by default
	//	sequence_field          a number field that grows with each change of a record; none by default
	//	my_domain_suffix        hosts below it may be a token's instance, as my.salesforce.com; none by default
	//	verify_token_signature  true (the default) or false
	//	session_life            how long a token lasts, as 2h, the default; the org's session timeout
	Options map[string]string
	// Timeout bounds a call whose context has no deadline.
	Timeout time.Duration
	// AllowLoopback, RootCAs and MaxResponse are the transport's.
	AllowLoopback bool
	RootCAs       *x509.CertPool
	MaxResponse   int64
	// Observe and OnQuota, when set, hear of every request and of every answer that tells the org's allowance.
	Observe func(connectors.Observation)
	OnQuota func(connectors.Quota)
}

// settings are the options, read.
type settings struct {
	version        string
	release        int
	client         string
	user           string
	sequenceField  string
	domainSuffix   string
	checkSignature bool
	sessionLife    time.Duration
}

// Connector talks to one org. It is safe for concurrent use.
type Connector struct {
	system    string
	settings  settings
	transport *connectors.Transport
	session   *connectors.Session
	onQuota   func(connectors.Quota)
	// host is the endpoint's.
	host string
}

var (
	_ connectors.Connector = (*Connector)(nil)
	_ connectors.Reader    = (*Connector)(nil)
	_ connectors.Writer    = (*Connector)(nil)
	_ connectors.Linker    = (*Connector)(nil)
	_ connectors.Creator   = (*Connector)(nil)
	_ connectors.Finder    = (*Connector)(nil)
	_ connectors.Feed      = (*Connector)(nil)
	_ connectors.Splitter  = (*Connector)(nil)
)

// New returns a connector, or an error that names the setting that is wrong. It opens no connection.
func New(c Config) (*Connector, error) {
	set, err := readOptions(c.Options)
	if err != nil {
		return nil, fmt.Errorf("salesforce: system %s: %w", c.System, err)
	}
	if c.Credential == nil {
		return nil, fmt.Errorf("salesforce: system %s has no credential", c.System)
	}
	if c.Login == "" {
		c.Login = c.Endpoint
	}
	hosts := make([]string, 2)
	for i, text := range []string{c.Endpoint, c.Login} {
		base, err := connectors.ParseBase(text, c.AllowLoopback)
		if err != nil {
			return nil, fmt.Errorf("salesforce: system %s: endpoint or login: %w", c.System, err)
		}
		hosts[i] = connectors.Authority(base)
	}
	transport, err := connectors.NewTransport(connectors.TransportConfig{
		System: c.System, Hosts: hosts, HostSuffix: set.domainSuffix, AllowLoopback: c.AllowLoopback, Timeout: c.Timeout,
		MaxResponse: c.MaxResponse, RootCAs: c.RootCAs, Observe: c.Observe,
	})
	if err != nil {
		return nil, fmt.Errorf("salesforce: %w", err)
	}
	s := &Connector{system: c.System, settings: set, transport: transport, onQuota: c.OnQuota, host: hosts[0]}
	login := connectors.Login{Transport: transport, Base: c.Login, Route: "/services/oauth2/token"}
	s.session = &connectors.Session{
		System: c.System, Transport: transport, Endpoint: c.Endpoint,
		Tokens: connectors.NewTokenSource(connectors.TokenConfig{
			System: c.System, Credential: c.Credential,
			Login: func(ctx context.Context, k connectors.Credential) (connectors.Token, error) {
				return s.login(ctx, login, k)
			},
		}),
	}
	return s, nil
}

// Close closes the idle connections.
func (s *Connector) Close() { s.transport.Close() }

// Batch returns how many records one call of an operation holds: the collections' 200, and 50 look-ups.
func (s *Connector) Batch(op schema.Op) int {
	switch op {
	case schema.OpWrite, schema.OpLink, schema.OpCreate, schema.OpRead:
		return maxRecords
	case schema.OpFind:
		return maxLookups
	default:
		return 0
	}
}

// CallsPerClaim returns 1: one call already holds 200 records.
func (s *Connector) CallsPerClaim() int { return 1 }

var (
	versionGrammar = regexp.MustCompile(`^v([0-9]{2,3})\.0$`)
	tagGrammar     = regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`)
)

func readOptions(options map[string]string) (settings, error) {
	set := settings{version: "v62.0", release: 62, client: "lockstep", checkSignature: true, sessionLife: 2 * time.Hour}
	for name, value := range options {
		var ok bool
		switch name {
		case "api_version":
			set.version, set.release, ok = readVersion(value)
		case "client":
			set.client, ok = value, tagGrammar.MatchString(value)
		case "integration_user":
			ok = connectors.PlainID(value)
			set.user = value
		case "sequence_field":
			set.sequenceField, ok = value, fieldName(value)
		case "my_domain_suffix":
			set.domainSuffix, ok = value, strings.Count(value, ".") >= 2
		case "verify_token_signature":
			set.checkSignature, ok = value == "true", value == "true" || value == "false"
		case "session_life":
			life, err := time.ParseDuration(value)
			set.sessionLife, ok = life, err == nil && life >= time.Minute
		default:
			return settings{}, fmt.Errorf("option %s is unknown", name)
		}
		if !ok {
			return settings{}, fmt.Errorf("option %s has a value that it does not take", name)
		}
	}
	return set, nil
}

// readVersion accepts v46.0 and newer: older upserts answer without a body.
func readVersion(text string) (version string, release int, ok bool) {
	m := versionGrammar.FindStringSubmatch(text)
	if m == nil {
		return "", 0, false
	}
	release, err := strconv.Atoi(m[1])
	return text, release, err == nil && release >= 46
}

// isOurs reports whether a token's instance is the org of the endpoint (B16). A host that we only log in at is none: it may
// be another org's, such as a sandbox's.
func (s *Connector) isOurs(instance string) bool {
	base, err := url.Parse(instance)
	if err != nil || !s.transport.Allows(instance) {
		return false
	}
	below := s.settings.domainSuffix != "" && strings.HasSuffix(strings.ToLower(base.Hostname()), "."+strings.ToLower(s.settings.domainSuffix))
	return below || connectors.Authority(base) == s.host
}

// login asks for a token and takes it only for a host that we may go to. The answer tells no life: the session timeout
// of the org's policy counts, and a 401 is the only sure sign.
func (s *Connector) login(ctx context.Context, l connectors.Login, c connectors.Credential) (connectors.Token, error) {
	g, err := l.Ask(ctx, c)
	if err != nil {
		return connectors.Token{}, err
	}
	if s.settings.checkSignature && g.Signature != "" && !VerifyTokenSignature(c.ClientSecret, g.ID, g.IssuedAt, g.Signature) {
		return connectors.Token{}, &connectors.Error{System: s.system, Kind: schema.AuthExpired, Code: "bad_token_signature"}
	}
	if g.InstanceURL != "" && !s.isOurs(g.InstanceURL) {
		return connectors.Token{}, &connectors.Error{System: s.system, Kind: schema.AuthExpired, Code: connectors.CodeInstanceDenied}
	}
	life := s.settings.sessionLife
	if g.Life > 0 {
		life = g.Life
	}
	return connectors.NewToken(g.AccessToken, g.InstanceURL, life), nil
}

// VerifyTokenSignature reports whether the signature of a token answer is base64(HMAC-SHA256(client secret, id +
// issued_at)), in constant time.
func VerifyTokenSignature(clientSecret, id, issuedAt, signature string) bool {
	told, err := base64.StdEncoding.Strict().DecodeString(signature)
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, []byte(clientSecret))
	mac.Write([]byte(id + issuedAt))
	return hmac.Equal(mac.Sum(nil), told)
}

// call sends one request below /services/data/{version}.
func (s *Connector) call(ctx context.Context, r connectors.Request) (*connectors.Response, error) {
	r.Route = "/services/data/{version}" + r.Route
	r.Args = append([]string{s.settings.version}, r.Args...)
	r.Header = s.headers(r.Effect)
	response, err := s.session.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	s.observeQuota(response.Header)
	if response.Status != http.StatusOK {
		return nil, s.refused(response)
	}
	return response, nil
}

// headers mark our changes for echo suppression, keep the integration user's recently used lists alone, and keep
// assignment rules from moving a case that we only update.
func (s *Connector) headers(effect bool) http.Header {
	h := http.Header{}
	h.Set("Sforce-Call-Options", "client="+s.settings.client)
	if s.settings.release >= 60 {
		h.Set("Sforce-Mru", "updateMru=false")
	}
	if effect {
		h.Set("Sforce-Auto-Assign", "FALSE")
	}
	return h
}
