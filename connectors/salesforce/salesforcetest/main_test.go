package salesforcetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// reply is an answer as a client sees it.
type reply struct {
	status int
	header http.Header
	body   string
}

// json decodes the body.
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

// code is the first error's code, of a request or of an item.
func (r reply) code(t *testing.T) string {
	t.Helper()
	list, _ := r.json(t).([]any)
	if len(list) == 0 {
		return ""
	}
	first, _ := list[0].(map[string]any)
	code, _ := first["errorCode"].(string)
	return code
}

// org is a started org with a session.
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
	r := o.form(t, o.URL+"/services/oauth2/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {o.ClientID}, "client_secret": {o.ClientSecret},
	})
	if r.status != 200 {
		t.Fatalf("login answers %d %s", r.status, r.body)
	}
	o.token = r.at(t, "access_token").(string)
}

func (o *org) form(t *testing.T, to string, form url.Values) reply {
	t.Helper()
	return o.send(t, "POST", to, form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}

// call sends an authenticated request; a path without a host is below /services/data/v62.0. headers are pairs.
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
	if !strings.HasPrefix(path, "/services/") {
		path = "/services/data/v62.0" + path
	}
	headers = append([]string{"Authorization", "Bearer " + o.token, "Content-Type", "application/json"}, headers...)
	return o.send(t, method, o.URL+path, text, headers...)
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

// query runs a statement and returns its answer.
func (o *org) query(t *testing.T, soql string) reply {
	t.Helper()
	return o.call(t, "GET", "/query?q="+url.QueryEscape(soql), nil)
}

// made creates a record through the API and returns its id.
func (o *org) made(t *testing.T, object string, fields map[string]any) string {
	t.Helper()
	r := o.call(t, "POST", "/sobjects/"+object, fields)
	if r.status != 201 {
		t.Fatalf("create answers %d %s", r.status, r.body)
	}
	return r.at(t, "id").(string)
}

// handClock is a time that tests move.
type handClock struct{ at chan time.Time }

func newHandClock() *handClock {
	h := &handClock{at: make(chan time.Time, 1)}
	h.at <- time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
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

// control sends a request to the control API.
func (o *org) control(t *testing.T, method, path, body string) reply {
	t.Helper()
	return o.send(t, method, o.ControlURL+path, body)
}

func sprint(v any) string { return fmt.Sprint(v) }
