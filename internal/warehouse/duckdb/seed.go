package duckdb

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// SeedCSV loads a local CSV file with a header line into the run's staging relation for the dataset and
// returns its rows. A column that types does not name gets the narrowest type that all of its values fit;
// an empty field is NULL. A file that is not a table is the error seed_unreadable, with its line.
func (w *Warehouse) SeedCSV(ctx context.Context, run elt.RunID, d elt.DatasetName, path string, types map[string]string) (rows int64, err error) {
	refuse := func(err error) error {
		return w.refused(ctx, warehouse.CodeSeedUnreadable, fmt.Sprintf("cannot load the seed %s from %s", d, filepath.Base(path)),
			"correct the file, or the column types that schema.yml gives it", 0, err)
	}
	if err := checkCSV(path, types); err != nil {
		return 0, refuse(err)
	}
	release, err := w.shared(ctx)
	if err != nil {
		return 0, err
	}
	defer release()
	s, err := w.stage(ctx, run, d)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			s.clear(ctx)
		}
	}()
	if _, err := w.db.ExecContext(ctx, "CREATE TABLE "+s.table()+" AS SELECT * FROM "+readCSV(path, types)); err != nil {
		return 0, refuse(err)
	}
	if err := w.db.QueryRowContext(ctx, "SELECT count(*) FROM "+s.table()).Scan(&rows); err != nil {
		return 0, refuse(err)
	}
	return rows, s.finish(ctx, nil)
}

// readCSV is the call that reads the file. Everything that DuckDB would otherwise guess is given, except the
// columns' types, which it takes from all of the rows.
func readCSV(path string, types map[string]string) string {
	call := "read_csv(" + fileLiteral(path) + `, header = true, delim = ',', quote = '"', escape = '"', skip = 0, comment = '',
		sample_size = -1, null_padding = false, ignore_errors = false, hive_partitioning = false`
	if len(types) > 0 {
		var pairs []string
		for _, column := range slices.Sorted(maps.Keys(types)) {
			pairs = append(pairs, literal(column)+": "+literal(types[column]))
		}
		call += ", types = {" + strings.Join(pairs, ", ") + "}"
	}
	return call + ")"
}

// checkCSV checks that the file is a table: a header of distinct names, as many fields on each line, and
// every column that types names.
func checkCSV(path string, types map[string]string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	buffered := bufio.NewReader(f)
	if mark, err := buffered.Peek(3); err == nil && string(mark) == "\ufeff" {
		if _, err := buffered.Discard(len(mark)); err != nil {
			return err
		}
	}
	r := csv.NewReader(buffered)
	r.ReuseRecord = true
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return errors.New("it is empty; its first line must name the columns")
	}
	if err != nil {
		return err
	}
	seen := make(map[string]bool, len(header))
	for _, name := range header {
		folded := strings.ToLower(name)
		if name == "" || seen[folded] {
			return fmt.Errorf("line 1: column name %q is empty or comes twice", name)
		}
		seen[folded] = true
	}
	for column := range types {
		if !seen[strings.ToLower(column)] {
			return fmt.Errorf("there is no column %q, to which schema.yml gives a type", column)
		}
	}
	for {
		if _, err := r.Read(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}
