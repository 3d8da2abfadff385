package mysql_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/extract/mysql"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// TestDigestOfChunksOfManyRows has the server take its digest in both ways: with the rows' hashes written down, and, where a chunk has
// too many rows for that, with each worked out twice. What comes is the same, row for row and digest for digest.
func TestDigestOfChunksOfManyRows(t *testing.T) {
	server, db := database(t, `CREATE TABLE hashed (id INT PRIMARY KEY, t VARCHAR(200), d DECIMAL(12,3), at DATETIME(6), f DOUBLE, b VARBINARY(20), j JSON)`)
	var values []string
	for i := range 300 {
		values = append(values, fmt.Sprintf(`(%d, REPEAT('ä', %d), %d / 7, '2026-01-05' + INTERVAL %d MICROSECOND, %d / 3e0, UNHEX(MD5(%d)), '{"n": %d}')`, i, i%90, i*i, i*7919, i*i, i, i))
	}
	exec(t, db, "INSERT INTO hashed VALUES "+strings.Join(values, ", "),
		"INSERT INTO hashed VALUES (300, NULL, NULL, NULL, NULL, NULL, NULL), (301, '', 0, '1000-01-01', -0e0, '', '[]')", "ANALYZE TABLE hashed",
		"SET GLOBAL log_output = 'TABLE'", "SET GLOBAL general_log = 1")
	t.Cleanup(func() {
		if _, err := db.Exec("SET GLOBAL general_log = 0"); err != nil {
			t.Error(err)
		}
	})

	lake := &extracttest.Lake{}
	extracted := func(attempt int, mostHashes int64) (rows [][]string, digests [2]*elt.RowDigest, taken, once int) {
		source, err := mysql.New(mysql.Options{Name: "shop", URL: server.URL, Log: extracttest.Log(t), ChunkBytes: 2000, MostHashes: mostHashes})
		if err != nil {
			t.Fatal(err)
		}
		before, beforeOnce := digestsTaken(t, db)
		m, err := extracttest.Extract(t, extracttest.New(t, source, lake), extracttest.Job(extracttest.Table("hashed"), attempt))
		if err != nil {
			t.Fatal(err)
		}
		taken, once = digestsTaken(t, db)
		rows = lake.Rows(t, m)
		slices.SortFunc(rows, slices.Compare)
		return rows, [2]*elt.RowDigest{m.Stats.Digest, m.SourceDigest}, taken - before, once - beforeOnce
	}
	rows, digests, taken, once := extracted(1, 1)
	if taken < 2 || once > 0 {
		t.Errorf("of %d digests of chunks with many rows %d were taken of hashes that were written down", taken, once)
	}
	otherRows, otherDigests, taken, once := extracted(2, 0)
	if taken < 2 || once != taken {
		t.Errorf("of %d digests of chunks with few rows %d were taken of hashes that were written down", taken, once)
	}
	if len(rows) != 302 || digests[0] == nil || digests[1] == nil {
		t.Errorf("%d rows came, with the digests %v", len(rows), digests)
	}
	if diff := cmp.Diff(otherRows, rows); diff != "" {
		t.Errorf("(-few rows +many)\n%s", diff)
	}
	if diff := cmp.Diff(otherDigests, digests); diff != "" {
		t.Errorf("(-few rows +many)\n%s", diff)
	}
}

// digestsTaken returns how many digests of chunks of the table hashed the server has taken, and how many of them of hashes that it wrote down.
func digestsTaken(t *testing.T, db *sql.DB) (all, once int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), `SELECT COUNT(*), COALESCE(SUM(argument LIKE '%LIMIT 18446744073709551615%'), 0) FROM mysql.general_log
		WHERE argument LIKE 'SELECT COUNT(*), COALESCE(SUM(COALESCE(%hashed%'`).Scan(&all, &once); err != nil {
		t.Fatal(err)
	}
	return all, once
}
