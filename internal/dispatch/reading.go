package dispatch

import "lockstep/schema"

// reading is what our newest look at a system showed.
type reading struct {
	event schema.ID
	// reason is why nobody understands it; empty when it can be understood.
	reason schema.Reason
}

// newestReadings finds, for each system that we looked at, the event that tells of the newest look. The events are in the
// order in which they came.
func newestReadings(events []schema.OpenEvent) map[string]reading {
	newest := map[string]reading{}
	for _, e := range events {
		if ofOurs(e) {
			newest[e.System] = reading{event: e.ID}
		}
	}
	return newest
}

// ofOurs reports whether an event tells of a look of our own: the record as it was read, or that it is gone.
func ofOurs(e schema.OpenEvent) bool { return e.Source == schema.OwnSource }

// notUnderstood notes that an event cannot be understood; of a look of ours it is the system that nobody knows any more.
func (del *deliberation) notUnderstood(e schema.OpenEvent, reason schema.Reason) {
	if r, looked := del.readings[e.System]; looked && r.event == e.ID {
		del.readings[e.System] = reading{event: e.ID, reason: reason}
	}
}

// looks says for each system that we looked at why what it showed cannot be understood, empty when it can.
func (del *deliberation) looks() map[string]schema.Reason {
	out := map[string]schema.Reason{}
	for system, r := range del.readings {
		out[system] = r.reason
	}
	return out
}
