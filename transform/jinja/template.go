package jinja

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
)

const maxSource = 1 << 20 // octets of one file

// Position is a place in a template's file. Line and Column count from 1, Column in octets.
type Position struct {
	File         string
	Line, Column int
}

// Error is something that a template does and Daybreak does not render.
type Error struct {
	Position
	What string
	Do   string
}

// Error returns "models/a.sql:3:5: what".
func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.What)
}

// Template is a parsed file. It may be rendered by many goroutines at once.
type Template struct {
	file   string
	source *scanner
	tree   *exec.Template
	macros map[string]*nodes.Macro
}

// Parse reads a template of SQL. Every refused construct is an error of its own; a syntax error ends the reading.
func Parse(file, source string) (*Template, []*Error) { return parse(file, source, false) }

// ParseMacros reads a file that holds nothing but macros and comments.
func ParseMacros(file, source string) (*Template, []*Error) { return parse(file, source, true) }

func parse(file, source string, macros bool) (t *Template, errs []*Error) {
	defer func() {
		if p := recover(); p != nil {
			t, errs = nil, []*Error{{Position{file, 1, 1}, fmt.Sprintf("the template cannot be read: %v", p), "simplify the Jinja in this file"}}
		}
	}()
	if len(source) > maxSource {
		return nil, []*Error{{Position{file, 1, 1}, fmt.Sprintf("the file has %d octets, more than %d", len(source), maxSource), "split it into several files"}}
	}
	s := &scanner{file: file, source: strings.ReplaceAll(strings.ReplaceAll(source, "\r\n", "\n"), "\r", "\n")}
	if err := s.scan(); err != nil {
		return nil, []*Error{err}
	}
	name := "/" + file // the loader's keys begin with a slash
	loader, err := loaders.NewMemoryLoader(map[string]string{name: string(s.out)})
	if err != nil {
		return nil, []*Error{{Position{file, 1, 1}, err.Error(), ""}}
	}
	tree, err := exec.NewTemplate(name, config.New(), loader, &exec.Environment{
		Context: exec.EmptyContext(), ControlStructures: blocks(),
	})
	if err != nil {
		return nil, []*Error{syntaxError(s, err)}
	}
	w := &rewriter{source: s, macros: map[string]bool{}}
	w.nodes(tree.Root().Nodes, true, macros)
	return &Template{file: file, source: s, tree: tree, macros: tree.Macros()}, w.errs
}

var unknownBlock = regexp.MustCompile(`ControlStructure '([^']*)' not found`)

// syntaxError turns the parser's error into one with a place and without the parser's own words.
func syntaxError(s *scanner, err error) *Error {
	text := err.Error()
	if _, rest, ok := strings.Cut(text, string(s.out)+"': "); ok {
		text = rest
	}
	out := &Error{Position: s.place(len(s.source)), Do: "see that every {{ has its }}, every {% if %} its {% endif %} and every {% for %} its {% endfor %}"}
	var at *parser.SyntaxError
	for e := err; e != nil; e = unwrap(e) {
		syntax := &parser.SyntaxError{}
		if errors.As(e, &syntax) {
			at = syntax
		}
	}
	near := ""
	if at != nil {
		text, near = at.Message, at.Raw
		if at.Line > 0 {
			out.Position = s.place(offset(string(s.out), at.Line, at.Column))
		}
	}
	if m := unknownBlock.FindStringSubmatch(text); m != nil {
		return refusedBlock(out.Position, m[1])
	}
	if near == "if" {
		out.What, out.Do = "an inline if inside another is not supported", "write {% if %} … {% elif %} … {% else %} … {% endif %}"
		return out
	}
	text = strings.TrimSuffix(strings.ReplaceAll(text, "controlStructure", "block"), ".")
	out.What = "Jinja syntax error: " + lowerFirst(text)
	if near = strings.TrimSpace(near); near != "" && len(near) < 40 {
		out.What += " (near " + strconv.Quote(near) + ")"
	}
	return out
}

func unwrap(err error) error {
	if u, ok := err.(interface{ Unwrap() error }); ok {
		return u.Unwrap()
	}
	return nil
}

func lowerFirst(s string) string {
	if len(s) > 1 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'a' && s[1] <= 'z' {
		return strings.ToLower(s[:1]) + s[1:]
	}
	return s
}

// offset returns the offset of a line and a column, both from 1.
func offset(source string, line, column int) int {
	at := 0
	for ; line > 1; line-- {
		end := strings.IndexByte(source[at:], '\n')
		if end < 0 {
			break
		}
		at += end + 1
	}
	return at + column - 1
}
