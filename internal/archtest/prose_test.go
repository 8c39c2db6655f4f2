package archtest

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lockstep/schema"
)

// machinery are words of the place where somebody works, which mean nothing to a reader of the repository. They are
// spelt in two parts here, so that this file is not found itself.
var machinery = [][]byte{
	[]byte("chat" + "gpt"), []byte("co" + "pilot"), []byte("anthro" + "pic"), []byte("open" + "ai"),
	[]byte("langu" + "age model"), []byte("sub-" + "agent"), []byte("sub" + "agent"), []byte("this ses" + "sion of"),
	[]byte("working ses" + "sion"), []byte("as an " + "ai "),
}

// homes are folders of one machine.
var homes = [][]byte{[]byte("/wor" + "k/"), []byte("/roo" + "t/"), []byte("/User" + "s/"), []byte("/hom" + "e/")}

func TestNoWordsOfAWorkplace(t *testing.T) {
	names, err := tracked()
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 50 {
		t.Fatalf("only %d tracked files", len(names))
	}
	for _, name := range names {
		if strings.HasSuffix(name, "go.sum") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(text, 0) {
			continue // not a text
		}
		lower := bytes.ToLower(text)
		for _, phrase := range machinery {
			if at := bytes.Index(lower, phrase); at >= 0 {
				t.Errorf("%s:%d: %q is of the place where it was written", name, lineOf(text, at), phrase)
			}
		}
		for _, home := range homes {
			if at := bytes.Index(text, home); at >= 0 && !bytes.ContainsRune([]byte(`}.-_)*`), rune(before(text, at))) && !word(before(text, at)) {
				t.Errorf("%s:%d: %s is a folder of one machine", name, lineOf(text, at), home)
			}
		}
	}
}

func lineOf(text []byte, at int) int { return 1 + bytes.Count(text[:at], []byte("\n")) }

// before is the byte in front of a position, a line's end at the beginning.
func before(text []byte, at int) byte {
	if at == 0 {
		return '\n'
	}
	return text[at-1]
}

func word(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' }

var tableRow = regexp.MustCompile("(?m)^\\|\\s*`([a-z_.-]+)/`\\s*\\|")

// The folder table of the README lists the folders at the top, all of them and no others.
func TestReadmeTableEqualsTheTree(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{}
	for _, row := range tableRow.FindAllStringSubmatch(string(text), -1) {
		written[row[1]] = true
	}
	names, err := tracked()
	if err != nil {
		t.Fatal(err)
	}
	present := map[string]bool{}
	for _, name := range names {
		if folder, _, below := strings.Cut(name, "/"); below && !strings.HasPrefix(folder, ".") {
			present[folder] = true
		}
	}
	if !maps.Equal(written, present) {
		t.Errorf("README.md lists the folders %v in rows like | `schema/` | … |, the tree has %v",
			slices.Sorted(maps.Keys(written)), slices.Sorted(maps.Keys(present)))
	}
}

var recordName = regexp.MustCompile(`^(\d{4})-[a-z0-9-]+\.md$`)

func TestDecisionRecordsAreNumberedWithoutGaps(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join(root, "docs", "adr"))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	var numbers []string
	for _, entry := range entries {
		match := recordName.FindStringSubmatch(entry.Name())
		if match == nil {
			t.Errorf("docs/adr/%s is not named like 0001-what-was-decided.md", entry.Name())
			continue
		}
		numbers = append(numbers, match[1])
	}
	for i, number := range numbers {
		if want := "000"[:4-len(itoa(i+1))] + itoa(i+1); number != want {
			t.Errorf("decision record %s stands where %s belongs: a gap, or a number given twice", number, want)
		}
	}
}

// Every reason that can reach a person has a runbook of its name, and no runbook tells of something else.
func TestRunbooksEqualTheReasons(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join(root, "docs", "runbooks"))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{}
	for _, entry := range entries {
		written[strings.TrimSuffix(entry.Name(), ".md")] = true
	}
	for _, failure := range schema.Failures {
		if !written[string(failure.Reason)] {
			t.Errorf("docs/runbooks/%s.md is missing", failure.Reason)
		}
		delete(written, string(failure.Reason))
	}
	for name := range written {
		t.Errorf("docs/runbooks/%s.md tells of no reason of the catalogue", name)
	}
}
