package secrets

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"lockstep/schema"
)

// Options say what kind of folder it is.
type Options struct {
	// Mounted is set for a folder that an orchestrator fills: its files may be readable by others in the container.
	Mounted bool
	// Demo lets published secrets and those of the demo pass.
	Demo bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Dir resolves references against a folder and the environment. It is safe for concurrent use.
type Dir struct {
	unprintable
	root    *os.Root
	options Options

	mu    sync.Mutex
	files map[string]*file
}

// file is a secret file as it was last seen.
type file struct {
	secret Secret
	err    error
	info   fs.FileInfo
	// checked is when the file was last looked at.
	checked time.Time
	// settled is set when the file was read long enough after its last change: a file changed twice within the clock's
	// resolution looks unchanged.
	settled bool
}

const (
	checkEvery = time.Second
	settleTime = 2 * time.Second
	maxSecret  = 1 << 20
)

// Open opens a secrets folder. Errors: *Error with ErrAbsent, ErrUnreadable or ErrReadable (the folder is writable by
// others).
func Open(path string, options Options) (*Dir, error) {
	if options.Now == nil {
		options.Now = time.Now
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, &Error{Problem: problemOf(err)}
	}
	info, err := root.Stat(".")
	if err == nil && !options.Mounted && info.Mode().Perm()&0o022 != 0 {
		err = ErrReadable
	}
	if err != nil {
		_ = root.Close() // nothing was written, and the first error is the one that counts
		return nil, &Error{Problem: problemOf(err)}
	}
	return &Dir{root: root, options: options, files: make(map[string]*file)}, nil
}

// Close releases the folder.
func (d *Dir) Close() error { return d.root.Close() }

// Resolve returns the value that a reference points at; of a file without the newline at its end. A file that has
// changed is seen within a second. Errors: *Error with ErrAbsent, ErrEmpty, ErrReference, ErrReadable, ErrUnreadable,
// ErrTooLarge or ErrPublished. Safe to repeat. Source: reliability B14.
func (d *Dir) Resolve(ref schema.Reference) (Secret, error) { return d.resolve(ref, false) }

// Fresh is Resolve for what is asked for rarely: it looks at the file even when that was done a moment ago, so that a
// credential that was rotated this second is the new one.
func (d *Dir) Fresh(ref schema.Reference) (Secret, error) { return d.resolve(ref, true) }

// Live returns the live secrets of a source, newest first. The first must be there; a missing file or variable after
// it is no secret. Errors as for Resolve. Source: reliability A07.
func (d *Dir) Live(refs []schema.Reference) ([][]byte, error) {
	live := make([][]byte, 0, len(refs))
	for i, ref := range refs {
		secret, err := d.Resolve(ref)
		switch {
		case err == nil:
			live = append(live, secret.bytes)
		case i == 0 || !errors.Is(err, ErrAbsent):
			return nil, err
		}
	}
	return live, nil
}

// resolve is Resolve; fresh looks at the file even when that was done a moment ago.
func (d *Dir) resolve(ref schema.Reference, fresh bool) (Secret, error) {
	scheme, rest, ok := ref.Split()
	if !ok {
		return Secret{}, &Error{Problem: ErrReference}
	}
	var (
		secret Secret
		err    error
	)
	if scheme == "env" {
		secret, err = fromEnvironment(rest)
		if errors.Is(err, ErrReference) {
			return Secret{}, &Error{Problem: err}
		}
	} else {
		secret, err = d.fromFile(rest, fresh)
	}
	if err == nil && !d.options.Demo && published(secret.bytes) {
		err = ErrPublished
	}
	if err != nil {
		return Secret{}, &Error{Reference: ref, Problem: err}
	}
	return secret, nil
}

// fromEnvironment returns a variable's value; an empty one counts as absent, as compose files spell it.
func fromEnvironment(name string) (Secret, error) {
	for i, c := range []byte(name) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return Secret{}, ErrReference
		}
	}
	value := os.Getenv(name)
	if value == "" {
		return Secret{}, ErrAbsent
	}
	return Secret{bytes: []byte(value)}, nil
}

func (d *Dir) fromFile(path string, fresh bool) (Secret, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.options.Now()
	known := d.files[path]
	if known != nil && !fresh && now.Sub(known.checked) < checkEvery && !now.Before(known.checked) {
		return known.secret, known.err
	}
	info, err := d.root.Stat(path)
	if err == nil && known != nil && known.err == nil && known.settled && unchanged(known.info, info) {
		known.checked = now
		return known.secret, nil
	}
	seen := &file{info: info, err: err, checked: now}
	if err == nil {
		seen.settled = now.Sub(info.ModTime()) > settleTime
		seen.secret, seen.err = d.read(path)
	}
	if seen.err != nil {
		seen.err = problemOf(seen.err)
	}
	d.files[path] = seen
	return seen.secret, seen.err
}

func unchanged(a, b fs.FileInfo) bool {
	return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && a.Mode() == b.Mode() && os.SameFile(a, b)
}

// read reads a file below the folder. The root follows no link out of it.
func (d *Dir) read(path string) (Secret, error) {
	info, err := d.root.Stat(path)
	if err != nil {
		return Secret{}, err
	}
	switch {
	case !info.Mode().IsRegular():
		return Secret{}, ErrUnreadable
	case !d.options.Mounted && info.Mode().Perm()&0o077 != 0:
		return Secret{}, ErrReadable
	}
	f, err := d.root.Open(path)
	if err != nil {
		return Secret{}, err
	}
	content, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return Secret{}, err
	}
	if len(content) > maxSecret {
		return Secret{}, ErrTooLarge
	}
	content = bytes.TrimSuffix(bytes.TrimSuffix(content, []byte("\n")), []byte("\r"))
	if len(content) == 0 {
		return Secret{}, ErrEmpty
	}
	return Secret{bytes: content}, nil
}

// problemOf reduces an error of the file system to one of the closed list: its text would carry absolute paths.
func problemOf(err error) error {
	var known problem
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, fs.ErrNotExist):
		return ErrAbsent
	default:
		return ErrUnreadable
	}
}
