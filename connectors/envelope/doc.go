// Package envelope reads the events of senders that are no vendor of their own: change sets and flat records. It also
// holds the reader that the vendors' envelopes are written with: every refusal names the place in the event by its JSON
// pointer and quotes nothing.
package envelope
