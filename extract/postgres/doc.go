// Package postgres reads tables of PostgreSQL 12 and later.
//
// A snapshot is a session, the keeper, that locks every table against being rewritten and only then exports
// its snapshot: a TRUNCATE between the two would make readers see no rows, without any error. Each table is read
// by a worker session that imports the snapshot, so that tables are read side by side as of one moment.
//
// Rows come as binary COPY and are decoded straight into column vectors. A type without a decoder comes as
// its text: under UTC, ISO dates and the intervalstyle postgres, whatever the server's defaults are.
//
// Timestamps and dates are held from year 1 to 9999, which is what every warehouse takes. Whatever does not fit its
// column's type is refused by name: NaN in a numeric(p,s), infinity in a timestamp or date, 24:00:00.
//
// An incremental window is read only when no transaction that began before its end is still open: its rows could
// carry a cursor inside the window, and would be in no later one. A role without pg_read_all_stats does not see when
// other roles' transactions began; those that are open when a snapshot is wanted are waited for, and those that
// stay count as too old.
package postgres
