package genesystest

import (
	"crypto/subtle"
	"fmt"
	"net/url"

	"lockstep/connectors/simulator"
)

// token serves POST /oauth/token on the login host: client credentials in a Basic header (connectors.md 1.2).
func (s *Simulator) token(c *simulator.Call) simulator.Answer {
	id, secret, ok := c.Request.BasicAuth()
	if !ok {
		return oauthError("invalid_client", "client credentials are missing: invalid_client")
	}
	s.mu.Lock()
	want, known := s.secrets[id]
	s.mu.Unlock()
	if !known {
		return oauthError("invalid_client", "client not found: invalid_client")
	}
	if subtle.ConstantTimeCompare([]byte(secret), []byte(want)) != 1 {
		return oauthError("invalid_client", "client credentials are invalid: invalid_client")
	}
	form, _ := url.ParseQuery(string(c.Body)) // what does not parse is missing
	if form.Get("grant_type") != "client_credentials" {
		return oauthError("unsupported_grant_type", "unsupported grant type")
	}
	token := s.ids.Text(86)
	s.tokens.Issue(token, id, s.options.TokenLife)
	return simulator.JSON(200, jsonType, struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int    `json:"expires_in"`
	}{token, "bearer", int(s.options.TokenLife.Seconds())}).With("ININ-Correlation-Id", s.ids.UUID())
}

// oauthError carries the description under both names that clients read.
func oauthError(code, description string) simulator.Answer {
	return simulator.JSON(400, jsonType, struct {
		Error       string `json:"error"`
		Description string `json:"description"`
		Same        string `json:"error_description"`
	}{code, description, description})
}

// RotateSecrets replaces the secrets that body names. See simulator.Vendor.
func (s *Simulator) RotateSecrets(body []byte) error {
	var change struct {
		ClientSecret  *string `json:"client_secret"`
		WebhookSecret *string `json:"webhook_secret"`
	}
	if err := simulator.Decode(body, &change); err != nil {
		return err
	}
	if change.WebhookSecret != nil && *change.WebhookSecret == "" {
		return fmt.Errorf("webhook_secret must not be empty")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if change.ClientSecret != nil {
		s.secrets[s.options.ClientID] = *change.ClientSecret
	}
	if change.WebhookSecret != nil {
		s.key = *change.WebhookSecret
	}
	return nil
}

// RevokeTokens ends every token. See simulator.Vendor.
func (s *Simulator) RevokeTokens() { s.tokens.RevokeAll() }
