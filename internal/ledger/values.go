package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// instantLayout has a fixed width and one zone, so that text order is time order on both engines.
const instantLayout = "2006-01-02T15:04:05.000000Z"

// instant returns t as the ledger keeps it: to the microsecond, and NULL for the zero time.
func instant(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(instantLayout)
}

// intoInstant scans what instant wrote.
type intoInstant struct{ t *time.Time }

func (i intoInstant) Scan(src any) error {
	text, err := asText(src)
	if err != nil || text == "" {
		*i.t = time.Time{}
		return err
	}
	*i.t, err = time.Parse(time.RFC3339, text)
	return err
}

// intoMillis scans a number of milliseconds.
type intoMillis struct{ d *time.Duration }

func (i intoMillis) Scan(src any) error {
	n, ok := src.(int64)
	if !ok {
		return fmt.Errorf("%T is no number of milliseconds", src)
	}
	*i.d = time.Duration(n) * time.Millisecond
	return nil
}

// intoDate scans an elt.Date; ” and NULL are the zero Date.
type intoDate struct{ d *elt.Date }

func (i intoDate) Scan(src any) error {
	text, err := asText(src)
	if err != nil {
		return err
	}
	return i.d.UnmarshalText([]byte(text))
}

// intoText scans a text column that may be NULL into any kind of text.
type intoText[S ~string | ~[]byte] struct{ s *S }

func (i intoText[S]) Scan(src any) error {
	text, err := asText(src)
	*i.s = S(text)
	return err
}

// document is a value kept as JSON; NULL when it is zero or empty.
type document struct{ v any }

// text returns the column's value.
func (d document) text() (any, error) {
	v := reflect.ValueOf(d.v)
	if !v.IsValid() || v.IsZero() || ((v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0) {
		return nil, nil
	}
	b, err := json.Marshal(d.v)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", d.v, err)
	}
	return string(b), nil
}

// intoDocument scans what document wrote; NULL leaves the target as it is.
type intoDocument struct{ target any }

func (i intoDocument) Scan(src any) error {
	text, err := asText(src)
	if err != nil || text == "" {
		return err
	}
	if err := json.Unmarshal([]byte(text), i.target); err != nil {
		return fmt.Errorf("decode %T: %w", i.target, err)
	}
	return nil
}

func asText(src any) (string, error) {
	switch v := src.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case []byte:
		return string(v), nil
	}
	return "", fmt.Errorf("the column holds %T where text is meant", src)
}

// number returns a yes or no as the ledger keeps it.
func number(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

// limited returns how many rows a list with that limit brings; 0 means 100.
func limited(limit int) int {
	if limit <= 0 {
		return 100
	}
	return limit
}

// queryer is a pool or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// scanner is one row of a result.
type scanner interface{ Scan(dest ...any) error }

// collect returns every row of a query.
func collect[T any](ctx context.Context, q queryer, scan func(scanner) (T, error), query string, args ...any) (out []T, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}
