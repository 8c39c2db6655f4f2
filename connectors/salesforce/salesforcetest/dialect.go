package salesforcetest

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"lockstep/connectors/simulator"
)

// dialect is how Salesforce words what happens in front of its operations.
type dialect struct{ s *Simulator }

// Client names the client behind a token, or the one that asks for a token.
func (d dialect) Client(c *simulator.Call) string {
	if c.Route != nil && c.Route.Class == simulator.ClassToken && c.Request.Method == "POST" {
		form, _ := url.ParseQuery(string(c.Body)) // what does not parse is missing
		if id, _ := credentials(c, form); id != "" {
			return id
		}
		claims, _ := d.s.verified(form.Get("assertion"))
		return claims.Iss
	}
	token, _ := bearer(c.Request)
	client, _ := d.s.tokens.Client(token)
	return client
}

// NotSimulated answers 501.
func (d dialect) NotSimulated(*simulator.Call) simulator.Answer {
	return (&apiError{
		Status: 501, Code: "NOT_SIMULATED", Message: "The simulator does not offer this route",
	}).answer()
}

// MethodNotAllowed answers 405.
func (d dialect) MethodNotAllowed(c *simulator.Call, allowed []string) simulator.Answer {
	slices.Sort(allowed)
	list := strings.Join(slices.Compact(allowed), ",")
	return (&apiError{
		Status: 405, Code: "METHOD_NOT_ALLOWED",
		Message: fmt.Sprintf("HTTP Method '%s' not allowed. Allowed are %s", c.Request.Method, list),
	}).answer().With("Allow", list)
}

// Refuse answers a fault of kind status.
func (d dialect) Refuse(c *simulator.Call, f simulator.Fault) simulator.Answer {
	if c.Route != nil && c.Route.Class == simulator.ClassToken {
		code := f.BodyCode
		if code == "" {
			code = "invalid_grant"
		}
		return oauthError(f.Code, code, f.Message)
	}
	return faultError(f).answer()
}

// faultError words a fault as an error of the vendor.
func faultError(f simulator.Fault) *apiError {
	code, message := codeForStatus(f.Code)
	e := &apiError{Status: f.Code, Code: code, Message: message}
	if f.BodyCode != "" {
		e.Code = f.BodyCode
	}
	if f.Message != "" {
		e.Message = f.Message
	}
	if f.Field != "" {
		e.Fields = []string{f.Field}
	}
	return e
}

// Throttle answers a fault of kind throttle.
func (d dialect) Throttle(c *simulator.Call, f simulator.Fault) simulator.Answer {
	if f.Code == 0 {
		f.Code = 429
	}
	return d.Refuse(c, f)
}

// RevokeTokens ends every session.
func (d dialect) RevokeTokens() { d.s.tokens.RevokeAll() }
