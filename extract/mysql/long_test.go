//go:build long

package mysql_test

import "testing"

// TestLargeBank is TestBank with five million accounts.
func TestLargeBank(t *testing.T) { bank(t, 50) }

// TestManyHugeValues is TestHugeValues with more of them than its memory holds.
func TestManyHugeValues(t *testing.T) { hugeValues(t, 15) }
