package bigquerytest

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

type kindOfToken int

const (
	space kindOfToken = iota // and comments
	word
	quoted // `name`
	text   // a string
	sign
)

type token struct {
	kind kindOfToken
	text string // of a string, its value
}

var tokens = regexp.MustCompile("(?s)^(?:(\\s+|--[^\n]*|#[^\n]*|/\\*.*?\\*/)|([A-Za-z_][A-Za-z_0-9]*)|`([^`]*)`|('(?:[^'\\\\\n]|\\\\.)*'|\"(?:[^\"\\\\\n]|\\\\.)*\")|([0-9][0-9.]*(?:[eE][+-]?[0-9]+)?|!=|<>|<=|>=|\\|\\||.))")

// whole makes one token of a name whose parts are quoted one by one: `p`.`d`.`t`.
func whole(all []token) (out []token) {
	for _, t := range all {
		n := len(out)
		if t.kind == quoted && n >= 2 && out[n-1].text == "." && out[n-1].kind == sign && out[n-2].kind == quoted {
			out[n-2].text += "." + t.text
			out = out[:n-1]
			continue
		}
		out = append(out, t)
	}
	return out
}

func tokenize(query string) ([]token, error) {
	var all []token
	for rest := query; rest != ""; {
		m := tokens.FindStringSubmatch(rest)
		if m == nil {
			return nil, failf("invalidQuery", "Syntax error: Unexpected %q", rest[:1])
		}
		rest = rest[len(m[0]):]
		for kind, part := range m[1:] {
			if part == "" {
				continue
			}
			t := token{kindOfToken(kind), part}
			switch t.kind {
			case sign:
				if strings.ContainsAny(part, "'\"`") {
					return nil, failf("invalidQuery", "Syntax error: Unclosed string literal or identifier")
				}
			case space: // DuckDB has no comments with #
				if part[0] == '#' {
					t.text = "--" + part[1:]
				}
			case text:
				value, err := unquote(part)
				if err != nil {
					return nil, err
				}
				t.text = value
			}
			all = append(all, t)
			break
		}
	}
	return all, nil
}

func unquote(literal string) (string, error) {
	inner := literal[1 : len(literal)-1]
	if literal[0] == '\'' { // Go's strings have double quotes
		inner = strings.ReplaceAll(strings.ReplaceAll(inner, `\'`, `'`), `"`, `\"`)
	}
	value, err := strconv.Unquote(`"` + inner + `"`)
	if err != nil {
		return "", failf("invalidQuery", "Syntax error: Illegal string literal: %v", err)
	}
	return value, nil
}

// closing returns where the parenthesis that opens at i closes, or -1.
func closing(all []token, i int) int {
	depth := 0
	for j := i; j < len(all); j++ {
		if all[j].kind != sign {
			continue
		}
		switch all[j].text {
		case "(":
			depth++
		case ")":
			if depth--; depth == 0 {
				return j
			}
		}
	}
	return -1
}

// split splits at the signs that stand outside of parentheses.
func split(all []token, at string) (out [][]token) {
	depth, start := 0, 0
	for i, t := range all {
		switch {
		case t.kind != sign:
		case t.text == "(":
			depth++
		case t.text == ")":
			depth--
		case t.text == at && (depth == 0 || at == ";"):
			out = append(out, all[start:i])
			start = i + 1
		}
	}
	if start < len(all) {
		out = append(out, all[start:])
	}
	return out
}

// trim cuts spaces and comments off both ends.
func trim(all []token) []token {
	for len(all) > 0 && all[0].kind == space {
		all = all[1:]
	}
	for len(all) > 0 && all[len(all)-1].kind == space {
		all = all[:len(all)-1]
	}
	return all
}

func join(all []token) string {
	var b strings.Builder
	for _, t := range all {
		b.WriteString(t.text)
	}
	return strings.TrimFunc(b.String(), unicode.IsSpace)
}
