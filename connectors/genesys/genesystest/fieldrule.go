package genesystest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The actions of field rules.
const (
	alwaysUseProvided = "AlwaysUseProvided"
	preferExisting    = "PreferExisting"
	preferProvided    = "PreferProvided"

	arrayReplace = "Replace"
	arrayExtend  = "Extend"
	arrayFill    = "Fill"
)

// combined merges what a request provides into a document by the field rules, and returns the fields that it wrote. A
// field that is not sent counts as null (connectors.md 1.5).
func (s *Simulator) combined(doc, provided map[string]any, rules *fieldRules) (map[string]any, []string, *apiError) {
	r, err := s.readRules(rules)
	if err != nil {
		return nil, nil, err
	}
	next := clone(doc)
	written := []string{}
	for _, name := range slices.Sorted(maps.Keys(contactFields)) {
		kind := contactFields[name]
		value, sent := provided[name]
		if kind == fieldComputed || !sent && r.action(name) != alwaysUseProvided {
			continue
		}
		if !sent && next[name] == nil {
			continue
		}
		result, err := r.combine(name, kind, next[name], value)
		if err != nil {
			return nil, nil, err
		}
		if sent || result == nil {
			written = append(written, name)
		}
		if result == nil {
			delete(next, name)
		} else {
			next[name] = result
		}
	}
	return next, written, nil
}

// ruleSet is the rules of a request, checked.
type ruleSet struct {
	byDefault, arrays string
	fields            map[string]fieldRule
}

func (s *Simulator) readRules(in *fieldRules) (ruleSet, *apiError) {
	out := ruleSet{byDefault: preferProvided, arrays: arrayFill, fields: map[string]fieldRule{}}
	if in == nil {
		return out, nil
	}
	var ok bool
	if in.DefaultAction != "" {
		if out.byDefault, ok = known(in.DefaultAction, alwaysUseProvided, preferExisting, preferProvided); !ok {
			return out, invalidValue("fieldRules.defaultAction", "The default action is not known.")
		}
	}
	if in.DefaultArrayAction != "" {
		if out.arrays, ok = known(in.DefaultArrayAction, arrayReplace, arrayExtend, arrayFill); !ok {
			return out, invalidValue("fieldRules.defaultArrayAction", "The default array action is not known.")
		}
	}
	for _, rule := range in.Rules {
		path, err := s.path(rule.Field)
		if err != nil {
			return out, err
		}
		if rule.Action != "" {
			if rule.Action, ok = known(rule.Action, alwaysUseProvided, preferExisting, preferProvided); !ok {
				return out, invalidValue("fieldRules.rules.action", "The action is not known.")
			}
		}
		if rule.ArrayAction != "" {
			if rule.ArrayAction, ok = known(rule.ArrayAction, arrayReplace, arrayExtend, arrayFill); !ok {
				return out, invalidValue("fieldRules.rules.arrayAction", "The array action is not known.")
			}
		}
		out.fields[path] = rule
	}
	return out, nil
}

// known spells a value as the specification does.
func known(text string, values ...string) (string, bool) {
	i := slices.IndexFunc(values, func(v string) bool { return strings.EqualFold(v, text) })
	if i < 0 {
		return "", false
	}
	return values[i], true
}

// action is the rule of a field, its parent's, or the default.
func (r ruleSet) action(path string) string {
	for at := path; at != ""; at = at[:max(strings.LastIndexByte(at, '.'), 0)] {
		if rule := r.fields[at]; rule.Action != "" {
			return rule.Action
		}
	}
	return r.byDefault
}

func (r ruleSet) arrayAction(path string) string {
	if rule := r.fields[path]; rule.ArrayAction != "" {
		return rule.ArrayAction
	}
	return r.arrays
}

// combine returns the value of a field after the rules; nil empties it.
func (r ruleSet) combine(path string, kind fieldKind, have, provided any) (any, *apiError) {
	switch kind {
	case fieldExternalIDs, fieldArray:
		return r.combineArray(path, have, provided)
	case fieldAddress, fieldCustom:
		return r.combineObject(path, have, provided), nil
	default:
		return r.choose(path, have, provided), nil
	}
}

func (r ruleSet) choose(path string, have, provided any) any {
	switch r.action(path) {
	case alwaysUseProvided:
		return provided
	case preferExisting:
		if !blank(have) {
			return have
		}
		return provided
	}
	if blank(provided) {
		return have
	}
	return provided
}

// combineObject applies the rules member by member: the members of an address and of customFields are fields too.
func (r ruleSet) combineObject(path string, have, provided any) any {
	old, _ := have.(map[string]any)
	sent, _ := provided.(map[string]any)
	out := map[string]any{}
	names := maps.Clone(old)
	if names == nil {
		names = map[string]any{}
	}
	maps.Copy(names, sent)
	for name := range names {
		if value := r.choose(path+"."+name, old[name], sent[name]); !blank(value) {
			out[name] = value
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func (r ruleSet) combineArray(path string, have, provided any) (any, *apiError) {
	old, _ := have.([]any)
	sent, _ := provided.([]any)
	if len(sent) == 0 {
		if r.action(path) == alwaysUseProvided && r.arrayAction(path) == arrayReplace {
			return nil, nil
		}
		return have, nil
	}
	switch r.arrayAction(path) {
	case arrayReplace:
		return sent, nil
	case arrayExtend:
		out := combine(slices.Clone(old), sent, true)
		if len(out) > maxExternalIDs {
			return nil, unprocessable(path, fmt.Sprintf("The field %s holds at most %d items.", path, maxExternalIDs))
		}
		return out, nil
	}
	out := combine(slices.Clone(old), sent, true)
	return out[:max(min(len(out), maxExternalIDs), len(old))], nil
}
