package salesforcetest

import (
	"fmt"
	"net/http"
	"strings"

	"lockstep/connectors/simulator"
)

const jsonType = "application/json;charset=UTF-8"

// apiError is one error as Salesforce words it.
type apiError struct {
	// Status is the HTTP status of the error when it is the answer to a whole request; 0 means 400.
	Status  int
	Message string
	Code    string
	// Fields are named by data errors, which show an empty list when they name none; other errors show no list.
	Fields []string
	// Duplicate is the result of a duplicate rule.
	Duplicate *duplicateResult
}

// Error returns the code; the message may quote what was sent.
func (e *apiError) Error() string { return "salesforce: " + e.Code }

// restError is an error in the array that answers a request.
type restError struct {
	Duplicate *duplicateResult `json:"duplicateResult,omitempty"`
	Message   string           `json:"message"`
	Code      string           `json:"errorCode"`
	Fields    *[]string        `json:"fields,omitempty"`
}

// itemError is an error of one item of a collection: statusCode where a request's error has errorCode.
type itemError struct {
	Code    string   `json:"statusCode"`
	Message string   `json:"message"`
	Fields  []string `json:"fields"`
}

// saveResult is the fate of one item of a collection.
type saveResult struct {
	ID      string      `json:"id,omitempty"`
	Success bool        `json:"success"`
	Errors  []itemError `json:"errors"`
	Created *bool       `json:"created,omitempty"`
}

func (e *apiError) answer() simulator.Answer {
	status := e.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	return simulator.JSON(status, jsonType, []restError{e.rest()})
}

func (e *apiError) rest() restError {
	out := restError{Message: e.Message, Code: e.Code, Duplicate: e.Duplicate}
	if e.Fields != nil {
		out.Fields = &e.Fields
	}
	return out
}

func (e *apiError) item() saveResult {
	fields := e.Fields
	if fields == nil {
		fields = []string{}
	}
	return saveResult{Errors: []itemError{{Code: e.Code, Message: e.Message, Fields: fields}}}
}

func notFound() *apiError {
	return &apiError{Status: 404, Code: "NOT_FOUND", Message: "The requested resource does not exist"}
}

// noSuchKey is the famous answer to an id that is none: Salesforce takes it for the name of an external id field.
func noSuchKey(name string) *apiError {
	return &apiError{
		Status: 404, Code: "NOT_FOUND",
		Message: "Provided external ID field does not exist or is not accessible: " + name,
	}
}

func deleted() *apiError {
	return &apiError{Status: 404, Code: "ENTITY_IS_DELETED", Message: "entity is deleted", Fields: []string{}}
}

func noSuchField(o *object, name string) *apiError {
	return &apiError{
		Code: "INVALID_FIELD", Message: fmt.Sprintf("No such column '%s' on sobject of type %s", name, o.Name),
	}
}

func wrongID(label, id string, fields ...string) *apiError {
	return &apiError{
		Code: "MALFORMED_ID", Message: fmt.Sprintf("%s: id value of incorrect type: %s", label, id), Fields: fields,
	}
}

func badJSON(detail string) *apiError { return &apiError{Code: "JSON_PARSER_ERROR", Message: detail} }

func missing(fields []string) *apiError {
	return &apiError{
		Code: "REQUIRED_FIELD_MISSING", Fields: fields,
		Message: "Required fields are missing: [" + strings.Join(fields, ", ") + "]",
	}
}

func duplicateValue(f *field, id string) *apiError {
	return &apiError{
		Code: "DUPLICATE_VALUE", Fields: []string{},
		Message: fmt.Sprintf("duplicate value found: %s duplicates value on record with id: %s", f.Name, id),
	}
}

func locked(id string) *apiError {
	return &apiError{
		Code: "UNABLE_TO_LOCK_ROW", Fields: []string{},
		Message: "unable to obtain exclusive access to this record or 1 records: " + id,
	}
}

// codeForStatus is the code that Salesforce usually gives with a status.
func codeForStatus(status int) (code, message string) {
	switch status {
	case 401:
		return "INVALID_SESSION_ID", "Session expired or invalid"
	case 403:
		return "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."
	case 404:
		return "NOT_FOUND", "The requested resource does not exist"
	case 405:
		return "METHOD_NOT_ALLOWED", "HTTP Method not allowed"
	case 409:
		return "CONFLICT", "The request could not be completed due to a conflict with the current state of the resource"
	case 415:
		return "UNSUPPORTED_MEDIA_TYPE", "Content type specified is not supported."
	case 429:
		return "TOO_MANY_REQUESTS", "Too many requests"
	case 503:
		return "SERVER_UNAVAILABLE", "Server too busy"
	}
	if status >= 500 {
		return "UNKNOWN_EXCEPTION", "An unexpected error occurred. Please include this ErrorId if you contact support"
	}
	return "UNKNOWN_EXCEPTION", "The request was refused"
}
