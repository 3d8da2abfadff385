package duckdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// CopyAlias is the name by which the views of HandOutViews call the read copy: whoever opens their file attaches it so.
const CopyAlias = "daybreak_published"

// HandOutViews makes a new DuckDB file with views of relations of the read copy. Nothing is copied, and nothing that is
// done to the file changes what people read. Views show what the copy holds that is attached when they are read.
func (r *Reader) HandOutViews(ctx context.Context, file string, relations []elt.Exchange) error {
	return r.beside(ctx, file, func(w *Warehouse, db string) error {
		for _, x := range relations {
			for _, statement := range []string{
				"CREATE SCHEMA IF NOT EXISTS " + qualified(db, x.Schema),
				"CREATE OR REPLACE VIEW " + qualified(db, x.Schema) + "." + quote(x.Name) + " AS SELECT * FROM " + quote(CopyAlias) + "." + x.From,
			} {
				if _, err := w.db.ExecContext(ctx, statement); err != nil {
					return w.fail(ctx, "make a view of "+string(x.Dataset), err)
				}
			}
		}
		return nil
	})
}

// SampleIn returns at most most rows of a SELECT over such a file as text, without the hidden columns.
func (r *Reader) SampleIn(ctx context.Context, file, query string, hide []string, most int) (s elt.Sample, err error) {
	err = r.beside(ctx, file, func(w *Warehouse, _ string) error {
		s, err = w.sample(ctx, query, hide, most)
		return err
	})
	return s, err
}

// beside calls do with a database that has the read copy and the file attached, and the name of the file in it.
func (r *Reader) beside(ctx context.Context, file string, do func(w *Warehouse, db string) error) (err error) {
	mem, err := connect(ctx, "", "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mem.Close()) }()
	db := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	w := &Warehouse{db: mem, log: slog.New(slog.DiscardHandler)}
	for _, attach := range []string{
		fmt.Sprintf("ATTACH %s AS %s (READ_ONLY)", literal(r.path), quote(CopyAlias)),
		fmt.Sprintf("ATTACH %s AS %s", literal(file), quote(db)),
	} {
		if _, err := mem.ExecContext(ctx, attach); err != nil {
			return w.exchangeError(ctx, "open "+file, file, err)
		}
	}
	return do(w, db)
}
