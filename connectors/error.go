package connectors

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"lockstep/schema"
)

// Error is a failed vendor call or a failed item of one. It carries codes and names, never a vendor's text: that may
// quote a person's data.
type Error struct {
	System string
	Kind   schema.Kind
	// Code is the vendor's own code, cleaned to [A-Za-z0-9_.:-] and at most 64 characters; empty when there was none.
	// Where no vendor spoke it is one of the Code constants.
	Code string
	// Status is the HTTP status; 0 when no answer came.
	Status int
	// Field is the vendor field that the refusal names; empty when it names none.
	Field string
	// RetryAfter is the wait that the vendor asks for; 0 when it asks for none.
	RetryAfter time.Duration
	// Correlation is the vendor's id of the request, cleaned like Code.
	Correlation string
}

// The codes of failures that no vendor names.
const (
	CodeTimeout        = "timeout"
	CodeCanceled       = "canceled"
	CodeDNS            = "dns"
	CodeDial           = "dial"
	CodeTLS            = "tls"
	CodeLost           = "connection_lost"
	CodeHostDenied     = "host_denied"
	CodeAddressDenied  = "address_denied"
	CodeBadRequest     = "bad_request"
	CodeRequestTooBig  = "request_too_big"
	CodeAnswerTooBig   = "answer_too_big"
	CodeAnswerUnread   = "answer_unreadable"
	CodeRedirect       = "redirect"
	CodeBadID          = "bad_record_id"
	CodeBadKey         = "bad_match_key"
	CodeBatchTooBig    = "batch_too_big"
	CodeTooManyMatches = "too_many_matches"
	CodeNoCredential   = "no_credential" //nolint:gosec // a code, not a credential
	CodeNoToken        = "no_token"
	CodeInstanceDenied = "instance_denied"
	CodeNotInAnswer    = "not_in_answer"
)

// Error returns system, kind, code, status and field in one line.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.System, e.Kind)
	if e.Code != "" {
		fmt.Fprintf(&b, " %s", e.Code)
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, " (%d)", e.Status)
	}
	if e.Field != "" {
		fmt.Fprintf(&b, " field %s", e.Field)
	}
	return b.String()
}

// KindOf returns the kind of the first *Error in err's chain; ok is false when there is none.
func KindOf(err error) (kind schema.Kind, ok bool) {
	var e *Error
	if !errors.As(err, &e) {
		return "", false
	}
	return e.Kind, true
}

// Clean reduces a vendor's code, field name or correlation id to at most 64 characters of [A-Za-z0-9_.:-]; whatever
// does not look like a code becomes "".
func Clean(code string) string {
	if len(code) > 64 {
		return ""
	}
	for _, r := range code {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		case r == '_' || r == '.' || r == ':' || r == '-':
		default:
			return ""
		}
	}
	return code
}
