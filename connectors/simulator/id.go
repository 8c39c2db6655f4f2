package simulator

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
)

// IDs makes identifiers and tokens that repeat under the same seed, so that two runs of one scenario can be compared
// line by line. It is safe for concurrent use; under concurrency only the order of the ids differs.
type IDs struct {
	mu     sync.Mutex
	source *rand.ChaCha8
}

// NewIDs returns a source of ids for seed.
func NewIDs(seed uint64) *IDs {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	copy(key[8:], "lockstep simulator ids")
	return &IDs{source: rand.NewChaCha8(key)}
}

// UUID returns a random UUID of version 4.
func (i *IDs) UUID() string {
	b := i.bytes(16)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// Text returns n characters of [0-9A-Za-z].
func (i *IDs) Text(n int) string {
	b := i.bytes(n)
	for k := range b {
		b[k] = base62[int(b[k])%len(base62)]
	}
	return string(b)
}

// Number returns a number in [0, n).
func (i *IDs) Number(n uint64) uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.source.Uint64() % n
}

func (i *IDs) bytes(n int) []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	b := make([]byte, n)
	_, _ = i.source.Read(b) // never fails
	return b
}
