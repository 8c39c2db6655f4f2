package strictjson

import (
	"fmt"
	"strconv"
	"strings"

	"lockstep/schema"
)

// rule is what a body breaks.
type rule int

const (
	fine rule = iota
	empty
	byteOrderMark
	badUTF8
	surrogate
	nul
	control
	badEscape
	sameName
	tooDeep
	tooMany
	tooPrecise
	tooLarge
	trailing
	unfinished
	grammar
)

// words are each rule's sentence and remedy.
var words = map[rule]struct{ sentence, remedy string }{
	empty:         {"the body is empty", "send one JSON value"},
	byteOrderMark: {"the body begins with a byte order mark", "send UTF-8 without a byte order mark"},
	badUTF8:       {"the bytes are not UTF-8", "send UTF-8"},
	surrogate:     {"an escaped surrogate has no partner", "escape a character outside the basic plane as a pair"},
	nul:           {"there is a NUL character", "remove it; no system stores it"},
	control:       {"there is a control character as it stands", "escape it"},
	badEscape:     {"there is no such escape", `use \" \\ \/ \b \f \n \r \t or \u and four hex digits`},
	sameName:      {"the name comes twice in one object; upper and lower case do not tell names apart", "send it once"},
	tooDeep:       {"arrays and objects are nested too deeply", "send a flatter message"},
	tooMany:       {"there are too many members and elements", "send several smaller messages"},
	tooPrecise:    {"the number has more than 38 significant digits", "send it as a string, or with fewer digits"},
	tooLarge:      {"the number is too large, too small or written too long", "send it as a string"},
	trailing:      {"something follows the JSON value", "send one JSON value and nothing after it"},
	unfinished:    {"the body ends too early", "send the whole message"},
	grammar:       {"this is not JSON", "send JSON as RFC 8259 defines it"},
}

// refusal says what is broken and where the scan stands.
func (s *scanner) refusal(broken rule) *schema.Refusal {
	w := words[broken]
	return &schema.Refusal{
		Reason: schema.ReasonMalformedJSON,
		Field:  s.pointer(),
		Rule:   fmt.Sprintf("%s (byte %d)", w.sentence, s.at),
		Remedy: w.remedy,
	}
}

// pointer returns the JSON pointer of the value, or the object, that the scan stands in.
func (s *scanner) pointer() string {
	var to []byte
	for _, f := range s.frames {
		switch {
		case !f.object:
			to = strconv.AppendInt(append(to, '/'), int64(f.index), 10)
		case f.current != span{}:
			to = append(append(to, '/'), segment(s.body[f.current.begin:f.current.end])...)
		}
	}
	return string(to)
}

// Unnamed stands in a refusal's pointer for a name that is not a plain word, because such a name may be a value: an
// e-mail address, a card number, a text.
const Unnamed = "?"

// Shown returns a JSON pointer as it may be shown: with every name in it that is not a plain word as Unnamed. What is no
// pointer comes back as it is.
func Shown(pointer string) string {
	if pointer == "" || pointer[0] != '/' {
		return pointer
	}
	const longestIndex = 5
	parts := strings.Split(pointer[1:], "/")
	for i, part := range parts {
		if _, isIndex := index(part); !isIndex || len(part) > longestIndex {
			parts[i] = segment([]byte(part))
		}
	}
	return "/" + strings.Join(parts, "/")
}

// segment returns a name as it may be shown: one of a letter, an underscore or an at sign and up to 63 letters, digits
// or _ . : $ - after it; any other as Unnamed.
func segment(name []byte) string {
	if len(name) == 0 || len(name) > 64 {
		return Unnamed
	}
	for i, c := range name {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
		first := letter || c == '@'
		rest := letter || isDigit(c) || c == '.' || c == ':' || c == '$' || c == '-'
		if i == 0 && !first || i > 0 && !rest {
			return Unnamed
		}
	}
	return string(name)
}
