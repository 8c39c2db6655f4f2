package schema

// Lane is a delivery's priority class; it is also Temporal's priority key.
type Lane int16

// The lanes, most urgent first.
const (
	LaneLive   Lane = 1
	LanePush   Lane = 2
	LaneNormal Lane = 3
	LaneBulk   Lane = 5
)

// Lanes lists the lanes, most urgent first.
var Lanes = []Lane{LaneLive, LanePush, LaneNormal, LaneBulk}

// String returns the lane's name.
func (l Lane) String() string {
	switch l {
	case LaneLive:
		return "live"
	case LanePush:
		return "push"
	case LaneNormal:
		return "normal"
	case LaneBulk:
		return "bulk"
	}
	return "unknown"
}

// Op is what a delivery has to do next in its system.
type Op string

// The operations. One claim and one vendor call hold one operation only.
const (
	// OpWrite updates a record that carries our id.
	OpWrite Op = "write"
	// OpLink updates a record by the vendor's id and puts our id on it (ADR 0003).
	OpLink Op = "link"
	// OpCreate creates the record under our id.
	OpCreate Op = "create"
	// OpRead reads the record by the vendor's id.
	OpRead Op = "read"
	// OpFind looks the record up by its match keys.
	OpFind Op = "find"
	// OpDelete deletes the record.
	OpDelete Op = "delete"
	// OpSteps runs several steps that belong together.
	OpSteps Op = "steps"
)

// Effect reports whether the operation changes the system.
func (o Op) Effect() bool { return o != OpRead && o != OpFind }

// DeliveryState says where a delivery stands.
type DeliveryState string

// The delivery states: idle → ready → claimed → idle | ready | parked.
const (
	DeliveryIdle    DeliveryState = "idle"
	DeliveryReady   DeliveryState = "ready"
	DeliveryClaimed DeliveryState = "claimed"
	DeliveryParked  DeliveryState = "parked"
)

// EventState says where an event without a final outcome stands.
type EventState string

// The event states.
const (
	EventNew     EventState = "new"
	EventDecided EventState = "decided"
	EventHeld    EventState = "held"
)

// Outcome is how an event ends, and the verdict a decided event waits to end with.
type Outcome string

// The outcomes.
const (
	// Applied: at least one field of it became the record's value.
	Applied Outcome = "applied"
	// Superseded: newer or more entitled values stand in its place.
	Superseded Outcome = "superseded"
	// Echo: it told nothing that we did not believe of that system already.
	Echo Outcome = "echo"
	// Ignored: it holds no field that the map governs.
	Ignored Outcome = "ignored"
	// Dead: a system refuses it for good, or it cannot be decided; it waits in the dead letters.
	Dead Outcome = "dead"
	// Erased: its person was erased.
	Erased Outcome = "erased"
)

// Outcomes lists every outcome once.
var Outcomes = []Outcome{Applied, Superseded, Echo, Ignored, Dead, Erased}

// ClaimKind says how many records a claim holds and which workflow carries it.
type ClaimKind string

// The claim kinds.
const (
	ClaimBatch    ClaimKind = "batch"
	ClaimSingle   ClaimKind = "single"
	ClaimTogether ClaimKind = "together"
)

// CallState says what became of a vendor call.
type CallState string

// The call states: sent → answered | unknown.
const (
	CallSent     CallState = "sent"
	CallAnswered CallState = "answered"
	CallUnknown  CallState = "unknown"
)
