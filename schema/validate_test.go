package schema_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"lockstep/schema"
)

// What comes from outside is held against its tags, whatever it is wrapped in; no error quotes a value.
func TestValidate(t *testing.T) {
	const canary = "canary"
	sound := schema.Change{Object: "Contact", Ref: "003A", Kind: schema.EventChange}
	broken := sound
	broken.Kind, broken.Into = canary, strings.Repeat(canary, 50)
	wrong := []schema.Fault{{Path: "Kind", Rule: "oneof", Bound: "change full delete merge read"}, {Path: "Into", Rule: "max", Bound: "255"}}
	second := []schema.Fault{{Path: "[1].Kind", Rule: "oneof", Bound: wrong[0].Bound}, {Path: "[1].Into", Rule: "max", Bound: "255"}}
	pointer := &broken
	for name, c := range map[string]struct {
		decoded any
		want    []schema.Fault
	}{
		"a sound struct": {sound, nil}, "a pointer to one": {&sound, nil}, "a struct": {broken, wrong}, "a pointer to it": {&broken, wrong}, "a pointer to that": {&pointer, wrong},
		"a list": {[]schema.Change{sound, broken}, second}, "a pointer to a list": {&[]*schema.Change{&sound, &broken}, second}, "a list of sound ones": {[]schema.Change{sound, sound}, nil},
		"within a struct": {struct {
			Events []schema.Change `validate:"min=1,dive"`
		}{[]schema.Change{broken}}, []schema.Fault{{"Events[0].Kind", "oneof", wrong[0].Bound}, {"Events[0].Into", "max", "255"}}},
		"a text": {canary, nil}, "a map": {map[string]any{"kind": canary}, nil}, "nothing": {nil, nil}, "no struct": {(*schema.Change)(nil), nil},
	} {
		err := schema.Validate(c.decoded)
		var faults schema.Faults
		if errors.As(err, &faults); !slices.Equal(faults, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("%s: the error quotes the value: %v", name, err)
		}
	}
}
