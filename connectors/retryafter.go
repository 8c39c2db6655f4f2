package connectors

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The bounds of a wait that a vendor asks for: never a hot loop, never a day lost to a typing mistake (D01).
const (
	MinRetryAfter = time.Second
	MaxRetryAfter = time.Hour
)

// RetryAfter reads the Retry-After fields of an answer: seconds or an HTTP date. Whatever stands there is bounded to
// MinRetryAfter … MaxRetryAfter, what cannot be read counts as the least, and of several the longest counts. It is 0
// without the field.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	longest := time.Duration(0)
	for _, value := range h.Values("Retry-After") {
		longest = max(longest, BoundRetryAfter(retryAfter(value, now)))
	}
	return longest
}

// BoundRetryAfter bounds a wait to MinRetryAfter … MaxRetryAfter.
func BoundRetryAfter(d time.Duration) time.Duration { return min(max(d, MinRetryAfter), MaxRetryAfter) }

func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		// NaN is no wait at all; the comparison also keeps the conversion within a Duration.
		if !(seconds < MaxRetryAfter.Seconds()) {
			if math.IsNaN(seconds) {
				return 0
			}
			return MaxRetryAfter
		}
		return time.Duration(max(0, math.Ceil(seconds))) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return at.Sub(now)
	}
	return 0
}
