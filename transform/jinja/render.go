package jinja

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
	"github.com/nikolalohinski/gonja/v2/nodes"
)

const (
	maxOperations = 500_000
	maxNesting    = 100
	maxText       = 16 << 20 // octets
)

// Func is a function that templates may call. An *Error that it returns is the rendering's; any other
// error becomes one at the call's place.
type Func func(c *Call) (any, error)

// Call is one call of a Func. Values are nil, bool, int, float64, string, []any, Dict or *Namespace.
type Call struct {
	Position
	Name   string
	Args   []any
	Kwargs map[string]any
	Places map[string]Position // where each named argument's value stands
}

// Library is a set of macros that every template rendered with it may call.
type Library struct {
	macros map[string]libraryMacro
}

type libraryMacro struct {
	node *nodes.Macro
	from *Template
}

// NewLibrary collects the templates' macros. A name that comes twice is an error.
func NewLibrary(templates ...*Template) (*Library, []*Error) {
	lib := &Library{macros: map[string]libraryMacro{}}
	var errs []*Error
	for _, t := range templates {
		for name, node := range t.macros {
			if first, twice := lib.macros[name]; twice {
				other := first.place()
				errs = append(errs, &Error{libraryMacro{node, t}.place(), fmt.Sprintf("the macro %s is also defined in %s:%d", name, other.File, other.Line), "rename one of them"})
				continue
			}
			lib.macros[name] = libraryMacro{node, t}
		}
	}
	return lib, errs
}

// Has reports whether the library holds a macro of that name.
func (l *Library) Has(name string) bool {
	_, ok := l.macros[name]
	return ok
}

// Parameters returns the names of a macro's parameters, in order.
func (l *Library) Parameters(name string) []string {
	m, ok := l.macros[name]
	if !ok {
		return nil
	}
	out := make([]string, len(m.node.Kwargs))
	for i, p := range m.node.Kwargs {
		out[i] = p.Key.Position().Val
	}
	return out
}

// rendering is the state of one Render.
type rendering struct {
	file       string
	names      map[string]any
	operations int
	nesting    int
	err        *Error // the first error; gonja passes errors on as texts only
}

// errStop ends a rendering whose error is recorded.
var errStop = errors.New("stop")

// Render returns the template's text. Globals are values and Funcs by name; the library may be nil.
func (t *Template) Render(lib *Library, globals map[string]any) (text string, failed *Error) {
	run := &rendering{file: t.file, names: globals}
	defer func() {
		if p := recover(); p != nil {
			text, failed = "", run.failure(fmt.Errorf("%v", p))
		}
	}()
	base := exec.NewContext(map[string]any{operate: run.operate, "namespace": Func(newNamespace), "range": Func(newRange)})
	for name, value := range globals {
		base.Set(name, value)
	}
	loader, err := loaders.NewMemoryLoader(map[string]string{})
	if err != nil {
		return "", run.failure(err)
	}
	renderer := func(tree *exec.Template, out *limited) *exec.Renderer {
		return exec.NewRenderer(&exec.Environment{Context: base.Inherit()}, out, config.New(), loader, tree)
	}
	if lib != nil {
		for name, m := range lib.macros {
			fn, err := exec.MacroNodeToFunc(m.node, renderer(m.from.tree, &limited{}))
			if err != nil {
				return "", run.failure(err)
			}
			base.Set(name, fn)
		}
	}
	out := &limited{}
	if err := renderer(t.tree, out).Execute(); err != nil {
		return "", run.failure(err)
	}
	return out.String(), nil
}

// limited is a text that refuses to grow without end.
type limited struct{ strings.Builder }

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > maxText {
		return 0, fmt.Errorf("the rendered text is larger than %d MiB", maxText>>20)
	}
	return l.Builder.Write(p)
}

var atLine = regexp.MustCompile(`(?:at )?line (\d+): `)

// failure is what a rendering that ended with err reports.
func (r *rendering) failure(err error) *Error {
	if r.err != nil {
		return r.err
	}
	text, line := err.Error(), 1
	if all := atLine.FindAllStringSubmatch(text, -1); all != nil {
		line, _ = strconv.Atoi(all[len(all)-1][1])
	}
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	return &Error{Position{r.file, line, 1}, "cannot be rendered: " + text, "see the Jinja around this line"}
}

// fail records an error at a place and stops the rendering.
func (r *rendering) fail(at Position, what, do string) error {
	if r.err == nil {
		r.err = &Error{at, what, do}
	}
	return errStop
}

// operate evaluates one rewritten expression.
func (r *rendering) operate(e *exec.Evaluator, va *exec.VarArgs) (any, error) {
	operator, at := va.Args[0].String(), parsePlace(va.Args[1].String())
	if r.err != nil {
		return nil, errStop
	}
	if r.operations++; r.operations > maxOperations {
		return nil, r.fail(at, "the template does not come to an end", "look for a loop or a macro that repeats too often")
	}
	operands := va.Args[2:]
	switch operator {
	case "name":
		name := operands[0].String()
		value, ok := e.Environment.Context.Get(name)
		if !ok {
			return undefined{name, unknownName(name)}, nil
		}
		return plain(value), nil
	case "missing":
		name := operands[0].String()
		return undefined{name, "give the macro this argument"}, nil
	case "call":
		return r.call(e, at, operands, va.KwArgs)
	}
	args := make([]any, len(operands))
	for i, o := range operands {
		args[i] = plain(o)
	}
	kwargs := make(map[string]any, len(va.KwArgs))
	for k, v := range va.KwArgs {
		kwargs[k] = plain(v)
	}
	value, err := apply(operator, args, kwargs)
	if err != nil {
		if h, ok := errors.AsType[hint](err); ok {
			return nil, r.fail(at, h.what, h.do)
		}
		return nil, r.fail(at, err.Error(), "")
	}
	return value, nil
}

// call calls a function or a macro by name.
func (r *rendering) call(e *exec.Evaluator, at Position, operands []*exec.Value, kwargs map[string]*exec.Value) (any, error) {
	name := operands[0].String()
	value, ok := e.Environment.Context.Get(name)
	if !ok {
		u := undefined{name, unknownName(name)}.refused()
		return nil, r.fail(at, u.what, u.do)
	}
	switch fn := value.(type) {
	case Func:
		return r.callFunc(fn, name, at, operands, kwargs)
	case exec.Macro:
		for _, o := range slices.Concat(operands[2:], slices.Collect(maps.Values(kwargs))) {
			if _, ok := plain(o).(stream); ok {
				return nil, r.fail(at, onceOnly.what, onceOnly.do)
			}
		}
		if r.nesting++; r.nesting > maxNesting {
			return nil, r.fail(at, fmt.Sprintf("macro %s calls itself more than %d times", name, maxNesting), "end the recursion with an {% if %}")
		}
		out := fn(&exec.VarArgs{Args: operands[2:], KwArgs: kwargs})
		r.nesting--
		if out.IsError() {
			text := out.Error()
			return nil, r.fail(at, strings.TrimPrefix(text, "Unable to execute "), "call the macro with the parameters that it declares")
		}
		return out.String(), nil
	}
	return nil, r.fail(at, name+" is not a function", "remove the parentheses")
}

func (r *rendering) callFunc(fn Func, name string, at Position, operands []*exec.Value, kwargs map[string]*exec.Value) (any, error) {
	c := &Call{Position: at, Name: name, Kwargs: map[string]any{}, Places: map[string]Position{}}
	for _, o := range operands[2:] {
		v, err := r.argument(at, o)
		if err != nil {
			return nil, err
		}
		c.Args = append(c.Args, v)
	}
	for k, o := range kwargs {
		v, err := r.argument(at, o)
		if err != nil {
			return nil, err
		}
		c.Kwargs[k] = v
	}
	for p := range strings.FieldsSeq(operands[1].String()) {
		if k, place, ok := strings.Cut(p, "="); ok {
			pos := parsePlace(place + ":" + at.File)
			c.Places[k] = pos
		}
	}
	value, err := fn(c)
	if err == nil {
		return value, nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return nil, r.fail(e.Position, e.What, e.Do)
	}
	if h, ok := errors.AsType[hint](err); ok {
		return nil, r.fail(at, h.what, h.do)
	}
	return nil, r.fail(at, err.Error(), "")
}

// argument returns a function's argument as a plain value.
func (r *rendering) argument(at Position, v any) (any, error) {
	switch v := plain(v).(type) {
	case undefined:
		return nil, r.fail(at, v.refused().what, v.do)
	case stream:
		return nil, r.fail(at, onceOnly.what, onceOnly.do)
	default:
		return v, nil
	}
}

// parsePlace reads "line:column:file".
func parsePlace(s string) Position {
	line, rest, _ := strings.Cut(s, ":")
	column, file, _ := strings.Cut(rest, ":")
	p := Position{File: file}
	p.Line, _ = strconv.Atoi(line)
	p.Column, _ = strconv.Atoi(column)
	return p
}

// Names returns the macros' names in order.
func (l *Library) Names() []string { return slices.Sorted(maps.Keys(l.macros)) }

// Place returns where a macro is defined.
func (l *Library) Place(name string) Position {
	return l.macros[name].place()
}

func (m libraryMacro) place() Position { return m.from.source.place(m.node.Location.Pos) }
