package salesforce

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lockstep/connectors"
	"lockstep/connectors/salesforce/salesforcetest"
	"lockstep/connectors/simulator"
	"lockstep/schema"
)

// What the simulated org sends is what its connector's envelope reads, and our own writes are marked as ours.
func TestSimulatedEvents(t *testing.T) {
	for _, format := range []string{salesforcetest.FormatCDC, salesforcetest.FormatApex} {
		t.Run(format, func(t *testing.T) {
			events := make(chan []byte, 16)
			receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				events <- body
			}))
			defer receiver.Close()
			webhook := simulator.DefaultWebhook()
			webhook.URL = receiver.URL
			org := salesforcetest.Start(t, salesforcetest.Options{Webhook: webhook, WebhookFormat: format})
			e := Envelope{Client: "lockstep", User: salesforcetest.DefaultUserID, SequenceField: "Change_Seq__c"}
			next := func() schema.Change {
				t.Helper()
				select {
				case body := <-events:
					changes, err := e.Parse(json.RawMessage(body))
					if err != nil || len(changes) != 1 {
						t.Fatalf("%v, %v: %s", changes, err, body)
					}
					return changes[0]
				case <-time.After(5 * time.Second):
					t.Fatal("no event")
					return schema.Change{}
				}
			}
			id := org.Put("Contact", map[string]any{"FirstName": "Ada", "LastName": "Byron", "Email": "ada@example.com"})["Id"].(string)
			made := next()
			if made.Ref != id || made.Ours || made.Fields["LastName"] != "Byron" || made.Fields["FirstName"] != "Ada" || made.At.IsZero() {
				t.Errorf("created: %s %s ours=%t %v", made.Ref, made.Kind, made.Ours, map[string]any(made.Fields))
			}
			s := at(t, org)
			answers, err := s.Write(t.Context(), contact, []connectors.Change{{ID: id, Fields: schema.Fields{"LastName": "King", "Email": nil}}})
			if err != nil || answers[0].Err != nil {
				t.Fatal(answers, err)
			}
			ours := next()
			governed := schema.Fields{"LastName": ours.Fields["LastName"], "Email": ours.Fields["Email"]}
			if diff := cmp.Diff(schema.Fields{"LastName": "King", "Email": nil}, governed); diff != "" || ours.Ref != id || !ours.Ours {
				t.Errorf("our write: %s ours=%t %s", ours.Ref, ours.Ours, diff)
			}
			if _, told := ours.Fields["FirstName"]; told {
				t.Error("a field that did not change is told")
			}
			read, err := s.Read(t.Context(), contact, []string{id})
			if err != nil || read[0].Err != nil {
				t.Fatal(read, err)
			}
			if format == salesforcetest.FormatApex && (ours.Sequence == 0 || ours.Sequence != made.Sequence+1) {
				t.Errorf("sequences %d and %d", made.Sequence, ours.Sequence)
			}
			if err := org.Remove("Contact", id, ""); err != nil {
				t.Fatal(err)
			}
			if gone := next(); gone.Kind != schema.EventDelete || gone.Ref != id || gone.Ours {
				t.Errorf("deleted: %+v", gone)
			}
		})
	}
}

// at connects to a simulated org.
func at(t *testing.T, org *salesforcetest.Server) *Connector {
	t.Helper()
	s, err := New(Config{
		System: "crm", Endpoint: org.URL, AllowLoopback: true, Options: map[string]string{"sequence_field": "Change_Seq__c"},
		Credential: func(context.Context) (connectors.Credential, error) {
			return connectors.Credential{ClientID: org.ClientID, ClientSecret: org.ClientSecret}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// The sequence of a read and of an event are the same number.
func TestSequenceOfReads(t *testing.T) {
	org := salesforcetest.Start(t, salesforcetest.Options{})
	id := org.Put("Contact", map[string]any{"LastName": "Byron"})["Id"].(string)
	org.Put("Contact", map[string]any{"Id": id, "LastName": "King"})
	s := at(t, org)
	answers, err := s.Read(t.Context(), contact, []string{id})
	if err != nil || answers[0].Err != nil || answers[0].Record.Sequence != 2 {
		t.Errorf("%+v, %v; want sequence 2", answers, err)
	}
}

// R-119's record has an id that is none of Salesforce's; it is read by it all the same.
func TestReadOfAnOddID(t *testing.T) {
	org := salesforcetest.Start(t, salesforcetest.Options{})
	org.Put("Account", map[string]any{"Id": "a1B2c3D4e5F6g7H8", "Name": "Acme"})
	account := connectors.Object{Name: "Account", Key: "Ext_Id__c", Fields: []string{"Ext_Id__c", "Name"}}
	answers, err := at(t, org).Read(t.Context(), account, []string{"a1B2c3D4e5F6g7H8"})
	if err != nil || answers[0].Err != nil || answers[0].ID != "a1B2c3D4e5F6g7H8" || answers[0].Record.Fields["Name"] != "Acme" {
		t.Errorf("%+v, %v", answers, err)
	}
}
