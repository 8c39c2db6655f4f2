// Package payload holds the agreed shapes of what sources send: a JSON Schema for each source, object and version, with
// formats asserted, and the upcast from an older version to the present one.
//
// A version is told by the member `schema_version` of an event; without it the event is of version 1. A schema may name
// the fields that it calls otherwise than the next version: {"x-renames": {"old": "new"}}.
package payload
