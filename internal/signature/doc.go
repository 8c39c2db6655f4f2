// Package signature decides whether a POST comes from the source that it claims to come from, and says which parts of
// it the proof covers. What the proof does not cover, such as GitHub's delivery id, is never handed on: dedupe keys
// are computed from signed bytes only (reliability A04, decision D2).
//
// # The forms
//
// Every vendor's scheme is a preset of one general form: HMAC-SHA-256 over a template of method, URL, id, timestamp and
// body. Beside it stand the signature inside the JSON body (over its RFC 8785 canonical form without the signature) and
// the static key for senders that sign nothing.
//
// HubSpot's v1 and v2 are not offered: they are plain digests, open to length extension, and carry no time.
//
// # Template boundaries
//
// Template parts run together without lengths. An id may therefore stand only beside characters that ids do not
// consist of; otherwise a sender's captured request could be cut at another place and pass as a new id. Timestamps are
// digits only, URLs hold no blanks, and bodies pass the strict JSON scan later, so the other parts cannot be moved.
//
// # Short secrets
//
// Secrets of less than 24 bytes are refused by New and by every Verify. Some published test vectors use shorter ones;
// this package's tests hand those to the unexported check, behind that bound. No option switches it off.
package signature
