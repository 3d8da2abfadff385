// Package parquet holds rows as typed column batches and writes them to Parquet parts.
//
// A source decodes each cell straight into a Vector, without an interface value in between. When a Batch is
// full, a Writer takes it to a second goroutine, which takes the facts of elt.TableStats from it and writes
// it as one row group, while the source fills the next. Parts are cut by size and streamed into a Sink.
//
// Writers beside each other write chunks of one table on several goroutines; their parts come out in the chunks'
// order, and their facts as one.
//
// Pages and their headers are made here: integers of a narrow range and texts of few values in a dictionary, other
// integers as differences, the rest plain and compressed. A column whose texts were few in one batch has those of the next
// looked up in its dictionary while they are appended. The schema, as the footer has it, is Arrow's, and a test holds pages and
// footers to those of Arrow's own writer, octet for octet.
//
// Every column is optional in the file, whatever the source promised, so that a broken promise becomes a NULL and never a
// shifted column. Columns of variable or 16-octet width carry no statistics: readers that trust a text's need them to be
// exact, and a cut or forgotten one skips rows.
package parquet
