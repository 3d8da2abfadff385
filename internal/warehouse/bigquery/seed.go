package bigquery

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// SeedCSV loads a local CSV file with a header line into the run's staging relation for the dataset and returns its
// rows. A column that types does not name gets the narrowest type that all of its values fit; an empty field is NULL.
// A file that is not a table is the error seed_unreadable, with its line.
func (w *Warehouse) SeedCSV(ctx context.Context, run elt.RunID, d elt.DatasetName, path string, types map[string]string) (int64, error) {
	what := fmt.Sprintf("cannot load the seed %s from %s", d, filepath.Base(path))
	const do = "correct the file, or the column types that schema.yml gives it"
	seed, err := readSeed(path, types)
	if err != nil {
		return 0, &elt.Error{Code: warehouse.CodeSeedUnreadable, Class: elt.Data, What: what + ": " + err.Error(), Do: do}
	}
	body, err := seed.encode()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	s := w.stage(run, d)
	into := s.table()
	if err := create(ctx, into, &bigquery.TableMetadata{Schema: seed.schema, Labels: labels("transform", run, d), EncryptionConfig: w.encryption()}); err != nil {
		return 0, w.fail(ctx, what, err)
	}
	_, _, err = w.run(ctx, job{
		what: "load the seed " + string(d), id: "daybreak_seed_" + digest(into.TableID), media: true,
		insert: func(ctx context.Context, id bigquery.JobIDConfig) (*bigquery.Job, error) {
			src := bigquery.NewReaderSource(bytes.NewReader(body))
			src.SourceFormat, src.Schema = bigquery.JSON, seed.schema
			return s.insertLoad(ctx, id, src, into)
		},
	})
	if err != nil {
		return 0, w.refused(ctx, warehouse.CodeSeedUnreadable, what, do, 0, err)
	}
	return int64(len(seed.rows)), w.fail(ctx, what, s.finish(ctx, nil))
}

// seed is a CSV file as a table. An empty text is NULL.
type seed struct {
	schema bigquery.Schema
	rows   [][]string
}

// encode writes the rows as lines of JSON, in which NULL is not the empty text.
func (s seed) encode() ([]byte, error) {
	var b bytes.Buffer
	lines := json.NewEncoder(&b)
	for _, row := range s.rows {
		object := make(map[string]string, len(row))
		for i, v := range row {
			if v != "" {
				object[s.schema[i].Name] = v
			}
		}
		if err := lines.Encode(object); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

func readSeed(path string, types map[string]string) (seed, error) {
	f, err := os.Open(path)
	if err != nil {
		return seed{}, err
	}
	s, err := parseSeed(f, types)
	return s, errors.Join(err, f.Close())
}

func parseSeed(in io.Reader, types map[string]string) (s seed, err error) {
	buffered := bufio.NewReader(in)
	if mark, err := buffered.Peek(3); err == nil && string(mark) == "\ufeff" {
		if _, err := buffered.Discard(len(mark)); err != nil {
			return s, err
		}
	}
	r := csv.NewReader(buffered)
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return s, errors.New("it is empty; its first line must name the columns")
	}
	if err != nil {
		return s, err
	}
	if err := checkNames(header); err != nil {
		return s, fmt.Errorf("line 1: %w", err)
	}
	if s.rows, err = r.ReadAll(); err != nil {
		return s, err
	}
	wanted := make(map[string]string, len(types))
	for column, as := range types {
		wanted[strings.ToLower(column)] = as
	}
	for i, name := range header {
		f := &bigquery.FieldSchema{Name: name}
		if as, ok := wanted[strings.ToLower(name)]; ok {
			if f, err = declared(name, as); err != nil {
				return s, err
			}
			if err := s.holds(i, f); err != nil {
				return s, err
			}
			delete(wanted, strings.ToLower(name))
		} else {
			f.Type = s.narrowest(i)
		}
		s.schema = append(s.schema, f)
	}
	for column := range wanted {
		return s, fmt.Errorf("there is no column %q, to which schema.yml gives a type", column)
	}
	return s, nil
}

// sqlNames are the names under which people know BigQuery's types, its own and those of other warehouses, so that the
// seeds of one project load into each.
var sqlNames = map[string]bigquery.FieldType{
	"STRING": bigquery.StringFieldType, "VARCHAR": bigquery.StringFieldType, "TEXT": bigquery.StringFieldType,
	"INT64": bigquery.IntegerFieldType, "INTEGER": bigquery.IntegerFieldType, "INT": bigquery.IntegerFieldType, "BIGINT": bigquery.IntegerFieldType,
	"FLOAT64": bigquery.FloatFieldType, "FLOAT": bigquery.FloatFieldType, "DOUBLE": bigquery.FloatFieldType,
	"BOOL": bigquery.BooleanFieldType, "BOOLEAN": bigquery.BooleanFieldType, "DATE": bigquery.DateFieldType,
	"TIMESTAMP": bigquery.TimestampFieldType, "DATETIME": bigquery.DateTimeFieldType, "TIME": bigquery.TimeFieldType,
	"NUMERIC": bigquery.NumericFieldType, "DECIMAL": bigquery.NumericFieldType,
	"BIGNUMERIC": bigquery.BigNumericFieldType, "BIGDECIMAL": bigquery.BigNumericFieldType,
}

var parameters = regexp.MustCompile(`^(NUMERIC|DECIMAL|BIGNUMERIC|BIGDECIMAL)\((\d+)(?:,\s*(\d+))?\)$`)

// declared returns the column that schema.yml describes.
func declared(name, as string) (*bigquery.FieldSchema, error) {
	as = strings.ToUpper(strings.TrimSpace(as))
	if m := parameters.FindStringSubmatch(as); m != nil {
		precision, _ := strconv.Atoi(m[2]) // digits, as the pattern says
		scale, _ := strconv.Atoi("0" + m[3])
		return decimalField(name, elt.Type{Kind: elt.Decimal, Precision: precision, Scale: scale})
	}
	t, ok := sqlNames[as]
	if !ok {
		return nil, fmt.Errorf("column %q: BigQuery has no type %s that a CSV file can hold", name, as)
	}
	return &bigquery.FieldSchema{Name: name, Type: t}, nil
}

// holds checks that the column takes every value, and names the line of one that it does not.
func (s seed) holds(column int, f *bigquery.FieldSchema) error {
	for i, row := range s.rows {
		if v := row[column]; v != "" && !fits(v, f) {
			return fmt.Errorf("row %d: the value of column %q is no %s", i+1, f.Name, sqlType(f))
		}
	}
	return nil
}

// narrowest returns the narrowest type that every value of the column fits.
func (s seed) narrowest(column int) bigquery.FieldType {
	candidates := []bigquery.FieldType{
		bigquery.IntegerFieldType, bigquery.FloatFieldType, bigquery.BooleanFieldType, bigquery.DateFieldType, bigquery.TimestampFieldType,
	}
	any := false
	for _, row := range s.rows {
		if row[column] == "" {
			continue
		}
		any = true
		left := candidates[:0]
		for _, t := range candidates {
			if fits(row[column], &bigquery.FieldSchema{Type: t}) {
				left = append(left, t)
			}
		}
		candidates = left
	}
	if !any || len(candidates) == 0 {
		return bigquery.StringFieldType
	}
	return candidates[0]
}

var decimal = regexp.MustCompile(`^[+-]?(\d+)(?:\.(\d+))?$`)

// fits reports whether a text is a value of the column.
func fits(v string, f *bigquery.FieldSchema) bool {
	var err error
	switch f.Type {
	case bigquery.IntegerFieldType:
		_, err = strconv.ParseInt(v, 10, 64)
	case bigquery.FloatFieldType:
		_, err = strconv.ParseFloat(v, 64)
	case bigquery.BooleanFieldType:
		return strings.EqualFold(v, "true") || strings.EqualFold(v, "false")
	case bigquery.DateFieldType:
		_, err = time.Parse(time.DateOnly, v)
	case bigquery.TimestampFieldType, bigquery.DateTimeFieldType:
		_, err = time.Parse(time.DateTime, strings.Replace(v, "T", " ", 1))
	case bigquery.TimeFieldType:
		_, err = time.Parse(time.TimeOnly, v)
	case bigquery.NumericFieldType, bigquery.BigNumericFieldType:
		m := decimal.FindStringSubmatch(v)
		return m != nil && (f.Precision == 0 || len(m[2]) <= int(f.Scale) && len(strings.TrimLeft(m[1], "0")) <= int(f.Precision-f.Scale))
	}
	return err == nil
}
