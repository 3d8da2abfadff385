// Package statustest is a ledger in memory for tests of the status service and its client, with the
// situations that the page has to find words for. Tests alone import it.
package statustest
