package parquet

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/file"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// File is a whole Parquet object that can be read at any place: a file, or octets in memory.
type File interface {
	io.ReaderAt
	io.Seeker
}

// Read reads a part back, a batch for each row group, and returns its rows. The batch is visit's until it returns.
func Read(from File, s elt.Schema, visit func(*Batch) error) (rows int64, err error) {
	r, err := file.NewParquetReader(from)
	if err != nil {
		return 0, fmt.Errorf("open Parquet: %w", err)
	}
	defer func() {
		if e := r.Close(); err == nil && e != nil {
			err = fmt.Errorf("close Parquet: %w", e)
		}
	}()
	if err := sameColumns(r, s); err != nil {
		return 0, err
	}
	batch := NewBatch(s)
	for g := range r.NumRowGroups() {
		group := r.RowGroup(g)
		batch.Reset()
		for i, v := range batch.Columns {
			column, err := group.Column(i)
			if err != nil {
				return rows, fmt.Errorf("open column %q of row group %d: %w", s[i].Name, g, err)
			}
			if err := v.read(column); err != nil {
				return rows, fmt.Errorf("read column %q of row group %d: %w", s[i].Name, g, err)
			}
			if int64(v.rows) != group.NumRows() {
				return rows, fmt.Errorf("column %q of row group %d holds %d rows of %d", s[i].Name, g, v.rows, group.NumRows())
			}
		}
		batch.rows = int(group.NumRows())
		rows += group.NumRows()
		if err := visit(batch); err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// Measure reads parts back and returns the facts about their rows.
func Measure(s elt.Schema, parts ...File) (elt.TableStats, error) {
	tally := NewTally(s)
	for i, p := range parts {
		if _, err := Read(p, s, func(b *Batch) error { tally.Add(b); return nil }); err != nil {
			return elt.TableStats{}, fmt.Errorf("part %d: %w", i, err)
		}
	}
	return tally.Stats(), nil
}

// sameColumns checks that the file has the columns that the schema promises.
func sameColumns(r *file.Reader, s elt.Schema) error {
	want, err := fileSchema(s)
	if err != nil {
		return err
	}
	have := r.MetaData().Schema.Root()
	if have.NumFields() != want.NumFields() {
		return fmt.Errorf("the file has %d columns, its manifest %d", have.NumFields(), want.NumFields())
	}
	for i := range want.NumFields() {
		if !have.Field(i).Equals(want.Field(i)) {
			return fmt.Errorf("column %d is %s in the file, its manifest says %q of type %s", i, have.Field(i).Name(), s[i].Name, s[i].Type)
		}
	}
	return nil
}

// readValues is how many levels are read at once.
const readValues = 4096

// read appends a whole column chunk.
func (v *Vector) read(from file.ColumnChunkReader) error {
	def, rep := make([]int16, readValues), []int16(nil)
	if v.isList {
		rep = make([]int16, readValues)
	}
	for from.HasNext() {
		levels, err := v.readPiece(from, def, rep)
		if err != nil {
			return err
		}
		if levels == 0 {
			break
		}
		v.flat, v.def = false, append(v.def, def[:levels]...)
		if !v.isList {
			v.rows += int(levels)
			continue
		}
		v.rep = append(v.rep, rep[:levels]...)
		for _, r := range rep[:levels] {
			if r == 0 {
				v.rows++
			}
		}
	}
	return from.Err()
}

func (v *Vector) readPiece(from file.ColumnChunkReader, def, rep []int16) (int64, error) {
	switch from := from.(type) {
	case *file.BooleanColumnChunkReader:
		return readPiece(from.ReadBatch, &v.bools, def, rep)
	case *file.Int32ColumnChunkReader:
		return readPiece(from.ReadBatch, &v.days, def, rep)
	case *file.Int64ColumnChunkReader:
		return readPiece(from.ReadBatch, &v.ints, def, rep)
	case *file.Float64ColumnChunkReader:
		return readPiece(from.ReadBatch, &v.floats, def, rep)
	case *file.FixedLenByteArrayColumnChunkReader:
		var values []parquet.FixedLenByteArray
		levels, err := readPiece(from.ReadBatch, &values, def, rep)
		for _, x := range values {
			v.wide = append(v.wide, fromBigEndian(x))
		}
		return levels, err
	case *file.ByteArrayColumnChunkReader:
		var values []parquet.ByteArray
		levels, err := readPiece(from.ReadBatch, &values, def, rep)
		for _, x := range values {
			v.data = append(binary.LittleEndian.AppendUint32(v.data, uint32(len(x))), x...)
			v.ends = append(v.ends, len(v.data))
		}
		return levels, err
	}
	return 0, fmt.Errorf("a column reader of type %T is not known", from)
}

func readPiece[T any](read func(int64, []T, []int16, []int16) (int64, int, error), into *[]T, def, rep []int16) (int64, error) {
	piece := make([]T, readValues)
	levels, n, err := read(readValues, piece, def, rep)
	*into = append(*into, piece[:n]...)
	return levels, err
}
