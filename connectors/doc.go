// Package connectors holds what every system's connector shares: the contract, the coded error, one HTTP transport and
// one token source. A connector is one folder below; what it can do is its method set, and the wiring checks the
// integration map against it at start-up.
//
// A connector makes exactly one vendor request per call of a contract method, never retries, and returns nothing of a
// vendor's text: codes, field names and numbers only. Aside from that one stand the renewal of a token, after which a
// refused request goes out once more, and what a connector looks up once for all its calls.
package connectors
