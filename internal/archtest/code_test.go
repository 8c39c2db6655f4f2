package archtest

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestPackageNamesSayWhatIsInside(t *testing.T) {
	refused := []string{
		"util", "utils", "common", "shared", "model", "models", "types", "service", "services", "manager", "handler", "handlers",
		"helper", "helpers", "base", "misc", "core", "lib", "api", "interfaces",
	}
	for _, p := range packages(t) {
		if slices.Contains(refused, p.Name) || slices.Contains(refused, filepath.Base(p.Dir)) {
			t.Errorf("%s: a package of this name collects what has no home", p.ImportPath)
		}
	}
}

func TestNoInit(t *testing.T) {
	for _, f := range files(t) {
		for _, decl := range f.ast.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s: code that runs because it is imported cannot be left out, ordered or tested", line(fn))
			}
		}
	}
}

func TestNoWorkspaceFile(t *testing.T) {
	for _, name := range []string{"go.work", "go.work.sum", "demo/go.work"} {
		if _, err := os.Stat(filepath.Join(root, name)); err == nil {
			t.Errorf("%s merges the build lists of the two modules: production would get the Temporal server's libraries", name)
		}
	}
}

// sleepers are test files that may sleep, with the reason.
var sleepers = map[string]string{
	"internal/protocol/protocol_test.go": "edits and faults that are spread over the run of a model",
	"internal/protocol/world_test.go":    "events of a model that arrive at random moments",
}

func TestTestsDoNotSleep(t *testing.T) {
	for _, f := range files(t) {
		if !f.test || sleepers[f.path] != "" || imports(f, "testing/synctest") { // a bubble's clock jumps
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ForStmt: // a poll, whose condition or body ends it
				return n.Cond == nil && n.Post == nil && n.Init == nil && !leaves(n.Body)
			case *ast.CallExpr:
				if named(n.Fun, "time", "Sleep") {
					t.Errorf("%s: a sleep hides a race or wastes time: poll what you wait for, with a deadline", line(n))
				}
			}
			return true
		})
	}
}

// leaves reports whether a loop's body can end it.
func leaves(body *ast.BlockStmt) bool {
	found := false
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ReturnStmt:
			found = true
		case *ast.BranchStmt:
			found = found || n.Tok == token.BREAK
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && strings.HasPrefix(sel.Sel.Name, "Fatal") {
				found = true
			}
		}
		return true
	})
	return found
}

// Package-level state in workflow code survives from one run to the next and from one replay to the next.
func TestWorkflowsHoldNoState(t *testing.T) {
	names := map[string]bool{}
	var sources []file
	for _, f := range files(t) {
		if f.folder() != "workflows" || f.test {
			continue
		}
		sources = append(sources, f)
		for _, decl := range f.ast.Decls {
			vars, ok := decl.(*ast.GenDecl)
			if !ok || vars.Tok != token.VAR {
				continue
			}
			for _, spec := range vars.Specs {
				value := spec.(*ast.ValueSpec)
				for _, name := range value.Names {
					names[name.Name] = name.Name != "_"
				}
				for _, held := range append(value.Values, value.Type) {
					if held != nil && mutable(held) {
						t.Errorf("%s: package-level state in workflows does not replay", line(value))
					}
				}
			}
		}
	}
	if len(sources) == 0 {
		t.Fatal("no workflow code")
	}
	for _, f := range sources {
		for _, decl := range f.ast.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				for _, changed := range targets(n) {
					if id := base(changed); id != nil && names[id.Name] && !declaredIn(fn, id.Name) {
						t.Errorf("%s: workflow code changes the package variable %s", line(n), id.Name)
					}
				}
				return true
			})
		}
	}
}

// mutable reports whether an expression makes or names something that is meant to change.
func mutable(e ast.Expr) bool {
	found := false
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.ChanType:
			found = true
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "make" || id.Name == "new") {
				found = true
			}
		case *ast.SelectorExpr:
			if id, ok := n.X.(*ast.Ident); ok && (id.Name == "sync" || id.Name == "atomic") {
				found = true
			}
		}
		return true
	})
	return found
}

// targets are the expressions that a statement assigns to.
func targets(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			return n.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	}
	return nil
}

// base is the variable at the bottom of x.y[z].
func base(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// declaredIn reports whether the function has a parameter, result or variable of its own of that name.
func declaredIn(fn *ast.FuncDecl, name string) bool {
	found := false
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			found = found || slices.ContainsFunc(n.Names, func(id *ast.Ident) bool { return id.Name == name })
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, left := range n.Lhs {
					id, ok := left.(*ast.Ident)
					found = found || ok && id.Name == name
				}
			}
		case *ast.ValueSpec:
			found = found || slices.ContainsFunc(n.Names, func(id *ast.Ident) bool { return id.Name == name })
		}
		return true
	})
	return found
}

var sqlVerb = regexp.MustCompile(`(?is)^\s*(select|insert|update|delete|create|alter|drop|with|truncate|grant)\s`)

func TestNoSQLIsBuiltByFormatting(t *testing.T) {
	for _, f := range files(t) {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 2 || !named(call.Fun, "fmt", "Sprintf") {
				return true
			}
			if text, ok := literal(call.Args[0]); ok && sqlVerb.MatchString(text) {
				t.Errorf("%s: a value formatted into SQL is an injection in waiting: use parameters", line(call))
			}
			return true
		})
	}
}

var secretName = regexp.MustCompile(`(?i)(secret|signature|password|hmac|mac|apikey)$`)

// harmless are files whose comparisons of secrets tell nobody anything, with the reason.
var harmless = map[string]string{
	"connectors/token.go": "a token that we hold is compared with one that we held: no stranger chooses either",
}

func TestSecretsAreComparedInConstantTime(t *testing.T) {
	for _, f := range files(t) {
		simulated := strings.Contains(f.path, "test/") || strings.Contains(f.path, "simulator")
		if f.test || simulated || harmless[f.path] != "" {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			compare, ok := n.(*ast.BinaryExpr)
			if !ok || compare.Op != token.EQL && compare.Op != token.NEQ {
				return true
			}
			if (soundsSecret(compare.X) || soundsSecret(compare.Y)) && !constant(compare.X) && !constant(compare.Y) {
				t.Errorf("%s: == ends at the first byte that differs, which tells an attacker how far they came: "+
					"crypto/hmac.Equal or crypto/subtle", line(compare))
			}
			return true
		})
	}
}

func soundsSecret(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return secretName.MatchString(e.Name)
	case *ast.SelectorExpr:
		return secretName.MatchString(e.Sel.Name)
	}
	return false
}

// constant reports whether the expression is known to everybody: a literal, nil, or a name of a package's constant.
func constant(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.Ident:
		return e.Name == "nil" || e.Name == "true" || e.Name == "false" || ast.IsExported(e.Name)
	case *ast.SelectorExpr:
		id, ok := e.X.(*ast.Ident)
		return ok && ast.IsExported(e.Sel.Name) && strings.ToLower(id.Name) == id.Name && len(id.Name) > 2
	case *ast.CallExpr:
		id, ok := e.Fun.(*ast.Ident)
		return ok && id.Name == "len"
	}
	return false
}

func TestExportedIdentifiersAreDocumented(t *testing.T) {
	for _, f := range files(t) {
		if f.test || f.pkg == "main" {
			continue
		}
		for _, decl := range f.ast.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if ast.IsExported(d.Name.Name) && exportedReceiver(d) && !obvious(d) && d.Doc.Text() == "" {
					t.Errorf("%s: %s has no doc comment", line(d), d.Name.Name)
				}
			case *ast.GenDecl:
				undocumented(t, d)
			}
		}
	}
}

// undocumented reports the exported names of a declaration that neither they nor their group explain.
func undocumented(t *testing.T, d *ast.GenDecl) {
	t.Helper()
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if ast.IsExported(s.Name.Name) && s.Doc.Text() == "" && (d.Lparen.IsValid() || d.Doc.Text() == "") {
				t.Errorf("%s: %s has no doc comment", line(s), s.Name.Name)
			}
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if ast.IsExported(name.Name) && s.Doc.Text() == "" && s.Comment.Text() == "" && d.Doc.Text() == "" {
					t.Errorf("%s: %s has no doc comment", line(s), name.Name)
				}
			}
		}
	}
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	kind := d.Recv.List[0].Type
	if star, ok := kind.(*ast.StarExpr); ok {
		kind = star.X
	}
	if generic, ok := kind.(*ast.IndexExpr); ok {
		kind = generic.X
	}
	id, ok := kind.(*ast.Ident)
	return ok && ast.IsExported(id.Name)
}

// obvious methods fulfil the interfaces of sort and heap, whose own documentation says all.
func obvious(d *ast.FuncDecl) bool {
	return d.Recv != nil && slices.Contains([]string{"Len", "Less", "Swap", "Push", "Pop"}, d.Name.Name)
}

func TestOneSlackClient(t *testing.T) {
	for _, f := range files(t) {
		if f.test || strings.HasPrefix(f.path, "internal/slack/") || strings.HasPrefix(f.path, "demo/") {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && strings.Contains(lit.Value, "slack.com/api") {
				t.Errorf("%s: there is one Slack client, with one outbox behind it", line(lit))
			}
			return true
		})
	}
}

func imports(f file, name string) bool {
	return slices.ContainsFunc(f.ast.Imports, func(s *ast.ImportSpec) bool { return s.Path.Value == strconv.Quote(name) })
}

func named(e ast.Expr, pkg, name string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != name {
		return false
	}
	id, ok := sel.X.(*ast.Ident)
	return ok && id.Name == pkg
}

func literal(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		left, ok := literal(e.X)
		right, _ := literal(e.Y)
		return left + right, ok
	}
	return "", false
}
