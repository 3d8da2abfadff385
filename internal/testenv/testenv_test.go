package testenv_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"image/png"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/chromedp/chromedp"
	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/internal/testenv"
)

func ask[T any](t *testing.T, url, query string) (v T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if err := conn.QueryRow(t.Context(), query).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

func TestPostgresGivesEachTestItsOwnDatabase(t *testing.T) {
	one, two := testenv.Postgres(t), testenv.Postgres(t)
	if one.URL == two.URL {
		t.Fatalf("both databases are %s", one.URL)
	}
	for _, url := range []string{one.URL, two.URL, one.Database(t)} {
		if n := ask[int](t, url, `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`); n != 0 {
			t.Errorf("%s has %d tables, want none", url, n)
		}
	}
	if a, b := ask[string](t, one.URL, "SHOW data_directory"), ask[string](t, two.URL, "SHOW data_directory"); a != b {
		t.Errorf("two servers were started: %s and %s", a, b)
	}
}

func TestNewPostgresObeysSettingsAndKeepsDataThroughRestart(t *testing.T) {
	pg := testenv.NewPostgres(t, map[string]string{"max_connections": "17"})
	if n := ask[string](t, pg.URL, "SHOW max_connections"); n != "17" {
		t.Fatalf("max_connections is %s", n)
	}
	init := exec.Command(filepath.Join(pg.Bin, "pgbench"), "-i", "-q", pg.URL)
	if out, err := init.CombinedOutput(); err != nil {
		t.Fatalf("pgbench: %v\n%s", err, out)
	}
	pg.Restart(t)
	if n := ask[int](t, pg.URL, "SELECT count(*) FROM pgbench_accounts"); n != 100_000 {
		t.Errorf("after the restart pgbench_accounts has %d rows", n)
	}
}

func TestStandbyFollowsItsPrimary(t *testing.T) {
	primary := testenv.NewPostgres(t, nil)
	standby := primary.Standby(t, map[string]string{"max_standby_streaming_delay": "100ms"})
	if delay := ask[string](t, standby.URL, "SHOW max_standby_streaming_delay"); delay != "100ms" {
		t.Errorf("max_standby_streaming_delay is %s", delay)
	}
	run := exec.Command(filepath.Join(primary.Bin, "psql"), "-Xqc", "CREATE TABLE a AS SELECT generate_series(1, 10) AS n", primary.URL)
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("psql: %v\n%s", err, out)
	}
	testenv.Within(t, 5*time.Minute, "the standby has the table", func() bool {
		return ask[int](t, standby.URL, "SELECT count(*) FROM pg_tables WHERE tablename = 'a'") > 0
	})
	if n := ask[int](t, standby.URL, "SELECT count(*) FROM a"); n != 10 {
		t.Errorf("the standby has %d rows", n)
	}
}

func TestMariaDBGivesEachTestItsOwnDatabase(t *testing.T) {
	one, two := testenv.MariaDB(t), testenv.MariaDB(t)
	if one.URL == two.URL || one.Addr != two.Addr {
		t.Fatalf("the databases are %s and %s", one.URL, two.URL)
	}
	db, err := sql.Open("mysql", "root@tcp("+one.Addr+")/"+one.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var tables, binlog int
	if err := db.QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM information_schema.tables WHERE table_schema = database()), @@log_bin`).Scan(&tables, &binlog); err != nil {
		t.Fatal(err)
	}
	if tables != 0 || binlog != 1 {
		t.Errorf("%s has %d tables, log_bin is %d", one.URL, tables, binlog)
	}
}

func TestBrowserShowsAPageInEveryView(t *testing.T) {
	const page = `<!doctype html><meta name=viewport content="width=device-width"><title>Daybreak</title>
<style>:root{color-scheme:light dark} div{height:1500px}</style><h1>Good morning</h1><div></div>`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte(page))
	}))
	defer server.Close()

	tab := testenv.Browser(t)
	if err := chromedp.Do(tab, chromedp.Navigate(server.URL), chromedp.WaitVisible("h1")); err != nil {
		t.Fatal(err)
	}
	title, err := chromedp.Run(tab, chromedp.Text("h1"))
	if err != nil || title != "Good morning" {
		t.Fatalf("h1 is %q, %v", title, err)
	}
	for _, v := range testenv.Views() {
		t.Run(v.Name, func(t *testing.T) {
			b, err := os.ReadFile(testenv.Screenshot(tab, t, "testenv", v))
			if err != nil {
				t.Fatal(err)
			}
			picture, err := png.Decode(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := picture.Bounds().Dx(), int(float64(v.Width)*v.Scale); got != want {
				t.Errorf("the picture is %d pixels wide, want %d", got, want)
			}
			if got := picture.Bounds().Dy(); got < int(1500*v.Scale) {
				t.Errorf("the picture is %d pixels high: not the whole page", got)
			}
			r, _, _, _ := picture.At(picture.Bounds().Dx()-1, picture.Bounds().Dy()-1).RGBA()
			if dark := r < 0x8000; dark != v.Dark {
				t.Errorf("the page is dark: %v, want %v", dark, v.Dark)
			}
		})
	}
}

func TestS3RefusesToReplaceAndToTakeAWrongSignature(t *testing.T) {
	server := testenv.S3(t)
	bucket := server.NewBucket(t)
	put := func(s *testenv.S3Server, body string) error {
		_, err := s.Client().PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: &bucket, Key: aws.String("a/b"), Body: strings.NewReader(body), IfNoneMatch: aws.String("*"),
		})
		return err
	}
	if err := put(server, "one"); err != nil {
		t.Fatal(err)
	}
	if err := put(server, "two"); !isStatus(err, http.StatusPreconditionFailed) {
		t.Errorf("the second write: %v, want 412", err)
	}
	stranger := &testenv.S3Server{Endpoint: server.Endpoint, Region: server.Region, AccessKey: server.AccessKey, SecretKey: "wrong"}
	if err := put(stranger, "three"); !isStatus(err, http.StatusForbidden) {
		t.Errorf("a write with a wrong secret: %v, want 403", err)
	}
}

func isStatus(err error, code int) bool {
	var answer interface{ HTTPStatusCode() int }
	return errors.As(err, &answer) && answer.HTTPStatusCode() == code
}

// TestServersOfAKilledProcess is the process that TestAKilledProcessLeavesNoServer kills; on its own it has nothing to do.
func TestServersOfAKilledProcess(t *testing.T) {
	if os.Getenv("TESTENV_BE_KILLED") == "" {
		return
	}
	pg := testenv.Postgres(t)
	fmt.Println(ask[string](t, pg.URL, "SHOW data_directory"), pg.URL, testenv.S3(t).Endpoint)
	select {} // until killed
}

func TestAKilledProcessLeavesNoServer(t *testing.T) {
	victim := exec.Command(os.Args[0], "-test.run=^TestServersOfAKilledProcess$")
	victim.Env = append(os.Environ(), "TESTENV_BE_KILLED=yes")
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	var data, database, endpoint string
	if _, err := fmt.Fscan(out, &data, &database, &endpoint); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(data); err != nil {
		t.Fatalf("the server keeps no data where it says: %v", err)
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := victim.Wait(); err == nil {
		t.Fatal("the process was not killed")
	}
	address, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	testenv.Within(t, 5*time.Minute, database+" and "+endpoint+" are gone", func() bool {
		_, err := os.Stat(filepath.Dir(data))
		return errors.Is(err, fs.ErrNotExist) && !listens(address.Host) && !listens(strings.TrimPrefix(endpoint, "http://"))
	})
}

func listens(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
