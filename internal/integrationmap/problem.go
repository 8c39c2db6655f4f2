package integrationmap

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Problem is one thing that is wrong with a map.
type Problem struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	// Path is where in the map, as `objects.customer.fields.phone_number`.
	Path string `json:"path,omitempty"`
	// Message says what is wrong, Remedy what would be right.
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
}

// String returns file, line, path, message and remedy in one line.
func (p Problem) String() string {
	s := fmt.Sprintf("%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Path != "" {
		s += p.Path + ": "
	}
	s += p.Message
	if p.Remedy != "" {
		s += " (" + p.Remedy + ")"
	}
	return s
}

// Problems is everything that is wrong with a map, in the order of the file.
type Problems []Problem

// Error returns one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

func (ps Problems) sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// page is the YAML file that positions refer to.
type page struct {
	file string
	root ast.Node
}

// problem returns a problem at the deepest part of path that the file has: at a value that stands by itself, else at the
// name before it.
func (p page) problem(path []string, message, remedy string) Problem {
	out := Problem{File: p.file, Line: 1, Column: 1, Path: strings.Join(path, "."), Message: message, Remedy: remedy}
	node := p.root
	for _, segment := range path {
		name, value := child(node, segment)
		if value == nil {
			break
		}
		at := value
		switch inside(value).(type) {
		case *ast.MappingNode, *ast.MappingValueNode, *ast.SequenceNode:
			at = name
		}
		if t := at.GetToken(); t != nil && t.Position != nil {
			out.Line, out.Column = t.Position.Line, t.Position.Column
		}
		node = value
	}
	return out
}

// inside returns the value behind an anchor or a tag.
func inside(node ast.Node) ast.Node {
	for {
		switch n := node.(type) {
		case *ast.AnchorNode:
			node = n.Value
		case *ast.TagNode:
			node = n.Value
		default:
			return node
		}
	}
}

// child returns a member's name and value, or an element of a sequence as both; nil where there is none.
func child(node ast.Node, segment string) (name, value ast.Node) {
	if list, ok := inside(node).(*ast.SequenceNode); ok {
		if i, err := strconv.Atoi(segment); err == nil && i >= 0 && i < len(list.Values) {
			return first(list.Values[i]), list.Values[i]
		}
		return nil, nil
	}
	for _, m := range members(node) {
		if m.Key.GetToken().Value == segment {
			return m.Key, m.Value
		}
	}
	return nil, nil
}

// members returns the members of a mapping that have a name.
func members(node ast.Node) []*ast.MappingValueNode {
	var all []*ast.MappingValueNode
	switch n := inside(node).(type) {
	case *ast.MappingNode:
		all = n.Values
	case *ast.MappingValueNode:
		all = []*ast.MappingValueNode{n}
	}
	return slices.DeleteFunc(slices.Clone(all), func(m *ast.MappingValueNode) bool { return m.Key == nil || m.Key.GetToken() == nil })
}

// first returns the part of a node that stands first.
func first(node ast.Node) ast.Node {
	switch n := inside(node).(type) {
	case *ast.MappingNode:
		if len(n.Values) > 0 {
			return n.Values[0].Key
		}
	case *ast.MappingValueNode:
		return n.Key
	case *ast.SequenceNode:
		if len(n.Values) > 0 {
			return first(n.Values[0])
		}
	}
	return node
}

// nearest returns the candidate that differs from name in at most two letters and half of them, "" when there is none.
func nearest(name string, candidates []string) string {
	best, distance := "", min(2, len(name)/2)+1
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if d := edits(name, c); d < distance {
			best, distance = c, d
		}
	}
	return best
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func didYouMean(name string, candidates []string) string {
	if near := nearest(name, candidates); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(candidates) == 0 {
		return ""
	}
	return "there are " + strings.Join(slices.Sorted(slices.Values(candidates)), ", ")
}
