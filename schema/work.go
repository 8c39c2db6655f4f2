package schema

import (
	"context"
	"errors"
	"time"
)

// The ways in which asking the journal ends without an answer. They quote nothing.
var (
	// ErrOtherBundle: another bundle than this process's is active; it neither decides nor renders.
	ErrOtherBundle = errors.New("another bundle is active")
	// ErrRaced: another transaction was first; nothing has changed and the same may be tried again.
	ErrRaced = errors.New("another transaction was first")
	// ErrUnavailable: the database could not be asked, or it is not known what became of the question.
	ErrUnavailable = errors.New("the database does not answer")
	// ErrNotFound: there is no such row.
	ErrNotFound = errors.New("not found")
)

// Topic is what a process can wait for.
type Topic string

// The topics.
const (
	// TopicDecide: there are new events.
	TopicDecide Topic = "lockstep_decide"
	// TopicClaim: there are ready deliveries or free slots.
	TopicClaim Topic = "lockstep_claim"
)

// Decider is what decide does with the records under lock. It may look for other records by match keys.
type Decider func(ctx context.Context, records []*OpenRecord, look Look) ([]Resolution, error)

// Look finds the other records that share match keys with the given ones. While a transaction lasts nobody else looks
// for or takes the same keys.
type Look func(ctx context.Context, asked []Asked) (map[ID][]Candidate, error)

// Asked is a record whose other self is looked for.
type Asked struct {
	Record ID
	Object string
	Keys   []Key
	// Canonical are ids of ours that systems hold for the record.
	Canonical []ID
}

// DecideQuery chooses the records of one decision.
type DecideQuery struct {
	Lane Lane
	// Low is the lowest sequence that may be open; 0 looks at all.
	Low int64
	// Only limits it to one record; zero means any.
	Only ID
}

// Decided is what one decision did.
type Decided struct {
	Records int
	Events  int
	// Low is the lowest sequence that was found open; 0 when none was.
	Low int64
	// Ready is set when a delivery became ready.
	Ready bool
}

// ClaimQuery chooses the deliveries of one claim.
type ClaimQuery struct {
	System string
	Object string
	Op     Op
	Lane   Lane
	// Bulk is how many records one call holds, Calls how many calls a claim holds.
	Bulk  int
	Calls int
}

// ReadyGroup is a kind of delivery that waits to be claimed.
type ReadyGroup struct {
	System string `db:"system"`
	Object string `db:"object"`
	Op     Op     `db:"op"`
	Lane   Lane   `db:"lane"`
}

// SystemSetup is how many claims of a system may be open.
type SystemSetup struct {
	System string
	// Slots is for batches, Singles for records in trouble.
	Slots   int
	Singles int
}

// OpenQuery opens the next call of a part of a claim.
type OpenQuery struct {
	Claim ID
	Part  int
	// Timeout is how long the vendor may take, Margin how much later nothing can arrive any more.
	Timeout time.Duration
	Margin  time.Duration
}

// Opening is what stood when a call was to be opened.
type Opening struct {
	// Done is set when nothing of the part is left; the claim may be closed by now.
	Done bool
	// Wait is how long no call may be made: an unanswered one may still arrive, or the system asked for a pause.
	Wait time.Duration
	// Reason says what the wait is for.
	Reason Reason
	// Call is the call that was committed; nil when there is none to make.
	Call *Call
	// Items are what the call tells, in its order.
	Items []*Item
	// Left counts what the part holds beside them.
	Left int
}

// Renderer says, under lock, what a call tells: the positions of the items that it holds, the bytes that it stands for,
// and what becomes of the items that it leaves out. unanswered is set when a call of the same part was made before and
// nobody knows what became of it.
type Renderer func(call Call, items []*Item, unanswered bool) (sent []int, payload []byte, endings []Ending, err error)

// Settler says, under lock, what an answer means for each record of a call. The items are in the order of the call and
// hold the newest state; Item.Rev is the newest revision. holder tells whose record a vendor's id is, zero for nobody's.
type Settler func(items []*Item, holder func(vendorID string) (ID, error)) ([]Ending, error)
