package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What somebody, or a failing disk, changes between the load of a night and its verification, or in the lake, is
// found, and nothing of the table is published. The guard that holds the first attempt back keeps the night there.
func TestWhatIsAlteredBetweenLoadAndPublishIsFound(t *testing.T) {
	t.Parallel()
	const guard = "    expect_rows: at least 1_000_000\n"
	for name, tamper := range map[string]struct {
		staging string // run on the staged table %[1]s; %[2]s is the part's file
		lake    func(t *testing.T, part string)
		code    string
	}{
		"an altered value":    {staging: "UPDATE %[1]s SET name = name || ' ' WHERE id = (SELECT min(id) FROM %[1]s)", code: "verification_failed"},
		"a swapped value":     {staging: "UPDATE %[1]s SET id = CASE id WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE id END, name = 'x' WHERE id < 3", code: "verification_failed"},
		"a lost row":          {staging: "DELETE FROM %[1]s WHERE id = (SELECT max(id) FROM %[1]s)", code: "verification_failed"},
		"a NULL":              {staging: "UPDATE %[1]s SET name = NULL WHERE id = (SELECT max(id) FROM %[1]s)", code: "verification_failed"},
		"a part twice":        {staging: "INSERT INTO %[1]s SELECT * FROM %[1]s", code: "verification_failed"},
		"a part dropped":      {staging: "DELETE FROM %[1]s", code: "verification_failed"},
		"a flipped byte":      {staging: "DROP TABLE %[1]s", lake: flip, code: "part_corrupt"},
		"a part that is cut":  {staging: "DROP TABLE %[1]s", lake: func(t *testing.T, part string) { writable(t, part); cut(t, part, 100) }, code: "part_corrupt"},
		"a part that is lost": {staging: "DROP TABLE %[1]s", lake: remove, code: "part_missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, date := brought(t), lastDate(t).String()
			neverFalselyGreen(t, dir)
			before := contents(t, dir)
			edit(t, dir, "schedules/nightly.yaml", "  app.companies:\n", "  app.companies:\n"+guard)
			wantRefusal(t, do(t, dir, nil, "run", "--date", date), 65, "rows_unexpected")
			run := ask(t, filepath.Join(dir, "state", "ledger.db"), "SELECT id FROM runs WHERE date = '"+date+"'")[0][0]
			staged := fmt.Sprintf(`"run_%s"."app.companies"`, strings.ReplaceAll(run, "-", "_"))
			db := duck(t, filepath.Join(dir, "state", "warehouse.duckdb"))
			if _, err := db.ExecContext(t.Context(), fmt.Sprintf(tamper.staging, staged)); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if tamper.lake != nil {
				tamper.lake(t, firstPart(t, filepath.Join(dir, "lake", "app.companies", "date="+date)))
			}
			edit(t, dir, "schedules/nightly.yaml", guard, "")
			wantRefusal(t, do(t, dir, nil, "run", "--date", date), 65, "app.companies", tamper.code)
			if diff := cmp.Diff(before["app.companies"], contents(t, dir)["app.companies"]); diff != "" {
				t.Errorf("it was published:\n%s", diff)
			}
			if n := query(t, dir, "SELECT count(*) FROM _daybreak.versions WHERE dataset = 'app.companies'"); n[0][0] != "1" {
				t.Errorf("app.companies has %s versions", n[0][0])
			}
			wantOneTruth(t, dir)
		})
	}
}

func writable(t *testing.T, file string) {
	t.Helper()
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
}

// flip flips a bit in the middle of a file.
func flip(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	writable(t, file)
	b[len(b)/2] ^= 1
	overwrite(t, file, 0, string(b))
}
