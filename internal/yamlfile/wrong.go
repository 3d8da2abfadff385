package yamlfile

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// wrong returns the problem of a node that is not what is wanted.
func (n *Node) wrong(want string) elt.Problems {
	do := "write " + want
	switch _, isText := n.value.(string); {
	case n.expanded:
		do = "correct the variable or file that it comes from"
	case want == "text" && n.Kind == Scalar:
		do = fmt.Sprintf("put it in quotes: %q", short(n.text))
	case want == "true or false" && isText:
		do = "write true or false, without quotes"
	case want == "a list" && n.Kind == Scalar:
		do = fmt.Sprintf("write [%q]", short(n.text))
	}
	return elt.Problems{n.Problem(CodeWrongType, fmt.Sprintf("%s is given where %s is wanted", n.describe(), want), do)}
}

// describe names a node as people would, without showing what came from the environment.
func (n *Node) describe() string {
	switch n.Kind {
	case Mapping:
		return "a mapping"
	case Sequence:
		return "a list"
	case Null:
		return "nothing"
	}
	switch n.value.(type) {
	case string:
		return fmt.Sprintf("the text %q", short(n.text))
	case bool:
		return "the truth value " + n.text
	}
	return "the number " + short(n.text)
}

// hide takes a value that came from the environment out of a message.
func (n *Node) hide(message string) string {
	s, ok := n.value.(string)
	if !n.expanded || !ok || s == "" {
		return message
	}
	return strings.ReplaceAll(message, s, hidden)
}

// short cuts a text to what a sentence bears. Of a URL only the scheme is shown: it may hold a password.
func short(s string) string {
	if scheme, _, isURL := strings.Cut(s, "://"); isURL {
		s = scheme + "://…"
	}
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

func kindName(v reflect.Value) string {
	if v.Type() == durationType {
		return "a duration such as 30s, 10m or 2h"
	}
	switch v.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.String:
		return "text"
	}
	return "a whole number"
}
