package activities_test

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"lockstep/activities"
	"lockstep/connectors/simulator"
	"lockstep/schema"
	"lockstep/workflows"
)

// TestRuling11 rotates the client secret and ends every token in the middle of a claim's retries: the attempt after it
// succeeds, and nobody sees anything of it (ruling 11).
func TestRuling11(t *testing.T) {
	o := newOffice(t)
	event := o.customer(1)
	c := o.next(schema.OpCreate)
	o.org.Inject(simulator.Fault{Class: simulator.ClassWrite, Kind: simulator.FaultThrottle, RetryAfter: simulator.Seconds(0), Count: 2})
	for n := range 2 {
		if _, err := o.Attempt(c, 0, n+1); err == nil {
			t.Fatal("the claim is not being retried")
		}
		o.Exec(`UPDATE credential SET paused_until = NULL`)
	}
	before := len(o.org.Requests())
	must(t, o.org.RotateSecrets([]byte(`{"client_secret":"the-secret-of-tomorrow"}`)))
	o.org.RevokeTokens()
	o.secret.Store("the-secret-of-tomorrow")
	result, err := o.Attempt(c, 0, 3)
	if err != nil || !result.Done || result.Told != 1 {
		t.Fatalf("the attempt after the rotation: %+v, %v", result, err)
	}
	o.Settle()
	if e := o.Event(event); e.Outcome != schema.Applied {
		t.Errorf("the event is %s %s", e.State, e.Outcome)
	}
	statuses := []int{}
	for _, r := range o.org.Requests()[before:] {
		statuses = append(statuses, r.Status)
	}
	if !reflect.DeepEqual(statuses[:3], []int{401, 200, 200}) {
		t.Errorf("the org saw %v, want one refusal, one login, one success", statuses)
	}
	for what, query := range map[string]string{
		"failures": `SELECT count(*) FROM member`, "open breakers": `SELECT count(*) FROM system_state WHERE breaker <> 'closed' OR trips > 0`,
		"pauses": `SELECT count(*) FROM credential WHERE paused_until IS NOT NULL`, "calls that failed for the login": `SELECT count(*) FROM call WHERE kind = 'AuthExpired'`,
		"parked deliveries": `SELECT count(*) FROM delivery WHERE state = 'parked'`,
	} {
		if n := o.Count(query); n != 0 {
			t.Errorf("%d %s", n, what)
		}
	}
	// What stands in a history names the system, whose credential only the activity resolves.
	options, _, in := workflows.Start(c, "ops", o.Bundle.Digest, o.Policy)
	for _, v := range []any{in, o.Input(c, 0), options.Memo, options.StaticSummary, options.ID} {
		text, err := json.Marshal(v)
		must(t, err)
		for _, s := range []string{o.org.ClientSecret, o.org.ClientID, "the-secret-of-tomorrow", "Bearer", "00D"} {
			if strings.Contains(string(text), s) {
				t.Errorf("%s holds %q", text, s)
			}
		}
	}
	secretive := regexp.MustCompile(`(?i)secret|token|credential|password|login|key`)
	for _, v := range []any{workflows.ClaimInput{}, activities.ApplyInput{}, activities.GiveBackInput{}, activities.ParkInput{}, activities.IncidentInput{}, activities.Policy{}} {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			if secretive.MatchString(f.Name) {
				t.Errorf("%T has a field %s", v, f.Name)
			}
		}
	}
}
