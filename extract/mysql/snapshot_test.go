package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/extract/mysql"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// user makes a user with the privileges and returns the source's URL for it.
func user(t *testing.T, server *testenv.MariaDBServer, db *sql.DB, name string, grants ...string) string {
	t.Helper()
	account := "'" + name + "'@'127.0.0.1'"
	exec(t, db, "CREATE USER "+account)
	t.Cleanup(func() {
		if _, err := db.ExecContext(context.WithoutCancel(t.Context()), "DROP USER "+account); err != nil {
			t.Error(err)
		}
	})
	for _, g := range grants {
		exec(t, db, "GRANT "+g+" TO "+account)
	}
	return strings.Replace(server.URL, "root@", name+"@", 1)
}

// TestChangedTables alters tables between the snapshot and their turn: each must be noticed, and read anew at once, in a
// snapshot of its own.
func TestChangedTables(t *testing.T) {
	for _, c := range []struct {
		change string
		rows   int64 // afterwards; -1 when the table is gone
	}{
		{`TRUNCATE TABLE b`, 0},
		{`DROP TABLE b`, -1},
		{`DROP TABLE b; CREATE TABLE b (n INT PRIMARY KEY, x INT)`, 0},
		{`RENAME TABLE b TO old, other TO b`, 3},
		{`ALTER TABLE b ADD COLUMN y INT DEFAULT 7`, 20},
		{`ALTER TABLE b DROP COLUMN x`, 20},
		{`ALTER TABLE b MODIFY x BIGINT`, 20},
		{`ALTER TABLE b ENGINE = InnoDB, FORCE`, 20},
		{`ALTER TABLE b ADD INDEX (x)`, 20},
	} {
		for _, connections := range []int{1, 2} {
			t.Run(fmt.Sprint(c.change, " ", connections), func(t *testing.T) {
				server, db := database(t, `CREATE TABLE a (n INT PRIMARY KEY)`, `CREATE TABLE b (n INT PRIMARY KEY, x INT)`, `CREATE TABLE other (n INT PRIMARY KEY, x INT)`,
					`INSERT INTO a VALUES (1)`, `INSERT INTO b SELECT seq, 0 FROM seq_1_to_20`, `INSERT INTO other VALUES (1, 1), (2, 2), (3, 3)`)
				source, err := mysql.New(mysql.Options{Name: "shop", URL: server.URL, Connections: connections, Log: extracttest.Log(t)})
				if err != nil {
					t.Fatal(err)
				}
				lake := &extracttest.Lake{}
				tables := []elt.Extraction{extracttest.Table("a"), extracttest.Table("b")}
				night := extracttest.New(t, source, lake).Begin("r1", tables, tables)
				defer night.Close()
				if _, err := night.Extract(t.Context(), extracttest.Job(tables[0], 1), nothing); err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(c.change, "RENAME") { // tables that are alike are told apart by the second in which they were made
					testenv.Eventually(t, "the second is over", func() (later bool) {
						err := db.QueryRowContext(t.Context(), `SELECT MAX(CREATE_TIME) < NOW() FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()`).Scan(&later)
						return err == nil && later
					})
				}
				exec(t, db, c.change)
				var told string
				m, err := night.Extract(t.Context(), extracttest.Job(tables[1], 1), func(p elt.Progress) { told = p.Note })
				if c.rows < 0 {
					extracttest.Fails(t, err, "table_missing", "b")
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if rows := lake.Rows(t, m); int64(len(rows)) != c.rows {
					t.Errorf("%d rows came", len(rows))
				}
				if strings.Contains(c.change, "INDEX") && m.Source.Epoch == 1 { // the rows are as they were in the snapshot
					return
				}
				if m.Source.Epoch != 2 || m.Source.CrossTableConsistent || !strings.Contains(told, "read again from its beginning, in a new snapshot: table b of source shop was ") &&
					!strings.Contains(told, "Table definition has changed") {
					t.Errorf("%q: %+v", told, m.Source)
				}
			})
		}
	}
}

// TestReadTableIsFree: what has been read can be altered while the snapshot goes on.
func TestReadTableIsFree(t *testing.T) {
	server, db := database(t, `CREATE TABLE a (n INT PRIMARY KEY)`, `CREATE TABLE b (n INT PRIMARY KEY)`)
	tables := []elt.Extraction{extracttest.Table("a"), extracttest.Table("b")}
	night := extracttest.New(t, newSource(t, server.URL), &extracttest.Lake{}).Begin("r1", tables, tables)
	defer night.Close()
	if _, err := night.Extract(t.Context(), extracttest.Job(tables[0], 1), nothing); err != nil {
		t.Fatal(err)
	}
	exec(t, db, `SET lock_wait_timeout = 60`, `ALTER TABLE a ADD COLUMN x INT`, `TRUNCATE TABLE a`)
	if m, err := night.Extract(t.Context(), extracttest.Job(tables[1], 1), nothing); err != nil || !m.Source.CrossTableConsistent {
		t.Errorf("%+v, %v", m, err)
	}
}

// cut ends every session of Daybreak's user.
func cut(t testing.TB, db *sql.DB, user string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT CONCAT('KILL ', ID) FROM information_schema.PROCESSLIST WHERE USER = '"+user+"'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var kills []string
	for rows.Next() {
		var k string
		if err := rows.Scan(&k); err != nil {
			t.Fatal(err)
		}
		kills = append(kills, k)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || len(kills) == 0 {
		t.Fatal(kills, err)
	}
	for _, k := range kills {
		if _, err := db.ExecContext(t.Context(), k); err != nil && !strings.Contains(err.Error(), "Unknown thread") { // one that had ended
			t.Fatal(err)
		}
	}
}

// TestLostSnapshot cuts the connections between two tables.
func TestLostSnapshot(t *testing.T) {
	server, db := database(t, `CREATE TABLE a AS SELECT seq AS n FROM seq_1_to_10`, `CREATE TABLE b AS SELECT seq AS n FROM seq_1_to_20`)
	url := user(t, server, db, "lost", "ALL ON *.*")
	tables := []elt.Extraction{extracttest.Table("a"), extracttest.Table("b")}
	night := extracttest.New(t, newSource(t, url), &extracttest.Lake{}).Begin("r1", tables, tables)
	defer night.Close()
	first, err := night.Extract(t.Context(), extracttest.Job(tables[0], 1), nothing)
	if err != nil {
		t.Fatal(err)
	}
	cut(t, db, "lost")
	second, err := night.Extract(t.Context(), extracttest.Job(tables[1], 1), nothing)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Source.CrossTableConsistent || second.Source.CrossTableConsistent || second.Rows() != 20 {
		t.Errorf("the first table was read in %+v, the second in %+v with %d rows", first.Source, second.Source, second.Rows())
	}
}

// TestCutWhileReading cuts the connections in the middle of a table, from within the lake.
func TestCutWhileReading(t *testing.T) {
	server, db := database(t, `CREATE TABLE a AS SELECT seq AS n, REPEAT(MD5(seq), 40) AS x FROM seq_1_to_40000`)
	url := user(t, server, db, "torn", "ALL ON *.*")
	cuts := 0
	lake := &extracttest.Lake{Before: func(key string) error {
		if strings.HasSuffix(key, ".parquet") && cuts == 0 {
			cuts++
			cut(t, db, "torn")
		}
		return nil
	}}
	e := extracttest.Table("a")
	night := extracttest.New(t, newSource(t, url), lake).Begin("r1", nil, nil)
	defer night.Close()
	m, err := night.Extract(t.Context(), extracttest.Job(e, 1), nothing)
	if err != nil {
		t.Fatal(err)
	}
	if m.Rows() != 40000 || len(lake.Rows(t, m)) != 40000 || m.Source.Epoch != 2 {
		t.Errorf("%d rows came, of %+v", m.Rows(), m.Source)
	}
}

// TestEndedReadingKeepsTheSnapshot ends the reading of a large table early, in each way that is not the snapshot's
// fault; the one session that there is must still have its moment for the next table.
func TestEndedReadingKeepsTheSnapshot(t *testing.T) {
	full := &elt.Error{Code: "lake_full", Class: elt.Quota, What: "the lake is full", Do: "make room"}
	for _, why := range []string{"lake", "value", "cancelled"} {
		t.Run(why, func(t *testing.T) {
			server, db := database(t, `CREATE TABLE a (n INT PRIMARY KEY, x TEXT, d DATE)`, `INSERT INTO a SELECT seq, REPEAT('x', 1000), '2026-01-05' FROM seq_1_to_40000`,
				`CREATE TABLE b (n INT PRIMARY KEY)`, `INSERT INTO b VALUES (1)`)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			lake := &extracttest.Lake{}
			switch why {
			case "lake":
				lake.Before = func(key string) error {
					if strings.Contains(key, "shop.a") {
						return full
					}
					return nil
				}
			case "value":
				exec(t, db, `UPDATE a SET d = '2026-00-00' WHERE n = 150`)
			case "cancelled":
				lake.Before = func(string) error { cancel(); return nil }
			}
			source, err := mysql.New(mysql.Options{Name: "shop", URL: server.URL, Connections: 1, Log: extracttest.Log(t)})
			if err != nil {
				t.Fatal(err)
			}
			tables := []elt.Extraction{extracttest.Table("a"), extracttest.Table("b")}
			night := extracttest.New(t, source, lake).Begin("r1", tables, tables)
			defer night.Close()
			_, err = night.Extract(ctx, extracttest.Job(tables[0], 1), nothing)
			switch {
			case why == "lake" && !errors.Is(err, full), why == "cancelled" && !errors.Is(err, context.Canceled):
				t.Fatal(err)
			case why == "value":
				extracttest.Fails(t, err, "value_not_representable", "n = 150", "column d")
			}
			exec(t, db, `INSERT INTO b VALUES (2)`)
			m, err := night.Extract(t.Context(), extracttest.Job(tables[1], 1), nothing)
			if err != nil {
				t.Fatal(err)
			}
			if m.Rows() != 1 || !m.Source.CrossTableConsistent {
				t.Errorf("the next table has %d rows in %+v", m.Rows(), m.Source)
			}
		})
	}
}

// TestCancelled: the server does not go on for somebody who is gone.
func TestCancelled(t *testing.T) {
	server, db := database(t, `CREATE TABLE one (n INT PRIMARY KEY)`, `INSERT INTO one VALUES (1)`, `CREATE VIEW slow AS SELECT n, SLEEP(600) AS s FROM one`)
	url := user(t, server, db, "leaver", "ALL ON *.*")
	ctx, cancel := context.WithCancel(t.Context())
	e := extracttest.Table("slow")
	night := extracttest.New(t, newSource(t, url), &extracttest.Lake{}).Begin("r1", []elt.Extraction{e}, []elt.Extraction{e})
	done := make(chan error)
	go func() {
		_, err := night.Extract(ctx, extracttest.Job(e, 1), nothing)
		done <- err
	}()
	sessions := func(where string) (n int) {
		if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM information_schema.PROCESSLIST WHERE USER = 'leaver' AND `+where).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	testenv.Eventually(t, "the view is read", func() bool { return sessions(`STATE = 'User sleep'`) == 1 })
	cancel()
	if err := testenv.Receive(t, "the extraction ends with its context", done); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	testenv.Eventually(t, "the server has stopped", func() bool { return sessions(`STATE = 'User sleep'`) == 0 })
	if err := night.Close(); err != nil {
		t.Error(err)
	}
	testenv.Eventually(t, "no session is left", func() bool { return sessions(`true`) == 0 })
}

// TestRefusedTables: one table's trouble is not the others'.
func TestRefusedTables(t *testing.T) {
	server, db := database(t, `CREATE TABLE good (n INT PRIMARY KEY)`, `CREATE TABLE old (n INT) ENGINE = MyISAM`, `CREATE TABLE secret (n INT)`)
	url := user(t, server, db, "reader", "SELECT ON "+server.Database+".good", "SELECT ON "+server.Database+".old")
	night := extracttest.New(t, newSource(t, url), &extracttest.Lake{}).Begin("r1", nil, nil)
	defer night.Close()
	if m, err := night.Extract(t.Context(), extracttest.Job(extracttest.Table("good"), 1), nothing); err != nil || m.Rows() != 0 || len(m.Parts) != 1 {
		t.Errorf("the empty table: %v", err)
	}
	for table, want := range map[string]elt.Code{"old": "table_engine", "secret": "permission_denied", "gone": "permission_denied"} {
		_, err := night.Extract(t.Context(), extracttest.Job(extracttest.Table(table), 1), nothing)
		extracttest.Fails(t, err, want, table)
	}
	tables, err := newSource(t, server.URL).Tables(t.Context())
	if err != nil || len(tables) != 3 || tables[1].Refused == nil {
		t.Errorf("discovery lists %+v, %v", tables, err)
	}
}

// TestUnreachable: each way not to get in has its own code, and none shows the password.
func TestUnreachable(t *testing.T) {
	server := testenv.MariaDB(t)
	e := extracttest.Table("a")
	for url, want := range map[string]elt.Code{
		server.URL + "_not": "source_database_missing",
		strings.Replace(server.URL, "root@", "root:hunter2@", 1): "source_auth_failed",
		"mysql://root:hunter2@127.0.0.1:1/shop":                  "source_unreachable",
	} {
		_, err := extracttest.Extract(t, extracttest.New(t, newSource(t, url), &extracttest.Lake{}), extracttest.Job(e, 1))
		extracttest.Fails(t, err, want, "shop")
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the password is shown: %v", err)
		}
	}
	for _, url := range []string{"", "mysql://", "postgres://h/d", "reader:hunter2@tcp(h)/d", "mysql://u:hunter2@h/d?tls=maybe", "mysql://u:hunter2@h/d?parseTime=true", "mysql://u:hunter2%zz@h/d"} {
		_, err := mysql.New(mysql.Options{Name: "shop", URL: url})
		extracttest.Fails(t, err, "source_url", "shop")
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the password is shown: %v", err)
		}
	}
	x := extracttest.New(t, newSource(t, "mysql://root@"+testenv.NobodyListens(t)+"/shop"), &extracttest.Lake{})
	problems := x.Check(t.Context(), []elt.Extraction{e, extracttest.Table("b")}, nil)
	if len(problems) != 1 || problems[0].Code != "source_unreachable" {
		t.Errorf("check says %v", problems)
	}
}
