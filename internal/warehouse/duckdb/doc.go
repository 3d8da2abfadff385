// Package duckdb is the embedded warehouse: one DuckDB file that this process alone writes, and a copy of it
// that analysts read.
//
// A run stages into a schema of its own. What people query are views, in the schemas of the published names,
// that select from those staged tables. Publishing points the views somewhere else in one transaction, so it
// costs the same for a thousand rows and for a billion, and a reader sees the old night or the new one. Only
// incremental datasets keep one table behind their view for good; publishing applies the run's delta to it in
// that same transaction. What stands behind each published name, which versions were published and under
// which fence is kept in the schema _daybreak, written by the transaction that it describes.
package duckdb
