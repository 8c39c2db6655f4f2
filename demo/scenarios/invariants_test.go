package scenarios_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"lockstep/connectors/salesforce/salesforcetest"
	"lockstep/demo/checker"
)

// TestINV06_OrderAndDuplication makes the same changes to two customers. The webhooks of the first arrive in order and
// once, those of the second shuffled and repeated. Both end alike, in both systems, as the last word says.
func TestINV06_OrderAndDuplication(t *testing.T) {
	s := &scene{land: checker.LandscapeAt(demo.Endpoints()), lockstep: checker.LockstepAt(demo.Endpoints()), who: map[string]map[string]string{}, journals: map[string]int{}}
	ctx := t.Context()
	do(t, s.calm(ctx))
	number := 1000 + serial.Add(1)
	ends := map[string][]string{}
	for _, twin := range []struct {
		name    string
		senders map[string]any
	}{
		{"orderly", map[string]any{"duplicate": 0, "reorder_ms": 0}},
		{"unruly", map[string]any{"duplicate": 0.7, "reorder_ms": 400, "seed": number}},
	} {
		for _, c := range s.land.Clients() {
			do(t, c.Set(ctx, "webhooks", twin.senders))
		}
		before, err := s.lockstep.Stats(ctx)
		do(t, err)
		salesforce, genesys := twinIn(t, s, fmt.Sprintf("%s.%d", twin.name, number))
		const turns = 12
		for n := range turns {
			_, err := s.land.Salesforce.Save(ctx, "Contact", []checker.Record{{
				"Id": salesforce, "LastName": fmt.Sprint("Turn ", n), "Customer_Status__c": []string{"Active", "Churned", "Back"}[n%3],
			}})
			do(t, err)
			if n%3 == 0 {
				_, err := s.land.Genesys.Save(ctx, "ExternalContact", []checker.Record{{"id": genesys, "workEmail": fmt.Sprintf("%s.%d.%d@example.com", twin.name, number, n)}})
				do(t, err)
			}
		}
		do(t, s.settle(ctx))
		after, err := s.lockstep.Stats(ctx)
		do(t, err)
		if repeated := after.Duplicates - before.Duplicates; (repeated > 0) != (twin.name == "unruly") {
			t.Errorf("the %s one's webhooks were repeated %d times", twin.name, repeated)
		}
		ends[twin.name] = shown(t, s, salesforce, genesys)
	}
	for i, orderly := range ends["orderly"] {
		if unruly := strings.ReplaceAll(ends["unruly"][i], "unruly", "orderly"); unruly != orderly {
			t.Errorf("INV-06: %q and %q", orderly, unruly)
		}
	}
	if !strings.Contains(ends["orderly"][0], "Turn 11") || !strings.Contains(ends["orderly"][0], ".9@") {
		t.Errorf("the last word does not stand: %q", ends["orderly"])
	}
	still, err := s.land.Still(ctx, 2*time.Second)
	do(t, err)
	for _, finding := range still {
		t.Error(finding)
	}
}

// twinIn creates a customer in Salesforce and returns its ids in both systems once it has arrived and all is quiet.
func twinIn(t *testing.T, s *scene, name string) (salesforce, genesys string) {
	t.Helper()
	saved, err := s.land.Salesforce.Save(t.Context(), "Contact", []checker.Record{{"LastName": "Twin", "Email": name + "@example.com"}})
	do(t, err)
	s.who[name] = map[string]string{checker.Salesforce: saved[0].Text("Id")}
	do(t, eventually(t.Context(), func(ctx context.Context) error {
		r, err := s.find(ctx, checker.Genesys, name)
		if err == nil {
			genesys = r.Text("id")
		}
		return err
	}))
	do(t, s.settle(t.Context()))
	return saved[0].Text("Id"), genesys
}

// shown is what both systems show of a customer.
func shown(t *testing.T, s *scene, salesforce, genesys string) (out []string) {
	t.Helper()
	contacts, err := s.land.Salesforce.State(t.Context(), "Contact")
	do(t, err)
	externals, err := s.land.Genesys.State(t.Context(), "ExternalContact")
	do(t, err)
	for _, r := range contacts {
		if r.Text("Id") == salesforce {
			out = append(out, fmt.Sprint(r.Text("LastName"), r.Text("Email"), r.Text("Customer_Status__c")))
		}
	}
	for _, r := range externals {
		if r.Text("id") == genesys {
			out = append(out, fmt.Sprint(r.Text("lastName"), r.Text("workEmail"), r.Text("customFields.customer_status")))
		}
	}
	if len(out) != 2 || out[0] != out[1] {
		t.Errorf("the systems show %q", out)
	}
	return out
}

// TestINV15_Signatures sends what the one who signs knows to be right or wrong, with a rotation half done, and counts the
// errors of both kinds: there are none.
func TestINV15_Signatures(t *testing.T) {
	at := demo.Endpoints()
	system := at.Systems[checker.Salesforce]
	number := 1000 + serial.Add(1)
	s := &scene{land: checker.LandscapeAt(at), lockstep: checker.LockstepAt(at), who: map[string]map[string]string{}, journals: map[string]int{}}
	do(t, s.calm(t.Context()))
	known, _ := twinIn(t, s, fmt.Sprintf("signed.%d", number))
	second := "whsec_" + base64.StdEncoding.EncodeToString([]byte(fmt.Sprintf("the second secret of run %d", number)))
	previous := filepath.Join(demo.Secrets(), "salesforce", "webhook_secret.previous")
	do(t, os.WriteFile(previous, []byte(second), 0o600))
	t.Cleanup(func() { do(t, os.Remove(previous)) })
	body := []byte(fmt.Sprintf(`{"event_type":"UPDATE","source_system":"SALESFORCE","timestamp":%q,"record_id":%q,"object_type":"Contact",`+
		`"change_set":{"LastName":{"old_value":null,"new_value":"Twin"}}}`, time.Now().UTC().Format(time.RFC3339), known))
	do(t, eventually(t.Context(), func(ctx context.Context) error { // a secret file is looked at once a second
		_, err := s.send(ctx, at, fmt.Sprintf("msg_inv15_%d_first", number), second, body)
		if err == nil && s.answer.status != http.StatusAccepted {
			err = fmt.Errorf("the second secret is not known: %d", s.answer.status)
		}
		return err
	}))
	type letter struct {
		signed  []byte
		secret  string
		at      time.Duration
		without string
		extra   string
		good    bool
	}
	letters := map[string]letter{
		"the secret":                   {secret: system.WebhookSecret, good: true},
		"the other live secret":        {secret: second, good: true},
		"four minutes late":            {secret: system.WebhookSecret, at: -4 * time.Minute, good: true},
		"four minutes early":           {secret: system.WebhookSecret, at: 4 * time.Minute, good: true},
		"a second signature beside it": {secret: system.WebhookSecret, extra: " v1,bm90IGl0", good: true},
		"a foreign secret":             {secret: foreign},
		"another body":                 {secret: system.WebhookSecret, signed: append(bytes.Clone(body), ' ')},
		"six minutes late":             {secret: system.WebhookSecret, at: -6 * time.Minute},
		"six minutes early":            {secret: system.WebhookSecret, at: 6 * time.Minute},
		"no id":                        {secret: system.WebhookSecret, without: "webhook-id"},
		"no timestamp":                 {secret: system.WebhookSecret, without: "webhook-timestamp"},
		"no signature":                 {secret: system.WebhookSecret, without: "webhook-signature"},
	}
	client := http.Client{Timeout: patience}
	for name, l := range letters {
		for n := range 5 {
			id := fmt.Sprintf("msg_inv15_%d_%s_%d", number, strings.ReplaceAll(name, " ", "-"), n)
			moment := strconv.FormatInt(time.Now().Add(l.at).Unix(), 10)
			signed := body
			if l.signed != nil {
				signed = l.signed
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at.Intake+"/webhooks/"+system.Source, bytes.NewReader(body))
			do(t, err)
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("webhook-id", id)
			req.Header.Set("webhook-timestamp", moment)
			req.Header.Set("webhook-signature", salesforcetest.SignWebhook(l.secret, id, moment, signed)+l.extra)
			req.Header.Del(l.without)
			resp, err := client.Do(req)
			do(t, err)
			do(t, resp.Body.Close())
			if accepted := resp.StatusCode == http.StatusAccepted; accepted != l.good || !l.good && resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("INV-15: %s: answered %d", name, resp.StatusCode)
			}
		}
	}
	do(t, s.settle(t.Context()))
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
