package yamlfile

import (
	"cmp"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// The codes of problems with a file as such.
const (
	CodeSyntax       elt.Code = "yaml_syntax"
	CodeTooLarge     elt.Code = "yaml_too_large"
	CodeDuplicateKey elt.Code = "duplicate_key"
	CodeUnknownKey   elt.Code = "unknown_key"
	CodeWrongType    elt.Code = "wrong_type"
	CodeEnvMissing   elt.Code = "env_missing"
	CodeFileMissing  elt.Code = "secret_file_missing"
	CodeExpansion    elt.Code = "bad_expansion"
)

// File is one parsed YAML file.
type File struct {
	name string
	root *Node
}

// Kind says what a node is.
type Kind int

// The kinds of node.
const (
	Null     Kind = iota // no value, or null
	Scalar               // a string, a number or a boolean
	Mapping              // keys and values
	Sequence             // a list
)

// Node is a value in a file, with its position.
type Node struct {
	Line, Column int // from 1
	Kind         Kind

	file     *File
	value    any    // of a scalar: string, int64, uint64, float64 or bool
	text     string // of a scalar: as it is written in the file
	expanded bool   // its text came from the environment or a file, and is never shown
	entries  []entry
	items    []*Node
	size     int // nodes in it, with every alias counted in full
}

// entry is one key of a mapping.
type entry struct {
	key          string
	line, column int
	value        *Node
}

// Root returns the file's outermost node.
func (f *File) Root() *Node { return f.root }

// Name returns the file's name, as problems show it.
func (f *File) Name() string { return f.name }

// Decode fills into, a pointer, from the whole file. An empty file changes nothing.
func (f *File) Decode(into any) elt.Problems { return f.root.Decode(into) }

// At returns the position of what lies at the path of keys (string) and indexes (int): a scalar's own, and for
// a mapping, a list or nothing that of its key; 0, 0 when it is absent.
func (f *File) At(path ...any) (line, column int) {
	line, column, depth := f.find(path)
	if depth < len(path) {
		return 0, 0
	}
	return line, column
}

// Problem returns a problem placed at the path, or at its nearest ancestor that is in the file.
func (f *File) Problem(code elt.Code, what, do string, path ...any) elt.Problem {
	line, column, _ := f.find(path)
	return elt.Problem{File: f.name, Line: line, Column: column, Code: code, What: what, Do: do}
}

// Warning is a Problem with which the file works all the same.
func (f *File) Warning(code elt.Code, what, do string, path ...any) elt.Problem {
	p := f.Problem(code, what, do, path...)
	p.Warning = true
	return p
}

// find follows the path as deep as it leads.
func (f *File) find(path []any) (line, column, depth int) {
	n := f.root
	line, column = n.Line, n.Column
	for _, step := range path {
		var next *Node
		switch step := step.(type) {
		case string:
			for _, e := range n.entries {
				if e.key == step {
					next, line, column = e.value, e.line, e.column
				}
			}
		case int:
			if step >= 0 && step < len(n.items) {
				next = n.items[step]
				line, column = next.Line, next.Column
			}
		}
		if next == nil {
			return line, column, depth
		}
		if next.Kind == Scalar {
			line, column = next.Line, next.Column
		}
		n, depth = next, depth+1
	}
	return line, column, depth
}

// Keys returns a mapping's keys in the file's order, and nothing for any other node.
func (n *Node) Keys() []string {
	keys := make([]string, len(n.entries))
	for i, e := range n.entries {
		keys[i] = e.key
	}
	return keys
}

// Get returns the value of a mapping's key, or nil.
func (n *Node) Get(key string) *Node {
	for _, e := range n.entries {
		if e.key == key {
			return e.value
		}
	}
	return nil
}

// KeyAt returns the position of a mapping's key itself; 0, 0 when it is absent.
func (n *Node) KeyAt(key string) (line, column int) {
	for _, e := range n.entries {
		if e.key == key {
			return e.line, e.column
		}
	}
	return 0, 0
}

// Items returns a list's items, and nothing for any other node.
func (n *Node) Items() []*Node { return n.items }

// IsText reports whether the node is a scalar that was written as text, not as a number or a truth value.
func (n *Node) IsText() bool {
	_, ok := n.value.(string)
	return ok
}

// Problem returns a problem placed at the node.
func (n *Node) Problem(code elt.Code, what, do string) elt.Problem {
	return elt.Problem{File: n.file.name, Line: n.Line, Column: n.Column, Code: code, What: what, Do: do}
}

// Without returns the problems that are not at the place of one that was reported already: a value that could not
// be read needs no second sentence about its meaning.
func Without(problems, reported elt.Problems) elt.Problems {
	type place struct {
		file         string
		line, column int
	}
	taken := map[place]bool{}
	for _, p := range reported {
		taken[place{p.File, p.Line, p.Column}] = true
	}
	return slices.DeleteFunc(problems, func(p elt.Problem) bool { return taken[place{p.File, p.Line, p.Column}] })
}

// Sort puts problems in the order of files, lines and columns.
func Sort(ps elt.Problems) {
	slices.SortStableFunc(ps, func(a, b elt.Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
