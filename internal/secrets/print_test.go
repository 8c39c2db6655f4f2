package secrets

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/schema"
)

var canaries = []string{"4111111111111111", "123-45-6789", "jane.roe@example.com", "+13175550100", "Jane Roe", "sk_live_51HcTokenToken", "asthma since 1980"}

// looks fails the test when a canary is in any way of printing the value.
func looks(t *testing.T, what string, value any, forbidden ...string) {
	t.Helper()
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "value", value)
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "value", value)
	marshalled, err := json.Marshal(map[string]any{"value": value})
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	all := logged.String() + string(marshalled)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		all += fmt.Sprintf(verb+"\n", value)
	}
	for _, canary := range append(forbidden, canaries...) {
		for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), strings.Trim(fmt.Sprint([]byte(canary)), "[]")} {
			if strings.Contains(all, form) {
				t.Errorf("%s prints %q: %s", what, canary, all)
			}
		}
	}
}

func TestNothingIsPrinted(t *testing.T) {
	sealer, index, path, _ := installation(t)
	dir, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	}()
	keys := []string{path}
	for _, ref := range []schema.Reference{SealKeys, IndexKeys} {
		secret, err := dir.Resolve(ref)
		if err != nil {
			t.Fatal(err)
		}
		looks(t, "a keyset", secret, string(secret.Reveal()))
		_, rest, _ := strings.Cut(string(secret.Reveal()), `"value":"`)
		if len(rest) < 20 {
			t.Fatal("no key in the keyset")
		}
		keys = append(keys, rest[:20])
	}
	for _, canary := range canaries {
		secret := Secret{bytes: []byte(canary)}
		looks(t, "a secret", secret)
		looks(t, "a pointer to a secret", &secret)
		looks(t, "a struct with a secret", struct{ S Secret }{secret})
		looks(t, "a list of secrets", []Secret{secret})
	}
	looks(t, "the folder", dir, keys...)
	looks(t, "the sealer", sealer, keys...)
	looks(t, "the index", index, keys...)
	looks(t, "the receiver", &Receiver{}, keys...)
}

func TestB02ErrorsQuoteNothing(t *testing.T) {
	sealer, _, path, _ := installation(t)
	dir, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	}()
	refused := 0
	look := func(what string, err error) {
		t.Helper()
		refused++
		if err == nil {
			t.Errorf("%s: no error", what)
			return
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			looks(t, what, e, path)
		}
	}
	for i, canary := range canaries {
		_, err := dir.Resolve(schema.Reference(canary))
		look("a secret for a reference", err)
		_, err = dir.Resolve(schema.Reference("vault:" + canary))
		look("an unknown scheme", err)
		_, err = dir.Resolve(schema.Reference("env:" + canary + "!"))
		look("a secret for a variable", err)
		_, err = Open(filepath.Join(path, canary), Options{})
		look("a secret for a folder", err)
		look("a secret for a folder of keys", Stage(filepath.Join(path, canary), SealKeys))

		ref := schema.Reference(fmt.Sprintf("file:bad%d", i))
		for _, content := range []string{
			canary, `{"` + canary + `":1}`, `{"primaryKeyId":"` + canary + `"}`, `{"primaryKeyId":1,"key":[{"keyData":{"typeUrl":"` + canary + `","value":"` + canary + `"},"status":"` + canary + `"}]}`,
			`{"primaryKeyId":1,"key":[{"keyData":{"typeUrl":"type.googleapis.com/google.crypto.tink.AesGcmKey","value":"` + canary + `","keyMaterialType":"SYMMETRIC"},"status":"ENABLED","keyId":1,"outputPrefixType":"TINK"}]}`,
		} {
			put(t, pathOf(path, ref), content, 0o600)
			fresh, err := Open(path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = fresh.Sealer(ref)
			look("a bad seal keyset", err)
			_, err = fresh.Index(ref)
			look("a bad index keyset", err)
			_, err = ParseReceiver([]byte(content))
			look("a bad receiver", err)
			if err := fresh.Close(); err != nil {
				t.Error(err)
			}
		}
		at := Place{canary, canary, schema.NewRandom()}
		sealed, wrapped, err := sealer.Seal([]byte(canary), at)
		if err != nil {
			t.Fatal(err)
		}
		_, err = sealer.Open(sealed, wrapped, place(canary, canary))
		look("another place", err)
		_, err = sealer.Open([]byte(canary), []byte(canary), at)
		look("no sealed bytes", err)
		_, _, err = sealer.Rewrap([]byte(canary), at)
		look("no wrapped key", err)
		put(t, filepath.Join(path, "loose"), canary, 0o644)
		_, err = dir.Resolve("file:loose")
		look("a loose file", err)
	}
	if err := os.Remove(pathOf(path, SealKeys)); err != nil {
		t.Fatal(err)
	}
	look("no keys", Promote(path, SealKeys))
	t.Logf("B02: %d errors looked through", refused)
}
