//go:build !race || long

package main

const (
	pgbenchScale = 50       // branches that the bank has, each with 100,000 accounts
	demoRows     = "300000" // about so many the demo has; as many as people get
)
