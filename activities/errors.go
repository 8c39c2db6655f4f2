package activities

import (
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"

	"lockstep/connectors"
	"lockstep/schema"
)

// attempt is what Temporal knows of the present attempt, and the one translator from what went wrong to its errors.
// Messages hold codes and kinds only; they stand in histories in the clear.
type attempt struct {
	policy Policy
	single bool
	// n counts attempts from 1; since is how long ago the first one was asked for.
	n      int
	since  time.Duration
	jitter func() float64
}

const (
	// quotaPause is how long a credential rests whose daily allowance is used up and that does not say until when.
	quotaPause = 15 * time.Minute
	// longestPause bounds what a vendor may ask for.
	longestPause = time.Hour
)

// fault is a mistake of ours: retried slowly, so that a corrected build finds it.
func fault(code string) error {
	return temporal.NewApplicationErrorWithOptions("internal: "+code, string(schema.ReasonInternal), temporal.ApplicationErrorOptions{NextRetryDelay: 30 * time.Second})
}

// database says that our own database did not go along. Nothing of the vendor's is lost by it.
func (a attempt) database(err error) error {
	code := "journal"
	switch {
	case errors.Is(err, schema.ErrOtherBundle):
		code = "another bundle is active"
	case errors.Is(err, schema.ErrUnavailable):
		code = "the database does not answer"
	case errors.Is(err, schema.ErrRaced):
		code = "another transaction was first"
	}
	return temporal.NewApplicationErrorWithOptions(code, "Journal", temporal.ApplicationErrorOptions{
		NextRetryDelay: a.between(200*time.Millisecond, 5*time.Second), Category: temporal.ApplicationErrorCategoryBenign,
	})
}

// wait repeats the attempt once a pause is over; a pause beyond the moment is waited for in Postgres.
func (a attempt) wait(reason schema.Reason, pause time.Duration) error {
	if reason == schema.ReasonOutcomeUnknown {
		return again(string(reason), pause)
	}
	if pause > a.policy.Moment {
		return giveBackError(reason, 0)
	}
	// Many wait for the same moment; they must not all come in it.
	return again(string(reason), pause+time.Duration(a.jitter()*0.1*float64(pause)))
}

// late repeats an attempt whose answer came after its deadline.
func (a attempt) late() error {
	return again(string(schema.ReasonOutcomeUnknown), a.between(time.Second, 5*time.Second))
}

// unknown repeats an attempt once its request can no longer arrive.
func (a attempt) unknown(e *connectors.Error, until time.Duration) error {
	return again(e.Error(), max(until, 10*time.Millisecond))
}

// record repeats an attempt at the only record of a claim, with the delays of its importance.
func (a attempt) record(e *connectors.Error) error {
	return again(e.Error(), max(a.between(a.policy.First, a.policy.Longest), e.RetryAfter))
}

// trouble is trouble of the whole system: retried for a moment, then given back. pause is how long the credential has to
// rest.
func (a attempt) trouble(e *connectors.Error) (pause time.Duration, err error) {
	if e.Kind.Scope() != schema.ScopeSystem {
		// The vendor refuses the request as a whole, not one of its records: a person has to look at the wiring.
		return 0, giveBackError(schema.ReasonOf(e.Kind), time.Minute)
	}
	reason := schema.ReasonOf(e.Kind)
	pause = min(e.RetryAfter+time.Duration(a.jitter()*0.1*float64(e.RetryAfter)), longestPause+longestPause/10)
	switch e.Kind {
	case schema.QuotaExhausted:
		pause = max(pause, quotaPause)
		return pause, giveBackError(reason, pause)
	case schema.AuthExpired:
		return 0, giveBackError(reason, time.Minute)
	default:
	}
	delay := max(pause, a.between(500*time.Millisecond, 5*time.Second))
	if e.Kind == schema.Throttled {
		// Whoever asks for time without saying how much asks everybody for it, too.
		pause = delay
	}
	if a.since+delay > a.policy.Moment {
		return pause, giveBackError(reason, pause)
	}
	return pause, again(e.Error(), delay)
}

// again is a retryable error with a delay of our own: the server's retries have no jitter (D02).
func again(code string, delay time.Duration) error {
	return temporal.NewApplicationErrorWithOptions(code, "Retry", temporal.ApplicationErrorOptions{
		NextRetryDelay: delay, Category: temporal.ApplicationErrorCategoryBenign,
	})
}

func giveBackError(reason schema.Reason, pause time.Duration) error {
	return temporal.NewApplicationErrorWithOptions(string(reason), ErrorGiveBack, temporal.ApplicationErrorOptions{
		NonRetryable: true, Details: []any{Trouble{Reason: reason, Pause: pause}}, Category: temporal.ApplicationErrorCategoryBenign,
	})
}

// between draws the delay before the next attempt.
func (a attempt) between(first, longest time.Duration) time.Duration {
	return jittered(a.jitter, first, longest, a.n)
}

// jittered draws a delay with full jitter: anywhere up to a bound that doubles with each of n tries.
func jittered(jitter func() float64, first, longest time.Duration, n int) time.Duration {
	bound := first
	for i := 1; i < n && bound < longest; i++ {
		bound *= 2
	}
	bound = min(bound, longest)
	return max(time.Duration(jitter()*float64(bound)), 10*time.Millisecond)
}
