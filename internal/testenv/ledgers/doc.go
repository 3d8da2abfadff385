// Package ledgers makes ledgers for tests. Each is a copy of one that was migrated once in the process: dozens of migrations, each
// of which waits for the disk, would be most of what a small test does. Migrating itself is the ledger's own tests' matter.
package ledgers
