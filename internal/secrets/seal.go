package secrets

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/tink"

	"lockstep/schema"
)

// Place is where sealed bytes live; they open nowhere else.
type Place struct {
	Table, Column string
	Row           schema.ID
}

// append appends the place, so framed that no two places give the same bytes.
func (p Place) append(to []byte) []byte {
	to = binary.BigEndian.AppendUint32(to, uint32(len(p.Table))) //nolint:gosec // names of our own tables
	to = append(to, p.Table...)
	to = binary.BigEndian.AppendUint32(to, uint32(len(p.Column))) //nolint:gosec // names of our own columns
	to = append(to, p.Column...)
	return append(to, p.Row[:]...)
}

// Sealer seals rows under the key-encryption keyset. It is safe for concurrent use; keys that were added to the file
// are seen within a second, and at once when sealed bytes do not open.
type Sealer struct {
	unprintable
	keys live[wrapper]
}

// wrapper wraps row keys.
type wrapper struct {
	tink.AEAD
	// primary is what a row key begins with that the newest key wrapped.
	primary string
}

const (
	// sealVersion is the first byte of sealed bytes.
	sealVersion = 1
	rowKeySize  = 32
	// keyIDSize is the length of Tink's prefix: a marker and the key's id.
	keyIDSize = 5
)

// Sealer returns a sealer over a keyset file. Errors as for Resolve, and ErrKeyset.
func (d *Dir) Sealer(ref schema.Reference) (*Sealer, error) {
	s := &Sealer{keys: live[wrapper]{dir: d, ref: ref, build: readWrapper}}
	if _, err := s.keys.get(true); err != nil {
		return nil, err
	}
	return s, nil
}

func readWrapper(keyset []byte) (wrapper, error) {
	handle, err := readKeyset(keyset)
	if err != nil {
		return wrapper{}, err
	}
	keys, err := aead.New(handle)
	if err != nil {
		return wrapper{}, ErrKeyset
	}
	probe, err := keys.Encrypt(nil, nil)
	if err != nil || len(probe) < keyIDSize {
		return wrapper{}, ErrKeyset
	}
	return wrapper{keys, string(probe[:keyIDSize])}, nil
}

// Check returns why the keyset file could not be used when it was last read; the sealer goes on with the keys it has.
func (s *Sealer) Check() error { return s.keys.check() }

// Seal seals plaintext for a place under a fresh key and wraps that key. Sealing the same twice gives different bytes.
// Source: D11, reliability B10 and B11, protocol F17.
func (s *Sealer) Seal(plaintext []byte, place Place) (sealed, wrapped []byte, err error) {
	keys, err := s.keys.get(false)
	if err != nil {
		return nil, nil, err
	}
	var (
		scratch [128]byte
		rowKey  [rowKeySize]byte
	)
	data := place.append(scratch[:0])
	if _, err := rand.Read(rowKey[:]); err != nil {
		return nil, nil, err
	}
	wrapped, err = keys.Encrypt(rowKey[:], data)
	if err != nil {
		return nil, nil, ErrKeyset
	}
	row, err := rowCipher(rowKey[:])
	if err != nil {
		return nil, nil, err
	}
	sealed = make([]byte, 1, 1+len(plaintext)+row.Overhead())
	sealed[0] = sealVersion
	return row.Seal(sealed, nil, plaintext, data), wrapped, nil //nolint:gosec // the cipher draws a random nonce itself
}

// Open returns what was sealed for the place. The error is ErrOpen, whatever is wrong. Safe to repeat.
func (s *Sealer) Open(sealed, wrapped []byte, place Place) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != sealVersion {
		return nil, ErrOpen
	}
	var scratch [128]byte
	data := place.append(scratch[:0])
	rowKey, err := s.unwrap(wrapped, data)
	if err != nil {
		return nil, err
	}
	row, err := rowCipher(rowKey)
	if err != nil {
		return nil, ErrOpen
	}
	plaintext, err := row.Open(nil, nil, sealed[1:], data)
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

// Rewrap wraps a row key under the newest key; changed is false when it is so already. The sealed bytes stay as they
// are. Safe to repeat, row by row, in any order. Source: reliability B12.
func (s *Sealer) Rewrap(wrapped []byte, place Place) (fresh []byte, changed bool, err error) {
	keys, err := s.keys.get(false)
	if err != nil {
		return nil, false, err
	}
	data := place.append(nil)
	rowKey, err := s.unwrap(wrapped, data)
	if err != nil {
		return nil, false, err
	}
	if string(wrapped[:keyIDSize]) == keys.primary {
		return wrapped, false, nil
	}
	fresh, err = keys.Encrypt(rowKey, data)
	if err != nil {
		return nil, false, ErrKeyset
	}
	return fresh, true, nil
}

// unwrap returns the row key. A key that another process has begun to use is looked for in the file at once.
func (s *Sealer) unwrap(wrapped, data []byte) (rowKey []byte, err error) {
	for _, fresh := range []bool{false, true} {
		keys, err := s.keys.get(fresh)
		if err != nil {
			return nil, err
		}
		rowKey, err = keys.Decrypt(wrapped, data)
		if err == nil && len(rowKey) == rowKeySize {
			return rowKey, nil
		}
	}
	return nil, ErrOpen
}

// rowCipher returns AES-256-GCM that draws its nonces itself.
func rowCipher(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errors.New("secrets: no row cipher")
	}
	return cipher.NewGCMWithRandomNonce(block)
}
