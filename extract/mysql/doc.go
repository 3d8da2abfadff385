// Package mysql reads tables of MySQL 5.6 and later, MariaDB 10.3 and later, and Aurora MySQL.
//
// No session of these servers can take over another's snapshot, so several are opened at one moment. The first of
// these ways that the server grants is taken; each proves that all sessions see the same rows, or is not used:
//
//	one session      when there is one small table, or one connection: it needs no proof
//	equal positions  every session's own position in the binary log, which MariaDB and Percona Server fix together
//	                 with its snapshot; accepted only when all are equal, a few tries. It keeps nobody waiting
//	a flush lock     FLUSH TABLES WITH READ LOCK while the sessions begin (RELOAD)
//	a table lock     LOCK TABLES … READ of the run's tables while the sessions begin (LOCK TABLES)
//	equal positions  a few more tries
//	one session      the tables are read one after the other
//
// Comparing the server's position before and after is not among them: a transaction stands in the binary log before
// its rows can be seen, and could come to be seen between two sessions without moving the position.
//
// Locks are waited for as long as Options.LockTimeout and held for the moment in which the sessions begin. While a
// table is read its definition is locked, so that an ALTER of it waits; then the lock is let go, on MariaDB with a
// binary log only for users with BINLOG ADMIN, and otherwise when its session ends, as soon as there are more sessions
// than tables left. A table that was altered, truncated or swapped before its turn is found out by its definition and
// by when it was made, and read in a new snapshot. Only InnoDB keeps snapshots, so that tables of other
// engines are refused by name; an engine behind a view is not seen.
//
// Values come as text and are decoded straight into column vectors:
//
//	TINYINT … INT, YEAR, BIGINT      int64; TINYINT(1) too, which holds 5 as well
//	BIGINT UNSIGNED                  uint64
//	BIT(1); BIT(n)                   bool; uint64
//	DECIMAL(p,s), p ≤ 38; beyond     decimal; string
//	FLOAT, DOUBLE                    float64, as they are stored and not as they are shown
//	DATE                             date
//	DATETIME; TIMESTAMP              local_timestamp; timestamp
//	TIME                             string, because it holds durations from -838 to 838 hours
//	CHAR, TEXT, ENUM, SET, INET …    string, in UTF-8 whatever the column's character set is
//	JSON                             json
//	UUID (MariaDB)                   uuid
//	BINARY, BLOB, VECTOR             bytes
//	GEOMETRY                         bytes: well-known binary, extended by the SRID where it is not 0
//
// What does not fit is refused by name: dates with a zero in them, text that is not of its character set.
//
// An incremental window is read only when no transaction that has written and began before its end is still open,
// which the user needs PROCESS to see. A cursor of zeros is taken for what it means: none.
package mysql
