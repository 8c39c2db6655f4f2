// Package connectortest is the conformance suite of connectors: what every connector owes the protocol, run against the
// connector on its vendor's simulator. The tests are named after the faults and attacks that they stand for
// (reliability, A to D).
package connectortest

import (
	"context"
	"net/http"
	"regexp"
	"testing"

	"lockstep/connectors"
	"lockstep/connectors/simulator"
	"lockstep/schema"
)

// Connector is what the suite tests: every interface of the contract.
type Connector interface {
	connectors.Connector
	connectors.Reader
	connectors.Writer
	connectors.Linker
	connectors.Creator
	connectors.Finder
	connectors.Feed
	Close()
}

// Harness joins a connector with its simulator.
type Harness struct {
	// Start returns a fresh simulator that lives until the test ends.
	Start func(t *testing.T) System
	// Connect returns a connector for the places.
	Connect func(t *testing.T, p Places) Connector
	// Object is the object under test; the simulator has all its fields.
	Object connectors.Object
	// Person returns the values of the n-th person under Object's fields, without the key: all texts, no two alike, and
	// enough for a record.
	Person func(n int) schema.Fields
	// Text is a field of Person that takes any text of up to 60 characters, and Clear one that may be emptied.
	Text, Clear string
	// Email and Phone are fields of Person that match keys are made of; External is a field that is not, for ids of
	// another issuer.
	Email, Phone, External string
	// Missing is an id of the vendor's form that no record has.
	Missing string
	// Paths matches every path that a request may have.
	Paths *regexp.Regexp
	// OneOwner says that the vendor gives an identifier one owner, so that a key names one record at most.
	OneOwner bool
	// RowFaults are faults of kind item, and Refusals faults of a whole call, with the kinds that they must become.
	RowFaults, Refusals []Refusal
	// TokenPath is the token endpoint's path.
	TokenPath string
}

// Refusal is a fault and the failure that it must become.
type Refusal struct {
	Fault simulator.Fault
	Kind  schema.Kind
	// Field is set when the fault names it.
	Field string
}

// Places are where a connector finds its vendor, and what it is to remember of it.
type Places struct {
	Endpoint, Login string
	Credential      func(context.Context) (connectors.Credential, error)
	MaxResponse     int64
	OnQuota         func(connectors.Quota)
}

// System is one simulator.
type System struct {
	// API and Login are its hosts; a nil Login means that API grants tokens too.
	API, Login http.Handler
	Credential connectors.Credential
	// Inject adds a fault to the plan.
	Inject func(simulator.Fault)
	// Journal returns the entries so far.
	Journal func() []simulator.Entry
	// Put makes a record as a person would, without our id unless fields hold it; Edit and Remove change it so.
	Put    func(fields schema.Fields) (id string)
	Edit   func(id string, fields schema.Fields)
	Remove func(id string)
	// Get returns a live record's values, nil when there is none.
	Get func(id string) schema.Fields
	// Count counts the live records.
	Count func() int
	// Revoke ends every token; Rotate replaces the client's secret.
	Revoke func()
	Rotate func(secret string)
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	tests := []struct {
		name string
		test func(*testing.T, Harness)
	}{
		{"A24/IDsNeverChangeThePath", testTraversal},
		{"A25/ValuesStayLiteral", testInjection},
		{"B09/NoPersonalDataInRequestLines", testRequestLines},
		{"B16/RotatedSecretIsPickedUp", testRotation},
		{"D01/RetryAfter", testRetryAfter},
		{"D03/ServerErrors", testServerErrors},
		{"D04/UnknownOutcomes", testUnknownOutcomes},
		{"D05/PartialFailure", testPartialFailure},
		{"D07/RevokedToken", testRevokedToken},
		{"D07/OneRenewalForManyCalls", testRenewals},
		{"D12/RefusedValues", testRefusals},
		{"D13/WritesNeverResurrect", testNoResurrection},
		{"D13/UnknownRecords", testUnknownRecord},
		{"D14/CreateTwice", testCreateTwice},
		{"D17/RedirectsAreNotFollowed", testRedirects},
		{"D18/GiantAnswers", testGiantAnswers},
		{"D20/ReadsAreNotCached", testNoCache},
		{"Link", testLink},
		{"Write", testWrite},
		{"Read", testRead},
		{"Find", testFind},
		{"Feed", testFeed},
		{"Batches", testBatches},
		{"Quota", testQuota},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.test(t, h) })
	}
}
