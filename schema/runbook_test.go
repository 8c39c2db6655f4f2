package schema_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"lockstep/schema"
)

const runbooks = "../docs/runbooks"

// headings are those of every runbook, in this order: whoever reads one at night knows where to look.
var headings = []string{"What the customer notices", "Who owns it", "What to do", "When it is over"}

// Every reason has a runbook, and every runbook a reason.
func TestRunbooksAreThoseOfTheCatalogue(t *testing.T) {
	entries, err := os.ReadDir(runbooks)
	if err != nil {
		t.Fatal(err)
	}
	var found, want []string
	for _, e := range entries {
		found = append(found, e.Name())
	}
	for _, f := range schema.Failures {
		want = append(want, string(f.Reason)+".md")
	}
	slices.Sort(want)
	if !slices.Equal(found, want) {
		t.Errorf("docs/runbooks holds\n\t%v\nwant\n\t%v", found, want)
	}
}

// A runbook says first what the catalogue says, then whose trouble it is, then the four things that a reader needs.
func TestRunbooksHaveOneForm(t *testing.T) {
	for _, f := range schema.Failures {
		t.Run(string(f.Reason), func(t *testing.T) {
			lines := linesOf(t, filepath.Join(runbooks, string(f.Reason)+".md"))
			if len(lines) < 20 || len(lines) > 45 {
				t.Errorf("has %d lines, want 20 to 45", len(lines))
			}
			for i, line := range lines {
				if n := utf8.RuneCountInString(line); n > 120 {
					t.Errorf("line %d has %d columns, at most 120", i+1, n)
				}
			}
			head := []string{"# " + string(f.Reason), "", f.Sentence, ""}
			if len(lines) < 5 || !slices.Equal(lines[:4], head) {
				t.Fatalf("begins with %q, want %q", lines[:min(4, len(lines))], head)
			}
			if want := nature(f); lines[4] == "" || !strings.HasPrefix(lines[4], want) {
				t.Errorf("line 5 is %q, want it to begin with %q", lines[4], want)
			}
			checkSections(t, lines)
		})
	}
}

// nature is how the line about the kind begins; a reason that no vendor leads to has another line there.
func nature(f schema.Failure) string {
	if f.Kind == "" {
		return ""
	}
	return fmt.Sprintf("Kind `%s` · scope `%s` · ", f.Kind, f.Kind.Scope())
}

func checkSections(t *testing.T, lines []string) {
	t.Helper()
	var found []string
	text := map[string]int{}
	for _, line := range lines {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			found = append(found, heading)
		} else if len(found) > 0 {
			text[found[len(found)-1]] += len(strings.TrimSpace(line))
		}
	}
	if !slices.Equal(found, headings) {
		t.Errorf("headings %q, want %q", found, headings)
	}
	for _, heading := range found {
		if text[heading] < 20 {
			t.Errorf("%q says nothing", heading)
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)#]*)(?:#([^)]*))?\)`)

// A link leads to a page and a heading that exist.
func TestRunbooksLinkToWhatExists(t *testing.T) {
	seen := 0
	for _, f := range schema.Failures {
		page := filepath.Join(runbooks, string(f.Reason)+".md")
		for _, found := range link.FindAllStringSubmatch(strings.Join(linesOf(t, page), "\n"), -1) {
			seen++
			target := filepath.Join(runbooks, found[1])
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which does not exist", page, found[1])
				continue
			}
			if found[2] != "" && !slices.Contains(anchors(t, target), found[2]) {
				t.Errorf("%s links to %s, which has no heading #%s", page, found[1], found[2])
			}
		}
	}
	if seen < len(schema.Failures) {
		t.Errorf("found only %d links: this test no longer understands the pages", seen)
	}
}

// anchors are the names of a page's headings as links spell them.
func anchors(t *testing.T, page string) []string {
	t.Helper()
	var names []string
	for _, line := range linesOf(t, page) {
		hashes, heading, ok := strings.Cut(line, " ")
		if !ok || hashes == "" || strings.Trim(hashes, "#") != "" {
			continue
		}
		plain := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(heading), "")
		names = append(names, strings.ReplaceAll(plain, " ", "-"))
	}
	return names
}

func linesOf(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}
