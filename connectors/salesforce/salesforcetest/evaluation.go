package salesforcetest

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// evaluation runs a parsed query over one object.
type evaluation struct {
	s      *Simulator
	object *object
	now    time.Time
}

// columns resolves what a query selects.
func (e evaluation) columns(q query) ([]column, *apiError) {
	var out []column
	for _, name := range q.fields {
		set, ok := strings.CutPrefix(name, "FIELDS(")
		if !ok {
			c, err := e.resolve(name)
			if err != nil {
				return nil, err
			}
			out = append(out, c)
			continue
		}
		set = strings.TrimSuffix(set, ")")
		if set != "STANDARD" && (q.limit < 0 || q.limit > 200) {
			return nil, malformed("The SOQL FIELDS function must have a LIMIT of at most 200")
		}
		for _, f := range e.object.fields {
			if set == "ALL" || f.custom == (set == "CUSTOM") {
				out = append(out, column{field: f})
			}
		}
	}
	return out, nil
}

// resolve walks a path such as Account.Owner.Name.
func (e evaluation) resolve(path string) (column, *apiError) {
	names := strings.Split(path, ".")
	if len(names) > 1 && strings.EqualFold(names[0], e.object.Name) && e.object.relations[strings.ToLower(names[0])] == nil {
		names = names[1:] // the object's own name may stand before a field
	}
	c, at := column{}, e.object
	for i, name := range names {
		if i == len(names)-1 {
			if c.field = at.find(name); c.field == nil {
				return c, noSuchColumn(at, name)
			}
			return c, nil
		}
		via := at.relations[strings.ToLower(name)]
		if via == nil {
			return c, &apiError{
				Code: "INVALID_FIELD",
				Message: fmt.Sprintf("\nERROR at Row:1:Column:1\nDidn't understand relationship '%s' in field path. If you are "+
					"attempting to use a custom relationship, be sure to append the '__r' after the custom relationship name. "+
					"Please reference your WSDL or the describe call for the appropriate names.", name),
			}
		}
		c.via = append(c.via, via)
		at = e.s.tables[via.ReferenceTo[0]].object
	}
	return c, nil
}

func noSuchColumn(o *object, name string) *apiError {
	return &apiError{
		Code: "INVALID_FIELD",
		Message: fmt.Sprintf("\nERROR at Row:1:Column:1\nNo such column '%s' on entity '%s'. If you are attempting to use a "+
			"custom field, be sure to append the '__c' after the custom field name. Please reference your WSDL or the describe "+
			"call for the appropriate names.", name, o.Name),
	}
}

// rows returns the rows that the query selects, in its order.
func (e evaluation) rows(q query, withDeleted bool) ([]*record, *apiError) {
	holds, err := e.compile(q.where)
	if err != nil {
		return nil, err
	}
	var sortBy []column
	for _, o := range q.order {
		c, err := e.resolve(o.path)
		if err != nil {
			return nil, err
		}
		sortBy = append(sortBy, c)
	}
	candidates := e.s.tables[e.object.Name].rows
	if few, ok := e.narrowed(q.where); ok && !withDeleted {
		candidates = few
	}
	var out []*record
	for _, row := range candidates {
		if (withDeleted || row.deleted.IsZero()) && holds(row) {
			out = append(out, row)
		}
	}
	slices.SortStableFunc(out, func(a, b *record) int {
		for i, c := range sortBy {
			if n := compareOrdered(e.s.value(a, c), e.s.value(b, c), q.order[i]); n != 0 {
				return n
			}
		}
		return 0
	})
	if q.offset > 0 {
		out = out[min(q.offset, len(out)):]
	}
	if q.limit >= 0 && q.limit < len(out) {
		out = out[:q.limit]
	}
	return out, nil
}

// narrowed uses the indexes where a clause demands one of some values of an indexed field, or one of several such.
func (e evaluation) narrowed(where clause) ([]*record, bool) {
	switch w := where.(type) {
	case comparison:
		f := e.object.find(w.path)
		if f == nil || !f.indexed() && f.Name != "Id" || w.op != "=" && w.op != "IN" {
			return nil, false
		}
		return e.lookUp(f, w.values)
	case junction:
		var all []*record
		for _, part := range w.parts {
			rows, ok := e.narrowed(part)
			switch {
			case ok && !w.or:
				return rows, true
			case !ok && w.or:
				return nil, false
			}
			all = append(all, rows...)
		}
		return inOrder(all), w.or
	}
	return nil, false
}

// inOrder sorts rows by their creation and drops repetitions.
func inOrder(rows []*record) []*record {
	slices.SortFunc(rows, func(a, b *record) int { return cmp.Compare(a.born, b.born) })
	return slices.Compact(rows)
}

func (e evaluation) lookUp(f *field, values []literal) ([]*record, bool) {
	t := e.s.tables[e.object.Name]
	var out []*record
	for _, v := range values {
		if v.kind != literalText {
			return nil, false
		}
		text := unescapeWildcards.Replace(v.text)
		switch {
		case f.Name != "Id" && f.Type == "reference":
			out = append(out, t.having(f, e.s.longID(text))...)
		case f.Name != "Id":
			out = append(out, t.having(f, text)...)
		case t.row(text) != nil:
			out = append(out, t.row(text))
		}
	}
	return inOrder(out), true
}

// longID returns the 18-character form of an id, or the id itself when it has none.
func (s *Simulator) longID(id string) string {
	if full, ok := fullID(id); ok {
		return full
	}
	return id
}

// compile turns a clause into a test of rows.
func (e evaluation) compile(where clause) (func(*record) bool, *apiError) {
	switch w := where.(type) {
	case comparison:
		return e.compileComparison(w)
	case negation:
		of, err := e.compile(w.of)
		return func(r *record) bool { return !of(r) }, err
	case junction:
		tests := make([]func(*record) bool, len(w.parts))
		for i, part := range w.parts {
			var err *apiError
			if tests[i], err = e.compile(part); err != nil {
				return nil, err
			}
		}
		return func(r *record) bool {
			for _, test := range tests {
				if test(r) == w.or {
					return w.or
				}
			}
			return !w.or
		}, nil
	default:
		return func(*record) bool { return true }, nil
	}
}

func (e evaluation) compileComparison(w comparison) (func(*record) bool, *apiError) {
	c, err := e.resolve(w.path)
	if err != nil {
		return nil, err
	}
	if c.field.Type == "textarea" && c.field.Length > 255 {
		return nil, &apiError{
			Code: "INVALID_FIELD", Message: fmt.Sprintf("field '%s' can not be filtered in a query call", c.field.Name),
		}
	}
	wanted := make([]any, len(w.values))
	for i, v := range w.values {
		if wanted[i], err = e.operand(c.field, v, w.op); err != nil {
			return nil, err
		}
	}
	var like *regexp.Regexp
	if w.op == "LIKE" {
		if like, err = pattern(w.values[0]); err != nil {
			return nil, err
		}
	}
	return func(r *record) bool {
		have := caseless(c.field, e.s.value(r, c))
		switch w.op {
		case "=", "IN":
			return slices.ContainsFunc(wanted, func(v any) bool { return equal(have, v) })
		case "!=", "NOT IN":
			return !slices.ContainsFunc(wanted, func(v any) bool { return equal(have, v) })
		case "LIKE":
			text, ok := have.(string)
			return ok && like.MatchString(text)
		}
		if have == nil || wanted[0] == nil {
			return false
		}
		n := order(have, wanted[0])
		switch w.op {
		case "<":
			return n < 0
		case "<=":
			return n <= 0
		case ">":
			return n > 0
		default:
			return n >= 0
		}
	}, nil
}

// operand turns a literal into what the field's values compare with.
func (e evaluation) operand(f *field, v literal, op string) (any, *apiError) {
	if v.kind == literalNull {
		return nil, nil
	}
	wrong := &apiError{
		Code: "INVALID_FIELD",
		Message: fmt.Sprintf("\nERROR at Row:1:Column:1\nvalue of filter criterion for field '%s' must be of type %s and "+
			"should %sbe enclosed in quotes", f.Name, f.Type, map[bool]string{true: "not ", false: ""}[v.kind == literalText]),
	}
	switch f.Type {
	case "boolean":
		if v.kind != literalBool {
			return nil, wrong
		}
		return v.text == "TRUE", nil
	case "int", "double", "currency", "percent":
		n, err := strconv.ParseFloat(v.text, 64)
		if v.kind != literalNumber || err != nil {
			return nil, wrong
		}
		return n, nil
	case "date", "datetime":
		if v.kind != literalTime {
			return nil, wrong
		}
		return e.moment(f, v.text, wrong)
	}
	if v.kind != literalText {
		return nil, wrong
	}
	if f.Type != "id" && f.Type != "reference" {
		return strings.ToLower(unescapeWildcards.Replace(v.text)), nil
	}
	id := e.s.longID(v.text)
	if _, ok := fullID(id); !ok && op != "LIKE" && e.s.objectOfID(id) == nil {
		return nil, &apiError{
			Code: "INVALID_QUERY_FILTER_OPERATOR", Message: "\nERROR at Row:1:Column:1\ninvalid ID field: " + v.text,
		}
	}
	return id, nil
}

func (e evaluation) moment(f *field, text string, wrong *apiError) (any, *apiError) {
	today := e.now.Truncate(24 * time.Hour)
	switch {
	case text == "TODAY":
		return today, nil
	case text == "YESTERDAY":
		return today.AddDate(0, 0, -1), nil
	case text == "TOMORROW":
		return today.AddDate(0, 0, 1), nil
	case strings.HasPrefix(text, "LAST_N_DAYS:"):
		n, err := strconv.Atoi(strings.TrimPrefix(text, "LAST_N_DAYS:"))
		if err != nil {
			return nil, wrong
		}
		return today.AddDate(0, 0, -n), nil
	}
	if (f.Type == "date") != (len(text) == len(dateFormat)) {
		return nil, wrong
	}
	at, ok := parseTime(text)
	if !ok {
		return nil, wrong
	}
	return at, nil
}

// caseless is the form of a stored value in which clauses compare: texts without case.
func caseless(f *field, v any) any {
	if s, ok := v.(string); ok && f.Type != "id" && f.Type != "reference" {
		return strings.ToLower(s)
	}
	return v
}

func equal(a, b any) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return order(a, b) == 0
}

// order compares two values of one kind.
func order(a, b any) int {
	switch a := a.(type) {
	case string:
		if b, ok := b.(string); ok {
			return strings.Compare(a, b)
		}
	case float64:
		if b, ok := b.(float64); ok {
			return cmp.Compare(a, b)
		}
	case time.Time:
		if b, ok := b.(time.Time); ok {
			return a.Compare(b)
		}
	case bool:
		if b, ok := b.(bool); ok && a == b {
			return 0
		}
		return 1
	}
	return -1
}

// compareOrdered compares for ORDER BY: nulls first unless asked otherwise.
func compareOrdered(a, b any, o ordering) int {
	if a == nil || b == nil {
		if a == nil && b == nil {
			return 0
		}
		if (a == nil) != o.nullsLast {
			return -1
		}
		return 1
	}
	n := order(fold(a), fold(b))
	if o.descending {
		return -n
	}
	return n
}

func fold(v any) any {
	if s, ok := v.(string); ok {
		return strings.ToLower(s)
	}
	return v
}

// pattern turns the operand of LIKE into a regular expression: % any characters, _ one.
func pattern(v literal) (*regexp.Regexp, *apiError) {
	if v.kind != literalText {
		return nil, malformed("LIKE needs a quoted text")
	}
	var b strings.Builder
	b.WriteString("(?is)^")
	for _, r := range v.text {
		switch string(r) {
		case "%":
			b.WriteString(".*")
		case "_":
			b.WriteString(".")
		default:
			b.WriteString(regexp.QuoteMeta(unescapeWildcards.Replace(string(r))))
		}
	}
	b.WriteString("$")
	return regexp.MustCompile(b.String()), nil
}
