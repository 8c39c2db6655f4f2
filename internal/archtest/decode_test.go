package archtest

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// checkedElsewhere are functions that decode and do not validate by themselves, with the reason.
var checkedElsewhere = map[string]string{
	"internal/app/config.go ReadConfig":          "Config.check validates",
	"internal/integrationmap/load.go Parse":      "checkShape validates what was decoded, and names the line",
	"connectors/genesys/fields.go UnmarshalJSON": "a part of an answer: Response.Decode validates the whole",
	"connectors/envelope/object.go decode":       "a tree and no struct: each member is read by a rule of its own",
	"internal/signature/member.go detach":        "a tree and no struct",
	"schema/value.go UnmarshalJSON":              "one text, which may be any",
	"internal/payload/catalogue.go add":          "a file of ours that the program is built with",
	"internal/protocol/vendor.go Parse":          "the model's vendors say what its tests tell them to; dispatch validates it",
	"demo/simulators/config.go Read":             "Config.check validates",
	"demo/endpoints/endpoints.go Read":           "Endpoints.Check validates",
	"demo/stack/systems.go survey":               "the map itself is validated by whoever runs under it",
	"demo/checker/lockstep.go get":               "what the checker reads is compared value by value",
	"demo/checker/systems.go Journal":            "what the checker reads is compared value by value",
	"demo/checker/systems.go call":               "what the checker reads is compared value by value",
	"demo/play/strangers.go post":                "what the game reads is compared value by value",
}

// Whatever is decoded from outside is held against its validate tags in the function that decodes it, by schema.Validate.
// Simulators word their own refusals as their vendor would.
func TestDecodedStructsAreValidated(t *testing.T) {
	decoding, excused := 0, map[string]bool{}
	for _, f := range files(t) {
		if f.test || strings.Contains(f.path, "test/") || strings.HasPrefix(f.path, "connectors/simulator/") {
			continue
		}
		for _, decl := range f.ast.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil || !calls(fn, decoders) {
				continue
			}
			decoding++
			name := f.path + " " + fn.Name.Name
			if checkedElsewhere[name] != "" {
				excused[name] = true
				continue
			}
			if !calls(fn, validators) {
				t.Errorf("%s: %s decodes and does not validate: what comes from outside keeps its bounds only if somebody looks", line(fn), fn.Name.Name)
			}
		}
	}
	for name := range checkedElsewhere {
		if !excused[name] {
			t.Errorf("%s does not decode any more", name)
		}
	}
	if decoding < 15 {
		t.Errorf("found only %d functions that decode: this test no longer understands the code", decoding)
	}
}

var (
	decoders   = []string{"json.Unmarshal", "json.NewDecoder", "yaml.Unmarshal", "yaml.NewDecoder", "env.ParseAs", "env.Parse"}
	validators = []string{"schema.Validate"}
)

// calls reports whether a function calls one of the named functions of packages.
func calls(fn *ast.FuncDecl, names []string) bool {
	found := false
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			fun := call.Fun
			if generic, ok := fun.(*ast.IndexExpr); ok {
				fun = generic.X
			}
			if sel, ok := fun.(*ast.SelectorExpr); ok {
				id, ok := sel.X.(*ast.Ident)
				found = found || ok && slices.Contains(names, id.Name+"."+sel.Sel.Name)
			}
		}
		return true
	})
	return found
}
