package genesystest

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockstep/connectors/simulator"
)

// page cuts a list for the offset style of listings and adds what these carry.
func page(path string, list []any, size, number int) map[string]any {
	pages := max((len(list)+size-1)/size, 1)
	from := min((number-1)*size, len(list))
	uri := func(n int) string { return fmt.Sprintf("%s?pageSize=%d&pageNumber=%d", path, size, n) }
	out := map[string]any{
		"entities": append([]any{}, list[from:min(from+size, len(list))]...), "pageSize": size, "pageNumber": number,
		"total": len(list), "pageCount": pages, "firstUri": uri(1), "selfUri": uri(number), "lastUri": uri(pages),
	}
	if number < pages {
		out["nextUri"] = uri(number + 1)
	}
	if number > 1 {
		out["previousUri"] = uri(number - 1)
	}
	return out
}

// paging reads pageSize and pageNumber.
func (rq *request) paging(size, most int) (int, int, *apiError) {
	size, err := rq.number("pageSize", size, 1, most)
	if err != nil {
		return 0, 0, err
	}
	number, err := rq.number("pageNumber", 1, 1, 1_000_000)
	return size, number, err
}

// maxWindow is how far free text search pages: pageNumber times pageSize.
const maxWindow = 1000

// searchContacts serves GET /contacts?q=.
func (s *Simulator) searchContacts(rq *request) (simulator.Answer, *apiError) {
	size, number, err := rq.paging(20, 100)
	if err != nil {
		return simulator.Answer{}, err
	}
	if size*number > maxWindow {
		return simulator.Answer{}, badRequest("pageNumber * pageSize must be <= 1000.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.searched(rq.Query.Get("q"), nil, expand(rq.list("expand")))
	return ok(page("/api/v2/externalcontacts/contacts", found, size, number))
}

// postSearch serves POST /contacts/search.
func (s *Simulator) postSearch(rq *request) (simulator.Answer, *apiError) {
	var in struct {
		PageNumber  int      `json:"pageNumber"`
		PageSize    int      `json:"pageSize"`
		DivisionIDs []string `json:"divisionIds"`
		Expand      []string `json:"expand"`
		Operation   struct {
			SimpleSearch struct {
				Query     string   `json:"query"`
				SortOrder []string `json:"sortOrder"`
				IDs       []string `json:"ids"`
			} `json:"simpleSearch"`
		} `json:"operation"`
	}
	if err := rq.decode(&in); err != nil {
		return simulator.Answer{}, err
	}
	if in.PageNumber == 0 {
		in.PageNumber = 1
	}
	if in.PageSize == 0 {
		in.PageSize = 20
	}
	if in.PageNumber < 1 || in.PageSize < 1 || in.PageNumber*in.PageSize > maxWindow {
		return simulator.Answer{}, badRequest("pageNumber * pageSize must be <= 1000.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.searched(in.Operation.SimpleSearch.Query, in.Operation.SimpleSearch.IDs, expand(in.Expand))
	return ok(page("/api/v2/externalcontacts/contacts/search", found, in.PageSize, in.PageNumber))
}

// searched looks free text up in names, addresses and numbers; every word must be found. The index lags.
func (s *Simulator) searched(text string, ids []string, x expansion) []any {
	words := strings.Fields(strings.ToLower(text))
	out := []any{}
	for _, c := range s.contacts.ordered {
		if c.deleted || c.mergedTo != nil || !s.visible(c.indexed) || ids != nil && !slices.Contains(ids, c.id) {
			continue
		}
		if c.mentions(words) {
			out = append(out, s.show(c, x))
		}
	}
	return out
}

func (c *contact) mentions(words []string) bool {
	var all strings.Builder
	for name, kind := range contactFields {
		switch kind {
		case fieldName, fieldEmail:
			text, _ := c.doc[name].(string)
			all.WriteString(strings.ToLower(text) + "\n")
		case fieldPhone:
			phone, _ := c.doc[name].(map[string]any)
			fmt.Fprintf(&all, "%v\n%v\n", phone["e164"], phone["display"])
		default: // not in the index
		}
	}
	return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(all.String(), word) })
}

// The bounds of cursor listings.
const (
	minScan, maxScan, usualScan = 10, 200, 100
	cursorLife                  = 24 * time.Hour
)

// scan serves GET /scan/contacts: every contact, in the order of their making, page by page.
func (s *Simulator) scan(rq *request) (simulator.Answer, *apiError) {
	size, from, err := s.cursorPage(rq)
	if err != nil {
		return simulator.Answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out, next := []any{}, -1
	for n := from; n < len(s.contacts.ordered); n++ {
		c := s.contacts.ordered[n]
		if c.deleted || c.mergedTo != nil || !s.visible(c.indexed) {
			continue
		}
		if len(out) == size {
			next = n
			break
		}
		out = append(out, s.show(c, expansion{}))
	}
	return ok(s.cursorListing("/api/v2/externalcontacts/scan/contacts", size, out, next))
}

// cursorPage reads limit and cursor.
func (s *Simulator) cursorPage(rq *request) (size, from int, err *apiError) {
	if size, err = rq.number("limit", usualScan, minScan, maxScan); err != nil {
		return 0, 0, err
	}
	from, err = s.openCursor(rq.Query.Get("cursor"))
	return size, from, err
}

// cursorListing shows a page; next is where the following one begins, negative on the last.
func (s *Simulator) cursorListing(path string, size int, entities []any, next int) map[string]any {
	out := map[string]any{"entities": entities, "selfUri": fmt.Sprintf("%s?limit=%d", path, size)}
	if next >= 0 {
		cursor := s.cursor(next)
		out["cursors"] = map[string]any{"after": cursor}
		out["nextUri"] = fmt.Sprintf("%s?limit=%d&cursor=%s", path, size, cursor)
	}
	return out
}

// cursor hides a place in a list and when the cursor ends.
func (s *Simulator) cursor(place int) string {
	text := fmt.Sprintf("%d.%d", place, s.clock.True().Add(cursorLife).UnixMilli())
	return base64.RawURLEncoding.EncodeToString([]byte(text))
}

func (s *Simulator) openCursor(cursor string) (int, *apiError) {
	if cursor == "" {
		return 0, nil
	}
	wrong := invalidValue("cursor", "The cursor is invalid or has expired.")
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return 0, wrong
	}
	left, right, _ := strings.Cut(string(text), ".")
	place, err := strconv.Atoi(left)
	ends, err2 := strconv.ParseInt(right, 10, 64)
	if err != nil || err2 != nil || place < 0 || s.clock.True().UnixMilli() > ends {
		return 0, wrong
	}
	return place, nil
}
