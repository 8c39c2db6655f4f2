package genesys

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"lockstep/connectors"
	"lockstep/schema"
)

// maxCursor bounds a cursor, which is opaque.
const maxCursor = 4_000

// ChangedSince walks the whole contact list, 200 a page, and returns of each page the contacts that were modified at or
// after since: the platform has no list by time of change, nor an order. A page may be empty and still have a next one.
// The cursor lives 24 hours. Errors are *connectors.Error. Safe to repeat.
func (g *Connector) ChangedSince(ctx context.Context, o connectors.Object, since time.Time, cursor string) (connectors.Page, error) {
	if !usable(o) || len(cursor) > maxCursor {
		return connectors.Page{}, g.failed(schema.Unsupported, connectors.CodeBadRequest)
	}
	sources, err := g.sourcesOf(ctx, o.Fields...)
	if err != nil {
		return connectors.Page{}, err
	}
	query := url.Values{"limit": {"200"}}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	response, err := g.succeed(ctx, connectors.Request{Method: http.MethodGet, Route: "/scan/contacts", Query: query})
	if err != nil {
		return connectors.Page{}, err
	}
	var list struct {
		listing
		Entities []contact `json:"entities" validate:"required,dive"`
	}
	if err := response.Decode(&list); err != nil {
		return connectors.Page{}, err
	}
	page := connectors.Page{Next: list.next()}
	for _, c := range list.Entities {
		if !recordID(c.ID) {
			return connectors.Page{}, response.Unreadable()
		}
		// A contact without a time of change is not known to be old.
		if at := parseTime(c.ModifyDate); at.IsZero() || !at.Before(since) {
			page.Records = append(page.Records, c.record(o, sources))
		}
	}
	return page, nil
}

// next returns the cursor of the next page, "" on the last. Of a URL only the cursor counts; where to send it is not
// the answer's to say (A23).
func (l listing) next() string {
	if l.Cursors.After != "" {
		return l.Cursors.After
	}
	u, err := url.Parse(l.NextURI)
	if err != nil {
		return ""
	}
	query := u.Query()
	if cursor := query.Get("cursor"); cursor != "" {
		return cursor
	}
	return query.Get("after")
}
