package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// module is the import path of the root module; the demo's lies below it.
const module = "lockstep"

// root is the repository's folder, seen from here.
const root = "../.."

// goPackage is what the go command tells of one package.
type goPackage struct {
	ImportPath, Name, Dir                string
	Imports, TestImports, XTestImports   []string
	GoFiles, TestGoFiles, XTestGoFiles   []string
	IgnoredGoFiles, CgoFiles, EmbedFiles []string
}

// listed are the packages of both modules.
var listed = sync.OnceValues(func() ([]goPackage, error) {
	var all []goPackage
	for _, dir := range []string{root, filepath.Join(root, "demo")} {
		cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Name,Dir,Imports,TestImports,XTestImports,GoFiles,TestGoFiles,"+
			"XTestGoFiles,IgnoredGoFiles,CgoFiles,EmbedFiles", "./...")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off")
		var complaint bytes.Buffer
		cmd.Stderr = &complaint
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("go list in %s: %w: %s", dir, err, complaint.String())
		}
		decoder := json.NewDecoder(bytes.NewReader(out))
		for {
			var p goPackage
			if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
			all = append(all, p)
		}
	}
	return all, nil
})

func packages(t *testing.T) []goPackage {
	t.Helper()
	all, err := listed()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("the go command lists only %d packages", len(all))
	}
	return all
}

// file is one Go file, parsed.
type file struct {
	// path is relative to the repository's folder, with slashes.
	path string
	pkg  string
	test bool
	ast  *ast.File
}

// folder is the file's folder within the repository.
func (f file) folder() string { return path(filepath.Dir(f.path)) }

var positions = token.NewFileSet()

// parsed are the Go files of both modules.
var parsed = sync.OnceValues(func() ([]file, error) {
	var files []file
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if base := entry.Name(); name != root && (strings.HasPrefix(base, ".") || base == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		tree, err := parser.ParseFile(positions, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		files = append(files, file{
			path: path(rel), pkg: tree.Name.Name, test: strings.HasSuffix(name, "_test.go"), ast: tree,
		})
		return nil
	})
	return files, err
})

func files(t *testing.T) []file {
	t.Helper()
	all, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("found only %d Go files", len(all))
	}
	return all
}

// tracked are the paths that the repository holds or would hold, without ignored ones.
var tracked = sync.OnceValues(func() ([]string, error) {
	cmd := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
	cmd.Dir = root
	if out, err := cmd.Output(); err == nil {
		names := strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
		return slices.DeleteFunc(names, func(name string) bool {
			_, err := os.Stat(filepath.Join(root, name))
			return err != nil // removed, and not yet committed so
		}), nil
	}
	// A copy without git: everything but hidden folders of builds.
	var names []string
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if base := entry.Name(); base == ".git" || base == ".build" {
				return filepath.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(root, name)
		names = append(names, path(rel))
		return err
	})
	return names, err
})

// line returns where a node stands, for a message.
func line(node ast.Node) string {
	at := positions.Position(node.Pos())
	rel, err := filepath.Rel(root, at.Filename)
	if err != nil {
		rel = at.Filename
	}
	return path(rel) + ":" + itoa(at.Line)
}

func path(name string) string { return filepath.ToSlash(name) }
