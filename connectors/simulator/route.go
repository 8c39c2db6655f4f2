package simulator

import (
	"net/url"
	"strings"
)

// Route is one operation of a vendor.
type Route struct {
	Method string
	// Template is the path; a segment in braces matches any one segment and names it.
	Template string
	Class    Class
	// ClassOf overrides Class where the body decides.
	ClassOf func(*Call) Class
	// Bulk is set for operations that carry many records.
	Bulk  bool
	Serve func(*Call) Answer
}

// routes is a list of routes in which the first match wins, so literal templates stand before those with braces.
type routes []parsedRoute

type parsedRoute struct {
	Route
	segments []string
}

func parse(list []Route) routes {
	out := make(routes, len(list))
	for i, r := range list {
		out[i] = parsedRoute{Route: r, segments: split(r.Template)}
	}
	return out
}

// match finds the route of a request by the path as it was sent. When only the method does not fit it returns the
// methods that would.
func (rs routes) match(method, escapedPath string) (route *Route, vars map[string]string, allowed []string) {
	segments := split(escapedPath)
	for i := range rs {
		vars, ok := rs[i].fit(segments)
		if !ok {
			continue
		}
		if rs[i].Method == method {
			return &rs[i].Route, vars, nil
		}
		allowed = append(allowed, rs[i].Method)
	}
	return nil, nil, allowed
}

// fit compares segment by segment and decodes each wildcard on its own, so an encoded slash stays inside its segment.
func (r parsedRoute) fit(segments []string) (map[string]string, bool) {
	if len(segments) != len(r.segments) {
		return nil, false
	}
	vars := map[string]string{}
	for i, want := range r.segments {
		name, wild := strings.CutPrefix(want, "{")
		if !wild {
			if segments[i] != want {
				return nil, false
			}
			continue
		}
		value, err := url.PathUnescape(segments[i])
		if err != nil || value == "" {
			return nil, false
		}
		vars[strings.TrimSuffix(name, "}")] = value
	}
	return vars, true
}

// split cuts a path into segments; one trailing slash does not count.
func split(path string) []string {
	return strings.Split(strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/"), "/")
}
