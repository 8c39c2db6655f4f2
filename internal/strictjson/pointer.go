package strictjson

import (
	"strconv"
	"strings"
)

// Pointer joins names and indexes to a JSON pointer (RFC 6901).
func Pointer(segments ...string) string {
	var to strings.Builder
	for _, s := range segments {
		to.WriteByte('/')
		to.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(s))
	}
	return to.String()
}

// segments splits a JSON pointer; ok is false when it is none.
func segments(pointer string) (parts []string, ok bool) {
	if pointer == "" {
		return nil, true
	}
	if pointer[0] != '/' {
		return nil, false
	}
	parts = strings.Split(pointer[1:], "/")
	for i, p := range parts {
		if strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(p), "~") {
			return nil, false
		}
		parts[i] = strings.NewReplacer("~0", "~", "~1", "/").Replace(p)
	}
	return parts, true
}

// Find returns the value that a JSON pointer names, as it stands in the body, without decoding the rest. The body has
// passed Scan; of any other the answer is some part of it or nothing, never a panic.
func Find(body []byte, pointer string) (raw []byte, ok bool) {
	parts, ok := segments(pointer)
	if !ok {
		return nil, false
	}
	r := reader{body: body}
	for _, part := range parts {
		switch r.next() {
		case '{':
			ok = r.toMember(part)
		case '[':
			ok = r.toElement(part)
		default:
			ok = false
		}
		if !ok {
			return nil, false
		}
	}
	r.space()
	begin := r.at
	if !r.skip() || r.at == begin {
		return nil, false
	}
	return body[begin:r.at], true
}

// Text returns what a scalar found by Find spells: a string without its quotes and escapes, a number as it is written.
// ok is false for anything else.
func Text(raw []byte) (text string, ok bool) {
	r := reader{body: raw}
	switch c := r.next(); {
	case c == '"':
		inside, ok := r.text()
		return unquoted(inside), ok && r.at == len(raw)
	case c == '-' || isDigit(c):
		word := r.word()
		return string(word), r.at == len(raw)
	}
	return "", false
}

// Lookup returns the value that a JSON pointer names in a tree from Decode.
func Lookup(tree any, pointer string) (value any, ok bool) {
	parts, ok := segments(pointer)
	if !ok {
		return nil, false
	}
	for _, part := range parts {
		switch node := tree.(type) {
		case map[string]any:
			tree, ok = node[part]
		case []any:
			var i int
			if i, ok = index(part); ok && i < len(node) {
				tree = node[i]
			} else {
				ok = false
			}
		default:
			ok = false
		}
		if !ok {
			return nil, false
		}
	}
	return tree, true
}

// index reads an array index as RFC 6901 spells it.
func index(part string) (i int, ok bool) {
	i, err := strconv.Atoi(part)
	return i, err == nil && strconv.Itoa(i) == part && i >= 0
}

// toMember moves to the value of the named member.
func (r *reader) toMember(part string) (ok bool) {
	r.at++
	for {
		name, ok := r.name()
		if !ok {
			return false
		}
		if unquoted(name) == part {
			return true
		}
		if !r.skip() || !r.take(',') {
			return false
		}
	}
}

// toElement moves to the numbered element.
func (r *reader) toElement(part string) (ok bool) {
	r.at++
	i, ok := index(part)
	if !ok || r.next() == ']' {
		return false
	}
	for range i {
		if !r.skip() || !r.take(',') {
			return false
		}
	}
	return true
}

// skip moves behind the value that follows.
func (r *reader) skip() (ok bool) {
	depth := 0
	for {
		switch r.next() {
		case 0:
			return false
		case '{', '[':
			depth++
			r.at++
		case '}', ']':
			depth--
			r.at++
		case '"':
			if _, ok := r.text(); !ok {
				return false
			}
		case ',', ':':
			if depth == 0 {
				return false
			}
			r.at++
			continue
		default:
			if len(r.word()) == 0 {
				return false
			}
		}
		if depth <= 0 {
			return depth == 0
		}
	}
}
