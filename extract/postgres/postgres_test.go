package postgres_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/extract/postgres"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// database returns a new database after the statements, and a connection to it.
func database(t *testing.T, statements ...string) (string, *pgx.Conn) {
	t.Helper()
	url := testenv.Postgres(t).URL
	conn := connect(t, url)
	exec(t, conn, statements...)
	return url, conn
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.PgConn().Conn().Close() })
	return conn
}

func exec(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// afterwards runs statements when the test's context has ended.
func afterwards(t *testing.T, url string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, s := range statements {
		if _, err := conn.Exec(context.Background(), s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func newSource(t *testing.T, url string) *postgres.Source {
	t.Helper()
	// A session that is about to begin, whoever's, hides from others for a while: it is waited for.
	return newSourceOf(t, postgres.Options{URL: url, TransactionWait: 2 * time.Minute})
}

func newSourceOf(t *testing.T, o postgres.Options) *postgres.Source {
	t.Helper()
	o.Name, o.Log, o.Budget.LockTimeout = "shop", extracttest.Log(t), 300*time.Millisecond
	o.Budget.LockWait = time.Hour // who waits for a moment, in a test, is not let through when the moment becomes a long one
	s, err := postgres.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestEveryType extracts one row of NULLs and one of values for each type, and compares them as text.
func TestEveryType(t *testing.T) {
	url, conn := database(t,
		`CREATE TYPE mood AS ENUM ('sad', 'happy')`, `CREATE TYPE pair AS (a int, b text)`,
		`CREATE DOMAIN price AS numeric(12,2)`, `CREATE DOMAIN cents AS price CHECK (VALUE >= 0)`,
		`CREATE EXTENSION IF NOT EXISTS hstore`)
	for _, c := range []struct {
		typ, literal string
		want         string // the logical type
		text         string // canonical; the literal itself when empty
	}{
		{"boolean", "true", "bool", ""},
		{"smallint", "-32768", "int64", ""},
		{"integer", "2147483647", "int64", ""},
		{"bigint", "-9223372036854775808", "int64", ""},
		{"oid", "4294967295", "int64", ""},
		{"real", "0.1", "float64", "0.10000000149011612"},
		{"double precision", "5e-324", "float64", ""},
		{"double precision", "-Infinity", "float64", "-inf"},
		{"double precision", "NaN", "float64", ""},
		{"numeric(12,2)", "-1234567890.12", "decimal(12,2)", ""},
		{"numeric(12,2)", "0.10", "decimal(12,2)", ""},
		{"numeric(12,2)", "10000", "decimal(12,2)", "10000.00"},
		{"numeric(5,5)", "0.00010", "decimal(5,5)", ""},
		{"numeric(38,10)", "-9999999999999999999999999999.9999999999", "decimal(38,10)", ""},
		{"numeric(38,0)", "99999999999999999999999999999999999999", "decimal(38,0)", ""},
		{"numeric(38,38)", "0.00000000000000000000000000000000000001", "decimal(38,38)", ""},
		{"numeric(18,0)", "999999999999999999", "decimal(18,0)", ""},
		{"numeric(19,1)", "-100000000000000000.5", "decimal(19,1)", ""},
		{"numeric(3,-2)", "12300", "decimal(5,0)", ""},
		{"numeric(2,4)", "0.0099", "decimal(4,4)", ""},
		{"numeric(39,2)", "0.10", "string", ""},
		{"numeric", "0.10", "string", ""},
		{"numeric", "NaN", "string", ""},
		{"numeric", "1" + strings.Repeat("0", 2000) + "." + strings.Repeat("1", 300), "string", ""},
		{"price", "12.30", "decimal(12,2)", ""},
		{"cents", "12.30", "decimal(12,2)", ""},
		{"money", "-92233720368547758.08", "string", ""},
		{"text", "grüße 🌅 \n\t\"", "string", ""},
		{"text", "", "string", ""},
		{"varchar(5)", "abc", "string", ""},
		{"char(5)", "ab", "string", "ab   "},
		{"name", "n", "string", ""},
		{`"char"`, "x", "string", ""},
		{"bytea", `\x0001ff`, "bytes", ""},
		{"bytea", ``, "bytes", `\x`},
		{"date", "0001-01-01", "date", ""},
		{"date", "9999-12-31", "date", ""},
		{"time", "23:59:59.999999", "time", ""},
		{"timetz", "00:00:00-15:59:59", "string", ""},
		{"timestamp", "0001-01-01 00:00:00", "local_timestamp", ""},
		{"timestamp", "9999-12-31 23:59:59.999999", "local_timestamp", ""},
		{"timestamptz", "2026-03-29 02:30:00.000001+02", "timestamp", "2026-03-29 00:30:00.000001+00"},
		{"interval", "1 mon -1 day 00:00:00.000001", "string", "1 mon -1 days +00:00:00.000001"},
		{"json", `{"a": 1.10, "a": "\u0000"}`, "json", ""},
		{"jsonb", `{"a": 1.10}`, "json", ""},
		{"jsonb", `{"a": 1e400}`, "json", `{"a": 1` + strings.Repeat("0", 400) + `}`},
		{"uuid", "6BA7B810-9DAD-11D1-80B4-00C04FD430C8", "uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
		{"mood", "happy", "string", ""},
		{"pair", `(1,"a b")`, "string", ""},
		{"inet", "10.0.0.1/24", "string", ""},
		{"cidr", "10.0.0.0/24", "string", ""},
		{"macaddr", "08:00:2b:01:02:03", "string", ""},
		{"bit(3)", "101", "string", ""},
		{"varbit", "", "string", ""},
		{"int4range", "empty", "string", ""},
		{"int8range", "(,)", "string", ""},
		{"tstzrange", `["2026-01-01 00:00:00+00",)`, "string", ""},
		{"int4multirange", "{[1,3),[5,8)}", "string", ""},
		{"point", "(1,2)", "string", ""},
		{"tsvector", "'a':1 'b'", "string", ""},
		{"xml", "<a>é</a>", "string", ""},
		{"hstore", `"a"=>NULL`, "string", ""},
		{"int[]", "{}", "list<int64>", "[]"},
		{"int[]", "{1,NULL,3}", "list<int64>", "[1 NULL 3]"},
		{"text[]", `{a,"",NULL}`, "list<string>", "[a  NULL]"},
		{"numeric(6,2)[]", "{1.10,-2}", "list<decimal(6,2)>", "[1.10 -2.00]"},
		{"numeric[]", "{1.10,NaN}", "list<string>", "[1.10 NaN]"},
		{"timestamptz[]", "{2026-01-01 00:00:00+00}", "list<timestamp>", "[2026-01-01 00:00:00+00]"},
		{"uuid[]", "{6ba7b810-9dad-11d1-80b4-00c04fd430c8}", "list<uuid>", "[6ba7b810-9dad-11d1-80b4-00c04fd430c8]"},
		{"jsonb[]", `{"[1]"}`, "list<json>", "[[1]]"},
		{"mood[]", "{sad,happy}", "list<string>", "[sad happy]"},
	} {
		t.Run(c.typ+" "+c.literal[:min(len(c.literal), 30)], func(t *testing.T) {
			exec(t, conn, `DROP TABLE IF EXISTS v`, `CREATE TABLE v (id int PRIMARY KEY, v `+c.typ+`)`)
			if _, err := conn.Exec(t.Context(), `INSERT INTO v VALUES (1, NULL), (2, '`+strings.ReplaceAll(c.literal, "'", "''")+`')`); err != nil {
				t.Fatal(err)
			}
			lake := &extracttest.Lake{}
			m, err := extracttest.Extract(t, extracttest.New(t, newSource(t, url), lake), extracttest.Job(extracttest.Table("public.v"), 1))
			if err != nil {
				t.Fatal(err)
			}
			text := c.text
			if text == "" {
				text = c.literal
			}
			if diff := cmp.Diff([][]string{{"1", "NULL"}, {"2", text}}, lake.Rows(t, m)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if got := m.Schema[1].Type.String(); got != c.want {
				t.Errorf("the type is %s, expected %s", got, c.want)
			}
		})
	}
}

// TestRefusedValues holds values that have no exact place: each must be named, none altered.
func TestRefusedValues(t *testing.T) {
	url, conn := database(t)
	for _, c := range []struct{ typ, literal, named string }{
		{"numeric(12,2)", "NaN", "NaN"},
		{"date", "infinity", "infinity"},
		{"date", "-infinity", "-infinity"},
		{"date", "5874897-12-31", "5874897-12-31 is outside"},
		{"date", "0001-12-31 BC", "0001-12-31 BC is outside"},
		{"timestamp", "infinity", "infinity"},
		{"timestamptz", "-infinity", "-infinity"},
		{"timestamp", "294276-12-31 23:59:59.999999", "294276-12-31 23:59:59.999999 is outside"},
		{"timestamp", "4713-01-01 BC", "4713-01-01 00:00:00 BC is outside"},
		{"timestamptz", "10000-01-01 00:00:00+00", "10000-01-01 00:00:00 is outside"},
		{"time", "24:00:00", "24:00:00"},
		{"int[]", "{{1,2},{3,4}}", "2 dimensions"},
		{"int[]", "[0:1]={1,2}", "index 0"},
		{"numeric(4,1)[]", "{1,NaN}", "NaN"},
	} {
		t.Run(c.typ+" "+c.literal, func(t *testing.T) {
			exec(t, conn, `DROP TABLE IF EXISTS v`, `CREATE TABLE v (v `+c.typ+`, id int PRIMARY KEY)`,
				`INSERT INTO v VALUES (NULL, 1), ('`+c.literal+`', 42)`)
			lake := &extracttest.Lake{}
			_, err := extracttest.Extract(t, extracttest.New(t, newSource(t, url), lake), extracttest.Job(extracttest.Table("public.v"), 1))
			extracttest.Fails(t, err, "value_not_representable", "public.v", "column v", "id = 42", c.named)
			if keys := lake.Keys(); len(keys) != 0 {
				t.Errorf("the lake holds %v", keys)
			}
		})
	}
}
