package genesystest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"lockstep/connectors/simulator"
)

// patchChange is ContactsPatchChange of the specification.
type patchChange struct {
	Field  string `json:"field"`
	Value  any    `json:"value"`
	Action string `json:"action"`
}

// patchContact serves PATCH /contacts/{id}: all changes together or none.
func (s *Simulator) patchContact(rq *request) (simulator.Answer, *apiError) {
	var in struct {
		Changes []patchChange `json:"changes"`
	}
	if err := rq.decode(&in); err != nil {
		return simulator.Answer{}, err
	}
	if len(in.Changes) == 0 {
		return simulator.Answer{}, badRequest("The request holds no changes.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.contact(rq.Vars["id"])
	if err != nil {
		return simulator.Answer{}, err
	}
	fields, err := s.patched(c.doc, in.Changes)
	if err != nil {
		return simulator.Answer{}, err
	}
	if fields, err = s.accept(fields); err != nil {
		return simulator.Answer{}, err
	}
	if err := s.writer(rq).change(c, fields, ""); err != nil {
		return simulator.Answer{}, err
	}
	return ok(s.show(c, expansion{}))
}

// patched applies the changes to a copy and returns the top-level fields that they name, as a request would send them.
func (s *Simulator) patched(doc map[string]any, changes []patchChange) (map[string]any, *apiError) {
	next := clone(doc)
	var paths []string
	for _, change := range changes {
		path, err := s.path(change.Field)
		if err != nil {
			return nil, err
		}
		for _, other := range paths {
			if strings.HasPrefix(path+".", other+".") || strings.HasPrefix(other+".", path+".") {
				return nil, conflict(change.Field, "A field and its parent, or a field twice, cannot be patched together.")
			}
		}
		paths = append(paths, path)
		if err := apply(next, path, change); err != nil {
			return nil, err
		}
	}
	out := map[string]any{}
	for _, path := range paths {
		name, _, _ := strings.Cut(path, ".")
		out[name] = next[name]
	}
	if _, custom := out["customFields"]; custom && next["schema"] != nil {
		out["schema"] = next["schema"]
	}
	return out, nil
}

// path reads the field of a change or a rule: a dotted path below `$.`.
func (s *Simulator) path(field string) (string, *apiError) {
	path, rooted := strings.CutPrefix(field, "$.")
	if s.switches.StrictPaths && !rooted {
		return "", invalidValue("field", "The root of the field must be \"$.\".")
	}
	name, _, _ := strings.Cut(path, ".")
	kind, known := contactFields[name]
	if !known || kind == fieldComputed {
		return "", invalidValue("field", "The field "+field+" cannot be changed.")
	}
	return path, nil
}

// apply makes one change of a document.
func apply(doc map[string]any, path string, change patchChange) *apiError {
	parent, name := doc, path
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		parent, name = child(doc, strings.Split(path[:i], ".")), path[i+1:]
	}
	have := parent[name]
	list, _ := have.([]any)
	switch change.Action {
	case "Update":
		parent[name] = change.Value
	case "UpdateIfEmpty":
		if blank(have) {
			parent[name] = change.Value
		}
	case "UpdateIfExists":
		if !blank(have) {
			parent[name] = change.Value
		}
	case "Remove":
		parent[name] = nil
	case "AppendToCollection", "RemoveFromCollection":
		if have != nil && list == nil {
			return invalidValue("field", "The field "+change.Field+" is no collection.")
		}
		items, ok := change.Value.([]any)
		if !ok {
			items = []any{change.Value}
		}
		parent[name] = combine(slices.Clone(list), items, change.Action == "AppendToCollection")
	default:
		return invalidValue("action", fmt.Sprintf("The action %q is not known.", change.Action))
	}
	return nil
}

// combine adds items that a list lacks, or takes items out of it.
func combine(list, items []any, add bool) []any {
	for _, item := range items {
		i := slices.IndexFunc(list, func(have any) bool { return sameItem(have, item) })
		switch {
		case add && i < 0:
			list = append(list, item)
		case !add && i >= 0:
			list = slices.Delete(list, i, i+1)
		}
	}
	return list
}

// sameItem compares two members of a collection; an external id is the same whatever else its source shows.
func sameItem(a, b any) bool {
	am, aok := a.(map[string]any)
	bm, bok := b.(map[string]any)
	if !aok || !bok {
		return reflect.DeepEqual(a, b)
	}
	as, aok := am["externalSource"].(map[string]any)
	bs, bok := bm["externalSource"].(map[string]any)
	if !aok || !bok {
		return reflect.DeepEqual(a, b)
	}
	return as["id"] == bs["id"] && am["value"] == bm["value"]
}

// child walks into nested objects and makes those that are missing.
func child(doc map[string]any, names []string) map[string]any {
	for _, name := range names {
		next, ok := doc[name].(map[string]any)
		if !ok {
			next = map[string]any{}
			doc[name] = next
		}
		doc = next
	}
	return doc
}

func blank(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}
