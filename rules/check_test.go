package rules

import (
	"testing"

	"lockstep/schema"
)

// An event is urgent when a field that it names is pushed by the map, in the vendor's name of that system.
func TestAnEventIsAsUrgentAsItsFields(t *testing.T) {
	r := customer(t)
	for name, c := range map[string]struct {
		system string
		fields schema.Fields
		want   bool
	}{
		"a pushed field": {"crm", schema.Fields{"Phone": nil}, true}, "a pulled field": {"crm", schema.Fields{"Name": "Ada"}, false}, "both": {"desk", schema.Fields{"name": "Ada", "phone": "1"}, true},
		"another system's name": {"desk", schema.Fields{"Phone": "1"}, false}, "an ungoverned field": {"crm", schema.Fields{"Fax": "1"}, false}, "no field": {"crm", nil, false},
	} {
		if got := r.Push(c.system, schema.Change{Fields: c.fields}); got != c.want {
			t.Errorf("%s: urgent %t", name, got)
		}
	}
}
