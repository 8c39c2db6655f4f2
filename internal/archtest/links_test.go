package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	linkTo = regexp.MustCompile(`\]\(([^)\s]*)\)`)
	// outside are links that leave the repository.
	outside    = regexp.MustCompile(`^(https?|mailto):`)
	inlineCode = regexp.MustCompile("`[^`]*`")
	notInSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// prose is a page without its fenced blocks, line by line; their lines are empty.
func prose(t *testing.T, page string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	fenced := false
	for i, line := range lines {
		if fence := strings.HasPrefix(strings.TrimSpace(line), "```"); fence || fenced {
			fenced = fenced != fence
			lines[i] = ""
		}
	}
	return lines
}

// anchorsOf are the names of a page's headings as links spell them; the second of one name is called name-1.
func anchorsOf(t *testing.T, page string) []string {
	t.Helper()
	var names []string
	seen := map[string]int{}
	for _, line := range prose(t, page) {
		hashes, heading, ok := strings.Cut(line, " ")
		if !ok || hashes == "" || strings.Trim(hashes, "#") != "" {
			continue
		}
		name := strings.ReplaceAll(notInSlug.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
		if n := seen[name]; n > 0 {
			names = append(names, name+"-"+strconv.Itoa(n))
		} else {
			names = append(names, name)
		}
		seen[name]++
	}
	return names
}

// A link between our pages leads to a file and a heading that exist. A page is linked as it lies in the repository, so
// that it works in an editor as on a site.
func TestLinksResolve(t *testing.T) {
	names, err := tracked()
	if err != nil {
		t.Fatal(err)
	}
	links := 0
	for _, page := range names {
		if !strings.HasSuffix(page, ".md") {
			continue
		}
		for i, line := range prose(t, page) {
			for _, match := range linkTo.FindAllStringSubmatch(inlineCode.ReplaceAllString(line, ""), -1) {
				if outside.MatchString(match[1]) {
					continue
				}
				links++
				file, anchor, _ := strings.Cut(match[1], "#")
				target := page
				if file != "" {
					target = path(filepath.Join(filepath.Dir(page), file))
				}
				switch info, err := os.Stat(filepath.Join(root, target)); {
				case err != nil:
					t.Errorf("%s:%d: links to %s, which does not exist", page, i+1, match[1])
				case anchor == "":
				case info.IsDir() || !slices.Contains(anchorsOf(t, target), anchor):
					t.Errorf("%s:%d: %s has no heading #%s", page, i+1, target, anchor)
				}
			}
		}
	}
	if links < 50 {
		t.Errorf("found only %d links: this test no longer understands the pages", links)
	}
}

var (
	pageNamed     = regexp.MustCompile(`\bdocs/[a-z0-9_/-]+\.md\b`)
	decisionNamed = regexp.MustCompile(`\bADR (\d{4})\b`)
)

// What the code, the SQL and the scripts name of the documents exists.
func TestNamedDocumentsExist(t *testing.T) {
	names, err := tracked()
	if err != nil {
		t.Fatal(err)
	}
	decisions, err := os.ReadDir(filepath.Join(root, "docs", "adr"))
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil || slices.Contains(text, 0) {
			continue // gone since, or not a text
		}
		for _, at := range pageNamed.FindAllIndex(text, -1) {
			named++
			if page := string(text[at[0]:at[1]]); !slices.Contains(names, page) {
				t.Errorf("%s:%d: names %s, which does not exist", name, lineOf(text, at[0]), page)
			}
		}
		for _, at := range decisionNamed.FindAllSubmatchIndex(text, -1) {
			named++
			number := string(text[at[2]:at[3]])
			if !slices.ContainsFunc(decisions, func(entry os.DirEntry) bool { return strings.HasPrefix(entry.Name(), number+"-") }) {
				t.Errorf("%s:%d: names the decision record %s, which does not exist", name, lineOf(text, at[0]), number)
			}
		}
	}
	if named < 3 {
		t.Errorf("found only %d named documents: this test no longer understands the texts", named)
	}
}
