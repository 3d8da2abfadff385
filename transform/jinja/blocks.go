package jinja

import (
	"errors"
	"fmt"
	"strings"

	cs "github.com/nikolalohinski/gonja/v2/builtins/control_structures"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// blocks returns the blocks that are rendered; every other one is refused by name.
func blocks() *exec.ControlStructureSet {
	set := map[string]parser.ControlStructureParser{"set": placedParser(parseSet), "test": placedParser(parseTest)}
	for _, name := range []string{"if", "for", "macro", "raw"} {
		if p, ok := cs.All.Get(name); ok {
			set[name] = placedParser(p)
		}
	}
	return exec.NewControlStructureSet(set)
}

// placedParser gives the errors of a block's parser, some of which say nothing of where, the block's place.
func placedParser(parse parser.ControlStructureParser) parser.ControlStructureParser {
	return func(p *parser.Parser, args *parser.Parser) (nodes.ControlStructure, error) {
		at := args.Current()
		if at == nil || at.Line == 0 {
			at = p.Current()
		}
		c, err := parse(p, args)
		if err == nil {
			return c, nil
		}
		for e := err; e != nil; e = unwrap(e) {
			s := &parser.SyntaxError{}
			if errors.As(e, &s) {
				return nil, err
			}
		}
		return nil, p.Error(err.Error(), at)
	}
}

// refusedBlock says what to write instead of a block that is not rendered.
func refusedBlock(at Position, name string) *Error {
	e := &Error{Position: at, What: fmt.Sprintf("the block {%% %s %%} is not supported", name)}
	switch name {
	case "do":
		e.Do = "build lists with a namespace: {% set ns = namespace(items=[]) %}, then {% set ns.items = ns.items + [x] %}"
	case "break", "continue":
		e.Do = "put an {% if %} around the rest of the loop's body"
	case "call", "filter", "with":
		e.Do = "use {% set %} and a macro of sql/macros"
	case "include", "import", "from", "extends", "block":
		e.Do = "macros of sql/macros are known in every model without an import"
	case "snapshot":
		e.Do = "keep history with an incremental model: append the rows of each night with {{ data_date }}, or use the dbt engine"
	case "materialization":
		e.Do = "use materialized='table', 'view', 'incremental' or 'ephemeral'"
	default:
		e.Do = "use if, for, set, raw, or a macro of sql/macros"
		if strings.HasPrefix(name, "end") || name == "else" || name == "elif" {
			e.What, e.Do = fmt.Sprintf("{%% %s %%} stands here without its beginning", name), "remove it, or begin the block"
		}
	}
	return e
}

// TestPrefix begins the name of the macro that a {% test name(…) %} block becomes.
const TestPrefix = "test_"

// parseTest reads {% test name(model, column_name, x=1) %}…{% endtest %}: a macro under a name of its own.
func parseTest(p *parser.Parser, args *parser.Parser) (nodes.ControlStructure, error) {
	m := &nodes.Macro{Location: p.Current(), Kwargs: []*nodes.Pair{}}
	name := args.Match(tokens.Name)
	if name == nil {
		return nil, args.Error("a test needs a name", args.Current())
	}
	m.Name = TestPrefix + name.Val
	if args.Match(tokens.LeftParenthesis) == nil {
		return nil, args.Error("a test's name is followed by its parameters: (model, column_name)", args.Current())
	}
	for args.Match(tokens.RightParenthesis) == nil {
		param := args.Match(tokens.Name)
		if param == nil {
			return nil, args.Error("a test's parameters are names, as (model, column_name, most=10)", args.Current())
		}
		pair := &nodes.Pair{Key: &nodes.String{Location: param, Val: param.Val}, Value: &nodes.None{Location: param}}
		if args.Match(tokens.Assign) != nil {
			value, err := args.ParseExpression()
			if err != nil {
				return nil, err
			}
			pair.Value = value
		}
		m.Kwargs = append(m.Kwargs, pair)
		if args.Match(tokens.Comma) == nil && args.Current(tokens.RightParenthesis) == nil {
			return nil, args.Error("parameters are parted by commas", args.Current())
		}
	}
	if !args.End() {
		return nil, args.Error("unexpected text in a test block", args.Current())
	}
	body, end, err := p.WrapUntil("endtest")
	if err != nil {
		return nil, err
	}
	if !end.End() {
		return nil, end.Error("endtest takes no arguments", end.Current())
	}
	m.Wrapper = body
	p.Template.Macros[m.Name] = m
	return &cs.MacroControlStructure{Macro: m}, nil
}

// setBlock is {% set x = … %}, {% set ns.x = … %} or {% set x %}…{% endset %}. Gonja's own keeps its
// parts to itself, so they could not be rewritten.
type setBlock struct {
	at          *tokens.Token
	line        int    // in the file
	name        string // the variable, or the namespace's variable
	attribute   string // of the namespace; empty for a variable
	expression  nodes.Expression
	condition   nodes.Expression
	alternative nodes.Expression
	body        *nodes.Wrapper
}

func (s *setBlock) Position() *tokens.Token { return s.at }
func (s *setBlock) String() string          { return "set " + s.name }

func parseSet(p *parser.Parser, args *parser.Parser) (nodes.ControlStructure, error) {
	s := &setBlock{at: args.Current()}
	target, err := args.ParseVariableOrLiteral()
	if err != nil {
		return nil, err
	}
	switch t := target.(type) {
	case *nodes.Name:
		s.name = t.Name.Val
	case *nodes.GetAttribute:
		of, ok := t.Node.(*nodes.Name)
		if !ok || t.Attribute == "" {
			return nil, args.Error("only a name, or an attribute of a namespace, can be set", s.at)
		}
		s.name, s.attribute = of.Name.Val, t.Attribute
	default:
		return nil, args.Error("only a name, or an attribute of a namespace, can be set", s.at)
	}
	if args.Current(tokens.Comma) != nil {
		return nil, args.Error("set of several names at once is not supported: write one {% set %} for each", s.at)
	}
	if args.Match(tokens.Assign) == nil {
		if !args.End() || s.attribute != "" {
			return nil, args.Error("expected = or the end of the block", args.Current())
		}
		body, end, err := p.WrapUntil("endset")
		if err != nil {
			return nil, err
		}
		if !end.End() {
			return nil, end.Error("endset takes no arguments", end.Current())
		}
		s.body = body
		return s, nil
	}
	if s.expression, err = args.ParseExpression(); err != nil {
		return nil, err
	}
	if s.condition, s.alternative, err = args.ParseCondition(); err != nil {
		return nil, err
	}
	if s.condition != nil && s.alternative == nil {
		return nil, args.Error("an inline if in a set needs an else", s.at)
	}
	if args.Current(tokens.Comma) != nil {
		return nil, args.Error("a tuple needs parentheses here", args.Current())
	}
	if !args.End() {
		return nil, args.Error("unexpected text in a set block", args.Current())
	}
	return s, nil
}

// Execute sets the variable in the block's own scope, as Jinja2 does.
func (s *setBlock) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	var value *exec.Value
	switch {
	case s.body != nil:
		var out strings.Builder
		sub := r.Inherit()
		sub.Output = &out
		if err := sub.ExecuteWrapper(s.body); err != nil {
			return err
		}
		value = exec.AsValue(out.String())
	case s.condition != nil:
		condition := r.Eval(s.condition)
		if condition.IsError() {
			return condition
		}
		if condition.IsTrue() {
			value = r.Eval(s.expression)
		} else {
			value = r.Eval(s.alternative)
		}
	default:
		value = r.Eval(s.expression)
	}
	if value.IsError() {
		return value
	}
	if s.attribute == "" {
		r.Environment.Context.Set(s.name, value.Interface())
		return nil
	}
	held, _ := r.Environment.Context.Get(s.name)
	ns, ok := plain(held).(*Namespace)
	if !ok {
		return fmt.Errorf("line %d: %s is not a namespace, which alone has attributes that can be set", s.line, s.name)
	}
	ns.values[s.attribute] = value.Interface()
	return nil
}
