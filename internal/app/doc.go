// Package app wires the roles together: the only place where the journal, the map, the secrets and the connectors meet.
// Both mains end here.
package app
