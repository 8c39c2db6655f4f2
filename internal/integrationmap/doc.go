// Package integrationmap loads the integration map: strictly, whole, and with the line of whatever is wrong with it. A
// map with a trap in it (D7) does not load: a two-way field without a conflict rule, an object or system without an
// owner, a reason without a runbook, a ladder of match keys that is phones only.
package integrationmap
