package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery/bigquerytest"
)

// diagnosis is a line of daybreak doctor.
type diagnosis struct{ Check, Result, Code, What, Do string }

// examined runs doctor and returns its lines by check; of two about one thing the worse.
func examined(t *testing.T, dir string) map[string]diagnosis {
	t.Helper()
	return examinedWithin(t, dir, patience)
}

// examinedWithin has doctor wait for each thing for as long.
func examinedWithin(t *testing.T, dir string, limit time.Duration) map[string]diagnosis {
	t.Helper()
	a := do(t, dir, nil, "doctor", "--output", "json", "--timeout", limit.String())
	var all []diagnosis
	if err := json.Unmarshal([]byte(a.out), &all); err != nil {
		t.Fatalf("%v in %s%s", err, a.out, a.errors)
	}
	rank := map[string]int{"ok": 1, "warn": 2, "fail": 3}
	worst := make(map[string]diagnosis)
	failed := false
	for _, d := range all {
		if rank[d.Result] > rank[worst[d.Check].Result] {
			worst[d.Check] = d
		}
		failed = failed || d.Result == "fail"
	}
	if (a.code == 69) != failed || a.code != 69 && a.code != 0 {
		t.Errorf("exit %d:\n%s", a.code, a.out)
	}
	return worst
}

// servers are a night's servers: PostgreSQL and MariaDB as sources, S3 as the lake, PostgreSQL as the ledger, BigQuery's double
// as the warehouse. Both databases ask for a password.
type servers struct {
	dir                   string
	shop, crm, ledger     string // URLs
	bucket                string
	s3                    *testenv.S3Server
	bigquery              *bigquerytest.Server
	onPostgres, onMariaDB func(t *testing.T, statements ...string)
}

func newServers(t *testing.T) *servers {
	t.Helper()
	pg, maria := testenv.NewPostgres(t, nil), testenv.MariaDB(t)
	s := &servers{dir: t.TempDir(), s3: testenv.S3(t), bigquery: bigquerytest.New(t)}
	s.bucket = s.s3.NewBucket(t)
	admin, err := pgx.Connect(t.Context(), pg.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close(context.WithoutCancel(t.Context())) })
	s.onPostgres = func(t *testing.T, statements ...string) {
		t.Helper()
		for _, text := range statements {
			if _, err := admin.Exec(t.Context(), text); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
	}
	db := open(t, "mysql", "root@tcp("+maria.Addr+")/"+maria.Database)
	s.onMariaDB = func(t *testing.T, statements ...string) { t.Helper(); engine{db: db}.exec(t, statements...) }
	name := "doctor_" + maria.Database
	s.onPostgres(t, "CREATE TABLE orders (id int PRIMARY KEY)", "INSERT INTO orders VALUES (1)",
		"CREATE ROLE doctor LOGIN PASSWORD 'right'", "GRANT SELECT ON orders TO doctor", "CREATE DATABASE ledger OWNER doctor")
	s.onMariaDB(t, "CREATE TABLE contacts (id INT PRIMARY KEY)", "INSERT INTO contacts VALUES (1)",
		"CREATE USER '"+name+"'@'%' IDENTIFIED BY 'right'", "GRANT SELECT ON "+maria.Database+".contacts TO '"+name+"'@'%'")
	t.Cleanup(func() {
		if _, err := db.ExecContext(context.WithoutCancel(t.Context()), "DROP USER '"+name+"'@'%'"); err != nil {
			t.Error(err)
		}
	})
	var hba string
	if err := admin.QueryRow(t.Context(), "SHOW hba_file").Scan(&hba); err != nil {
		t.Fatal(err)
	}
	rules := "host all doctor 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"
	if err := os.WriteFile(hba, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	s.onPostgres(t, "SELECT pg_reload_conf()")
	at, err := url.Parse(pg.URL)
	if err != nil {
		t.Fatal(err)
	}
	at.User = url.UserPassword("doctor", "right")
	s.shop = at.String()
	at.Path = "/ledger"
	s.ledger = at.String()
	s.crm = "mysql://" + name + ":right@" + maria.Addr + "/" + maria.Database
	wrong := strings.Replace(s.shop, "right", "wrong", 1)
	until(t, "the server asks for passwords", func() bool {
		conn, err := pgx.Connect(t.Context(), wrong)
		if err == nil {
			_ = conn.Close(t.Context()) // it was let in without one
		}
		return err != nil
	})
	write(t, s.dir, map[string]string{"schedules/nightly.yaml": `
at: "02:00"
timezone: UTC
owners: [data@example.com, shop@example.com]
tables:
  shop.orders: {table: public.orders, key: [id]}
  crm.contacts: {key: [id]}
`})
	return s
}

// configure writes daybreak.yaml, with what a case has of its own.
func (s *servers) configure(t *testing.T, own map[string]string) {
	t.Helper()
	with := map[string]string{
		"ledger": s.ledger, "shop": s.shop, "crm": s.crm, "bucket": s.bucket, "secret": s.s3.SecretKey, "endpoint": s.s3.Endpoint, "bigquery": s.bigquery.URL,
	}
	maps.Copy(with, own)
	write(t, s.dir, map[string]string{"daybreak.yaml": fmt.Sprintf(`
ledger: %q
sources: {shop: {postgres: %q}, crm: {mysql: %q}}
lake: {s3: {bucket: %s, prefix: lake, endpoint: %q, region: us-east-1, path_style: true, access_key: %s, secret_key: %s}}
warehouse: {bigquery: {project: acme-analytics, location: EU, endpoint: %q, budget: {night: 100GB}}}
status: {public: true}
`, with["ledger"], with["shop"], with["crm"], with["bucket"], with["endpoint"], s.s3.AccessKey, with["secret"], with["bigquery"])})
}

// Doctor on a night's servers: each line green, and each red in one sentence with what to do, while the others stay as they are.
func TestDoctorOfServers(t *testing.T) {
	t.Parallel()
	s := newServers(t)
	s.configure(t, nil)
	must(t, s.dir, nil, "run", "--yes", "--date", lastDate(t).AddDays(-1).String())
	const closed = "127.0.0.1:1"
	healthy := examined(t, s.dir)
	for _, check := range []string{"files", "ledger", "ledger's clock", "lake", "source shop", "source shop's clock", "source crm", "source crm's clock", "warehouse", "budget"} {
		if d := healthy[check]; d.Result != "ok" {
			t.Errorf("%s: %+v", check, d)
		}
	}
	at := func(text, address string) string { // the same URL at another address
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		u.Host = address
		return u.String()
	}
	for _, c := range []struct {
		name       string
		check      string
		also       string // another one that tells the same
		want, says string // result and code, and a part of the sentence
		or         string // another result and code that the first check may give as well
		own        map[string]string
		spoil, put func(t *testing.T)
		limit      time.Duration // for who never answers
	}{
		{name: "wrong password of PostgreSQL", check: "source shop", want: "fail source_auth_failed", says: "password", own: map[string]string{"shop": strings.Replace(s.shop, "right", "wrong", 1)}},
		{name: "wrong password of MariaDB", check: "source crm", want: "fail source_auth_failed", says: "Access denied", own: map[string]string{"crm": strings.Replace(s.crm, ":right@", ":wrong@", 1)}},
		{name: "no such database", check: "source shop", want: "fail source_database_missing", says: "nowhere", own: map[string]string{"shop": strings.Replace(s.shop, "?", "nowhere?", 1)}},
		{name: "nobody at PostgreSQL's address", check: "source shop", want: "fail source_unreachable", says: "refused", own: map[string]string{"shop": at(s.shop, closed)}},
		{name: "nobody at MariaDB's address", check: "source crm", want: "fail source_unreachable", says: "refused", own: map[string]string{"crm": at(s.crm, closed)}},
		{
			name: "a grant is missing in PostgreSQL", check: "source shop", want: "fail permission_denied", says: "orders",
			spoil: func(t *testing.T) { s.onPostgres(t, "REVOKE SELECT ON orders FROM doctor") },
			put:   func(t *testing.T) { s.onPostgres(t, "GRANT SELECT ON orders TO doctor") },
		},
		{
			name: "a table is missing in PostgreSQL", check: "source shop", want: "fail table_missing", says: "orders",
			spoil: func(t *testing.T) { s.onPostgres(t, "ALTER TABLE orders RENAME TO renamed") },
			put:   func(t *testing.T) { s.onPostgres(t, "ALTER TABLE renamed RENAME TO orders") },
		},
		{
			name: "a table is missing in MariaDB", check: "source crm", want: "fail table_missing", says: "contacts",
			spoil: func(t *testing.T) { s.onMariaDB(t, "RENAME TABLE contacts TO renamed") },
			put:   func(t *testing.T) { s.onMariaDB(t, "RENAME TABLE renamed TO contacts") },
		},
		{name: "wrong password of the ledger", check: "ledger", want: "fail ledger_unreadable", says: "password", own: map[string]string{"ledger": strings.Replace(s.ledger, "right", "wrong", 1)}},
		{name: "nobody at the ledger's address", check: "ledger", want: "fail ledger_unreachable", says: "refused", own: map[string]string{"ledger": at(s.ledger, closed)}},
		{name: "the bucket is missing", check: "lake", want: "fail lake_bucket_missing", says: "no-such-bucket", own: map[string]string{"bucket": "no-such-bucket"}},
		{name: "wrong key of S3", check: "lake", want: "fail lake_access_denied", says: "SignatureDoesNotMatch", own: map[string]string{"secret": "wrong"}},
		{
			name: "no right to run jobs in BigQuery", check: "warehouse", want: "fail warehouse_denied", says: "accessDenied",
			spoil: func(*testing.T) {
				s.bigquery.Inject(bigquerytest.Fault{Method: "bigquery.jobs.insert", Status: 403, Reason: "accessDenied"})
			},
		},
		{
			name: "nobody at the addresses of S3 and BigQuery", check: "lake", also: "warehouse", want: "fail no_answer", says: "no answer within 30s", limit: 30 * time.Second,
			or:  "fail lake_unavailable", // its five attempts, with rests of any length between them, may end before
			own: map[string]string{"endpoint": "http://" + closed, "bigquery": "http://" + closed},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.configure(t, c.own)
			if c.spoil != nil {
				c.spoil(t)
			}
			found := examinedWithin(t, s.dir, cmp.Or(c.limit, patience))
			if c.put != nil {
				c.put(t)
			}
			for _, check := range []string{c.check, cmp.Or(c.also, c.check)} {
				d := found[check]
				if got := d.Result + " " + d.Code; (got != c.want || !strings.Contains(d.What, c.says)) && (check != c.check || got != c.or) || d.Do == "" {
					t.Errorf("got %s: %s\nto do: %s\nwant %s: …%s…", got, d.What, d.Do, c.want, c.says)
				}
				for _, secret := range []string{"right", "wrong"} {
					if strings.Contains(d.What+d.Do, ":"+secret) {
						t.Errorf("a password is told: %+v", d)
					}
				}
			}
			for check, was := range healthy {
				now, told := found[check]
				if is := now.Result; told && is != was.Result && !strings.HasPrefix(check, c.check) && check != c.also {
					t.Errorf("%s was %s and is %s: %s", check, was.Result, is, now.What)
				}
			}
		})
	}
}

// What may spoil a night though everything can be read: a replica that lags and ends statements, one that does not
// replicate, a disk that is nearly full.
func TestDoctorWarns(t *testing.T) {
	t.Parallel()
	primary := testenv.NewPostgres(t, nil)
	admin, err := pgx.Connect(t.Context(), primary.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close(context.WithoutCancel(t.Context())) })
	exec := func(text string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	exec("CREATE TABLE orders (id int PRIMARY KEY)")
	replica := primary.Standby(t, map[string]string{"hot_standby_feedback": "off"})
	behind, err := pgx.Connect(t.Context(), replica.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { behind.Close(context.WithoutCancel(t.Context())) })
	maria := testenv.NewMariaDB(t)
	db := open(t, "mysql", "root@tcp("+maria.Addr+")/"+maria.Database)
	engine{db: db}.exec(t, "CREATE TABLE contacts (id INT PRIMARY KEY)", "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = 1, MASTER_USER = 'nobody'")

	dir := t.TempDir()
	small := filepath.Join(dir, "small")
	if err := os.Mkdir(small, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{
		"daybreak.yaml": fmt.Sprintf("sources: {shop: {postgres: %q, budget: {replica_lag: 1s}}, crm: {mysql: \"mysql://root@%s/%s\"}}\nlake: small/lake\nstatus: {public: true}\n",
			replica.URL, maria.Addr, maria.Database),
		"schedules/nightly.yaml": `
at: "02:00"
timezone: UTC
owners: [data@example.com, shop@example.com]
tables:
  shop.orders: {table: public.orders, key: [id]}
  crm.contacts: {key: [id]}
`})
	exec("INSERT INTO orders VALUES (1)")
	until(t, "the replica has a row", func() bool {
		var rows int
		if err := behind.QueryRow(t.Context(), "SELECT count(*) FROM orders").Scan(&rows); err != nil {
			t.Fatal(err)
		}
		return rows == 1
	})
	if _, err := behind.Exec(t.Context(), "SELECT pg_wal_replay_pause()"); err != nil {
		t.Fatal(err)
	}
	exec("INSERT INTO orders VALUES (2)") // which the replica does not show
	lines := func() (out string) {
		a := do(t, dir, nil, "doctor", "--timeout", patience.String())
		return a.out
	}
	until(t, "the replica is seen to lag", func() bool { return strings.Contains(lines(), "this replica is ") })
	out := lines()
	for _, want := range []string{"this replica is ", " behind", "[replica_cancels]", "for 30s", "this replica does not replicate: its data stands still"} {
		if !strings.Contains(out, want) {
			t.Errorf("doctor does not say %q:\n%s", want, out)
		}
	}
	if disk := mount(t, small); disk.mounted { // as root
		for kib, want := range map[int]string{1 << 10: "fail disk_low", 1 << 20: "ok "} {
			if err := syscall.Mount("tmpfs", small, "tmpfs", syscall.MS_REMOUNT, fmt.Sprintf("size=%dk", kib)); err != nil {
				t.Fatal(err)
			}
			if d := examined(t, dir)["disk of the lake"]; d.Result+" "+d.Code != want || !strings.Contains(d.What, "are free") {
				t.Errorf("%d KiB: %+v, want %s", kib, d, want)
			}
		}
	}
}
