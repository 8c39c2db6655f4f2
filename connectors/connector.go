package connectors

import (
	"context"
	"time"

	"lockstep/schema"
)

// Connector is what every system offers. The other interfaces of this file are what a system may offer beside it.
type Connector interface {
	// Batch returns how many records one call of an operation holds: 1 where the vendor has no bulk form, 0 where the
	// connector does not offer the operation.
	Batch(op schema.Op) int
	// CallsPerClaim returns how many calls one claim may hold (protocol, Claim).
	CallsPerClaim() int
}

// Splitter is offered by a connector whose calls do not hold every mixture of Batch records. Whoever calls it passes a
// call the leading Fits records and the rest to the next call: what does not fit one vendor request together (a Genesys
// contact with a field to clear beside others, look-ups whose keys are more than one request takes) is then never sent
// as two requests behind one call row. A method that gets more than fits refuses the whole call with Unsupported and
// sends nothing.
type Splitter interface {
	// Fits returns how many of the leading changes one call of a write, link or create holds: 1 to Batch(op).
	Fits(op schema.Op, object Object, changes []Change) int
	// FitsLookups returns how many of the leading look-ups one Find holds: 1 to Batch(schema.OpFind).
	FitsLookups(object Object, lookups [][]MatchKey) int
}

// Object is one of a system's objects as the integration map uses it.
type Object struct {
	// Name is the vendor's name of the object.
	Name string
	// Key is the vendor field that carries our canonical id.
	Key string
	// Fields are the vendor fields that the map governs, sorted; Key is one of them.
	Fields []string
}

// Record is a vendor record as a connector read it, flattened to the vendor's field names.
type Record struct {
	// ID is the vendor's id.
	ID string
	// Fields holds a value for each of Object.Fields that the vendor knows; nil where it is empty.
	Fields schema.Fields
	// ModifiedAt is the vendor's own time of the record's last change, in UTC; zero when the vendor does not tell.
	ModifiedAt time.Time
	// Sequence orders versions of equal time; 0 when the vendor has none.
	Sequence uint64
}

// Change is one record of a write.
type Change struct {
	// ID is the vendor's id; empty for a create.
	ID string
	// Canonical is our id of the record: the idempotency key of a create.
	Canonical schema.ID
	// Fields are the values to set under the vendor's names; nil empties a field. Untouched fields are never sent
	// (ruling 8).
	Fields schema.Fields
}

// Answer is the fate of one record of a call, in the order asked. Err is nil when it succeeded; its kind is never of
// system scope, because trouble of the whole system fails the whole call.
type Answer struct {
	// ID is the vendor's id after the call.
	ID string
	// Record is the record as the answer showed it; nil where the vendor shows none.
	Record *Record
	// ModifiedAt is the vendor's own time of this write; zero when the vendor does not tell.
	ModifiedAt time.Time
	// Created is set when a create made the record rather than found it.
	Created bool
	Err     *Error
}

// Reader reads records by the vendor's id. A missing record is an Answer with kind NotFound. Safe to repeat.
type Reader interface {
	Read(ctx context.Context, object Object, ids []string) ([]Answer, error)
}

// Writer updates records that carry our id; it never creates one (protocol F15). A missing record answers NotFound.
// Safe to repeat: values are absolute.
type Writer interface {
	Write(ctx context.Context, object Object, changes []Change) ([]Answer, error)
}

// Linker updates records by the vendor's id and puts our id (a value of Object.Key among the fields) on them; it never
// creates one. Safe to repeat.
type Linker interface {
	Link(ctx context.Context, object Object, changes []Change) ([]Answer, error)
}

// Creator creates records under our id. Repeating it finds the first creation instead of making a second.
type Creator interface {
	Create(ctx context.Context, object Object, changes []Change) ([]Answer, error)
}

// MatchKind is the kind of a match key: how its values are spelt and compared.
type MatchKind string

// The kinds of match keys.
const (
	MatchCanonical MatchKind = "canonical_id"
	MatchExternal  MatchKind = "external_id"
	MatchEmail     MatchKind = "email"
	MatchPhone     MatchKind = "phone"
)

// MatchKey is one way to look a record up. Value is in canonical spelling and is personal data.
type MatchKey struct {
	Kind MatchKind
	// Field is the vendor field that holds such values.
	Field string
	Value schema.Value
}

// Found is the result of one look-up: every record that carries any of its keys, each once. Whether one of them is the
// person meant is the rules' business, not the vendor's. Err's kind is never of system scope.
type Found struct {
	Records []Record
	Err     *Error
}

// Finder looks records up by match keys. Values never travel in a URL (B09). Safe to repeat.
type Finder interface {
	Find(ctx context.Context, object Object, lookups [][]MatchKey) ([]Found, error)
}

// Page is a part of the records changed since a moment. Next is empty on the last page.
type Page struct {
	Records []Record
	Next    string
}

// Feed lists records changed at or after a moment, oldest first as far as the vendor can. Safe to repeat.
type Feed interface {
	ChangedSince(ctx context.Context, object Object, since time.Time, cursor string) (Page, error)
}

// Quota is what an answer told about the credential's allowance.
type Quota struct {
	// Remaining calls in the window; negative when the answer did not tell.
	Remaining int
	// Allowed calls in the window.
	Allowed int
	// Resets is how long until the window ends; 0 when the answer did not tell.
	Resets time.Duration
}
