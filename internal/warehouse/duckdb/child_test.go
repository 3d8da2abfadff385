package duckdb

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse/warehousetest"
)

// childEnv makes the test binary play a process of its own: the one that is killed, or runs out of disk.
const childEnv = "DAYBREAK_TEST_CHILD"

func TestMain(m *testing.M) {
	role, dir, _ := strings.Cut(os.Getenv(childEnv), ":")
	if role == "" {
		os.Exit(m.Run())
	}
	var err error
	switch role {
	case "nights":
		err = publishNights(dir)
	case "hold":
		err = holdOpen(dir)
	case "fill":
		err = fillDisk(dir)
	case "fill-limited":
		signal.Ignore(syscall.SIGXFSZ) // a write beyond the limit then fails instead of killing
		limit := syscall.Rlimit{Cur: 16 << 20, Max: 16 << 20}
		if err = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err == nil {
			err = fillDisk(dir)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child starts this test binary in a role; it ends with the test.
func child(t *testing.T, role, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // who reads what it says waits no longer
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+role+":"+dir)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil { // which stays open until the child has ended
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

func optionsIn(dir string) Options {
	return Options{Path: dir + "/state/warehouse.duckdb", ReadPath: dir + "/read/warehouse.duckdb", Threads: 1}
}

// nightDatasets are published together each night: two that are replaced, one view, and one that grows.
var nightDatasets = []elt.DatasetName{"shop.users", "shop.orders", "shop.parts", "revenue"}

// publishNights publishes nights one after another, beginning after the last that is there, until it is
// killed. It says "night n" when one begins.
func publishNights(dir string) error {
	ctx := context.Background()
	w, err := Open(ctx, optionsIn(dir))
	if err != nil {
		return err
	}
	versions, err := w.Versions(ctx)
	if err != nil {
		return err
	}
	for n := len(versions)/len(nightDatasets) + 1; ; n++ {
		fmt.Println("night", n)
		if err := publishNight(ctx, w, n, 3000); err != nil {
			return err
		}
	}
}

// publishNight stages and publishes night n: every row of every dataset says n, except that the growing
// dataset keeps one row for each night before.
func publishNight(ctx context.Context, w *Warehouse, n, rows int) error {
	run := elt.RunID("night-" + strconv.Itoa(n))
	p := elt.Publication{Run: run, Fence: int64(n)}
	for _, d := range nightDatasets {
		b := elt.Build{Run: run, Dataset: d, Relation: string(d), Materialized: elt.AsTable,
			SQL: fmt.Sprintf("SELECT range AS id, %d AS night FROM range(%d)", n, rows)}
		item := elt.PublicationItem{Relation: string(d), Version: elt.Version{
			ID: elt.NewVersionID(d, run), Dataset: d, Run: run, Date: elt.Date{Year: 2026, Month: 1, Day: 1}.AddDays(n),
		}}
		switch d {
		case "shop.parts":
			b.Materialized, b.Strategy, b.Key = elt.AsIncremental, elt.Merge, []string{"id"}
			b.SQL = fmt.Sprintf("SELECT range AS id, %d AS night FROM range(%d) UNION ALL SELECT %d, %d", n, rows, 1_000_000+n, n)
			item.Strategy, item.Key = elt.Merge, b.Key
		case "revenue":
			b.Relation, item.Relation = "analytics.revenue", "analytics.revenue"
			b.Materialized, b.SQL = elt.AsView, "SELECT max(night) AS night FROM "+w.Staged(run, "shop.users")
			item.ViewSQL = "SELECT max(night) AS night FROM " + w.Published("shop.users")
		}
		if _, err := w.Build(ctx, b); err != nil {
			return err
		}
		p.Items = append(p.Items, item)
	}
	_, err := w.Publish(ctx, p)
	return err
}

// holdOpen keeps the warehouse open until its standard input ends or it is killed.
func holdOpen(dir string) error {
	w, err := Open(context.Background(), optionsIn(dir))
	if err != nil {
		return err
	}
	fmt.Println("open")
	_, err = io.Copy(io.Discard, os.Stdin)
	if err != nil {
		return err
	}
	return w.Close()
}

// fillDisk publishes one night, then stages ever more until the disk is full, by every road, and says each
// time what happened. Then it publishes a night again, if that is possible at all.
func fillDisk(dir string) error {
	ctx := context.Background()
	w, err := Open(ctx, optionsIn(dir))
	if err != nil {
		return err
	}
	if err := publishNight(ctx, w, 1, 100); err != nil {
		return err
	}
	fmt.Println("night 1")
	run := elt.RunID("night-2")
	big := elt.Build{Run: run, Dataset: "big", Relation: "analytics.big", Materialized: elt.AsTable}
	for size := 4_000_000; size > 100; size /= 2 { // fills what is left with ever smaller tables
		big.Dataset = elt.DatasetName("big" + strconv.Itoa(size))
		big.SQL = fmt.Sprintf("SELECT random() AS a, uuid() AS b FROM range(%d)", size)
		if _, err := w.Build(ctx, big); err != nil {
			fmt.Println("refused", elt.CodeOf(err))
		}
	}
	if err := publishNight(ctx, w, 2, 200_000); err != nil {
		fmt.Println("refused", elt.CodeOf(err))
	}
	if got, err := w.Count(ctx, "SELECT * FROM "+w.Published("shop.users")); err != nil {
		fmt.Println("reading failed:", err)
	} else {
		fmt.Println("rows", got)
	}
	return nil // as a crash would leave it, without closing
}

// wholeNight returns the night that a warehouse shows, and fails the test if its datasets show different ones.
func wholeNight(t *testing.T, query func(string) []string) int {
	t.Helper()
	nights := query(`SELECT count(*) FROM _daybreak.published`)
	if nights[0] == "0" {
		return 0
	}
	shown := query(`SELECT
		(SELECT min(night) FROM shop.users) || ' ' || (SELECT max(night) FROM shop.users),
		(SELECT min(night) FROM shop.orders) || ' ' || (SELECT max(night) FROM shop.orders),
		(SELECT max(night) FROM shop.parts) || ' ' || (SELECT max(night) FROM shop.parts WHERE id < 1000000),
		(SELECT max(night) FROM analytics.revenue) || ' ' || (SELECT count(*) FROM shop.parts WHERE id >= 1000000),
		(SELECT min(n) || ' ' || max(n) FROM (SELECT count(*) AS n FROM _daybreak.versions GROUP BY dataset)),
		(SELECT min(fence) || ' ' || max(fence) FROM _daybreak.fences),
		(SELECT max(substr(run_id, 7)::INT) || ' ' || count(DISTINCT run_id) FROM _daybreak.versions)`)
	cells := strings.Split(shown[0], "|")
	for _, c := range cells {
		if c != cells[0] {
			t.Fatalf("the datasets and versions show different nights: %v", cells)
		}
	}
	first, second, _ := strings.Cut(cells[0], " ")
	n, err := strconv.Atoi(first)
	if err != nil || first != second {
		t.Fatalf("one dataset shows two nights: %v", cells)
	}
	return n
}

// nightOfCopy returns the night that the read copy shows, 0 when there is none.
func nightOfCopy(t *testing.T, path string) int {
	t.Helper()
	if _, err := os.Stat(path); os.IsNotExist(err) {
		return 0
	}
	r, err := OpenReadOnly(t.Context(), path)
	if err != nil {
		t.Fatalf("open the read copy: %v", err)
	}
	defer r.Close()
	return wholeNight(t, func(query string) []string { return readerRows(t, r, query) })
}

func readerRows(t testing.TB, r *Reader, query string) []string {
	t.Helper()
	_, _, rows, err := r.Query(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	var out []string
	for row, err := range rows {
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = fmt.Sprint(v)
		}
		out = append(out, strings.Join(cells, "|"))
	}
	return out
}

var _ warehousetest.Warehouse = (*Warehouse)(nil)
