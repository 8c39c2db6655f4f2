package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"lockstep/schema"
)

// accepted are bodies that must pass, by what they try.
var accepted = map[string][]string{
	"whitespace": {
		` {}`, `{} `, "\t{}", "\n{}", "\r\n{}\r\n", " \t\r\n[ \t\r\n] \t\r\n", "{\n\t\"a\" :\r\n 1 }", `[ 1 , 2 , 3 ]`,
		"[\n]", `{ "a" : [ ] }`, "  1  ", "\ntrue\n", "\t\"x\"\t", ` null `, "[1\n,2]", "{\"a\"\n:\n1\n,\n\"b\":2}",
	},
	"scalars": {
		`0`, `-0`, `1`, `-1`, `"x"`, `""`, `true`, `false`, `null`, `12345678901234567890`, `0.5`, `1e3`,
	},
	"arrays": {
		`[]`, `[0]`, `[[]]`, `[[],[]]`, `[[[[[]]]]]`, `[1,2]`, `[null,null]`, `[true,false]`, `["a","a","a"]`, `[{}]`, `[{},{}]`,
		`[{"a":1},{"a":1}]`, `[1,"a",null,true,{},[]]`, `[[1],[2],[3]]`, `[""]`, `[-0]`,
	},
	"objects": {
		`{}`, `{"":0}`, `{"a":1}`, `{"a":{}}`, `{"a":[]}`, `{"a":null}`, `{"a":true,"b":false}`, `{"a":{"a":{"a":1}}}`,
		`{"a":1,"b":{"a":1}}`, `{"a":{"b":1},"c":{"b":1}}`, `{" ":1,"  ":2}`, `{"a b":1,"a  b":2}`, `{"\"":1}`, `{"\\":1}`, `{"/":1}`,
		`{"a":"a"}`, `{"1":1}`, `{"a.b":1,"a":{"b":2}}`, `{"null":null,"true":true}`, `{"ab":1,"ba":2}`, `{"a_b":1,"ab":2,"a-b":3}`,
	},
	"numbers": {
		`[1]`, `[10]`, `[100]`, `[-10]`, `[0.0]`, `[-0.0]`, `[0.10]`, `[1.0]`, `[1.50]`, `[123.456]`, `[1e0]`, `[1E0]`, `[1e+0]`, `[1e-0]`,
		`[1e1]`, `[1E1]`, `[1e+1]`, `[1e-1]`, `[1E+1]`, `[1E-1]`, `[1.5e10]`, `[1.5E+10]`, `[0e0]`, `[0e+1]`, `[0E-1]`, `[-0e1]`, `[0.5e1]`,
		`[1e01]`, `[1e-01]`, `[1e0000000001]`, `[1e308]`, `[1e-308]`, `[-1e308]`, `[9.99e307]`, `[9007199254740993]`,
		`[99999999999999999999999999999999999999]`, `[-99999999999999999999999999999999999999]`,
		`[0.00000000000000000000000000000000000001]`, `[100000000000000000000000000000000000000000000000000]`,
		`[0.12345678901234567890123456789012345678]`, `[1234567890123456789.1234567890123456789]`, `[20.00]`, `[5000]`, `[0.1]`, `[1.7976931348623157e308]`,
	},
	"strings": {
		`["a"]`, `[" "]`, `["\""]`, `["\\"]`, `["\/"]`, `["/"]`, `["\b\f\n\r\t"]`, `["\u0020"]`, `["\u0001"]`, `["\u001f"]`, `["\u007f"]`,
		"[\"\x7f\"]", `["\u00e9"]`, `["\u00E9"]`, `["é"]`, `["日本"]`, `["😀"]`, `["\ud83d\ude00"]`, `["\uD83D\uDE00"]`, `["\uD83d\uDe00"]`,
		`["\udbff\udfff"]`, `["\ud800\udc00"]`, `["\u2028\u2029"]`, "[\"\u2028\u2029\"]", "[\"\ufeff\"]", `["\ufeff"]`, "[\"\ufffd\"]",
		"[\"\uffff\"]", `["\uffff"]`, "[\"\U0010ffff\"]", `["\u005C"]`, `["\u0022"]`, `["\\u0000"]`, `["\\\\"]`, `["a\\"]`, `["[1,2]"]`,
		`["{\"a\":1}"]`, `["//"]`, `["/* no comment */"]`, `["'"]`, `["null"]`, `["\u0000x\u0000"]`[:2] + `a"]`, "[\"\u0080\"]", "[\"\u07ff\"]",
		"[\"\u0800\"]", "[\"\ud7ff\"]", "[\"\ue000\"]", "[\"\U00010000\"]", `["\ud7ff"]`, `["\ue000"]`, "[\"a\u0301\"]",
	},
	"names": {
		`{"é":1,"e":2}`, `{"ß":1,"ss":2}`, `{"i":1,"ı":2}`, `{"I":1,"İ":2}`, `{"\u00e9":1}`, `{"\ud83d\ude00":1}`, `{"a\u0062":1,"a":2}`, `{"\\u0061":1,"a":2}`,
		`{"a":1,"á":2,"à":3}`, `{"record_id":1,"recordid":2,"record-id":3}`, `{"ﬀ":1,"ff":2}`, `{"a ":1,"a":2}`,
	},
}

// refused are bodies that must not pass, by the rule that they break.
var refused = map[rule][]string{
	empty:         {"", " ", "\n", "\t\r\n ", "    "},
	byteOrderMark: {"\ufeff", "\ufeff{}", "\ufeff[1]", "\ufeff \n{}"},
	trailing: {
		`{}{}`, `[][]`, `{}[]`, `1 2`, `"a" "b"`, `null null`, `{} x`, `[1],`, `{},`, `[1]]`, `{}}`, `[]#`, `{}//`, `{}/**/`, `true,`, `"a",`, `""""`,
		`1,2`, "{}\x00", "{}\v", "{}\u00a0", "[1]\ufeff", "{}\xff", `01`, `-01`, `1.5.5`, `0x1`, `1e5e5`, `1a`, `truex`, `nulll`, `1 000`,
	},
	unfinished: {
		`{`, `[`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `[1`, `[1,`, `"`, `"a`, `"a\`, `"a\"`, `"\u`, `"\u0`, `"\u00`, `"\u006`, `-`, `1.`, `1e`, `1e+`, `1e-`, `[[[`,
		`[{"a":[`, `{"a":{"b":`, `t`, `tru`, `[fals`, `{"a":n`, `["\ud83d`, `["\ud83d\`, `{ `, `[ `, `{"a" `, `{"a": `, `[1 `, `[1, `, `{"`, `["`, `["\ud83d\u`, `["\ud83d\ude0`, `{"a":"`,
	},
	grammar: {
		`{a:1}`, `{'a':1}`, `['a']`, `{"a"}`, `{"a",1}`, `{"a" 1}`, `{"a":}`, `{"a":,}`, `{:1}`, `{,}`, `{,"a":1}`, `{"a":1,}`, `{"a":1,,"b":2}`, `{"a"::1}`,
		`{"a":1 "b":2}`, `{"a":1;"b":2}`, `{1:1}`, `{null:1}`, `{"a":1]`, `{]`, `[}`, `[1}`, `[,]`, `[,1]`, `[1,]`, `[1,,2]`, `[1 2]`, `[1;2]`, `["a" "b"]`, `["a":1]`,
		`[:]`, `]`, `}`, `,`, `:`, `;`, `#`, `/`, `//`, `/**/`, `[/**/]`, `[1 // x` + "\n" + `]`, `[1,2 /* x */]`, `(1)`, `<a/>`, `+1`, `[+1]`, `[.5]`, `.5`, `[-.5]`,
		`[01]`, `[-01]`, `[00]`, `[1.e1]`, `[0.e1]`, `[1e.5]`, `[1ee1]`, `[1e+-1]`, `[1+1]`, `[--1]`, `[-+1]`, `[- 1]`, `[1 .5]`, `[1. 5]`, `[0x1F]`, `[0b1]`, `[0o7]`, `[1_000]`,
		`[1,000.5.5]`, `[-]`, `[1.]`, `[1e]`, `[1e+]`, `[NaN]`, `[nan]`, `[-NaN]`, `[Infinity]`, `[-Infinity]`, `[inf]`, `NaN`, `Infinity`, `[True]`, `[TRUE]`, `[False]`, `[Null]`,
		`[nul]`, `[tru]`, `[fals]`, `[nulL]`, `[undefined]`, `[truee]`, `[nulll]`, `[a]`, `[a,b]`, `a`, `abc`, `'a'`, "`a`", `[$]`, `[@]`, `[&]`, `[\n]`, `\`, `["a"\n]`, `[1f]`, `[1n]`, `[1L]`,
		`[0e]`, `{"a":0x1}`, `{"a":'b'}`, `{"a":b}`, `{"a":1}}`[:6] + `)`, `{"a" = 1}`, `{"a"=>1}`, `*`, `!`, `?`, `~`, `=`,
		"[\u00a0]", "\u00a0{}", "\u2028{}", "[1\u200b]", "{\u00a0}", "[\u20281]", "[１]", "é",
	},
	badEscape: {
		`["\x41"]`, `["\a"]`, `["\v"]`, `["\0"]`, `["\1"]`, `["\'"]`, `["\ "]`, `["\` + "\n" + `"]`, `["\U0041"]`, `["\u{41}"]`, `["\u004"]`, `["\u00g0"]`, `["\u 041"]`,
		`["\u+041"]`, `["\uxxxx"]`, `["\e"]`, `["\B"]`, `["\N"]`, `["\é"]`, `["\ud83d\u12"  ]`, `["\ud83d\uzzzz"]`, `{"\q":1}`, `["\-"]`, `["\"` + `\c"]`,
	},
	control: {
		"[\"\x01\"]", "[\"\x08\"]", "[\"\t\"]", "[\"\n\"]", "[\"\r\"]", "[\"a\x1fb\"]", "[\"\x1b[31m\"]", "{\"a\tb\":1}", "[\x01]", "[\v]", "[\f]", "\f{}", "{\"a\":\x0b1}",
		"[1\x0c]", "\x1f", "\x08{}", "{\x02}", "[\"a\n\"]",
	},
	nul: {
		"\x00", "{\x00}", "[\x00]", "[\"\x00\"]", "[\"a\x00\"]", "{\"a\x00\":1}", `["\u0000"]`, `["a\u0000b"]`, `{"\u0000":1}`, `{"a":"b\u0000"}`, "[1\x00]", "\x00{}", `["\\\u0000"]`,
	},
	surrogate: {
		`["\ud800"]`, `["\udfff"]`, `["\ud83d"]`, `["\ude00"]`, `["\ud83dx"]`, `["\ud83d\n"]`, `["\ud83d\\ude00"]`, `["\ud83d\ud83d"]`, `["\ude00\ud83d"]`, `["\ud83d\u0041"]`,
		`["a\ud800b"]`, `{"\ud800":1}`, `{"\udc00":1}`, `["\uD800\uE000"]`, `["\udbff\udbff"]`, `["\ud800\ud800\udc00"]`, `["\ud83d😀"]`,
	},
	badUTF8: {
		"[\"\xff\"]", "[\"\xfe\"]", "[\"\x80\"]", "[\"\xbf\"]", "[\"\xc0\xaf\"]", "[\"\xc1\xbf\"]", "[\"\xe0\x80\xaf\"]", "[\"\xe0\x9f\xbf\"]", "[\"\xf0\x80\x80\xaf\"]",
		"[\"\xf0\x8f\xbf\xbf\"]", "[\"\xc3\"]", "[\"\xc3(\"]", "[\"\xe2\x82\"]", "[\"\xe2(\xa1\"]", "[\"\xf0\x9f\x98\"]", "[\"\xf0(\x8c\xbc\"]", "[\"\xed\xa0\x80\"]",
		"[\"\xed\xbf\xbf\"]", "[\"\xed\xa0\xbd\xed\xb8\x80\"]", "[\"\xf4\x90\x80\x80\"]", "[\"\xf5\x80\x80\x80\"]", "[\"\xf8\x88\x80\x80\x80\"]", "[\"\xfc\x84\x80\x80\x80\x80\"]",
		"{\"\xff\":1}", "{\"a\xe9\":1}", "[\"caf\xe9\"]", "[\xff]", "\xff\xfe{\x00}\x00", "\xfe\xff\x00{\x00}", "[\xe9]", "\xef\xbb", "[\"a\xc3\"", "[1\xff]",
	},
	sameName: {
		`{"a":1,"a":2}`, `{"a":1,"a":1}`, `{"a":1,"A":2}`, `{"":1,"":2}`, `{"a":1,"b":2,"a":3}`, `{"a":1,"\u0061":2}`, `{"\u0041":1,"a":2}`, `[{"a":1,"a":2}]`, `{"x":{"a":1,"a":2}}`,
		`{"k":1,"K":2}`, `{"k":1,"\u212a":2}`, `{"s":1,"ſ":2}`, `{"é":1,"É":2}`, `{"é":1,"\u00c9":2}`, `{"Σ":1,"σ":2}`, `{"σ":1,"ς":2}`, `{"a":{"b":1},"a":2}`,
		`{"a/b":1,"a\/b":2}`, `{"\"":1,"\u0022":2}`, `{"😀":1,"\ud83d\ude00":2}`, `{"record_id":1,"Record_ID":2}`, `{"aB":1,"Ab":2}`, `{"ǅ":1,"ǆ":2}`,
	},
	tooDeep:    {strings.Repeat("[", 33) + strings.Repeat("]", 33), strings.Repeat(`{"a":`, 33) + "1" + strings.Repeat("}", 33), strings.Repeat(`[{"a":`, 17)},
	tooMany:    {"[" + strings.Repeat("0,", 10_000) + "0]", "[" + strings.Repeat("[],", 10_000) + "[]]", "[" + strings.Repeat(`{"a":1},`, 5_000) + "1]"},
	tooPrecise: {`[123456789012345678901234567890123456789]`, `[0.123456789012345678901234567890123456789]`, `[1.00000000000000000000000000000000000001]`, `[10000000000000000000000000000000000000.01]`},
	tooLarge: {
		`[1e309]`, `[1e400]`, `[-1e400]`, `[1e-309]`, `[10e308]`, `[0.1e-308]`, `[1e99999999999999999999]`, `[1e-99999999999999999999]`, `[0e309]`, `[0e-999]`,
		`[1` + strings.Repeat("0", 309) + `]`, `[0.` + strings.Repeat("0", 308) + `1]`, `[0.` + strings.Repeat("0", 500) + `]`, `[1.` + strings.Repeat("0", 500) + `]`, `[1e` + strings.Repeat("0", 500) + `]`,
	},
}

func TestGrammarIsAcceptedAsStandardReadsIt(t *testing.T) {
	total := 0
	for group, bodies := range accepted {
		for _, body := range bodies {
			if err := Scan([]byte(body), Limits{}); err != nil {
				t.Errorf("%s: %q refused: %v", group, body, err)
			}
			if !json.Valid([]byte(body)) {
				t.Errorf("%s: %q is not even JSON", group, body)
			}
			compareWithStandard(t, []byte(body))
		}
		t.Logf("%-10s %3d accepted", group, len(bodies))
		total += len(bodies)
	}
	t.Logf("accepted   %3d in all", total)
	if total < 150 {
		t.Errorf("only %d cases", total)
	}
}

func TestGrammarIsRefusedForItsReason(t *testing.T) {
	total := 0
	for broken, bodies := range refused {
		for _, body := range bodies {
			wantRule(t, body, broken)
		}
		t.Logf("%-70s %3d refused", words[broken].sentence, len(bodies))
		total += len(bodies)
	}
	t.Logf("refused %d in all", total)
	if len(refused) != len(words) {
		t.Errorf("%d rules are tried, there are %d", len(refused), len(words))
	}
	if total < 250 {
		t.Errorf("only %d cases", total)
	}
}

// Every prefix of a body is unfinished or something else, but never taken.
func TestCutBodiesAreRefused(t *testing.T) {
	total := 0
	for _, whole := range []string{string(webhook), `{"a":[1.5e3,-20,"x\u00e9\ud83d\ude00",true,false,null,{}]}`} {
		for end := range whole {
			wantRule(t, whole[:end], map[bool]rule{true: empty, false: unfinished}[end == 0])
			total++
		}
	}
	t.Logf("%d cut bodies refused", total)
}

// wantRule checks that the body breaks the rule, and that the refusal is whole.
func wantRule(t *testing.T, body string, broken rule) *schema.Refusal {
	t.Helper()
	err := Scan([]byte(body), Limits{})
	var refusal *schema.Refusal
	if !errors.As(err, &refusal) {
		t.Errorf("%.80q accepted, want: %s", body, words[broken].sentence)
		return &schema.Refusal{}
	}
	if refusal.Reason != schema.ReasonMalformedJSON || refusal.Remedy != words[broken].remedy || refusal.Masked != "" ||
		!strings.HasPrefix(refusal.Rule, words[broken].sentence+" (byte ") {
		t.Errorf("%.80q: %+v, want: %s", body, refusal, words[broken].sentence)
	}
	return refusal
}

// compareWithStandard checks Decode against encoding/json.
func compareWithStandard(t *testing.T, body []byte) {
	t.Helper()
	ours, err := Decode(body)
	if err != nil {
		t.Errorf("%q: %v", body, err)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var theirs any
	if err := decoder.Decode(&theirs); err != nil {
		t.Errorf("%q: %v", body, err)
	}
	if !reflect.DeepEqual(ours, theirs) {
		t.Errorf("%q: decoded %#v, encoding/json %#v", body, ours, theirs)
	}
}
