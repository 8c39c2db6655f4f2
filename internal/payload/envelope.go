package payload

import (
	"encoding/json"

	"lockstep/connectors"
	"lockstep/schema"
)

// Upcasting is an envelope whose events come out in the present version, whatever version they were sent in.
type Upcasting struct {
	connectors.Envelope
	Catalogue *Catalogue
	// Families maps a vendor's object names to families; others pass as they are.
	Families map[string]string
}

// Parse reads one event and brings its field names up to date.
func (u Upcasting) Parse(raw json.RawMessage) ([]schema.Change, error) {
	changes, err := u.Envelope.Parse(raw)
	for i, c := range changes {
		if family := u.Families[c.Object]; family != "" {
			changes[i] = u.Catalogue.Upcast(family, raw, c)
		}
	}
	return changes, err
}
