package yamlfile

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// reference matches $${ (a literal ${), ${kind:name}, and a ${ that is neither.
var reference = regexp.MustCompile(`\$\$\{|\$\{(?:(env|file):([^}]*)\})?`)

// Expand replaces ${env:NAME} and ${file:path} once, in values only; $${ stands for a literal ${. What comes
// from there is never shown in a problem. A file's last line break is dropped. A reference that leads nowhere
// stays as it is.
func (f *File) Expand(env func(string) (string, bool), readFile func(string) ([]byte, error)) elt.Problems {
	x := expander{env: env, readFile: readFile, seen: map[*Node]bool{}}
	x.walk(f.root)
	return x.problems
}

type expander struct {
	env      func(string) (string, bool)
	readFile func(string) ([]byte, error)
	seen     map[*Node]bool // a node with aliases is reached more than once
	problems elt.Problems
}

func (x *expander) walk(n *Node) {
	if x.seen[n] {
		return
	}
	x.seen[n] = true
	for _, e := range n.entries {
		x.walk(e.value)
	}
	for _, item := range n.items {
		x.walk(item)
	}
	if s, ok := n.value.(string); ok && strings.Contains(s, "${") {
		n.value = reference.ReplaceAllStringFunc(s, func(ref string) string { return x.value(n, ref) })
	}
}

// value returns what stands for one reference.
func (x *expander) value(n *Node, ref string) string {
	if ref == "$${" {
		return "${"
	}
	m := reference.FindStringSubmatch(ref)
	kind, name := m[1], m[2]
	switch {
	case name == "":
		x.problems = append(x.problems, n.Problem(CodeExpansion, "a ${ that is neither ${env:NAME} nor ${file:path}",
			"write ${env:NAME} or ${file:path}, or $${ for a literal ${"))
		return ref
	case kind == "env":
		v, ok := x.env(name)
		if !ok {
			x.problems = append(x.problems, n.Problem(CodeEnvMissing, fmt.Sprintf("the environment variable %s is not set", name),
				"set it before you start daybreak, or correct the name"))
			return ref
		}
		n.expanded = true
		return v
	case kind == "file":
		b, err := x.readFile(name)
		if err != nil {
			x.problems = append(x.problems, n.Problem(CodeFileMissing, fmt.Sprintf("the file %s cannot be read: %v", name, err),
				"create it, or correct the path"))
			return ref
		}
		n.expanded = true
		return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	}
	return ref
}
