package jinja

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	cs "github.com/nikolalohinski/gonja/v2/builtins/control_structures"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// operate is the name of the one function that every expression becomes a call of.
const operate = "__operate"

// rewriter replaces a tree's expressions by calls of operate(operator, place, operands…), and notes
// what it refuses.
type rewriter struct {
	source *scanner
	errs   []*Error
	macros map[string]bool // those that the file has defined so far
}

// place returns where a token stands in the file.
func (w *rewriter) place(at *tokens.Token) Position {
	if at == nil || at.Line == 0 {
		return Position{w.source.file, 1, 1}
	}
	return w.source.place(at.Pos)
}

func (w *rewriter) refuse(at *tokens.Token, what, do string) {
	w.errs = append(w.errs, &Error{w.place(at), what, do})
}

// nodes rewrites the content of a file or a block. At the top of a file of macros nothing but macros may
// stand; elsewhere, no macro may.
func (w *rewriter) nodes(list []nodes.Node, top, macros bool) {
	for _, n := range list {
		if macros && top {
			w.macroFile(n)
			continue
		}
		switch n := n.(type) {
		case nil, *nodes.Data, *nodes.Comment:
		case *nodes.Output:
			n.Expression = w.call("output", n.Start, w.expr(n.Expression))
			if n.Condition != nil {
				n.Condition = w.truth(n.Condition)
			}
			if n.Alternative != nil {
				n.Alternative = w.call("output", n.Start, w.expr(n.Alternative))
			}
		case *nodes.ControlStructureBlock:
			w.block(n)
		default:
			w.refuse(n.Position(), fmt.Sprintf("%T is not supported", n), "")
		}
	}
}

func (w *rewriter) macroFile(n nodes.Node) {
	switch n := n.(type) {
	case nil, *nodes.Comment:
		return
	case *nodes.Data:
		if strings.TrimSpace(n.Data.Val) == "" {
			return
		}
	case *nodes.ControlStructureBlock:
		if m, ok := n.ControlStructure.(*cs.MacroControlStructure); ok {
			w.macro(n.Location, m.Macro)
			return
		}
	}
	w.refuse(n.Position(), "a file of macros holds nothing but macros", "move this into a macro, or into a model")
}

func (w *rewriter) macro(at *tokens.Token, m *nodes.Macro) {
	if m.VarArgsName != "" || m.KwArgsName != "" {
		w.refuse(at, "macro "+m.Name+" takes *args or **kwargs, which is not supported", "name its parameters, or pass a list")
	}
	w.declare(at, m.Name)
	if w.macros[m.Name] {
		w.refuse(at, "the macro "+m.Name+" is defined twice in this file", "rename one of them")
	}
	w.macros[m.Name] = true
	for _, p := range m.Kwargs {
		w.declare(p.Key.Position(), p.Key.Position().Val)
		if _, missing := p.Value.(*nodes.Error); missing || p.Value == nil {
			p.Value = w.call("missing", p.Key.Position(), str(p.Key.Position(), p.Key.Position().Val))
		} else if _, none := p.Value.(*nodes.None); none && p.Value.Position() == p.Key.Position() {
			// Gonja gives a parameter without default the value None; in Jinja2 it is undefined.
			p.Value = w.call("missing", p.Key.Position(), str(p.Key.Position(), p.Key.Position().Val))
		} else {
			p.Value = w.expr(p.Value)
		}
	}
	w.nodes(m.Wrapper.Nodes, false, false)
}

func (w *rewriter) block(b *nodes.ControlStructureBlock) {
	switch c := b.ControlStructure.(type) {
	case *cs.IfControlStructure:
		for i := range c.Conditions {
			c.Conditions[i] = w.truth(c.Conditions[i])
		}
		for _, body := range c.Wrappers {
			w.nodes(body.Nodes, false, false)
		}
	case *cs.ForControlStructure:
		w.forBlock(b, c)
	case *setBlock:
		w.declare(c.at, c.name)
		c.line = w.place(c.at).Line
		if c.body != nil {
			w.nodes(c.body.Nodes, false, false)
			return
		}
		c.expression = w.call("value", c.at, w.expr(c.expression))
		if c.condition != nil {
			c.condition, c.alternative = w.truth(c.condition), w.call("value", c.at, w.expr(c.alternative))
		}
	case *cs.RawControlStructure:
	case *cs.MacroControlStructure:
		if name, test := strings.CutPrefix(c.Name, TestPrefix); test && b.Name == "test" {
			w.refuse(b.Location, "the test "+name+" is defined inside a query", "move it to a file of sql/tests/generic or sql/macros, and name it in schema.yml")
			return
		}
		w.refuse(b.Location, "macro "+c.Name+" is defined inside a model", "move it to a file of sql/macros: every model knows the macros there")
	default:
		w.errs = append(w.errs, refusedBlock(w.place(b.Location), b.Name))
	}
}

func (w *rewriter) forBlock(b *nodes.ControlStructureBlock, c *cs.ForControlStructure) {
	if c.IfCondition != nil {
		w.refuse(b.Location, "{% for … if … %} is not supported", "put an {% if %} inside the loop, or filter with select or selectattr")
	}
	if c.Recursive {
		w.refuse(b.Location, "recursive loops are not supported", "call a macro that calls itself")
	}
	w.declare(b.Location, c.Key)
	op := "each"
	if c.Value != "" {
		w.declare(b.Location, c.Value)
		op = "pairs"
	}
	c.ObjectEvaluator = w.call(op, b.Location, w.expr(c.ObjectEvaluator))
	w.nodes(c.BodyWrapper.Nodes, false, false)
	if c.EmptyWrapper != nil {
		w.nodes(c.EmptyWrapper.Nodes, false, false)
	}
}

// declare refuses names that would hide what rendering itself needs.
func (w *rewriter) declare(at *tokens.Token, name string) {
	if strings.HasPrefix(name, "__") || name == "self" || name == "loop" || name == "caller" {
		w.refuse(at, strconv.Quote(name)+" cannot be used as a name", "choose another name")
	}
}

func (w *rewriter) truth(n nodes.Expression) nodes.Expression {
	return w.call("truth", n.Position(), w.expr(n))
}

// call builds operate(operator, place, operands…).
func (w *rewriter) call(operator string, at *tokens.Token, operands ...nodes.Expression) *nodes.Call {
	if at == nil {
		at = &tokens.Token{Line: 1, Col: 1}
	}
	p := w.place(at)
	args := append([]nodes.Expression{str(at, operator), str(at, fmt.Sprintf("%d:%d:%s", p.Line, p.Column, p.File))}, operands...)
	function := &nodes.Name{Name: &tokens.Token{Type: tokens.Name, Val: operate, Line: at.Line, Col: at.Col}}
	return &nodes.Call{Location: at, Func: function, Args: args, Kwargs: map[string]nodes.Expression{}}
}

func str(at *tokens.Token, s string) *nodes.String { return &nodes.String{Location: at, Val: s} }

// expr returns the expression that stands for n.
func (w *rewriter) expr(n nodes.Node) nodes.Expression {
	switch n := n.(type) {
	case *nodes.String, *nodes.Integer, *nodes.Float, *nodes.Bool, *nodes.None:
		return n
	case *nodes.Name:
		if n.Name.Val == "none" { // Gonja knows None and nil only
			return &nodes.None{Location: n.Name}
		}
		return w.call("name", n.Name, str(n.Name, n.Name.Val))
	case *nodes.List:
		return w.call("list", n.Location, w.all(n.Val)...)
	case *nodes.Tuple:
		return w.call("list", n.Location, w.all(n.Val)...)
	case *nodes.Dict:
		var flat []nodes.Expression
		for _, p := range n.Pairs {
			flat = append(flat, w.expr(p.Key), w.expr(p.Value))
		}
		return w.call("dict", n.Token, flat...)
	case *nodes.Negation:
		return w.call("not", n.Operator, w.expr(n.Term))
	case *nodes.UnaryExpression:
		if !n.Negative {
			return w.call("positive", n.Operator, w.expr(n.Term))
		}
		return w.call("negative", n.Operator, w.expr(n.Term))
	case *nodes.BinaryExpression:
		return w.binary(n)
	case *nodes.FilteredExpression:
		return w.filtered(n)
	case *nodes.TestExpression:
		return w.test(n)
	case *nodes.GetAttribute:
		if n.Attribute == "" {
			return w.call("item", n.Location, w.expr(n.Node), &nodes.Integer{Location: n.Location, Val: n.Index})
		}
		return w.call("attribute", n.Location, w.expr(n.Node), str(n.Location, n.Attribute))
	case *nodes.GetItem:
		if n.Arg == nil {
			w.refuse(n.Location, "the brackets are empty", "write a key or an index in them")
			return &nodes.None{Location: n.Location}
		}
		return w.call("item", n.Location, w.expr(n.Node), w.expr(n.Arg))
	case *nodes.GetSlice:
		return w.slice(n)
	case *nodes.Call:
		return w.function(n)
	case nil:
		w.refuse(nil, "an expression is missing", "complete it")
	default:
		w.refuse(n.Position(), fmt.Sprintf("this expression (%T) is not supported", n), "write it in another way")
	}
	return &nodes.None{Location: &tokens.Token{Line: 1, Col: 1}}
}

func (w *rewriter) all(list []nodes.Expression) []nodes.Expression {
	out := make([]nodes.Expression, len(list))
	for i, n := range list {
		out[i] = w.expr(n)
	}
	return out
}

var comparisons = []tokens.Type{tokens.Equals, tokens.Ne, tokens.LowerThan, tokens.LowerThanOrEqual, tokens.GreaterThan, tokens.GreaterThanOrEqual}

var operators = map[tokens.Type]string{
	tokens.Equals: "eq", tokens.Ne: "ne", tokens.LowerThan: "lt", tokens.LowerThanOrEqual: "le",
	tokens.GreaterThan: "gt", tokens.GreaterThanOrEqual: "ge", tokens.Addition: "add", tokens.Subtraction: "sub",
	tokens.Multiply: "mul", tokens.Division: "div", tokens.FloorDivision: "floordiv", tokens.Modulo: "mod",
	tokens.Tilde: "concat",
}

// compares reports whether n is a comparison, so that another beside it would be a chain. Parentheses
// leave no trace in the tree: a chain and a comparison of comparisons look the same.
func compares(n nodes.Node) bool {
	switch n := n.(type) {
	case *nodes.BinaryExpression:
		return slices.Contains(comparisons, n.Operator.Token.Type)
	case *nodes.TestExpression:
		return n.Test.Name == "in"
	case *nodes.Negation:
		return compares(n.Term)
	}
	return false
}

func (w *rewriter) binary(n *nodes.BinaryExpression) nodes.Expression {
	at := n.Operator.Token
	if at.Type == tokens.And || at.Type == tokens.Or {
		// Lazy, so it stays what it is; its operands refuse what is undefined.
		n.Left, n.Right = w.call("value", at, w.expr(n.Left)), w.call("value", at, w.expr(n.Right))
		return n
	}
	op, ok := operators[at.Type]
	if !ok {
		w.refuse(at, "the operator "+at.Val+" is not supported", "compute it in SQL")
		return n
	}
	if slices.Contains(comparisons, at.Type) && (compares(n.Left) || compares(n.Right)) {
		w.refuse(at, "a comparison of comparisons is not supported", "join two comparisons with and")
	}
	return w.call(op, at, w.expr(n.Left), w.expr(n.Right))
}

func (w *rewriter) slice(n *nodes.GetSlice) nodes.Expression {
	args := []nodes.Expression{w.expr(n.Node)}
	for _, part := range []nodes.Node{n.Start, n.End} {
		if part == nil {
			args = append(args, &nodes.None{Location: n.Location})
		} else {
			args = append(args, w.expr(part))
		}
	}
	if n.Step != nil {
		w.refuse(n.Location, "a slice with a step is not supported", "use the filter reverse, or a loop")
	}
	return w.call("slice", n.Location, args...)
}

func (w *rewriter) filtered(n *nodes.FilteredExpression) nodes.Expression {
	inner := n.Expression
	if not, ok := inner.(*nodes.Negation); ok {
		inner = not.Term
	}
	if _, ok := inner.(*nodes.TestExpression); ok {
		w.refuse(n.Filters[0].Token, "a filter after in or is applies to another part here than in Jinja2", "set the filtered value to a name first: {% set x = … | … %}")
	}
	out := w.expr(n.Expression)
	for _, f := range n.Filters {
		if _, ok := filters[f.Name]; !ok && f.Name != "default" && f.Name != "d" {
			w.refuse(f.Token, fmt.Sprintf("the filter %q is not supported", f.Name), "use one of "+strings.Join(filterNames(), ", "))
			continue
		}
		c := w.call("filter", f.Token, append([]nodes.Expression{str(f.Token, f.Name), out}, w.all(f.Args)...)...)
		w.keywords(c, f.Kwargs)
		out = c
	}
	return out
}

func (w *rewriter) test(n *nodes.TestExpression) nodes.Expression {
	t := n.Test
	if t.Name == "in" {
		if compares(n.Expression) {
			w.refuse(t.Token, "a comparison of comparisons is not supported", "join two comparisons with and")
		}
		if len(t.Args) != 1 {
			w.refuse(t.Token, "in needs a list, a text or a dictionary on its right", "write one, or set it to a name first")
			return w.expr(n.Expression)
		}
		return w.call("in", t.Token, w.expr(n.Expression), w.expr(t.Args[0]))
	}
	switch n.Expression.(type) {
	case *nodes.BinaryExpression, *nodes.UnaryExpression, *nodes.TestExpression, *nodes.Negation:
		w.refuse(t.Token, "is after an operator applies to another part here than in Jinja2", "set the left side to a name first: {% set x = … %}")
	}
	if _, ok := tests[t.Name]; !ok {
		w.refuse(t.Token, fmt.Sprintf("the test %q is not supported", t.Name), "use one of in, "+strings.Join(testNames(), ", "))
		return w.expr(n.Expression)
	}
	return w.call("test", t.Token, append([]nodes.Expression{str(t.Token, t.Name), w.expr(n.Expression)}, w.all(t.Args)...)...)
}

func (w *rewriter) function(n *nodes.Call) nodes.Expression {
	switch f := n.Func.(type) {
	case *nodes.Name:
		c := w.call("call", f.Name, append([]nodes.Expression{str(f.Name, f.Name.Val), str(f.Name, w.places(n.Kwargs))}, w.all(n.Args)...)...)
		w.keywords(c, n.Kwargs)
		return c
	case *nodes.GetAttribute:
		if do, changes := changing[f.Attribute]; changes {
			w.refuse(f.Location, fmt.Sprintf("the method %s changes its object, which loops and blocks lose", f.Attribute), do)
		} else if !slices.Contains(methodNames, f.Attribute) {
			do := "use one of " + strings.Join(methodNames, ", ") + ", or a filter"
			if of, ok := f.Node.(*nodes.Name); ok && foreign[of.Name.Val] != "" {
				do = foreign[of.Name.Val]
			}
			w.refuse(f.Location, fmt.Sprintf("the method %q is not supported", f.Attribute), do)
		}
		if len(n.Kwargs) > 0 {
			w.refuse(f.Location, "methods take no named arguments here", "pass them in order")
		}
		return w.call("method", f.Location, append([]nodes.Expression{w.expr(f.Node), str(f.Location, f.Attribute)}, w.all(n.Args)...)...)
	}
	w.refuse(n.Location, "only functions, macros and methods can be called", "name what is called")
	return n
}

// keywords adds rewritten named arguments to a call.
func (w *rewriter) keywords(c *nodes.Call, kwargs map[string]nodes.Expression) {
	for k, v := range kwargs {
		if strings.HasPrefix(k, "__") {
			w.refuse(v.Position(), strconv.Quote(k)+" cannot be used as a name", "choose another name")
		}
		c.Kwargs[k] = w.expr(v)
	}
}

// places writes where each named argument stands, as "name=line:column name=line:column".
func (w *rewriter) places(kwargs map[string]nodes.Expression) string {
	var out []string
	for k, v := range kwargs {
		p := w.place(v.Position())
		out = append(out, fmt.Sprintf("%s=%d:%d", k, p.Line, p.Column))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}
