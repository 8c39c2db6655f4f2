package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
)

// Answer is a decided reply.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// JSON returns an answer with v as its body.
func JSON(status int, contentType string, v any) Answer {
	return Answer{Status: status, Header: http.Header{"Content-Type": {contentType}}, Body: Encode(v)}
}

// Empty returns an answer without a body.
func Empty(status int) Answer { return Answer{Status: status, Header: http.Header{}} }

// With returns the answer with one header more, spelt on the wire as key is spelt here.
func (a Answer) With(key, value string) Answer {
	a.Header[key] = []string{value}
	return a
}

// Encode returns v as JSON without HTML escapes. It panics on what does not encode: everything a simulator encodes it
// made itself.
func Encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("simulator: answer does not encode: %v", err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
