package payload

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"lockstep/internal/strictjson"
	"lockstep/rules"
	"lockstep/schema"
)

// Catalogue is every agreed shape, compiled. It is safe for concurrent use.
type Catalogue struct {
	// families maps `source/object` to its versions.
	families map[string]map[int]version
}

type version struct {
	schema  *jsonschema.Schema
	renames map[string]string
}

var shapePath = regexp.MustCompile(`^json/([a-z0-9-]+/[a-z0-9_-]+)/v([1-9][0-9]*)\.json$`)

// Load compiles the schemas of a file tree. A schema that does not compile, or a gap in a family's versions, is an error.
func Load(files fs.FS) (*Catalogue, error) {
	c := &Catalogue{families: map[string]map[int]version{}}
	err := fs.WalkDir(files, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		m := shapePath.FindStringSubmatch(p)
		if m == nil {
			return fmt.Errorf("payload: %s is not named json/<source>/<object>/v<version>.json", p)
		}
		n, err := strconv.Atoi(m[2])
		if err != nil {
			return fmt.Errorf("payload: %s: %w", p, err)
		}
		return c.add(files, p, m[1], n)
	})
	if err != nil {
		return nil, err
	}
	for family, versions := range c.families {
		for n := 1; n <= len(versions); n++ {
			if _, ok := versions[n]; !ok {
				return nil, fmt.Errorf("payload: %s has no v%d.json", family, n)
			}
		}
	}
	return c, nil
}

func (c *Catalogue) add(files fs.FS, p, family string, n int) error {
	b, err := fs.ReadFile(files, p)
	if err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("payload: %s: %w", p, err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	url := "lockstep:///" + path.Clean(p)
	if err := compiler.AddResource(url, doc); err != nil {
		return fmt.Errorf("payload: %s: %w", p, err)
	}
	compiled, err := compiler.Compile(url)
	if err != nil {
		return fmt.Errorf("payload: %s: %w", p, err)
	}
	var extra struct {
		Renames map[string]string `json:"x-renames"`
	}
	if err := json.Unmarshal(b, &extra); err != nil {
		return fmt.Errorf("payload: %s: %w", p, err)
	}
	if c.families[family] == nil {
		c.families[family] = map[int]version{}
	}
	c.families[family][n] = version{schema: compiled, renames: extra.Renames}
	return nil
}

// Families returns the names of all families, sorted.
func (c *Catalogue) Families() []string { return slices.Sorted(maps.Keys(c.families)) }

// Check checks one event against its family and version. The body has passed the strict scan. A *schema.Refusal names
// the place, the rule and the shape of the value, nothing of the value itself. It returns the version.
func (c *Catalogue) Check(family string, raw []byte) (n int, err error) {
	tree, err := strictjson.Decode(raw)
	if err != nil {
		return 0, err
	}
	n, v, refusal := c.version(family, raw)
	if refusal != nil {
		return 0, refusal
	}
	return n, refuse(v.schema.Validate(tree), tree)
}

// CheckTree checks values that are decoded already against the newest version of a family.
func (c *Catalogue) CheckTree(family string, tree any) error {
	versions := c.families[family]
	if len(versions) == 0 {
		return nil
	}
	return refuse(versions[len(versions)].schema.Validate(tree), tree)
}

// Has reports whether there is such a family.
func (c *Catalogue) Has(family string) bool { return len(c.families[family]) > 0 }

func (c *Catalogue) version(family string, raw []byte) (int, version, *schema.Refusal) {
	versions := c.families[family]
	n := 1
	if value, ok := strictjson.Find(raw, "/schema_version"); ok {
		var err error
		if n, err = strconv.Atoi(string(value)); err != nil {
			n = 0
		}
	}
	v, ok := versions[n]
	if !ok {
		return 0, v, &schema.Refusal{
			Reason: schema.ReasonSchemaMismatch, Field: "/schema_version", Rule: fmt.Sprintf("is a version that we know, 1 to %d", len(versions)),
			Remedy: "send a version that was agreed",
		}
	}
	return n, v, nil
}

// Upcast brings the field names of an event of an older version up to the present one.
func (c *Catalogue) Upcast(family string, raw []byte, change schema.Change) schema.Change {
	n, _, refusal := c.version(family, raw)
	if refusal != nil {
		return change
	}
	for ; n < len(c.families[family]); n++ {
		change.Fields = renamed(change.Fields, c.families[family][n].renames)
		change.Old = renamed(change.Old, c.families[family][n].renames)
	}
	return change
}

// renamed returns the fields under their new names, all at once: two may change places. Where an old name and the new one
// both come, the new one counts.
func renamed(fields schema.Fields, renames map[string]string) schema.Fields {
	if fields == nil || len(renames) == 0 {
		return fields
	}
	out := make(schema.Fields, len(fields))
	for name, value := range fields {
		if _, old := renames[name]; !old {
			out[name] = value
		}
	}
	for from, to := range renames {
		value, told := fields[from]
		if _, taken := out[to]; told && !taken {
			out[to] = value
		}
	}
	return out
}

// refuse turns a validation error into a refusal about its deepest cause.
func refuse(err error, tree any) error {
	if err == nil {
		return nil
	}
	broken, ok := err.(*jsonschema.ValidationError) //nolint:errorlint // the validator returns it bare
	if !ok {
		return &schema.Refusal{Reason: schema.ReasonSchemaMismatch, Rule: "has the agreed shape"}
	}
	location := broken.InstanceLocation
	for len(broken.Causes) > 0 {
		broken = deepest(broken.Causes)
		if len(broken.InstanceLocation) > len(location) { // a member's name is checked as a value of its own, nowhere
			location = broken.InstanceLocation
		}
	}
	if missing, ok := broken.ErrorKind.(*kind.Required); ok && len(missing.Missing) > 0 {
		location = append(slices.Clone(location), missing.Missing[0])
	}
	pointer := strictjson.Pointer(location...)
	return &schema.Refusal{
		Reason: reasonOf(broken.ErrorKind), Field: pointer, Rule: ruleOf(broken.ErrorKind), Masked: maskAt(tree, pointer),
		Remedy: "send it in the agreed shape, or agree on a new version",
	}
}

// deepest picks, of several alternatives that all failed, the one that came furthest.
func deepest(causes []*jsonschema.ValidationError) *jsonschema.ValidationError {
	best := causes[0]
	for _, c := range causes {
		if depth(c) > depth(best) {
			best = c
		}
	}
	return best
}

func depth(e *jsonschema.ValidationError) int {
	d := len(e.InstanceLocation)
	for _, c := range e.Causes {
		d = max(d, depth(c))
	}
	return d
}

func reasonOf(k jsonschema.ErrorKind) schema.Reason {
	f, ok := k.(*kind.Format)
	if !ok {
		return schema.ReasonSchemaMismatch
	}
	switch f.Want {
	case "email":
		return schema.ReasonBadEmail
	case "date-time", "date":
		return schema.ReasonBadDate
	}
	return schema.ReasonSchemaMismatch
}

// ruleOf says what is demanded, without what was sent.
func ruleOf(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Required:
		return "is required"
	case *kind.Type:
		return "is of type " + strings.Join(k.Want, " or ")
	case *kind.Pattern:
		return "matches " + k.Want
	case *kind.Format:
		return "is a " + k.Want
	case *kind.MinLength:
		return fmt.Sprintf("has at least %d characters", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("has at most %d characters", k.Want)
	case *kind.Enum:
		return "is one of the agreed values"
	}
	if keywords := k.KeywordPath(); len(keywords) > 0 {
		return "meets " + keywords[len(keywords)-1]
	}
	return "has the agreed shape"
}

func maskAt(tree any, pointer string) string {
	value, ok := strictjson.Lookup(tree, pointer)
	if !ok {
		return ""
	}
	switch v := value.(type) {
	case string:
		return rules.MaskValue(v)
	case json.Number:
		return rules.MaskValue(v.String())
	}
	return ""
}
