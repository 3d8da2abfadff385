package schedules

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile/schematest"
)

func options() Options {
	return Options{Sources: map[elt.SourceName]string{"shop": "public", "crm": ""}, MaskKey: true}
}

func parse(t *testing.T, files map[string]string) ([]*Schedule, elt.Problems) {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return Parse(fsys, options())
}

// Each case of testdata is a pair: the good file has no problem, and the bad one has exactly those that the
// comments at its end tell.
func TestPairs(t *testing.T) {
	good, err := filepath.Glob("testdata/*.good.yaml")
	if err != nil || len(good) < 40 {
		t.Fatalf("testdata has %d pairs: %v", len(good), err)
	}
	for _, file := range good {
		name := strings.TrimSuffix(filepath.Base(file), ".good.yaml")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if _, problems := parse(t, map[string]string{"nightly.yaml": string(text)}); len(problems) > 0 {
				t.Errorf("the good one has problems: %v", problems)
			}
			bad, err := os.ReadFile(filepath.Join("testdata", name+".bad.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			_, problems := parse(t, map[string]string{"nightly.yaml": string(bad)})
			var want, got []string
			for line := range strings.Lines(string(bad)) {
				if sentence, ok := strings.CutPrefix(line, "# want: "); ok {
					want = append(want, strings.TrimSpace(sentence))
				}
			}
			for _, p := range problems {
				got = append(got, p.String()+" ["+string(p.Code)+"]")
				if p.Code == "" || p.Do == "" {
					t.Errorf("no code or no advice: %+v", p)
				}
			}
			if len(want) == 0 {
				t.Error("the bad one tells no problem")
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseFillsEverything(t *testing.T) {
	dublin, err := time.LoadLocation("Europe/Dublin")
	if err != nil {
		t.Fatal(err)
	}
	kolkata, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	text := `
at: "02:05"
timezone: Europe/Dublin
deadline: "07:00"
catch_up: all
retries: {attempts: 5, max_delay: 1h}
owners: [a@example.com, b@example.com]
tables:
  shop.parts:
    table: app.message_parts
    mode: incremental
    key: [id, part]
    cursor: updated_at
    cursor_timezone: Asia/Kolkata
    overlap: 2h
    start: 2026-01-01
    columns: {exclude: [notes], hash: [email], redact: [name]}
    description: Parts of messages
    owners: [c@example.com, d@example.com]
    tags: [pii]
    deadline: "08:00"
    allow_empty: true
  shop.users:
  crm.contacts:
`
	got, problems := parse(t, map[string]string{"nightly.yaml": text})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	owners := []string{"a@example.com", "b@example.com"}
	want := []*Schedule{{
		Name: "nightly", File: "schedules/nightly.yaml", Zone: dublin, Hour: 2, Minute: 5, CatchUp: CatchUpAll, OnHoliday: SkipHolidays, Overlap: OverlapQueue,
		Deadline: "07:00", Retries: Retries{Attempts: 5, First: 30 * time.Second, Max: time.Hour, Wait: time.Hour}, Owners: owners, Models: []string{"*"},
		Tables: []Table{
			{
				Extraction: elt.Extraction{
					Dataset: "shop.parts", Source: "shop", Table: "app.message_parts", Mode: elt.Incremental, Key: []string{"id", "part"},
					Cursor: "updated_at", CursorZone: kolkata, Overlap: 2 * time.Hour, Start: elt.Date{Year: 2026, Month: 1, Day: 1},
					ColumnRules: elt.ColumnRules{Exclude: []string{"notes"}, Hash: []string{"email"}, Redact: []string{"name"}}, AllowEmpty: true,
				},
				Description: "Parts of messages", Owners: []string{"c@example.com", "d@example.com"}, Tags: []string{"pii"},
				Deadline: "08:00", Line: 9, Column: 3,
			},
			{Extraction: elt.Extraction{Dataset: "shop.users", Source: "shop", Table: "public.users", Mode: elt.Full}, Owners: owners, Deadline: "07:00", Line: 23, Column: 3},
			{Extraction: elt.Extraction{Dataset: "crm.contacts", Source: "crm", Table: "contacts", Mode: elt.Full}, Owners: owners, Deadline: "07:00", Line: 24, Column: 3},
		},
	}}
	sameZone := cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() })
	if diff := cmp.Diff(want, got, sameZone, cmpopts.IgnoreUnexported(Schedule{})); diff != "" {
		t.Error(diff)
	}
	p := got[0].Place(elt.Problem{What: "the table is missing"}, "shop.users")
	if p.String() != "schedules/nightly.yaml:23:3: the table is missing" {
		t.Error(p)
	}
}

const one = `
at: "02:00"
timezone: UTC
owners: [a@example.com, b@example.com]
`

func TestParseSeveralFiles(t *testing.T) {
	for name, tc := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"two schedules": {map[string]string{"a.yaml": one + "tables: {shop.users: }\n", "b.yml": one + "tables: {shop.orders: }\n", "README.md": "#", ".b.yaml.swp": "x"}, nil},
		"a dataset twice": {map[string]string{"a.yaml": one + "tables: {shop.users: }\n", "b.yaml": one + "tables: {shop.users: , shop.orders: }\n"}, []string{
			"schedules/b.yaml:5:10: the dataset shop.users is already brought at schedules/a.yaml:5, and a dataset belongs to one schedule; remove one of the two"}},
		"a schedule twice": {map[string]string{"a.yaml": one + "tables: {shop.users: }\n", "a.yml": one}, []string{
			"schedules/a.yml: the schedule a is already given by schedules/a.yaml; remove one of the two files"}},
		"nothing to do": {map[string]string{"a.yaml": one + "tables: {shop.users: }\n", "b.yaml": one}, []string{
			"schedules/b.yaml:1:1: schedule b brings nothing; list tables, or name models, or remove the file"}},
		"a bad name": {map[string]string{"My Night.yaml": one}, []string{
			`schedules/My Night.yaml: "My Night" cannot name a schedule; rename the file: lower-case letters, digits, _ and -, beginning with a letter`}},
		"a folder": {map[string]string{"a.yaml": one + "tables: {shop.users: }\n", "old/b.yaml": one}, []string{
			"schedules/old: warning: folders within schedules are not read; move its files up"}},
		"empty": {nil, []string{"schedules: there is no schedule; create schedules/nightly.yaml, or run daybreak init"}},
		"rubbish beside a good one": {map[string]string{"a.yaml": one + "tables: {shop.users: }\n", "b.yaml": "\xff\xfe"}, []string{
			"schedules/b.yaml:1:1: it is not UTF-8 text; save the file as UTF-8"}},
		"an empty file": {map[string]string{"a.yaml": ""}, []string{
			`schedules/a.yaml:1:1: nothing says when the schedule starts; add at: "02:00", or a cron expression`,
			"schedules/a.yaml:1:1: nothing says in which time zone the schedule's dates and times are; add timezone: with an IANA name such as Europe/Dublin, or UTC"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := parse(t, tc.files)
			var got []string
			for _, p := range problems {
				got = append(got, p.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseWithoutFolder(t *testing.T) {
	if _, problems := Parse(os.DirFS(filepath.Join(t.TempDir(), "nope")), options()); problems.Err() == nil {
		t.Error("a missing folder is no problem")
	}
}

func TestParseModels(t *testing.T) {
	got, problems := parse(t, map[string]string{"a.yaml": one + "tables: {shop.users: }\n", "b.yaml": one + "models: [tag:hourly]\n"})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if len(got[0].Models) != 0 || len(got[1].Models) != 1 {
		t.Errorf("with two schedules, models are %v and %v", got[0].Models, got[1].Models)
	}
	got, _ = parse(t, map[string]string{"a.yaml": one + "tables: {shop.users: }\nmodels: []\n"})
	if len(got[0].Models) != 0 {
		t.Errorf("models: [] builds %v", got[0].Models)
	}
}

// Where daybreak.yaml could not be read, its sources are unknown and so is none of them.
func TestParseWithoutSources(t *testing.T) {
	fsys := fstest.MapFS{"a.yaml": {Data: []byte(one + "tables: {any.users: }\n")}}
	if _, problems := Parse(fsys, Options{}); len(problems) > 0 {
		t.Error(problems)
	}
}

func TestHashNeedsAKey(t *testing.T) {
	fsys := fstest.MapFS{"a.yaml": {Data: []byte(one + "tables: {shop.users: {columns: {hash: [email]}}}\n")}}
	o := options()
	o.MaskKey = false
	_, problems := Parse(fsys, o)
	if len(problems) != 1 || problems[0].Code != codeMaskKeyMissing || problems[0].Line != 5 {
		t.Error(problems)
	}
}

// The schema that editors teach from knows exactly the keys that the parser knows.
func TestSchemaMatchesStructs(t *testing.T) {
	schema, err := os.ReadFile("../internal/config/schedule.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	schematest.Check(t, schema, scheduleYAML{})
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		scheds, problems := Parse(fstest.MapFS{"a.yaml": {Data: data}}, options())
		for _, p := range problems {
			if p.File == "" || p.Code == "" || p.What == "" || p.Do == "" || strings.ContainsAny(p.String(), "\n") {
				t.Errorf("%+v", p)
			}
		}
		if problems.Err() == nil && (len(scheds) != 1 || scheds[0].Zone == nil || len(scheds[0].Next(time.Unix(1e9, 0), 2)) != 2) {
			t.Errorf("no problem, and no schedule either: %v", scheds)
		}
	})
}
