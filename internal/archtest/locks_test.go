package archtest

import (
	"go/ast"
	"go/token"
	"regexp"
	"strings"
	"testing"
)

// lockOrder is the order in which a transaction locks rows (protocol, part 1). Two transactions that keep to it cannot
// wait for each other.
var lockOrder = map[string]int{"record": 0, "delivery": 1, "call": 2, "claim": 3, "slot": 4}

// outOfOrder are functions that may break the order, with the reason.
var outOfOrder = map[string]string{
	"handOver": "the claim that it updates after taking a slot is one that it has just inserted",
}

// A function of the store locks tables in the order of the protocol: what counts is the first statement on each.
// Statements with SKIP LOCKED or NOWAIT hold but never wait; inserts lock no row that somebody else holds.
func TestLocksAreTakenInOrder(t *testing.T) {
	texts := map[string]string{} // the package's string constants and variables
	var sources []file
	for _, f := range files(t) {
		if f.folder() != "internal/store" || f.test {
			continue
		}
		sources = append(sources, f)
		for _, decl := range f.ast.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.CONST && gen.Tok != token.VAR {
				continue
			}
			for _, spec := range gen.Specs {
				value := spec.(*ast.ValueSpec)
				for i, name := range value.Names {
					if i < len(value.Values) {
						if text, ok := literal(value.Values[i]); ok {
							texts[name.Name] = text
						}
					}
				}
			}
		}
	}
	if len(sources) == 0 {
		t.Fatal("no store to check")
	}
	statements := 0
	for _, f := range sources {
		for _, decl := range f.ast.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil || outOfOrder[fn.Name.Name] != "" {
				continue
			}
			held := map[string]bool{}
			for _, lock := range locksOf(fn.Body, texts) {
				statements++
				for other := range held {
					if lock.waits && !held[lock.table] && lockOrder[lock.table] < lockOrder[other] {
						t.Errorf("%s: %s locks %s while it holds %s; the order is record, delivery, call, claim, slot",
							line(lock.node), fn.Name.Name, lock.table, other)
					}
				}
				held[lock.table] = true
			}
		}
	}
	if statements < 5 {
		t.Errorf("found only %d statements that lock: this test no longer understands the store", statements)
	}
}

type rowLock struct {
	node  ast.Node
	table string
	// waits is unset for a statement that skips or gives up instead.
	waits bool
}

// locksOf returns the locks that a function's own statements take, as they are written.
func locksOf(body ast.Node, texts map[string]string) []rowLock {
	var locks []rowLock
	ast.Inspect(body, func(n ast.Node) bool {
		text := ""
		switch n := n.(type) {
		case *ast.BasicLit:
			text, _ = literal(n)
		case *ast.Ident:
			text = texts[n.Name]
		}
		if table := lockedTable(text); table != "" {
			locks = append(locks, rowLock{n, table, !waitsNot.MatchString(text)})
		}
		return true
	})
	return locks
}

var (
	waitsNot  = regexp.MustCompile(`(?i)\b(SKIP LOCKED|NOWAIT)\b`)
	update    = regexp.MustCompile(`(?is)^\s*UPDATE\s+(\w+)`)
	deletion  = regexp.MustCompile(`(?is)^\s*DELETE\s+FROM\s+(\w+)`)
	fromTable = regexp.MustCompile(`(?i)\bFROM\s+(\w+)`)
)

// lockedTable returns the table among the ordered ones whose rows the statement locks, or "".
func lockedTable(sql string) string {
	table := ""
	if match := update.FindStringSubmatch(sql); match != nil {
		table = match[1]
	} else if match := deletion.FindStringSubmatch(sql); match != nil {
		table = match[1]
	} else if at := strings.Index(strings.ToUpper(sql), "FOR UPDATE"); at >= 0 {
		if match := fromTable.FindStringSubmatch(outermost(sql[:at])); match != nil {
			table = match[1]
		}
	}
	if _, ordered := lockOrder[table]; !ordered {
		return ""
	}
	return table
}

// outermost drops everything between parentheses.
func outermost(sql string) string {
	var out strings.Builder
	depth := 0
	for _, r := range sql {
		switch r {
		case '(':
			depth++
		case ')':
			depth--
		default:
			if depth == 0 {
				out.WriteRune(r)
			}
		}
	}
	return out.String()
}

func TestLockedTable(t *testing.T) {
	for sql, want := range map[string]string{
		"SELECT 1 FROM record WHERE id IN (SELECT record FROM delivery WHERE claim = $1) ORDER BY id FOR UPDATE": "record",
		"UPDATE slot SET claim = NULL WHERE claim = $1":                                                          "slot",
		"DELETE FROM claim WHERE id = $1":                                                                        "claim",
		"SELECT n FROM slot FOR UPDATE SKIP LOCKED":                                                              "slot",
		"SELECT id FROM record WHERE id = $1 FOR UPDATE NOWAIT":                                                  "record",
		"INSERT INTO claim (id) VALUES ($1)":                                                                     "",
		"SELECT id FROM record WHERE id = $1":                                                                    "",
		"UPDATE tally SET n = n + 1":                                                                             "",
	} {
		if got := lockedTable(sql); got != want {
			t.Errorf("%s locks %q, want %q", sql, got, want)
		}
	}
}
