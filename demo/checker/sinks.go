package checker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// Sinks is every place that was looked at for canaries (INV-16): how many bytes it holds, and what was found.
type Sinks struct {
	Bytes map[string]int64 `json:"bytes"`
	Leaks []Leak           `json:"leaks"`

	canaries []Canary
}

// NewSinks returns an empty report.
func NewSinks(canaries ...Canary) *Sinks {
	return &Sinks{Bytes: map[string]int64{}, canaries: canaries}
}

// Content looks into bytes at hand.
func (s *Sinks) Content(sink, part string, content []byte) {
	s.Bytes[sink] += int64(len(content))
	s.Leaks = append(s.Leaks, Search(sink+": "+part, content, s.canaries)...)
}

// Folder looks into every file below a folder. Files that go while it looks are over.
func (s *Sinks) Folder(sink, folder string) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path) //nolint:gosec // our own demo's
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("checker: %w", err)
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return fmt.Errorf("checker: %w", err)
		}
		s.Content(sink, name, content)
		return nil
	})
}

// Processes looks into the environments and command lines of processes.
func (s *Sinks) Processes(sink string, pids ...int) error {
	for _, pid := range pids {
		for _, file := range []string{"environ", "cmdline"} {
			content, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), file))
			if err != nil {
				return fmt.Errorf("checker: %w", err)
			}
			s.Content(sink, strconv.Itoa(pid)+" "+file, content)
		}
	}
	return nil
}

// Page looks into what an address answers.
func (s *Sinks) Page(ctx context.Context, sink, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("checker: %w", err)
	}
	resp, err := plain.Do(req)
	if err != nil {
		return fmt.Errorf("checker: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // only read
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("checker: %w", err)
	}
	s.Content(sink, req.URL.Path, content)
	return nil
}

// Command looks into what a command prints. An exit code of its own is no error: refusals print, too.
func (s *Sinks) Command(sink string, cmd *exec.Cmd) error {
	content, err := cmd.CombinedOutput()
	var code *exec.ExitError
	if err != nil && !errors.As(err, &code) {
		return fmt.Errorf("checker: %w", err)
	}
	s.Content(sink, cmd.Path, content)
	return nil
}
