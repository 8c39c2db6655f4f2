package salesforcetest

import "strings"

const idDigits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// makeID builds the 18-character id number n of a prefix, such as 003xx0000000001AAA.
func makeID(prefix string, n uint64) string {
	tail := [9]byte{}
	for i := len(tail) - 1; i >= 0; i-- {
		tail[i] = idDigits[n%62]
		n /= 62
	}
	short := prefix + "xx0" + string(tail[:])
	return short + checksum(short)
}

// checksum returns the three characters that make a 15-character id safe where case is lost: one per five characters,
// its bits telling which of them are upper case.
func checksum(short string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
	out := make([]byte, 3)
	for chunk := range out {
		bits := 0
		for i := range 5 {
			if c := short[chunk*5+i]; 'A' <= c && c <= 'Z' {
				bits |= 1 << i
			}
		}
		out[chunk] = alphabet[bits]
	}
	return string(out)
}

// fullID returns the 18-character form of a well-formed id of 15 or 18 characters.
func fullID(id string) (string, bool) {
	if len(id) != 15 && len(id) != 18 {
		return "", false
	}
	for _, r := range id {
		if !strings.ContainsRune(idDigits, r) {
			return "", false
		}
	}
	full := id[:15] + checksum(id[:15])
	return full, len(id) == 15 || id == full
}
