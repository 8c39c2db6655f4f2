// Package telemetry writes logs and metrics that hold no personal data, by construction rather than by care.
//
// A log line takes only attributes whose keys are listed here, each checked against what its kind of value looks like;
// anything else is counted and dropped. Free text is masked. An error is reduced to what is known to be code: texts of
// Lockstep's own error types, well-known sentinels, SQL states, type names. The writer never blocks the service.
//
// A metric takes only labels that are listed here, and only values that are enumerated or configured, so that the
// number of series does not depend on what the world sends.
//
// Sources: reliability B01, B02, B07, C14, E21, section 7.9.
package telemetry
