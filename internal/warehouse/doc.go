// Package warehouse is what every warehouse says alike: the errors that mean the same whatever the SQL behind them, and
// the texts in which facts are compared. A person learns each sentence once, docs/runbook.md explains each code once,
// and the conformance suite in warehousetest holds all drivers to them. The drivers are the folders beneath.
package warehouse
