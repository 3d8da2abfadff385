//go:build !race || long

package main

// pgbenchScale is how many branches the bank has, each with 100,000 accounts.
const pgbenchScale = 50
