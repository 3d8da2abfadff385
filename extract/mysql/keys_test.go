package mysql

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/testenv"
)

// opened returns a session of a new database after the statements.
func opened(t *testing.T, statements ...string) (*session, string) {
	t.Helper()
	server := testenv.MariaDB(t)
	source, err := New(Options{Name: "shop", URL: server.URL, ChunkBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	w, err := source.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.hangUp)
	for _, s := range statements {
		if err := w.exec(t.Context(), s); err != nil {
			t.Fatal(s, err)
		}
	}
	return w, server.Database
}

// TestChunksAreRanges asks the server how it would read chunks: each must be a range of the index, no row of others looked
// at and nothing sorted.
func TestChunksAreRanges(t *testing.T) {
	for _, c := range []struct{ columns, row string }{
		{`a INT NOT NULL, PRIMARY KEY (a)`, `seq`},
		{`a INT NOT NULL, b INT NOT NULL, PRIMARY KEY (a, b)`, `seq % 7, seq`},
		{`a VARCHAR(20) NOT NULL, b INT NOT NULL, c VARCHAR(20) CHARACTER SET latin1 NOT NULL, PRIMARY KEY (a, b, c)`, `CONCAT('K', seq % 5), seq % 50, MD5(seq)`},
		{`a DECIMAL(20,5) NOT NULL, b DATETIME(6) NOT NULL, PRIMARY KEY (a, b)`, `seq % 11 / 10, '2026-01-01' + INTERVAL seq MICROSECOND`},
		{`a FLOAT NOT NULL, b BINARY(16) NOT NULL, PRIMARY KEY (a, b)`, `seq % 11 / 7, UNHEX(MD5(seq))`},
		{`a UUID NOT NULL, PRIMARY KEY (a)`, `UUID()`},
		{`a DATE NOT NULL, b BIT(20) NOT NULL, PRIMARY KEY (a, b)`, `'2026-01-01' + INTERVAL seq % 20 DAY, seq`},
		{`a INT NULL, UNIQUE KEY (a)`, `IF(seq % 10, seq, NULL)`},
		{`a INT NOT NULL, b VARCHAR(9) NOT NULL, PRIMARY KEY (a, b) ) PARTITION BY RANGE (a) (PARTITION p0 VALUES LESS THAN (50), PARTITION p1 VALUES LESS THAN MAXVALUE`, `seq, seq`},
	} {
		t.Run(c.columns, func(t *testing.T) {
			w, database := opened(t, `CREATE TABLE v (`+c.columns+`)`)
			if err := w.exec(t.Context(), `INSERT IGNORE INTO v SELECT `+c.row+` FROM seq_1_to_5000`); err != nil {
				t.Fatal(err)
			}
			if err := w.exec(t.Context(), `ANALYZE TABLE v`); err != nil {
				t.Fatal(err)
			}
			d, err := w.describe(t.Context(), database+".v")
			if err != nil {
				t.Fatal(err)
			}
			cutter, err := w.newCutter(t.Context(), d, nil)
			if err != nil {
				t.Fatal(err)
			}
			var bounds []string
			ranges := 0
			for {
				piece, ok, err := cutter.next(t.Context(), w)
				if err != nil {
					t.Fatal(err)
				}
				if !ok {
					break
				}
				bounds = append(bounds, strings.Join(piece.to, ","))
				if piece.from == nil && piece.to == nil {
					continue
				}
				ranges++
				statements := []string{"SELECT * FROM " + piece.sql()}
				if piece.from != nil {
					statements = append(statements, "SELECT "+d.key.items()+" FROM "+piece.relation(true)+conditions(append(piece.where(), d.key.behind(piece.from)))+
						d.key.order()+" LIMIT 1 OFFSET 9")
				}
				for _, statement := range statements {
					plan, err := w.list(t.Context(), "EXPLAIN "+statement)
					if err != nil {
						t.Fatal(statement, err)
					}
					kind, index, extra := plan[0][3], plan[0][5], plan[0][9]
					one := kind == "const" || kind == "ref" || strings.Contains(extra, "Impossible WHERE") // a single key, or none
					if !one && (kind != "range" || index != d.key.index) || strings.Contains(extra, "filesort") {
						t.Errorf("%s is read as %v", statement, plan)
					}
				}
			}
			if ranges < 3 {
				t.Errorf("chunks end at %q", bounds)
			}
			if same := slices.Compact(slices.Clone(bounds)); len(same) != len(bounds) && !d.key.nullable && len(d.partitions) == 0 {
				t.Error(cmp.Diff(same, bounds))
			}
		})
	}
}
