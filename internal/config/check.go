package config

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
)

// The codes of problems in daybreak.yaml.
const (
	CodeWorkspaceMissing elt.Code = "workspace_missing"
	CodeNoSources        elt.Code = "no_sources"
	CodeBadSource        elt.Code = "bad_source"
	CodeEngineUnknown    elt.Code = "engine_unknown"
	CodeBadLedger        elt.Code = "bad_ledger"
	CodeBadLake          elt.Code = "bad_lake"
	CodeBadWarehouse     elt.Code = "bad_warehouse"
	CodeBadModels        elt.Code = "bad_models"
	CodeBadThreads       elt.Code = "bad_threads"
	CodeBadStatus        elt.Code = "bad_status"
	CodeStatusClosed     elt.Code = "status_closed"
	CodeWeakToken        elt.Code = "weak_token"
	CodeWeakMaskKey      elt.Code = "weak_mask_key"
	CodeBadNotify        elt.Code = "bad_notify"
	CodeWeakSecret       elt.Code = "weak_secret"
	CodeBadRetention     elt.Code = "bad_retention"
	CodeBadLogin         elt.Code = "bad_login"
	CodeBadCalendar      elt.Code = "bad_calendar"
	CodeBadMaintenance   elt.Code = "bad_maintenance"
)

// checker finds what is wrong with the meaning of a configuration, before its paths are resolved.
type checker struct {
	file     *yamlfile.File
	config   *Config
	problems elt.Problems
}

func (c *checker) all() {
	c.ledger()
	c.lake()
	c.warehouse()
	c.sources()
	c.models()
	c.limits()
	c.status()
	c.notify()
	c.openLineage()
	c.retention()
	c.login()
	c.calendars()
	c.maintenance()
}

// retention refuses what would drop data that is still needed.
func (c *checker) retention() {
	r := c.config.Retention
	for _, limit := range []struct {
		value, least int
		why          string
		keys         []any
	}{
		{r.Lake.Days, 2, "nights that are tried again need their data", []any{"retention", "lake", "days"}},
		{r.Lake.Versions, 1, "a lost warehouse is rebuilt from them", []any{"retention", "lake", "versions"}},
		{r.Warehouse.Versions, 0, "", []any{"retention", "warehouse", "versions"}},
		{r.Staging.Days, 1, "nights that are tried again need what they have staged", []any{"retention", "staging", "days"}},
		{r.Ledger.Days, 60, "the page and the estimates look that far back", []any{"retention", "ledger", "days"}},
	} {
		if limit.value < limit.least {
			name := fmt.Sprintf("%s.%s.%s", limit.keys...)
			c.problem(CodeBadRetention, fmt.Sprintf("%s is %d%s", name, limit.value, strings.TrimSuffix(": "+limit.why, ": ")),
				fmt.Sprintf("make it %d or more", limit.least), limit.keys...)
		}
	}
	if r.Ledger.Days < r.Lake.Days {
		c.problem(CodeBadRetention, fmt.Sprintf("retention.ledger.days is %d, and the lake keeps what was extracted for %d: nobody would know it any more", r.Ledger.Days, r.Lake.Days),
			"keep the ledger at least as long as the lake", "retention", "ledger", "days")
	}
	if _, err := time.Parse("15:04", r.At); r.At != "" && err != nil {
		c.problem(CodeBadRetention, fmt.Sprintf("retention.at is %q, which is no time of day", r.At), `write it as "12:30"`, "retention", "at")
	}
}

func (c *checker) problem(code elt.Code, what, do string, path ...any) {
	c.problems = append(c.problems, c.file.Problem(code, what, do, path...))
}

// sqliteLedger returns the path of a ledger that is an SQLite file.
func sqliteLedger(dsn Secret) (path string, ok bool) {
	return strings.CutPrefix(dsn.Reveal(), "sqlite:")
}

func (c *checker) ledger() {
	dsn := c.config.Ledger
	path, isFile := sqliteLedger(dsn)
	switch {
	case isFile && path == "":
		c.problem(CodeBadLedger, "ledger names no file", "write sqlite:state/ledger.db", "ledger")
	case !isFile && !postgresURL(dsn):
		c.problem(CodeBadLedger, "ledger is neither an SQLite file nor the URL of a PostgreSQL database",
			"write sqlite:state/ledger.db, or postgres://user:password@host/database (from ${env:…})", "ledger")
	}
}

// postgresURL reports whether s is a PostgreSQL URL that names a host or a socket.
func postgresURL(s Secret) bool {
	u, err := url.Parse(s.Reveal())
	return err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") && (u.Host != "" || u.Query().Has("host"))
}

// mysqlURL reports whether s is the URL of a MySQL or MariaDB server.
func mysqlURL(s Secret) bool {
	u, err := url.Parse(s.Reveal())
	return err == nil && (u.Scheme == "mysql" || u.Scheme == "mariadb") && u.Hostname() != ""
}

func (c *checker) lake() {
	s3 := c.config.Lake.S3
	switch {
	case s3 == nil && c.config.Lake.Folder == "":
		if _, other := otherEngine("lake", c.file.Root().Get("lake")); other {
			return
		}
		c.problem(CodeBadLake, "lake is neither a folder nor a bucket", "write lake: lake, or lake: {s3: {bucket: …}}", "lake")
		return
	case s3 == nil:
		return
	case s3.Bucket == "":
		c.problem(CodeBadLake, "lake.s3 names no bucket", "add bucket:", "lake", "s3")
	}
	if (s3.AccessKey == "") != (s3.SecretKey == "") {
		c.problem(CodeBadLake, "lake.s3 gives one of access_key and secret_key", "give both, or none to use the machine's own credentials", "lake", "s3")
	}
	if s3.Endpoint != "" && !httpURL(s3.Endpoint) {
		c.problem(CodeBadLake, fmt.Sprintf("the endpoint %q is not an http or https URL", s3.Endpoint), "write it as https://s3.example.com", "lake", "s3", "endpoint")
	}
	if strings.HasPrefix(s3.Prefix, "/") {
		c.problem(CodeBadLake, fmt.Sprintf("the prefix %q begins with a slash, which makes a folder without a name", s3.Prefix), "write it without the slash", "lake", "s3", "prefix")
	}
	if s3.Attempts < 1 || s3.Attempts > maxTries {
		c.problem(CodeBadLake, fmt.Sprintf("a request cannot be tried %d times", s3.Attempts), fmt.Sprintf("give a number from 1 (once) to %d", maxTries), "lake", "s3", "attempts")
	}
	if s3.MaxDelay <= 0 || s3.MaxDelay > maxPause {
		c.problem(CodeBadLake, fmt.Sprintf("a pause of %v between two tries is not possible", s3.MaxDelay), "give a time of up to 1m, such as 5s", "lake", "s3", "max_delay")
	}
}

func httpURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

var memorySize = regexp.MustCompile(`^[0-9]+(\.[0-9]+)? ?([KMGT]i?B)$`)

func (c *checker) warehouse() {
	w := c.config.Warehouse
	if w.AtOnce < 0 {
		c.problem(CodeBadWarehouse, fmt.Sprintf("at_once is %d", w.AtOnce), "give a number of at least 1, or 0 for no limit", "warehouse", "at_once")
	}
	if w.BigQuery != nil {
		c.bigquery(*w.BigQuery)
		return
	}
	if w.DuckDB == "" || w.ReadCopy == "" {
		c.problem(CodeBadWarehouse, "the warehouse needs a file and a place for its copy", "leave duckdb and read_copy out to have both by default", "warehouse")
	} else if filepath.Clean(w.DuckDB) == filepath.Clean(w.ReadCopy) {
		c.problem(CodeBadWarehouse, "read_copy is the warehouse itself, which readers cannot open while it is written",
			"name another file, such as read/warehouse.duckdb", "warehouse", "read_copy")
	}
	if w.Memory != "" && !memorySize.MatchString(w.Memory) {
		c.problem(CodeBadWarehouse, fmt.Sprintf("%q is not an amount of memory", w.Memory), "write it as 2GB or 512MB", "warehouse", "memory")
	}
}

var (
	projectID      = regexp.MustCompile(`^[a-z][a-z0-9:.-]{4,61}[a-z0-9]$`)
	datasetPrefix  = regexp.MustCompile(`^[A-Za-z0-9_]{0,60}$`)
	gcsBucket      = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$`)
	serviceAccount = regexp.MustCompile(`^[a-z0-9-]+@[a-z0-9.-]+\.gserviceaccount\.com$`)
	kmsKey         = regexp.MustCompile(`^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$`)
)

func (c *checker) bigquery(b BigQuery) {
	wrong := func(what, do string, key ...any) {
		c.problem(CodeBadWarehouse, what, do, append([]any{"warehouse", "bigquery"}, key...)...)
	}
	for _, key := range []string{"duckdb", "read_copy", "memory"} {
		if c.has("warehouse", key) {
			c.problem(CodeBadWarehouse, "the warehouse is given twice, as bigquery and as duckdb", "remove "+key, "warehouse", key)
		}
	}
	switch {
	case b.Project == "":
		wrong("warehouse.bigquery names no project", "add project:")
	case !projectID.MatchString(b.Project):
		wrong(fmt.Sprintf("%q cannot be a project's ID", b.Project), "write the ID, not the name or the number, of the project in Google Cloud", "project")
	}
	if b.Location == "" {
		wrong("warehouse.bigquery names no location", "add location:, such as EU or europe-west1; it cannot be changed later")
	}
	if !datasetPrefix.MatchString(b.DatasetPrefix) {
		wrong(fmt.Sprintf("%q cannot begin the names of datasets", b.DatasetPrefix), "use letters, digits and _, at most 60", "dataset_prefix")
	}
	if b.Endpoint != "" && !httpURL(b.Endpoint) {
		wrong(fmt.Sprintf("the endpoint %q is not an http or https URL", b.Endpoint), "write it as http://127.0.0.1:9050, or leave it out for Google's own", "endpoint")
	}
	if b.Publish != "" && b.Publish != "each" && b.Publish != "together" {
		wrong(fmt.Sprintf("publish cannot be %q", b.Publish), "write each or together", "publish")
	}
	if b.MaximumBytesBilled < 0 {
		wrong("maximum_bytes_billed is less than nothing", "give a number of bytes, or leave it out for no limit", "maximum_bytes_billed")
	}
	if b.KMSKey != "" && !kmsKey.MatchString(b.KMSKey) {
		wrong("kms_key is not the name of a key", "write it as projects/P/locations/L/keyRings/R/cryptoKeys/K", "kms_key")
	}
	for key, size := range map[string]Size{"model": b.Budget.Model, "night": b.Budget.Night} {
		if _, ok := size.Bytes(); !ok && size != "" {
			wrong(fmt.Sprintf("%q is not an amount of data", size), "write it as 50GB or 1TB", "budget", key)
		}
	}
	if b.GCSBucket != "" && !gcsBucket.MatchString(b.GCSBucket) {
		wrong(fmt.Sprintf("%q cannot name a bucket", b.GCSBucket), "write the bucket's name alone, without gs:// and without a folder", "gcs_bucket")
	}
	switch {
	case b.Impersonate != "" && !serviceAccount.MatchString(b.Impersonate):
		wrong(fmt.Sprintf("%q is not a service account", b.Impersonate), "write its address, such as daybreak@acme-analytics.iam.gserviceaccount.com", "impersonate")
	case b.Impersonate != "" && b.Endpoint != "":
		wrong("an emulator is reached without credentials, so nobody can be impersonated", "remove impersonate, or endpoint", "impersonate")
	}
	const mostDays = 60
	if c.has("warehouse", "bigquery", "staging_days") && (b.StagingDays < 1 || b.StagingDays > mostDays) {
		wrong(fmt.Sprintf("staged tables cannot be kept for %d days", b.StagingDays), fmt.Sprintf("give a number from 1 to %d", mostDays), "staging_days")
	}
}

func (c *checker) sources() {
	if len(c.config.Sources) == 0 && (!c.has("sources") || c.file.Root().Get("sources").Kind == yamlfile.Mapping) {
		c.problem(CodeNoSources, "no production database is named", "add sources:, such as {shop: {postgres: ${env:SHOP_URL}}}", "sources")
	}
	for _, name := range slices.Sorted(maps.Keys(c.config.Sources)) {
		c.source(name, c.config.Sources[name])
		c.columns(name, c.config.Sources[name])
	}
}

func (c *checker) source(name elt.SourceName, s Source) {
	at := func(more ...any) []any { return append([]any{"sources", string(name)}, more...) }
	if _, err := elt.ParseDatasetName(string(name) + ".t"); err != nil {
		c.problem(CodeBadSource, fmt.Sprintf("%q cannot name a source: it is the first part of its datasets' names", name),
			"use lower-case letters, digits and _, beginning with a letter; run_… and _daybreak… are Daybreak's own", at()...)
	}
	if string(name) == c.config.Models.Schema {
		c.problem(CodeBadSource, fmt.Sprintf("the source %q would share its schema in the warehouse with the models", name), "rename the source, or set models.schema", at()...)
	}
	var engines []string
	for _, engine := range []string{"postgres", "mysql", "sqlite"} {
		if c.has("sources", string(name), engine) {
			engines = append(engines, engine)
		}
	}
	if len(engines) > 1 {
		c.problem(CodeBadSource, fmt.Sprintf("the source %q is given as %s", name, strings.Join(engines, " and as ")), "keep one of them", at(engines[1])...)
		return
	}
	if len(engines) == 0 {
		if _, other := otherEngine("sources", c.file.Root().Get("sources").Get(string(name))); !other {
			c.problem(CodeBadSource, fmt.Sprintf("nothing says which database the source %q is", name), "add postgres: or mysql: with its URL, or sqlite: with its file", at()...)
		}
		return
	}
	switch engine := engines[0]; {
	case engine == "postgres" && !postgresURL(s.Postgres):
		c.problem(CodeBadSource, fmt.Sprintf("postgres of the source %q is not the URL of a PostgreSQL database", name),
			"write it as postgres://user:password@host/database, best from ${env:…}", at(engine)...)
	case engine == "mysql" && !mysqlURL(s.MySQL):
		c.problem(CodeBadSource, fmt.Sprintf("mysql of the source %q is not the URL of a MySQL or MariaDB database", name),
			"write it as mysql://user:password@host/database, best from ${env:…}", at(engine)...)
	case engine == "sqlite" && s.SQLite == "":
		c.problem(CodeBadSource, fmt.Sprintf("sqlite of the source %q names no file", name), "write the file's path", at(engine)...)
	}
	c.budget(name, engines[0], s.Budget)
	if s.AtOnce < 0 {
		c.problem(CodeBadSource, fmt.Sprintf("at_once is %d", s.AtOnce), "give a number of at least 1, or 0 for no limit", at("at_once")...)
	}
	const most = 64
	switch {
	case !c.has("sources", string(name), "connections"):
	case engines[0] == "sqlite":
		c.problem(CodeBadSource, "connections is for servers; an SQLite file is read by one", "remove it", at("connections")...)
	case s.Connections < 1 || s.Connections > most:
		c.problem(CodeBadSource, fmt.Sprintf("%d connections are not possible", s.Connections), fmt.Sprintf("give a number from 1 to %d", most), at("connections")...)
	}
}

// budget checks what a source may be asked for.
func (c *checker) budget(name elt.SourceName, engine string, b Budget) {
	if engine == "sqlite" && c.has("sources", string(name), "budget") {
		c.problem(CodeBadSource, "budget is for servers; an SQLite file has nobody to spare", "remove it", "sources", string(name), "budget")
		return
	}
	for key, d := range map[string]time.Duration{
		"statement_timeout": b.StatementTimeout, "lock_timeout": b.LockTimeout, "snapshot_age": b.SnapshotAge,
		"replica_lag": b.ReplicaLag, "lock_wait": b.LockWait,
	} {
		if c.has("sources", string(name), "budget", key) && d < time.Second {
			c.problem(CodeBadSource, fmt.Sprintf("a %s of %s leaves no time to read anything", key, d), "give at least 1s, or leave it out",
				"sources", string(name), "budget", key)
		}
	}
}

// has reports whether the file has a value at the path.
func (c *checker) has(path ...string) bool {
	n := c.file.Root()
	for _, key := range path {
		if n = n.Get(key); n == nil {
			return false
		}
	}
	return n.Kind != yamlfile.Null
}

var (
	schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)
	varName    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

func (c *checker) models() {
	m := c.config.Models
	if m.Dir == "" {
		c.problem(CodeBadModels, "models.dir is empty", "leave it out for sql", "models", "dir")
	}
	if !schemaName.MatchString(m.Schema) || strings.HasPrefix(m.Schema, "run_") || strings.HasPrefix(m.Schema, "_daybreak") {
		c.problem(CodeBadModels, fmt.Sprintf("%q cannot name a schema", m.Schema),
			"use lower-case letters, digits and _, beginning with a letter; run_… and _daybreak… are Daybreak's own", "models", "schema")
	}
	const most = 100
	if m.FailingRows < 0 || m.FailingRows > most {
		c.problem(CodeBadModels, fmt.Sprintf("models.failing_rows of %d is not possible", m.FailingRows), fmt.Sprintf("give a number from 0 to %d", most), "models", "failing_rows")
	}
	for _, name := range slices.Sorted(maps.Keys(m.Vars)) {
		if !varName.MatchString(name) {
			c.problem(CodeBadModels, fmt.Sprintf("%q cannot name a variable", name), "use letters, digits and _", "models", "vars", name)
		}
	}
	c.dbt()
}

// dbt checks the keys of a dbt project, and that they are given only with one.
func (c *checker) dbt() {
	m := c.config.Models
	if m.DBT == "" {
		for _, key := range []string{"dbt", "dbt_command", "dbt_profile", "dbt_env"} {
			if c.has("models", key) {
				c.problem(CodeBadModels, "models."+key+" says nothing without the folder of a dbt project", "add dbt: ./analytics, or remove it", "models", key)
			}
		}
		return
	}
	if c.has("models", "dir") {
		c.problem(CodeBadModels, "models are given twice, as dir and as dbt", "remove dir, or dbt", "models", "dir")
	}
	if m.DBTCommand == "" {
		c.problem(CodeBadModels, "models.dbt_command is empty", "leave it out for the dbt on PATH, or name the program", "models", "dbt_command")
	}
	for _, key := range []string{"type", "path", "schema", "dataset", "project", "database", "threads", "maximum_bytes_billed", "impersonate_service_account", "api_endpoint"} {
		if _, given := m.DBTProfile[key]; given {
			c.problem(CodeBadModels, "models.dbt_profile cannot set "+key+": Daybreak decides where a night is built", "remove it", "models", "dbt_profile", key)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.DBTEnv)) {
		if !varName.MatchString(name) || strings.HasPrefix(name, "DAYBREAK_") {
			c.problem(CodeBadModels, fmt.Sprintf("%q cannot name a variable of dbt's environment", name), "use letters, digits and _; DAYBREAK_… are Daybreak's own", "models", "dbt_env", name)
		}
	}
}

func (c *checker) limits() {
	const mostThreads = 256
	if t := c.config.Threads; t < 1 || t > mostThreads {
		c.problem(CodeBadThreads, fmt.Sprintf("%d threads are not possible", t), fmt.Sprintf("give a number from 1 to %d", mostThreads), "threads")
	}
	if t := c.config.Backfills.Threads; t < 1 || t > mostThreads {
		c.problem(CodeBadThreads, fmt.Sprintf("%d threads for backfills are not possible", t), fmt.Sprintf("give a number from 1 to %d", mostThreads), "backfills", "threads")
	}
	const leastKey = 16
	if k := c.config.Masking.Key.Reveal(); k != "" && len(k) < leastKey {
		c.problem(CodeWeakMaskKey, fmt.Sprintf("masking.key has %d characters: what it hides could be guessed", len(k)),
			"use 32 random bytes, as from openssl rand -hex 32", "masking", "key")
	}
}

func (c *checker) status() {
	s := c.config.Status
	host, port, err := net.SplitHostPort(s.Listen)
	number, nerr := strconv.Atoi(port)
	if cmp.Or(err, nerr) != nil || number < 0 || number > 65535 || strings.ContainsAny(host, " /") {
		c.problem(CodeBadStatus, fmt.Sprintf("status cannot listen on %q", s.Listen), "write host:port, such as 127.0.0.1:8080 or :8080", "status", "listen")
	}
	if s.BaseURL != "" && !httpURL(s.BaseURL) {
		c.problem(CodeBadStatus, fmt.Sprintf("base_url %q is not an http or https URL", s.BaseURL), "write it as https://daybreak.example.com", "status", "base_url")
	}
	if s.RequestsPerSecond < 0 {
		c.problem(CodeBadStatus, fmt.Sprintf("status.requests_per_second is %d", s.RequestsPerSecond), "give a number of requests, or 0 for no limit", "status", "requests_per_second")
	}
	if s.Connections < 1 {
		c.problem(CodeBadStatus, fmt.Sprintf("status.connections is %d, so nobody could connect", s.Connections), "give a number of at least 1", "status", "connections")
	}
	const leastToken = 16
	switch t := s.Token.Reveal(); {
	case t == "" && !s.Public && !c.has("status", "token"):
		c.problems = append(c.problems, c.file.Warning(CodeStatusClosed, "the status is not public and has no token here: only holders of tokens from daybreak token create may read it",
			"make those tokens; or set status.token from ${env:…}, or status.public: true", "status"))
	case t != "" && len(t) < leastToken:
		c.problem(CodeWeakToken, fmt.Sprintf("status.token has %d characters: it could be guessed", len(t)), "use 32 random bytes, as from openssl rand -hex 32", "status", "token")
	}
}
