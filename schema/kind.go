package schema

// Kind classifies a failed vendor call, or a failed item of one, at the edge that knows the vendor. Everything after
// that edge reads kinds only: the retry policy, the protocol, the reason, the runbook.
type Kind string

// The kinds, in the order of the protocol's scopes. connectors.md section 13 lists each vendor's members.
const (
	// Throttled: too many requests; the vendor may say for how long.
	Throttled Kind = "Throttled"
	// QuotaExhausted: the day's allowance is used up; minutes to hours.
	QuotaExhausted Kind = "QuotaExhausted"
	// Unavailable: 5xx, connection refused, DNS, TLS; or a read whose answer was cut.
	Unavailable Kind = "Unavailable"
	// AuthExpired: the credential was refused again after one renewal.
	AuthExpired Kind = "AuthExpired"

	// Contention: another writer held the row; the same call may succeed in a moment.
	Contention Kind = "Contention"
	// LostRace: somebody else created it first; the same call again finds it.
	LostRace Kind = "LostRace"
	// Conflict: the record changed since it was read; read, decide again.
	Conflict Kind = "Conflict"
	// UnknownOutcome: the request went out and no whole answer came back.
	UnknownOutcome Kind = "UnknownOutcome"

	// Invalid: the vendor refuses the value or the shape, for good.
	Invalid Kind = "Invalid"
	// NotFound: the record is not there (any more).
	NotFound Kind = "NotFound"
	// Forbidden: our user may not do this.
	Forbidden Kind = "Forbidden"
	// Unsupported: the vendor has no such operation, object or field.
	Unsupported Kind = "Unsupported"
	// HumanNeeded: several records match, or a duplicate rule asks for a person.
	HumanNeeded Kind = "HumanNeeded"
)

// Kinds lists every kind once.
var Kinds = []Kind{
	Throttled, QuotaExhausted, Unavailable, AuthExpired,
	Contention, LostRace, Conflict, UnknownOutcome,
	Invalid, NotFound, Forbidden, Unsupported, HumanNeeded,
}

// Scope says whose trouble a kind is.
type Scope string

// The scopes (protocol F3).
const (
	// ScopeSystem: the whole system is in trouble; claims are given back, never handed over one by one.
	ScopeSystem Scope = "system"
	// ScopeRecord: one record is in trouble for now.
	ScopeRecord Scope = "record"
	// ScopeTerminal: repeating cannot help; a person or a correction must.
	ScopeTerminal Scope = "terminal"
)

// Scope returns whose trouble the kind is. It panics on a kind that is not in Kinds.
func (k Kind) Scope() Scope {
	switch k {
	case Throttled, QuotaExhausted, Unavailable, AuthExpired:
		return ScopeSystem
	case Contention, LostRace, Conflict, UnknownOutcome:
		return ScopeRecord
	case Invalid, NotFound, Forbidden, Unsupported, HumanNeeded:
		return ScopeTerminal
	}
	panic("schema: unknown kind " + string(k))
}
