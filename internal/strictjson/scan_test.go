package strictjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"lockstep/schema"
)

func TestA10Depth(t *testing.T) {
	nested := func(open, middle, closing string, depth int) string {
		return strings.Repeat(open, depth) + middle + strings.Repeat(closing, depth)
	}
	shapes := map[string]func(depth int) string{
		"arrays":  func(depth int) string { return nested("[", "", "]", depth) },
		"objects": func(depth int) string { return nested(`{"a":`, "1", "}", depth) },
		"mixed":   func(depth int) string { return nested(`[{"a":`, "1", "}]", depth/2) + strings.Repeat(" ", depth%2) },
		"spaced":  func(depth int) string { return nested("[ \n", "0", " ]", depth) },
		"cut":     func(depth int) string { return strings.Repeat("[", depth) },
		"hidden":  func(depth int) string { return `{"a":[],"b":{},"c":` + nested("[", "", "]", max(depth-1, 1)) + "}" },
	}
	for _, shape := range []string{"arrays", "cut"} {
		wantRule(t, shapes[shape](10_000_000), tooDeep)
	}
	cases := 0
	for shape, body := range shapes {
		for _, depth := range []int{1, 2, 31, 32, 33, 34, 64, 100, 1_000, 10_000, 100_000} {
			cases++
			allowed := depth <= 32 || shape == "mixed" && depth/2*2 <= 32
			text := body(depth)
			switch err := Scan([]byte(text), Limits{}); {
			case shape == "cut" && allowed:
				wantRule(t, text, unfinished)
			case allowed && err != nil:
				t.Errorf("%s of depth %d refused: %v", shape, depth, err)
			case !allowed:
				wantRule(t, text, tooDeep)
			}
		}
	}
	if err := Scan([]byte(nested("[", "", "]", 64)), Limits{Depth: 64}); err != nil {
		t.Errorf("depth 64 of 64: %v", err)
	}
	if Scan([]byte(nested("[", "", "]", 3)), Limits{Depth: 2}) == nil {
		t.Error("depth 3 of 2 accepted")
	}
	for _, open := range []string{"[", `{"a":`} {
		deep := strings.Repeat(open, 1_000_000)
		if _, err := Decode([]byte(deep + "1" + strings.Repeat(map[string]string{"[": "]", `{"a":`: "}"}[open], 1_000_000))); err == nil {
			t.Error("Decode goes as deep as it is told to without a scan")
		}
	}
	t.Logf("A10: %d depths", cases)
}

func TestItemsAreCountedOverTheWholeBody(t *testing.T) {
	for _, c := range []struct {
		body  string
		items int
	}{
		{`[]`, 0}, {`{}`, 0}, {`1`, 0}, {`[1]`, 1}, {`[1,2]`, 2}, {`{"a":1}`, 1}, {`{"a":[1,2],"b":{"c":3}}`, 5}, {`[[[[]]]]`, 3},
	} {
		if err := Scan([]byte(c.body), Limits{Items: max(c.items, 1)}); err != nil {
			t.Errorf("%s with %d allowed: %v", c.body, c.items, err)
		}
		if c.items > 1 && Scan([]byte(c.body), Limits{Items: c.items - 1}) == nil {
			t.Errorf("%s accepted with %d allowed", c.body, c.items-1)
		}
	}
}

// A number is made of what it is worth, so that the test knows without parsing whether it survives.
func TestA11Numbers(t *testing.T) {
	rounds := 1_000_000
	if testing.Short() {
		rounds = 100_000
	}
	random := rand.New(rand.NewPCG(11, 2026))
	kept, precise, large := 0, 0, 0
	for round := range rounds {
		literal, significant, magnitude := number(random)
		body := []byte(`{"n":` + literal + `}`)
		err := Scan(body, Limits{})
		switch {
		case significant > 38:
			precise++
			if err == nil {
				t.Fatalf("%s has %d significant digits and was accepted", literal, significant)
			}
		case magnitude > 308 || magnitude < -308 || len(literal) > 400:
			large++
			if err == nil {
				t.Fatalf("%s of magnitude %d was accepted", literal, magnitude)
			}
		default:
			kept++
			if err != nil {
				t.Fatalf("%s refused: %v", literal, err)
			}
			tree, err := Decode(body)
			if got := tree.(map[string]any)["n"]; err != nil || got != json.Number(literal) {
				t.Fatalf("%s came back as %v", literal, got)
			}
			if round%16 != 0 {
				continue
			}
			raw, found := Find(body, "/n")
			if text, ok := Text(raw); !found || !ok || text != literal {
				t.Fatalf("%s was found as %q", literal, text)
			}
		}
	}
	t.Logf("A11: %d numbers kept as written, %d too precise, %d too large", kept, precise, large)
	if kept < rounds/2 || precise < rounds/100 || large < rounds/100 {
		t.Errorf("the generator leans to one side")
	}
}

// number returns a JSON number, its significant digits and the decimal exponent of its first one (of zero: the written
// exponent).
func number(random *rand.Rand) (literal string, significant, magnitude int) {
	digits := make([]byte, 1+random.IntN(25))
	if random.IntN(5) == 0 {
		digits = make([]byte, 30+random.IntN(20))
	}
	for i := range digits {
		digits[i] = byte('0' + random.IntN(10))
	}
	if random.IntN(20) == 0 {
		digits = []byte("0")
	}
	digits[0] = max(digits[0], '1'-byte(random.IntN(2)))
	before := 1 + random.IntN(len(digits))
	if digits[0] == '0' {
		before = 1
	}
	literal = string(digits[:before])
	if before < len(digits) {
		literal += "." + string(digits[before:])
	}
	exponent := 0
	if random.IntN(2) == 0 {
		exponent = random.IntN(60) - 30
		if random.IntN(5) == 0 {
			exponent = random.IntN(1000) - 500
		}
		sign := ""
		if exponent >= 0 {
			sign = []string{"", "+"}[random.IntN(2)]
		}
		literal += string("eE"[random.IntN(2)]) + sign + fmt.Sprint(exponent)
	}
	worth := strings.TrimLeft(string(digits), "0")
	magnitude = exponent
	if worth != "" {
		magnitude += before - 1 - (len(digits) - len(worth))
	}
	if random.IntN(3) == 0 {
		literal = "-" + literal
	}
	return literal, len(strings.TrimRight(worth, "0")), magnitude
}

func TestA12Unicode(t *testing.T) {
	counts := map[string]int{}
	check := func(group, inside string, broken rule) {
		t.Helper()
		for _, form := range []string{`"%s"`, `["%s"]`, `{"%s":1}`, `{"a":"x%sy"}`, `[[],{"é%s":{}}]`} {
			body := strings.Replace(form, "%s", inside, 1)
			counts[group]++
			if broken != fine {
				wantRule(t, body, broken)
				continue
			}
			if err := Scan([]byte(body), Limits{}); err != nil {
				t.Errorf("%s: %q refused: %v", group, body, err)
			}
		}
	}
	for b := 0x80; b <= 0xff; b++ {
		check("lone byte", string([]byte{byte(b)}), badUTF8)
		check("byte before ASCII", string([]byte{byte(b), 'a'}), badUTF8)
	}
	for r := rune(0x80); r <= unicode.MaxRune; r += 1 + r/16 {
		if !utf8.ValidRune(r) {
			continue
		}
		whole := string(r)
		check("whole character", whole, fine)
		for cut := 1; cut < len(whole); cut++ {
			check("cut character", whole[:cut], badUTF8)
		}
		if r < 0x800 {
			check("overlong", string([]byte{0xe0, 0x80 | byte(r>>6), 0x80 | byte(r)&0x3f}), badUTF8)
		} else if r < 0x10000 {
			check("overlong", string([]byte{0xf0, 0x80 | byte(r>>12), 0x80 | byte(r>>6)&0x3f, 0x80 | byte(r)&0x3f}), badUTF8)
		}
	}
	for c := range 0x80 {
		check("overlong ASCII", string([]byte{0xc0 | byte(c>>6), 0x80 | byte(c)&0x3f}), badUTF8)
	}
	for u := 0xd800; u <= 0xdfff; u++ {
		check("raw surrogate", string([]byte{0xed, byte(0x80 | u>>6&0x3f), byte(0x80 | u&0x3f)}), badUTF8)
		check("lone surrogate", fmt.Sprintf(`\u%04x`, u), surrogate)
		check("surrogate before letter", fmt.Sprintf(`\u%04Xa`, u), surrogate)
		if u < 0xdc00 {
			check("pair", fmt.Sprintf(`\u%04x\u%04X`, u, 0xdc00|u&0x3ff), fine)
			check("two first halves", fmt.Sprintf(`\u%04x\ud800`, u), surrogate)
		}
	}
	total := 0
	for group, n := range counts {
		t.Logf("A12: %-24s %6d", group, n)
		total += n
	}
	t.Logf("A12: %d in all", total)
}

// The standard library is the judge of which bytes are UTF-8.
func TestA12RandomBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		inside := rapid.SliceOfN(rapid.Byte().Filter(func(b byte) bool { return b >= ' ' && b != '"' && b != '\\' }), 0, 12).Draw(t, "inside")
		err := Scan([]byte(`["`+string(inside)+`"]`), Limits{})
		if (err == nil) != utf8.Valid(inside) {
			t.Fatalf("%x: %v", inside, err)
		}
	})
}

func TestA13NULInEveryString(t *testing.T) {
	const body = `{"id":"e1","change":{"Phone":{"old":"+13175550100","new":""},"tags":["a","b\"c",{"deep":"x"}]},"n":1}`
	places := 0
	for begin := 0; begin < len(body); begin++ {
		if body[begin] != '"' {
			continue
		}
		r := reader{body: []byte(body), at: begin}
		if _, ok := r.text(); !ok {
			t.Fatalf("no string at %d", begin)
		}
		for at := begin + 1; at < r.at; at++ {
			if body[at-1] == '\\' {
				continue
			}
			for _, bad := range []string{"\x00", `\u0000`} {
				places++
				mutant := body[:at] + bad + body[at:]
				refusal := wantRule(t, mutant, nul)
				if want := pointerAt(t, body, begin); refusal.Field != want {
					t.Errorf("%q: pointer %q, want %q", mutant, refusal.Field, want)
				}
			}
		}
		begin = r.at
	}
	t.Logf("A13: %d places", places)
	if places < 100 {
		t.Error("too few places")
	}
}

// pointerAt returns the pointer of the string value that begins at the byte; of a name, that of its object.
func pointerAt(t *testing.T, body string, at int) string {
	t.Helper()
	tree, err := Decode([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	deepest := ""
	var walk func(pointer string, node any)
	walk = func(pointer string, node any) {
		raw, ok := Find([]byte(body), pointer)
		begin := strings.Index(body, string(raw))
		for ; ok && begin >= 0 && !(begin <= at && at < begin+len(raw)); begin = next(body, string(raw), begin) {
		}
		if !ok || begin < 0 {
			return
		}
		if len(pointer) > len(deepest) {
			deepest = pointer
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
	return deepest
}

func next(body, part string, after int) int {
	at := strings.Index(body[after+1:], part)
	if at < 0 {
		return -1
	}
	return after + 1 + at
}

func TestA14Names(t *testing.T) {
	fields := []string{
		"event_type", "source_system", "timestamp", "record_id", "object_type", "change_set", "old_value", "new_value", "signature", "Phone",
		"Email", "Customer_Status__c", "Credit_Limit__c", "skills", "ask", "OperationId", "PrimaryEntityId", "@odata.etag", "größe", "ΜΕΓΕΘΟΣ",
	}
	variants := map[string]func(string) string{
		"same":          func(s string) string { return s },
		"upper":         strings.ToUpper,
		"lower":         strings.ToLower,
		"first letter":  func(s string) string { return strings.ToUpper(s[:first(s)]) + s[first(s):] },
		"escaped":       func(s string) string { return escaped([]rune(s)[0]) + s[first(s):] },
		"kelvin":        func(s string) string { return strings.NewReplacer("k", "\u212a", "K", "\u212a").Replace(s) },
		"long s":        func(s string) string { return strings.NewReplacer("s", "ſ", "S", "ſ").Replace(s) },
		"escaped upper": func(s string) string { return escaped(unicode.ToUpper([]rune(s)[0])) + s[first(s):] },
	}
	cases := map[string]int{}
	for i, one := range fields {
		for j, other := range fields {
			between := strings.Repeat(`"x1":{"a":1,"b":[{"a":2}]},`, j%2) + fillers((i*j)%40)
			if i != j {
				cases["different"]++
				body := fmt.Sprintf(`[{"%s":1,%s"%s":2}]`, one, between, other)
				if err := Scan([]byte(body), Limits{}); err != nil {
					t.Errorf("%s refused: %v", body, err)
				}
			}
			for group, vary := range variants {
				cases[group]++
				again := vary(one)
				if !strings.EqualFold(one, unquoted([]byte(again))) {
					t.Fatalf("%s is no variant of %s", again, one)
				}
				body := fmt.Sprintf(`[{"%s":1,%s"%s":2}]`, one, between, again)
				if i != j {
					body = fmt.Sprintf(`[{"%s":1,%s"%s":2,"%s":3}]`, one, between, other, again)
				}
				if refusal := wantRule(t, body, sameName); !strings.HasPrefix(refusal.Field, "/0/") {
					t.Errorf("%s: pointer %q", body, refusal.Field)
				}
			}
		}
	}
	for group, n := range cases {
		t.Logf("A14: %-14s %5d pairs", group, n)
	}
}

// first returns the length of the first character.
func first(s string) int {
	_, size := utf8.DecodeRuneInString(s)
	return size
}

func escaped(r rune) string { return fmt.Sprintf(`\u%04x`, r) }

// fillers returns n members of other names.
func fillers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"filler%d":%d,`, i, i)
	}
	return b.String()
}

// Names are equal when strings.EqualFold says so, however many there are.
func TestA14AnyNames(t *testing.T) {
	letters := rapid.SampledFrom([]rune("aAkK\u212asSſ_-1éÉıiİIσςΣßﬀ"))
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.StringOfN(letters, 1, 3, -1), 1, 30).Draw(t, "names")
		twice := false
		var body strings.Builder
		for i, name := range names {
			for _, earlier := range names[:i] {
				twice = twice || strings.EqualFold(name, earlier)
			}
			fmt.Fprintf(&body, `,"%s":{"%s":1}`, name, name)
		}
		if err := Scan([]byte("{"+body.String()[1:]+"}"), Limits{}); (err != nil) != twice {
			t.Fatalf("%q: %v", names, err)
		}
	})
}

func TestPointerOfARefusal(t *testing.T) {
	for body, want := range map[string]string{
		`{"a":1,"a":2}`:                           "/a",
		`{"a":{"b":[0,{"c":"` + "\x00" + `"}]}}`:  "/a/b/1/c",
		`[0,1,x]`:                                 "/2",
		`{"a":1,x}`:                               "",
		`{"a":1}}`:                                "",
		`{"@odata.etag":NaN}`:                     "/@odata.etag",
		`{"jane@example.com":NaN}`:                "/?",
		`{"4111111111111111":NaN}`:                "/?",
		`{"Jane Roe":{"x":[NaN]}}`:                "/?/x/0",
		`{"":NaN}`:                                "/?",
		`{"a/b":NaN}`:                             "/?",
		`{"` + strings.Repeat("a", 65) + `":NaN}`: "/?",
	} {
		var refusal *schema.Refusal
		if err := Scan([]byte(body), Limits{}); !errors.As(err, &refusal) || refusal.Field != want {
			t.Errorf("%s: %+v, want pointer %q", body, refusal, want)
		}
	}
}

func TestB02RefusalsQuoteNothing(t *testing.T) {
	canaries := []string{"4111111111111111", "123-45-6789", "jane.roe@example.com", "+13175550100", "Jane Roe", "sk_live_51Hc", "asthma since 1980"}
	spoilers := map[rule]string{
		badUTF8: "\xff", nul: `\u0000`, control: "\x01", badEscape: `\x`, surrogate: `\ud800`,
	}
	cases := 0
	look := func(body string) {
		cases++
		err := Scan([]byte(body), Limits{Items: 3})
		if err == nil {
			t.Errorf("%q accepted", body)
			return
		}
		all := fmt.Sprintf("%v %+v %#v", err, err, err)
		for _, canary := range canaries {
			if strings.Contains(all, canary) {
				t.Errorf("%q: refusal quotes %q: %s", body, canary, all)
			}
		}
	}
	for _, canary := range canaries {
		for _, spoiler := range spoilers {
			look(`{"a":"` + canary + spoiler + `"}`)
			look(`{"` + canary + spoiler + `":1}`)
			if !word(canary) {
				look(`{"` + canary + `":"` + spoiler + `"}`)
			}
		}
		if !word(canary) {
			look(`{"` + canary + `":1,"` + canary + `":2}`)
			look(`{"` + canary + `":{"` + canary + `":` + strings.Repeat("[", 40))
		}
		look(`{"a":"` + canary + `"} "` + canary + `"`)
		look(`{"a":` + canary + canary + canary + canary + `}`)
		look(canary + "x")
		look(`["` + canary + `","` + canary + `",3,4]`)
		look(`{"a":"` + canary)
		if tree, err := Decode([]byte(`{"a":"` + canary)); err == nil || strings.Contains(fmt.Sprintf("%+v", err), canary) {
			t.Errorf("Decode of a cut body: %v, %v", tree, err)
		}
	}
	t.Logf("B02: %d refusals looked through", cases)
}

// word says that a name is shown in a pointer, because it could be a field's.
func word(name string) bool { return segment([]byte(name)) != Unnamed }

func FuzzScanIsStricterThanStandard(f *testing.F) {
	for _, bodies := range accepted {
		for _, body := range bodies {
			f.Add([]byte(body))
		}
	}
	for _, bodies := range refused {
		for _, body := range bodies {
			f.Add([]byte(body[:min(len(body), 100)]))
		}
	}
	f.Add(webhook)
	f.Fuzz(func(t *testing.T, body []byte) {
		_, _ = Decode(body)
		for _, pointer := range []string{"", "/a", "/0", "/a/0/b", "/~1"} {
			raw, _ := Find(body, pointer)
			_, _ = Text(raw)
		}
		err := Scan(body, Limits{})
		if err == nil {
			if !json.Valid(body) {
				t.Fatal("encoding/json refuses what Scan accepts")
			}
			compareWithStandard(t, body)
			return
		}
		var refusal *schema.Refusal
		if !errors.As(err, &refusal) || refusal.Reason != schema.ReasonMalformedJSON || refusal.Rule == "" || refusal.Remedy == "" {
			t.Fatalf("refused with %#v", err)
		}
	})
}
