package salesforcetest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"lockstep/connectors/simulator"
)

const (
	// maxParts is how many subrequests a composite call holds, maxQueries how many of them query or carry collections.
	maxParts   = 25
	maxQueries = 5
)

// compositeBody is the body of POST /composite.
type compositeBody struct {
	AllOrNone          bool            `json:"allOrNone"`
	CollateSubrequests bool            `json:"collateSubrequests"`
	Parts              []compositePart `json:"compositeRequest"`
}

type compositePart struct {
	Method      string            `json:"method"`
	URL         string            `json:"url"`
	ReferenceID string            `json:"referenceId"`
	Headers     map[string]string `json:"httpHeaders"`
	Body        json.RawMessage   `json:"body"`
}

// compositeResult is the answer to one subrequest.
type compositeResult struct {
	Body        json.RawMessage   `json:"body"`
	Headers     map[string]string `json:"httpHeaders"`
	Status      int               `json:"httpStatusCode"`
	ReferenceID string            `json:"referenceId"`
}

// compositeClass tells a composite call that only reads from one that writes.
func compositeClass(c *simulator.Call) simulator.Class {
	var body compositeBody
	if json.Unmarshal(c.Body, &body) != nil {
		return writes
	}
	for _, p := range body.Parts {
		if !strings.EqualFold(p.Method, "GET") {
			return writes
		}
	}
	return reads
}

// composite runs the subrequests in order in one locked moment. It is one call against the allowance.
func (s *Simulator) composite(rq *request) simulator.Answer {
	if rq.within != nil {
		return (&apiError{Code: "INVALID_INPUT", Message: "A composite request cannot hold another one"}).answer()
	}
	var body compositeBody
	if err := decode(rq.Body, &body); err != nil {
		return err.answer()
	}
	if err := body.check(); err != nil {
		return err.answer()
	}
	return s.write(rq, func(t *transaction) simulator.Answer {
		return simulator.JSON(200, jsonType, map[string]any{"compositeResponse": s.runParts(rq, t, body)})
	})
}

var referencePattern = regexp.MustCompile(`^[A-Za-z0-9_]+$`)

func (b compositeBody) check() *apiError {
	if len(b.Parts) > maxParts {
		return &apiError{
			Code: "LIMIT_EXCEEDED", Message: fmt.Sprintf("The composite request holds more than %d subrequests", maxParts),
		}
	}
	queries, seen := 0, map[string]bool{}
	for _, p := range b.Parts {
		switch {
		case p.Method == "" || p.URL == "" || p.ReferenceID == "":
			return badJSON("A subrequest needs method, url and referenceId at [line:1, column:2]")
		case !referencePattern.MatchString(p.ReferenceID):
			return badJSON("The referenceId " + p.ReferenceID + " holds more than letters, digits and underscores")
		case seen[p.ReferenceID]:
			return badJSON("The referenceId " + p.ReferenceID + " is not unique")
		}
		seen[p.ReferenceID] = true
		if strings.Contains(p.URL, "/query") || strings.Contains(p.URL, "/composite/sobjects") {
			queries++
		}
	}
	if queries > maxQueries {
		return &apiError{
			Code:    "LIMIT_EXCEEDED",
			Message: fmt.Sprintf("The composite request holds more than %d query and collection subrequests", maxQueries),
		}
	}
	return nil
}

func (s *Simulator) runParts(rq *request, t *transaction, body compositeBody) []compositeResult {
	results := make([]compositeResult, 0, len(body.Parts))
	bodies := map[string]any{}
	start, broken := t.mark(), false
	for _, p := range body.Parts {
		var result compositeResult
		if broken && body.AllOrNone {
			result = part(p, halted("The transaction was rolled back since another operation in the same transaction failed."))
		} else {
			m := t.mark()
			result = s.runPart(rq, t, p, bodies)
			if result.Status >= 400 {
				t.rollback(m)
				broken = true
			} else if !body.AllOrNone {
				t.commit()
				start = t.mark()
			}
		}
		var value any
		if json.Unmarshal(result.Body, &value) == nil && result.Status < 300 {
			bodies[p.ReferenceID] = value
		}
		results = append(results, result)
	}
	if broken && body.AllOrNone {
		t.rollback(start)
		for i, r := range results {
			if r.Status < 400 {
				results[i] = part(body.Parts[i],
					halted("The transaction was rolled back since another operation in the same transaction failed."))
			}
		}
	}
	return results
}

// runPart fills the references of a subrequest in and serves it.
func (s *Simulator) runPart(rq *request, t *transaction, p compositePart, bodies map[string]any) compositeResult {
	target, err := fill(p.URL, bodies, url.PathEscape)
	if err != nil {
		return part(p, err.answer())
	}
	filled, err := fill(string(p.Body), bodies, func(s string) string {
		quoted := simulator.Encode(s)
		return string(quoted[1 : len(quoted)-1])
	})
	if err != nil {
		return part(p, err.answer())
	}
	at, parseErr := url.Parse(target)
	if parseErr != nil || !strings.HasPrefix(at.Path, "/services/data/v") {
		return part(p, notFound().answer())
	}
	header := http.Header{}
	for name, value := range p.Headers {
		header.Set(name, value)
	}
	sub, allowed := rq.Sub(strings.ToUpper(p.Method), at, header, []byte(filled))
	return part(p, s.sub(sub, allowed, t))
}

func part(p compositePart, a simulator.Answer) compositeResult {
	out := compositeResult{Status: a.Status, ReferenceID: p.ReferenceID, Headers: map[string]string{}, Body: a.Body}
	if len(a.Body) == 0 {
		out.Body = json.RawMessage("null")
	}
	for _, name := range []string{"Location", "ETag", "Last-Modified"} {
		if v := a.Header[name]; len(v) > 0 && (name == "Location" || a.Status == 200) {
			out.Headers[name] = v[0]
		}
	}
	return out
}

func halted(message string) simulator.Answer {
	return (&apiError{Code: "PROCESSING_HALTED", Message: message}).answer()
}

var referenceForm = regexp.MustCompile(`@\{([A-Za-z0-9_]+)((?:\.[A-Za-z0-9_]+|\[[0-9]+\])+)\}`)

// fill replaces references such as @{acc.id} and @{find.records[0].Id} by what earlier subrequests answered.
func fill(text string, bodies map[string]any, escape func(string) string) (string, *apiError) {
	var failed *apiError
	out := referenceForm.ReplaceAllStringFunc(text, func(found string) string {
		m := referenceForm.FindStringSubmatch(found)
		value, ok := bodies[m[1]]
		if ok {
			value, ok = walk(value, m[2])
		}
		if !ok {
			failed = &apiError{
				Code:    "PROCESSING_HALTED",
				Message: fmt.Sprintf("Invalid reference specified. No value for %s found in %s", m[2][1:], m[1]),
			}
			return ""
		}
		return escape(fmt.Sprint(value))
	})
	return out, failed
}

var pathStep = regexp.MustCompile(`\.([A-Za-z0-9_]+)|\[([0-9]+)\]`)

func walk(value any, path string) (any, bool) {
	for _, m := range pathStep.FindAllStringSubmatch(path, -1) {
		switch at := value.(type) {
		case map[string]any:
			next, ok := at[m[1]]
			if !ok || m[1] == "" {
				return nil, false
			}
			value = next
		case []any:
			i, err := strconv.Atoi(m[2])
			if err != nil || i >= len(at) {
				return nil, false
			}
			value = at[i]
		default:
			return nil, false
		}
	}
	switch value.(type) {
	case string, bool, float64:
		return value, true
	}
	return nil, false
}
