package genesys

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"lockstep/connectors"
	"lockstep/schema"
)

const (
	sourcesRoute = "/externalsources"
	// maxSourcePages bounds the look-up of one source: the name filter is a prefix match.
	maxSourcePages = 20
)

// CodeNoSource is the code of a call whose external source does not exist in the org; EnsureSources makes it.
const CodeNoSource = "external_source_missing"

// EnsureSources looks external sources up by name and creates those that are missing. The wiring calls it at start-up
// with every source that the integration map names, so that no call of a contract method has to. Errors are
// *connectors.Error. Safe to repeat.
func (g *Connector) EnsureSources(ctx context.Context, names ...string) error {
	for _, name := range names {
		if !sourceGrammar.MatchString(name) {
			return g.failed(schema.Unsupported, connectors.CodeBadRequest)
		}
		_, err := g.source(ctx, name)
		if codeOf(err) == CodeNoSource {
			err = g.createSource(ctx, name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Sources returns the external sources known so far, id to name: what an Envelope needs to name the ids in events.
func (g *Connector) Sources() map[string]string {
	g.mu.Lock()
	defer g.mu.Unlock()
	byID := map[string]string{}
	for name, id := range g.sources {
		byID[id] = name
	}
	return byID
}

// source returns a source's id: pinned by an option, known, or asked for now, which is one request beside the call's
// own and happens once.
func (g *Connector) source(ctx context.Context, name string) (string, error) {
	g.mu.Lock()
	id, ok := g.sources[name]
	g.mu.Unlock()
	if ok {
		return id, nil
	}
	cursor := ""
	for range maxSourcePages {
		query := url.Values{"name": {name}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		response, err := g.succeed(ctx, connectors.Request{Method: http.MethodGet, Route: sourcesRoute, Query: query})
		if err != nil {
			return "", err
		}
		var page struct {
			listing
			Entities []externalSource `json:"entities"`
		}
		if err := response.Decode(&page); err != nil {
			return "", err
		}
		i := slices.IndexFunc(page.Entities, func(s externalSource) bool { return s.Name == name && recordID(s.ID) })
		if i >= 0 {
			g.keep(name, page.Entities[i].ID)
			return page.Entities[i].ID, nil
		}
		if cursor = page.next(); cursor == "" {
			break
		}
	}
	return "", g.failed(schema.Unsupported, CodeNoSource)
}

type externalSource struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

func codeOf(err error) string {
	var e *connectors.Error
	if !errors.As(err, &e) {
		return ""
	}
	return e.Code
}

// createSource makes a source; one that another process made meanwhile is taken as it is.
func (g *Connector) createSource(ctx context.Context, name string) error {
	body, err := json.Marshal(map[string]any{"name": name, "active": true})
	if err != nil {
		return g.failed(schema.Invalid, connectors.CodeBadRequest)
	}
	response, err := g.call(ctx, connectors.Request{Method: http.MethodPost, Route: sourcesRoute, Body: body, Effect: true})
	if err != nil {
		return err
	}
	switch response.Status {
	case http.StatusOK:
	case http.StatusConflict:
		_, err := g.source(ctx, name)
		return err
	default:
		return g.refused(response)
	}
	var made externalSource
	if err := response.Decode(&made); err != nil {
		return err
	}
	if !recordID(made.ID) {
		return response.Unreadable()
	}
	g.keep(name, made.ID)
	return nil
}

func (g *Connector) keep(name, id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sources = maps.Clone(g.sources)
	g.sources[name] = id
}

// sourcesOf resolves every source that the object's fields and the keys name.
func (g *Connector) sourcesOf(ctx context.Context, fields ...string) (map[string]string, error) {
	ids := map[string]string{}
	for _, field := range fields {
		name, ok := externalID(field)
		if !ok {
			continue
		}
		id, err := g.source(ctx, name)
		if err != nil {
			return nil, err
		}
		ids[name] = id
	}
	return ids, nil
}
