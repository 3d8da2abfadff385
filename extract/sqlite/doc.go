// Package sqlite reads tables of a SQLite file.
//
// A snapshot is one connection in one read transaction; tables are read one after the other in it. The file
// is opened read-only and is never created. With a write-ahead log (journal_mode=WAL) writers go on meanwhile;
// in the other journal modes a writer waits at its commit until the snapshot is let go.
//
// SQLite checks no types, so the declared type of a column decides what its values must be, and a value that is
// something else is refused by name:
//
//	BOOLEAN, BOOL                      bool: 0 or 1
//	a name with INT in it              int64: integers
//	DECIMAL(p,s), NUMERIC(p,s), p≤38   decimal: integers and text, and a REAL whose shortest text fits the scale
//	REAL, FLOAT, DOUBLE …              float64
//	DATE                               date: text 2026-01-05
//	TIME                               time: text 10:20, 10:20:30 or 10:20:30.123456
//	DATETIME, TIMESTAMP                local_timestamp: text 2026-01-05 10:20:30 (or with T), without a zone
//	TIMESTAMPTZ, DATETIMETZ,
//	TIMESTAMP WITH TIME ZONE           timestamp: the same text with a zone: Z, +02:00, +0200 or +02
//	UUID                               uuid: text with hyphens, or a BLOB of 16 octets
//	JSON, JSONB                        json: text
//	BLOB, BINARY, VARBINARY, BYTEA     bytes
//	CHAR, CLOB, TEXT in the name, any
//	other name, or none                string: text; numbers as their shortest text
//
// Whether a value carries a zone is the column's matter, never the single value's: a column in which some did
// and some did not would mean two things.
//
// SQLite cannot tell which transactions are open, so a commit that is later than its cursor says is met by
// the extraction's overlap alone.
package sqlite
