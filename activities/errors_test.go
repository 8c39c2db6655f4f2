package activities

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"lockstep/connectors"
	"lockstep/schema"
)

var patience = Policy{Call: 10 * time.Second, Moment: 30 * time.Second, First: time.Second, Longest: 5 * time.Minute}

func appError(t *testing.T, err error) *temporal.ApplicationError {
	t.Helper()
	var app *temporal.ApplicationError
	if !errors.As(err, &app) {
		t.Fatalf("%v is no application error", err)
	}
	return app
}

// TestEveryKindOfTheWholeSystemIsRetriedForAMoment walks the system-scope kinds, early and late in the moment.
func TestEveryKindOfTheWholeSystemIsRetriedForAMoment(t *testing.T) {
	for _, c := range []struct {
		kind     schema.Kind
		after    time.Duration
		since    time.Duration
		givesUp  bool
		pause    time.Duration
		minDelay time.Duration
	}{
		{schema.Unavailable, 0, 0, false, 0, 500 * time.Millisecond / 2},
		{schema.Unavailable, 0, 31 * time.Second, true, 0, 0},
		{schema.Throttled, 5 * time.Second, 0, false, 5 * time.Second, 5 * time.Second},
		// A system that asks for time without saying how much asks everybody.
		{schema.Throttled, 0, 0, false, 250 * time.Millisecond, 250 * time.Millisecond},
		{schema.Throttled, 0, 31 * time.Second, true, 250 * time.Millisecond, 0},
		{schema.Throttled, time.Minute, 0, true, time.Minute, 0},
		{schema.Throttled, 10 * time.Hour, 0, true, time.Hour, 0},
		{schema.QuotaExhausted, 0, 0, true, quotaPause, 0},
		{schema.AuthExpired, 0, 0, true, 0, 0},
	} {
		a := attempt{policy: patience, n: 1, since: c.since, jitter: func() float64 { return 0.5 }}
		pause, err := a.trouble(&connectors.Error{System: "desk", Kind: c.kind, RetryAfter: c.after})
		app := appError(t, err)
		if (app.Type() == ErrorGiveBack) != c.givesUp || app.NonRetryable() != c.givesUp {
			t.Errorf("%s after %s: %s", c.kind, c.since, app.Type())
		}
		if pause < c.pause || pause > c.pause+c.pause/5 {
			t.Errorf("%s: the credential rests for %s, want %s and at most a tenth more", c.kind, pause, c.pause)
		}
		if !c.givesUp && app.NextRetryDelay() < c.minDelay {
			t.Errorf("%s: next attempt after %s", c.kind, app.NextRetryDelay())
		}
		if c.givesUp {
			var trouble Trouble
			if err := app.Details(&trouble); err != nil || trouble.Reason != schema.ReasonOf(c.kind) && c.kind != schema.AuthExpired {
				t.Errorf("%s: %+v %v", c.kind, trouble, err)
			}
		}
	}
}

// TestARequestRefusedAsAWholeIsGivenBack shows that a wiring mistake never loops at the vendor.
func TestARequestRefusedAsAWholeIsGivenBack(t *testing.T) {
	for _, kind := range schema.Kinds {
		if kind.Scope() == schema.ScopeSystem {
			continue
		}
		_, err := attempt{policy: patience, n: 1, jitter: func() float64 { return 0 }}.trouble(&connectors.Error{System: "desk", Kind: kind})
		if app := appError(t, err); app.Type() != ErrorGiveBack {
			t.Errorf("%s: %s", kind, app.Type())
		}
	}
}

// TestDelaysHaveFullJitter draws delays: anywhere from nothing to a bound that doubles and is capped (D02).
func TestDelaysHaveFullJitter(t *testing.T) {
	for n, bound := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 40: 5 * time.Minute} {
		for _, share := range []float64{0, 0.25, 0.999} {
			a := attempt{n: n, jitter: func() float64 { return share }}
			got, want := a.between(time.Second, 5*time.Minute), max(time.Duration(share*float64(bound)), 10*time.Millisecond)
			if got != want {
				t.Errorf("attempt %d at %.2f: %s, want %s", n, share, got, want)
			}
		}
	}
}

func TestARecordsOwnDelayNeverUndercutsTheVendors(t *testing.T) {
	a := attempt{policy: patience, single: true, n: 1, jitter: func() float64 { return 0 }}
	err := a.record(&connectors.Error{System: "desk", Kind: schema.Contention, RetryAfter: 7 * time.Second})
	if app := appError(t, err); app.NextRetryDelay() != 7*time.Second || app.NonRetryable() {
		t.Errorf("%s %v", app.NextRetryDelay(), app.NonRetryable())
	}
}

func TestALongPauseIsWaitedForInPostgres(t *testing.T) {
	a := attempt{policy: patience, n: 1, jitter: func() float64 { return 0 }}
	if app := appError(t, a.wait(schema.ReasonTargetSlow, time.Minute)); app.Type() != ErrorGiveBack {
		t.Errorf("a minute: %s", app.Type())
	}
	if app := appError(t, a.wait(schema.ReasonTargetSlow, time.Second)); app.NextRetryDelay() != time.Second {
		t.Errorf("a second: %s", app.NextRetryDelay())
	}
	a.jitter = func() float64 { return 1 }
	if app := appError(t, a.wait(schema.ReasonTargetSlow, time.Second)); app.NextRetryDelay() != 1100*time.Millisecond {
		t.Errorf("a second, with others: %s", app.NextRetryDelay())
	}
	// An unanswered call is waited for however long its deadline is: nobody else may call.
	if app := appError(t, a.wait(schema.ReasonOutcomeUnknown, time.Minute)); app.NextRetryDelay() != time.Minute {
		t.Errorf("an unanswered call: %s %s", app.Type(), app.NextRetryDelay())
	}
}

// TestB02 shows that an error of the journal brings none of its text into a history.
func TestB02(t *testing.T) {
	const canary = "ada.byron@canary.example"
	a := attempt{policy: patience, n: 1, jitter: func() float64 { return 0 }}
	for _, err := range []error{
		a.database(errors.New("pq: duplicate key value (email)=(" + canary + ")")),
		a.database(schema.ErrUnavailable), a.database(schema.ErrRaced), a.database(schema.ErrOtherBundle),
		fault("code"),
	} {
		for _, verb := range []string{err.Error(), appError(t, err).Message()} {
			if strings.Contains(verb, "canary") {
				t.Errorf("%q", verb)
			}
		}
	}
}
