//go:build long

package mysql_test

import "testing"

// TestLargeBank is TestBank with five million accounts.
func TestLargeBank(t *testing.T) { bank(t, 50) }

// TestHugestValues is TestHugeValues with values of 100 MB.
func TestHugestValues(t *testing.T) { hugeValues(t, 100_000_000, 15) }
