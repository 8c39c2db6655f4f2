package genesys

import (
	"context"
	"net/url"
	"slices"
	"strconv"

	"lockstep/connectors"
	"lockstep/schema"
)

// Find looks customers up by their identifiers, up to 10 keys of all look-ups together: one bulk enrich as a dry run,
// so the values travel in a body (B09). The operation is an Update without any member and would change nothing even
// where the dry run were ignored.
//
// An identifier has one owner in Genesys, so a key names at most one contact; a look-up of several keys may still name
// several. A contact that only shows a number or an address of which another contact owns the identifier is not found
// by it: an ambiguity of that kind stays inside Genesys, where the owner is what every conversation resolves to. Errors
// are *connectors.Error. Safe to repeat.
func (g *Connector) Find(ctx context.Context, o connectors.Object, lookups [][]connectors.MatchKey) ([]connectors.Found, error) {
	if !usable(o) {
		return nil, g.failed(schema.Unsupported, connectors.CodeBadRequest)
	}
	fields := append(slices.Clone(o.Fields), o.Key)
	for _, keys := range lookups {
		for _, k := range keys {
			fields = append(fields, k.Field)
		}
	}
	// A lone look-up may have more keys than any request holds.
	if keys := len(fields) - len(o.Fields) - 1; len(lookups) > g.FitsLookups(o, lookups) || keys > maxBulk {
		return nil, g.failed(schema.Unsupported, connectors.CodeBatchTooBig)
	}
	sources, err := g.sourcesOf(ctx, fields...)
	if err != nil {
		return nil, err
	}
	found := make([]connectors.Found, len(lookups))
	operations, owners := []operation{}, []int{}
	for i, keys := range lookups {
		for _, k := range keys {
			id, ok := identify(k, sources)
			if !ok {
				found[i].Err = g.failed(schema.Invalid, connectors.CodeBadKey)
				continue
			}
			operations = append(operations, operation{
				ID: strconv.Itoa(len(operations)), MatchingIdentifiers: []identifier{id}, Action: "Update", Contact: map[string]any{},
			})
			owners = append(owners, i)
		}
	}
	if len(operations) == 0 {
		return found, nil
	}
	results, err := g.bulk(ctx, operations, url.Values{"dryRun": {"true"}}, false)
	if err != nil {
		return nil, err
	}
	for place, owner := range owners {
		g.collect(&found[owner], o, sources, results[place])
	}
	return found, nil
}

// collect adds one key's result to its look-up: a contact, none, or a failure that leaves the look-up open.
func (g *Connector) collect(found *connectors.Found, o connectors.Object, sources map[string]string, r result) {
	if found.Err != nil {
		return
	}
	if !r.Success || r.Entity == nil || !recordID(r.Entity.ID) {
		e := g.itemRefused(schema.OpFind, o, r.Status, r.Error)
		if e.Kind == schema.NotFound {
			return
		}
		if e.Kind == schema.UnknownOutcome {
			e.Kind = schema.Contention
		}
		*found = connectors.Found{Err: e}
		return
	}
	record := r.Entity.record(o, sources)
	if !slices.ContainsFunc(found.Records, func(r connectors.Record) bool { return r.ID == record.ID }) {
		found.Records = append(found.Records, record)
	}
}

// FitsLookups returns how many leading look-ups have at most 10 keys together.
func (g *Connector) FitsLookups(_ connectors.Object, lookups [][]connectors.MatchKey) int {
	keys := 0
	for i, lookup := range lookups {
		keys += len(lookup)
		if keys > maxBulk || i == maxBulk {
			return max(i, min(1, len(lookups)))
		}
	}
	return len(lookups)
}

// identify writes a key as the platform's identifier; values hold at most 255 characters there.
func identify(k connectors.MatchKey, sources map[string]string) (identifier, bool) {
	value := k.Value.Reveal()
	if value == "" || len(value) > 255 {
		return identifier{}, false
	}
	switch k.Kind {
	case connectors.MatchEmail:
		return identifier{Type: "Email", Value: value}, true
	case connectors.MatchPhone:
		return identifier{Type: "Phone", Value: value}, true
	case connectors.MatchCanonical, connectors.MatchExternal:
		source, ok := externalID(k.Field)
		return identifier{Type: "ExternalId", Value: value, ExternalSource: &reference{ID: sources[source]}}, ok
	default:
		return identifier{}, false
	}
}
