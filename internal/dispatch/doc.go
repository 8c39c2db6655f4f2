// Package dispatch is the role that decides what the journal's new events mean, claims what systems have to be told
// and starts the workflows that tell them. It may run in any number of processes, apart from intake or with it: row locks
// in Postgres keep them out of each other's way.
package dispatch
