package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// ledger is a vendor of which the control API is asked.
type ledger struct {
	calls []string
}

func (l *ledger) note(parts ...string) { l.calls = append(l.calls, strings.Join(parts, " ")) }

func (l *ledger) State(object, id string, deleted bool) ([]any, error) {
	l.note("state", object, id, map[bool]string{true: "all"}[deleted])
	switch object {
	case "Nothing":
		return nil, ErrUnknown
	case "Empty":
		return nil, nil
	}
	return []any{map[string]string{"id": "1"}}, nil
}

func (l *ledger) Save(object string, body []byte, by string) (any, bool, error) {
	l.note("save", object, string(body), by)
	if string(body) == "bad" {
		return nil, false, &Rejection{Status: 422, Body: []byte(`[{"vendor":"words"}]`)}
	}
	return "saved", by == "", nil
}

func (l *ledger) Remove(object, id, by string) error { l.note("remove", object, id, by); return nil }

func (l *ledger) Merge(object string, body []byte, _ string) (any, error) {
	l.note("merge", object, string(body))
	return "kept", nil
}

func (l *ledger) ConfigureWebhooks(body []byte) error {
	l.note("webhooks", string(body))
	if string(body) == "no" {
		return errors.New("no")
	}
	return nil
}
func (l *ledger) Webhooks() any { return WebhookCounts{Sent: 3} }
func (l *ledger) Switch(body []byte) (any, error) {
	l.note("switch", string(body))
	return map[string]bool{"on": true}, nil
}
func (l *ledger) RotateSecrets(body []byte) error { l.note("secrets", string(body)); return nil }
func (l *ledger) RevokeTokens()                   { l.note("revoke") }

func TestControlAPI(t *testing.T) {
	hand := newHandClock()
	clock := NewClock(hand.now)
	journal, plan, quota, vendor := NewJournal(clock), NewPlan(clock), NewQuota(clock, 5, 6), &ledger{}
	journal.End(journal.Begin(Entry{Kind: EntryRequest, Method: "GET"}), 200, "")
	journal.Begin(Entry{Kind: EntryRequest, Method: "PUT"})
	api := NewControl(ControlOptions{
		Clock: clock, Journal: journal, Plan: plan, Quota: quota, Vendor: vendor,
		Routes: []Route{{Method: "GET", Template: "/a", Class: ClassRead}},
		Extend: func(mux *http.ServeMux) {
			mux.HandleFunc("POST /own", func(w http.ResponseWriter, _ *http.Request) { Reply(w, 202, "own") })
		},
	})
	for _, c := range []struct {
		method, path, body string
		status             int
		answer             string // what the answer holds
		call               string // what the vendor was asked, "" for nothing
	}{
		{"GET", "/journal", "", 200, `"n":2,"kind":"request"`, ""},
		{"GET", "/journal?after=1&closed=true", "", 200, "", ""},
		{"GET", "/journal?after=x", "", 400, "after must be a number", ""},
		{"GET", "/routes", "", 200, `{"method":"GET","route":"/a","class":"read","bulk":false}`, ""},
		{"POST", "/faults", `{"kind":"status","code":503,"count":2}`, 201, `{"id":"fault-1"}`, ""},
		{"POST", "/faults", `{"kind":"odd"}`, 400, "kind must be one of", ""},
		{"GET", "/faults", "", 200, `"id":"fault-1","kind":"status","code":503,"count":2,"fired":0,"active":true`, ""},
		{"DELETE", "/faults?id=fault-9", "", 404, "no such", ""},
		{"DELETE", "/faults?id=fault-1", "", 204, "", ""},
		{"DELETE", "/faults", "", 204, "", ""},
		{"GET", "/state/Contact?id=7&all=true", "", 200, `[{"id":"1"}]`, "state Contact 7 all"},
		{"GET", "/state/Empty", "", 200, `[]`, "state Empty  "},
		{"GET", "/state/Nothing", "", 404, "no such", "state Nothing  "},
		{"POST", "/records/Contact", `{"a":1}`, 201, `"saved"`, `save Contact {"a":1} `},
		{"POST", "/records/Contact?user=u1", `{}`, 200, `"saved"`, `save Contact {} u1`},
		{"POST", "/records/Contact", `bad`, 422, `[{"vendor":"words"}]`, `save Contact bad `},
		{"POST", "/records/Contact/merge", `{}`, 200, `"kept"`, `merge Contact {}`},
		{"DELETE", "/records/Contact/9?user=u", "", 204, "", `remove Contact 9 u`},
		{"GET", "/webhooks", "", 200, `"sent":3`, ""},
		{"POST", "/webhooks", `{}`, 200, `"sent":3`, "webhooks {}"},
		{"POST", "/webhooks", `no`, 400, `"error":"no"`, "webhooks no"},
		{"GET", "/switches", "", 200, `{"on":true}`, "switch {}"},
		{"POST", "/switches", `{"x":1}`, 200, `{"on":true}`, `switch {"x":1}`},
		{"POST", "/quota", `{"per_minute":0,"daily":9}`, 204, "", ""},
		{"POST", "/quota", `{"per_minute":-1}`, 400, "must not be negative", ""},
		{"POST", "/quota", `{"hourly":1}`, 400, "unknown field", ""},
		{"POST", "/tokens", `{"revoke":false}`, 204, "", ""},
		{"POST", "/tokens", `{"revoke":true}`, 204, "", "revoke"},
		{"POST", "/secrets", `{"s":1}`, 204, "", `secrets {"s":1}`},
		{"POST", "/clock", `{"skew_ms":-3000}`, 200, `"skew_ms":-3000`, ""},
		{"POST", "/clock", `{}`, 200, `"now":"2025-12-31T23:59:57Z"`, ""},
		{"POST", "/own", "", 202, `"own"`, ""},
		{"GET", "/other", "", 404, "", ""},
	} {
		vendor.calls = nil
		w := httptest.NewRecorder()
		api.ServeHTTP(w, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.answer) {
			t.Errorf("%s %s: %d %s, want %d with %s", c.method, c.path, w.Code, w.Body, c.status, c.answer)
		}
		if got := strings.Join(vendor.calls, "; "); got != c.call {
			t.Errorf("%s %s asked the vendor %q, want %q", c.method, c.path, got, c.call)
		}
	}
	if got := quota.Spend(); got.Max != 9 {
		t.Errorf("the quota is %+v", got)
	}
	if clock.Skewed() != -3*time.Second {
		t.Errorf("the skew is %v", clock.Skewed())
	}
}

func TestAnswersKeepTheirMarks(t *testing.T) {
	a := JSON(200, "application/json", map[string]string{"a": "<&>"})
	if string(a.Body) != `{"a":"<&>"}` || !json.Valid(a.Body) {
		t.Errorf("the body is %s", a.Body)
	}
	if got := fmt.Sprint(a.With("ETag", "1").Header); got != "map[Content-Type:[application/json] ETag:[1]]" {
		t.Errorf("the header is %s", got)
	}
}
