package salesforce

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"lockstep/connectors"
)

// cursorGrammar is a query locator with the row to go on from, as in 01g0000000000001AAA-2000.
var cursorGrammar = regexp.MustCompile(`^[A-Za-z0-9]{1,50}-[0-9]{1,9}$`)

// ChangedSince lists the records whose SystemModstamp is at or after since, oldest first, 2,000 a page. The cursor is
// Salesforce's query locator and lives two days; afterwards the call answers Unsupported and a caller starts again from
// the last time it saw. Errors are *connectors.Error. Safe to repeat.
func (s *Connector) ChangedSince(ctx context.Context, o connectors.Object, since time.Time, cursor string) (connectors.Page, error) {
	if !usable(o) {
		return connectors.Page{}, s.unsupported(connectors.CodeBadRequest)
	}
	r := connectors.Request{Method: http.MethodGet}
	switch {
	case cursor == "":
		// The query names fields and a time: nobody's data.
		soql := "SELECT " + strings.Join(s.columns(o), ", ") + " FROM " + o.Name +
			" WHERE " + modstamp + " >= " + soqlTime(since) + " ORDER BY " + modstamp + " ASC"
		r.Route, r.Query = "/query", url.Values{"q": {soql}}
	case cursorGrammar.MatchString(cursor):
		r.Route, r.Args = "/query/{locator}", []string{cursor}
	default:
		return connectors.Page{}, s.unsupported(connectors.CodeBadRequest)
	}
	response, err := s.call(ctx, r)
	if err != nil {
		return connectors.Page{}, err
	}
	return s.feedPage(o, response)
}

func (s *Connector) feedPage(o connectors.Object, response *connectors.Response) (connectors.Page, error) {
	var answer rowsAnswer
	if err := response.Decode(&answer); err != nil {
		return connectors.Page{}, err
	}
	var page connectors.Page
	for _, row := range answer.Records {
		record, ok := s.record(o, row)
		if !ok {
			return connectors.Page{}, response.Unreadable()
		}
		page.Records = append(page.Records, record)
	}
	if *answer.Done {
		return page, nil
	}
	// Only the last segment of the URL counts; where to send it is not the answer's to say (A23).
	page.Next = answer.NextRecordsURL[strings.LastIndex(answer.NextRecordsURL, "/")+1:]
	if !cursorGrammar.MatchString(page.Next) {
		return connectors.Page{}, response.Unreadable()
	}
	return page, nil
}
