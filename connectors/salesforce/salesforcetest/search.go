package salesforcetest

import (
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"lockstep/connectors/simulator"
)

// A search is a parsed SOSL statement or the parameters of parameterizedSearch.
type search struct {
	term  string
	scope string // ALL, EMAIL, NAME or PHONE
	from  []searched
	limit int
}

// searched is one object of RETURNING with its fields.
type searched struct {
	object *object
	fields []*field
}

var (
	soslForm = regexp.MustCompile(`(?is)^\s*FIND\s*\{((?:[^}\\]|\\.)*)\}\s*` +
		`(?:IN\s+(ALL|EMAIL|NAME|PHONE|SIDEBAR)\s+FIELDS\s*)?(?:RETURNING\s+(.*?))?(?:\s+LIMIT\s+(\d+))?\s*$`)
	returningForm = regexp.MustCompile(`(?is)\s*([A-Za-z_0-9]+)\s*(?:\(([^)]*)\))?\s*(?:,|$)`)
	soslEscape    = regexp.MustCompile(`\\(.)`)
)

// search serves GET /search?q=FIND {...} [IN ... FIELDS] [RETURNING ...] [LIMIT n].
func (s *Simulator) search(rq *request) simulator.Answer {
	m := soslForm.FindStringSubmatch(rq.Query.Get("q"))
	if m == nil {
		return (&apiError{
			Code: "MALFORMED_SEARCH", Message: "No search term found. The search term must be enclosed in braces.",
		}).answer()
	}
	q := search{term: soslEscape.ReplaceAllString(m[1], "$1"), scope: strings.ToUpper(m[2]), limit: maxPage}
	if n, err := strconv.Atoi(m[4]); err == nil {
		q.limit = n
	}
	for _, r := range returningForm.FindAllStringSubmatch(m[3], -1) {
		if err := s.addSearched(&q, r[1], strings.Split(r[2], ",")); err != nil {
			return err.answer()
		}
	}
	return s.find(rq, q)
}

// parameterizedSearch serves GET and POST /parameterizedSearch.
func (s *Simulator) parameterizedSearch(rq *request) simulator.Answer {
	var body struct {
		Q        string   `json:"q"`
		In       string   `json:"in"`
		Fields   []string `json:"fields"`
		SObjects []struct {
			Name   string   `json:"name"`
			Fields []string `json:"fields"`
		} `json:"sobjects"`
		OverallLimit int `json:"overallLimit"`
	}
	if rq.Request.Method == "POST" {
		if err := decode(rq.Body, &body); err != nil {
			return err.answer()
		}
	} else {
		body.Q, body.In, body.Fields = rq.Query.Get("q"), rq.Query.Get("in"), list(rq.Query["fields"])
		body.OverallLimit, _ = strconv.Atoi(rq.Query.Get("overallLimit")) // absent is no limit
		for _, name := range list(rq.Query["sobject"]) {
			fields := list(rq.Query[name+".fields"])
			if fields == nil {
				fields = body.Fields
			}
			body.SObjects = append(body.SObjects, struct {
				Name   string   `json:"name"`
				Fields []string `json:"fields"`
			}{name, fields})
		}
	}
	q := search{term: body.Q, scope: strings.ToUpper(body.In), limit: maxPage}
	if body.OverallLimit > 0 {
		q.limit = body.OverallLimit
	}
	for _, o := range body.SObjects {
		fields := o.Fields
		if fields == nil {
			fields = body.Fields
		}
		if err := s.addSearched(&q, o.Name, fields); err != nil {
			return err.answer()
		}
	}
	return s.find(rq, q)
}

func (s *Simulator) addSearched(q *search, name string, fields []string) *apiError {
	o, err := s.objectNamed(name)
	if err != nil {
		return &apiError{Code: "INVALID_TYPE", Message: "sObject type '" + name + "' is not supported."}
	}
	var wanted []string
	for _, f := range fields {
		if f = strings.TrimSpace(f); f != "" {
			wanted = append(wanted, f)
		}
	}
	chosen, err := pick(o, wanted)
	if err != nil {
		return err
	}
	q.from = append(q.from, searched{o, chosen})
	return nil
}

// find looks the term up in the search index, which lags behind the writes by the switch's time.
func (s *Simulator) find(rq *request, q search) simulator.Answer {
	words := strings.FieldsFunc(strings.ToLower(q.term), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	if len(strings.Join(words, "")) < 2 {
		return (&apiError{Code: "MALFORMED_SEARCH", Message: "search term must be longer than one character"}).answer()
	}
	return s.read(rq, func() simulator.Answer {
		if q.from == nil {
			for _, name := range []string{"Account", "Contact", "Case"} {
				o := s.tables[name].object
				q.from = append(q.from, searched{o, []*field{o.find("Id")}})
			}
		}
		indexed := s.clock.Now().Add(-time.Duration(s.switches.SearchLagMS) * time.Millisecond)
		out := []any{}
		for _, from := range q.from {
			for _, row := range s.tables[from.object.Name].rows {
				at := row.modified()
				if len(out) < q.limit && row.deleted.IsZero() && !at.After(indexed) && matches(row, words, q) {
					out = append(out, s.show(row, from.fields, rq.version))
				}
			}
		}
		return simulator.JSON(200, jsonType, map[string]any{"searchRecords": out})
	})
}

// matches reports whether every word of the term stands in a field of the scope; phones match by their digits.
func matches(row *record, words []string, q search) bool {
	for _, f := range row.object.fields {
		text, ok := row.values[f.Name].(string)
		if !ok || !inScope(f, q.scope) {
			continue
		}
		if f.Type == "phone" || f.Name == "Phone_E164__c" {
			if wanted := digits(q.term); len(wanted) > 3 && strings.HasSuffix(digits(text), wanted) {
				return true
			}
			continue
		}
		all := true
		for _, word := range words {
			all = all && strings.Contains(strings.ToLower(text), word)
		}
		if all {
			return true
		}
	}
	return false
}

func inScope(f *field, scope string) bool {
	switch scope {
	case "EMAIL":
		return f.Type == "email"
	case "PHONE":
		return f.Type == "phone" || f.Name == "Phone_E164__c"
	case "NAME":
		return f.Name == "Name" || f.Name == "Subject"
	}
	return f.Type != "id" && f.Type != "reference"
}

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return r
		}
		return -1
	}, s)
}
