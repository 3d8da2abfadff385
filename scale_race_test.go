//go:build race && !long

package main

// The race detector makes each row cost tenfold.
const (
	pgbenchScale = 4       // branches that the bank has, each with 100,000 accounts
	demoRows     = "60000" // about so many the demo has
)
