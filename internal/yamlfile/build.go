package yamlfile

import (
	"fmt"
	"math"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// builder turns the parser's tree into nodes: aliases resolved, merge keys merged, duplicate keys reported.
type builder struct {
	file     *File
	anchors  map[string]*Node
	problems elt.Problems
}

func (b *builder) report(t *token.Token, code elt.Code, what, do string) {
	b.problems = append(b.problems, b.file.at(t, code, what, do))
}

func (b *builder) node(n ast.Node) *Node {
	out := &Node{file: b.file, Line: 1, Column: 1, size: 1}
	if n == nil {
		return out
	}
	t := n.GetToken()
	if t != nil && t.Position != nil {
		out.Line, out.Column = t.Position.Line, t.Position.Column
	}
	switch n := n.(type) {
	case *ast.NullNode, *ast.CommentGroupNode, *ast.CommentNode:
	case *ast.StringNode:
		out.scalar(n.Value, n.Value)
	case *ast.LiteralNode:
		out.scalar(n.Value.Value, n.Value.Value)
	case *ast.IntegerNode:
		out.scalar(integer(n.Value), t.Value)
		if digits := strings.TrimLeft(t.Value, "+-"); len(digits) > 1 && digits[0] == '0' && digits[1] <= '9' {
			b.report(t, CodeSyntax, fmt.Sprintf("%s could be read as octal or as decimal", t.Value), "leave out the leading zeros, or put it in quotes")
		}
	case *ast.FloatNode:
		out.scalar(n.Value, t.Value)
	case *ast.BoolNode:
		out.scalar(n.Value, t.Value)
	case *ast.InfinityNode:
		out.scalar(n.Value, t.Value)
	case *ast.NanNode:
		out.scalar(t.Value, t.Value)
	case *ast.AnchorNode:
		v := b.node(n.Value)
		b.anchors[n.Name.GetToken().Value] = v
		return v
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		if v, ok := b.anchors[name]; ok {
			return v
		}
		b.report(t, CodeSyntax, fmt.Sprintf("there is no anchor &%s before this alias", name), "define it above, or write the value out")
	case *ast.MappingNode:
		out.Kind = Mapping
		b.mapping(out, n.Values)
	case *ast.MappingValueNode:
		out.Kind = Mapping
		b.mapping(out, []*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		out.Kind = Sequence
		for _, v := range n.Values {
			item := b.node(v)
			out.items = append(out.items, item)
			out.grow(item)
		}
	default:
		b.report(t, CodeSyntax, fmt.Sprintf("%s is not allowed here", n.Type()), "write a value, a mapping or a list")
	}
	return out
}

func (n *Node) scalar(value any, text string) { n.Kind, n.value, n.text = Scalar, value, text }

// integer returns an int64 wherever the number fits: the parser gives uint64 to every positive one.
func integer(v any) any {
	if u, ok := v.(uint64); ok && u <= math.MaxInt64 {
		return int64(u)
	}
	return v
}

// grow counts a child; past the limit the count stands still, so that it cannot overflow.
func (n *Node) grow(child *Node) { n.size = min(n.size+child.size, maxNodes+1) }

// mapping fills in a mapping's entries. A key given twice is a problem; one that a merge (<<) brings
// yields to the mapping's own.
func (b *builder) mapping(out *Node, values []*ast.MappingValueNode) {
	seen := map[string]int{} // key → line
	var merged []*Node
	for i, v := range values {
		t := v.Key.GetToken()
		if i == 0 {
			// The parser places a mapping at its first colon; people look for its first key.
			out.Line, out.Column = t.Position.Line, t.Position.Column
		}
		value := b.node(v.Value)
		out.grow(value)
		if v.Key.IsMergeKey() {
			merged = append(merged, b.merged(t, value)...)
			continue
		}
		key, ok := keyText(v.Key)
		if !ok {
			b.report(t, CodeSyntax, "a key must be a plain word or a quoted text", "put it in quotes")
			continue
		}
		if line, twice := seen[key]; twice {
			b.report(t, CodeDuplicateKey, fmt.Sprintf("the key %q is already given in line %d", key, line), "keep one of them")
			continue
		}
		seen[key] = t.Position.Line
		out.entries = append(out.entries, entry{key, t.Position.Line, t.Position.Column, value})
	}
	for _, m := range merged {
		for _, e := range m.entries {
			if _, own := seen[e.key]; !own {
				seen[e.key] = e.line
				out.entries = append(out.entries, e)
			}
		}
	}
}

// merged returns the mappings that << names.
func (b *builder) merged(t *token.Token, value *Node) []*Node {
	from := []*Node{value}
	if value.Kind == Sequence {
		from = value.items
	}
	for _, n := range from {
		if n.Kind != Mapping {
			b.report(t, CodeWrongType, "<< merges mappings only", "name an alias of a mapping, such as *defaults")
			return nil
		}
	}
	return from
}

func keyText(k ast.MapKeyNode) (string, bool) {
	switch k := k.(type) {
	case *ast.StringNode:
		return k.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return k.GetToken().Value, true
	}
	return "", false
}
