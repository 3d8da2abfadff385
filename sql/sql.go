// Package sql holds all SQL that Daybreak runs from files: the ledger's migrations here, and beside them
// the warehouse's models, which belong to a workspace and are read from its own folder.
package sql

import "embed"

// Migrations are the ledger's migrations, one set for SQLite and PostgreSQL, run by golang-migrate.
//
//go:embed migrations/*.sql
var Migrations embed.FS
