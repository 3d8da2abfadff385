// Package parquet holds rows as typed column batches and writes them to Parquet parts.
//
// A source decodes each cell straight into a Vector, without an interface value in between. When a Batch is
// full, a Writer takes it to a second goroutine, which takes the facts of elt.TableStats from it and writes
// it as one row group, while the source fills the next. Parts are cut by size and streamed into a Sink.
//
// The column writers of Arrow's Parquet are used directly, on dense values and levels, so that logical types
// come out as declared: a timestamp without zone is not adjusted to UTC. Every column is optional in the
// file, whatever the source promised, so that a broken promise becomes a NULL and never a shifted column.
// Columns of variable or 16-octet width carry no Parquet statistics: those that Arrow writes for a dictionary leave
// out the empty text, and a reader that trusts them skips rows.
package parquet
