package strictjson

import (
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// appendFolded appends a name, given as it stands between its quotes and already checked, with escapes resolved and
// case folded: two names come out equal exactly when [strings.EqualFold] says so of what they spell, which is how
// encoding/json matches names to fields.
func appendFolded(to, raw []byte) []byte {
	for i := 0; i < len(raw); {
		c := raw[i]
		if c < utf8.RuneSelf && c != '\\' {
			if 'A' <= c && c <= 'Z' {
				c |= 0x20
			}
			to = append(to, c)
			i++
			continue
		}
		r, size := character(raw[i:])
		to = utf8.AppendRune(to, fold(r))
		i += size
	}
	return to
}

// fold returns one rune for all runes that differ in case only: the ASCII letter in lower case where there is one
// (K and the Kelvin sign are one letter), else the smallest.
func fold(r rune) rune {
	smallest := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		smallest = min(smallest, other)
	}
	if 'A' <= smallest && smallest <= 'Z' {
		smallest |= 0x20
	}
	return smallest
}

// character returns the rune that b begins with, plain or escaped, and how many bytes spell it. Bytes that no scan
// would pass come out as U+FFFD.
func character(b []byte) (r rune, size int) {
	if b[0] != '\\' {
		return utf8.DecodeRune(b)
	}
	size, broken := escape(b)
	if broken != fine {
		return utf8.RuneError, len(b)
	}
	switch b[1] {
	case 'u':
		r, _ = codeUnit(b)
		if size == 12 {
			low, _ := codeUnit(b[6:])
			r = utf16.DecodeRune(r, low)
		}
		return r, size
	case 'b':
		return '\b', size
	case 'f':
		return '\f', size
	case 'n':
		return '\n', size
	case 'r':
		return '\r', size
	case 't':
		return '\t', size
	}
	return rune(b[1]), size
}
