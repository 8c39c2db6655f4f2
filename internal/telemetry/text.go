package telemetry

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"lockstep/rules"
)

const (
	maxWord = 128
	maxText = 512
)

// word returns an id, a name or an enumerated value as it may be shown: up to 128 letters, digits and . _ : / , # -
// that are not a telephone, card or social security number. Of anything else only the shape is shown.
func word(s string) string {
	if len(s) > maxWord {
		return rules.MaskValue(s)
	}
	letters, digits := 0, 0
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
			letters++
		case '0' <= c && c <= '9':
			digits++
		case c == '.', c == '_', c == ':', c == '/', c == ',', c == '#', c == '-':
		case c == '@' && isWorker(s, i):
		default:
			return rules.MaskValue(s)
		}
	}
	const shortestPhone = 7
	if letters == 0 && digits >= shortestPhone && !isAddress(s) || rules.MaskText(s) != s {
		return rules.MaskValue(s)
	}
	return s
}

// isWorker reports whether an at sign is one of those in pid@host@, as the Temporal SDK names its workers.
func isWorker(s string, at int) bool {
	const longestPID = 7
	pid, _, _ := strings.Cut(s, "@")
	return pid != "" && len(pid) <= longestPID && strings.Trim(pid, "0123456789") == "" && (at == len(pid) || at == len(s)-1)
}

// isAddress reports whether a word is an IP address with or without its port.
func isAddress(s string) bool {
	_, withoutPort := netip.ParseAddr(s)
	_, withPort := netip.ParseAddrPort(s)
	return withoutPort == nil || withPort == nil
}

// text returns a sentence as it may be shown: one line of up to 512 bytes without control characters, card numbers and
// social security numbers.
func text(s string) string {
	s = rules.MaskText(neutral(s))
	if len(s) <= maxText {
		return s
	}
	cut := maxText
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// neutral replaces what a terminal or a log viewer may obey rather than show: control characters, line and paragraph
// separators, marks that turn the writing direction, bytes that are no text.
func neutral(s string) string {
	plain := true
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t', r == '\r', unicode.Is(unicode.Zl, r), unicode.Is(unicode.Zp, r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == utf8.RuneError:
			return '·'
		}
		return r
	}, s)
}

// appendString appends a string as JSON.
func appendString(to []byte, s string) []byte {
	to = append(to, '"')
	for _, r := range neutral(s) {
		if r == '"' || r == '\\' {
			to = append(to, '\\')
		}
		to = utf8.AppendRune(to, r)
	}
	return append(to, '"')
}
