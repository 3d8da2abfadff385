//go:build long

package main

import (
	"fmt"
	"testing"
)

// Forty nights over one workspace, killed at moments spread over their events, tried again, rolled back, withdrawn and
// reinstated, with tests that fail in between: whoever polls the status all along is never told that something is there
// which is not.
func TestNeverFalselyGreen(t *testing.T) {
	t.Parallel()
	dir := brought(t)
	neverFalselyGreen(t, dir)
	date := lastDate(t).String()
	for n := range 40 {
		killWhen(t, dir, 1+3*n, "run", "--date", date, "--again")
		switch n % 4 {
		case 0:
			do(t, dir, nil, "rollback", "app.companies", "--reason", "wrong names", "--yes")
		case 1:
			do(t, dir, nil, "withdraw", "app.users", date, "--reason", "wrong names", "--yes")
			do(t, dir, nil, "withdraw", "--undo", "app.users", date, "--reason", "they were right", "--yes")
		case 2:
			write(t, dir, map[string]string{"sql/tests/nobody.sql": fmt.Sprintf("select * from {{ ref('stg_companies') }} limit %d\n", n%8/4)})
		}
		do(t, dir, nil, "run", "--date", date, "--again")
	}
}
