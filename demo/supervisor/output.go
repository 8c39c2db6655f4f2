package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// lastBytes is how much of a part's output stays in memory, to be shown when it fails.
const lastBytes = 16 << 10

// output takes what a part prints: into a file with a bound, and its end into memory. A write never fails: a full disk
// must not end the part.
type output struct {
	path string
	room int64

	mu     sync.Mutex
	file   *os.File
	size   int64
	last   []byte
	wanted string
	said   chan struct{}
}

func newOutput(dir, name string, room int64) (*output, error) {
	path := filepath.Join(dir, name+".log")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("supervisor: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("supervisor: %w", err)
	}
	return &output{path: path, room: room, file: file, size: info.Size(), said: make(chan struct{})}, nil
}

// expect begins a start: what was printed before no longer counts.
func (o *output) expect(line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wanted, o.said, o.last = line, make(chan struct{}), nil
}

// seen is closed when the expected line was printed.
func (o *output) seen() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.said
}

// Write keeps p. It always succeeds.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.keep(p)
	if o.file == nil {
		return len(p), nil
	}
	if o.size+int64(len(p)) > o.room {
		o.rotate()
	}
	if n, err := o.file.Write(p); err == nil {
		o.size += int64(n)
	}
	return len(p), nil
}

// keep remembers the end of the output and looks for the expected line in it.
func (o *output) keep(p []byte) {
	o.last = append(o.last, p...)
	if o.wanted != "" && bytes.Contains(o.last, []byte(o.wanted)) {
		o.wanted = ""
		close(o.said)
	}
	if extra := len(o.last) - lastBytes; extra > 0 {
		o.last = append([]byte(nil), o.last[extra:]...)
	}
}

// rotate makes the full file the old one. When that fails, it goes on in the full one.
func (o *output) rotate() {
	if err := os.Rename(o.path, o.path+".old"); err != nil {
		return
	}
	file, err := os.OpenFile(o.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return
	}
	_ = o.file.Close() // its content is written; there is nobody to tell
	o.file, o.size = file, 0
}

// tail returns the last lines.
func (o *output) tail(lines int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := strings.Split(strings.TrimSpace(string(o.last)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func (o *output) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.file == nil {
		return nil
	}
	err := o.file.Close()
	o.file = nil
	return err
}
