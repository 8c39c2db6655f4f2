package schema

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/go-playground/validator/v10"
)

// Fault is a rule of a shape that a decoded value breaks. It quotes nothing of the value.
type Fault struct {
	// Path names the member as Go does, with its place in a list: Records[3].Ref.
	Path string
	// Rule is the rule as the validate tag spells it, such as `max`; Bound is what stands behind it.
	Rule, Bound string
}

// Faults are all that is wrong with a value.
type Faults []Fault

// Error lists them.
func (f Faults) Error() string {
	words := make([]string, len(f))
	for i, fault := range f {
		words[i] = fmt.Sprintf("%s breaks the rule %s", fault.Path, strings.TrimSuffix(fault.Rule+"="+fault.Bound, "="))
	}
	return "schema: " + strings.Join(words, "; ")
}

var rules = validator.New(validator.WithRequiredStructEnabled())

// Validate holds a struct that was decoded from outside, a pointer to one, or a slice of them against its validate tags. Its
// error is Faults. What is no struct has no rules. Safe to repeat and for concurrent use.
func Validate(decoded any) error {
	of := reflect.ValueOf(decoded)
	for of.Kind() == reflect.Pointer && of.Elem().Kind() == reflect.Pointer {
		of = of.Elem()
	}
	var err error
	switch list := reflect.Indirect(of); list.Kind() {
	case reflect.Struct:
		err = rules.Struct(of.Interface())
	case reflect.Slice:
		for i := range list.Len() {
			var faults Faults
			if errors.As(Validate(list.Index(i).Interface()), &faults) {
				for n := range faults {
					faults[n].Path = fmt.Sprintf("[%d].%s", i, faults[n].Path)
				}
				return faults
			}
		}
	default:
	}
	var broken validator.ValidationErrors
	if !errors.As(err, &broken) {
		return err
	}
	faults := make(Faults, len(broken))
	for i, b := range broken {
		path := strings.TrimPrefix(b.StructNamespace(), reflect.Indirect(of).Type().Name()+".")
		faults[i] = Fault{Path: path, Rule: b.Tag(), Bound: b.Param()}
	}
	return faults
}
