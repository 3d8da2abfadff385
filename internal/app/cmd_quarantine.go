package app

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"

	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/lake"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

// Quarantine shows the rows that were left out of a dataset.
type Quarantine struct {
	Dataset string `arg:"" help:"The extracted dataset."`
	Date    string `placeholder:"DATE" help:"The data date; by default that of the version that people read."`
	Format  string `short:"f" enum:"table,csv,json" default:"table" help:"How rows are written: table, csv or json (one object a line)."`
}

// Help is the long help of the command.
func (Quarantine) Help() string {
	return `Prints the rows that a day's extraction has left out, because a column with the policy quarantine could not hold a value: the row's key, the column, the value as text, why it cannot be held, and the whole row as JSON. They are kept in the lake beside the day's parts. A day that was extracted and not published is shown, too.

  daybreak quarantine shop.orders
  daybreak quarantine shop.orders --date 2026-01-05 -f csv > orders.csv`
}

// Run runs the command.
func (q *Quarantine) Run(ctx context.Context, g *Globals, c *Console) (err error) {
	ws, err := loadWorkspace(ctx, g.workspace())
	if err != nil {
		return err
	}
	d, ok := ws.catalog.byName[elt.DatasetName(q.Dataset)]
	if !ok {
		return ws.catalog.unknown(q.Dataset)
	}
	if d.Kind != elt.TableDataset {
		return &elt.Error{
			Code: "not_extracted", Class: elt.Config,
			What: fmt.Sprintf("%s is a %s: no row of it was read from a source", d.Name, d.Kind), Do: "name an extracted dataset",
		}
	}
	l, err := ledger.Open(ctx, ws.config.Ledger.Reveal(), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	m, err := q.manifest(ctx, l, d)
	if err != nil {
		return err
	}
	if m.SetAside() == 0 {
		c.printf("no row of %s %s was left out\n", m.Dataset, m.Date)
		return nil
	}
	store, err := openLake(ctx, ws)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(c.Out)
	if err := writers[q.Format](out, parquet.AsideSchema().Names(), make([]string, len(parquet.AsideSchema())), asideRows(ctx, store, m)); err != nil {
		return err
	}
	return out.Flush()
}

// manifest returns the manifest of the day that is asked for: that of its version, or of its latest extraction.
func (q *Quarantine) manifest(ctx context.Context, l *ledger.Ledger, d elt.Dataset) (*elt.Manifest, error) {
	nothing := &elt.Error{
		Code: "nothing_published", Class: elt.Data,
		What: fmt.Sprintf("%s was not extracted yet", d.Name), Do: "run a night first: daybreak run",
	}
	if q.Date == "" {
		current, err := l.Current(ctx)
		if err != nil {
			return nil, err
		}
		if v, ok := current[d.Name]; ok && v.Manifest != "" {
			return l.Manifest(ctx, v.Manifest)
		}
		return nil, nothing
	}
	date, err := elt.ParseDate(q.Date)
	if err != nil {
		return nil, &elt.Error{Code: "bad_date", Class: elt.Config, What: err.Error(), Do: "write the date as 2026-01-05"}
	}
	nothing.What = fmt.Sprintf("%s was not extracted for %s", d.Name, date)
	nothing.Do = "daybreak status says which days there are"
	runs, err := l.Runs(ctx, elt.RunFilter{Schedule: d.Schedule, From: date, To: date})
	if err != nil {
		return nil, err
	}
	for _, run := range runs { // newest first
		st, err := l.Step(ctx, elt.NewStepID(run.ID, elt.ExtractStep, d.Name))
		if err == nil && st.Result.Manifest != "" {
			return l.Manifest(ctx, st.Result.Manifest)
		}
		if err != nil && elt.CodeOf(err) != "step_unknown" {
			return nil, err
		}
	}
	return nil, nothing
}

// asideRows reads the rows that a manifest's extraction left out, checking each object's checksum first.
func asideRows(ctx context.Context, store lake.Store, m *elt.Manifest) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		for _, p := range m.Quarantined.Parts {
			data, err := readPart(ctx, store, p)
			if err != nil {
				yield(nil, err)
				return
			}
			stop := errors.New("no more rows are wanted")
			_, err = parquet.Read(bytes.NewReader(data), parquet.AsideSchema(), func(b *parquet.Batch) error {
				columns := make([][]string, len(b.Columns))
				for i, v := range b.Columns {
					columns[i] = v.Texts()
				}
				for r := range b.Rows() {
					row := make([]any, len(columns))
					for i, texts := range columns {
						row[i] = texts[r]
					}
					if !yield(row, nil) {
						return stop
					}
				}
				return nil
			})
			if errors.Is(err, stop) {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("read %s: %w", p.Key, err))
				return
			}
		}
	}
}

func readPart(ctx context.Context, store lake.Store, p elt.Part) ([]byte, error) {
	r, err := store.Open(ctx, p.Key)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", p.Key, err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != p.SHA256 {
		return nil, &elt.Error{
			Code: "part_corrupt", Class: elt.Data, What: "the object " + p.Key + " is not what was written", Do: "look after the lake's disk or bucket, then extract the day again",
		}
	}
	return data, nil
}
