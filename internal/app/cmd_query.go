package app

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Query runs SQL on the published warehouse.
type Query struct {
	SQL    string `arg:"" name:"sql" help:"One statement, or - to read it from standard input."`
	Format string `short:"f" enum:"table,csv,json" default:"table" help:"How rows are written: table, csv or json (one object a line)."`
}

// Help is the long help of the command.
func (Query) Help() string {
	return `Runs one statement of DuckDB's SQL on the read copy of the warehouse: the last published night, whole. It can change nothing, and it does not hold up a night that is running.

  daybreak query "SELECT * FROM analytics.revenue ORDER BY month DESC LIMIT 10"
  daybreak query -f csv "FROM shop.users" > users.csv
  daybreak query "SELECT dataset, data_date, rows, published_at FROM _daybreak.versions"`
}

// Run runs the command.
func (q *Query) Run(ctx context.Context, g *Globals, c *Console) error {
	ws, err := loadWorkspace(ctx, g.workspace())
	if err != nil {
		return err
	}
	statement := q.SQL
	if statement == "-" {
		b, err := io.ReadAll(os.Stdin)
		if err != nil {
			return fmt.Errorf("read standard input: %w", err)
		}
		statement = string(b)
	}
	reader, err := openReader(ctx, ws.config.Warehouse)
	if err != nil {
		return err
	}
	defer reader.Close() // it only read: closing it loses nothing
	columns, types, rows, err := reader.Query(ctx, statement)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(c.Out)
	if err := writers[q.Format](out, columns, types, rows); err != nil {
		return err
	}
	return out.Flush()
}

// writers are how rows are written, by the name of the format.
var writers = map[string]func(io.Writer, []string, []string, iter.Seq2[[]any, error]) error{
	"table": writeTable, "csv": writeCSV, "json": writeJSON,
}

// text writes a value as people read it; NULL is empty.
func text(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case []byte:
		return fmt.Sprintf(`\x%x`, v), nil
	case []any, map[string]any:
		b, err := json.Marshal(v)
		return string(b), err
	}
	return fmt.Sprint(v), nil
}

func writeCSV(out io.Writer, columns, _ []string, rows iter.Seq2[[]any, error]) error {
	w := csv.NewWriter(out)
	if err := w.Write(columns); err != nil {
		return err
	}
	record := make([]string, len(columns))
	for row, err := range rows {
		if err != nil {
			return err
		}
		for i, v := range row {
			if record[i], err = text(v); err != nil {
				return err
			}
		}
		if err := w.Write(record); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// writeJSON writes an object a line, its keys in the order of the columns.
func writeJSON(out io.Writer, columns, _ []string, rows iter.Seq2[[]any, error]) error {
	for row, err := range rows {
		if err != nil {
			return err
		}
		var line strings.Builder
		for i, v := range row {
			name, err := json.Marshal(columns[i])
			if err != nil {
				return err
			}
			value, err := json.Marshal(v)
			if err != nil {
				return fmt.Errorf("write column %s as JSON: %w", columns[i], err)
			}
			fmt.Fprintf(&line, ",%s:%s", name, value)
		}
		if _, err := fmt.Fprintf(out, "{%s}\n", strings.TrimPrefix(line.String(), ",")); err != nil {
			return err
		}
	}
	return nil
}

// maxTableRows bounds what is held to align a table's columns; csv and json stream.
const maxTableRows = 100_000

func writeTable(out io.Writer, columns, types []string, rows iter.Seq2[[]any, error]) error {
	table := [][]string{columns}
	widths := make([]int, len(columns))
	for i, name := range columns {
		widths[i] = utf8.RuneCountInString(name)
	}
	for row, err := range rows {
		if err != nil {
			return err
		}
		cells := make([]string, len(row))
		for i, v := range row {
			if cells[i], err = text(v); err != nil {
				return err
			}
			if v == nil {
				cells[i] = "NULL"
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cells[i]))
		}
		if table = append(table, cells); len(table) > maxTableRows+1 {
			return &elt.Error{
				Code: "too_many_rows", Class: elt.Config,
				What: fmt.Sprintf("the result has more than %s rows", count(maxTableRows)),
				Do:   "add a LIMIT, or write it with --format csv or json",
			}
		}
	}
	for n, cells := range table {
		var line strings.Builder
		for i, cell := range cells {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if numeric(types[i]) {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
			line.WriteString("  ")
		}
		fmt.Fprintln(out, strings.TrimRight(line.String(), " "))
		if n == 0 {
			rules := make([]string, len(widths))
			for i, w := range widths {
				rules[i] = strings.Repeat("─", w)
			}
			fmt.Fprintln(out, strings.Join(rules, "  "))
		}
	}
	_, err := fmt.Fprintf(out, "%s\n", plural(len(table)-1, "row"))
	return err
}

// numeric reports whether a column of the type is set flush right.
func numeric(t string) bool {
	return strings.HasPrefix(t, "DECIMAL") || slices.Contains([]string{
		"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "FLOAT", "DOUBLE",
	}, t)
}
