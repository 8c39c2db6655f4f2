package activities

import (
	"time"

	"lockstep/schema"
)

// The names under which the activities are registered; they live in histories. A golden test holds them.
const (
	NameApply    = "Apply"
	NameGiveBack = "GiveBack"
	NamePark     = "Park"
	NameEscalate = "OpenIncident"
)

// Policy is how patient a run is.
type Policy struct {
	// Call bounds one vendor call.
	Call time.Duration `json:"call"`
	// Moment is how long trouble of the whole system is retried before the claim is given back.
	Moment time.Duration `json:"moment"`
	// First and Longest bound the delay between attempts at one record in trouble.
	First   time.Duration `json:"first"`
	Longest time.Duration `json:"longest"`
	// EscalateAfter opens the incident beside the retries; GiveUp parks the record. Both count from the record's first
	// failure, whatever claims it was in since; 0 is never.
	EscalateAfter time.Duration `json:"escalate_after"`
	GiveUp        time.Duration `json:"give_up"`
}

// escalates and givesUp report whether a record has been failing for so long.
func (p Policy) escalates(failing time.Duration) bool {
	return p.EscalateAfter > 0 && failing >= p.EscalateAfter
}

func (p Policy) givesUp(failing time.Duration) bool { return p.GiveUp > 0 && failing >= p.GiveUp }

// ApplyInput asks for one vendor call of a part of a claim.
type ApplyInput struct {
	Claim  schema.ID `json:"claim" validate:"required"`
	Part   int       `json:"part" validate:"gte=0"`
	System string    `json:"system"`
	// Single is set for the only record of a claim in trouble: it stays in the claim until it is through.
	Single bool   `json:"single,omitempty"`
	Policy Policy `json:"policy"`
}

// ApplyResult is what one vendor call came to. It holds counts only.
type ApplyResult struct {
	// Done is set when nothing of the part is left.
	Done       bool `json:"done,omitempty"`
	Told       int  `json:"told,omitempty"`
	Again      int  `json:"again,omitempty"`
	HandedOver int  `json:"handed_over,omitempty"`
	Parked     int  `json:"parked,omitempty"`
	Dead       int  `json:"dead,omitempty"`
}

// GiveBackInput ends a claim whose system is in trouble.
type GiveBackInput struct {
	Claim  schema.ID     `json:"claim" validate:"required"`
	Reason schema.Reason `json:"reason"`
	// Pause is how long the system asked to be left alone; 0 when it did not.
	Pause time.Duration `json:"pause,omitempty"`
}

// ParkInput takes a record out of its claim until a person acts.
type ParkInput struct {
	Claim  schema.ID     `json:"claim" validate:"required"`
	Reason schema.Reason `json:"reason"`
	Owner  string        `json:"owner"`
	// Cancelled is set when somebody cancelled the run; the activity looks up who.
	Cancelled bool `json:"cancelled,omitempty"`
}

// IncidentInput opens the incident of a record beside its retries; why it is retried stands in its calls.
type IncidentInput struct {
	Claim  schema.ID `json:"claim" validate:"required"`
	System string    `json:"system"`
	Object string    `json:"object"`
	Owner  string    `json:"owner"`
}

// Empty is the result of an activity that answers nothing.
type Empty struct{}

// Trouble is the detail of an application error: what the whole system asks for.
type Trouble struct {
	Reason schema.Reason `json:"reason"`
	Pause  time.Duration `json:"pause,omitempty"`
}

// The types of application errors (activities/errors.go makes them).
const (
	// ErrorGiveBack: the whole system is in trouble, and a moment of retries did not help.
	ErrorGiveBack = "GiveBack"
)
