//go:build bug_plain_column

package store

import "lockstep/internal/secrets"

// sealing seals nothing: the kind of mistake that the search for canaries has to find. No build that is shipped has it.
func sealing(Sealer) Sealer { return plain{} }

type plain struct{}

func (plain) Seal(plaintext []byte, _ secrets.Place) (sealed, wrapped []byte, err error) {
	return plaintext, []byte{0}, nil
}

func (plain) Open(sealed, _ []byte, _ secrets.Place) ([]byte, error) { return sealed, nil }
