package stack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"lockstep/internal/localpg"
)

// marker tells a demo's folder from anybody else's: only such a folder is ever wiped.
const marker = "lockstep-demo"

// Folder returns where the demo keeps its state between runs: LOCKSTEP_DEMO_DIR, else a folder in the user's cache, else,
// with no usable home or one that Postgres may not enter (root's), one in the folder for temporary files.
func Folder() string {
	if dir := os.Getenv("LOCKSTEP_DEMO_DIR"); dir != "" {
		return dir
	}
	if cache, err := os.UserCacheDir(); err == nil {
		dir := filepath.Join(cache, marker)
		if os.MkdirAll(dir, 0o700) == nil && localpg.Reachable(filepath.Join(dir, "postgres")) {
			return dir
		}
	}
	return filepath.Join(os.TempDir(), marker+"-"+strconv.Itoa(os.Getuid()))
}

// folder is the demo's folder, held against a second demo.
type folder struct {
	path string
	lock *os.File
}

// openFolder makes or takes the folder; with fresh it is emptied first.
func openFolder(path string, fresh bool) (*folder, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("demo folder: %w", err)
	}
	if err := claimFolder(path); err != nil {
		return nil, err
	}
	f := &folder{path: path}
	if err := f.take(); err != nil {
		return nil, err
	}
	if fresh {
		if err := f.empty(); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	return f, nil
}

// claimFolder makes the folder, or checks that it is ours and a demo's: in a folder for temporary files anybody may have
// made one of that name.
func claimFolder(path string) error {
	if err := os.MkdirAll(path, 0o711); err != nil { //nolint:gosec // Postgres, another user, passes through
		return fmt.Errorf("demo folder: %w", err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("demo folder: %w", err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || ok && int(owner.Uid) != os.Getuid() {
		return fmt.Errorf("demo folder: %s is not a folder of yours: set LOCKSTEP_DEMO_DIR to another one", path)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("demo folder: %w", err)
	}
	if _, err := os.Stat(filepath.Join(path, marker)); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("demo folder: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("demo folder: %s holds other things: set LOCKSTEP_DEMO_DIR to an empty folder", path)
	}
	if err := os.WriteFile(filepath.Join(path, marker), nil, 0o600); err != nil {
		return fmt.Errorf("demo folder: %w", err)
	}
	return nil
}

// take locks the marker; the lock ends with the process.
func (f *folder) take() error {
	lock, err := os.OpenFile(filepath.Join(f.path, marker), os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("demo folder: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		pid, _ := os.ReadFile(filepath.Join(f.path, marker)) // for the message only
		return errors.Join(fmt.Errorf("another demo (process %s) runs in %s: stop it, or set LOCKSTEP_DEMO_DIR to another folder",
			strings.TrimSpace(string(pid)), f.path), lock.Close())
	}
	if err := errors.Join(lock.Truncate(0), writeAt(lock, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		return errors.Join(fmt.Errorf("demo folder: %w", err), lock.Close())
	}
	f.lock = lock
	return nil
}

func writeAt(file *os.File, text string) error {
	_, err := file.WriteAt([]byte(text), 0)
	return err
}

// empty removes everything but the marker.
func (f *folder) empty() error {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return fmt.Errorf("demo folder: %w", err)
	}
	for _, entry := range entries {
		if entry.Name() == marker {
			continue
		}
		if err := os.RemoveAll(filepath.Join(f.path, entry.Name())); err != nil {
			return fmt.Errorf("demo folder: %w", err)
		}
	}
	return nil
}

// join returns a path below the folder.
func (f *folder) join(names ...string) string {
	return filepath.Join(append([]string{f.path}, names...)...)
}

func (f *folder) close() error { return f.lock.Close() }
