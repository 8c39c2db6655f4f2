package schema

// Reason is why something waits, failed or was refused: one word from the vendor's answer to the runbook's file name.
// The catalogue is closed; Reasons holds every one.
type Reason string

// The reasons of intake: the sender hears of them at once.
const (
	ReasonMalformedJSON   Reason = "malformed_json"
	ReasonSchemaMismatch  Reason = "schema_mismatch"
	ReasonUnknownObject   Reason = "unknown_object"
	ReasonBadRecordID     Reason = "bad_record_id"
	ReasonBadPhone        Reason = "bad_phone"
	ReasonBadEmail        Reason = "bad_email"
	ReasonBadDate         Reason = "bad_date"
	ReasonBadValue        Reason = "bad_value"
	ReasonNoUsableKey     Reason = "no_usable_key"
	ReasonSameIDOtherBody Reason = "same_id_other_body"
)

// The reasons of an event that waits for a person, a read or a clock.
const (
	ReasonReading        Reason = "reading"
	ReasonClockSkew      Reason = "clock_skew"
	ReasonAmbiguousMatch Reason = "ambiguous_match"
	ReasonKeyTaken       Reason = "key_taken"
	ReasonVendorMerge    Reason = "vendor_merge"
	ReasonValueNotKept   Reason = "value_not_kept"
)

// The reasons of a delivery that waits or failed, one or more for each kind.
const (
	ReasonTargetSlow        Reason = "target_slow"
	ReasonQuotaExhausted    Reason = "quota_exhausted"
	ReasonTargetUnavailable Reason = "target_unavailable"
	ReasonLoginRefused      Reason = "login_refused"
	ReasonRecordBusy        Reason = "record_busy"
	ReasonLostRace          Reason = "lost_race"
	ReasonChangedElsewhere  Reason = "changed_elsewhere"
	ReasonOutcomeUnknown    Reason = "outcome_unknown"
	ReasonValueRefused      Reason = "value_refused"
	ReasonRecordGone        Reason = "record_gone"
	ReasonWriteForbidden    Reason = "write_forbidden"
	ReasonUnsupported       Reason = "unsupported"
	ReasonDuplicateInTarget Reason = "duplicate_in_target"
	ReasonParkedByPerson    Reason = "parked_by_person"
	ReasonGivenUp           Reason = "given_up"
	ReasonInternal          Reason = "internal"
)

// Failure is a reason's entry in the catalogue.
type Failure struct {
	Reason Reason
	// Kind is the vendor kind that leads to the reason; empty where none does.
	Kind Kind
	// Sentence says in plain words what happened.
	Sentence string
}

// Failures is the catalogue.
var Failures = []Failure{
	{ReasonMalformedJSON, "", "The message is not the strict JSON that we accept."},
	{ReasonSchemaMismatch, "", "The message does not have the shape agreed with its sender."},
	{ReasonUnknownObject, "", "The message tells of an object that the integration map does not list for this source."},
	{ReasonBadRecordID, "", "The record id does not look like one of this source."},
	{ReasonBadPhone, "", "A phone number cannot be a phone number."},
	{ReasonBadEmail, "", "An e-mail address cannot be an e-mail address."},
	{ReasonBadDate, "", "A date or time cannot be read."},
	{ReasonBadValue, "", "A value is too long, or not of its field's type."},
	{ReasonNoUsableKey, "", "The message holds nothing to recognise its customer by."},
	{ReasonSameIDOtherBody, "", "A message id came again with another body; the first one stands."},
	{ReasonReading, "", "The change waits until the record has been read from its own system."},
	{ReasonClockSkew, "", "The change is dated in the future; it waits until its time has come."},
	{ReasonAmbiguousMatch, "", "More than one record could be meant; a person has to choose."},
	{ReasonKeyTaken, "", "The new match key already belongs to another record; a person has to say whether they are one."},
	{ReasonVendorMerge, "", "The record was merged in its own system; a person has to say which one stays."},
	{ReasonValueNotKept, "", "The target keeps changing the value that we write; a person has to look."},
	{ReasonTargetSlow, Throttled, "The target asks us to slow down."},
	{ReasonQuotaExhausted, QuotaExhausted, "The target's allowance for the day is used up."},
	{ReasonTargetUnavailable, Unavailable, "The target does not answer."},
	{ReasonLoginRefused, AuthExpired, "The target refuses our login."},
	{ReasonRecordBusy, Contention, "Somebody else is saving the record in the target."},
	{ReasonLostRace, LostRace, "Somebody else created the record in the target at the same moment."},
	{ReasonChangedElsewhere, Conflict, "The record changed in the target while we were writing it."},
	{ReasonOutcomeUnknown, UnknownOutcome, "The target did not say whether it took the change."},
	{ReasonValueRefused, Invalid, "The target refuses the value."},
	{ReasonRecordGone, NotFound, "The record is no longer in the target."},
	{ReasonWriteForbidden, Forbidden, "Our user may not do this in the target."},
	{ReasonUnsupported, Unsupported, "The target cannot do this."},
	{ReasonDuplicateInTarget, HumanNeeded, "The target holds duplicates of the record; a person has to merge them there."},
	{ReasonParkedByPerson, "", "A person stopped this sync."},
	{ReasonGivenUp, "", "A day of retries has not helped."},
	{ReasonInternal, "", "Lockstep itself failed on this; an engineer has to look."},
}

// ReasonOf returns the reason that a vendor kind leads to.
func ReasonOf(kind Kind) Reason {
	for _, f := range Failures {
		if f.Kind == kind {
			return f.Reason
		}
	}
	return ReasonInternal
}

// Known reports whether the reason is in the catalogue.
func (r Reason) Known() bool {
	for _, f := range Failures {
		if f.Reason == r {
			return true
		}
	}
	return false
}

// Sentence returns the reason in plain words.
func (r Reason) Sentence() string {
	for _, f := range Failures {
		if f.Reason == r {
			return f.Sentence
		}
	}
	return ""
}

// Refusal is why a payload or a value was not taken: enough to mend it, and nothing of the value itself.
type Refusal struct {
	Reason Reason `json:"reason"`
	// Field is a JSON pointer into the event, or a canonical field's name.
	Field string `json:"field,omitempty"`
	// Rule is what the value breaks, in words.
	Rule string `json:"rule,omitempty"`
	// Masked is the value with everything but its shape hidden.
	Masked string `json:"masked,omitempty"`
	// Remedy says what the sender can do.
	Remedy string `json:"remedy,omitempty"`
}

// Error returns reason, field and rule.
func (r *Refusal) Error() string {
	s := string(r.Reason)
	if r.Field != "" {
		s += " at " + r.Field
	}
	if r.Rule != "" {
		s += ": " + r.Rule
	}
	return s
}
