package salesforcetest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// hook is a receiver of events.
type hook struct {
	mu   sync.Mutex
	got  []delivery
	fail int // how many requests to refuse first
}

type delivery struct {
	header http.Header
	body   string
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got = append(h.got, delivery{r.Header.Clone(), string(body)})
	if h.fail > 0 {
		h.fail--
		w.WriteHeader(500)
	}
}

func (h *hook) all() []delivery {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]delivery{}, h.got...)
}

// wait returns the events once there are n.
func (h *hook) wait(t *testing.T, n int) []delivery {
	t.Helper()
	eventually(t, sprint(n)+" events", func() bool { return len(h.all()) >= n })
	if got := h.all(); len(got) != n {
		t.Fatalf("%d events, want %d", len(got), n)
	}
	return h.all()
}

// hooked is an org that posts to a receiver.
func hooked(t *testing.T, o Options, settings string) (*org, *hook) {
	t.Helper()
	h := &hook{}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	s := start(t, o)
	if r := s.control(t, "POST", "/webhooks", `{"url":"`+server.URL+`/webhooks/salesforce","first_retry_ms":1`+settings+`}`); r.status != 200 {
		t.Fatalf("webhooks: %d %s", r.status, r.body)
	}
	return s, h
}

// The vector of connectors.md section 9, number 2.
func TestStandardWebhooksVector(t *testing.T) {
	got := SignWebhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("the signature is %s, want %s", got, want)
	}
}

// signed verifies an event as a receiver would, with nothing of the sender's code.
func signed(d delivery, secret string) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(d.header.Get("webhook-id") + "." + d.header.Get("webhook-timestamp") + "." + d.body))
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for _, have := range strings.Fields(d.header.Get("webhook-signature")) {
		if have == want {
			return true
		}
	}
	return false
}

func TestApexEvents(t *testing.T) {
	hand := newHandClock()
	o, h := hooked(t, Options{Clock: hand.now}, "")
	id := o.Put("Account", map[string]any{"Name": "Acme", "Customer_Status__c": "Active", "Credit_Limit__c": 5000})["Id"].(string)
	hand.advance(1500 * time.Millisecond)
	o.call(t, "PATCH", "/sobjects/Account/"+id, map[string]any{
		"Customer_Status__c": "Churned", "Credit_Limit__c": 0, "Name": "Acme", "Last_Support_Interaction__c": "2026-01-01T00:00:00Z",
	})
	o.call(t, "PATCH", "/sobjects/Account/"+id, map[string]any{"Name": "Acme"}) // changes nothing: no event
	o.Put("Account", map[string]any{"Id": id, "Customer_Status__c": nil})
	o.call(t, "DELETE", "/sobjects/Account/"+id, nil)
	o.control(t, "POST", "/records/Account/"+id+"/undelete", "")
	got := h.wait(t, 5)
	for i, want := range []string{
		`{"event_type":"CREATE","source_system":"SALESFORCE","timestamp":"2026-01-01T12:00:00Z","record_id":"` + id + `","object_type":"Account","change_set":{"Name":{"old_value":null,"new_value":"Acme"},"OwnerId":{"old_value":null,"new_value":"005xx0000000002AAA"},"Customer_Status__c":{"old_value":null,"new_value":"Active"},"Credit_Limit__c":{"old_value":null,"new_value":5000}},"sequence":1,"changed_by":"005xx0000000002AAA"}`,
		`{"event_type":"UPDATE","source_system":"SALESFORCE","timestamp":"2026-01-01T12:00:01Z","record_id":"` + id + `","object_type":"Account","change_set":{"Customer_Status__c":{"old_value":"Active","new_value":"Churned"},"Credit_Limit__c":{"old_value":5000,"new_value":0},"Last_Support_Interaction__c":{"old_value":null,"new_value":"2026-01-01T00:00:00.000Z"}},"sequence":2,"changed_by":"005xx0000000001AAA"}`,
		`{"event_type":"UPDATE","source_system":"SALESFORCE","timestamp":"2026-01-01T12:00:01Z","record_id":"` + id + `","object_type":"Account","change_set":{"Customer_Status__c":{"old_value":"Churned","new_value":null}},"sequence":3,"changed_by":"005xx0000000002AAA"}`,
		`{"event_type":"DELETE","source_system":"SALESFORCE","timestamp":"2026-01-01T12:00:01Z","record_id":"` + id + `","object_type":"Account","change_set":{},"sequence":4,"changed_by":"005xx0000000001AAA"}`,
		`{"event_type":"UNDELETE","source_system":"SALESFORCE","timestamp":"2026-01-01T12:00:01Z","record_id":"` + id + `","object_type":"Account","change_set":{},"sequence":5,"changed_by":"005xx0000000002AAA"}`,
	} {
		if got[i].body != want {
			t.Errorf("event %d:\n%s\nwant\n%s", i, got[i].body, want)
		}
	}
	ids := map[string]bool{}
	for i, d := range got {
		ids[d.header.Get("webhook-id")] = true
		if !regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`).MatchString(d.header.Get("webhook-id")) {
			t.Errorf("event %d has the id %q", i, d.header.Get("webhook-id"))
		}
		if d.header.Get("Content-Type") != "application/json" || !signed(d, o.WebhookSecret) {
			t.Errorf("event %d does not verify: %v", i, d.header)
		}
	}
	if len(ids) != 5 {
		t.Errorf("5 events have %d ids", len(ids))
	}
}

func TestEventIDIsStableOverRetries(t *testing.T) {
	hand := newHandClock()
	o, h := hooked(t, Options{Clock: hand.now}, `,"first_retry_ms":150`)
	h.fail = 2
	o.Put("Contact", map[string]any{"LastName": "A"})
	eventually(t, "the first attempt", func() bool { return len(h.all()) >= 1 })
	hand.advance(time.Minute)
	got := h.wait(t, 3)
	for i, d := range got {
		if d.header.Get("webhook-id") != got[0].header.Get("webhook-id") || d.body != got[0].body || !signed(d, o.WebhookSecret) {
			t.Errorf("attempt %d differs: %v", i, d.header)
		}
	}
	if got[0].header.Get("webhook-timestamp") == got[2].header.Get("webhook-timestamp") {
		t.Error("the timestamp is not the attempt's")
	}
	eventually(t, "the counts", func() bool { c := o.WebhookCounts(); return c.Sent == 1 && c.Failed == 2 && c.Pending == 0 })
}

func TestWebhookSecretRotation(t *testing.T) {
	o, h := hooked(t, Options{}, "")
	const fresh = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	o.control(t, "POST", "/secrets", `{"webhook_secret":"`+fresh+`","keep_previous":true}`)
	o.Put("Contact", map[string]any{"LastName": "A"})
	if d := h.wait(t, 1)[0]; !signed(d, fresh) || !signed(d, o.WebhookSecret) {
		t.Errorf("both secrets sign: %v", d.header)
	}
	o.control(t, "POST", "/webhooks", `{"secret":"`+fresh+`"}`)
	o.Put("Contact", map[string]any{"LastName": "B"})
	if d := h.wait(t, 2)[1]; !signed(d, fresh) || signed(d, o.WebhookSecret) {
		t.Errorf("only the new one signs: %v", d.header)
	}
	for _, bad := range []string{`{"webhook_secret":"short"}`, `{"webhook_secret":"whsec_AAAA"}`} {
		if r := o.control(t, "POST", "/secrets", bad); r.status != 400 {
			t.Errorf("%s: %d", bad, r.status)
		}
	}
	if r := o.control(t, "GET", "/webhooks", ""); strings.Contains(r.body, "whsec_") {
		t.Errorf("the secret is shown: %s", r.body)
	}
}

func TestWebhookSettingsOfTheOrg(t *testing.T) {
	o, h := hooked(t, Options{}, `,"objects":["Contact"]`)
	o.Put("Account", map[string]any{"Name": "A"})
	o.Put("Contact", map[string]any{"LastName": "A"})
	if d := h.wait(t, 1)[0]; !strings.Contains(d.body, `"object_type":"Contact"`) {
		t.Errorf("told of %s", d.body)
	}
	for _, bad := range []string{`{"objects":["Nope"]}`, `{"format":"xml"}`, `{"secret":"x"}`, `{"nope":1}`, `{"duplicate":2}`} {
		if r := o.control(t, "POST", "/webhooks", bad); r.status != 400 {
			t.Errorf("%s: %d", bad, r.status)
		}
	}
	eventually(t, "the standing", func() bool {
		r := o.control(t, "GET", "/webhooks", "")
		return r.at(t, "sent") == 1.0 && r.at(t, "pending") == 0.0 && r.at(t, "format") == "apex"
	})
}

// An event of our own write may arrive before the write is answered: the answer below never comes.
func TestEventPrecedesTheAnswer(t *testing.T) {
	o, h := hooked(t, Options{}, "")
	o.control(t, "POST", "/faults", `{"kind":"reset_after","class":"write","count":1}`)
	r, err := http.NewRequest("PATCH", o.URL+"/services/data/v62.0/sobjects/Contact/Ext_Id__c/C-1", strings.NewReader(`{"LastName":"A"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+o.token)
	r.Header.Set("Content-Type", "application/json")
	if response, err := o.client.Do(r); err == nil {
		defer response.Body.Close()
		t.Fatal("there was an answer")
	}
	if d := h.wait(t, 1)[0]; !strings.Contains(d.body, `"Ext_Id__c":{"old_value":null,"new_value":"C-1"}`) {
		t.Errorf("the event is %s", d.body)
	}
}

func TestCDCEvents(t *testing.T) {
	hand := newHandClock()
	o, h := hooked(t, Options{Clock: hand.now}, `,"format":"cdc"`)
	r := o.call(t, "POST", "/sobjects/Contact", map[string]any{"LastName": "Byron", "FirstName": "Ada", "MailingCity": "London"},
		"Sforce-Call-Options", "client=lockstep, defaultNamespace=x")
	id := r.at(t, "id").(string)
	hand.advance(time.Second)
	o.Put("Contact", map[string]any{"Id": id, "FirstName": nil, "MailingCity": "Paris", "Birthdate": "1815-12-10"})
	o.call(t, "DELETE", "/sobjects/Contact/"+id, nil)
	got := h.wait(t, 3)
	type event struct {
		DetailType string `json:"detail-type"`
		Source     string `json:"source"`
		Time       string `json:"time"`
		Detail     struct {
			Payload map[string]any `json:"payload"`
		} `json:"detail"`
	}
	var events []event
	for _, d := range got {
		var e event
		if err := json.Unmarshal([]byte(d.body), &e); err != nil {
			t.Fatal(err)
		}
		if e.DetailType != "ContactChangeEvent" || e.Source != "aws.partner/salesforce.com/00Dxx0000000001EAA/0YLxx0000000001GAA" {
			t.Errorf("the envelope is %s", d.body)
		}
		if !signed(d, o.WebhookSecret) {
			t.Error("a change event is not signed")
		}
		events = append(events, e)
	}
	headers := make([]map[string]any, 3)
	for i, e := range events {
		headers[i] = e.Detail.Payload["ChangeEventHeader"].(map[string]any)
	}
	create, update := events[0].Detail.Payload, events[1].Detail.Payload
	for name, c := range map[string]struct{ got, want any }{
		"type":           {headers[0]["changeType"], "CREATE"},
		"origin":         {headers[0]["changeOrigin"], "com/salesforce/api/rest/62.0;client=lockstep"},
		"user":           {headers[0]["commitUser"], DefaultUserID},
		"ids":            {sprint(headers[0]["recordIds"]), "[" + id + "]"},
		"name":           {sprint(create["Name"]), "map[FirstName:Ada LastName:Byron]"},
		"address":        {sprint(create["MailingAddress"]), "map[City:London]"},
		"create fields":  {sprint(headers[0]["changedFields"]), "[]"},
		"date":           {create["CreatedDate"], 1767268800000.0},
		"update":         {headers[1]["changeType"], "UPDATE"},
		"human":          {headers[1]["commitUser"], DefaultHumanID},
		"human's origin": {headers[1]["changeOrigin"], humanOrigin},
		"changed":        {sprint(headers[1]["changedFields"]), "[LastModifiedDate LastModifiedById Name.FirstName Birthdate MailingAddress.City Change_Seq__c]"},
		"nulled":         {sprint(headers[1]["nulledFields"]), "[Name.FirstName]"},
		"only changed":   {update["LastName"], nil},
		"nulled value":   {sprint(update["Name"]), "map[FirstName:<nil>]"},
		"birthday":       {update["Birthdate"], float64(time.Date(1815, 12, 10, 0, 0, 0, 0, time.UTC).UnixMilli())},
		"delete":         {headers[2]["changeType"], "DELETE"},
		"delete payload": {len(events[2].Detail.Payload), 1},
	} {
		if c.got != c.want {
			t.Errorf("%s is %v, want %v", name, c.got, c.want)
		}
	}
	if headers[1]["commitNumber"].(float64) != headers[0]["commitNumber"].(float64)+1 {
		t.Error("commit numbers do not count")
	}
}
