package localpg

import (
	"cmp"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ErrNoPostgres says that no Postgres server is installed, and what to do.
var ErrNoPostgres = errors.New(
	"localpg: no Postgres server found on PATH or in the usual folders: install one (Debian: apt-get install postgresql)")

// places are where packages put the server when they keep it off PATH: Debian, Red Hat, Homebrew on both processors.
var places = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/opt/homebrew/opt/postgresql@*/bin",
	"/usr/local/opt/postgresql@*/bin",
}

// binaries returns the folder that holds initdb and postgres: the one on PATH, else the newest installed.
func binaries() (string, error) {
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if target, err := filepath.EvalSymlinks(initdb); err == nil && complete(filepath.Dir(target)) {
			return filepath.Dir(target), nil
		}
	}
	var found []string
	for _, place := range places {
		matches, err := filepath.Glob(place)
		if err != nil {
			return "", err
		}
		found = append(found, slices.DeleteFunc(matches, func(folder string) bool { return !complete(folder) })...)
	}
	if len(found) == 0 {
		return "", ErrNoPostgres
	}
	return slices.MaxFunc(found, func(a, b string) int { return cmp.Compare(majorOf(a), majorOf(b)) }), nil
}

// Program returns the path of one of Postgres's own programs, such as pg_dump, of the version that the servers here run.
func Program(name string) (string, error) {
	folder, err := binaries()
	if err != nil {
		return "", err
	}
	return filepath.Join(folder, name), nil
}

func complete(folder string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}

// majorOf reads the version out of the name above bin: 17 of /usr/lib/postgresql/17/bin.
func majorOf(folder string) int {
	name := filepath.Base(filepath.Dir(folder))
	digits := name[strings.LastIndexAny(name, "-@")+1:]
	major, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return major
}
