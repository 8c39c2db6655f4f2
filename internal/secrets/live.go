package secrets

import (
	"crypto/hmac"
	"sync"
	"sync/atomic"

	"lockstep/schema"
)

// live is something built from a secret file, and built again when the file changes. When the file becomes unusable
// the last good value stays: rows must be sealed and opened while somebody mends the file, and check tells of it.
type live[T any] struct {
	dir   *Dir
	ref   schema.Reference
	build func(keyset []byte) (T, error)

	mu      sync.Mutex
	current atomic.Pointer[built[T]]
	failed  atomic.Pointer[error]
}

type built[T any] struct {
	from  []byte
	value T
}

// get returns the value of the newest usable file. The error is nil once there was one.
func (l *live[T]) get(fresh bool) (value T, err error) {
	secret, err := l.dir.resolve(l.ref, fresh)
	if err != nil {
		return l.keep(err)
	}
	if now := l.current.Load(); now != nil && hmac.Equal(now.from, secret.bytes) {
		l.failed.Store(nil)
		return now.value, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// Whoever waited may hold an older file than the one that is in use by now.
	if secret, err = l.dir.resolve(l.ref, false); err != nil {
		return l.keep(err)
	}
	value, err = l.build(secret.bytes)
	if err != nil {
		return l.keep(&Error{Reference: l.ref, Problem: ErrKeyset})
	}
	l.current.Store(&built[T]{secret.bytes, value})
	l.failed.Store(nil)
	return value, nil
}

// keep returns the last good value, or the error when there is none.
func (l *live[T]) keep(err error) (value T, _ error) {
	l.failed.Store(&err)
	if now := l.current.Load(); now != nil {
		return now.value, nil
	}
	return value, err
}

// check returns why the file was not usable when it was last looked at.
func (l *live[T]) check() error {
	if err := l.failed.Load(); err != nil {
		return *err
	}
	return nil
}
