// Package protocol is the model of the protocol: the real journal, rules and activities over vendors that live in memory,
// with deaths injected at every crash point. Its tests count what must be zero: events lost, systems that differ, calls
// that overlap, records doubled. The chaos tests of the demo use the same oracle from outside.
package protocol
