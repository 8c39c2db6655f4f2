package secrets

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"

	"lockstep/schema"
)

// The keysets of an installation.
const (
	SealKeys  schema.Reference = "file:keys/seal.json"
	IndexKeys schema.Reference = "file:keys/index.json"
)

// template returns how the keys of a keyset are made.
func template(ref schema.Reference) (*tinkpb.KeyTemplate, error) {
	switch ref {
	case SealKeys:
		return aead.XChaCha20Poly1305KeyTemplate(), nil
	case IndexKeys:
		return prf.HMACSHA256PRFKeyTemplate(), nil
	}
	return nil, &Error{Problem: ErrReference}
}

// Generate writes the keysets of a new installation below the folder, which it makes if needed, with mode 0600.
// Errors: *Error with ErrExists when one is there already, in which case nothing is written.
func Generate(dir string) error {
	refs := []schema.Reference{SealKeys, IndexKeys}
	for _, ref := range refs {
		if _, err := os.Lstat(pathOf(dir, ref)); !errors.Is(err, fs.ErrNotExist) {
			return &Error{Reference: ref, Problem: ErrExists}
		}
	}
	if err := os.MkdirAll(filepath.Dir(pathOf(dir, SealKeys)), 0o700); err != nil {
		return &Error{Problem: ErrUnwritable}
	}
	for _, ref := range refs {
		made, err := template(ref)
		if err != nil {
			return err
		}
		handle, err := keyset.NewHandle(made)
		if err != nil {
			return &Error{Reference: ref, Problem: ErrKeyset}
		}
		if err := write(dir, ref, handle, false); err != nil {
			return err
		}
	}
	return nil
}

// Stage adds a new key to a keyset without using it yet. Every process sees it within a second and finds by it from
// then on. The first of a rotation's three steps: Stage, a moment's wait, Promote; Prune when nothing is left under the
// old key. Source: reliability B12, protocol F17.
func Stage(dir string, ref schema.Reference) error {
	return change(dir, ref, func(m *keyset.Manager, _ *keyset.Handle) error {
		made, err := template(ref)
		if err != nil {
			return err
		}
		_, err = m.Add(made)
		return err
	})
}

// Promote makes the newest key of a keyset the one that is used. Safe to repeat.
func Promote(dir string, ref schema.Reference) error {
	return change(dir, ref, func(m *keyset.Manager, now *keyset.Handle) error {
		newest, err := now.Entry(now.Len() - 1)
		if err != nil {
			return err
		}
		return m.SetPrimary(newest.KeyID())
	})
}

// Prune removes every key but the one in use. What was sealed under another does not open any more: Rewrap it before.
// Safe to repeat.
func Prune(dir string, ref schema.Reference) error {
	return change(dir, ref, func(m *keyset.Manager, now *keyset.Handle) error {
		for i := range now.Len() {
			entry, err := now.Entry(i)
			if err != nil {
				return err
			}
			if entry.IsPrimary() {
				continue
			}
			if err := m.Delete(entry.KeyID()); err != nil {
				return err
			}
		}
		return nil
	})
}

// change rewrites a keyset file. Two at once are not looked for: keys are rotated by one operator's command.
func change(dir string, ref schema.Reference, how func(*keyset.Manager, *keyset.Handle) error) error {
	if !slices.Contains([]schema.Reference{SealKeys, IndexKeys}, ref) {
		return &Error{Problem: ErrReference}
	}
	content, err := os.ReadFile(pathOf(dir, ref))
	if err != nil {
		return &Error{Reference: ref, Problem: problemOf(err)}
	}
	now, err := readKeyset(content)
	if err != nil {
		return &Error{Reference: ref, Problem: ErrKeyset}
	}
	manager := keyset.NewManagerFromHandle(now)
	if how(manager, now) != nil {
		return &Error{Reference: ref, Problem: ErrKeyset}
	}
	next, err := manager.Handle()
	if err != nil {
		return &Error{Reference: ref, Problem: ErrKeyset}
	}
	return write(dir, ref, next, true)
}

// readKeyset reads a keyset in Tink's JSON form. Its error quotes nothing of it.
func readKeyset(content []byte) (*keyset.Handle, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(content)))
	if err != nil {
		return nil, ErrKeyset
	}
	return handle, nil
}

// write puts a keyset in place whole: into a new file first, on the disk before it takes its name.
func write(dir string, ref schema.Reference, handle *keyset.Handle, replace bool) error {
	var content bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&content)); err != nil {
		return &Error{Reference: ref, Problem: ErrKeyset}
	}
	path := pathOf(dir, ref)
	draft := path + "." + rand.Text()
	err := writeFile(draft, content.Bytes())
	if err == nil && replace {
		err = os.Rename(draft, path)
	} else if err == nil {
		err = errors.Join(os.Link(draft, path), os.Remove(draft)) // a link never overwrites
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	} else if cleared := os.Remove(draft); !errors.Is(cleared, fs.ErrNotExist) {
		err = errors.Join(err, cleared)
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return &Error{Reference: ref, Problem: ErrExists}
	case err != nil:
		return &Error{Reference: ref, Problem: ErrUnwritable}
	}
	return nil
}

func writeFile(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func pathOf(dir string, ref schema.Reference) string {
	_, rest, _ := ref.Split()
	return filepath.Join(dir, filepath.FromSlash(rest))
}
