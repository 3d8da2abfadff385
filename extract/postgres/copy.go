package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// copy reads one piece of a table in a session.
func (d *reading) copy(ctx context.Context, in *session, p piece, to *parquet.Writer) (int64, error) {
	name, t := d.snapshot.source.opts.Name, d.table
	rows := &rowReader{request: d.request, to: to, batch: to.Batch(), from: p.first}
	list, err := rows.prepare(t)
	if err != nil {
		return 0, err
	}
	statement := "COPY (SELECT " + strings.Join(list, ", ") + " FROM " + p.sql(d.request.Range) + ") TO STDOUT (FORMAT binary)"
	tag, err := copyTo(ctx, in.Conn, rows, statement)
	switch {
	case rows.err != nil:
		return 0, rows.err
	case err != nil:
		return 0, fault(ctx, withoutValues(err, d.request), "cannot read table %s of source %s", t.info.Name, name)
	case !rows.ended || len(rows.rest) > 0:
		return 0, &elt.Error{Code: lost.code, Class: lost.class, Do: lost.do, What: fmt.Sprintf("table %s of source %s: the rows broke off before their end", t.info.Name, name)}
	case tag.RowsAffected() != rows.rows:
		return 0, &elt.Error{
			Code: "rows_lost", Class: elt.Internal,
			What: fmt.Sprintf("table %s of source %s: %d rows came of %d, %s", t.info.Name, name, rows.rows, tag.RowsAffected(), p),
			Do:   "report it with the step's log; nothing was published",
		}
	}
	return rows.rows, nil
}

// rangeSQL returns the condition for the cursor's range.
func rangeSQL(r *extract.Range) string {
	name := pgx.Identifier{r.Cursor.Name}.Sanitize()
	literal := func(x int64) string {
		switch r.Cursor.Type.Kind {
		case elt.Int64:
			return strconv.FormatInt(x, 10)
		case elt.DateKind:
			return "'" + time.Unix(x*86400, 0).UTC().Format(time.DateOnly) + "'::date"
		case elt.Timestamp:
			return "'" + time.UnixMicro(x).UTC().Format("2006-01-02 15:04:05.000000") + "+00'::timestamptz"
		}
		return "'" + time.UnixMicro(x).UTC().Format("2006-01-02 15:04:05.000000") + "'::timestamp"
	}
	where := name + " IS NOT NULL"
	if !r.Open {
		where = name + " < " + literal(r.To)
	}
	if !r.All {
		where += " AND " + name + " >= " + literal(r.From)
	}
	if r.Nulls == elt.NullsInclude {
		return "(" + where + " OR " + name + " IS NULL)"
	}
	return where
}

// nullCursors refuses a table in which a row has no cursor, or counts such rows: no window would ever bring them.
func nullCursors(ctx context.Context, in *session, t table, r extract.Request) error {
	if r.Range == nil || !r.Range.Cursor.Nullable || r.Range.Nulls == elt.NullsInclude {
		return nil
	}
	where := " FROM " + t.name.sql() + " WHERE " + pgx.Identifier{r.Range.Cursor.Name}.Sanitize() + " IS NULL"
	if r.Range.Nulls == elt.NullsSkip {
		var n int64
		if err := in.QueryRow(ctx, "SELECT count(*)"+where).Scan(&n); err != nil {
			return fault(ctx, err, "cannot read table %s of source %s", t.info.Name, r.Extraction.Source)
		}
		r.Facts.Skipped(n)
		return nil
	}
	list := "'without a key'"
	if len(r.Key) > 0 {
		parts := make([]string, len(r.Key))
		for i, k := range r.Key {
			parts[i] = "'" + strings.ReplaceAll(k, "'", "''") + " = ' || coalesce(" + pgx.Identifier{k}.Sanitize() + "::text, 'NULL')"
		}
		list = strings.Join(parts, " || ', ' || ")
	}
	var key string
	err := in.QueryRow(ctx, "SELECT "+list+where+" LIMIT 1").Scan(&key)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fault(ctx, err, "cannot read table %s of source %s", t.info.Name, r.Extraction.Source)
	}
	return extract.NullCursor(r, key)
}
