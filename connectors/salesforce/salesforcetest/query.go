package salesforcetest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lockstep/connectors/simulator"
)

// queryResult is a page of a query.
type queryResult struct {
	Total   int    `json:"totalSize"`
	Done    bool   `json:"done"`
	Next    string `json:"nextRecordsUrl,omitempty"`
	Records []any  `json:"records"`
}

// The page sizes of queries (connectors.md 2.4), and how many open queries a user may have.
const (
	maxPage     = 2000
	minPage     = 200
	maxLocators = 10
)

// locator is an open query.
type locator struct {
	id      string
	rows    []*record
	columns []column
	page    int
}

// column is one selected field: the way to it over parents, then the field.
type column struct {
	via   []*field
	field *field
}

// query serves GET /query and, with deleted records, /queryAll.
func (s *Simulator) query(rq *request) simulator.Answer {
	statement, ok := rq.Query["q"]
	if !ok {
		return malformed("The query parameter q is missing").answer()
	}
	parsed, err := parseSOQL(statement[0])
	if err != nil {
		return err.answer()
	}
	page := pageSize(rq)
	return s.read(rq, func() simulator.Answer {
		o, err := s.objectNamed(parsed.from)
		if err != nil {
			return (&apiError{
				Code: "INVALID_TYPE",
				Message: fmt.Sprintf("\nFROM %s\n     ^\nERROR at Row:1:Column:1\nsObject type '%s' is not supported.", parsed.from,
					parsed.from),
			}).answer()
		}
		e := evaluation{s: s, object: o, now: s.clock.Now()}
		columns, err := e.columns(parsed)
		if err != nil {
			return err.answer()
		}
		withDeleted := parsed.all || strings.HasSuffix(rq.Route.Template, "/queryAll")
		rows, err := e.rows(parsed, withDeleted)
		if err != nil {
			return err.answer()
		}
		if parsed.count {
			return simulator.JSON(200, jsonType, queryResult{Total: len(rows), Done: true, Records: []any{}})
		}
		open := &locator{rows: rows, columns: columns, page: page}
		return s.page(rq, open, 0)
	})
}

// queryMore serves the further pages of a query; the path ends in the locator and an offset.
func (s *Simulator) queryMore(rq *request) simulator.Answer {
	id, offset, _ := strings.Cut(rq.Vars["locator"], "-")
	from, convErr := strconv.Atoi(offset)
	return s.read(rq, func() simulator.Answer {
		i := slices.IndexFunc(s.locators, func(l *locator) bool { return l.id == id })
		if i < 0 || convErr != nil || from < 0 || from >= len(s.locators[i].rows) {
			return (&apiError{Code: "INVALID_QUERY_LOCATOR", Message: "invalid query locator"}).answer()
		}
		return s.page(rq, s.locators[i], from)
	})
}

// page shows the rows of an open query from an offset on, and keeps the query while there are more.
func (s *Simulator) page(rq *request, l *locator, from int) simulator.Answer {
	to := min(from+l.page, len(l.rows))
	out := queryResult{Total: len(l.rows), Done: to == len(l.rows), Records: []any{}}
	for _, row := range l.rows[from:to] {
		out.Records = append(out.Records, s.project(row, l.columns, rq.version))
	}
	if !out.Done {
		if l.id == "" {
			l.id = "01gxx" + s.ids.Text(10) + "AAA"
			s.locators = append(s.locators, l)
			s.locators = s.locators[max(0, len(s.locators)-maxLocators):]
		}
		out.Next = fmt.Sprintf("/services/data/v%d.0/query/%s-%d", rq.version, l.id, to)
	}
	return simulator.JSON(200, jsonType, out)
}

// pageSize reads Sforce-Query-Options.
func pageSize(rq *request) int {
	n, err := strconv.Atoi(callOption(rq.Request.Header.Get("Sforce-Query-Options"), "batchSize"))
	if err != nil {
		return maxPage
	}
	return min(max(n, minPage), maxPage)
}

// value follows a column from a row; nil when a relationship on the way is empty.
func (s *Simulator) value(row *record, c column) any {
	for _, via := range c.via {
		if row = s.parent(row, via); row == nil {
			return nil
		}
	}
	return row.values[c.field.Name]
}

func (s *Simulator) parent(row *record, via *field) *record {
	id, _ := row.values[via.Name].(string)
	if id == "" {
		return nil
	}
	for _, target := range via.ReferenceTo {
		if found := s.tables[target].row(id); found != nil {
			return found
		}
	}
	return nil
}

// project shows the selected columns of a row; fields of a parent stand in an object of its own.
func (s *Simulator) project(row *record, columns []column, version int) ordered {
	out := ordered{{"attributes", attributes(row.object, row.id, version)}}
	for _, c := range columns {
		if len(c.via) == 0 {
			out = withMember(out, c.field.Name, c.field.show(row.values[c.field.Name]))
			continue
		}
		out = s.projectParent(out, row, c, version)
	}
	return out
}

func (s *Simulator) projectParent(out ordered, row *record, c column, version int) ordered {
	via := c.via[0]
	parent := s.parent(row, via)
	if parent == nil {
		return withMember(out, via.Relationship, nil)
	}
	i := slices.IndexFunc(out, func(m member) bool { return m.Name == via.Relationship })
	if i < 0 {
		i = len(out)
		out = append(out, member{via.Relationship, ordered{{"attributes", attributes(parent.object, parent.id, version)}}})
	}
	inner, _ := out[i].Value.(ordered)
	if rest := c.via[1:]; len(rest) > 0 {
		inner = s.projectParent(inner, parent, column{via: rest, field: c.field}, version)
	} else if f := parent.object.find(c.field.Name); f != nil {
		inner = withMember(inner, f.Name, f.show(parent.values[f.Name]))
	}
	out[i].Value = inner
	return out
}

// withMember adds a member once.
func withMember(out ordered, name string, value any) ordered {
	if slices.ContainsFunc(out, func(m member) bool { return m.Name == name }) {
		return out
	}
	return append(out, member{name, value})
}
