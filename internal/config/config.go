package config

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
)

// FileName is the file that makes a folder a workspace.
const FileName = "daybreak.yaml"

// Secret is a value that is never shown.
type Secret = yamlfile.Secret

// Config is a workspace's configuration, with its defaults filled in and its paths made relative to the
// process instead of the workspace.
type Config struct {
	Dir string   `yaml:"-"` // the workspace, as it was given to Load
	Env []string `yaml:"-"` // the environment variables that the file refers to, sorted
	// Holidays and Windows are what calendars and maintenance say.
	Holidays    map[elt.CalendarName]*elt.Calendar `yaml:"-"`
	Windows     []elt.Maintenance                  `yaml:"-"`
	Title       string                             `yaml:"title"`
	Ledger      Secret                             `yaml:"ledger"` // "sqlite:path" or "postgres://…"
	Lake        Lake                               `yaml:"lake"`
	Warehouse   Warehouse                          `yaml:"warehouse"`
	Sources     map[elt.SourceName]Source          `yaml:"sources"`
	Masking     Masking                            `yaml:"masking"`
	DecidePII   bool                               `yaml:"require_pii_decision"`
	Models      Models                             `yaml:"models"`
	Calendars   map[elt.CalendarName]Calendar      `yaml:"calendars"`
	Maintenance []Maintenance                      `yaml:"maintenance"`
	Threads     int                                `yaml:"threads"` // steps at work at the same time
	Backfills   Backfills                          `yaml:"backfills"`
	Status      Status                             `yaml:"status"`
	Notify      Notify                             `yaml:"notify"`
	OpenLineage OpenLineage                        `yaml:"openlineage"`
	Retention   Retention                          `yaml:"retention"`
}

// Backfills says how much backfills may do, between nights.
type Backfills struct {
	Threads int `yaml:"threads"` // of their steps at work at the same time
}

// Lake is a folder or a bucket: exactly one of the two is set.
type Lake struct {
	Folder string `yaml:"-"`
	S3     *S3    `yaml:"s3"`
}

// S3 is a bucket of Amazon S3 or of anything that speaks its protocol.
type S3 struct {
	Bucket    string `yaml:"bucket"`
	Prefix    string `yaml:"prefix"`
	Region    string `yaml:"region"`
	Endpoint  string `yaml:"endpoint"` // empty for Amazon's own
	PathStyle bool   `yaml:"path_style"`
	// AccessKey and SecretKey are both empty where the machine's own credentials serve.
	AccessKey Secret `yaml:"access_key"`
	SecretKey Secret `yaml:"secret_key"`
	// Attempts is how often one request is tried, MaxDelay the longest pause between two tries.
	Attempts int           `yaml:"attempts"`
	MaxDelay time.Duration `yaml:"max_delay"`
}

// UnmarshalNode reads a lake that is a folder's path or a mapping.
func (l *Lake) UnmarshalNode(n *yamlfile.Node) elt.Problems {
	if n.Kind != yamlfile.Mapping {
		return n.Decode(&l.Folder)
	}
	*l = Lake{}
	type plain Lake // without this method
	return n.Decode((*plain)(l))
}

// Warehouse is the embedded warehouse, or BigQuery where that is set.
type Warehouse struct {
	DuckDB   string `yaml:"duckdb"`    // its file
	ReadCopy string `yaml:"read_copy"` // the copy that people query
	Memory   string `yaml:"memory"`    // its limit, "2GB"; empty for the engine's own

	AtOnce int `yaml:"at_once"` // steps at work in it at the same time, on all machines; 0 is no limit

	BigQuery *BigQuery `yaml:"bigquery"`
}

// BigQuery is a warehouse in a project of Google Cloud.
type BigQuery struct {
	Project       string `yaml:"project"`
	Location      string `yaml:"location"`
	DatasetPrefix string `yaml:"dataset_prefix"`
	Endpoint      string `yaml:"endpoint"` // of an emulator, reached without credentials; empty for Google's own
	// Publish is "each", the default, or "together".
	Publish            string     `yaml:"publish"`
	MaximumBytesBilled int64      `yaml:"maximum_bytes_billed"` // by one model or test; 0 for no limit
	KMSKey             string     `yaml:"kms_key"`
	StagingDays        int        `yaml:"staging_days"` // 0 for the driver's own
	Impersonate        string     `yaml:"impersonate"`  // a service account; empty for the machine's own credentials
	GCSBucket          string     `yaml:"gcs_bucket"`   // parts go through it; empty sends them within the load jobs
	Budget             CostBudget `yaml:"budget"`
}

// CostBudget is how much a warehouse that bills by use may bill; an empty size is no limit.
type CostBudget struct {
	Model Size `yaml:"model"` // building one model, and each of its tests
	Night Size `yaml:"night"` // a run in all
}

// Size is an amount of data as people write it: "50GB", "1 TiB".
type Size string

// Bytes returns the size in bytes: GB are thousands of millions, GiB powers of two. It is 0, false for what is no size.
func (s Size) Bytes() (int64, bool) {
	m := dataSize.FindStringSubmatch(string(s))
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(m[1], 64)
	base := 1000.0
	if m[3] != "" {
		base = 1024
	}
	n *= math.Pow(base, float64(1+strings.Index("KMGTP", m[2])))
	return int64(n), err == nil && n >= 1 && n < math.MaxInt64/2
}

var dataSize = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?([KMGTP])(i?)B$`)

// MaxBytesBilled returns the most that one model or test may be billed for, 0 for no limit.
func (b *BigQuery) MaxBytesBilled() int64 {
	most, _ := b.Budget.Model.Bytes()
	if b.MaximumBytesBilled > 0 && (most == 0 || b.MaximumBytesBilled < most) {
		return b.MaximumBytesBilled
	}
	return most
}

// Retention says how long what nobody needs any more is kept.
type Retention struct {
	Lake      Limits   `yaml:"lake"`      // days since it was extracted; versions of each dataset, whatever their age
	Warehouse Versions `yaml:"warehouse"` // of each dataset beside the published one
	Staging   Days     `yaml:"staging"`   // since its run has ended
	Ledger    Days     `yaml:"ledger"`
	At        string   `yaml:"at"` // the time of day at which daybreak serve cleans up; empty for never
}

// Limits are how much of something is kept: what either asks for.
type Limits struct {
	Days     int `yaml:"days"`
	Versions int `yaml:"versions"`
}

// Days are how long something is kept.
type Days struct {
	Days int `yaml:"days"`
}

// Versions are how many of something are kept.
type Versions struct {
	Versions int `yaml:"versions"`
}

// Kept is how many versions of each dataset a warehouse keeps for rollbacks, as its driver wants to be told: less than
// 0 for none.
func (r Retention) Kept() int {
	if r.Warehouse.Versions == 0 {
		return -1
	}
	return r.Warehouse.Versions
}

// Source is a production database: exactly one of Postgres, MySQL and SQLite is set.
type Source struct {
	Postgres    Secret `yaml:"postgres"` // its URL
	MySQL       Secret `yaml:"mysql"`    // its URL
	SQLite      string `yaml:"sqlite"`   // its file
	Connections int    `yaml:"connections"`
	AtOnce      int    `yaml:"at_once"` // of its tables that are read at the same time, on all machines; 0 is no limit
	// Columns are rules for the columns of all its tables, by name or pattern.
	Columns       Columns `yaml:"columns"`
	NewColumn     string  `yaml:"on_new_column"`
	TypeChange    string  `yaml:"on_type_change"`
	DroppedColumn string  `yaml:"on_dropped_column"`
	OnWidenedType string  `yaml:"on_widened_type"`
	Budget        Budget  `yaml:"budget"` // of a server
}

// Budget is what a source may be asked for at most; zero is the driver's default.
type Budget struct {
	StatementTimeout time.Duration `yaml:"statement_timeout"` // of one statement
	LockTimeout      time.Duration `yaml:"lock_timeout"`      // to wait for a table that somebody holds
	SnapshotAge      time.Duration `yaml:"snapshot_age"`      // to hold one snapshot
	ReplicaLag       time.Duration `yaml:"replica_lag"`       // of the replicas, or of the source where it is one
	LockWait         time.Duration `yaml:"lock_wait"`         // that somebody may wait for a table that Daybreak reads
}

// Masking says how columns are hashed.
type Masking struct {
	Key Secret `yaml:"key"`
}

// Models says where the SQL is and how it is rendered: by Daybreak itself, or by the team's own dbt where DBT is set.
type Models struct {
	Dir    string         `yaml:"dir"`
	Schema string         `yaml:"schema"`
	Vars   map[string]any `yaml:"vars"`
	Target string         `yaml:"target"`
	// FailingRows is how many of a test's failing rows operators are shown; 0 shows none.
	FailingRows int `yaml:"failing_rows"`
	// Artifacts is the folder for manifest.json and run_results.json of each run; empty writes none.
	Artifacts string `yaml:"artifacts"`

	DBT        string            `yaml:"dbt"`         // the folder of a dbt project; empty for Daybreak's own engine
	DBTCommand string            `yaml:"dbt_command"` // the program; found on PATH where it has no slash
	DBTProfile map[string]any    `yaml:"dbt_profile"` // more keys of the profile that is generated
	DBTEnv     map[string]Secret `yaml:"dbt_env"`     // more of dbt's environment
}

// Status is the HTTP service.
type Status struct {
	Listen string `yaml:"listen"`
	// RequestsPerSecond is how many one token or address may send; 0 is no limit.
	RequestsPerSecond int    `yaml:"requests_per_second"`
	Connections       int    `yaml:"connections"` // at the same time
	Public            bool   `yaml:"public"`      // everybody may read
	Token             Secret `yaml:"token"`
	BaseURL           string `yaml:"base_url"` // under which people reach it; for links
	OIDC              OIDC   `yaml:"oidc"`
}

// OIDC is where people sign in with their company's account; nobody does where the issuer is empty.
type OIDC struct {
	Issuer       string   `yaml:"issuer"`
	ClientID     string   `yaml:"client_id"`
	ClientSecret Secret   `yaml:"client_secret"`
	Name         string   `yaml:"name"` // of the account, on the button
	Scopes       []string `yaml:"scopes"`
	Domains      []string `yaml:"allowed_domains"`
	GroupsClaim  string   `yaml:"groups_claim"`
	Viewers      []string `yaml:"viewers"` // groups
	Operators    []string `yaml:"operators"`
	Admins       []string `yaml:"admins"`
	Everybody    string   `yaml:"everybody"` // the role of whoever is in none of the groups
}

// Notify says who is told of incidents.
type Notify struct {
	Slack        Slack     `yaml:"slack"`
	Webhooks     []Webhook `yaml:"webhooks"`
	AllowPrivate bool      `yaml:"allow_private"` // addresses of this machine and of private networks may be connected to
}

// Slack is an incoming webhook; nobody is told where it is empty.
type Slack struct {
	Webhook Secret `yaml:"webhook"` // its URL
	Channel string `yaml:"channel"`
}

// Webhook is an endpoint that takes Daybreak's own JSON.
type Webhook struct {
	Name   elt.DestinationName `yaml:"name"` // "webhook-1" for the first that has none
	URL    Secret              `yaml:"url"`
	Secret Secret              `yaml:"secret"` // of its signature
}

// OpenLineage is an endpoint that is told of every run and step; nobody is where it has no URL.
type OpenLineage struct {
	URL       Secret `yaml:"url"`
	APIKey    Secret `yaml:"api_key"`
	Namespace string `yaml:"namespace"` // of the jobs
}

// defaults is what holds where the file says nothing.
func defaults() *Config {
	return &Config{
		Title:       "Daybreak",
		Ledger:      "sqlite:state/ledger.db",
		Lake:        Lake{Folder: "lake"},
		Warehouse:   Warehouse{DuckDB: "state/warehouse.duckdb", ReadCopy: "read/warehouse.duckdb"},
		Models:      Models{Dir: "sql", Schema: "analytics", Target: "prod", DBTCommand: "dbt", FailingRows: 5, Artifacts: "state/artifacts"},
		Threads:     4,
		Backfills:   Backfills{Threads: 2},
		Status:      Status{Listen: "127.0.0.1:8080", RequestsPerSecond: 200, Connections: 4096},
		OpenLineage: OpenLineage{Namespace: "daybreak"},
		Retention:   Retention{Lake: Limits{Days: 90, Versions: 3}, Warehouse: Versions{1}, Staging: Days{7}, Ledger: Days{400}},
	}
}

// defaultConnections is how many connections a run opens to a server that says nothing else.
const defaultConnections = 4

// A request to an object store that says nothing else is tried so often, with such a pause at most; and nobody may ask for more.
const (
	defaultTries, maxTries = 5, 20
	defaultPause, maxPause = 5 * time.Second, time.Minute
)

// Load reads the configuration of the workspace in dir. It is never nil: with problems it holds what could be read, so
// that a caller may look for more of them before it gives up. References to the environment and to files are
// expanded; files are looked for in the workspace.
func Load(dir string) (*Config, elt.Problems) {
	c := defaults()
	c.Dir = dir
	data, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		what, do := fmt.Sprintf("it cannot be read: %v", err), "check its permissions"
		if errors.Is(err, fs.ErrNotExist) {
			what, do = fmt.Sprintf("there is no %s in %s", FileName, dir), "go to the workspace, name it with --dir, or make one with daybreak init"
		}
		return c, elt.Problems{{File: FileName, Code: CodeWorkspaceMissing, What: what, Do: do}}
	}
	f, problems := yamlfile.Parse(FileName, data)
	if problems.Err() != nil && f.Root().Kind == yamlfile.Null {
		return c, problems
	}
	problems = append(problems, f.Expand(c.lookupEnv, func(path string) ([]byte, error) { return os.ReadFile(c.resolve(path)) })...)
	problems = append(problems, yamlfile.Without(c.decode(f), problems)...)
	check := checker{file: f, config: c}
	check.all()
	problems = append(problems, yamlfile.Without(check.problems, problems)...)
	c.resolvePaths()
	yamlfile.Sort(problems)
	return c, problems
}

// Place puts a problem that shows only when something is tried where the file says what was tried.
func (c *Config) Place(p elt.Problem, path ...any) elt.Problem {
	p.File, p.Line = FileName, 1
	data, err := os.ReadFile(filepath.Join(c.Dir, FileName))
	if err != nil {
		return p // it was read a moment ago, and is not what the problem is about
	}
	f, _ := yamlfile.Parse(FileName, data)
	at := f.Problem(p.Code, p.What, p.Do, path...)
	p.Line, p.Column = at.Line, at.Column
	return p
}

// lookupEnv asks the environment, and notes what was asked for.
func (c *Config) lookupEnv(name string) (string, bool) {
	if at, known := slices.BinarySearch(c.Env, name); !known {
		c.Env = slices.Insert(c.Env, at, name)
	}
	return os.LookupEnv(name)
}

// decode reads the file over the defaults.
func (c *Config) decode(f *yamlfile.File) elt.Problems {
	problems := nameEngines(f, f.Decode(c))
	for name, s := range c.Sources {
		if s.Connections == 0 && (s.Postgres != "" || s.MySQL != "") && f.Root().Get("sources").Get(string(name)).Get("connections") == nil {
			s.Connections = defaultConnections
			c.Sources[name] = s
		}
	}
	if s3 := c.Lake.S3; s3 != nil {
		at := f.Root().Get("lake").Get("s3")
		if at.Get("attempts") == nil {
			s3.Attempts = defaultTries
		}
		if at.Get("max_delay") == nil {
			s3.MaxDelay = defaultPause
		}
	}
	for i := range c.Notify.Webhooks {
		if w := &c.Notify.Webhooks[i]; w.Name == "" {
			w.Name = elt.DestinationName(fmt.Sprintf("webhook-%d", i+1))
		}
	}
	return problems
}

// resolve returns a path of the workspace as the process sees it.
func (c *Config) resolve(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.Dir, path)
}

func (c *Config) resolvePaths() {
	if path, ok := sqliteLedger(c.Ledger); ok {
		c.Ledger = Secret("sqlite:" + c.resolve(path))
	}
	c.Lake.Folder = c.resolve(c.Lake.Folder)
	c.Warehouse.DuckDB = c.resolve(c.Warehouse.DuckDB)
	c.Warehouse.ReadCopy = c.resolve(c.Warehouse.ReadCopy)
	c.Models.Dir = c.resolve(c.Models.Dir)
	c.Models.Artifacts = c.resolve(c.Models.Artifacts)
	c.Models.DBT = c.resolve(c.Models.DBT)
	if strings.ContainsRune(c.Models.DBTCommand, filepath.Separator) { // without one it is looked for on PATH
		if path, err := filepath.Abs(c.resolve(c.Models.DBTCommand)); err == nil {
			c.Models.DBTCommand = path
		}
	}
	for name, s := range c.Sources {
		s.SQLite = c.resolve(s.SQLite)
		c.Sources[name] = s
	}
}

// Limits returns how many steps may work at the same time, on all machines. On a SQLite ledger one process alone works at
// backfills, with a crew of that many.
func (c *Config) Limits() elt.Limits {
	l := elt.Limits{Sources: make(map[elt.SourceName]int), Warehouse: c.Warehouse.AtOnce, OneBuilder: c.Models.DBT != ""}
	if !strings.HasPrefix(c.Ledger.Reveal(), "sqlite:") {
		l.Backfills = c.Backfills.Threads
	}
	for name, s := range c.Sources {
		l.Sources[name] = s.AtOnce
	}
	return l
}

// TableSchemas returns for each source the schema in which it looks for a table that names none: what
// schedules.Options wants. It is nil where the file names no source that could be read.
func (c *Config) TableSchemas() map[elt.SourceName]string {
	if c.Sources == nil {
		return nil
	}
	out := make(map[elt.SourceName]string, len(c.Sources))
	for name, s := range c.Sources {
		out[name] = ""
		if s.Postgres != "" {
			out[name] = "public"
		}
	}
	return out
}
