package integrationmap

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"

	"lockstep/schema"
)

// JSONSchema returns the JSON Schema of maps, for editors. It is made from the structs and their validator tags, so that
// the two cannot disagree; schema/jsonschema/integration-map.json is its published copy.
func JSONSchema() []byte {
	doc := shapeOf(reflect.TypeFor[schema.Map](), "")
	doc["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	doc["title"] = "Lockstep integration map"
	b, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		panic(err) // made of maps and strings only
	}
	return append(b, '\n')
}

type object = map[string]any

var textual = reflect.TypeFor[encoding.TextUnmarshaler]()

// shapeOf describes one Go type. tag is the validator's word on it.
func shapeOf(t reflect.Type, tag string) object {
	switch {
	case t == reflect.TypeFor[schema.Mapping]():
		return object{"anyOf": []any{object{"type": "string", "maxLength": 128}, structShape(t)}}
	case reflect.PointerTo(t).Implements(textual):
		return object{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return shapeOf(t.Elem(), tag)
	case reflect.Struct:
		return structShape(t)
	case reflect.Map:
		return bounded(object{"type": "object", "additionalProperties": shapeOf(t.Elem(), "")}, tag)
	case reflect.Slice:
		return bounded(object{"type": "array", "items": shapeOf(t.Elem(), "")}, tag)
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int:
		return bounded(object{"type": "integer"}, tag)
	default:
		return bounded(object{"type": "string"}, tag)
	}
}

func structShape(t reflect.Type) object {
	properties := object{}
	required := []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, tag := f.Tag.Get("yaml"), f.Tag.Get("validate")
		if name == "" {
			continue
		}
		properties[name] = shapeOf(f.Type, tag)
		if strings.HasPrefix(tag, "required") || strings.HasPrefix(tag, "eq=") || strings.HasPrefix(tag, "oneof=") {
			required = append(required, name)
		}
	}
	shape := object{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		shape["required"] = required
	}
	return shape
}

// bounds are the keywords for the validator's rules, for each type.
var bounds = map[string]map[string]string{
	"string":  {"max": "maxLength"},
	"integer": {"gte": "minimum", "lte": "maximum", "eq": "const"},
	"array":   {"min": "minItems", "max": "maxItems"},
	"object":  {"min": "minProperties"},
}

// bounded adds to a shape what the validator's rules say about a value itself; those behind dive are about what is in it.
func bounded(shape object, tag string) object {
	tag, _, _ = strings.Cut(tag, "dive")
	for rule := range strings.SplitSeq(tag, ",") {
		name, argument, _ := strings.Cut(rule, "=")
		kind, _ := shape["type"].(string)
		if name == "oneof" {
			shape["enum"] = choices(kind, strings.Fields(argument))
		}
		if keyword, known := bounds[kind][name]; known {
			shape[keyword] = json.Number(argument)
		}
	}
	return shape
}

func choices(kind string, words []string) []any {
	var all []any
	for _, word := range words {
		if kind == "integer" {
			all = append(all, json.Number(word))
			continue
		}
		all = append(all, word)
	}
	return all
}
