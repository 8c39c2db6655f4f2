package secrets

import (
	"encoding/base32"
	"encoding/binary"
	"strings"

	"github.com/tink-crypto/tink-go/v2/prf"

	"lockstep/schema"
)

// Index computes keyed digests: blind indexes for equality, dedupe keys, tokens. A bare digest of a phone number or a
// small change set can be guessed from a dump; these cannot without the keyset, which the database does not hold. It
// is safe for concurrent use.
type Index struct {
	unprintable
	keys live[[]prf.PRF]
}

// macSize is a whole HMAC-SHA-256: cut ones collide, and a collision would merge strangers (protocol F16).
const macSize = 32

// Index returns an index over a keyset file. Errors as for Resolve, and ErrKeyset.
func (d *Dir) Index(ref schema.Reference) (*Index, error) {
	i := &Index{keys: live[[]prf.PRF]{dir: d, ref: ref, build: readIndexKeys}}
	if _, err := i.keys.get(true); err != nil {
		return nil, err
	}
	return i, nil
}

// readIndexKeys returns the keys, the primary one first, then the others, newest first.
func readIndexKeys(keyset []byte) ([]prf.PRF, error) {
	handle, err := readKeyset(keyset)
	if err != nil {
		return nil, err
	}
	set, err := prf.NewPRFSet(handle)
	if err != nil {
		return nil, ErrKeyset
	}
	keys := []prf.PRF{set.PRFs[set.PrimaryID]}
	for i := handle.Len() - 1; i >= 0; i-- {
		entry, err := handle.Entry(i)
		if err != nil {
			return nil, ErrKeyset
		}
		if key, enabled := set.PRFs[entry.KeyID()]; enabled && !entry.IsPrimary() {
			keys = append(keys, key)
		}
	}
	for _, key := range keys {
		if digest, err := key.ComputePRF(nil, macSize); err != nil || len(digest) != macSize {
			return nil, ErrKeyset
		}
	}
	return keys, nil
}

// Check returns why the keyset file could not be used when it was last read; the index goes on with the keys it has.
func (i *Index) Check() error { return i.keys.check() }

// MAC returns the 32-byte digest of the parts under the primary key. The purpose keeps uses apart: equal parts give
// unrelated digests for different purposes, and parts do not run into one another. Safe to repeat: the same answer
// until the keyset is rotated. Source: protocol F16, F17; reliability A31.
func (i *Index) MAC(purpose string, parts ...[]byte) []byte {
	return compute(i.live()[0], framed(purpose, parts))
}

// All returns the digest under every live key: the one MAC gives first, then the others, newest first. Look-ups use
// all of them while a rotation runs.
func (i *Index) All(purpose string, parts ...[]byte) [][]byte {
	keys := i.live()
	input := framed(purpose, parts)
	all := make([][]byte, len(keys))
	for n, key := range keys {
		all[n] = compute(key, input)
	}
	return all
}

// tokenSize is enough of a digest for a token: 160 bits, with no reservation hanging on it.
const tokenSize = 20

// Token returns what stands for a value in a system that may not hold it: `tok_` and 32 characters of [0-9a-v], the
// same for the same purpose and value until the keyset is rotated. It cannot be turned back.
func (i *Index) Token(purpose, value string) string {
	digest := i.MAC("token "+purpose, []byte(value))
	return "tok_" + strings.ToLower(base32.HexEncoding.EncodeToString(digest[:tokenSize]))
}

// live returns the keys; there are some since the index was made.
func (i *Index) live() []prf.PRF {
	keys, err := i.keys.get(false)
	if err != nil {
		panic("secrets: an index without keys")
	}
	return keys
}

// compute returns the whole digest. It cannot fail: every key was tried when it was read.
func compute(key prf.PRF, input []byte) []byte {
	digest, err := key.ComputePRF(input, macSize)
	if err != nil {
		panic("secrets: a key of the index does not give 32 bytes")
	}
	return digest
}

// framed writes each part behind its length.
func framed(purpose string, parts [][]byte) []byte {
	size := 4 + len(purpose)
	for _, part := range parts {
		size += 8 + len(part)
	}
	to := make([]byte, 0, size)
	to = binary.BigEndian.AppendUint32(to, uint32(len(purpose))) //nolint:gosec // a constant of ours
	to = append(to, purpose...)
	for _, part := range parts {
		to = binary.BigEndian.AppendUint64(to, uint64(len(part)))
		to = append(to, part...)
	}
	return to
}
