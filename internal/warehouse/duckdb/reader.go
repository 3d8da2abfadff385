package duckdb

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"math/big"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// Reader reads the read copy of a warehouse: the state after one publish, whole.
type Reader struct {
	db   *sql.DB
	path string
	w    *Warehouse // only to explain errors
}

// OpenReadOnly opens the read copy. The error is read_copy_missing when no night was published yet.
func OpenReadOnly(ctx context.Context, path string) (*Reader, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, &elt.Error{
			Code: codeNoReadCopy, Class: elt.Config,
			What: fmt.Sprintf("there is nothing to read at %s: no night has been published yet", path),
			Do:   "run a night first: daybreak run",
		}
	}
	db, err := connect(ctx, path, "READ_ONLY")
	if err != nil {
		return nil, err
	}
	return &Reader{db: db, path: path, w: &Warehouse{log: slog.New(slog.DiscardHandler)}}, nil
}

// Close closes the reader.
func (r *Reader) Close() error { return r.db.Close() }

// Versions returns every version that the read copy knows to be published, oldest first.
func (r *Reader) Versions(ctx context.Context) ([]elt.Version, error) {
	versions, err := versionsWhere(ctx, r.db, "true")
	return versions, r.w.fail(ctx, "read the published versions", err)
}

// Measure takes the facts of elt.TableStats over a published relation.
func (r *Reader) Measure(ctx context.Context, relation string, schema elt.Schema) (elt.TableStats, error) {
	stats, err := measure(ctx, r.db, publishedName(relation), schema)
	return stats, r.w.refused(ctx, warehouse.CodeRefused, "cannot measure "+relation, "run a night that publishes it first", 0, err)
}

// Export writes every row of a published relation to a Parquet file.
func (r *Reader) Export(ctx context.Context, relation, path string) error {
	_, err := r.db.ExecContext(ctx, "COPY (SELECT * FROM "+publishedName(relation)+") TO "+literal(path)+" (FORMAT parquet, COMPRESSION zstd)")
	return r.w.fail(ctx, "write "+relation+" to "+path, err)
}

// Query runs one statement and returns its columns, their DuckDB types, and its rows one by one; they must be
// ranged over, once. A value is nil, bool, string, []byte, float64, json.Number (every exact number),
// []any or map[string]any. Dates and times are text as SQL writes them, instants in UTC; JSON is its text.
func (r *Reader) Query(ctx context.Context, query string) (columns, types []string, rows iter.Seq2[[]any, error], err error) {
	refuse := func(err error) error {
		return r.w.refused(ctx, warehouse.CodeRefused, "the warehouse refuses the query", "correct the SQL", 0, err)
	}
	query = strings.TrimRight(query, "; \t\r\n")
	if query, err = r.jsonAsText(ctx, query); err != nil {
		return nil, nil, nil, refuse(err)
	}
	result, err := r.db.QueryContext(ctx, query) //nolint:rowserrcheck // asked for where the rows are ranged over
	if err != nil {
		return nil, nil, nil, refuse(err)
	}
	kinds, err := result.ColumnTypes()
	if err != nil {
		return nil, nil, nil, errors.Join(refuse(err), result.Close())
	}
	for _, k := range kinds {
		columns = append(columns, k.Name())
		types = append(types, k.DatabaseTypeName())
	}
	return columns, types, func(yield func([]any, error) bool) {
		defer result.Close()
		for result.Next() {
			row, dests := make([]any, len(types)), make([]any, len(types))
			for i := range row {
				dests[i] = &row[i]
			}
			err := result.Scan(dests...)
			for i := range row {
				row[i] = plain(row[i], types[i])
			}
			if !yield(row, refuse(err)) || err != nil {
				return
			}
		}
		if err := result.Err(); err != nil {
			yield(nil, refuse(err))
		}
	}, nil
}

// jsonAsText makes a SELECT return its JSON columns as text: the driver would decode them and lose digits.
// What is no SELECT is returned as it is.
func (r *Reader) jsonAsText(ctx context.Context, query string) (string, error) {
	docs, err := describe(ctx, r.db, "(\n"+query+"\n)")
	if err != nil {
		return query, ctx.Err() // running it will say what is wrong
	}
	found := false
	exprs := make([]string, len(docs))
	for i, d := range docs {
		exprs[i] = "#" + strconv.Itoa(i+1)
		if strings.Contains(d.Type, "JSON") {
			found = true
			exprs[i] = "CAST(" + exprs[i] + " AS " + strings.ReplaceAll(d.Type, "JSON", "VARCHAR") + ")"
		}
		exprs[i] += " AS " + quote(d.Name)
	}
	if !found {
		return query, nil
	}
	return "SELECT " + strings.Join(exprs, ", ") + " FROM (\n" + query + "\n)", nil
}

// plain turns a value of the driver's into one of those that Query promises.
func plain(v any, kind string) any {
	switch v := v.(type) {
	case int8, int16, int32, int64, uint8, uint16, uint32, uint64:
		return json.Number(fmt.Sprint(v))
	case *big.Int:
		return json.Number(v.String())
	case duckdb.Decimal:
		return json.Number(decimalText(v.Value, int(v.Scale)))
	case float32:
		return float64(v)
	case time.Time:
		return timeText(v.UTC(), kind)
	case duckdb.Interval:
		return fmt.Sprintf("%d months %d days %d microseconds", v.Months, v.Days, v.Micros)
	case []byte:
		if kind == "UUID" && len(v) == 16 {
			return fmt.Sprintf("%x-%x-%x-%x-%x", v[:4], v[4:6], v[6:8], v[8:10], v[10:])
		}
		return v
	case []any:
		for i := range v {
			v[i] = plain(v[i], strings.TrimSuffix(kind, "[]"))
		}
		return v
	case map[string]any:
		for k := range v {
			v[k] = plain(v[k], "")
		}
		return v
	case nil, bool, string, float64:
		return v
	default:
		return fmt.Sprint(v)
	}
}

// decimalText writes a scaled integer with all of its digits: 110 at scale 2 is 1.10.
func decimalText(scaled *big.Int, scale int) string {
	if scale == 0 {
		return scaled.String()
	}
	digits := new(big.Int).Abs(scaled).String()
	digits = strings.Repeat("0", max(0, scale+1-len(digits))) + digits
	point := len(digits) - scale
	text := digits[:point] + "." + digits[point:]
	if scaled.Sign() < 0 {
		return "-" + text
	}
	return text
}

func timeText(t time.Time, kind string) string {
	switch kind {
	case "DATE":
		return t.Format(time.DateOnly)
	case "TIME":
		return t.Format("15:04:05.999999")
	case "TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE":
		return t.Format("2006-01-02 15:04:05.999999Z07:00")
	}
	return t.Format("2006-01-02 15:04:05.999999")
}
