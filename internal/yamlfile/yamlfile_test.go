package yamlfile_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
)

type table struct {
	Key     []string          `yaml:"key"`
	Overlap time.Duration     `yaml:"overlap"`
	Start   elt.Date          `yaml:"start"`
	Rows    int               `yaml:"rows"`
	Ratio   float64           `yaml:"ratio"`
	Empty   *bool             `yaml:"allow_empty"`
	Name    string            `yaml:"name"`
	Tags    map[string]string `yaml:"tags"`
	Args    any               `yaml:"args"`
	Token   yamlfile.Secret   `yaml:"token"`
	Inner   *table            `yaml:"inner"`
}

func decode(t *testing.T, text string) (table, *yamlfile.File, elt.Problems) {
	t.Helper()
	f, problems := yamlfile.Parse("f.yaml", []byte(text))
	env := map[string]string{"WORD": "hello", "NUM": "4", "YES": "true", "EMPTY": "", "TRAP": "${env:WORD}", "LONG": "s3cret-value"}
	problems = append(problems, f.Expand(func(k string) (string, bool) { v, ok := env[k]; return v, ok },
		func(path string) ([]byte, error) {
			if path == "token.txt" {
				return []byte("from file\n"), nil
			}
			return nil, os.ErrNotExist
		})...)
	var into table
	problems = append(problems, f.Decode(&into)...)
	return into, f, problems
}

func TestDecode(t *testing.T) {
	yes := true
	for name, tc := range map[string]struct {
		text string
		want table
	}{
		"empty":           {"", table{}},
		"only a comment":  {"# nothing\n", table{}},
		"separator":       {"---\nrows: 1\n", table{Rows: 1}},
		"separator, end":  {"---\nrows: 1\n...\n", table{Rows: 1}},
		"byte order mark": {"\uFEFFrows: 1\n", table{Rows: 1}},
		"windows endings": {"rows: 1\r\nname: a\r\n", table{Rows: 1, Name: "a"}},
		"null is nothing": {"rows:\nname: ~\nkey: null\n", table{}},
		"every type": {"key: [a, b]\noverlap: 2h30m\nstart: 2026-01-05\nrows: -3\nratio: 2\nallow_empty: true\nname: 'x: y'\n", table{
			Key: []string{"a", "b"}, Overlap: 150 * time.Minute, Start: elt.Date{Year: 2026, Month: 1, Day: 5}, Rows: -3, Ratio: 2, Empty: &yes, Name: "x: y"}},
		"durations":        {"overlap: 0\n", table{}},
		"quoted":           {"name: \"on: \\u00e9\"\n", table{Name: "on: é"}},
		"literal block":    {"name: |\n  a\n   b\n", table{Name: "a\n b\n"}},
		"folded block":     {"name: >-\n  a\n  b\n", table{Name: "a b"}},
		"colon in time":    {"name: 02:00\n", table{Name: "02:00"}},
		"mapping":          {"tags: {a: b, '1': c}\n", table{Tags: map[string]string{"a": "b", "1": "c"}}},
		"any":              {"args: {n: 1, big: 18446744073709551615, f: 1.5, l: [true, null, x]}\n", table{Args: map[string]any{"n": int64(1), "big": uint64(18446744073709551615), "f": 1.5, "l": []any{true, nil, "x"}}}},
		"anchor":           {"inner: &i {rows: 7, name: n}\nargs: *i\n", table{Inner: &table{Rows: 7, Name: "n"}, Args: map[string]any{"rows": int64(7), "name": "n"}}},
		"merge":            {"tags: &i {a: b, c: d}\ninner:\n  tags:\n    <<: *i\n    c: own\n", table{Tags: map[string]string{"a": "b", "c": "d"}, Inner: &table{Tags: map[string]string{"a": "b", "c": "own"}}}},
		"environment":      {"name: a-${env:WORD}-b\nrows: ${env:NUM}\nratio: ${env:NUM}\nallow_empty: ${env:YES}\n", table{Name: "a-hello-b", Rows: 4, Ratio: 4, Empty: &yes}},
		"empty variable":   {"name: x${env:EMPTY}\n", table{Name: "x"}},
		"expanded once":    {"name: ${env:TRAP}\n", table{Name: "${env:WORD}"}},
		"not expanded":     {"name: $${env:WORD} $5 $\n", table{Name: "${env:WORD} $5 $"}},
		"file":             {"token: ${file:token.txt}\n", table{Token: "from file"}},
		"keys stay":        {"tags: {'${env:WORD}': x}\n", table{Tags: map[string]string{"${env:WORD}": "x"}}},
		"alias of a value": {"name: &n ${env:WORD}\ninner: {name: *n}\n", table{Name: "hello", Inner: &table{Name: "hello"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, problems := decode(t, tc.text)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProblems(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"unknown keys": {"kye: [a]\ninner:\n  nmae: x\n  zzzzzz: 1\n", []string{
			`f.yaml:1:1: unknown key "kye"; did you mean "key"?`,
			`f.yaml:3:3: unknown key "nmae"; did you mean "name"?`,
			`f.yaml:4:3: unknown key "zzzzzz"; known are allow_empty, args, inner, key, name, overlap, ratio, rows, start, tags, token`}},
		"duplicate keys": {"name: a\nrows: 1\nname: b\n", []string{`f.yaml:3:1: the key "name" is already given in line 1; keep one of them`}},
		"all at once": {"name: 5\nrows: many\nkey: id\nallow_empty: 'true'\noverlap: 5\nstart: 2026-02-30\ntags: [a]\ninner: x\nratio: [1]\ntoken: 12\n", []string{
			`f.yaml:1:7: the number 5 is given where text is wanted; put it in quotes: "5"`,
			`f.yaml:2:7: the text "many" is given where a whole number is wanted; write a whole number`,
			`f.yaml:3:6: the text "id" is given where a list is wanted; write ["id"]`,
			`f.yaml:4:14: the text "true" is given where true or false is wanted; write true or false, without quotes`,
			`f.yaml:5:10: the number 5 is given where a duration such as 30s, 10m or 2h is wanted; write a duration such as 30s, 10m or 2h`,
			`f.yaml:6:8: "2026-02-30" is not a date: write it as 2026-01-05; correct it`,
			`f.yaml:7:7: a list is given where a mapping of keys and values is wanted; write a mapping of keys and values`,
			`f.yaml:8:8: the text "x" is given where a mapping of keys and values is wanted; write a mapping of keys and values`,
			`f.yaml:9:8: a list is given where a number is wanted; write a number`,
			`f.yaml:10:8: the number 12 is given where text is wanted; put it in quotes: "12"`}},
		"whole file":       {"- a\n", []string{`f.yaml:1:1: a list is given where a mapping of keys and values is wanted; write a mapping of keys and values`}},
		"too large number": {"rows: 99999999999999999999\n", []string{`f.yaml:1:7: the text "99999999999999999999" is given where a whole number is wanted; write a whole number`}},
		"empty item":       {"key:\n  - a\n  -\n", []string{`f.yaml:3:5: an item of the list is empty; write it or remove its line`}},
		"not UTF-8":        {"name: ok\nrows: \xff\n", []string{`f.yaml:2:7: it is not UTF-8 text; save the file as UTF-8`}},
		"tab":              {"inner:\n\trows: 1\n", []string{`f.yaml:2:1: a tab is used for indentation; indent with spaces`}},
		"control":          {"name: a\x00b\n", []string{`f.yaml:1:8: it holds the control character U+0000; remove it`}},
		"two documents":    {"rows: 1\n---\nrows: 2\n", []string{`f.yaml:2:1: it holds more than one document; remove the --- and what follows, or make it a file of its own`}},
		"tag":              {"name: !!str 5\n", []string{`f.yaml:1:7: the tag "!!str" is not allowed; remove it: types follow from the key`}},
		"directive":        {"%YAML 1.2\n---\nrows: 1\n", []string{`f.yaml:1:1: a YAML directive is not allowed; remove the line`}},
		"complex key":      {"? name\n: x\n", []string{`f.yaml:1:1: a key introduced by ? is not allowed; write it as key: value`}},
		"unknown alias":    {"name: *x\n", []string{`f.yaml:1:7: there is no anchor &x before this alias; define it above, or write the value out`}},
		"recursive alias":  {"args: &a [*a]\n", []string{`f.yaml:1:11: there is no anchor &a before this alias; define it above, or write the value out`}},
		"merge of a list":  {"inner:\n  <<: [1]\n", []string{`f.yaml:2:3: << merges mappings only; name an alias of a mapping, such as *defaults`}},
		"missing variable": {"name: ${env:NOPE}\ntoken: ${env:ALSO_NOT}\n", []string{
			`f.yaml:1:7: the environment variable NOPE is not set; set it before you start daybreak, or correct the name`,
			`f.yaml:2:8: the environment variable ALSO_NOT is not set; set it before you start daybreak, or correct the name`}},
		"missing file":        {"token: ${file:no.txt}\n", []string{`f.yaml:1:8: the file no.txt cannot be read: file does not exist; create it, or correct the path`}},
		"bad expansion":       {"name: ${WORD}\n", []string{`f.yaml:1:7: a ${ that is neither ${env:NAME} nor ${file:path}; write ${env:NAME} or ${file:path}, or $${ for a literal ${`}},
		"expanded, not shown": {"rows: ${env:LONG}\n", []string{`f.yaml:1:7: the text "${env:LONG}" is given where a whole number is wanted; correct the variable or file that it comes from`}},
		"expanded date":       {"start: ${env:LONG}\n", []string{`f.yaml:1:8: "***" is not a date: write it as 2026-01-05; correct it`}},
		"deep":                {"args: " + strings.Repeat("[", 1000), []string{`f.yaml:1:71: it is nested more than 64 deep; write it flatter`}},
		"deep dashes":         {strings.Repeat("- ", 1000), []string{`f.yaml:1:129: it is nested more than 64 deep; write it flatter`}},
		"deep indentation":    {strings.Repeat(" ", 500) + "a: b\n", []string{`f.yaml:1:401: it is indented by more than 400 spaces; indent with two spaces a level`}},
		"large":               {"name: " + strings.Repeat("x", 1<<20), []string{`f.yaml:1:1: it has 1048582 bytes, more than the 1048576 that a file may have; split it into several files`}},
		"many":                {strings.Repeat("a: b\n", 100_000), []string{`f.yaml:1:1: it has more than the 100000 words and signs that a file may have; split it into several files`}},
		"octal":               {"rows: 010\n", []string{`f.yaml:1:7: 010 could be read as octal or as decimal; leave out the leading zeros, or put it in quotes`}},
		"laughs":              {laughs(), []string{`f.yaml:1:1: its aliases unfold to more than 100000 values; write it without so many aliases`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, problems := decode(t, tc.text)
			got := make([]string, len(problems))
			for i, p := range problems {
				got[i] = p.String()
				if p.Code == "" || p.Do == "" {
					t.Errorf("no code or advice: %+v", p)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// laughs is a small file whose aliases unfold to ten billion values.
func laughs() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	return b.String()
}

func TestSyntaxErrorsArePlaced(t *testing.T) {
	for text, line := range map[string]int{
		"a: b\n c: d\n":        1,
		"a: [1, 2\nb: 3\n":     0, // anywhere
		"rows: 1\nname: \"x\n": 2,
		"a: b: c\n":            1,
	} {
		f, problems := yamlfile.Parse("f.yaml", []byte(text))
		if f == nil || len(problems) != 1 || problems[0].Code != yamlfile.CodeSyntax || problems[0].Line == 0 || problems[0].Column == 0 {
			t.Errorf("%q: %+v", text, problems)
			continue
		}
		if strings.Contains(problems[0].What, "\n") || line > 0 && problems[0].Line != line {
			t.Errorf("%q: %s", text, problems[0])
		}
	}
}

func TestPositions(t *testing.T) {
	f, problems := yamlfile.Parse("f.yaml", []byte("# head\nname: über, x\ntables:\n  shop.users:\n    mode: full\n    key: [id, zone]\n  shop.orders: {mode: 'x', key: [a]}\nlist:\n  - a: 1\n    b: 2\n  - c\nnothing:\n"))
	if problems != nil {
		t.Fatal(problems)
	}
	for _, tc := range []struct {
		path         []any
		line, column int
	}{
		{nil, 2, 1},
		{[]any{"name"}, 2, 7},
		{[]any{"tables"}, 3, 1},
		{[]any{"tables", "shop.users"}, 4, 3},
		{[]any{"tables", "shop.users", "mode"}, 5, 11},
		{[]any{"tables", "shop.users", "key"}, 6, 5},
		{[]any{"tables", "shop.users", "key", 1}, 6, 15},
		{[]any{"tables", "shop.orders", "mode"}, 7, 23},
		{[]any{"list", 0, "b"}, 10, 8},
		{[]any{"list", 0}, 9, 5},
		{[]any{"list", 1}, 11, 5},
		{[]any{"nothing"}, 12, 1},
		{[]any{"list", 2}, 0, 0},
		{[]any{"tables", "nope", "mode"}, 0, 0},
		{[]any{"name", "deeper"}, 0, 0},
		{[]any{"name", 0}, 0, 0},
	} {
		if line, column := f.At(tc.path...); line != tc.line || column != tc.column {
			t.Errorf("%v is at %d:%d, want %d:%d", tc.path, line, column, tc.line, tc.column)
		}
	}
	p := f.Problem("key_missing", "no cursor", "add cursor", "tables", "shop.users", "cursor")
	if p.String() != "f.yaml:4:3: no cursor; add cursor" {
		t.Error(p)
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	s := yamlfile.Secret("hunter2")
	type holder struct{ S yamlfile.Secret }
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s, "h", holder{s}, "p", &s)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "s", s, "h", holder{s}, "p", &s)
	b, err := json.Marshal(map[string]any{"s": s, "h": holder{s}, "p": &s})
	if err != nil {
		t.Fatal(err)
	}
	all := log.String() + string(b)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T"} {
		all += fmt.Sprintf(verb+verb+verb+verb, s, &s, holder{s}, []yamlfile.Secret{s})
	}
	for _, leak := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), fmt.Sprintf("%X", "hunter2")} {
		if strings.Contains(all, leak) {
			t.Errorf("%q leaks in %s", leak, all)
		}
	}
	if s.Reveal() != "hunter2" || yamlfile.Secret("").String() != "" {
		t.Error("Reveal or the empty secret is wrong")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a: b\n", "tables:\n  x: {a: [1, 2]}\n", laughs(), "a: &x 1\nb: *x\n", "? a\n: b", "<<: *a", "- - - a", "a: |\n  b\n", "a: \"\\u00e9\"", "---\n...\n", "name: ${env:WORD}$${", "a: 0x1F\nb: .inf\nc: .nan"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, problems := yamlfile.Parse("f.yaml", data)
		problems = append(problems, file.Expand(func(string) (string, bool) { return "x", true }, func(string) ([]byte, error) { return nil, nil })...)
		var into table
		var free any
		problems = append(problems, file.Decode(&into)...)
		problems = append(problems, file.Decode(&free)...)
		for _, p := range problems {
			if p.Code == "" || p.What == "" || p.Do == "" || p.Line < 1 || p.Column < 1 || strings.Contains(p.String(), "\n") {
				t.Errorf("%+v", p)
			}
		}
	})
}
