package salesforce

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"lockstep/connectors"
	"lockstep/schema"
)

// failure is one entry of an error list: errorCode in the answer to a request, statusCode in an item of a collection.
type failure struct {
	ErrorCode  string   `json:"errorCode" validate:"required_without=StatusCode"`
	StatusCode string   `json:"statusCode"`
	Message    string   `json:"message"`
	Fields     []string `json:"fields"`
}

func (f failure) code() string {
	if f.ErrorCode != "" {
		return f.ErrorCode
	}
	return f.StatusCode
}

// failures reads an error list; ok is false when the body is none.
func failures(body []byte) (list []failure, ok bool) {
	if json.Unmarshal(body, &list) != nil || len(list) == 0 || schema.Validate(list[0]) != nil {
		return nil, false
	}
	return list, true
}

// refused is the failure of a whole call. A 404 is a wrong object, key or version, never a missing record: no path of
// ours leads to a single record.
func (s *Connector) refused(r *connectors.Response) *connectors.Error {
	list, spoken := failures(r.Body)
	e := r.Refusal(spoken)
	switch {
	case r.Status == http.StatusMultipleChoices:
		e.Kind, e.Code = schema.HumanNeeded, "MULTIPLE_CHOICES"
	case r.Status == http.StatusNotFound, r.Status == http.StatusConflict, r.Status == http.StatusGone:
		e.Kind = schema.Unsupported
	}
	if !spoken {
		return e
	}
	e.Code = connectors.Clean(list[0].code())
	if e.Kind == schema.Throttled || e.Kind == schema.UnknownOutcome {
		return e
	}
	if kind, ok := kindOf(list[0]); ok && kind != schema.NotFound {
		e.Kind = kind
	}
	return e
}

// kindOf classifies the codes that say more than their status; ok is false for the rest (connectors.md, 2.3, 2.4, 13).
func kindOf(f failure) (kind schema.Kind, ok bool) {
	code := f.code()
	switch code {
	case "REQUEST_LIMIT_EXCEEDED":
		// The day's allowance and the limit on long-running requests share a code; only the message tells them apart.
		if strings.HasPrefix(f.Message, "Concurrent") {
			return schema.Contention, true
		}
		return schema.QuotaExhausted, true
	case "UNABLE_TO_LOCK_ROW", "ALL_OR_NONE_OPERATION_ROLLED_BACK", "PROCESSING_HALTED":
		return schema.Contention, true
	case "DUPLICATE_VALUE":
		return schema.LostRace, true
	case "DUPLICATES_DETECTED", "DUPLICATE_EXTERNAL_ID":
		return schema.HumanNeeded, true
	case "ENTITY_IS_DELETED", "NOT_FOUND":
		return schema.NotFound, true
	case "SERVER_UNAVAILABLE", "UNKNOWN_EXCEPTION", "QUERY_TIMEOUT":
		return schema.Unavailable, true
	case "INVALID_SESSION_ID":
		return schema.AuthExpired, true
	case "API_DISABLED_FOR_ORG", "INVALID_FIELD_FOR_INSERT_UPDATE":
		return schema.Forbidden, true
	case "INVALID_FIELD", "INVALID_TYPE", "METHOD_NOT_ALLOWED", "UNSUPPORTED_API_VERSION", "INVALID_QUERY_LOCATOR":
		return schema.Unsupported, true
	}
	if strings.HasPrefix(code, "INSUFFICIENT_ACCESS") {
		return schema.Forbidden, true
	}
	return "", false
}

// itemRefused is the failure of one record of a call that went through.
func (s *Connector) itemRefused(op schema.Op, o connectors.Object, list []failure) *connectors.Error {
	if len(list) == 0 {
		return &connectors.Error{System: s.system, Kind: schema.UnknownOutcome, Code: connectors.CodeAnswerUnread}
	}
	f := list[0]
	e := &connectors.Error{System: s.system, Kind: schema.Invalid, Code: connectors.Clean(f.code()), Field: governed(o, f.Fields)}
	if kind, ok := kindOf(f); ok {
		e.Kind = kind
	}
	switch {
	case e.Kind.Scope() == schema.ScopeSystem:
		e.Kind = schema.Contention
	case e.Kind == schema.LostRace && !raced(op, o, f.Fields):
		e.Kind = schema.HumanNeeded
	case f.code() == "INVALID_CROSS_REFERENCE_KEY" && op != schema.OpCreate && unnamed(f.Fields):
		// The id of the record itself leads nowhere. A field that refers to a missing record is named, or in a create.
		e.Kind = schema.NotFound
	}
	return e
}

// raced reports whether a duplicate value is somebody else's creation under our key: then the same upsert finds it. A
// unique value that another record holds is for a person.
func raced(op schema.Op, o connectors.Object, fields []string) bool {
	return op == schema.OpCreate && (len(fields) == 0 || slices.Contains(fields, o.Key))
}

func unnamed(fields []string) bool {
	return len(fields) == 0 || fields[0] == "Id" || fields[0] == "id"
}

// governed returns the first field that the error names, if it is one of the object's: anything else may be text.
func governed(o connectors.Object, fields []string) string {
	if len(fields) > 0 && slices.Contains(o.Fields, fields[0]) {
		return fields[0]
	}
	return ""
}

var usageGrammar = regexp.MustCompile(`(?:^|[ ,;])api-usage=([0-9]{1,12})/([0-9]{1,12})(?:$|[ ,;])`)

// observeQuota tells the org's daily allowance: Sforce-Limit-Info: api-usage=10018/100000.
func (s *Connector) observeQuota(h http.Header) {
	if s.onQuota == nil {
		return
	}
	m := usageGrammar.FindStringSubmatch(h.Get("Sforce-Limit-Info"))
	if m == nil {
		return
	}
	used, _ := strconv.Atoi(m[1])
	allowed, _ := strconv.Atoi(m[2])
	s.onQuota(connectors.Quota{Remaining: max(0, allowed-used), Allowed: allowed})
}
