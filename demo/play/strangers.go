package play

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"lockstep/connectors/salesforce/salesforcetest"
	"lockstep/demo/checker"
	"lockstep/demo/endpoints"
)

// sender posts webhooks by hand, as a CRM, a careless repeater or a forger would.
type sender struct {
	at     endpoints.Endpoints
	client *http.Client
	sent   int
}

// answer is what intake said.
type answer struct {
	Status    int    `json:"-"`
	Receipt   string `json:"receipt"`
	Events    int    `json:"events"`
	Duplicate bool   `json:"duplicate"`
	Error     struct {
		Reason string `json:"reason"`
		Field  string `json:"field"`
		Masked string `json:"masked"`
	} `json:"error"`
	DeadLetter string `json:"dead_letter"`
}

// post sends one change set under a message id, signed with a secret.
func (s *sender) post(ctx context.Context, id, secret string, body []byte) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.at.Intake+"/webhooks/"+s.at.Systems[checker.Salesforce].Source, bytes.NewReader(body))
	if err != nil {
		return answer{}, fmt.Errorf("play: %w", err)
	}
	now := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("webhook-id", id)
	req.Header.Set("webhook-timestamp", now)
	req.Header.Set("webhook-signature", salesforcetest.SignWebhook(secret, id, now, body))
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("play: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return answer{}, fmt.Errorf("play: %w", err)
	}
	a := answer{Status: resp.StatusCode}
	if err := json.Unmarshal(text, &a); err != nil {
		return a, fmt.Errorf("play: intake answers %d without JSON", resp.StatusCode)
	}
	return a, nil
}

// restate is a change set that tells nothing new of a contact: what stands there anyway.
func restate(p *checker.Person, field string, value any) ([]byte, error) {
	return json.Marshal(map[string]any{
		"event_type": "UPDATE", "source_system": "SALESFORCE", "timestamp": time.Now().UTC().Add(-time.Hour).Format(time.RFC3339), "record_id": p.SalesforceID,
		"object_type": "Contact", "change_set": map[string]any{field: map[string]any{"old_value": value, "new_value": value}},
	})
}

// encounters are what strangers at the door met.
type encounters struct {
	// Receipt is the one of the event whose life is shown.
	Receipt    string
	DeadLetter string
	Masked     string
	Findings   []string
}

// strangers repeats, forges and garbles.
func (s *sender) strangers(ctx context.Context, p *checker.Person) (encounters, error) {
	var e encounters
	secret := s.at.Systems[checker.Salesforce].WebhookSecret
	body, err := restate(p, "LastName", p.Expect(fieldNamed("last_name")))
	if err != nil {
		return e, fmt.Errorf("play: %w", err)
	}
	for n := range 3 {
		a, err := s.post(ctx, "msg_repeated", secret, body)
		if err != nil {
			return e, err
		}
		if n == 0 {
			e.Receipt = a.Receipt
			s.sent++
		}
		e.expect(a.Status == http.StatusAccepted && a.Receipt == e.Receipt && a.Duplicate == (n > 0), "the %d. delivery of one event answers %d under %s", n+1, a.Status, a.Receipt)
	}
	a, err := s.post(ctx, "msg_forged", "whsec_bm90LXRoZS1zZWNyZXQtb2YtdGhpcy1zb3VyY2U=", body)
	if err != nil {
		return e, err
	}
	e.expect(a.Status == http.StatusUnauthorized && a.Receipt == "", "a forged webhook answers %d", a.Status)
	bad, err := restate(p, "Phone_E164__c", "n/a, ask reception")
	if err != nil {
		return e, fmt.Errorf("play: %w", err)
	}
	a, err = s.post(ctx, "msg_garbled", secret, bad)
	if err != nil {
		return e, err
	}
	e.expect(a.Status == http.StatusBadRequest && a.Error.Reason == "bad_phone" && strings.Contains(a.Error.Field, "Phone_E164__c") && a.DeadLetter != "",
		"a webhook with a phone number that is none answers %d %s at %s", a.Status, a.Error.Reason, a.Error.Field)
	e.DeadLetter, e.Masked = a.DeadLetter, a.Error.Masked
	return e, nil
}

func (e *encounters) expect(holds bool, format string, args ...any) {
	if !holds {
		e.Findings = append(e.Findings, fmt.Sprintf(format, args...))
	}
}

func fieldNamed(name string) checker.Field {
	for _, f := range checker.Fields() {
		if f.Name == name {
			return f
		}
	}
	return checker.Field{}
}
