package genesystest

import (
	"fmt"
	"strings"

	"lockstep/connectors/simulator"
)

const jsonType = "application/json"

// apiError is one error as the platform words it.
type apiError struct {
	Status int
	Code   string
	// Message has its parameters filled in, Template has them as {name}.
	Message  string
	Template string
	Params   map[string]string
	Details  []detail
	Limit    *limit
	// Retryable is the hint that items of bulk answers carry.
	Retryable bool
}

type detail struct {
	ErrorCode  string `json:"errorCode,omitempty"`
	FieldName  string `json:"fieldName,omitempty"`
	EntityID   string `json:"entityId,omitempty"`
	EntityName string `json:"entityName,omitempty"`
}

type limit struct {
	Key       string `json:"key"`
	Namespace string `json:"namespace"`
	Value     int    `json:"value"`
}

// errorBody is ErrorBody of the specification.
type errorBody struct {
	Message           string            `json:"message"`
	Code              string            `json:"code"`
	Status            int               `json:"status"`
	MessageWithParams string            `json:"messageWithParams,omitempty"`
	MessageParams     map[string]string `json:"messageParams"`
	ContextID         string            `json:"contextId"`
	Details           []detail          `json:"details"`
	Errors            []errorBody       `json:"errors"`
	Limit             *limit            `json:"limit,omitempty"`
}

// itemError is the error of one item of a bulk answer.
type itemError struct {
	Code      string       `json:"code"`
	Message   string       `json:"message"`
	Status    int          `json:"status"`
	Retryable bool         `json:"retryable"`
	Details   []itemDetail `json:"details"`
	Entity    any          `json:"entity,omitempty"`
}

type itemDetail struct {
	FieldName string `json:"fieldName"`
	Value     string `json:"value"`
	Message   string `json:"message"`
}

// Error returns the code; the message may quote what was sent.
func (e *apiError) Error() string { return "genesys: " + e.Code }

// answer words the error under the correlation id of the request.
func (e *apiError) answer(correlation string) simulator.Answer {
	body := errorBody{
		Message: e.Message, Code: e.Code, Status: e.Status, MessageWithParams: e.Template, MessageParams: e.Params,
		ContextID: correlation, Details: e.Details, Errors: []errorBody{}, Limit: e.Limit,
	}
	if body.MessageParams == nil {
		body.MessageParams = map[string]string{}
	}
	if body.Details == nil {
		body.Details = []detail{}
	}
	return simulator.JSON(e.Status, jsonType, body)
}

func (e *apiError) item(entity any) *itemError {
	out := &itemError{
		Code: e.Code, Message: e.Message, Status: e.Status, Retryable: e.Retryable, Details: []itemDetail{}, Entity: entity,
	}
	for _, d := range e.Details {
		out.Details = append(out.Details, itemDetail{FieldName: d.FieldName, Message: e.Message})
	}
	return out
}

// with fills parameters into a message such as "Contact {id} not found".
func with(status int, code, template string, params map[string]string) *apiError {
	message := template
	for name, value := range params {
		message = strings.ReplaceAll(message, "{"+name+"}", value)
	}
	return &apiError{Status: status, Code: code, Message: message, Template: template, Params: params}
}

func contactNotFound(id string) *apiError {
	return with(404, "contact.not.found", "Contact {contactId} not found.", map[string]string{"contactId": id})
}

func notFound(kind, id string) *apiError {
	return with(404, "not.found", "The requested "+kind+" {id} could not be found.", map[string]string{"id": id})
}

func badRequest(message string) *apiError {
	return &apiError{Status: 400, Code: "bad.request", Message: message}
}

func invalidValue(field, message string) *apiError {
	return &apiError{Status: 400, Code: "invalid.value", Message: message, Details: []detail{{
		ErrorCode: "invalid.value", FieldName: field,
	}}}
}

// unprocessable is a failed validation of the external contacts and task management services.
func unprocessable(field, message string) *apiError {
	return &apiError{Status: 422, Code: "validation.failed", Message: message, Details: []detail{{
		ErrorCode: "validation.failed", FieldName: field,
	}}}
}

func conflict(field, message string) *apiError {
	return &apiError{Status: 409, Code: "general.conflict", Message: message, Details: []detail{{
		ErrorCode: "general.conflict", FieldName: field,
	}}}
}

func rateExceeded(seconds, allowed int) *apiError {
	e := with(429, "too.many.requests", "Rate limit exceeded the maximum. Retry the request in [{seconds}] seconds",
		map[string]string{"seconds": fmt.Sprint(seconds)})
	e.Limit = &limit{Key: "client.credentials.token.rate.per.minute", Namespace: "platform.api", Value: allowed}
	return e
}

// codeForStatus is the code that the platform usually gives with a status.
func codeForStatus(status int) (code, message string) {
	switch status {
	case 400:
		return "bad.request", "The request could not be understood by the server due to malformed syntax."
	case 401:
		return "bad.credentials", "Invalid login credentials."
	case 403:
		return "missing.permissions", "You are not authorized to perform the requested action."
	case 404:
		return "not.found", "The requested resource was not found."
	case 409:
		return "general.conflict", "The request conflicts with the current state of the resource."
	case 412:
		return "precondition.failed", "A precondition of the request failed."
	case 413:
		return "request.entity.too.large", "The request is over the size limit."
	case 415:
		return "unsupported.media.type", "Unsupported Media Type - Unsupported or incorrect media type, such as an incorrect " +
			"Content-Type value in the header."
	case 422:
		return "validation.failed", "The request failed validation."
	case 429:
		return "too.many.requests", "Rate limit exceeded the maximum."
	case 503:
		return "service.unavailable", "Service Unavailable - The server is currently unavailable."
	case 504:
		return "request.timeout", "The request timed out."
	}
	return "internal.server.error", "The server encountered an unexpected condition which prevented it from fulfilling the " +
		"request."
}
