package rules

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maskedSSN stands for a social security number.
const maskedSSN = "XXX-XX-XXXX"

// MaskText returns free text with social security numbers and card numbers masked, and everything else as it is.
//
// A social security number is three, two and four digits between dashes or blanks. A card number is 13 to 19 digits
// that begin as an issuer's do and end in the right check digit, with up to three separators between any of them;
// every digit of it is masked, the last four too: together with a name they still point at a card, and nobody who reads
// a log needs them. UUIDs, and phone numbers behind a plus sign, are left alone. Source: reliability B13.
func MaskText(text string) string {
	if !manyDigits(text) {
		return text
	}
	groups := digitGroups(text)
	cards := cardsAmong(text, groups)
	var masked strings.Builder
	done := 0
	for i, g := range groups {
		if g.begin < done {
			continue
		}
		if end, ok := ssnAt(text, groups[i:]); ok && !cards[i] {
			masked.WriteString(text[done:g.begin])
			masked.WriteString(maskedSSN)
			done = end
			continue
		}
		if cards[i] {
			masked.WriteString(text[done:g.begin])
			masked.WriteString(strings.Repeat("X", g.end-g.begin))
			done = g.end
		}
	}
	masked.WriteString(text[done:])
	return masked.String()
}

// manyDigits reports whether the text holds as many digits as the shortest thing to mask.
func manyDigits(text string) bool {
	const ssnDigits = 9
	n := 0
	for i := range len(text) {
		if '0' <= text[i] && text[i] <= '9' {
			n++
		}
	}
	return n >= ssnDigits
}

// group is a run of digits. joined says that only separators stand between it and the next run; dash that it is one.
type group struct {
	begin, end   int
	joined, dash bool
}

func digitGroups(text string) []group {
	var groups []group
	for i := 0; i < len(text); {
		if text[i] < '0' || text[i] > '9' {
			i++
			continue
		}
		g := group{begin: i}
		for i < len(text) && '0' <= text[i] && text[i] <= '9' {
			i++
		}
		g.end = i
		between := 0
		for i < len(text) && between <= 3 {
			r, size := utf8.DecodeRuneInString(text[i:])
			if !separator(r) {
				break
			}
			between++
			i += size
		}
		g.dash = between == 1
		g.joined = 1 <= between && between <= 3 && i < len(text) && '0' <= text[i] && text[i] <= '9'
		groups = append(groups, g)
	}
	return groups
}

// separator reports whether people write the character between the digits of one number.
func separator(r rune) bool {
	return strings.ContainsRune("-./_·", r) || unicode.Is(unicode.Zs, r) || unicode.Is(unicode.Pd, r) || r == '\u2212'
}

// ssnAt returns where the social security number ends that begins with the first group.
func ssnAt(text string, groups []group) (end int, ok bool) {
	if len(groups) < 3 {
		return 0, false
	}
	for i, digits := range []int{3, 2, 4} {
		if groups[i].end-groups[i].begin != digits || i < 2 && !(groups[i].joined && groups[i].dash) {
			return 0, false
		}
	}
	first, second := text[groups[0].end:groups[1].begin], text[groups[1].end:groups[2].begin]
	return groups[2].end, first == second && first != "." && first != "/" && first != "_"
}

const (
	shortestCard = 13
	longestCard  = 19
)

// cardsAmong marks the groups that belong to a card number. Every run of joined groups is tried: the digits of a card
// may stand among others.
func cardsAmong(text string, groups []group) []bool {
	cards := make([]bool, len(groups))
	var number [longestCard]byte
	for first := range groups {
		digits := 0
		for last := first; last < len(groups); last++ {
			g := groups[last]
			if digits+g.end-g.begin > longestCard {
				break
			}
			digits += copy(number[digits:], text[g.begin:g.end])
			if isCard(number[:digits]) && !isOther(text, groups[first:last+1], digits) {
				for i := first; i <= last; i++ {
					cards[i] = true
				}
			}
			if !g.joined {
				break
			}
		}
	}
	return cards
}

// isOther reports whether some of the digits belong to a UUID, or all of them to a phone number that is written with
// its plus sign.
func isOther(text string, groups []group, digits int) bool {
	const longestPhone = 15
	if begin := groups[0].begin; begin > 0 && text[begin-1] == '+' && digits <= longestPhone {
		return true
	}
	return slices.ContainsFunc(groups, func(g group) bool { return inUUID(text, g.begin, g.end) })
}

func isCard(digits []byte) bool {
	return len(digits) >= shortestCard && issued(digits) && luhn(digits)
}

// issued reports whether a card issuer hands out numbers that begin and end as these do. Without it a tenth of all long
// numbers, such as times in milliseconds, would be taken for cards.
func issued(digits []byte) bool {
	head := 0
	for _, d := range digits[:4] {
		head = head*10 + int(d-'0')
	}
	n := len(digits)
	switch two := head / 100; {
	case head/1000 == 4: // Visa, Elo
		return true
	case two == 34, two == 37: // American Express
		return n == 15
	case two == 30, two == 36, two == 38, two == 39: // Diners Club
		return n >= 14
	case two == 35: // JCB
		return n >= 16
	case 51 <= two && two <= 55, 2221 <= head && head <= 2720: // Mastercard
		return n == 16
	case two == 50, 56 <= two && two <= 69: // Maestro, Discover, UnionPay, RuPay, Verve
		return true
	case 2200 <= head && head <= 2205, two == 81, two == 82, head == 9792: // Mir, RuPay, Troy
		return n >= 16
	case head/1000 == 1: // UATP
		return n == 15
	}
	return false
}

// luhn checks the check digit (ISO/IEC 7812).
func luhn(digits []byte) bool {
	sum := 0
	for i := range digits {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

// inUUID reports whether the part of the text lies in a UUID.
func inUUID(text string, begin, end int) bool {
	const size = 36
	for at := max(0, end-size); at <= begin && at+size <= len(text); at++ {
		if isUUID(text[at : at+size]) {
			return true
		}
	}
	return false
}

func isUUID(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
				return false
			}
		}
	}
	return true
}

// MaskValue returns the shape of a value, for a refusal's Masked: letters as x, digits as 9, other ASCII as it is and
// anything else as ?, at most 24 characters.
func MaskValue(value string) string {
	const most = 24
	shape := make([]rune, 0, most)
	for _, r := range value {
		if len(shape) == most {
			shape[most-1] = '…'
			break
		}
		switch {
		case unicode.IsLetter(r), unicode.IsMark(r):
			r = 'x'
		case unicode.IsNumber(r):
			r = '9'
		case r < ' ' || r >= utf8.RuneSelf || r == 0x7f:
			r = '?'
		}
		shape = append(shape, r)
	}
	return string(shape)
}
