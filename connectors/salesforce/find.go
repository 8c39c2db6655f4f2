package salesforce

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockstep/connectors"
	"lockstep/schema"
)

const (
	maxLookups = 50
	// maxQueries is how many of a composite request's parts may be queries.
	maxQueries = 5
	// maxQueryURL bounds the URL of one part, in bytes: an org answers 414 above 16,384.
	maxQueryURL = 15_000
	// maxKeys bounds what the keys of one look-up take in a query, in bytes, so that 50 look-ups always fit.
	maxKeys = 1_000
	// pageLimit is what one query shows. A full page means that there may be more.
	pageLimit = 2_000
)

// Find looks up to 50 customers up in one composite request. Equal fields of all look-ups are folded into one list, so
// the request holds few queries, in its body; every found record is given back to each look-up that one of its keys
// names exactly (e-mail addresses: whatever their case).
//
// A look-up that hundreds of records match answers HumanNeeded with code too_many_matches; others whose page it filled
// answer Contention and find what they look for the next time. Errors are *connectors.Error. Safe to repeat.
func (s *Connector) Find(ctx context.Context, o connectors.Object, lookups [][]connectors.MatchKey) ([]connectors.Found, error) {
	if !usable(o) || !namedFields(lookups) {
		return nil, s.unsupported(connectors.CodeBadRequest)
	}
	if len(lookups) > maxLookups {
		return nil, s.unsupported(connectors.CodeBatchTooBig)
	}
	found := make([]connectors.Found, len(lookups))
	asked := make([]int, 0, len(lookups))
	for i, keys := range lookups {
		switch length, ok := keysLength(keys); {
		case !ok || length > maxKeys:
			found[i].Err = s.invalid(connectors.CodeBadKey)
		case len(keys) > 0:
			asked = append(asked, i)
		}
	}
	queries, ok := s.fold(o, lookups, asked)
	if !ok {
		return nil, s.unsupported(connectors.CodeBatchTooBig)
	}
	if len(queries) == 0 {
		return found, nil
	}
	pages, err := s.query(ctx, o, queries)
	if err != nil {
		return nil, err
	}
	for _, i := range asked {
		found[i] = s.distribute(lookups[i], i, queries, pages)
	}
	return found, nil
}

// FitsLookups returns min(50, len(lookups)).
func (s *Connector) FitsLookups(_ connectors.Object, lookups [][]connectors.MatchKey) int {
	return min(len(lookups), maxLookups)
}

func namedFields(lookups [][]connectors.MatchKey) bool {
	for _, keys := range lookups {
		if slices.ContainsFunc(keys, func(k connectors.MatchKey) bool { return !fieldName(k.Field) }) {
			return false
		}
	}
	return true
}

// keysLength returns how many bytes the keys take in a query; ok is false when a value cannot stand in one.
func keysLength(keys []connectors.MatchKey) (length int, ok bool) {
	for _, k := range keys {
		text, ok := literal(k.Value.Reveal())
		if !ok || k.Value.IsNull() {
			return 0, false
		}
		length += len(encode(text + ", "))
	}
	return length, true
}

// query is one part of the composite request: conditions on one or several fields, joined by OR.
type query struct {
	conditions []condition
	// lookups are the places of the look-ups that have a key in it.
	lookups map[int]bool
	length  int
}

// condition is one field's list of values.
type condition struct {
	field    string
	literals []string
}

// fold spreads the keys over at most five queries: one for each field while that is enough, which suits an org's
// indexes best, else as many fields in one as it holds.
func (s *Connector) fold(o connectors.Object, lookups [][]connectors.MatchKey, asked []int) (queries []query, ok bool) {
	queries = s.fill(o, lookups, asked, true)
	if len(queries) > maxQueries {
		queries = s.fill(o, lookups, asked, false)
	}
	return queries, len(queries) <= maxQueries
}

// fill writes the keys into queries field by field; apart starts a query for each field.
func (s *Connector) fill(o connectors.Object, lookups [][]connectors.MatchKey, asked []int, apart bool) []query {
	fields := fieldsOf(lookups, asked)
	base := len(s.queryURL(o, fields, nil))
	queries := []query{}
	for _, field := range fields {
		next := apart || len(queries) == 0
		for _, i := range asked {
			for _, k := range lookups[i] {
				if k.Field != field {
					continue
				}
				text, _ := literal(k.Value.Reveal())
				if next || queries[len(queries)-1].length+len(encode(text))+maxJoint > maxQueryURL {
					queries, next = append(queries, query{length: base, lookups: map[int]bool{}}), false
				}
				queries[len(queries)-1].add(field, text, i)
			}
		}
	}
	return queries
}

// maxJoint bounds what a condition adds beside its values: ` OR `, the field's name, ` IN (`, `)`.
const maxJoint = 120

func (q *query) add(field, text string, lookup int) {
	if n := len(q.conditions); n == 0 || q.conditions[n-1].field != field {
		q.conditions = append(q.conditions, condition{field: field})
		q.length += maxJoint
	}
	c := &q.conditions[len(q.conditions)-1]
	if !slices.Contains(c.literals, text) {
		c.literals = append(c.literals, text)
		q.length += len(encode(text + ", "))
	}
	q.lookups[lookup] = true
}

func fieldsOf(lookups [][]connectors.MatchKey, asked []int) []string {
	fields := []string{}
	for _, i := range asked {
		for _, k := range lookups[i] {
			fields = append(fields, k.Field)
		}
	}
	slices.Sort(fields)
	return slices.Compact(fields)
}

// queryURL is the URL of one part. It stands in the body, never in a request line (B09).
func (s *Connector) queryURL(o connectors.Object, extra []string, conditions []condition) string {
	var soql strings.Builder
	soql.WriteString("SELECT " + strings.Join(s.columns(o, extra...), ", ") + " FROM " + o.Name + " WHERE ")
	for i, c := range conditions {
		if i > 0 {
			soql.WriteString(" OR ")
		}
		soql.WriteString(c.field + " IN (" + strings.Join(c.literals, ", ") + ")")
	}
	soql.WriteString(" LIMIT " + strconv.Itoa(pageLimit))
	return "/services/data/" + s.settings.version + "/query?q=" + encode(soql.String())
}

// encode escapes for a query string; a blank becomes %20, which every part of the chain reads alike.
func encode(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// soqlEscapes are the escape sequences of a SOQL string literal.
var soqlEscapes = strings.NewReplacer(
	`\`, `\\`, `'`, `\'`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\b", `\b`, "\f", `\f`,
)

// literal returns the value as a SOQL string literal; ok is false for one with control characters that no escape stands
// for: no record carries it (A25).
func literal(value string) (text string, ok bool) {
	text = soqlEscapes.Replace(value)
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) || strings.ContainsRune(value, '\uFFFD') {
		return "", false
	}
	return "'" + text + "'", true
}

// page is what one query answered.
type page struct {
	records []connectors.Record
	// keys are the values of the match fields of each record, also of those that the map does not govern.
	keys []map[string]any
	full bool
	err  *connectors.Error
}

type part struct {
	Method      string `json:"method"`
	URL         string `json:"url"`
	ReferenceID string `json:"referenceId"`
}

func (s *Connector) query(ctx context.Context, o connectors.Object, queries []query) ([]page, error) {
	parts := make([]part, len(queries))
	for i, q := range queries {
		extra := []string{}
		for _, c := range q.conditions {
			extra = append(extra, c.field)
		}
		parts[i] = part{Method: http.MethodGet, URL: s.queryURL(o, extra, q.conditions), ReferenceID: "q" + strconv.Itoa(i)}
	}
	body, err := json.Marshal(map[string]any{"allOrNone": false, "compositeRequest": parts})
	if err != nil {
		return nil, s.invalid(connectors.CodeBadRequest)
	}
	response, err := s.call(ctx, connectors.Request{Method: http.MethodPost, Route: "/composite", Body: body})
	if err != nil {
		return nil, err
	}
	var answer struct {
		CompositeResponse []struct {
			Body           json.RawMessage `json:"body"`
			HTTPStatusCode int             `json:"httpStatusCode" validate:"gte=100,lte=599"`
			ReferenceID    string          `json:"referenceId" validate:"required"`
		} `json:"compositeResponse" validate:"required,dive"`
	}
	if err := response.Decode(&answer); err != nil {
		return nil, err
	}
	pages := make([]page, len(queries))
	if len(answer.CompositeResponse) != len(queries) {
		return nil, response.Unreadable()
	}
	for i, a := range answer.CompositeResponse {
		if a.ReferenceID != parts[i].ReferenceID {
			return nil, response.Unreadable()
		}
		sub := *response
		sub.Status, sub.Body = a.HTTPStatusCode, a.Body
		if pages[i], err = s.page(o, queries[i], &sub); err != nil {
			return nil, err
		}
	}
	return pages, nil
}

// rowsAnswer is the answer to a query.
type rowsAnswer struct {
	TotalSize      int              `json:"totalSize" validate:"gte=0"`
	Done           *bool            `json:"done" validate:"required"`
	NextRecordsURL string           `json:"nextRecordsUrl"`
	Records        []map[string]any `json:"records" validate:"required"`
}

// page reads one part's answer. Trouble of the whole system fails the call; a refused query fails its look-ups.
func (s *Connector) page(o connectors.Object, q query, r *connectors.Response) (page, error) {
	if r.Status != http.StatusOK {
		e := s.refused(r)
		if e.Kind.Scope() == schema.ScopeSystem {
			return page{}, e
		}
		return page{err: e}, nil
	}
	var answer rowsAnswer
	if err := r.Decode(&answer); err != nil {
		return page{}, err
	}
	p := page{full: !*answer.Done || len(answer.Records) >= pageLimit || answer.TotalSize > len(answer.Records)}
	for _, row := range answer.Records {
		record, ok := s.record(o, row)
		if !ok {
			return page{}, r.Unreadable()
		}
		keys := map[string]any{}
		for _, c := range q.conditions {
			keys[c.field] = row[c.field]
		}
		p.records, p.keys = append(p.records, record), append(p.keys, keys)
	}
	return p, nil
}

// distribute collects what one look-up's keys name in the pages that it took part in, each record once.
func (s *Connector) distribute(keys []connectors.MatchKey, lookup int, queries []query, pages []page) connectors.Found {
	var found connectors.Found
	seen := map[string]bool{}
	for n, q := range queries {
		if !q.lookups[lookup] {
			continue
		}
		if pages[n].err != nil {
			return connectors.Found{Err: pages[n].err}
		}
		matches := 0
		for i, record := range pages[n].records {
			if !carries(pages[n].keys[i], keys) {
				continue
			}
			matches++
			if !seen[record.ID] {
				seen[record.ID] = true
				found.Records = append(found.Records, record)
			}
		}
		if pages[n].full {
			return connectors.Found{Err: s.overflow(matches, len(q.lookups))}
		}
	}
	return found
}

// overflow is the fate of a look-up whose page was cut. One that has more than its share of the page is what filled it:
// dozens of records are no one's match. The others come again without it.
func (s *Connector) overflow(matches, lookups int) *connectors.Error {
	kind := schema.Contention
	if matches*lookups >= pageLimit || lookups == 1 {
		kind = schema.HumanNeeded
	}
	return &connectors.Error{System: s.system, Kind: kind, Code: connectors.CodeTooManyMatches}
}

// carries reports whether one of the keys is exactly one of the record's values. The vendor compares text without
// regard to case; only an e-mail address means the same in another case.
func carries(values map[string]any, keys []connectors.MatchKey) bool {
	for _, k := range keys {
		text := textOf(values[k.Field])
		if k.Kind == connectors.MatchEmail {
			if strings.EqualFold(strings.TrimSpace(text), k.Value.Reveal()) && text != "" {
				return true
			}
		} else if text != "" && text == k.Value.Reveal() {
			return true
		}
	}
	return false
}

func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	default:
		return ""
	}
}

// soqlTime is how a SOQL date-time literal is written.
func soqlTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
