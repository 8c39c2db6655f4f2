// Package schema holds the shapes that cross a boundary: events, records, the integration map, answers of the HTTP API,
// the failure vocabulary, the SQL migrations and the JSON Schemas. It decides nothing, reads no clock and opens no
// connection. Every other package may import it; it imports the standard library, the validator and the UUID type.
package schema
