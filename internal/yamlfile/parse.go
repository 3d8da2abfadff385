package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Limits of what a person could have written; past them a file is refused before it costs anything.
const (
	maxBytes  = 1 << 20
	maxTokens = 100_000 // the parser's time rises with their square: this many take a second or two
	maxDepth  = 64      // brackets within brackets, or dashes in one line
	maxCol    = 400     // indentation
	maxNodes  = 100_000 // with every alias counted in full
)

// Parse reads one YAML document. The file is never nil: with problems it holds what could be read, so
// that a caller may go on and find more.
func Parse(name string, data []byte) (*File, elt.Problems) {
	f := &File{name: name}
	f.root = &Node{file: f, Kind: Null, Line: 1, Column: 1}
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	if p, bad := f.rubbish(data); bad {
		return f, elt.Problems{p}
	}
	doc, problems := f.parse(data)
	if doc == nil {
		return f, problems
	}
	b := builder{file: f, anchors: map[string]*Node{}}
	root := b.node(doc)
	if root.size > maxNodes {
		p := f.Problem(CodeTooLarge, fmt.Sprintf("its aliases unfold to more than %d values", maxNodes), "write it without so many aliases")
		return f, append(b.problems, p)
	}
	f.root = root
	return f, b.problems
}

// rubbish finds what is not text that a person wrote.
func (f *File) rubbish(data []byte) (elt.Problem, bool) {
	if len(data) > maxBytes {
		return f.Problem(CodeTooLarge, fmt.Sprintf("it has %d bytes, more than the %d that a file may have", len(data), maxBytes),
			"split it into several files"), true
	}
	line, column, indent := 1, 1, true
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		var what, do string
		switch {
		case r == utf8.RuneError && n == 1:
			what, do = "it is not UTF-8 text", "save the file as UTF-8"
		case r == '\t' && indent:
			what, do = "a tab is used for indentation", "indent with spaces"
		case r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f:
			what, do = fmt.Sprintf("it holds the control character %U", r), "remove it"
		case column > maxCol && indent:
			return elt.Problem{File: f.name, Line: line, Column: column, Code: CodeTooLarge,
				What: fmt.Sprintf("it is indented by more than %d spaces", maxCol), Do: "indent with two spaces a level"}, true
		}
		if what != "" {
			return elt.Problem{File: f.name, Line: line, Column: column, Code: CodeSyntax, What: what, Do: do}, true
		}
		column++
		indent = indent && r == ' '
		if r == '\n' {
			line, column, indent = line+1, 1, true
		}
		i += n
	}
	return elt.Problem{}, false
}

// parse returns the body of the file's only document, or nil.
func (f *File) parse(data []byte) (body ast.Node, problems elt.Problems) {
	// The parser is a third party's and the text anybody's: a crash of it is this file's problem alone.
	defer func() {
		if r := recover(); r != nil {
			body = nil
			problems = elt.Problems{f.Problem(CodeSyntax, "it is not YAML that can be read", "check brackets, quotes and indentation")}
		}
	}()
	tokens := lexer.Tokenize(string(data))
	if p, bad := f.refused(tokens); bad {
		return nil, elt.Problems{p}
	}
	parsed, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, elt.Problems{f.syntax(err)}
	}
	for i, doc := range parsed.Docs {
		if i > 0 && (doc.Body != nil || doc.Start != nil) {
			return nil, elt.Problems{f.at(doc.Start, CodeSyntax, "it holds more than one document", "remove the --- and what follows, or make it a file of its own")}
		}
		if doc.Body != nil {
			body = doc.Body
		}
	}
	return body, nil
}

// refused finds tokens that these files have no use for, and nesting that no person writes.
func (f *File) refused(tokens token.Tokens) (elt.Problem, bool) {
	if len(tokens) > maxTokens {
		return f.Problem(CodeTooLarge, fmt.Sprintf("it has more than the %d words and signs that a file may have", maxTokens),
			"split it into several files"), true
	}
	flow, dashes, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, dashes = t.Position.Line, 0
		}
		switch t.Type {
		case token.TagType:
			return f.at(t, CodeSyntax, fmt.Sprintf("the tag %q is not allowed", t.Value), "remove it: types follow from the key"), true
		case token.DirectiveType:
			return f.at(t, CodeSyntax, "a YAML directive is not allowed", "remove the line"), true
		case token.MappingKeyType:
			return f.at(t, CodeSyntax, "a key introduced by ? is not allowed", "write it as key: value"), true
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType, token.AnchorType:
			dashes++
		}
		if flow > maxDepth || dashes > maxDepth {
			return f.at(t, CodeTooLarge, fmt.Sprintf("it is nested more than %d deep", maxDepth), "write it flatter"), true
		}
	}
	return elt.Problem{}, false
}

func (f *File) at(t *token.Token, code elt.Code, what, do string) elt.Problem {
	p := elt.Problem{File: f.name, Line: 1, Column: 1, Code: code, What: what, Do: do}
	if t != nil && t.Position != nil {
		p.Line, p.Column = t.Position.Line, t.Position.Column
	}
	return p
}

// syntax turns the parser's error into a problem; its message alone, without the excerpt it draws.
func (f *File) syntax(err error) elt.Problem {
	what, tok := err.Error(), (*token.Token)(nil)
	if e, ok := errors.AsType[yaml.Error](err); ok {
		what, tok = e.GetMessage(), e.GetToken()
	}
	what, _, _ = strings.Cut(what, "\n")
	return f.at(tok, CodeSyntax, "it is not valid YAML: "+what, "check indentation, quotes and colons around here")
}
