package connectors

import (
	"net/http"
	"time"

	"lockstep/schema"
)

// StatusKind classifies an HTTP status by itself; a vendor's own code may say more (connectors.md, section 13).
func StatusKind(status int) schema.Kind {
	switch status {
	case http.StatusUnauthorized:
		return schema.AuthExpired
	case http.StatusForbidden:
		return schema.Forbidden
	case http.StatusNotFound, http.StatusGone:
		return schema.NotFound
	case http.StatusConflict, http.StatusPreconditionFailed:
		return schema.Conflict
	case http.StatusLocked:
		return schema.Contention
	case http.StatusTooManyRequests:
		return schema.Throttled
	case http.StatusRequestTimeout, http.StatusTooEarly, 420:
		return schema.Unavailable
	case http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusUnsupportedMediaType,
		http.StatusPreconditionRequired:
		return schema.Unsupported
	}
	switch status / 100 {
	case 4:
		return schema.Invalid
	case 5:
		return schema.Unavailable
	default:
		// A redirect, or a success of another kind than the operation has.
		return schema.Unsupported
	}
}

// ItemKind classifies the status of one item of a call that went through: what would be the whole system's trouble for
// a call is Contention for an item, so that the same item is tried again a few times and the others keep their fate.
func ItemKind(status int) schema.Kind {
	kind := StatusKind(status)
	if kind.Scope() == schema.ScopeSystem {
		return schema.Contention
	}
	return kind
}

// Refusal is the failure of a whole call that was answered with another status than success. spoken says whether the
// body is one of the vendor's own error documents: a 5xx without one, and every 502 and 504, comes from something
// between us and the vendor, so an effectful request may have been applied (reliability, 7.4).
func (r *Response) Refusal(spoken bool) *Error {
	e := &Error{System: r.system, Kind: StatusKind(r.Status), Status: r.Status, RetryAfter: RetryAfter(r.Header, time.Now())}
	switch {
	case r.Status/100 == 3:
		e.Code = CodeRedirect
	case r.Status == http.StatusServiceUnavailable && e.RetryAfter > 0:
		e.Kind = schema.Throttled
	case r.effect && r.Status >= 500 && (!spoken || r.Status == http.StatusBadGateway || r.Status == http.StatusGatewayTimeout):
		e.Kind = schema.UnknownOutcome
	}
	return e
}
