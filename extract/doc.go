// Package extract reads tables of production databases into the lake: Parquet parts, and one manifest
// written last.
//
// A Source is a database; opening it gives a Snapshot, one consistent reading of all tables of a run. A Night
// shares the snapshots among the run's tables: they are opened when first needed, over every table that is
// still to be read. When one is lost, what it had finished stays, and the rest is read in a new one, whose
// manifests say that they are not consistent across tables.
//
// Nothing is ever altered on the way: a value that its declared type, Parquet or a warehouse cannot hold
// exactly ends the extraction with an error that names it.
package extract
