package secrets

import (
	"bytes"
	"encoding/base64"

	"github.com/tink-crypto/tink-go/v2/hybrid"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// receiverContext binds values to this use; whoever decrypts gives it as context info.
const receiverContext = "lockstep/protect/v1"

// Receiver encrypts values for a system whose private key we do not have.
type Receiver struct {
	unprintable
	encrypt tink.HybridEncrypt
}

// ParseReceiver reads a receiver's public keyset: Tink's JSON form, HPKE. The error is ErrKeyset, also for a keyset
// that holds a private key: it has no business here.
func ParseReceiver(public []byte) (*Receiver, error) {
	handle, err := keyset.ReadWithNoSecrets(keyset.NewJSONReader(bytes.NewReader(public)))
	if err != nil {
		return nil, ErrKeyset
	}
	encrypt, err := hybrid.NewHybridEncrypt(handle)
	if err != nil {
		return nil, ErrKeyset
	}
	return &Receiver{encrypt: encrypt}, nil
}

// Encrypt returns `enc_` and the value sealed to the receiver in base64url. It differs each time: compare values
// before they are encrypted, never after.
func (r *Receiver) Encrypt(value []byte) (string, error) {
	sealed, err := r.encrypt.Encrypt(value, []byte(receiverContext))
	if err != nil {
		return "", ErrKeyset
	}
	return "enc_" + base64.RawURLEncoding.EncodeToString(sealed), nil
}
