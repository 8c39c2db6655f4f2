package salesforcetest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"
)

// The vector of connectors.md section 9, number 6.
func TestTokenSignatureVector(t *testing.T) {
	got := signToken("SEC", "https://login.salesforce.com/id/00Dxx0000000001EAA/005xx0000000001AAA", "1763606400000")
	if want := "ta0PQPTps6cr5lFNQIsp3hqiq8qbEPwMG6CJpef6zB0="; got != want {
		t.Errorf("the signature is %s, want %s", got, want)
	}
}

func TestTokenReply(t *testing.T) {
	hand := newHandClock()
	o := start(t, Options{Clock: hand.now})
	r := o.form(t, o.URL+"/services/oauth2/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {o.ClientID}, "client_secret": {o.ClientSecret},
	})
	var got map[string]string
	if err := json.Unmarshal([]byte(r.body), &got); err != nil {
		t.Fatalf("every member is a text: %v", err)
	}
	for name, want := range map[string]string{
		"instance_url": o.URL, "token_type": "Bearer", "scope": "api", "issued_at": "1767268800000",
		"id":        "https://login.salesforce.com/id/00Dxx0000000001EAA/005xx0000000001AAA",
		"signature": signToken(o.ClientSecret, got["id"], got["issued_at"]),
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if !strings.HasPrefix(got["access_token"], "00Dxx0000000001!AQ") {
		t.Errorf("the token is %q", got["access_token"])
	}
	for _, absent := range []string{"expires_in", "refresh_token"} {
		if _, ok := got[absent]; ok {
			t.Errorf("the reply has %s", absent)
		}
	}
}

func TestTokenRefusals(t *testing.T) {
	o := start(t, Options{})
	good := url.Values{"grant_type": {"client_credentials"}, "client_id": {o.ClientID}, "client_secret": {o.ClientSecret}}
	change := func(name, value string) url.Values {
		out := url.Values{}
		for k, v := range good {
			out[k] = v
		}
		out.Set(name, value)
		return out
	}
	for name, c := range map[string]struct {
		host              string
		form              url.Values
		code, description string
	}{
		"login host":    {o.LoginURL, good, "invalid_grant", "request not supported on this domain"},
		"no grant":      {o.URL, change("grant_type", ""), "unsupported_grant_type", "grant type not supported"},
		"other grant":   {o.URL, change("grant_type", "password"), "unsupported_grant_type", "grant type not supported"},
		"client":        {o.URL, change("client_id", "x"), "invalid_client_id", "client identifier invalid"},
		"secret":        {o.URL, change("client_secret", "x"), "invalid_client", "invalid client credentials"},
		"jwt sans key":  {o.URL, url.Values{"grant_type": {jwtGrant}, "assertion": {"a.b.c"}}, "invalid_grant", "invalid assertion"},
		"broken form":   {o.URL, url.Values{"grant_type": {"%zz"}}, "unsupported_grant_type", "grant type not supported"},
		"login: others": {o.LoginURL, url.Values{"grant_type": {"x"}}, "unsupported_grant_type", "grant type not supported"},
	} {
		r := o.form(t, c.host+"/services/oauth2/token", c.form)
		if r.status != 400 || r.at(t, "error") != c.code || r.at(t, "error_description") != c.description {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	o.control(t, "POST", "/switches", `{"no_run_as_user":true}`)
	if r := o.form(t, o.URL+"/services/oauth2/token", good); r.at(t, "error_description") != "no client credentials user enabled" {
		t.Errorf("without a run-as user: %s", r.body)
	}
}

func TestBasicHeaderIsACredentialToo(t *testing.T) {
	o := start(t, Options{})
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(o.ClientID+":"+o.ClientSecret))
	r := o.send(t, "POST", o.URL+"/services/oauth2/token", "grant_type=client_credentials", "Authorization", basic)
	if r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if got := o.Requests()[1].Credential; got != o.ClientID {
		t.Errorf("the journal names the client %q", got)
	}
}

func TestSessionsEnd(t *testing.T) {
	hand := newHandClock()
	o := start(t, Options{Clock: hand.now, SessionTimeout: 5 * time.Second})
	alive := func() bool {
		r := o.call(t, "GET", "/limits", nil)
		if r.status == 401 && (r.code(t) != "INVALID_SESSION_ID" || r.at(t, 0, "message") != "Session expired or invalid") {
			t.Errorf("a dead session answers %s", r.body)
		}
		return r.status == 200
	}
	if !alive() {
		t.Fatal("the session is dead at birth")
	}
	hand.advance(5 * time.Second)
	if alive() {
		t.Error("the session outlives its time")
	}
	o.login(t)
	o.control(t, "POST", "/tokens", `{"revoke":true}`)
	if alive() {
		t.Error("the session survives its revocation")
	}
	o.login(t)
	if r := o.form(t, o.URL+"/services/oauth2/revoke", url.Values{"token": {o.token}}); r.status != 200 || alive() {
		t.Errorf("the client's own revocation answers %d", r.status)
	}
	if r := o.form(t, o.URL+"/services/oauth2/revoke", url.Values{"token": {"x"}}); r.status != 400 {
		t.Errorf("the revocation of nothing answers %d", r.status)
	}
}

func TestAuthorizationSchemes(t *testing.T) {
	o := start(t, Options{})
	for header, want := range map[string]string{
		"Bearer " + o.token: "", "OAuth " + o.token: "", "": "INVALID_SESSION_ID", "Bearer x": "INVALID_SESSION_ID",
		o.token: "INVALID_AUTH_HEADER", "Basic " + o.token: "INVALID_AUTH_HEADER", "bearer: " + o.token: "INVALID_AUTH_HEADER",
	} {
		r := o.send(t, "GET", o.URL+"/services/data/v62.0/limits", "", "Authorization", header)
		switch {
		case want == "" && r.status != 200:
			t.Errorf("%.12q: %d", header, r.status)
		case want != "" && (r.status != 401 || r.code(t) != want):
			t.Errorf("%.12q: %d %s", header, r.status, r.body)
		}
	}
}

func TestSecretRotation(t *testing.T) {
	o := start(t, Options{})
	o.control(t, "POST", "/secrets", `{"client_secret":"new"}`)
	if r := o.call(t, "GET", "/limits", nil); r.status != 200 {
		t.Errorf("a live session ended with the rotation: %d", r.status)
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {o.ClientID}, "client_secret": {o.ClientSecret}}
	if r := o.form(t, o.URL+"/services/oauth2/token", form); r.status != 400 {
		t.Errorf("the old secret answers %d", r.status)
	}
	form.Set("client_secret", "new")
	r := o.form(t, o.URL+"/services/oauth2/token", form)
	if r.status != 200 || r.at(t, "signature") != signToken("new", r.at(t, "id").(string), r.at(t, "issued_at").(string)) {
		t.Errorf("the new secret answers %d %s", r.status, r.body)
	}
}

func TestJWTBearer(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	hand := newHandClock()
	o := start(t, Options{Clock: hand.now, JWTKey: &key.PublicKey, JWTUsername: "me@example.com"})
	soon := hand.now().Add(3 * time.Minute).Unix()
	for name, c := range map[string]struct {
		iss, sub, aud string
		exp           any
		want          string // the error_description, "" for success
	}{
		"number":   {o.ClientID, "me@example.com", "https://login.salesforce.com", soon, ""},
		"text":     {o.ClientID, "me@example.com", "https://test.salesforce.com", sprint(soon), ""}, // go-salesforce
		"audience": {o.ClientID, "me@example.com", o.URL, soon, "audience is invalid"},
		"issuer":   {"x", "me@example.com", "https://login.salesforce.com", soon, "client identifier invalid"},
		"subject":  {o.ClientID, "you@example.com", "https://login.salesforce.com", soon, "user hasn't approved this consumer"},
		"expired":  {o.ClientID, "me@example.com", "https://login.salesforce.com", soon - 600, "expired authorization code"},
		"too long": {o.ClientID, "me@example.com", "https://login.salesforce.com", soon + 3600, "expired authorization code"},
	} {
		claims, err := json.Marshal(map[string]any{"iss": c.iss, "sub": c.sub, "aud": c.aud, "exp": c.exp})
		if err != nil {
			t.Fatal(err)
		}
		signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
		digest := sha256.Sum256([]byte(signed))
		signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		assertion := signed + "." + base64.RawURLEncoding.EncodeToString(signature)
		for _, host := range []string{o.URL, o.LoginURL} {
			r := o.form(t, host+"/services/oauth2/token", url.Values{"grant_type": {jwtGrant}, "assertion": {assertion}})
			if c.want == "" && r.status != 200 || c.want != "" && r.at(t, "error_description") != c.want {
				t.Errorf("%s: %d %s", name, r.status, r.body)
			}
		}
		if r := o.form(t, o.URL+"/services/oauth2/token", url.Values{
			"grant_type": {jwtGrant}, "assertion": {assertion[:len(assertion)-4] + "AAAA"},
		}); r.at(t, "error_description") != "invalid assertion" {
			t.Errorf("%s with a forged signature: %s", name, r.body)
		}
	}
}
