// Package intake is the front door: it takes what sources POST, and answers 2xx only once it is committed. It verifies
// the signature over the raw bytes, refuses JSON that two readers could understand differently, checks the agreed shape
// and every value, and never asks Temporal or a vendor for anything.
package intake
