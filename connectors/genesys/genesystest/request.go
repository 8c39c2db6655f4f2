package genesystest

import (
	"bytes"
	"encoding/json"
	"math"
	"mime"
	"strconv"
	"strings"

	"lockstep/connectors/simulator"
)

// maxBody is request.bytes.max of the platform.
const maxBody = 512_000

// request is an authenticated call of the API.
type request struct {
	*simulator.Call
	correlation string
}

// operation serves an authenticated request.
type operation func(*request) (simulator.Answer, *apiError)

// serve wraps an operation in what every request goes through: token, rate, size, media type.
func (s *Simulator) serve(work operation) func(*simulator.Call) simulator.Answer {
	return func(c *simulator.Call) simulator.Answer {
		rq := &request{Call: c, correlation: s.ids.UUID()}
		if err := s.authenticate(rq); err != nil {
			return err.answer(rq.correlation).With("ININ-Correlation-Id", rq.correlation)
		}
		window := s.quota.Minute(rq.Credential)
		answer, err := simulator.Answer{}, rq.checkShape()
		switch {
		case window.Refused:
			err = rateExceeded(seconds(window), window.Allowed)
		case err == nil:
			answer, err = work(rq)
		}
		if err != nil {
			answer = err.answer(rq.correlation)
		}
		if window.Refused {
			answer = answer.With("retry-after", strconv.Itoa(seconds(window)))
		}
		return rated(answer, window).With("ININ-Correlation-Id", rq.correlation)
	}
}

// liftedRate is what the headers call the ceiling while it is lifted.
const liftedRate = 1_000_000

// rated adds the headers that tell the client's window; reset is a span in seconds, not a moment.
func rated(a simulator.Answer, w simulator.Window) simulator.Answer {
	allowed := w.Allowed
	if allowed == 0 {
		allowed = liftedRate
	}
	return a.With("inin-ratelimit-count", strconv.Itoa(w.Count)).With("inin-ratelimit-allowed", strconv.Itoa(allowed)).
		With("inin-ratelimit-reset", strconv.Itoa(seconds(w)))
}

func seconds(w simulator.Window) int { return max(int(math.Ceil(w.Resets.Seconds())), 1) }

func (s *Simulator) authenticate(rq *request) *apiError {
	header := rq.Request.Header.Get("Authorization")
	scheme, token, _ := strings.Cut(header, " ")
	if header == "" {
		return &apiError{
			Status: 401, Code: "authentication.required", Message: "No authentication bearer token specified in authorization header.",
		}
	}
	if _, ok := s.tokens.Client(token); !ok || !strings.EqualFold(scheme, "Bearer") {
		return &apiError{Status: 401, Code: "bad.credentials", Message: "Invalid login credentials."}
	}
	return nil
}

// checkShape refuses what no operation takes. A client that names a media type without sending a body is fine.
func (rq *request) checkShape() *apiError {
	if rq.Overlong {
		e := &apiError{Status: 413, Code: "request.entity.too.large"}
		e.Message = "The request is over the size limit. Maximum bytes: 512000"
		e.Limit = &limit{Key: "request.bytes.max", Namespace: "platform.api", Value: maxBody}
		return e
	}
	if len(rq.Body) == 0 {
		return nil
	}
	media, _, err := mime.ParseMediaType(rq.Request.Header.Get("Content-Type"))
	if err != nil || media != jsonType {
		code, message := codeForStatus(415)
		return &apiError{Status: 415, Code: code, Message: message}
	}
	return nil
}

// decode reads the body strictly: the platform refuses members that it does not know.
func (rq *request) decode(into any) *apiError { return decode(rq.Body, into) }

func decode(body []byte, into any) *apiError {
	if len(bytes.TrimSpace(body)) == 0 {
		return badRequest("The request body is missing.")
	}
	if err := simulator.Decode(body, into); err != nil {
		return badRequest("The request could not be understood by the server due to malformed syntax: " + err.Error())
	}
	return nil
}

// object reads the body as a JSON object of any members.
func (rq *request) object() (map[string]any, *apiError) {
	var out map[string]any
	if err := rq.decode(&out); err != nil {
		return nil, err
	}
	if out == nil {
		return nil, badRequest("The request body must be an object.")
	}
	return out, nil
}

// list reads an array parameter in both forms: repeated and joined by commas.
func (rq *request) list(name string) []string {
	var out []string
	for _, value := range rq.Query[name] {
		for part := range strings.SplitSeq(value, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
	}
	return out
}

func (rq *request) number(name string, otherwise, least, most int) (int, *apiError) {
	text := rq.Query.Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, invalidValue(name, "The value of "+name+" must be between "+strconv.Itoa(least)+" and "+strconv.Itoa(most)+".")
	}
	return n, nil
}

func ok(v any) (simulator.Answer, *apiError) { return simulator.JSON(200, jsonType, v), nil }

func empty(status int) (simulator.Answer, *apiError) { return simulator.Empty(status), nil }

// clone copies a document deeply, in the types that JSON decodes to.
func clone(v map[string]any) map[string]any {
	var out map[string]any
	if err := json.Unmarshal(simulator.Encode(v), &out); err != nil {
		panic("genesystest: a document does not decode: " + err.Error()) // Encode wrote it
	}
	return out
}

// dialect is how Genesys words what happens in front of its operations.
type dialect struct{ s *Simulator }

// Client names the client behind a token, or the one that asks for a token.
func (d dialect) Client(c *simulator.Call) string {
	if id, _, ok := c.Request.BasicAuth(); ok {
		return id
	}
	_, token, _ := strings.Cut(c.Request.Header.Get("Authorization"), " ")
	client, _ := d.s.tokens.Client(token)
	return client
}

func (d dialect) wrap(e *apiError) simulator.Answer {
	correlation := d.s.ids.UUID()
	return e.answer(correlation).With("ININ-Correlation-Id", correlation)
}

// NotSimulated answers 501.
func (d dialect) NotSimulated(*simulator.Call) simulator.Answer {
	return d.wrap(&apiError{Status: 501, Code: "not.simulated", Message: "The simulator does not offer this route."})
}

// MethodNotAllowed answers 405.
func (d dialect) MethodNotAllowed(_ *simulator.Call, allowed []string) simulator.Answer {
	return d.wrap(&apiError{Status: 405, Code: "method.not.allowed", Message: "Method Not Allowed"}).
		With("Allow", strings.Join(allowed, ", "))
}

// Refuse answers a fault of kind status.
func (d dialect) Refuse(c *simulator.Call, f simulator.Fault) simulator.Answer {
	if c.Route != nil && c.Route.Class == simulator.ClassToken {
		answer := oauthError("invalid_client", f.Message)
		if f.BodyCode != "" {
			answer = oauthError(f.BodyCode, f.Message)
		}
		answer.Status = f.Code
		return answer
	}
	return d.wrap(faultError(f))
}

// Throttle answers a fault of kind throttle: 429, with the wait in the message too when the fault tells one.
func (d dialect) Throttle(c *simulator.Call, f simulator.Fault) simulator.Answer {
	if c.Route != nil && c.Route.Class == simulator.ClassToken || f.Code != 0 && f.Code != 429 || f.BodyCode != "" {
		if f.Code == 0 {
			f.Code = 429
		}
		return d.Refuse(c, f)
	}
	e := &apiError{Status: 429, Code: "too.many.requests", Message: "Rate limit exceeded the maximum."}
	if len(f.RetryAfter) > 0 {
		if n, err := strconv.Atoi(f.RetryAfter[0]); err == nil {
			e = rateExceeded(n, 300)
		}
	}
	return d.wrap(e)
}

// RevokeTokens ends every token.
func (d dialect) RevokeTokens() { d.s.tokens.RevokeAll() }

// faultError words a fault as an error of the vendor.
func faultError(f simulator.Fault) *apiError {
	code, message := codeForStatus(f.Code)
	e := &apiError{Status: f.Code, Code: code, Message: message, Retryable: f.Retryable == nil || *f.Retryable}
	if f.BodyCode != "" {
		e.Code = f.BodyCode
	}
	if f.Message != "" {
		e.Message = f.Message
	}
	if f.Field != "" {
		e.Details = []detail{{ErrorCode: e.Code, FieldName: f.Field}}
	}
	return e
}
