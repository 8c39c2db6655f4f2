package schema

import (
	"encoding/json"
	"time"
)

// Life is the answer of GET /api/v1/events/{receipt}: everything that happened to the events of one POST. It holds no
// value of theirs.
type Life struct {
	Receipt ID          `json:"receipt"`
	Events  []EventLife `json:"events"`
}

// EventLife is the life of one event.
type EventLife struct {
	Event      ID        `json:"event"`
	Source     string    `json:"source"`
	System     string    `json:"system"`
	Object     string    `json:"object"`
	Kind       EventKind `json:"kind"`
	Record     ID        `json:"record"`
	Lane       string    `json:"lane"`
	SourceAt   time.Time `json:"source_at,omitzero"`
	ReceivedAt time.Time `json:"received_at"`
	// State is new, decided, held or done.
	State string `json:"state"`
	// Outcome is how it ended, or the verdict that a decided event waits to end with.
	Outcome      Outcome         `json:"outcome,omitempty"`
	Reason       Reason          `json:"reason,omitempty"`
	Sentence     string          `json:"sentence,omitempty"`
	Rev          int64           `json:"rev,omitempty"`
	SupersededBy *ID             `json:"superseded_by,omitempty"`
	Fields       json.RawMessage `json:"fields,omitempty"`
	EndedAt      time.Time       `json:"ended_at,omitzero"`
	DeadLetter   string          `json:"dead_letter,omitempty"`
	// Deliveries say where each system stands that the record has to reach.
	Deliveries []DeliveryLife `json:"deliveries,omitempty"`
	// Calls are the vendor calls made for the record while the event was open.
	Calls []CallLife `json:"calls,omitempty"`
}

// DeliveryLife is where one system stands.
type DeliveryLife struct {
	System  string        `json:"system" db:"system"`
	State   DeliveryState `json:"state" db:"state"`
	Op      Op            `json:"op" db:"op"`
	Reason  Reason        `json:"reason,omitempty" db:"reason"`
	Tries   int           `json:"tries,omitempty" db:"tries"`
	ReadyAt time.Time     `json:"ready_at,omitzero" db:"ready_at"`
	// Workflow is the id under which Temporal carries it; empty when nothing runs.
	Workflow string `json:"workflow,omitempty"`
}

// CallLife is one vendor call.
type CallLife struct {
	Call       ID        `json:"call" db:"id"`
	System     string    `json:"system" db:"system"`
	Op         Op        `json:"op" db:"op"`
	State      CallState `json:"state" db:"state"`
	Kind       Kind      `json:"kind,omitempty" db:"kind"`
	SentAt     time.Time `json:"sent_at" db:"sent_at"`
	AnsweredAt time.Time `json:"answered_at,omitzero" db:"answered_at"`
	Records    int       `json:"records" db:"records"`
}

// Stats is the answer of GET /api/v1/stats: one consistent snapshot. Accepted is always the sum of the outcomes and what
// is open.
type Stats struct {
	At       time.Time `json:"at"`
	Accepted int64     `json:"accepted"`
	// Outcomes counts ended events.
	Outcomes map[Outcome]int64 `json:"outcomes"`
	Open     OpenStats         `json:"open"`
	// Refused counts payloads that were not taken, Duplicates what came again.
	Refused    int64 `json:"refused"`
	Duplicates int64 `json:"duplicates"`
	// Sources has the same numbers for each source; `lockstep` are our own reads, which the totals leave out.
	Sources map[string]SourceStats `json:"sources"`
	// Deliveries counts them by system and state.
	Deliveries map[string]map[DeliveryState]int64 `json:"deliveries"`
	// OldestOpen is how long, in seconds, the oldest open event has waited.
	OldestOpen float64 `json:"oldest_open_seconds"`
	// DeadLetters counts the open ones.
	DeadLetters int64 `json:"dead_letters"`
}

// OpenStats counts events without a final outcome.
type OpenStats struct {
	// Held wait for a person or a read, Parked for a system or a person, InFlight for nothing but us.
	Held     int64 `json:"held"`
	Parked   int64 `json:"parked"`
	InFlight int64 `json:"in_flight"`
}

// Sum returns all of them.
func (o OpenStats) Sum() int64 { return o.Held + o.Parked + o.InFlight }

// SourceStats are the numbers of one source.
type SourceStats struct {
	Accepted   int64             `json:"accepted"`
	Refused    int64             `json:"refused"`
	Duplicates int64             `json:"duplicates"`
	Open       int64             `json:"open"`
	Outcomes   map[Outcome]int64 `json:"outcomes"`
}

// Check is the answer of GET /api/v1/invariants: what of the protocol does not hold in the journal.
type Check struct {
	Findings []Broken `json:"findings"`
}

// Broken is one of the protocol's invariants that does not hold.
type Broken struct {
	Invariant int    `json:"invariant"`
	Sentence  string `json:"sentence"`
	// Count is how many rows break it.
	Count int64 `json:"count"`
}
