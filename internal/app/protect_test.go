package app

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/hybrid"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"lockstep/internal/secrets"
	"lockstep/schema"
)

// A secret value leaves for its receiver as ciphertext under the key that the map refers to, or as a token; without that key it
// does not leave.
func TestSecretValuesAreProtected(t *testing.T) {
	const secret = "canary-078-05-1120"
	dir := secretsFolder(t)
	handle, err := keyset.NewHandle(hybrid.DHKEM_X25519_HKDF_SHA256_HKDF_SHA256_AES_256_GCM_Key_Template())
	must(t, err)
	public, err := handle.Public()
	must(t, err)
	var file bytes.Buffer
	must(t, public.WriteWithNoSecrets(keyset.NewJSONWriter(&file)))
	writeSecret(t, dir, "genesys/receiver.json", file.String())
	shipped, err := os.ReadFile(shippedMap)
	must(t, err)
	keyed := filepath.Join(t.TempDir(), "map.yaml")
	must(t, os.WriteFile(keyed, bytes.Replace(shipped, []byte("credential: file:genesys/client.json"), []byte("credential: file:genesys/client.json\n    receiver_key: file:genesys/receiver.json"), 1), 0o600))
	environment(t, map[string]string{"LOCKSTEP_SECRETS": dir, "LOCKSTEP_MAP": keyed, "LOCKSTEP_DEMO": "true"})
	config, err := ReadConfig()
	must(t, err)
	w, err := config.wire()
	must(t, err)
	defer w.close()
	protect, err := w.protector()
	must(t, err)

	sealed, err := protect("encrypt", "genesys", "national_id", schema.Text(secret))
	must(t, err)
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(sealed.(string), "enc_"))
	must(t, err)
	decrypt, err := hybrid.NewHybridDecrypt(handle)
	must(t, err)
	if plain, err := decrypt.Decrypt(raw, []byte("lockstep/protect/v1")); err != nil || string(plain) != secret {
		t.Errorf("the receiver reads %q, %v", plain, err)
	}
	token, err := protect("token", "genesys", "national_id", schema.Text(secret))
	must(t, err)
	other, err := protect("token", "salesforce", "national_id", schema.Text(secret))
	must(t, err)
	if text, _ := token.(string); !strings.HasPrefix(text, "tok_") || strings.Contains(text, "078") || token == other {
		t.Errorf("tokens %v and %v", token, other)
	}
	if out, err := protect("encrypt", "salesforce", "national_id", schema.Text(secret)); err == nil || out != nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("without a key it leaves as %v, %v", out, err)
	}
	index, err := w.secrets.Index(secrets.IndexKeys)
	must(t, err)
	if token != index.Token("genesys/national_id", secret) {
		t.Error("a token does not depend on the keys")
	}
}
