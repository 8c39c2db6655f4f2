package secrets

import (
	"fmt"
	"io"
	"log/slog"

	"lockstep/schema"
)

// unprintable gives a type that embeds it a mask for every way of printing it.
type unprintable struct{}

const mask = "•••"

// String returns a mask.
func (unprintable) String() string { return mask }

// GoString returns a mask.
func (unprintable) GoString() string { return mask }

// Format writes a mask for every verb.
func (unprintable) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, mask) }

// LogValue returns a mask.
func (unprintable) LogValue() slog.Value { return slog.StringValue(mask) }

// MarshalText returns a mask, for JSON as well.
func (unprintable) MarshalText() ([]byte, error) { return []byte(mask), nil }

// Secret is a value that a reference points at. It prints as a mask.
type Secret struct {
	unprintable
	bytes []byte
}

// Reveal returns the value. Whoever calls it answers for where the bytes go, and does not change them.
func (s Secret) Reveal() []byte { return s.bytes }

// problem is what can be wrong with a secret. The list is closed.
type problem string

// Error returns the problem in words, without any value.
func (p problem) Error() string { return "secrets: " + string(p) }

// The problems that a caller may want to tell apart with errors.Is.
const (
	// ErrAbsent: there is no such file or variable. For optional secrets this is no failure.
	ErrAbsent = problem("absent")
	// ErrEmpty: the file holds nothing.
	ErrEmpty = problem("empty")
	// ErrReference: the reference is written wrongly; it is not repeated, because it may be a secret in the wrong place.
	ErrReference = problem("a reference is written env:NAME or file:path below the secrets folder")
	// ErrReadable: others than the owner may read the file, or write to the folder.
	ErrReadable = problem("open to others than its owner; use mode 0600, or mark the folder as a mounted secret")
	// ErrUnreadable: not a plain file below the folder that we may read.
	ErrUnreadable = problem("not a readable file below the secrets folder; links out of it are not followed")
	// ErrUnwritable: the folder takes no new file.
	ErrUnwritable = problem("not a folder that takes new files")
	// ErrTooLarge: larger than any secret is.
	ErrTooLarge = problem("larger than 1 MiB")
	// ErrPublished: a secret that everybody knows, outside demo mode.
	ErrPublished = problem("published or made for the demo; make one of your own")
	// ErrKeyset: the file holds no keyset of the wanted kind.
	ErrKeyset = problem("not a keyset of the wanted kind")
	// ErrOpen: sealed bytes do not open.
	ErrOpen = problem("sealed bytes do not open here: another place, another keyset, or damaged")
	// ErrExists: a key file is there already.
	ErrExists = problem("key files are never overwritten; rotate them instead")
)

// Error is a problem with one reference.
type Error struct {
	// Reference is empty when it was malformed.
	Reference schema.Reference
	Problem   error
}

// Error returns reference and problem.
func (e *Error) Error() string {
	if e.Reference == "" {
		return e.Problem.Error()
	}
	return fmt.Sprintf("%s (%s)", e.Problem.Error(), e.Reference)
}

// Unwrap returns the problem.
func (e *Error) Unwrap() error { return e.Problem }
