package bigquery

import (
	"context"
	"fmt"
	"strings"

	"cloud.google.com/go/bigquery"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Reader compares what is published; it changes nothing.
type Reader struct{ w *Warehouse }

// Reader returns a Reader of the warehouse.
func (w *Warehouse) Reader() *Reader { return &Reader{w} }

// Close has nothing to let go of: the warehouse is closed by who opened it.
func (r *Reader) Close() error { return nil }

// Versions returns every version that was published, oldest first.
func (r *Reader) Versions(ctx context.Context) ([]elt.Version, error) { return r.w.Versions(ctx) }

// Measure takes the facts of elt.TableStats over a published relation.
func (r *Reader) Measure(ctx context.Context, relation string, schema elt.Schema) (elt.TableStats, error) {
	what := "measure " + relation
	stats, err := r.w.facts(ctx, compares(what), r.w.published(relation), schema)
	return stats, r.w.fail(ctx, what, err)
}

// Digest takes the digest of every row of a published relation.
func (r *Reader) Digest(ctx context.Context, relation string, schema elt.Schema) (elt.RowDigest, error) {
	what := "take the digest of " + relation
	sum, err := r.w.rowDigest(ctx, compares(what), r.w.Published(relation), schema)
	return sum, r.w.fail(ctx, what, err)
}

func compares(what string) statement {
	return statement{what: what, step: "verify", labels: labels("verify", "", "")}
}

// Buckets takes the digest of each part of a published relation's rows: those whose key's MD5 begins alike.
func (r *Reader) Buckets(ctx context.Context, relation string, schema, key elt.Schema) (map[string]elt.RowDigest, error) {
	s := compares("compare " + relation)
	s.sql = fmt.Sprintf("SELECT b, COUNT(*) AS n, %s AS s1, %s AS s2 FROM (SELECT SUBSTR(TO_HEX(MD5(%s)), 1, %d) AS b, TO_HEX(MD5(%s)) AS h FROM %s) GROUP BY b",
		sumOfSlice(1), sumOfSlice(17), rowText(key), elt.BucketDigits, rowText(schema), r.w.Published(relation))
	out := make(map[string]elt.RowDigest)
	err := r.w.rows(ctx, s, func(row []bigquery.Value) error {
		var name string
		if err := text(&name)(row[0]); err != nil {
			return err
		}
		d, err := digestOf(row[1:])
		out[name] = d
		return err
	})
	return out, r.w.fail(ctx, s.what, err)
}

// Prints returns the rows of one such part, in the order of their keys.
func (r *Reader) Prints(ctx context.Context, relation string, schema, key elt.Schema, bucket string) (prints []elt.RowPrint, err error) {
	shown := []string{"''"}
	for i, c := range key {
		between := ""
		if i > 0 {
			between = ", "
		}
		if c.Masked != "" {
			shown = append(shown, literal(between+c.Name+" (masked)"))
			continue
		}
		shown = append(shown, literal(between+c.Name+" = "), "COALESCE(CAST("+quote(c.Name)+" AS STRING), 'NULL')")
	}
	s := compares("compare " + relation)
	s.sql = fmt.Sprintf("SELECT CONCAT(%s) AS k, TO_HEX(MD5(%s)) AS h FROM %s WHERE SUBSTR(TO_HEX(MD5(%s)), 1, %d) = %s ORDER BY k, h",
		strings.Join(shown, ", "), rowText(schema), r.w.Published(relation), rowText(key), elt.BucketDigits, literal(bucket))
	err = r.w.rows(ctx, s, func(row []bigquery.Value) error {
		var p elt.RowPrint
		if err := text(&p.Key)(row[0]); err != nil {
			return err
		}
		prints = append(prints, p)
		return text(&prints[len(prints)-1].Hash)(row[1])
	})
	return prints, r.w.fail(ctx, s.what, err)
}
