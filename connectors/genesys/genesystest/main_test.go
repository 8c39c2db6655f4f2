package genesystest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	contactsPath = "/externalcontacts/contacts"
	enrichPath   = contactsPath + "/enrich"
	bulkPath     = "/externalcontacts/bulk/contacts"
)

// reply is an answer as a client sees it.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) json(t *testing.T) any {
	t.Helper()
	var out any
	if err := json.Unmarshal([]byte(r.body), &out); err != nil {
		t.Fatalf("the answer is no JSON: %v: %s", err, r.body)
	}
	return out
}

// at walks into the body: names and indexes.
func (r reply) at(t *testing.T, path ...any) any {
	t.Helper()
	v := r.json(t)
	for _, step := range path {
		switch s := step.(type) {
		case string:
			object, _ := v.(map[string]any)
			v = object[s]
		case int:
			list, _ := v.([]any)
			if s >= len(list) {
				t.Fatalf("there is no item %d in %s", s, r.body)
			}
			v = list[s]
		}
	}
	return v
}

// org is a started org with a token.
type org struct {
	*Server
	client *http.Client
	token  string
}

func start(t *testing.T, o Options) *org {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	s := &org{Server: Start(t, o), client: client}
	s.login(t)
	return s
}

func (o *org) login(t *testing.T) {
	t.Helper()
	r := o.tokenFor(t, o.ClientID, o.ClientSecret)
	if r.status != 200 {
		t.Fatalf("login answers %d %s", r.status, r.body)
	}
	o.token = r.at(t, "access_token").(string)
}

func (o *org) tokenFor(t *testing.T, id, secret string) reply {
	t.Helper()
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
	return o.send(t, "POST", o.LoginURL+"/oauth/token", "grant_type=client_credentials",
		"Authorization", basic, "Content-Type", "application/x-www-form-urlencoded")
}

// call sends an authenticated request; the path is below /api/v2. headers are pairs.
func (o *org) call(t *testing.T, method, path string, body any, headers ...string) reply {
	t.Helper()
	var text string
	switch b := body.(type) {
	case nil:
	case string:
		text = b
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		text = string(encoded)
	}
	headers = append([]string{"Authorization", "Bearer " + o.token, "Content-Type", "application/json"}, headers...)
	return o.send(t, method, o.URL+"/api/v2"+path, text, headers...)
}

func (o *org) send(t *testing.T, method, to, body string, headers ...string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, to, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := o.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var b bytes.Buffer
	if _, err := io.Copy(&b, response.Body); err != nil {
		t.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, b.String()}
}

func (o *org) control(t *testing.T, method, path, body string) reply {
	t.Helper()
	return o.send(t, method, o.ControlURL+path, body)
}

// source makes an external source and returns its id.
func (o *org) source(t *testing.T, name string) string {
	t.Helper()
	return o.Put("ExternalSource", map[string]any{"name": name, "active": true})["id"].(string)
}

// made creates a contact through the API and returns its id.
func (o *org) made(t *testing.T, fields map[string]any) string {
	t.Helper()
	r := o.call(t, "POST", contactsPath, fields)
	if r.status != 200 {
		t.Fatalf("create answers %d %s", r.status, r.body)
	}
	return r.at(t, "id").(string)
}

func xid(source, value string) map[string]any {
	return map[string]any{"externalSource": map[string]any{"id": source}, "value": value}
}

func matchID(source, value string) map[string]any {
	return map[string]any{"type": "ExternalId", "value": value, "externalSource": map[string]any{"id": source}}
}

func matchEmail(value string) map[string]any { return map[string]any{"type": "Email", "value": value} }

func matchPhone(value string) map[string]any { return map[string]any{"type": "Phone", "value": value} }

type obj = map[string]any

// handClock is a time that tests move.
type handClock struct{ at chan time.Time }

func newHandClock() *handClock {
	h := &handClock{at: make(chan time.Time, 1)}
	h.at <- time.Date(2026, 1, 1, 12, 0, 0, 123_456_789, time.UTC)
	return h
}

func (h *handClock) now() time.Time {
	at := <-h.at
	h.at <- at
	return at
}

func (h *handClock) advance(d time.Duration) { h.at <- (<-h.at).Add(d) }

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never happened: %s", what)
}

func sprint(v any) string { return fmt.Sprint(v) }
