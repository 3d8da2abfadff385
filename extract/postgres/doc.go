// Package postgres reads tables of PostgreSQL 12 and later.
//
// A snapshot is a session, the keeper, that locks every table against being rewritten and only then exports
// its snapshot: a TRUNCATE between the two would make readers see no rows, without any error. Tables are read by
// sessions that import the snapshot and are shared by all tables of a run; the first of them locks the tables, too,
// and keeps the snapshot for others, so that no single session takes it along when it dies.
//
// A table is cut into ranges of its pages, leaf by leaf, which several sessions read side by side: no row that the
// snapshot sees can leave its page while the snapshot lives. What has no pages, such as a view, or must not be read
// leaf by leaf, such as a table whose policies say who sees which rows, is cut by its key where the server says that an
// index would find each range, and else read by one COPY. A foreign table is read in one session: each session would see
// another moment of the other server. A window is cut by its cursor where an index finds it, else by pages, too.
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
