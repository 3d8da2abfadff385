//go:build long

package mysql_test

import "testing"

// TestLargeBank is TestBank with five million accounts.
func TestLargeBank(t *testing.T) { bank(t, 50) }
