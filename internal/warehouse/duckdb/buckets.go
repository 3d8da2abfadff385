package duckdb

import (
	"context"
	"fmt"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Buckets takes the digest of each part of a published relation's rows: those whose key's MD5 begins alike.
func (r *Reader) Buckets(ctx context.Context, relation string, schema, key elt.Schema) (map[string]elt.RowDigest, error) {
	out := make(map[string]elt.RowDigest)
	sum := func(from int) string {
		return fmt.Sprintf("CAST(sum(CAST('0x' || substr(h, %d, 15) AS BIGINT)) AS VARCHAR)", from)
	}
	rows, err := r.db.QueryContext(ctx, fmt.Sprintf("SELECT b, count(*), %s, %s FROM (SELECT substr(md5(%s), 1, %d) AS b, md5(%s) AS h FROM %s) GROUP BY b",
		sum(1), sum(17), rowText(key), elt.BucketDigits, rowText(schema), publishedName(relation)))
	if err != nil {
		return nil, r.w.fail(ctx, "compare "+relation, err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var d elt.RowDigest
		if err := rows.Scan(&name, &d.Rows, &d.A, &d.B); err != nil {
			return nil, r.w.fail(ctx, "compare "+relation, err)
		}
		out[name] = d
	}
	return out, r.w.fail(ctx, "compare "+relation, rows.Err())
}

// Prints returns the rows of one such part, in the order of their keys.
func (r *Reader) Prints(ctx context.Context, relation string, schema, key elt.Schema, bucket string) (prints []elt.RowPrint, err error) {
	shown := make([]string, len(key))
	for i, c := range key {
		shown[i] = literal(c.Name+" = ") + " || coalesce(CAST(" + quote(c.Name) + " AS VARCHAR), 'NULL')"
		if c.Masked != "" {
			shown[i] = literal(c.Name + " (masked)")
		}
	}
	rows, err := r.db.QueryContext(ctx, fmt.Sprintf("SELECT %s, md5(%s) FROM %s WHERE substr(md5(%s), 1, %d) = ? ORDER BY ALL",
		strings.Join(shown, " || ', ' || "), rowText(schema), publishedName(relation), rowText(key), elt.BucketDigits), bucket)
	if err != nil {
		return nil, r.w.fail(ctx, "compare "+relation, err)
	}
	defer rows.Close()
	for rows.Next() {
		var p elt.RowPrint
		if err := rows.Scan(&p.Key, &p.Hash); err != nil {
			return nil, r.w.fail(ctx, "compare "+relation, err)
		}
		prints = append(prints, p)
	}
	return prints, r.w.fail(ctx, "compare "+relation, rows.Err())
}
