//go:build race && !long

package main

// pgbenchScale is how many branches the bank has, each with 100,000 accounts. The race detector makes each cost tenfold.
const pgbenchScale = 10
