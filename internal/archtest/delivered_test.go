package archtest

import (
	"go/ast"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	codeSpan    = regexp.MustCompile("`([^`]+)`")
	testOf      = regexp.MustCompile(`^([a-z0-9_/]+): (Test\w+)$`)
	testAlone   = regexp.MustCompile(`^Test\w+$`)
	scriptNamed = regexp.MustCompile(`^demo/scenarios/\w+\.txtar$`)
)

// TestDeliveredNamesExist holds docs/delivered.md to what there is: each test that it names stands in its package, each script
// in its folder, and each script is named somewhere.
func TestDeliveredNamesExist(t *testing.T) {
	tests := map[string]bool{}
	for _, f := range files(t) {
		if !f.test {
			continue
		}
		for _, decl := range f.ast.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil {
				tests[f.folder()+": "+fn.Name.Name] = true
			}
		}
	}
	names, err := tracked()
	if err != nil {
		t.Fatal(err)
	}
	const page = "docs/delivered.md"
	scripts, named := map[string]bool{}, 0
	for i, entry := range strings.Split(strings.Join(prose(t, page), "\n"), "\n- ") {
		if i == 0 {
			continue // what stands before the first entry
		}
		folder := ""
		for _, span := range codeSpan.FindAllStringSubmatch(entry, -1) {
			code := strings.Join(strings.Fields(span[1]), " ")
			switch of := testOf.FindStringSubmatch(code); {
			case of != nil:
				folder = of[1]
			case testAlone.MatchString(code) && folder != "":
				code = folder + ": " + code
			case scriptNamed.MatchString(code):
				scripts[code] = true
				if !slices.Contains(names, code) {
					t.Errorf("%s names %s, which does not exist", page, code)
				}
				continue
			default:
				continue
			}
			named++
			if !tests[code] {
				t.Errorf("%s names %s, which does not exist", page, code)
			}
		}
	}
	for _, name := range names {
		if scriptNamed.MatchString(name) && !scripts[name] {
			t.Errorf("%s does not say what %s shows", page, name)
		}
	}
	if named < 100 {
		t.Errorf("found only %d tests on %s: this test no longer understands it", named, page)
	}
}
