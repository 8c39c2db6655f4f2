package connectors

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestA24AnyArgument(t *testing.T) {
	shape := regexp.MustCompile(`^/a/[^/?#%]+/b/[^/?#%]+$`)
	rapid.Check(t, func(t *rapid.T) {
		args := []string{rapid.String().Draw(t, "first"), rapid.String().Draw(t, "second")}
		path, err := expand("/a/{x}/b/{y}", args)
		if err == nil && (!shape.MatchString(path) || strings.Contains(path, "/../") || strings.HasSuffix(path, "/..")) {
			t.Fatalf("%q became %s", args, path)
		}
	})
}
