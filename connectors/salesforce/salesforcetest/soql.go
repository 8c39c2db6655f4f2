package salesforcetest

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// A query is a parsed SOQL statement.
type query struct {
	count  bool
	fields []string // as they are written; paths with dots
	from   string
	where  clause
	order  []ordering
	limit  int // -1 when there is none
	offset int
	all    bool // ALL ROWS
}

// clause is a node of a WHERE clause; nil holds always.
type clause interface{ soql() }

type (
	// junction joins conditions by AND or OR.
	junction struct {
		or    bool
		parts []clause
	}
	negation   struct{ of clause }
	comparison struct {
		path   string
		op     string // = != < > <= >= LIKE IN NOT IN
		values []literal
		at     int // of the path, for messages
	}
)

func (junction) soql()   {}
func (negation) soql()   {}
func (comparison) soql() {}

type literalKind int

const (
	literalText literalKind = iota
	literalNumber
	literalBool
	literalNull
	literalTime // a date, a datetime or a date literal such as TODAY
)

type literal struct {
	kind literalKind
	text string
}

type ordering struct {
	path       string
	descending bool
	nullsLast  bool
}

// token is one lexical piece of a statement.
type token struct {
	kind tokenKind
	text string
	at   int
}

type tokenKind int

const (
	tokenEnd tokenKind = iota
	tokenWord
	tokenText
	tokenNumber
	tokenTime
	tokenMark
)

// parseSOQL reads the subset that the package comment lists.
func parseSOQL(statement string) (query, *apiError) {
	tokens, err := scan(statement)
	if err != nil {
		return query{}, err
	}
	p := &parser{source: statement, tokens: tokens}
	q, err := p.statement()
	if err != nil {
		return query{}, err
	}
	if t := p.peek(); t.kind != tokenEnd {
		return query{}, p.unexpected(t)
	}
	return q, nil
}

func malformed(message string) *apiError { return &apiError{Code: "MALFORMED_QUERY", Message: message} }

// scan cuts a statement into tokens.
func scan(source string) ([]token, *apiError) {
	var out []token
	for i := 0; i < len(source); {
		c := rune(source[i])
		switch {
		case unicode.IsSpace(c):
			i++
		case c == '\'':
			text, next, err := scanText(source, i)
			if err != nil {
				return nil, err
			}
			out = append(out, token{tokenText, text, i})
			i = next
		case isDigit(source[i]) || (c == '-' || c == '+') && i+1 < len(source) && isDigit(source[i+1]):
			next := i + 1
			for next < len(source) && strings.IndexByte("0123456789.:TZ+-", source[next]) >= 0 {
				next++
			}
			kind := tokenNumber
			if strings.ContainsAny(source[i+1:next], "-:T") {
				kind = tokenTime
			}
			out = append(out, token{kind, source[i:next], i})
			i = next
		case isLetter(source[i]):
			next := i + 1
			for next < len(source) && (isLetter(source[next]) || isDigit(source[next]) || strings.IndexByte(".:", source[next]) >= 0) {
				next++
			}
			out = append(out, token{tokenWord, source[i:next], i})
			i = next
		case strings.HasPrefix(source[i:], "!=") || strings.HasPrefix(source[i:], "<=") ||
			strings.HasPrefix(source[i:], ">=") || strings.HasPrefix(source[i:], "<>"):
			out = append(out, token{tokenMark, source[i : i+2], i})
			i += 2
		case strings.ContainsRune("=<>(),", c):
			out = append(out, token{tokenMark, source[i : i+1], i})
			i++
		default:
			return nil, malformed(fmt.Sprintf("line 1:%d no viable alternative at character '%c'", i, c))
		}
	}
	return append(out, token{kind: tokenEnd, at: len(source)}), nil
}

// scanText reads a quoted text with its escapes.
func scanText(source string, from int) (text string, next int, err *apiError) {
	var b strings.Builder
	for i := from + 1; i < len(source); i++ {
		switch c := source[i]; c {
		case '\'':
			return b.String(), i + 1, nil
		case '\\':
			i++
			if i == len(source) {
				break
			}
			replaced, ok := escapes[source[i]]
			if !ok {
				return "", 0, malformed(fmt.Sprintf("Illegal string literal: invalid escape sequence '\\%c'", source[i]))
			}
			b.WriteString(replaced)
		case '\n', '\r':
			return "", 0, malformed(fmt.Sprintf("line 1:%d mismatched character '\\n' expecting '''", i))
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, malformed(fmt.Sprintf("line 1:%d mismatched character '<EOF>' expecting '''", len(source)))
}

// An escaped wildcard travels as a character of its own that no text holds, so that LIKE can tell it from a wildcard.
const (
	plainUnderscore = "\ue05f"
	plainPercent    = "\ue025"
)

var unescapeWildcards = strings.NewReplacer(plainUnderscore, "_", plainPercent, "%")

var escapes = map[byte]string{
	'\'': "'", '"': `"`, '\\': `\`, 'n': "\n", 'N': "\n", 'r': "\r", 'R': "\r", 't': "\t", 'T': "\t", 'b': "\b", 'B': "\b",
	'f': "\f", 'F': "\f", '_': plainUnderscore, '%': plainPercent,
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isLetter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
}

type parser struct {
	source string
	tokens []token
	next   int
}

func (p *parser) peek() token { return p.tokens[p.next] }

func (p *parser) take() token {
	t := p.tokens[p.next]
	if t.kind != tokenEnd {
		p.next++
	}
	return t
}

// word takes the next token if it is one of the keywords.
func (p *parser) word(keyword string) bool {
	if t := p.peek(); t.kind == tokenWord && strings.EqualFold(t.text, keyword) {
		p.next++
		return true
	}
	return false
}

func (p *parser) mark(text string) bool {
	if t := p.peek(); t.kind == tokenMark && t.text == text {
		p.next++
		return true
	}
	return false
}

func (p *parser) unexpected(t token) *apiError {
	if t.kind == tokenEnd {
		return malformed("unexpected token: <EOF>")
	}
	from := max(t.at-20, 0)
	return malformed(fmt.Sprintf("\n%s\n%s^\nERROR at Row:1:Column:%d\nunexpected token: '%s'",
		p.source[from:min(t.at+20, len(p.source))], strings.Repeat(" ", t.at-from), t.at+1, t.text))
}

func (p *parser) expect(keyword string) *apiError {
	if p.word(keyword) {
		return nil
	}
	return p.unexpected(p.peek())
}

func (p *parser) name() (string, *apiError) {
	t := p.take()
	if t.kind != tokenWord || keywords[strings.ToUpper(t.text)] {
		return "", p.unexpected(t)
	}
	return t.text, nil
}

var keywords = map[string]bool{
	"SELECT": true, "FROM": true, "WHERE": true, "AND": true, "OR": true, "NOT": true, "ORDER": true, "BY": true,
	"LIMIT": true, "OFFSET": true, "IN": true, "LIKE": true, "NULL": true,
}

func (p *parser) statement() (query, *apiError) {
	q := query{limit: -1}
	if err := p.expect("SELECT"); err != nil {
		return q, err
	}
	if err := p.selection(&q); err != nil {
		return q, err
	}
	if err := p.expect("FROM"); err != nil {
		return q, err
	}
	var err *apiError
	if q.from, err = p.name(); err != nil {
		return q, err
	}
	if p.word("WHERE") {
		if q.where, err = p.conditions(); err != nil {
			return q, err
		}
	}
	if p.word("ORDER") {
		if err := p.ordering(&q); err != nil {
			return q, err
		}
	}
	if p.word("LIMIT") {
		if q.limit, err = p.number(); err != nil {
			return q, err
		}
	}
	if p.word("OFFSET") {
		if q.offset, err = p.number(); err != nil {
			return q, err
		}
		if q.offset > 2000 {
			return q, &apiError{Code: "NUMBER_OUTSIDE_VALID_RANGE", Message: "Maximum SOQL offset allowed is 2000"}
		}
	}
	if p.word("ALL") {
		q.all = true
		if err := p.expect("ROWS"); err != nil {
			return q, err
		}
	}
	return q, nil
}

func (p *parser) selection(q *query) *apiError {
	for {
		name, err := p.name()
		if err != nil {
			return err
		}
		switch {
		case strings.EqualFold(name, "COUNT") && p.mark("("):
			if !p.mark(")") {
				return malformed("Aggregates other than COUNT() are not simulated")
			}
			q.count = true
			return nil
		case strings.EqualFold(name, "FIELDS") && p.mark("("):
			set, err := p.name()
			if err != nil {
				return err
			}
			if !p.mark(")") {
				return p.unexpected(p.peek())
			}
			q.fields = append(q.fields, "FIELDS("+strings.ToUpper(set)+")")
		default:
			q.fields = append(q.fields, name)
		}
		if !p.mark(",") {
			return nil
		}
	}
}

// conditions reads a chain of AND or of OR. As in Salesforce the two do not mix without parentheses.
func (p *parser) conditions() (clause, *apiError) {
	first, err := p.condition()
	if err != nil {
		return nil, err
	}
	chain := junction{parts: []clause{first}}
	for {
		or := p.word("OR")
		if !or && !p.word("AND") {
			break
		}
		if len(chain.parts) > 1 && or != chain.or {
			return nil, p.unexpected(p.tokens[p.next-1])
		}
		chain.or = or
		next, err := p.condition()
		if err != nil {
			return nil, err
		}
		chain.parts = append(chain.parts, next)
	}
	if len(chain.parts) == 1 {
		return first, nil
	}
	return chain, nil
}

func (p *parser) condition() (clause, *apiError) {
	switch {
	case p.word("NOT"):
		of, err := p.condition()
		return negation{of}, err
	case p.mark("("):
		inner, err := p.conditions()
		if err != nil {
			return nil, err
		}
		if !p.mark(")") {
			return nil, p.unexpected(p.peek())
		}
		return inner, nil
	}
	at := p.peek().at
	path, err := p.name()
	if err != nil {
		return nil, err
	}
	c := comparison{path: path, at: at}
	switch t := p.take(); {
	case t.kind == tokenMark && strings.Contains("= != < > <= >= <>", t.text) && t.text != "(":
		if c.op = t.text; c.op == "<>" {
			c.op = "!="
		}
		value, err := p.literal()
		c.values = []literal{value}
		return c, err
	case t.kind == tokenWord && strings.EqualFold(t.text, "LIKE"):
		c.op = "LIKE"
		value, err := p.literal()
		c.values = []literal{value}
		return c, err
	case t.kind == tokenWord && strings.EqualFold(t.text, "IN"):
		c.op = "IN"
	case t.kind == tokenWord && strings.EqualFold(t.text, "NOT") && p.word("IN"):
		c.op = "NOT IN"
	default:
		return nil, p.unexpected(t)
	}
	c.values, err = p.literals()
	return c, err
}

func (p *parser) literals() ([]literal, *apiError) {
	if !p.mark("(") {
		return nil, p.unexpected(p.peek())
	}
	var out []literal
	for {
		value, err := p.literal()
		if err != nil {
			return nil, err
		}
		out = append(out, value)
		if p.mark(")") {
			return out, nil
		}
		if !p.mark(",") {
			return nil, p.unexpected(p.peek())
		}
	}
}

func (p *parser) literal() (literal, *apiError) {
	switch t := p.take(); t.kind {
	case tokenText:
		return literal{literalText, t.text}, nil
	case tokenNumber:
		return literal{literalNumber, t.text}, nil
	case tokenTime:
		return literal{literalTime, t.text}, nil
	case tokenWord:
		upper := strings.ToUpper(t.text)
		switch {
		case upper == "NULL":
			return literal{kind: literalNull}, nil
		case upper == "TRUE" || upper == "FALSE":
			return literal{literalBool, upper}, nil
		case upper == "TODAY" || upper == "YESTERDAY" || upper == "TOMORROW" || strings.HasPrefix(upper, "LAST_N_DAYS:"):
			return literal{literalTime, upper}, nil
		}
		return literal{}, p.unexpected(t)
	default:
		return literal{}, p.unexpected(t)
	}
}

func (p *parser) ordering(q *query) *apiError {
	if err := p.expect("BY"); err != nil {
		return err
	}
	for {
		name, err := p.name()
		if err != nil {
			return err
		}
		o := ordering{path: name}
		if p.word("DESC") {
			o.descending = true
		} else {
			p.word("ASC")
		}
		if p.word("NULLS") {
			if o.nullsLast = p.word("LAST"); !o.nullsLast {
				if err := p.expect("FIRST"); err != nil {
					return err
				}
			}
		}
		q.order = append(q.order, o)
		if !p.mark(",") {
			return nil
		}
	}
}

func (p *parser) number() (int, *apiError) {
	t := p.take()
	n, err := strconv.Atoi(t.text)
	if t.kind != tokenNumber || err != nil || n < 0 {
		return 0, p.unexpected(t)
	}
	return n, nil
}
