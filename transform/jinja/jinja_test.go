package jinja

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write which recorded templates are refused")

// recorded is a template and what Jinja2 3.1.6 with StrictUndefined makes of it, where x is 'X', t True, y False and n None.
type recorded struct {
	Template string  `json:"template"`
	Jinja2   *string `json:"jinja2,omitempty"` // its text
	Error    string  `json:"error,omitempty"`  // or the class of its error
	Refused  bool    `json:"refused,omitempty"`
}

// TestLikeJinja2 is the package's promise: what is rendered equals Jinja2's text, everything else is refused.
func TestLikeJinja2(t *testing.T) {
	const file = "testdata/jinja2.json"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var cases []recorded
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	rendered := 0
	for i, c := range cases {
		got, failed := render(c.Template)
		switch {
		case failed == nil && c.Jinja2 == nil:
			t.Errorf("%q gives %q, Jinja2 %s", c.Template, got, c.Error)
		case failed == nil && got != *c.Jinja2:
			t.Errorf("%q gives %q, Jinja2 %q", c.Template, got, *c.Jinja2)
		case failed == nil:
			rendered++
		case failed.What == "" || failed.Line < 1 || failed.Column < 1:
			t.Errorf("%q is refused without a sentence or a place: %+v", c.Template, failed)
		}
		if refused := failed != nil; !*update && refused != c.Refused {
			t.Errorf("%q: refused is %v, recorded %v (%v)", c.Template, refused, c.Refused, failed)
		}
		cases[i].Refused = failed != nil
	}
	if rendered < 300 {
		t.Errorf("only %d of %d templates are rendered", rendered, len(cases))
	}
	if *update {
		data, err := json.MarshalIndent(cases, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func render(source string) (string, *Error) {
	tmpl, errs := Parse("m.sql", source)
	if len(errs) > 0 {
		return "", errs[0]
	}
	return tmpl.Render(nil, map[string]any{"x": "X", "t": true, "n": nil, "y": false})
}

const macros = `
{# cents to a currency #}
{% macro money(column, digits=2) %}round({{ column }} / 100.0, {{ digits }}){% endmacro %}
{%- macro count_down(n) %}{% if n > 0 %}{{ n }} {{ count_down(n - 1) }}{% endif %}{% endmacro %}
{% macro for_ever() %}{{ for_ever() }}{% endmacro %}
{% macro echo(text) %}{{ text }}{{ suffix() }}{% endmacro %}
{% macro outer() %}{{ secret }}{% endmacro %}
{% macro shadow(a) %}{% set a = a ~ '!' %}{{ a }}{% endmacro %}
`

func TestMacros(t *testing.T) {
	file, errs := ParseMacros("macros/m.sql", macros)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	lib, errs := NewLibrary(file)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	suffix := Func(func(*Call) (any, error) { return "?", nil })
	for _, c := range []struct{ source, want string }{
		{"{{ money('amount') }}", "round(amount / 100.0, 2)"},
		{"{{ money('amount', digits=4) }}", "round(amount / 100.0, 4)"},
		{"{{ money(column='a', digits=0) | upper }}", "ROUND(A / 100.0, 0)"},
		{"{{ count_down(3) }}", "3 2 1 "},
		{"{{ echo('x') }}", "x?"},
		{"{% set a = 1 %}{{ shadow('b') }}{{ a }}", "b!1"},
		{"{% for c in ['a', 'b'] %}{{ money(c) }};{% endfor %}", "round(a / 100.0, 2);round(b / 100.0, 2);"},
		{"{{ money() }}", `macros/m.sql:3:42: "column" is not defined`},
		{"{{ money('a', 1, 2) }}", "m.sql:1:4: macro 'money' received 3 arguments but expected only 2"},
		{"{{ for_ever() }}", "macros/m.sql:5:26: macro for_ever calls itself more than 100 times"},
		{"{% set secret = 1 %}{{ outer() }}", `macros/m.sql:7:20: "secret" is not defined`},
	} {
		tmpl, errs := Parse("m.sql", c.source)
		if len(errs) > 0 {
			t.Errorf("%s: %v", c.source, errs[0])
			continue
		}
		got, failed := tmpl.Render(lib, map[string]any{"suffix": suffix})
		if failed != nil {
			got = failed.Error()
		}
		if !strings.HasPrefix(got, c.want) || (failed == nil && got != c.want) {
			t.Errorf("%s: got %q, want %q", c.source, got, c.want)
		}
	}
	again, _ := ParseMacros("macros/n.sql", "{% macro money() %}{% endmacro %}")
	if _, errs := NewLibrary(file, again); len(errs) != 1 || errs[0].What != "the macro money is also defined in macros/m.sql:3" {
		t.Errorf("a macro defined twice: %v", errs)
	}
	if _, errs := ParseMacros("macros/p.sql", "{% macro a() %}{% endmacro %}\n{% macro a() %}{% endmacro %}"); len(errs) != 1 || errs[0].Line != 2 {
		t.Errorf("a macro defined twice in a file: %v", errs)
	}
	if _, errs := ParseMacros("macros/o.sql", "select 1"); len(errs) != 1 {
		t.Errorf("SQL in a file of macros: %v", errs)
	}
}

func TestCallsKnowTheirPlaces(t *testing.T) {
	var got *Call
	config := Func(func(c *Call) (any, error) { got = c; return "", nil })
	tmpl, errs := Parse("a.sql", "-- é\n{{\n  config(\n    'x',\n    tags=['a', 'b'],\n    limits={'k': 1}) }}")
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if _, failed := tmpl.Render(nil, map[string]any{"config": config}); failed != nil {
		t.Fatal(failed)
	}
	want := &Call{Position{"a.sql", 3, 3}, "config", []any{"x"},
		map[string]any{"tags": []any{"a", "b"}, "limits": Dict{{"k", 1}}},
		map[string]Position{"tags": {"a.sql", 5, 10}, "limits": {"a.sql", 6, 12}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRenderingEnds(t *testing.T) {
	for _, source := range []string{
		"{% for i in range(99999) %}{% for j in range(99999) %}{{ i }}{% endfor %}{% endfor %}",
		"{% for i in range(99999) %}{% for j in range(99999) %}{% set x = 1 %}{% endfor %}{% endfor %}",
		"{% set ns = namespace(s='xxxxxxxxxx') %}{% for i in range(90) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
		"{% set ns = namespace(l=[1]) %}{% for i in range(90) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
		"{% set a = 'x' | replace('x', '" + strings.Repeat("x", 9000) + "') %}{{ a | replace('x', a) }}",
		"{{ range(1000000000) | length }}",
		strings.Repeat("{% if t %}", 200) + strings.Repeat("{% endif %}", 200),
		"{{ " + strings.Repeat("(", 100_000) + " }}",
	} {
		if _, failed := render(source); failed == nil {
			t.Errorf("%.60s is rendered to its end", source)
		}
	}
}

func TestTemplatesAreShared(t *testing.T) {
	tmpl, errs := Parse("a.sql", "{% set ns = namespace(n=0) %}{% for i in range(50) %}{% set ns.n = ns.n + who %}{% endfor %}{{ ns.n }}")
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var wg sync.WaitGroup
	for who := range 8 {
		wg.Go(func() {
			got, failed := tmpl.Render(nil, map[string]any{"who": who})
			if want, _ := printed(50 * who); failed != nil || got != want {
				t.Errorf("got %q %v, want %q", got, failed, want)
			}
		})
	}
	wg.Wait()
}

func FuzzParse(f *testing.F) {
	data, err := os.ReadFile("testdata/jinja2.json")
	if err != nil {
		f.Fatal(err)
	}
	var cases []recorded
	if err := json.Unmarshal(data, &cases); err != nil {
		f.Fatal(err)
	}
	for _, c := range cases {
		f.Add(c.Template)
	}
	f.Add(macros)
	f.Fuzz(func(t *testing.T, source string) {
		for _, parse := range []func(string, string) (*Template, []*Error){Parse, ParseMacros} {
			tmpl, errs := parse("m.sql", source)
			for _, e := range errs {
				if e.Line < 1 || e.Column < 1 || e.What == "" {
					t.Errorf("an error without a place or a sentence: %+v", e)
				}
			}
			if len(errs) > 0 {
				continue
			}
			lib, _ := NewLibrary(tmpl)
			if _, failed := tmpl.Render(lib, map[string]any{"x": "X", "t": true, "n": nil, "y": false}); failed != nil && failed.What == "" {
				t.Errorf("a failure without a sentence: %+v", failed)
			}
		}
	})
}
