package signature

import "errors"

// fault is an error that never changes.
type fault string

// Error returns the text.
func (f fault) Error() string { return string(f) }

const (
	// ErrUnauthorised is every refusal, whatever its cause. It is all that a sender may learn.
	ErrUnauthorised = fault("unauthorised")
	// ErrSecrets: the secrets could not be had, or are too short. The sender is not to blame: answer 503.
	ErrSecrets = fault("signature: the source's secrets cannot be used")
)

// Cause is why a request was refused, for the counter. The list is closed; no cause tells anything of the request.
type Cause string

// The causes.
const (
	MissingSignature   Cause = "missing_signature"
	MalformedSignature Cause = "malformed_signature"
	WrongSignature     Cause = "wrong_signature"
	MissingID          Cause = "missing_id"
	MalformedID        Cause = "malformed_id"
	MissingTimestamp   Cause = "missing_timestamp"
	MalformedTimestamp Cause = "malformed_timestamp"
	// Stale and Future: the signature is right, and the signed time is not ours.
	Stale  Cause = "stale"
	Future Cause = "future"
	// RepeatedHeader: a header that counts came twice.
	RepeatedHeader Cause = "repeated_header"
	MalformedURL   Cause = "malformed_url"
	// MalformedBody: the signature stands in the body, and the body cannot be read in one way only.
	MalformedBody Cause = "malformed_body"
)

// Causes lists every cause once.
var Causes = []Cause{
	MissingSignature, MalformedSignature, WrongSignature, MissingID, MalformedID, MissingTimestamp, MalformedTimestamp,
	Stale, Future, RepeatedHeader, MalformedURL, MalformedBody,
}

// refused is a refusal. Its text is that of ErrUnauthorised.
type refused struct{ cause Cause }

func (r *refused) Error() string        { return ErrUnauthorised.Error() }
func (r *refused) Is(target error) bool { return target == ErrUnauthorised }

// CauseOf returns the cause of a refusal; ok is false when err is none.
func CauseOf(err error) (cause Cause, ok bool) {
	var r *refused
	if !errors.As(err, &r) {
		return "", false
	}
	return r.cause, true
}
