package secrets

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/hybrid"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

func TestOnlyTheReceiverReads(t *testing.T) {
	handle, err := keyset.NewHandle(hybrid.DHKEM_X25519_HKDF_SHA256_HKDF_SHA256_AES_256_GCM_Key_Template())
	if err != nil {
		t.Fatal(err)
	}
	public, err := handle.Public()
	if err != nil {
		t.Fatal(err)
	}
	var file, private bytes.Buffer
	if err := public.WriteWithNoSecrets(keyset.NewJSONWriter(&file)); err != nil {
		t.Fatal(err)
	}
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&private)); err != nil {
		t.Fatal(err)
	}
	receiver, err := ParseReceiver(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	decrypt, err := hybrid.NewHybridDecrypt(handle)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, value := range []string{"", "123-45-6789", strings.Repeat("long ", 1000)} {
		sealed, err := receiver.Encrypt([]byte(value))
		if err != nil || !strings.HasPrefix(sealed, "enc_") || seen[sealed] {
			t.Fatalf("%.40q, %v", sealed, err)
		}
		seen[sealed] = true
		raw, err := base64.RawURLEncoding.DecodeString(sealed[4:])
		if err != nil {
			t.Fatal(err)
		}
		opened, err := decrypt.Decrypt(raw, []byte("lockstep/protect/v1"))
		if err != nil || string(opened) != value {
			t.Errorf("decrypted %q, %v", opened, err)
		}
		if _, err := decrypt.Decrypt(raw, []byte("other")); err == nil {
			t.Error("decrypted under another context")
		}
	}
	for name, bad := range map[string][]byte{"a private keyset": private.Bytes(), "nothing": nil, "text": []byte("x"), "no keys": []byte(`{"primaryKeyId":1,"key":[]}`)} {
		if _, err := ParseReceiver(bad); !errors.Is(err, ErrKeyset) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
