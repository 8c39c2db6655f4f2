package connectors

import (
	"errors"
	"net/url"
	"strings"
)

// errBadRoute marks arguments that may not stand in a path.
var errBadRoute = errors.New("bad route")

// expand fills the {placeholders} of a route template in their order. Every argument is held to a grammar without any
// character that means something in a path, is escaped all the same, and the result must have as many segments as the
// template (A24).
func expand(template string, args []string) (string, error) {
	segments := strings.Split(template, "/")
	for i, segment := range segments {
		if !strings.HasPrefix(segment, "{") {
			continue
		}
		if len(args) == 0 || !pathArgument(args[0]) {
			return "", errBadRoute
		}
		segments[i] = url.PathEscape(args[0])
		args = args[1:]
	}
	path := strings.Join(segments, "/")
	if len(args) != 0 || strings.Count(path, "/") != strings.Count(template, "/") || strings.Contains(path, "//") {
		return "", errBadRoute
	}
	return path, nil
}

// pathArgument accepts [A-Za-z0-9][A-Za-z0-9_.-]{0,63}: record ids, object and field names, API versions.
func pathArgument(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i, r := range s {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		case i > 0 && (r == '_' || r == '.' || r == '-'):
		default:
			return false
		}
	}
	return true
}

// PlainID reports whether a record id is of the general grammar [A-Za-z0-9]{1,64}. Connectors check it, or their
// vendor's narrower one, before they build anything from an id.
func PlainID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for _, r := range id {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		default:
			return false
		}
	}
	return true
}
