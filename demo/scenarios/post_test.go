package scenarios_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"lockstep/connectors/salesforce/salesforcetest"
	"lockstep/demo/checker"
	"lockstep/demo/endpoints"
)

// answer is what intake said.
type answer struct {
	status    int
	Receipt   string `json:"receipt"`
	Duplicate bool   `json:"duplicate"`
	Error     struct {
		Reason string `json:"reason"`
		Masked string `json:"masked"`
	} `json:"error"`
}

// foreign is a secret that no source has.
const foreign = "whsec_bm90LXRoZS1zZWNyZXQtb2YtdGhpcy1zb3VyY2U="

// post FILE ID [SECRET]: the CRM posts a change under a message id; the secret may be another one.
func post(ctx context.Context, ts *testscript.TestScript, s *scene, args []string) error {
	secret := ""
	if len(args) > 2 {
		if secret = expand(ts, args[2]); secret == "forged" {
			secret = foreign
		}
	}
	_, err := s.send(ctx, demo.Endpoints(), expand(ts, args[1]), secret, []byte(expand(ts, ts.ReadFile(args[0]))))
	ts.Setenv("RECEIPT", s.answer.Receipt)
	return err
}

// send posts a body signed with a secret, by default the source's own, and keeps the answer.
func (s *scene) send(ctx context.Context, at endpoints.Endpoints, id, secret string, body []byte) (text []byte, err error) {
	system := at.Systems[checker.Salesforce]
	if secret == "" {
		secret = system.WebhookSecret
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.Intake+"/webhooks/"+system.Source, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	now := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("webhook-id", id)
	req.Header.Set("webhook-timestamp", now)
	req.Header.Set("webhook-signature", salesforcetest.SignWebhook(secret, id, now, body))
	client := http.Client{Timeout: patience}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	text, err = io.ReadAll(resp.Body)
	if err := errorOf(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	s.answer = answer{status: resp.StatusCode}
	if err := json.Unmarshal(text, &s.answer); err != nil {
		return text, fmt.Errorf("%d without JSON", resp.StatusCode)
	}
	return text, nil
}

// answers STATUS [REASON]: so the last post was answered; the reason duplicate is one of a 2xx.
func answers(_ context.Context, _ *testscript.TestScript, s *scene, args []string) error {
	reason := s.answer.Error.Reason
	if s.answer.Duplicate {
		reason = "duplicate"
	}
	if strconv.Itoa(s.answer.status) != args[0] || len(args) > 1 && reason != args[1] {
		return fmt.Errorf("the answer is %d %s", s.answer.status, reason)
	}
	return nil
}

// ends OUTCOME [REASON]: so the event of the last receipt ends, soon.
func ends(ctx context.Context, _ *testscript.TestScript, s *scene, args []string) error {
	return eventually(ctx, func(ctx context.Context) error {
		life, err := s.lockstep.Life(ctx, s.answer.Receipt)
		if err != nil {
			return err
		}
		for _, e := range life.Events {
			if e.State != "done" || string(e.Outcome) != args[0] || len(args) > 1 && string(e.Reason) != args[1] {
				return fmt.Errorf("event %s is %s, %s %s", e.Event, e.State, e.Outcome, e.Reason)
			}
		}
		return nil
	})
}
