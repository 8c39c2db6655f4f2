package genesys

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"lockstep/connectors"
	"lockstep/schema"
)

// Config configures a connector.
type Config struct {
	// System is the system's name in the integration map.
	System string
	// Endpoint and Login are base URLs, as in https://api.mypurecloud.ie and https://login.mypurecloud.ie.
	Endpoint, Login string
	// Credential is read at each login.
	Credential func(context.Context) (connectors.Credential, error)
	// Options are the connector's settings of the integration map; New refuses one that it does not know:
	//
	//	custom_schema_id, custom_schema_version  the schema of customFields; both or none
	//	external_source.<name>                   the id of an external source, which spares its look-up by name
	//	promote                                  whether enrich promotes a contact to a curated one; true by default
	Options map[string]string
	// Timeout bounds a call whose context has no deadline.
	Timeout time.Duration
	// AllowLoopback, RootCAs and MaxResponse are the transport's.
	AllowLoopback bool
	RootCAs       *x509.CertPool
	MaxResponse   int64
	// Observe and OnQuota, when set, hear of every request and of every answer that tells the client's allowance.
	Observe func(connectors.Observation)
	OnQuota func(connectors.Quota)
}

// settings are the options, read.
type settings struct {
	schemaID      string
	schemaVersion int
	promote       bool
	sources       map[string]string
}

// Connector talks to one org. It is safe for concurrent use.
type Connector struct {
	system    string
	settings  settings
	transport *connectors.Transport
	session   *connectors.Session
	onQuota   func(connectors.Quota)

	mu      sync.Mutex
	sources map[string]string
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
		return nil, fmt.Errorf("genesys: system %s: %w", c.System, err)
	}
	if c.Credential == nil {
		return nil, fmt.Errorf("genesys: system %s has no credential", c.System)
	}
	hosts := make([]string, 2)
	for i, text := range []string{c.Endpoint, c.Login} {
		base, err := connectors.ParseBase(text, c.AllowLoopback)
		if err != nil {
			return nil, fmt.Errorf("genesys: system %s: endpoint or login: %w", c.System, err)
		}
		hosts[i] = connectors.Authority(base)
	}
	transport, err := connectors.NewTransport(connectors.TransportConfig{
		System: c.System, Hosts: hosts, AllowLoopback: c.AllowLoopback, Timeout: c.Timeout,
		MaxRequest: maxRequest, MaxResponse: c.MaxResponse, RootCAs: c.RootCAs, Observe: c.Observe,
	})
	if err != nil {
		return nil, fmt.Errorf("genesys: %w", err)
	}
	login := connectors.Login{Transport: transport, Base: c.Login, Route: "/oauth/token", Basic: true}
	g := &Connector{system: c.System, settings: set, transport: transport, onQuota: c.OnQuota, sources: set.sources}
	g.session = &connectors.Session{
		System: c.System, Transport: transport, Endpoint: c.Endpoint,
		Tokens: connectors.NewTokenSource(connectors.TokenConfig{
			System: c.System, Credential: c.Credential,
			Login: func(ctx context.Context, k connectors.Credential) (connectors.Token, error) {
				grant, err := login.Ask(ctx, k)
				if err != nil {
					return connectors.Token{}, err
				}
				return connectors.NewToken(grant.AccessToken, "", max(grant.Life, minTokenLife)), nil
			},
		}),
	}
	return g, nil
}

const (
	// maxRequest is the platform's limit request.bytes.max.
	maxRequest = 512_000
	// minTokenLife is the least that an OAuth client can be set to; it stands where the answer tells no life.
	minTokenLife = 300 * time.Second
)

// Close closes the idle connections.
func (g *Connector) Close() { g.transport.Close() }

// Batch returns how many records one call of an operation holds: 10 by the bulk forms, and 1 where there is none.
func (g *Connector) Batch(op schema.Op) int {
	switch op {
	case schema.OpWrite, schema.OpCreate, schema.OpRead, schema.OpFind:
		return maxBulk
	case schema.OpLink:
		return 1
	default:
		return 0
	}
}

// CallsPerClaim returns 4: a call holds few records.
func (g *Connector) CallsPerClaim() int { return 4 }

var (
	idGrammar     = regexp.MustCompile(`^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$`)
	sourceGrammar = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_ -]{0,99}$`)
)

// recordID accepts a UUID.
func recordID(s string) bool { return idGrammar.MatchString(s) }

func readOptions(options map[string]string) (settings, error) {
	set := settings{promote: true, sources: map[string]string{}}
	for name, value := range options {
		var ok bool
		source, pinned := strings.CutPrefix(name, "external_source.")
		switch {
		case pinned:
			set.sources[source], ok = value, sourceGrammar.MatchString(source) && recordID(value)
		case name == "custom_schema_id":
			set.schemaID, ok = value, recordID(value)
		case name == "custom_schema_version":
			version, err := strconv.Atoi(value)
			set.schemaVersion, ok = version, err == nil && version > 0
		case name == "promote":
			set.promote, ok = value == "true", value == "true" || value == "false"
		default:
			return settings{}, fmt.Errorf("option %s is unknown", name)
		}
		if !ok {
			return settings{}, fmt.Errorf("option %s has a value that it does not take", name)
		}
	}
	if (set.schemaID == "") != (set.schemaVersion == 0) {
		return settings{}, fmt.Errorf("options custom_schema_id and custom_schema_version go together")
	}
	return set, nil
}

// call sends one request below /api/v2/externalcontacts. Any status comes back; ok says which are success.
func (g *Connector) call(ctx context.Context, r connectors.Request) (*connectors.Response, error) {
	r.Route = "/api/v2/externalcontacts" + r.Route
	response, err := g.session.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	g.observeQuota(response.Header)
	return response, nil
}

// succeed is call for operations whose only success is 200.
func (g *Connector) succeed(ctx context.Context, r connectors.Request) (*connectors.Response, error) {
	response, err := g.call(ctx, r)
	if err != nil {
		return nil, err
	}
	if response.Status != http.StatusOK {
		e := g.refused(response)
		if e.Kind == schema.NotFound || e.Kind == schema.Conflict {
			// No path of these operations leads to a single record.
			e.Kind = schema.Unsupported
		}
		return nil, e
	}
	return response, nil
}
