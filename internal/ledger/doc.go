// Package ledger is the state store: every run, step, attempt, day, version and event of Daybreak, on
// SQLite or PostgreSQL by the same statements.
//
// Three rules hold it together. One transaction at a time records events, so that their seq has no gaps
// and follows the order of commits; the seq together with the count of heartbeats is the ledger's
// revision. Time is the ledger's own: no method reads the process's clock, so a worker whose clock is
// wrong can neither keep a lease nor steal one. And every write under a lease names its fence in the
// WHERE: a fence is given once and never again, so a worker that comes back from a long pause changes
// nothing.
//
// The tables are described in sql/migrations, for people who query them by hand.
package ledger
