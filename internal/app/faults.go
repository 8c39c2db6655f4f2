package app

import (
	"maps"
	"slices"
	"strings"

	"lockstep/internal/integrationmap"
	"lockstep/internal/signature"
	"lockstep/schema"
)

// wiringFaults finds what of a map only its parts can know: settings that contradict each other in a signature scheme, an
// envelope that does not fit its source, options that a connector does not take. A map that lint calls sound can be
// served.
func wiringFaults(m *schema.Map) []integrationmap.Fault {
	var faults []integrationmap.Fault
	for _, name := range slices.Sorted(maps.Keys(m.Sources)) {
		s, at := m.Sources[name], []string{"sources", name}
		if _, err := signature.Covered(s.Signature); err != nil {
			// The error begins with the setting that it is about.
			setting, rule, _ := strings.Cut(strings.TrimPrefix(err.Error(), "signature: "), " ")
			faults = append(faults, integrationmap.Fault{Path: append(slices.Clone(at), "signature", setting), Message: rule})
		}
		if _, err := envelopeOf(m, s); err != nil {
			faults = append(faults, integrationmap.Fault{Path: append(slices.Clone(at), "envelope"), Message: err.Error()})
		}
	}
	return faults
}
