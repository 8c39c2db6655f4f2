package schema

import (
	"encoding/json"
	"time"
)

// Posting is one POST of a source, verified and checked, on its way into the journal.
type Posting struct {
	Source  string
	Receipt ID
	// Units are what the source may deliver again by itself; each has its own dedupe key.
	Units []Unit
}

// Unit is a part of a posting with a dedupe key of its own.
type Unit struct {
	// Key are the signed bytes that name the unit.
	Key [][]byte
	// Kept remembers the key for good: nothing signed bounds the time in which it may come again.
	Kept bool
	// Body is what a unit of the same key must consist of.
	Body []byte
	// Events are numbered through the posting, from 1.
	Events []NewEvent
}

// NewEvent is one event on its way into the journal.
type NewEvent struct {
	System string
	Object string
	// Ref is the vendor's record id, or what stands for it.
	Ref  string
	Kind EventKind
	// Part is the position among the changes that Body tells of.
	Part     int
	SourceAt time.Time
	Sequence uint64
	Lane     Lane
	// Body are the exact bytes of the event.
	Body []byte
}

// Accepted is what became of a posting.
type Accepted struct {
	// Receipt is the first one under which the units were accepted.
	Receipt ID
	// Events counts what is new.
	Events int
	// Conflicts are the positions of units whose key was taken by another body.
	Conflicts []int
}

// Refused is a payload that was not taken, on its way to the dead letters.
type Refused struct {
	Source  string
	Object  string
	Owner   string
	Refusal Refusal
	Body    []byte
	// Quarantined marks a body that came under another's id.
	Quarantined bool
}

// OpenRecord is a record under lock, with what has to be decided about it.
type OpenRecord struct {
	ID         ID
	Object     string
	Rev        int64
	Identified bool
	State      *State
	// WantsJoin is the record that this one was found to be; zero when there is none.
	WantsJoin  ID
	Events     []OpenEvent
	Deliveries map[string]Delivered
	// Verify names the systems whose record was not read since the journal was restored.
	Verify map[string]bool
	// Again returns the state as it stood, for another try.
	Again func() (*State, error)
	// Damaged is set when the state's row cannot be opened: nothing can be decided about the record.
	Damaged bool
}

// OpenEvent is one event without a verdict.
type OpenEvent struct {
	ID         ID
	Source     string
	System     string
	Kind       EventKind
	Part       int
	Lane       Lane
	Body       []byte
	ReceivedAt time.Time
	// Tries counts how often deciding it died, or how often it waited for a read.
	Tries int
	// Reads counts how often it waited for a read.
	Reads int
	Round int
	// Damaged is set when the body's row cannot be opened.
	Damaged bool
}

// Delivered is what stands about a system in the deliveries of a record.
type Delivered struct {
	State      DeliveryState
	Op         Op
	DesiredRev int64
	OwedFrom   int64
	Reason     Reason
}

// Resolution is what was decided about one record.
type Resolution struct {
	Record     ID
	Object     string
	Rev        int64
	Identified bool
	// State is nil when nothing of it changed.
	State    *State
	Verdicts []Resolved
	// Standing are the events whose words stand; a decided one that is not among them is superseded.
	Standing []ID
	Wants    []Wanted
	// Keys are the match keys of an identified record.
	Keys []Key
	// Join is the record that this one turned out to be; its events are decided again there.
	Join ID
	// Members are failures that a person has to hear of.
	Members []Member
}

// Resolved is the verdict of one event.
type Resolved struct {
	Event        ID
	Source       string
	Round        int
	State        EventState
	Outcome      Outcome
	Reason       Reason
	HeldUntil    time.Time
	Reads        int
	SupersededBy ID
	// Final is set when nothing is owed for the event.
	Final bool
	// Fields is the explanation, without any value.
	Fields json.RawMessage
	// Owner is who hears of a dead event.
	Owner string
}

// Wanted is what a system has to be told or asked.
type Wanted struct {
	System string
	Op     Op
	Lane   Lane
	// Parked is set when a person has to act first.
	Parked Reason
}

// Member is one failure of one event or record, counted under its cause.
type Member struct {
	Reason Reason
	System string
	Object string
	Owner  string
	// Event is zero when the record as a whole is concerned.
	Event  ID
	Record ID
}

// Claim is up to some calls of deliveries of one system in one workflow.
type Claim struct {
	ID      ID        `db:"id"`
	Kind    ClaimKind `db:"kind"`
	System  string    `db:"system"`
	Object  string    `db:"object"`
	Op      Op        `db:"op"`
	Lane    Lane      `db:"lane"`
	Parts   int       `db:"parts"`
	Records int       `db:"records"`
	// Record is the only one of a lone claim; zero otherwise.
	Record ID `db:"record"`
	// Attempt counts how often the claim was started again.
	Attempt int `db:"attempt"`
	// Failing is how long the only record of a claim in trouble has been failing; 0 otherwise.
	Failing time.Duration `db:"failing"`
}

// Item is one record of a call.
type Item struct {
	Record ID
	Rev    int64
	State  *State
	// Tries counts how often the record's trouble sent it back.
	Tries int
	// Failing is how long ago the record began to fail in the system, whatever claims it was in since; 0 when it does not.
	Failing time.Duration
	// Isolate asks for the words of one event at a time.
	Isolate bool
	// Events are the record's open events, oldest first.
	Events []ID
	// Changed is set when the state was changed and has to be stored.
	Changed bool
	// Dirty is set when events of the record were decided since the call was opened.
	Dirty bool
}

// Call is a vendor call that is committed before it is made.
type Call struct {
	ID       ID
	Claim    ID
	Part     int
	System   string
	Object   string
	Op       Op
	Lane     Lane
	Kind     ClaimKind
	SentAt   time.Time
	Deadline time.Time
}

// Ending is what a call means for one of its records.
type Ending struct {
	Record ID
	// Rev is the revision that was told.
	Rev int64
	// State is nil when nothing of it changed.
	State *State
	// Told is set when the system now holds what Rev says.
	Told bool
	// More is set when there is a next step all the same.
	More bool
	// Next is the operation of whatever comes next; empty leaves it as it was.
	Next Op
	// After delays it.
	After time.Duration
	// Kind is the kind of the record's failure; empty when there was none.
	Kind Kind
	// Failed is set when the call failed for the record and the try counts.
	Failed bool
	// HandOver gives the record a workflow of its own.
	HandOver bool
	// Stay keeps the delivery in its claim: its own workflow tries again.
	Stay bool
	// Isolate asks for the words of one event at a time from now on.
	Isolate bool
	// Parked is set when a person has to act first.
	Parked Reason
	// Dead is the event that is refused for good, with its letter.
	Dead *DeadEvent
	// Ref is the vendor's id that the record turned out to have.
	Ref string
	// Gone is set when the system no longer has the record.
	Gone bool
	// Reads are records that were read; they enter the journal, and what comes next waits for their verdict.
	Reads []NewEvent
	// ReadsOfOther are records that were read and turned out to be another's.
	ReadsOfOther []NewEvent
	// Members are failures that a person has to hear of.
	Members []Member
	// Standing are the events whose words stand, when State changed.
	Standing []ID
}

// DeadEvent is an event that a system refuses for good.
type DeadEvent struct {
	Event  ID
	Reason Reason
	Field  string
	Code   string
	Owner  string
}

// OwnSource is the source of events that our own reads make. They are decided like any other and counted apart.
const OwnSource = "lockstep"
