// Package rules holds every decision of the sync, pure: what a value is spelt like, who may set a field, which value
// stands, what each system has to be told, which record is meant. No clock, no network, no SQL, no logging: the same
// input gives the same answer, whatever the order and the batching.
package rules
