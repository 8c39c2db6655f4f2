package strictjson

import (
	"encoding/json"
	"unicode/utf8"

	"lockstep/schema"
)

// Decode returns the body as the JSON Schema validator reads it: map[string]any, []any, string, json.Number, bool, nil.
// Numbers keep their spelling. The body has passed Scan; of any other the answer is a tree or a *schema.Refusal,
// never a panic.
func Decode(body []byte) (any, error) {
	r := reader{body: body}
	tree, ok := r.tree(maxRead)
	r.space()
	if !ok || r.at != len(body) {
		return nil, &schema.Refusal{Reason: schema.ReasonMalformedJSON, Rule: words[grammar].sentence, Remedy: words[grammar].remedy}
	}
	return tree, nil
}

// maxRead bounds the recursion over a body that no scan has bounded.
const maxRead = 1000

// reader walks a body that Scan has passed. It checks only what keeps it inside the body.
type reader struct {
	body []byte
	at   int
}

func (r *reader) space() {
	for r.at < len(r.body) && (r.body[r.at] == ' ' || r.body[r.at] == '\n' || r.body[r.at] == '\t' || r.body[r.at] == '\r') {
		r.at++
	}
}

// next skips space and returns the byte that follows, 0 at the end.
func (r *reader) next() byte {
	r.space()
	if r.at == len(r.body) {
		return 0
	}
	return r.body[r.at]
}

// take skips space and c; ok is false when something else follows.
func (r *reader) take(c byte) (ok bool) {
	if r.next() != c || r.at == len(r.body) {
		return false
	}
	r.at++
	return true
}

func (r *reader) tree(depth int) (value any, ok bool) {
	switch c := r.next(); {
	case depth == 0:
		return nil, false
	case c == '{':
		return r.object(depth)
	case c == '[':
		return r.array(depth)
	case c == '"':
		raw, ok := r.text()
		return unquoted(raw), ok
	case c == '-' || isDigit(c):
		return json.Number(r.word()), true
	}
	switch string(r.word()) {
	case "true":
		return true, true
	case "false":
		return false, true
	case "null":
		return nil, true
	}
	return nil, false
}

func (r *reader) object(depth int) (value any, ok bool) {
	r.at++
	members := make(map[string]any)
	if r.take('}') {
		return members, true
	}
	for {
		name, ok := r.name()
		if !ok {
			return nil, false
		}
		member, ok := r.tree(depth - 1)
		if !ok {
			return nil, false
		}
		members[unquoted(name)] = member
		if r.take(',') {
			continue
		}
		return members, r.take('}')
	}
}

func (r *reader) array(depth int) (value any, ok bool) {
	r.at++
	elements := []any{}
	if r.take(']') {
		return elements, true
	}
	for {
		element, ok := r.tree(depth - 1)
		if !ok {
			return nil, false
		}
		elements = append(elements, element)
		if r.take(',') {
			continue
		}
		return elements, r.take(']')
	}
}

// name reads a member's name and its colon.
func (r *reader) name() (raw []byte, ok bool) {
	if r.next() != '"' {
		return nil, false
	}
	raw, ok = r.text()
	return raw, ok && r.take(':')
}

// text reads a string and returns what stands between its quotes.
func (r *reader) text() (raw []byte, ok bool) {
	begin := r.at + 1
	for i := begin; i < len(r.body); i++ {
		switch r.body[i] {
		case '"':
			r.at = i + 1
			return r.body[begin:i], true
		case '\\':
			i++
		}
	}
	return nil, false
}

// word reads a number or a literal.
func (r *reader) word() []byte {
	begin := r.at
	for r.at < len(r.body) {
		c := r.body[r.at]
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' && c != '+' && c != '.' {
			break
		}
		r.at++
	}
	return r.body[begin:r.at]
}

// unquoted returns what the inside of a string spells.
func unquoted(raw []byte) string {
	i := 0
	for i < len(raw) && raw[i] != '\\' {
		i++
	}
	if i == len(raw) {
		return string(raw)
	}
	spelt := append(make([]byte, 0, len(raw)), raw[:i]...)
	for i < len(raw) {
		if raw[i] != '\\' {
			spelt = append(spelt, raw[i])
			i++
			continue
		}
		c, size := character(raw[i:])
		spelt = utf8.AppendRune(spelt, c)
		i += size
	}
	return string(spelt)
}
