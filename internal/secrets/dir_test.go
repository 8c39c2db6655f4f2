package secrets

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lockstep/schema"
)

// clock is a clock that a test sets.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// openDir opens a new folder under a clock that begins a minute from now, so that files just written count as settled.
func openDir(t *testing.T, options Options) (*Dir, string, *clock) {
	t.Helper()
	path := t.TempDir()
	c := &clock{at: time.Now().Add(time.Minute)}
	options.Now = c.now
	dir, err := Open(path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	})
	return dir, path, c
}

func put(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path+".new", mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestB14References(t *testing.T) {
	dir, path, _ := openDir(t, Options{})
	t.Setenv("LOCKSTEP_TEST_SECRET", "from the environment")
	t.Setenv("LOCKSTEP_TEST_EMPTY", "")
	outside := filepath.Join(t.TempDir(), "outside")
	put(t, outside, "outside", 0o600)
	put(t, filepath.Join(path, "plain"), "plain", 0o600)
	put(t, filepath.Join(path, "below/deeper/file"), "deep", 0o400)
	put(t, filepath.Join(path, "unix"), "value\n", 0o600)
	put(t, filepath.Join(path, "dos"), "value\r\n", 0o600)
	put(t, filepath.Join(path, "two lines"), "one\ntwo\n\n", 0o600)
	put(t, filepath.Join(path, "empty"), "", 0o600)
	put(t, filepath.Join(path, "newline"), "\n", 0o600)
	put(t, filepath.Join(path, "group"), "x", 0o640)
	put(t, filepath.Join(path, "world"), "x", 0o604)
	put(t, filepath.Join(path, "large"), strings.Repeat("x", 1<<20+1), 0o600)
	for link, target := range map[string]string{"inner": "plain", "escape": outside, "climb": "../" + filepath.Base(filepath.Dir(outside)), "dangling": "nowhere"} {
		if err := os.Symlink(target, filepath.Join(path, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(path, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[schema.Reference]any{
		"file:plain":               "plain",
		"file:below/deeper/file":   "deep",
		"file:unix":                "value",
		"file:dos":                 "value",
		"file:two lines":           "one\ntwo\n",
		"file:inner":               "plain",
		"env:LOCKSTEP_TEST_SECRET": "from the environment",
		"env:LOCKSTEP_TEST_EMPTY":  ErrAbsent,
		"env:LOCKSTEP_TEST_NONE":   ErrAbsent,
		"file:nowhere":             ErrAbsent,
		"file:below/nowhere":       ErrAbsent,
		"file:dangling":            ErrAbsent,
		"file:empty":               ErrEmpty,
		"file:newline":             ErrEmpty,
		"file:group":               ErrReadable,
		"file:world":               ErrReadable,
		"file:large":               ErrTooLarge,
		"file:below":               ErrUnreadable,
		"file:pipe":                ErrUnreadable,
		"file:escape":              ErrUnreadable,
		"file:climb":               ErrUnreadable,
		"file:climb/outside":       ErrUnreadable,
		"file:a\x00b":              ErrUnreadable,
		"file:../outside":          ErrReference,
		"file:below/../../outside": ErrReference,
		"file:/etc/passwd":         ErrReference,
		"file:":                    ErrReference,
		"env:":                     ErrReference,
		"env:A B":                  ErrReference,
		"env:1A":                   ErrReference,
		"env:A=B":                  ErrReference,
		"plain":                    ErrReference,
		"vault:plain":              ErrReference,
		"":                         ErrReference,
	} {
		secret, err := dir.Resolve(ref)
		if text, ok := want.(string); ok {
			if err != nil || string(secret.Reveal()) != text {
				t.Errorf("%q = %q, %v, want %q", ref, secret.Reveal(), err, text)
			}
			continue
		}
		if !errors.Is(err, want.(error)) || secret.Reveal() != nil {
			t.Errorf("%q: %v, want %v", ref, err, want)
		}
	}
}

func TestMountedFolderMayBeReadable(t *testing.T) {
	dir, path, _ := openDir(t, Options{Mounted: true})
	put(t, filepath.Join(path, "..2026/key"), "mounted", 0o644)
	if err := os.Symlink("..2026", filepath.Join(path, "..data")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("..data/key", filepath.Join(path, "key")); err != nil {
		t.Fatal(err)
	}
	secret, err := dir.Resolve("file:key")
	if err != nil || string(secret.Reveal()) != "mounted" {
		t.Errorf("%q, %v", secret.Reveal(), err)
	}
}

func TestFolderItself(t *testing.T) {
	path := t.TempDir()
	if _, err := Open(filepath.Join(path, "none"), Options{}); !errors.Is(err, ErrAbsent) {
		t.Errorf("absent folder: %v", err)
	}
	put(t, filepath.Join(path, "file"), "x", 0o600)
	if _, err := Open(filepath.Join(path, "file"), Options{}); !errors.Is(err, ErrUnreadable) {
		t.Errorf("a file for a folder: %v", err)
	}
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); !errors.Is(err, ErrReadable) {
		t.Errorf("a folder that others may write: %v", err)
	}
}

func TestRotationNeedsNoRestart(t *testing.T) {
	dir, path, c := openDir(t, Options{})
	file := filepath.Join(path, "secret")
	read := func() string {
		secret, err := dir.Resolve("file:secret")
		if err != nil {
			return err.Error()
		}
		return string(secret.Reveal())
	}
	put(t, file, "first", 0o600)
	if got := read(); got != "first" {
		t.Fatal(got)
	}
	put(t, file, "other", 0o600)
	c.pass(999 * time.Millisecond)
	if got := read(); got != "first" {
		t.Errorf("looked again within the second: %q", got)
	}
	c.pass(time.Millisecond)
	if got := read(); got != "other" {
		t.Errorf("not seen after a second: %q", got)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	c.pass(time.Second)
	if got := read(); !strings.Contains(got, "absent") {
		t.Errorf("removed, and still %q", got)
	}
	put(t, file, "again", 0o600)
	c.pass(time.Second)
	if got := read(); got != "again" {
		t.Errorf("back, and %q", got)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	c.pass(time.Second)
	if got := read(); !strings.Contains(got, "open to others") {
		t.Errorf("opened to others, and %q", got)
	}
}

// Two writes within the resolution of the file system's clock, of equal length: only the content differs.
func TestTwoWritesOfOneMoment(t *testing.T) {
	dir, path, c := openDir(t, Options{})
	file := filepath.Join(path, "secret")
	for _, content := range []string{"one", "two", "six"} {
		moment := c.now()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, moment, moment); err != nil {
			t.Fatal(err)
		}
		secret, err := dir.Resolve("file:secret")
		if err != nil || string(secret.Reveal()) != content {
			t.Errorf("%q, %v, want %q", secret.Reveal(), err, content)
		}
		if err := os.WriteFile(file, []byte(strings.ToUpper(content)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, moment, moment); err != nil {
			t.Fatal(err)
		}
		c.pass(time.Second)
		secret, err = dir.Resolve("file:secret")
		if err != nil || string(secret.Reveal()) != strings.ToUpper(content) {
			t.Errorf("%q, %v, want the second write", secret.Reveal(), err)
		}
		c.pass(time.Minute)
	}
}

func TestLiveSecrets(t *testing.T) {
	dir, path, _ := openDir(t, Options{})
	put(t, filepath.Join(path, "new"), "new", 0o600)
	put(t, filepath.Join(path, "old"), "old", 0o600)
	put(t, filepath.Join(path, "loose"), "loose", 0o644)
	for _, c := range []struct {
		refs []schema.Reference
		want string
		err  error
	}{
		{[]schema.Reference{"file:new"}, "[new]", nil},
		{[]schema.Reference{"file:new", "file:old"}, "[new old]", nil},
		{[]schema.Reference{"file:new", "file:none"}, "[new]", nil},
		{[]schema.Reference{"file:new", "env:LOCKSTEP_TEST_NONE"}, "[new]", nil},
		{[]schema.Reference{"file:none", "file:old"}, "[]", ErrAbsent},
		{[]schema.Reference{"file:new", "file:loose"}, "[]", ErrReadable},
	} {
		live, err := dir.Live(c.refs)
		if got := fmt.Sprintf("%s", live); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%v: %s, %v", c.refs, got, err)
		}
	}
}

func TestManyReadersSeeWholeSecrets(t *testing.T) {
	dir, path, c := openDir(t, Options{})
	file := filepath.Join(path, "secret")
	content := func(i int) string { return strings.Repeat(string(rune('a'+i%26)), 1000+i) }
	put(t, file, content(0), 0o600)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				secret, err := dir.Resolve("file:secret")
				if err != nil {
					t.Error(err)
					return
				}
				if got := string(secret.Reveal()); got != content(len(got)-1000) {
					t.Errorf("torn secret of %d bytes", len(got))
					return
				}
			}
		})
	}
	for i := range 200 {
		put(t, file, content(i), 0o600)
		c.pass(time.Second)
		if secret, err := dir.Resolve("file:secret"); err != nil || string(secret.Reveal()) != content(i) {
			t.Errorf("write %d not seen: %v", i, err)
		}
	}
	close(stop)
	readers.Wait()
}

func TestB14PublishedSecretsAreRefusedOutsideTheDemo(t *testing.T) {
	live, path, _ := openDir(t, Options{})
	demo, err := Open(path, Options{Demo: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := demo.Close(); err != nil {
			t.Error(err)
		}
	}()
	bad := []string{
		"8f742231b10e8888abcd99yyyzzz85a5", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==",
		"yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy", "mysecrettoken", "changeme", "password", "secret",
		"lockstep-demo-crm-31f0a9", "whsec_bG9ja3N0ZXAtZGVtby1jcm0tMzFmMGE5MTIzNA==", "bG9ja3N0ZXAtZGVtby1jcm0tMzFmMGE5MTIzNA==",
	}
	for i, content := range bad {
		ref := schema.Reference(fmt.Sprintf("file:bad%d", i))
		put(t, filepath.Join(path, fmt.Sprintf("bad%d", i)), content+"\n", 0o600)
		t.Setenv(fmt.Sprintf("LOCKSTEP_TEST_BAD%d", i), content)
		for _, ref := range []schema.Reference{ref, schema.Reference(fmt.Sprintf("env:LOCKSTEP_TEST_BAD%d", i))} {
			if _, err := live.Resolve(ref); !errors.Is(err, ErrPublished) {
				t.Errorf("%q: %v", content, err)
			}
			if secret, err := demo.Resolve(ref); err != nil || string(secret.Reveal()) != content {
				t.Errorf("%q in the demo: %v", content, err)
			}
		}
	}
	put(t, filepath.Join(path, "own"), "kq3ZbnFv9dP0w7sLJ1uTgYxRr5Ae", 0o600)
	if _, err := live.Resolve("file:own"); err != nil {
		t.Error(err)
	}
}
