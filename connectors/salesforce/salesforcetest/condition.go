package salesforcetest

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"

	"lockstep/connectors/simulator"
)

// condition evaluates the conditional headers: 304 or 412, or 0 to go on. Time has the resolution of a second, so two
// writes within one are not told apart; entity tags have effect on Account rows only (connectors.md 2.9).
func condition(h http.Header, row *record, reading bool) (int, *apiError) {
	modified := row.modified()
	failed := 412
	since, err := headerTime(h, "If-Unmodified-Since")
	if err != nil {
		return 0, err
	}
	if !since.IsZero() && modified.After(since) {
		return 412, nil
	}
	if reading {
		failed = 304
		since, err = headerTime(h, "If-Modified-Since")
		if err != nil {
			return 0, err
		}
		if !since.IsZero() && !modified.After(since) {
			return 304, nil
		}
	}
	if row.object.Name != "Account" {
		return 0, nil
	}
	if match := h.Get("If-Match"); match != "" && !tagListed(match, row) {
		return 412, nil
	}
	if match := h.Get("If-None-Match"); match != "" && tagListed(match, row) {
		return failed, nil
	}
	return 0, nil
}

func headerTime(h http.Header, name string) (time.Time, *apiError) {
	text := h.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return time.Time{}, &apiError{
			Code: "INVALID_HEADER_TYPE", Message: fmt.Sprintf("The value of the header %s is not a valid date", name),
		}
	}
	return at, nil
}

// validators adds Last-Modified, and an ETag to Account rows.
func validators(a simulator.Answer, row *record) simulator.Answer {
	a = a.With("Last-Modified", row.modified().Format(http.TimeFormat))
	if row.object.Name == "Account" {
		a = a.With("ETag", tag(row))
	}
	return a
}

// tag is the row's entity tag, in the form that Salesforce gives it.
func tag(row *record) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", row.id, row.changes))
	return `"` + base64.StdEncoding.EncodeToString(sum[:]) + `--gzip"`
}

func tagListed(header string, row *record) bool {
	for have := range strings.SplitSeq(header, ",") {
		if have = strings.TrimSpace(have); have == "*" || strings.TrimPrefix(have, "W/") == tag(row) {
			return true
		}
	}
	return false
}
