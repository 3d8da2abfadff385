package config

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile/schematest"
)

// workspace makes a folder with a daybreak.yaml and the environment that the files of testdata refer to.
func workspace(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{FileName: text, "mask.key": "0123456789abcdef0123456789abcdef\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range map[string]string{
		"SHOP_URL":          "postgres://reader:pass@db.example.com/shop",
		"LEDGER_URL":        "postgres://ledger@db.example.com/ledger",
		"DAYBREAK_TOKEN":    "0123456789abcdef0123456789abcdef",
		"DAYBREAK_MASK_KEY": "0123456789abcdef0123456789abcdef",
		"SLACK_WEBHOOK":     "https://hooks.slack.com/services/T0/B0/hunter2",
		"NUMBER":            "7",
	} {
		t.Setenv(name, value)
	}
	return dir
}

// Each case of testdata is a pair: the good file has no problem, and the bad one has exactly those that the
// comments at its end tell.
func TestPairs(t *testing.T) {
	good, err := filepath.Glob("testdata/*.good.yaml")
	if err != nil || len(good) < 30 {
		t.Fatalf("testdata has %d pairs: %v", len(good), err)
	}
	for _, file := range good {
		name := strings.TrimSuffix(filepath.Base(file), ".good.yaml")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if _, problems := Load(workspace(t, string(text))); len(problems) > 0 {
				t.Errorf("the good one has problems: %v", problems)
			}
			bad, err := os.ReadFile(filepath.Join("testdata", name+".bad.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			dir := workspace(t, string(bad))
			_, problems := Load(dir)
			var want, got []string
			for line := range strings.Lines(string(bad)) {
				if sentence, ok := strings.CutPrefix(line, "# want: "); ok {
					want = append(want, strings.TrimSpace(sentence))
				}
			}
			for _, p := range problems {
				got = append(got, strings.ReplaceAll(p.String(), dir, "WORKSPACE")+" ["+string(p.Code)+"]")
				if p.Code == "" || p.Do == "" {
					t.Errorf("no code or no advice: %+v", p)
				}
				if strings.Contains(p.String(), "hunter2") {
					t.Errorf("a password is shown: %s", p)
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

func TestDefaults(t *testing.T) {
	dir := workspace(t, "sources: {shop: {postgres: \"${env:SHOP_URL}\"}, crm: {sqlite: crm.db}, far: {sqlite: /data/far.db}, old: {mysql: \"mysql://h/d\"}}\n")
	got, problems := Load(dir)
	if problems.Err() != nil {
		t.Fatal(problems)
	}
	in := func(path string) string { return filepath.Join(dir, path) }
	want := &Config{
		Dir: dir, Env: []string{"SHOP_URL"}, Title: "Daybreak", Ledger: Secret("sqlite:" + in("state/ledger.db")), Lake: Lake{Folder: in("lake")},
		Warehouse: Warehouse{DuckDB: in("state/warehouse.duckdb"), ReadCopy: in("read/warehouse.duckdb")},
		Sources: map[elt.SourceName]Source{
			"shop": {Postgres: "postgres://reader:pass@db.example.com/shop", Connections: 4},
			"crm":  {SQLite: in("crm.db")},
			"far":  {SQLite: "/data/far.db"},
			"old":  {MySQL: "mysql://h/d", Connections: 4},
		},
		Models: Models{Dir: in("sql"), Schema: "analytics", Target: "prod", DBTCommand: "dbt", FailingRows: 5, Artifacts: filepath.Join(dir, "state/artifacts")}, Threads: 4, Backfills: Backfills{Threads: 2}, Status: Status{Listen: "127.0.0.1:8080", RequestsPerSecond: 200, Connections: 4096},
		OpenLineage: OpenLineage{Namespace: "daybreak"},
		Retention:   Retention{Lake: Limits{Days: 90, Versions: 3}, Warehouse: Versions{1}, Staging: Days{7}, Ledger: Days{400}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[elt.SourceName]string{"shop": "public", "crm": "", "far": "", "old": ""}, got.TableSchemas()); diff != "" {
		t.Error(diff)
	}
}

func TestEverythingIsRead(t *testing.T) {
	dir := workspace(t, `
title: Acme data
ledger: ${env:LEDGER_URL}
lake: {s3: {bucket: b, prefix: p, region: r, endpoint: "http://127.0.0.1:9000", path_style: true, access_key: a, secret_key: s, attempts: 2, max_delay: 1s}}
warehouse: {duckdb: /w/w.duckdb, read_copy: r.duckdb, memory: 2GB}
sources: {shop: {postgres: "${env:SHOP_URL}", connections: "${env:NUMBER}"}}
masking: {key: "${file:mask.key}"}
models: {dir: models, schema: marts, vars: {since: 2026-01-01, n: 3, l: [a]}, target: dev, failing_rows: 2, artifacts: out}
threads: 8
backfills: {threads: 3}
status: {listen: ":80", public: true, token: "${env:DAYBREAK_TOKEN}", base_url: https://d.example.com}
notify: {slack: {webhook: "${env:SLACK_WEBHOOK}", channel: "#data"}, webhooks: [{url: "https://a.example.com", secret: 0123456789abcdef}, {name: pager, url: "https://b.example.com", secret: "${env:DAYBREAK_TOKEN}"}], allow_private: true}
retention: {lake: {days: 30, versions: 2}, warehouse: {versions: 0}, staging: {days: 2}, ledger: {days: 100}, at: "12:30"}
`)
	got, problems := Load(dir)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := &Config{
		Dir: dir, Env: []string{"DAYBREAK_TOKEN", "LEDGER_URL", "NUMBER", "SHOP_URL", "SLACK_WEBHOOK"}, Title: "Acme data", Ledger: "postgres://ledger@db.example.com/ledger",
		Lake:      Lake{S3: &S3{Bucket: "b", Prefix: "p", Region: "r", Endpoint: "http://127.0.0.1:9000", PathStyle: true, AccessKey: "a", SecretKey: "s", Attempts: 2, MaxDelay: time.Second}},
		Warehouse: Warehouse{DuckDB: "/w/w.duckdb", ReadCopy: filepath.Join(dir, "r.duckdb"), Memory: "2GB"},
		Sources:   map[elt.SourceName]Source{"shop": {Postgres: "postgres://reader:pass@db.example.com/shop", Connections: 7}},
		Masking:   Masking{Key: "0123456789abcdef0123456789abcdef"},
		Models:    Models{Dir: filepath.Join(dir, "models"), Schema: "marts", Vars: map[string]any{"since": "2026-01-01", "n": int64(3), "l": []any{"a"}}, Target: "dev", DBTCommand: "dbt", FailingRows: 2, Artifacts: filepath.Join(dir, "out")},
		Threads:   8,
		Backfills: Backfills{Threads: 3},
		Status:    Status{Listen: ":80", RequestsPerSecond: 200, Connections: 4096, Public: true, Token: "0123456789abcdef0123456789abcdef", BaseURL: "https://d.example.com"},
		Notify: Notify{
			Slack: Slack{Webhook: "https://hooks.slack.com/services/T0/B0/hunter2", Channel: "#data"}, AllowPrivate: true,
			Webhooks: []Webhook{
				{Name: "webhook-1", URL: "https://a.example.com", Secret: "0123456789abcdef"},
				{Name: "pager", URL: "https://b.example.com", Secret: "0123456789abcdef0123456789abcdef"},
			},
		},
		OpenLineage: OpenLineage{Namespace: "daybreak"},
		Retention:   Retention{Lake: Limits{Days: 30, Versions: 2}, Staging: Days{2}, Ledger: Days{100}, At: "12:30"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMissingWorkspace(t *testing.T) {
	dir := t.TempDir()
	c, problems := Load(dir)
	if c == nil || len(problems) != 1 || problems[0].Code != CodeWorkspaceMissing || !strings.Contains(problems[0].String(), dir) {
		t.Error(problems)
	}
}

// A file that could not be parsed has one problem, not one more for each key that is then missing.
func TestRubbish(t *testing.T) {
	for _, text := range []string{"\xff", "a: [", "\x00", strings.Repeat("[", 10_000)} {
		c, problems := Load(workspace(t, text))
		if c == nil || c.TableSchemas() != nil || len(problems) != 1 {
			t.Errorf("%.20q: %v", text, problems)
		}
	}
}

func TestSchemaMatchesStructs(t *testing.T) { schematest.Check(t, DaybreakSchema, Config{}) }

// What the schema says of defaults is what Load does.
func TestSchemaDefaults(t *testing.T) {
	reference, err := Reference(DaybreakSchema)
	if err != nil {
		t.Fatal(err)
	}
	d := defaults()
	for _, row := range []string{
		"| `title` | text | `" + d.Title + "` |",
		"| `ledger` | `sqlite:state/ledger.db` | `" + d.Ledger.Reveal() + "` |",
		"| `lake` | text or mapping | `" + d.Lake.Folder + "` |",
		"| `lake.s3.bucket` | text |  |",
		"| `lake.s3.attempts` | integer | `" + strconv.Itoa(defaultTries) + "` |",
		"| `lake.s3.max_delay` | text | `" + defaultPause.String() + "` |",
		"| `warehouse.duckdb` | text | `" + d.Warehouse.DuckDB + "` |",
		"| `warehouse.read_copy` | text | `" + d.Warehouse.ReadCopy + "` |",
		"| `sources.NAME.connections` | integer | `4` |",
		"| `models.dir` | text | `" + d.Models.Dir + "` |",
		"| `models.schema` | text | `" + d.Models.Schema + "` |",
		"| `models.target` | text | `" + d.Models.Target + "` |",
		"| `threads` | integer | `4` |",
		"| `status.listen` | `:8080` | `" + d.Status.Listen + "` |",
		"| `status.public` | true or false | `false` |",
		"| `notify.webhooks[].url` | `${env:PAGER_URL}` |  |",
		"| `notify.allow_private` | true or false | `false` |",
	} {
		if !strings.Contains(reference, row) {
			t.Errorf("the reference lacks %s", row)
		}
	}
	schedule, err := Reference(ScheduleSchema)
	if err != nil {
		t.Fatal(err)
	}
	if row := "| `tables.NAME.columns.hash` | list |  |"; !strings.Contains(schedule, row) {
		t.Errorf("the reference lacks %s:\n%s", row, schedule)
	}
	if _, err := Reference([]byte("[")); err == nil {
		t.Error("a broken schema is read")
	}
}

// Calendars and maintenance windows are read with what is wrong with each, at its place.
func TestCalendarsAndMaintenance(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("ireland.ics", "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:a\r\nDTSTART;VALUE=DATE:20200317\r\nRRULE:FREQ=YEARLY\r\nSUMMARY:Saint Patrick's Day\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")
	const head = "sources: {shop: {sqlite: shop.db}}\nstatus: {public: true}\n"
	write("daybreak.yaml", head+`
calendars:
  company:
    dates: [2026-12-24 Christmas Eve, 2026-12-31]
    ranges: [{from: 2027-08-02, to: 2027-08-13, name: works holidays}]
    weekly: [sun]
    ics: ireland.ics
maintenance:
  - {from: 2026-12-01 22:00, to: 2026-12-02 04:00, timezone: Europe/Dublin, sources: [shop], reason: the database moves}
`)
	c, problems := Load(dir)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"2026-12-24": "Christmas Eve", "2026-12-31": "a holiday", "2027-08-10": "works holidays", "2027-08-08": "works holidays",
		"2026-12-27": "Sunday", "2030-03-17": "Saint Patrick's Day", "2026-12-28": "",
	} {
		d, err := elt.ParseDate(text)
		if err != nil {
			t.Fatal(err)
		}
		if what, _ := c.Holidays["company"].On(d); what != want {
			t.Errorf("%s is %q, want %q", text, what, want)
		}
	}
	if len(c.Windows) != 1 || c.Windows[0].From.UTC().Format(time.RFC3339) != "2026-12-01T22:00:00Z" || !strings.HasPrefix(string(c.Windows[0].ID), "file-") {
		t.Errorf("%+v", c.Windows)
	}
	for text, want := range map[string]string{
		"calendars: {company: {}}":                                                                       "has no dates",
		"calendars: {company: {dates: [soon]}}":                                                          "is not a date",
		"calendars: {company: {weekly: [sunday]}}":                                                       "not a day of the week",
		"calendars: {company: {weekly: [mon, tue, wed, thu, fri, sat, sun]}}":                            "nothing would ever run",
		"calendars: {company: {ranges: [{from: 2026-01-02, to: 2026-01-01}]}}":                           "before it begins",
		"calendars: {company: {ics: nothing.ics}}":                                                       "cannot be used",
		"calendars: {company: {ics: daybreak.yaml}}":                                                     "not an iCalendar file",
		"calendars: {Company: {dates: [2026-01-01]}}":                                                    "cannot name a calendar",
		"maintenance: [{from: 2026-01-01, to: 2026-01-02, timezone: Mars, everything: true, reason: r}]": "no time zone",
		"maintenance: [{from: soon, to: 2026-01-02, timezone: UTC, everything: true, reason: r}]":        "is not a moment",
		"maintenance: [{from: 2026-01-01, to: 2026-01-02, timezone: UTC, reason: r}]":                    "covers nothing",
		"maintenance: [{from: 2026-01-01, to: 2026-01-02, timezone: UTC, sources: [crm], reason: r}]":    "no source",
	} {
		write("daybreak.yaml", head+text+"\n")
		_, problems := Load(dir)
		if err := problems.Err(); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "daybreak.yaml:3:") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestLogin(t *testing.T) {
	dir := t.TempDir()
	const good = "issuer: https://login.example.com, client_id: daybreak, client_secret: a-long-secret, operators: [on-call]"
	for oidc, want := range map[string]string{
		good: "",
		strings.Replace(good, "https:", "http:", 1):                                    "no TLS",
		strings.Replace(good, "https://login.example.com", "http://127.0.0.1:5556", 1): "",
		strings.Replace(good, "https://login.example.com", "login", 1):                 "not an address",
		strings.Replace(good, "client_id: daybreak, ", "", 1):                          "no client_id",
		strings.Replace(good, "a-long-secret", "short", 1):                             "could be guessed",
		strings.Replace(good, ", operators: [on-call]", "", 1):                         "nobody could sign in",
		good + ", everybody: viewer":                                                   "everybody whom the provider knows",
		good + ", everybody: admin, allowed_domains: [example.com]":                    "cannot be",
		good + ", allowed_domains: [ann@example.com]":                                  "not a domain",
		good + ", everybody: viewer, allowed_domains: [example.com]":                   "",
	} {
		text := "sources: {shop: {sqlite: shop.db}}\nstatus: {public: true, base_url: \"https://daybreak.example.com\", oidc: {" + oidc + "}}\n"
		if err := os.WriteFile(filepath.Join(dir, "daybreak.yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, problems := Load(dir)
		if err := problems.Err(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", oidc, err)
		}
	}
}
