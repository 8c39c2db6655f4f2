// Package workflows holds the stories: each is one file, deterministic, and calls activities by name. Histories hold
// references only: claim ids, policies, counts and reasons, never a customer's data; the data converter refuses
// everything else.
package workflows
