package connectors

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"lockstep/schema"
)

// Login is a token endpoint that grants client credentials (RFC 6749, section 4.4).
type Login struct {
	Transport *Transport
	// Base and Route are the endpoint's.
	Base, Route string
	// Basic sends the credential in the Authorization header, else in the form.
	Basic bool
}

// Grant is what a token endpoint answered. It holds the token.
type Grant struct {
	AccessToken string
	// Life is 0 when the endpoint does not say it.
	Life time.Duration
	// InstanceURL, ID, IssuedAt and Signature are Salesforce's.
	InstanceURL, ID, IssuedAt, Signature string
}

// Ask requests a token. A refusal is AuthExpired with the OAuth error code; never any text of it. Safe to repeat.
func (l Login) Ask(ctx context.Context, c Credential) (Grant, error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	if l.Basic {
		pair := []byte(c.ClientID + ":" + c.ClientSecret)
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString(pair))
	} else {
		form.Set("client_id", c.ClientID)
		form.Set("client_secret", c.ClientSecret)
	}
	response, err := l.Transport.Do(ctx, Request{
		Method: http.MethodPost, Base: l.Base, Route: l.Route, Header: header, Body: []byte(form.Encode()),
	})
	if err != nil {
		return Grant{}, err
	}
	if response.Status != http.StatusOK {
		return Grant{}, loginRefused(response)
	}
	return grant(response)
}

// loginRefused keeps the kinds that pass by themselves and makes everything else AuthExpired.
func loginRefused(r *Response) *Error {
	var answer struct {
		Error string `json:"error" validate:"required"`
	}
	spoken := json.Unmarshal(r.Body, &answer) == nil && schema.Validate(answer) == nil
	e := r.Refusal(spoken)
	if e.Kind != schema.Throttled && e.Kind != schema.Unavailable {
		e.Kind = schema.AuthExpired
	}
	if spoken {
		e.Code = Clean(answer.Error)
	}
	return e
}

func grant(r *Response) (Grant, error) {
	var answer struct {
		AccessToken string      `json:"access_token" validate:"required,max=8192"`
		ExpiresIn   json.Number `json:"expires_in"`
		InstanceURL string      `json:"instance_url"`
		ID          string      `json:"id"`
		IssuedAt    string      `json:"issued_at"`
		Signature   string      `json:"signature"`
	}
	if err := r.Decode(&answer); err != nil {
		return Grant{}, err
	}
	if !tokenText(answer.AccessToken) {
		return Grant{}, r.Unreadable()
	}
	g := Grant{
		AccessToken: answer.AccessToken, InstanceURL: answer.InstanceURL,
		ID: answer.ID, IssuedAt: answer.IssuedAt, Signature: answer.Signature,
	}
	if seconds, err := answer.ExpiresIn.Float64(); err == nil && seconds > 0 {
		g.Life = time.Duration(min(seconds, maxTokenLife.Seconds())) * time.Second
	}
	return g, nil
}

// tokenText accepts what may stand in an Authorization header.
func tokenText(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
