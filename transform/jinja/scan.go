package jinja

import (
	"fmt"
	"strings"

	"github.com/nikolalohinski/gonja/v2/tokens"
)

const maxOpen = 100 // brackets and blocks open at the same time

// scanner reads a source once before gonja does. Gonja's lexer drops characters that it doesn't know,
// reads a text after a line's end wrongly and mistakes an escaped backslash for an escaped quote: what
// it would misread is refused here, or written so that it reads it well, at the same offsets.
type scanner struct {
	file   string
	source string   // as written, with \n at the ends of lines
	out    []byte   // as gonja gets it: line ends inside of expressions are spaces
	jinja  [][2]int // from and to of every expression, statement, comment and raw text
	blocks int
}

// inJinja reports whether an offset lies in something other than text.
func (s *scanner) inJinja(offset int) bool {
	for _, span := range s.jinja {
		if span[0] <= offset && offset < span[1] {
			return true
		}
	}
	return false
}

// place returns the position of an offset in the source.
func (s *scanner) place(offset int) Position {
	line, column := tokens.ReadablePosition(min(max(offset, 0), len(s.source)), s.source)
	return Position{s.file, line, column}
}

func (s *scanner) refuse(offset int, do, what string, args ...any) *Error {
	return &Error{s.place(offset), fmt.Sprintf(what, args...), do}
}

// scan fills out, or returns the first thing that cannot be read.
func (s *scanner) scan() *Error {
	s.out = []byte(s.source)
	for i := 0; i < len(s.source); {
		open := strings.IndexByte(s.source[i:], '{')
		if open < 0 {
			return nil
		}
		i += open
		start := i
		rest := s.source[i:]
		var err *Error
		switch {
		case strings.HasPrefix(rest, "{#"):
			end := strings.Index(rest[2:], "#}")
			if end < 0 {
				return s.refuse(i, "close it with #}", "Jinja syntax error: a comment is not closed")
			}
			i += end + 4
		case strings.HasPrefix(rest, "{{"):
			i, err = s.expression(i, "}}", "{{")
		case strings.HasPrefix(rest, "{%"):
			i, err = s.statement(i)
		default:
			i++
		}
		if err != nil {
			return err
		}
		if i > start+1 {
			s.jinja = append(s.jinja, [2]int{start, i})
		}
	}
	return nil
}

// statement reads {% … %}, and for raw everything up to its end.
func (s *scanner) statement(i int) (int, *Error) {
	name := strings.TrimLeft(s.source[i+2:], "+- \t\n")
	name = name[:len(name)-len(strings.TrimLeft(name, "abcdefghijklmnopqrstuvwxyz"))]
	next, err := s.expression(i, "%}", "{%")
	if err != nil {
		return next, err
	}
	switch {
	case name == "raw":
		end := strings.Index(s.source[next:], "endraw")
		if end < 0 {
			return next, s.refuse(i, "close it with {% endraw %}", "Jinja syntax error: {%% raw %%} is not closed")
		}
		open := strings.LastIndex(s.source[next:next+end], "{%")
		if open < 0 {
			return next, s.refuse(i, "close it with {% endraw %}", "Jinja syntax error: {%% raw %%} is not closed")
		}
		return s.expression(next+open, "%}", "{%")
	case name == "if" || name == "for" || name == "macro" || name == "test":
		s.blocks++
	case strings.HasPrefix(name, "end"):
		s.blocks = max(s.blocks-1, 0)
	}
	if s.blocks > maxOpen {
		return next, s.refuse(i, "split the model", "more than %d blocks are open here", maxOpen)
	}
	return next, nil
}

// expression reads from its opening at i to behind its closing.
func (s *scanner) expression(i int, closing, opening string) (int, *Error) {
	var open []byte
	start := i
	for i += 2; i < len(s.source); {
		c := s.source[i]
		if len(open) == 0 && strings.HasPrefix(s.source[i:], closing) {
			return i + len(closing), nil
		}
		switch {
		case c == '\'' || c == '"':
			end, err := s.text(i)
			if err != nil {
				return i, err
			}
			i = end
			continue
		case c == '\n':
			s.out[i] = ' '
		case c == '(' || c == '[' || c == '{':
			open = append(open, map[byte]byte{'(': ')', '[': ']', '{': '}'}[c])
			if len(open) > maxOpen {
				return i, s.refuse(i, "split the expression", "more than %d brackets are open here", maxOpen)
			}
		case c == ')' || c == ']' || c == '}':
			if len(open) == 0 || open[len(open)-1] != c {
				return i, s.refuse(i, "close what is open, in order", "Jinja syntax error: %q closes nothing", string(c))
			}
			open = open[:len(open)-1]
		case c == '!':
			if i+1 == len(s.source) || s.source[i+1] != '=' {
				return i, s.refuse(i, "write not", "Jinja syntax error: unexpected \"!\"")
			}
			i++
		case strings.IndexByte(" \t+-*/%~=<>|.,:_", c) >= 0, c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		default:
			r := []rune(s.source[i:min(i+4, len(s.source))])[0]
			return i, s.refuse(i, "remove it, or put it in quotes", "Jinja syntax error: unexpected %q", string(r))
		}
		i++
	}
	return i, s.refuse(start, "close it with "+closing, "Jinja syntax error: %s is not closed", opening)
}

// text reads a quoted text from its quote at i to behind its end.
func (s *scanner) text(i int) (int, *Error) {
	quote, start := s.source[i], i
	for i++; i < len(s.source); i++ {
		switch s.source[i] {
		case quote:
			return i + 1, nil
		case '\\':
			i++
			if i+1 < len(s.source) && s.source[i] == '\\' && strings.IndexByte(`'"\`, s.source[i+1]) >= 0 {
				return i, s.refuse(i, "set it apart: '…' ~ '…'", "a backslash before a quote or another backslash is not supported in a text")
			}
		}
	}
	return i, s.refuse(start, "close it with the same quote", "Jinja syntax error: a text is not closed")
}
