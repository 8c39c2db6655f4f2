package salesforcetest

import (
	"fmt"
	"mime"
	"strconv"
	"strings"
	"time"

	"lockstep/connectors/simulator"
)

// request is an authenticated call of the API, or a subrequest of one.
type request struct {
	*simulator.Call
	version int
	// within is the composite call's transaction when the request is a part of one; the org is locked then.
	within *transaction
}

// The API versions that the simulator speaks.
const (
	oldestVersion = 31
	newestVersion = 68
)

// api wraps an operation in what every data request goes through: version, session, allowance, media type.
func (s *Simulator) api(serve func(*request) simulator.Answer) func(*simulator.Call) simulator.Answer {
	return func(c *simulator.Call) simulator.Answer {
		rq := &request{Call: c}
		if err := rq.setVersion(); err != nil {
			return err.answer()
		}
		if err := s.authenticate(rq); err != nil {
			return err.answer()
		}
		allowance := s.quota.Spend()
		info := fmt.Sprintf("api-usage=%d/%d", allowance.Used, limit(allowance))
		if allowance.Refused {
			return exceeded("TotalRequests Limit exceeded.").answer().With("Sforce-Limit-Info", info)
		}
		if s.quota.Minute(rq.Credential).Refused {
			return exceeded("ConcurrentPerOrgLongTxn Limit exceeded.").answer().With("Sforce-Limit-Info", info)
		}
		if err := rq.checkShape(); err != nil {
			return err.answer().With("Sforce-Limit-Info", info)
		}
		return serve(rq).With("Sforce-Limit-Info", info)
	}
}

// signedIn wraps an operation that needs a session and nothing else.
func (s *Simulator) signedIn(serve func(*request) simulator.Answer) func(*simulator.Call) simulator.Answer {
	return func(c *simulator.Call) simulator.Answer {
		rq := &request{Call: c}
		if err := s.authenticate(rq); err != nil {
			return err.answer()
		}
		return serve(rq)
	}
}

// sub serves a part of a composite call, which is one call to session and allowance.
func (s *Simulator) sub(c *simulator.Call, allowed []string, within *transaction) simulator.Answer {
	rq := &request{Call: c, within: within}
	switch {
	case c.Route == nil && len(allowed) > 0:
		return dialect{s}.MethodNotAllowed(c, allowed)
	case c.Route == nil:
		return notFound().answer()
	}
	if err := rq.setVersion(); err != nil {
		return err.answer()
	}
	serve := s.parts[c.Request.Method+" "+c.Route.Template]
	if serve == nil {
		return notFound().answer()
	}
	return serve(rq)
}

func (rq *request) setVersion() *apiError {
	digits, ok := strings.CutPrefix(rq.Vars["version"], "v")
	major, minor, _ := strings.Cut(digits, ".")
	n, err := strconv.Atoi(major)
	if !ok || err != nil || minor != "0" || n > newestVersion {
		return notFound()
	}
	if n < oldestVersion {
		return &apiError{
			Status: 410, Code: "UNSUPPORTED_API_VERSION", Message: "The requested API version is retired or unsupported.",
		}
	}
	rq.version = n
	return nil
}

func (s *Simulator) authenticate(rq *request) *apiError {
	token, ok := bearer(rq.Request)
	if !ok {
		return &apiError{Status: 401, Code: "INVALID_AUTH_HEADER", Message: "INVALID_HEADER_TYPE"}
	}
	if _, live := s.tokens.Client(token); !live {
		return &apiError{Status: 401, Code: "INVALID_SESSION_ID", Message: "Session expired or invalid"}
	}
	return nil
}

// checkShape refuses what no operation takes: too long a URL, a body that is not JSON by its own word.
func (rq *request) checkShape() *apiError {
	if len(rq.Request.RequestURI) > 16_384 {
		return &apiError{Status: 414, Code: "URI_TOO_LONG", Message: "The URI is longer than 16,384 bytes"}
	}
	if len(rq.Body) == 0 {
		return nil
	}
	media, _, err := mime.ParseMediaType(rq.Request.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return &apiError{
			Status: 415, Code: "UNSUPPORTED_MEDIA_TYPE", Message: "Content type specified is not supported.",
		}
	}
	return nil
}

func exceeded(message string) *apiError {
	return &apiError{Status: 403, Code: "REQUEST_LIMIT_EXCEEDED", Message: message}
}

// limit is the ceiling that headers and limits show; a lifted one shows a full sandbox's.
func limit(a simulator.Allowance) int {
	if a.Max == 0 {
		return 5_000_000
	}
	return a.Max
}

// read runs work on the locked org.
func (s *Simulator) read(rq *request, work func() simulator.Answer) simulator.Answer {
	if rq.within == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	return work()
}

// write runs work in a transaction of the request. What work has not rolled back is committed.
func (s *Simulator) write(rq *request, work func(*transaction) simulator.Answer) simulator.Answer {
	if rq.within != nil {
		return work(rq.within)
	}
	t := s.begin(rq)
	defer s.release(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := work(t)
	t.commit()
	return answer
}

func (s *Simulator) begin(rq *request) *transaction {
	header := rq.Request.Header
	return &transaction{
		s: s, entry: rq.Entry(), owner: rq, by: s.options.UserID, key: header.Get("Idempotency-Key"),
		origin: fmt.Sprintf("com/salesforce/api/rest/%d.0;client=%s", rq.version,
			callOption(header.Get("Sforce-Call-Options"), "client")),
		allowDuplicates: callOption(header.Get("Sforce-Duplicate-Rule-Header"), "allowSave") == "true",
	}
}

// release gives the transaction's row locks back, after the time that the switch asks for.
func (s *Simulator) release(t *transaction) {
	if len(t.parents) == 0 {
		return
	}
	s.mu.Lock()
	hold := time.Duration(s.switches.LockHoldMS) * time.Millisecond
	s.mu.Unlock()
	if hold > 0 {
		timer := time.NewTimer(hold)
		select {
		case <-timer.C:
		case <-s.closed:
			timer.Stop()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unlock(t)
}

// unlock gives the row locks back; the org is locked.
func (s *Simulator) unlock(t *transaction) {
	for _, account := range t.parents {
		delete(s.locks, account)
	}
	t.parents = nil
}

// callOption reads one option of a header such as `client=lockstep; other=1`.
func callOption(header, name string) string {
	for part := range strings.FieldsFuncSeq(header, func(r rune) bool { return r == ',' || r == ';' }) {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if strings.EqualFold(key, name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
