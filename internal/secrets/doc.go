// Package secrets keeps what must not be seen: it resolves the references of the integration map, seals rows, and computes
// blind indexes and tokens (reliability B03 to B14, protocol F16 and F17, decision D11).
//
// # References
//
// A [Dir] is a folder outside the repository. Files are read again when they change, so that a rotation needs no
// restart. Whoever rotates a secret writes a new file and renames it over the old one; a file that is overwritten in
// place is empty for a moment, and an empty secret is refused.
//
// # Sealing
//
// [Sealer] seals each row under an AES-256-GCM key of its own and wraps that key under the key-encryption keyset. Both
// bind table, column and row. A row key seals one message, so its nonce cannot repeat; the keyset is
// XChaCha20-Poly1305, whose nonces are long enough to be drawn at random for ever, where AES-GCM would have to be
// rotated after some days of full load (2^32 rows). Erasing a row is erasing its wrapped key.
//
// # Keys in backups
//
// The keysets lie in clear in files of mode 0600, or in a mounted secret; the database holds none of them. A backup
// that holds both the database and this folder protects nothing.
package secrets
