// Package archtest holds the rules of the house as tests, each with its reason: who may import whom, what may not be
// called how, and which prose has to agree with the tree. It is read from the source; it has no code of its own.
package archtest
