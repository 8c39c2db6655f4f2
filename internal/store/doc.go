// Package store is all of Lockstep's access to Postgres: the journal, the records, the deliveries and their claims. It
// holds the SQL of the protocol and the sealing of what it writes; what to decide comes in as a function, so that no
// rule and no vendor is known here.
//
// Lock order, in every transaction: record rows by id → delivery → call → claim → slot. Multi-row inserts are sorted by
// key. Only the claim and the choice of records to decide skip locked rows. No lock is held across a network call.
package store
