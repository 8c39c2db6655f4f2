package workflows

import (
	"time"

	"lockstep/activities"
	"lockstep/schema"
)

// ClaimInput starts Sync and SyncRecord. Everything that decides how patient a run is comes in here and so stands in
// its history: the map may change without breaking a replay.
type ClaimInput struct {
	Claim   schema.ID   `json:"claim" validate:"required"`
	System  string      `json:"system"`
	Object  string      `json:"object"`
	Op      schema.Op   `json:"op"`
	Lane    schema.Lane `json:"lane"`
	Parts   int         `json:"parts" validate:"gte=0"`
	Records int         `json:"records" validate:"gte=0"`
	// Owner is the name in the map of who answers for the object.
	Owner string `json:"owner"`
	// Failing is how long the only record of a claim in trouble had been failing when the run was started.
	Failing time.Duration     `json:"failing,omitempty"`
	Policy  activities.Policy `json:"policy"`
}

// ClaimResult is how a run of Sync or SyncRecord ended.
type ClaimResult struct {
	Told       int           `json:"told,omitempty"`
	Again      int           `json:"again,omitempty"`
	HandedOver int           `json:"handed_over,omitempty"`
	Parked     int           `json:"parked,omitempty"`
	Dead       int           `json:"dead,omitempty"`
	GivenBack  schema.Reason `json:"given_back,omitempty"`
}

func (r *ClaimResult) add(a activities.ApplyResult) {
	r.Told += a.Told
	r.Again += a.Again
	r.HandedOver += a.HandedOver
	r.Parked += a.Parked
	r.Dead += a.Dead
}
