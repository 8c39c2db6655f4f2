package telemetry

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"reflect"
	"strings"
	"syscall"

	"go.temporal.io/sdk/temporal"
)

// plainErrors are sentinels whose text is known. An error that was made by errors.New says nothing of where its text
// comes from, so others are shown by their type only.
var plainErrors = []error{
	context.Canceled, context.DeadlineExceeded, errors.ErrUnsupported,
	io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, io.ErrShortWrite,
	fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, fs.ErrClosed, fs.ErrInvalid, os.ErrDeadlineExceeded,
	net.ErrClosed, http.ErrServerClosed, http.ErrHandlerTimeout, http.ErrAbortHandler,
	sql.ErrNoRows, sql.ErrConnDone, sql.ErrTxDone, driver.ErrBadConn,
}

// Describe returns what may be shown of an error and of those that it wraps: the text of Lockstep's own error types
// (coded by the house rules) and of known sentinels, the SQL state, the type of a Temporal application error, system
// errors; of any other error its type. Texts of fmt.Errorf are left out: they may quote anything. Source: reliability
// B02.
func Describe(err error) string {
	var parts []string
	const deepest = 16
	var walk func(err error, depth int)
	walk = func(err error, depth int) {
		if err == nil || depth == deepest || len(parts) == deepest {
			return
		}
		part, whole := describe(err)
		if part != "" && (len(parts) == 0 || parts[len(parts)-1] != part) {
			parts = append(parts, part)
		}
		if whole {
			return
		}
		switch wrapping := err.(type) { //nolint:errorlint // the tree is walked by hand, a step at a time
		case interface{ Unwrap() error }:
			walk(wrapping.Unwrap(), depth+1)
		case interface{ Unwrap() []error }:
			for _, wrapped := range wrapping.Unwrap() {
				walk(wrapped, depth+1)
			}
		}
	}
	walk(err, 0)
	return strings.Join(parts, ": ")
}

// describe returns what may be shown of one error, without those that it wraps; whole says that they add nothing.
func describe(err error) (part string, whole bool) {
	for _, plain := range plainErrors {
		if err == plain { //nolint:errorlint // the chain is walked by the caller
			return plain.Error(), true
		}
	}
	switch e := err.(type) { //nolint:errorlint // the chain is walked by the caller
	case syscall.Errno:
		return e.Error(), true
	case *temporal.ApplicationError:
		return "application error " + word(e.Type()), false
	case *net.OpError:
		return "network " + word(e.Op), false
	case interface{ SQLState() string }:
		return "sqlstate " + word(e.SQLState()), true
	}
	name := reflect.TypeOf(err)
	path := name.PkgPath()
	if name.Kind() == reflect.Pointer {
		path = name.Elem().PkgPath()
	}
	switch {
	case path == "lockstep" || strings.HasPrefix(path, "lockstep/"):
		return err.Error(), true
	case path == "fmt", path == "errors" && name.String() != "*errors.errorString":
		return "", false
	}
	return strings.TrimPrefix(name.String(), "*"), false
}
