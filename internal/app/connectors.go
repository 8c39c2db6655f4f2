package app

import (
	"context"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"lockstep/connectors"
	"lockstep/connectors/envelope"
	"lockstep/connectors/genesys"
	"lockstep/connectors/salesforce"
	"lockstep/rules"
	"lockstep/schema"
)

// kind is what the wiring knows of one kind of system.
type kind struct {
	connect func(c connection) (connectors.Connector, error)
	// envelope reads the kind's own events.
	envelope func(def schema.System, times, dates []string) (connectors.Envelope, error)
	// prepare makes what has to exist in the system before the first write and says which options pin it.
	prepare func(ctx context.Context, c connectors.Connector, fields []string) (options map[string]string, err error)
}

// connection is what a connector is made of.
type connection struct {
	name          string
	def           schema.System
	endpoint      string
	login         string
	credential    func(context.Context) (connectors.Credential, error)
	allowLoopback bool
	rootCAs       *x509.CertPool
	onQuota       func(connectors.Quota)
}

// kinds is the connector list. A connector is one folder and one entry here.
var kinds = map[string]kind{
	"salesforce": {connect: connectSalesforce, envelope: salesforceEnvelope},
	"genesys":    {connect: connectGenesys, envelope: genesysEnvelope, prepare: prepareGenesys},
}

// Kinds returns the names of the connectors, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

func connectSalesforce(c connection) (connectors.Connector, error) {
	return salesforce.New(salesforce.Config{
		System: c.name, Endpoint: c.endpoint, Login: c.login, Credential: c.credential, Options: c.def.Options,
		Timeout: c.def.Timeout.Or(callTimeout), AllowLoopback: c.allowLoopback, RootCAs: c.rootCAs, OnQuota: c.onQuota,
	})
}

func salesforceEnvelope(def schema.System, times, dates []string) (connectors.Envelope, error) {
	return salesforce.NewEnvelope(def.Options, times, dates)
}

func connectGenesys(c connection) (connectors.Connector, error) {
	return genesys.New(genesys.Config{
		System: c.name, Endpoint: c.endpoint, Login: c.login, Credential: c.credential, Options: c.def.Options,
		Timeout: c.def.Timeout.Or(callTimeout), AllowLoopback: c.allowLoopback, RootCAs: c.rootCAs, OnQuota: c.onQuota,
	})
}

func genesysEnvelope(def schema.System, _, _ []string) (connectors.Envelope, error) {
	return genesys.NewEnvelope(def.Options)
}

// prepareGenesys makes the external sources that hold ids of ours and of the CRM.
func prepareGenesys(ctx context.Context, c connectors.Connector, fields []string) (map[string]string, error) {
	g, ok := c.(*genesys.Connector)
	if !ok {
		return nil, fmt.Errorf("app: not a genesys connector")
	}
	var sources []string
	for _, f := range fields {
		if source, ok := strings.CutPrefix(f, "externalIds."); ok {
			sources = append(sources, source)
		}
	}
	if err := g.EnsureSources(ctx, sources...); err != nil {
		return nil, err
	}
	options := map[string]string{}
	for id, source := range g.Sources() {
		options["external_source."+source] = id
	}
	return options, nil
}

// Envelopes returns the names of the ways in which sources wrap events, sorted.
func Envelopes() []string { return append(Kinds(), "change_set", "flat") }

// envelopeOf returns the envelope of a source. A kind's own belongs to a system of that kind.
func envelopeOf(m *schema.Map, s schema.Source) (connectors.Envelope, error) {
	switch s.Envelope {
	case "change_set":
		return envelope.ChangeSet{}, nil
	case "flat":
		return flatEnvelope(s)
	}
	def := m.Systems[s.System]
	if def.Kind != s.Envelope {
		return nil, fmt.Errorf("%s belongs to systems of that kind, and %s is %s", s.Envelope, s.System, def.Kind)
	}
	times, dates := timeFields(m, s.System)
	return kinds[s.Envelope].envelope(def, times, dates)
}

// flatEnvelope reads records of the source's only object.
func flatEnvelope(s schema.Source) (connectors.Envelope, error) {
	if len(s.Objects) != 1 {
		return nil, fmt.Errorf("flat tells of one object, and the source lists %d", len(s.Objects))
	}
	for object := range s.Objects {
		return envelope.NewFlat(object, "")
	}
	return nil, nil
}

// timeFields returns a system's vendor fields that hold times and dates.
func timeFields(m *schema.Map, system string) (times, dates []string) {
	for _, o := range m.Objects {
		for _, f := range o.Fields {
			mapping, mapped := f.Systems[system]
			switch {
			case !mapped:
			case f.Type == schema.TypeTimestamp:
				times = append(times, mapping.Field)
			case f.Type == schema.TypeDate:
				dates = append(dates, mapping.Field)
			}
		}
	}
	slices.Sort(times)
	slices.Sort(dates)
	return times, dates
}

// callTimeout bounds one vendor call unless the map says otherwise; settleTime is how long a write may stay invisible.
const (
	callTimeout = 10 * time.Second
	settleTime  = 2 * time.Second
)

// checkOffers refuses a map that asks a connector for what it cannot do. What a connector can do is its method set.
func checkOffers(m *schema.Map, rulesets map[string]*rules.Ruleset, wired map[string]connectors.Connector) error {
	for object, o := range m.Objects {
		for system := range o.Systems {
			c := wired[system]
			if c == nil {
				continue
			}
			for name, offered := range offers(c) {
				if !offered {
					return fmt.Errorf("object %s wants to %s in %s, and connector %s cannot", object, name, system, m.Systems[system].Kind)
				}
			}
			if o.Systems[system].Create && !offersCreate(c) {
				return fmt.Errorf("object %s wants to be created in %s, and connector %s cannot", object, system, m.Systems[system].Kind)
			}
			if _, key, _ := rulesets[object].VendorObject(system); key == "" {
				return fmt.Errorf("object %s has no place for our id in %s", object, system)
			}
		}
	}
	return nil
}

func offers(c connectors.Connector) map[string]bool {
	_, reads := c.(connectors.Reader)
	_, writes := c.(connectors.Writer)
	_, links := c.(connectors.Linker)
	return map[string]bool{"be read": reads, "be written": writes, "be linked": links}
}

func offersCreate(c connectors.Connector) bool {
	_, creates := c.(connectors.Creator)
	_, finds := c.(connectors.Finder)
	return creates && finds
}
