package strictjson

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// The examples of RFC 6901, section 5.
func TestPointersOfTheRFC(t *testing.T) {
	body := []byte(`{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}`)
	tree, err := Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	for pointer, want := range map[string]string{
		"": string(body), "/foo": `["bar","baz"]`, "/foo/0": `"bar"`, "/foo/1": `"baz"`, "/": "0", "/a~1b": "1", "/c%d": "2", "/e^f": "3", "/g|h": "4",
		`/i\j`: "5", `/k"l`: "6", "/ ": "7", "/m~0n": "8",
	} {
		raw, ok := Find(body, pointer)
		if !ok || string(raw) != want {
			t.Errorf("Find(%q) = %s, %v, want %s", pointer, raw, ok, want)
		}
		value, ok := Lookup(tree, pointer)
		if again, err := Decode(raw); !ok || err != nil || !reflect.DeepEqual(value, again) {
			t.Errorf("Lookup(%q) = %v, %v, want %s", pointer, value, ok, want)
		}
	}
	for _, pointer := range []string{"foo", "/foo/2", "/foo/-", "/foo/00", "/foo/01", "/foo/+1", "/foo/-1", "/foo/x", "/foo/", "/foo/0/a", "//a", "/a", "/m~n", "/m~2n", "/~", "/foo~0"} {
		if raw, ok := Find(body, pointer); ok {
			t.Errorf("Find(%q) = %s", pointer, raw)
		}
		if value, ok := Lookup(tree, pointer); ok {
			t.Errorf("Lookup(%q) = %v", pointer, value)
		}
	}
}

func TestTextOfAScalar(t *testing.T) {
	for raw, want := range map[string]string{
		`"a"`: "a", `""`: "", `"a\"b\\\/\b\f\n\r\t"`: "a\"b\\/\b\f\n\r\t", `"\u00e9\ud83d\ude00x"`: "é😀x", `12`: "12", `-1.50e3`: "-1.50e3",
	} {
		if text, ok := Text([]byte(raw)); !ok || text != want {
			t.Errorf("Text(%s) = %q, %v", raw, text, ok)
		}
	}
	for _, raw := range []string{``, `true`, `null`, `{}`, `[]`, `"`, `"a`, `"a" `, `1 2`} {
		if text, ok := Text([]byte(raw)); ok {
			t.Errorf("Text(%s) = %q", raw, text)
		}
	}
}

// Whatever is in a tree is found under its pointer, in the tree and in the body.
func TestEveryValueIsFound(t *testing.T) {
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		scalar := rapid.OneOf(rapid.String().AsAny(), rapid.Bool().AsAny(), rapid.Int().AsAny(), rapid.Just[any](nil))
		if depth == 0 {
			return scalar
		}
		return rapid.OneOf(scalar, rapid.SliceOfN(value(depth-1), 0, 3).AsAny(), rapid.MapOfN(rapid.String(), value(depth-1), 0, 3).AsAny())
	}
	rapid.Check(t, func(t *rapid.T) {
		body, err := json.Marshal(value(3).Draw(t, "value"))
		if err != nil {
			t.Fatal(err)
		}
		tree, err := Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		var walk func(pointer string, node any)
		walk = func(pointer string, node any) {
			found, ok := Lookup(tree, pointer)
			if !ok || !reflect.DeepEqual(found, node) {
				t.Fatalf("%s: Lookup(%q) = %v, %v", body, pointer, found, ok)
			}
			raw, ok := Find(body, pointer)
			if again, err := Decode(raw); !ok || err != nil || !reflect.DeepEqual(again, node) {
				t.Fatalf("%s: Find(%q) = %s, %v", body, pointer, raw, ok)
			}
			switch node := node.(type) {
			case map[string]any:
				for name, member := range node {
					walk(pointer+Pointer(name), member)
				}
			case []any:
				for i, element := range node {
					walk(pointer+Pointer(fmt.Sprint(i)), element)
				}
			}
		}
		walk("", tree)
	})
}
