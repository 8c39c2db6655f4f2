// Package activities holds the steps that touch the world. Apply is one attempt of one vendor call: open it in a
// transaction, make it, close it in a transaction. errors.go alone turns what went wrong into Temporal's errors.
package activities
