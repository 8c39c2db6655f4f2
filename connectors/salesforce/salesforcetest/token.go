package salesforcetest

import (
	"crypto"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"lockstep/connectors/simulator"
)

// tokenReply is the answer of the token endpoint: no expires_in, no refresh token (connectors.md 2.2).
type tokenReply struct {
	AccessToken string `json:"access_token"`
	Signature   string `json:"signature"`
	Scope       string `json:"scope"`
	InstanceURL string `json:"instance_url"`
	ID          string `json:"id"`
	TokenType   string `json:"token_type"`
	IssuedAt    string `json:"issued_at"`
}

func oauthError(status int, code, description string) simulator.Answer {
	return simulator.JSON(status, jsonType, ordered{{"error", code}, {"error_description", description}})
}

const jwtGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// token serves POST /services/oauth2/token on the My Domain host.
func (s *Simulator) token(c *simulator.Call) simulator.Answer {
	form, _ := url.ParseQuery(string(c.Body)) // what does not parse is missing
	switch form.Get("grant_type") {
	case "client_credentials":
		return s.clientCredentials(c, form)
	case jwtGrant:
		return s.jwtBearer(c, form)
	}
	return oauthError(400, "unsupported_grant_type", "grant type not supported")
}

// loginToken is the same path on login.salesforce.com.
func (s *Simulator) loginToken(c *simulator.Call) simulator.Answer {
	form, _ := url.ParseQuery(string(c.Body)) // what does not parse is missing
	if form.Get("grant_type") == "client_credentials" {
		return oauthError(400, "invalid_grant", "request not supported on this domain")
	}
	return s.token(c)
}

func (s *Simulator) clientCredentials(c *simulator.Call, form url.Values) simulator.Answer {
	id, secret := credentials(c, form)
	s.mu.Lock()
	want, refused := s.clientSecret, s.switches.NoRunAsUser
	s.mu.Unlock()
	switch {
	case id != s.options.ClientID:
		return oauthError(400, "invalid_client_id", "client identifier invalid")
	case subtle.ConstantTimeCompare([]byte(secret), []byte(want)) != 1:
		return oauthError(400, "invalid_client", "invalid client credentials")
	case refused:
		return oauthError(400, "invalid_grant", "no client credentials user enabled")
	}
	return s.grant(c, id)
}

// jwtBearer verifies an assertion. exp may be a number or, as go-salesforce sends it, a text.
func (s *Simulator) jwtBearer(c *simulator.Call, form url.Values) simulator.Answer {
	claims, ok := s.verified(form.Get("assertion"))
	if !ok {
		return oauthError(400, "invalid_grant", "invalid assertion")
	}
	expires, err := strconv.ParseInt(strings.Trim(string(claims.Exp), `"`), 10, 64)
	now := s.clock.Now()
	switch {
	case claims.Iss != s.options.ClientID:
		return oauthError(400, "invalid_client_id", "client identifier invalid")
	case claims.Aud != "https://login.salesforce.com" && claims.Aud != "https://test.salesforce.com":
		return oauthError(400, "invalid_grant", "audience is invalid")
	case err != nil || now.Unix() > expires || time.Unix(expires, 0).Sub(now) > 6*time.Minute:
		return oauthError(400, "invalid_grant", "expired authorization code")
	case claims.Sub != s.options.JWTUsername:
		return oauthError(400, "invalid_grant", "user hasn't approved this consumer")
	}
	return s.grant(c, claims.Iss)
}

type jwtClaims struct {
	Iss string          `json:"iss"`
	Sub string          `json:"sub"`
	Aud string          `json:"aud"`
	Exp json.RawMessage `json:"exp"`
}

func (s *Simulator) verified(assertion string) (claims jwtClaims, ok bool) {
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 || s.options.JWTKey == nil {
		return claims, false
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return claims, false
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(s.options.JWTKey, crypto.SHA256, digest[:], signature) != nil {
		return claims, false
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	return claims, err == nil && json.Unmarshal(body, &claims) == nil
}

func (s *Simulator) grant(c *simulator.Call, client string) simulator.Answer {
	token := s.options.OrgID[:15] + "!AQ" + s.ids.Text(94)
	s.tokens.Issue(token, client, s.options.SessionTimeout)
	id := s.identityURL()
	issued := strconv.FormatInt(s.clock.Now().UnixMilli(), 10)
	s.mu.Lock()
	secret := s.clientSecret
	s.mu.Unlock()
	return simulator.JSON(200, jsonType, tokenReply{
		AccessToken: token, Signature: signToken(secret, id, issued), Scope: "api", InstanceURL: s.instanceURL(c),
		ID: id, TokenType: "Bearer", IssuedAt: issued,
	}).With("Cache-Control", "no-store").With("Pragma", "no-cache")
}

// signToken is the signature of a token reply: HMAC-SHA256 over id and issued_at under the consumer secret.
func signToken(secret, id, issuedAt string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(id + issuedAt))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (s *Simulator) identityURL() string {
	return s.options.IdentityURL + "/id/" + s.options.OrgID + "/" + s.options.UserID
}

func (s *Simulator) instanceURL(c *simulator.Call) string {
	if s.options.InstanceURL != "" {
		return s.options.InstanceURL
	}
	if c.Request.TLS != nil {
		return "https://" + c.Request.Host
	}
	return "http://" + c.Request.Host
}

// revoke serves POST /services/oauth2/revoke.
func (s *Simulator) revoke(c *simulator.Call) simulator.Answer {
	form, _ := url.ParseQuery(string(c.Body)) // what does not parse is missing
	if !s.tokens.Revoke(form.Get("token")) {
		return simulator.Answer{
			Status: 400, Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
			Body: []byte("error=unsupported_token_type&error_description=this%20token%20type%20is%20not%20supported"),
		}
	}
	return simulator.Empty(200)
}

// identity serves the URL that a token reply names as id, and userinfo.
func (s *Simulator) identity(rq *request) simulator.Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	user := s.tables["User"].row(s.options.UserID)
	return simulator.JSON(200, jsonType, ordered{
		{"id", s.identityURL()}, {"asserted_user", true}, {"user_id", s.options.UserID},
		{"organization_id", s.options.OrgID}, {"username", user.values["Username"]},
		{"nick_name", "integration"}, {"display_name", user.values["Name"]}, {"email", user.values["Email"]},
		{"email_verified", true}, {"first_name", user.values["FirstName"]}, {"last_name", user.values["LastName"]},
		{"timezone", "GMT"}, {"active", true}, {"user_type", "STANDARD"}, {"language", "en_US"}, {"locale", "en_US"},
		{"urls", ordered{{"rest", s.instanceURL(rq.Call) + "/services/data/v{version}/"}}},
	})
}

// credentials reads the client's id and secret out of the form or a Basic header.
func credentials(c *simulator.Call, form url.Values) (id, secret string) {
	if id, secret, ok := c.Request.BasicAuth(); ok {
		return id, secret
	}
	return form.Get("client_id"), form.Get("client_secret")
}

// bearer returns the token of the Authorization header. ok is false when the header is of another scheme.
func bearer(r *http.Request) (token string, ok bool) {
	scheme, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
	if !found {
		return "", r.Header.Get("Authorization") == ""
	}
	return strings.TrimSpace(token), scheme == "Bearer" || scheme == "OAuth"
}
