package signature

import (
	"strconv"
	"strings"
	"time"
)

// The timestamp formats.
const (
	seconds      = "s"
	milliseconds = "ms"
	iso8601      = "iso8601"
)

const (
	// defaultTolerance is what every vendor recommends.
	defaultTolerance = 5 * time.Minute
	// lastSecond is the end of the year 9999; later times are no times.
	lastSecond = 253402300799
)

// parseTime reads a timestamp. Numbers are plain decimals: no sign, no blanks, no leading zeros, no fraction
// (reliability A08).
func parseTime(format, text string) (at time.Time, ok bool) {
	switch format {
	case seconds:
		n, ok := parseDecimal(text, lastSecond)
		return time.Unix(n, 0).UTC(), ok
	case milliseconds:
		n, ok := parseDecimal(text, lastSecond*1000+999)
		return time.UnixMilli(n).UTC(), ok
	default:
		if !isRFC3339(text) {
			return time.Time{}, false
		}
		at, err := time.Parse(time.RFC3339, text)
		return at.UTC(), err == nil
	}
}

// isRFC3339 checks the spelling, which time.Parse takes lightly: it reads a comma before the fraction, an hour of one
// digit and offsets of more than a day.
func isRFC3339(text string) bool {
	switch last := len(text) - len("+00:00"); {
	case strings.HasSuffix(text, "Z"):
		text = text[:len(text)-1]
	case last > 0:
		zone := text[last:]
		text = text[:last]
		if zone[0] != '+' && zone[0] != '-' || !like(zone[1:], "00:00") || zone[1:3] > "23" || zone[4:] > "59" {
			return false
		}
	}
	moment, fraction, fractional := strings.Cut(text, ".")
	if fractional && (len(fraction) > 9 || fraction == "" || !like(fraction, "000000000"[:len(fraction)])) {
		return false
	}
	return like(moment, "0000-00-00T00:00:00")
}

// like reports whether the text has a digit wherever the pattern has a 0, and the pattern's own characters elsewhere.
func like(text, pattern string) bool {
	if len(text) != len(pattern) {
		return false
	}
	for i := range len(text) {
		if digit := '0' <= text[i] && text[i] <= '9'; digit != (pattern[i] == '0') || !digit && text[i] != pattern[i] {
			return false
		}
	}
	return true
}

// parseDecimal reads a decimal of at most most.
func parseDecimal(text string, most int64) (n int64, ok bool) {
	const longest = 15
	if len(text) == 0 || len(text) > longest || text[0] == '0' && len(text) > 1 {
		return 0, false
	}
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n <= most
}

// fresh compares the age of a signature with the tolerance, both ways.
func (s *scheme) fresh(age time.Duration) Cause {
	switch {
	case s.anyTime || age.Abs() <= s.tolerance:
		return ""
	case age > 0:
		return Stale
	default:
		return Future
	}
}
