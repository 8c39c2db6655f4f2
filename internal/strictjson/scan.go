package strictjson

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// Limits bound a body. The zero value means the defaults.
type Limits struct {
	// Depth is how many arrays and objects may lie in one another; 0 means 32.
	Depth int
	// Items is how many members and elements the whole body may hold; 0 means 10,000.
	Items int
}

const (
	defaultDepth = 32
	defaultItems = 10_000
)

// seed keys the hashes of names, so that nobody outside can prepare names that collide.
var seed = maphash.MakeSeed()

// Scan checks that the body is one JSON value of the strict kind. The error is a *schema.Refusal with reason
// malformed_json: Field points to the place, Rule tells the byte. It allocates nothing for bodies of ordinary size.
// Sources: reliability A10 to A14, trap 7.
func Scan(body []byte, limits Limits) error {
	s := scanners.Get().(*scanner) //nolint:errcheck // the pool holds nothing else
	defer s.release()
	s.body, s.at = body, 0
	s.depth, s.items = cmp.Or(limits.Depth, defaultDepth), cmp.Or(limits.Items, defaultItems)
	if broken := s.document(); broken != fine {
		return s.refusal(broken)
	}
	return nil
}

// scanners keeps the stacks of past scans for the next ones.
var scanners = sync.Pool{New: func() any { return new(scanner) }}

// release gives the scanner back, without the body and without what an unusual body made it grow to.
func (s *scanner) release() {
	const usual = 1024
	s.body, s.frames, s.names, s.fold = nil, s.frames[:0], s.names[:0], s.fold[:0]
	if cap(s.names) > usual || cap(s.fold) > usual || cap(s.frames) > usual {
		*s = scanner{}
	}
	scanners.Put(s)
}

type scanner struct {
	body []byte
	at   int
	// depth and items are what is allowed; items counts down.
	depth, items int
	frames       []frame
	// names are the member names of all open objects, those of the innermost one last.
	names []name
	fold  []byte
}

// frame is an array or object that is open at this point of the scan.
type frame struct {
	object bool
	// names is where the object's names begin in scanner.names.
	names int
	// index numbers the current element.
	index int
	// current is the span of the current member's name, empty while there is none.
	current span
}

// span is a part of the body.
type span struct{ begin, end int }

// name is a member's name: where it stands, and the hash of its folded spelling.
type name struct {
	hash uint64
	span
}

// document scans the whole body.
func (s *scanner) document() rule {
	if len(s.body) >= 3 && s.body[0] == 0xEF && s.body[1] == 0xBB && s.body[2] == 0xBF {
		return byteOrderMark
	}
	s.space()
	if s.at == len(s.body) {
		return empty
	}
	for {
		opened, broken := s.value()
		if broken != fine {
			return broken
		}
		if opened {
			continue
		}
		more, broken := s.afterValue()
		if broken != fine || !more {
			return broken
		}
	}
}

// value scans a scalar, or the opening of an array or object up to its first value; opened says that such a value is
// due.
func (s *scanner) value() (opened bool, broken rule) {
	s.space()
	if s.at == len(s.body) {
		return false, unfinished
	}
	switch c := s.body[s.at]; c {
	case '{':
		return s.open(true)
	case '[':
		return s.open(false)
	case '"':
		return false, s.text()
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return false, s.number()
	case 't':
		return false, s.literal("true")
	case 'f':
		return false, s.literal("false")
	case 'n':
		return false, s.literal("null")
	default:
		return false, s.unexpected()
	}
}

// open enters an array or object. An empty one is left again at once.
func (s *scanner) open(object bool) (opened bool, broken rule) {
	if len(s.frames) == s.depth {
		return false, tooDeep
	}
	s.at++
	s.frames = append(s.frames, frame{object: object, names: len(s.names)})
	s.space()
	closing := byte(']')
	if object {
		closing = '}'
	}
	if s.at < len(s.body) && s.body[s.at] == closing {
		return false, s.close()
	}
	return true, s.item()
}

// item begins the next element, or the next member with its name and colon.
func (s *scanner) item() rule {
	if s.items == 0 {
		return tooMany
	}
	s.items--
	top := &s.frames[len(s.frames)-1]
	if !top.object {
		return fine
	}
	s.space()
	if s.at == len(s.body) {
		return unfinished
	}
	if s.body[s.at] != '"' {
		return s.unexpected()
	}
	begin := s.at + 1
	if broken := s.text(); broken != fine {
		return broken
	}
	top.current = span{begin, s.at - 1}
	s.names = append(s.names, name{s.hash(top.current), top.current})
	s.space()
	if s.at == len(s.body) {
		return unfinished
	}
	if s.body[s.at] != ':' {
		return s.unexpected()
	}
	s.at++
	return fine
}

// afterValue goes on after a value: to the next one, or out of what has ended with it. more is false at the end of the
// body.
func (s *scanner) afterValue() (more bool, broken rule) {
	for len(s.frames) > 0 {
		s.space()
		if s.at == len(s.body) {
			return false, unfinished
		}
		top := &s.frames[len(s.frames)-1]
		switch c := s.body[s.at]; {
		case c == ',':
			s.at++
			top.index++
			top.current = span{}
			return true, s.item()
		case c == '}' && top.object, c == ']' && !top.object:
			if broken := s.close(); broken != fine {
				return false, broken
			}
		default:
			return false, s.unexpected()
		}
	}
	s.space()
	if s.at < len(s.body) {
		return false, trailing
	}
	return false, fine
}

// close leaves the innermost array or object; an object's names are compared now, when all of them are known.
func (s *scanner) close() rule {
	top := &s.frames[len(s.frames)-1]
	if top.object {
		names := s.names[top.names:]
		if twice, ok := s.twice(names); ok {
			top.current, s.at = twice.span, twice.begin
			return sameName
		}
		s.names = s.names[:top.names]
	}
	s.at++
	s.frames = s.frames[:len(s.frames)-1]
	return fine
}

// twice returns a name that repeats an earlier one, upper and lower case taken as equal.
func (s *scanner) twice(names []name) (repeated name, ok bool) {
	const few = 16
	if len(names) > few {
		slices.SortFunc(names, func(a, b name) int {
			return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.begin, b.begin))
		})
		for i := 1; i < len(names); i++ {
			for j := i; j > 0 && names[j-1].hash == names[i].hash; j-- {
				if s.same(names[j-1], names[i]) {
					return names[i], true
				}
			}
		}
		return name{}, false
	}
	for i := range names {
		for j := range i {
			if names[i].hash == names[j].hash && s.same(names[i], names[j]) {
				return names[i], true
			}
		}
	}
	return name{}, false
}

// same compares two names whose hashes are equal.
func (s *scanner) same(a, b name) bool {
	folded := appendFolded(nil, s.body[a.begin:a.end])
	return string(folded) == string(appendFolded(nil, s.body[b.begin:b.end]))
}

// hash returns the keyed hash of a name's folded spelling.
func (s *scanner) hash(at span) uint64 {
	s.fold = appendFolded(s.fold[:0], s.body[at.begin:at.end])
	return maphash.Bytes(seed, s.fold)
}

// plain marks the bytes that stand for themselves in a string: ASCII without quote, backslash and control characters.
var plain = func() (table [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		table[c] = c != '"' && c != '\\'
	}
	return table
}()

// text scans a string with its quotes.
func (s *scanner) text() rule {
	body := s.body
	i := s.at + 1
	for {
		for i < len(body) && plain[body[i]] {
			i++
		}
		s.at = i
		if i == len(body) {
			return unfinished
		}
		switch c := body[i]; {
		case c == '"':
			s.at++
			return fine
		case c == '\\':
			size, broken := escape(body[i:])
			if broken != fine {
				return broken
			}
			i += size
		case c == 0:
			return nul
		case c < ' ':
			return control
		default:
			r, size := utf8.DecodeRune(body[i:])
			if r == utf8.RuneError && size == 1 {
				return badUTF8
			}
			i += size
		}
	}
}

// escape checks the escape that b begins with and returns its length; a surrogate pair counts as one.
func escape(b []byte) (size int, broken rule) {
	if len(b) < 2 {
		return 0, unfinished
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, fine
	case 'u':
	default:
		return 0, badEscape
	}
	unit, broken := codeUnit(b)
	switch {
	case broken != fine:
		return 0, broken
	case unit == 0:
		return 0, nul
	case unit < 0xD800 || unit > 0xDFFF:
		return 6, fine
	case unit > 0xDBFF:
		return 0, surrogate
	case !bytes.HasPrefix(b[6:], []byte(`\u`)):
		if bytes.HasPrefix([]byte(`\u`), b[6:]) {
			return 0, unfinished
		}
		return 0, surrogate
	}
	low, broken := codeUnit(b[6:])
	if broken != fine {
		return 0, broken
	}
	if low < 0xDC00 || low > 0xDFFF {
		return 0, surrogate
	}
	return 12, fine
}

// codeUnit reads the four hex digits after a backslash and u.
func codeUnit(b []byte) (unit rune, broken rule) {
	if len(b) < 6 {
		return 0, unfinished
	}
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, badEscape
		}
		unit = unit<<4 | rune(c)
	}
	return unit, fine
}

func (s *scanner) literal(word string) rule {
	rest := s.body[s.at:]
	switch {
	case len(rest) < len(word) && strings.HasPrefix(word, string(rest)):
		return unfinished
	case len(rest) < len(word) || string(rest[:len(word)]) != word:
		return s.unexpected()
	}
	s.at += len(word)
	return fine
}

func (s *scanner) space() {
	for s.at < len(s.body) {
		switch s.body[s.at] {
		case ' ', '\n', '\t', '\r':
			s.at++
		default:
			return
		}
	}
}

// unexpected tells what a byte is that no value, comma or bracket can begin with.
func (s *scanner) unexpected() rule {
	rest := s.body[s.at:]
	if r, size := utf8.DecodeRune(rest); r == utf8.RuneError && size == 1 {
		return badUTF8
	}
	switch {
	case rest[0] == 0:
		return nul
	case rest[0] < ' ':
		return control
	}
	return grammar
}
