package bigquery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/api/option"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery/bigquerytest"
	"github.com/daybreak-data/daybreak/internal/warehouse/warehousetest"
)

// bucketBench is a warehouse whose parts go through a bucket.
func bucketBench(t *testing.T, o Options) bench {
	t.Helper()
	server := bigquerytest.New(t)
	server.MakeBucket("parts")
	o.Bucket = "parts"
	return bench{Warehouse: open(t, server, o), server: server}
}

// TestBucketFaults: whatever happens on the way through the bucket, every row is staged once, and nothing stays in it.
func TestBucketFaults(t *testing.T) {
	const put = "storage.objects.insert"
	for name, faults := range map[string][]bigquerytest.Fault{
		"503 on a part":                    {{Method: put, Status: 503, Reason: "backendError", Times: 3}},
		"the answer to a part is lost":     {{Method: put, Lost: true}},
		"429":                              {{Method: put, Status: 429, Reason: "rateLimitExceeded"}},
		"the load fails after acceptance":  {{Method: insert, Job: loads, Fails: true, Reason: "backendError"}},
		"the answer to the load is lost":   {{Method: insert, Job: loads, Lost: true}},
		"503 on the load, again and again": {{Method: insert, Job: loads, Status: 503, Reason: "backendError", Times: 4}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := bucketBench(t, Options{ChunkBytes: 256 << 10})
			b.server.Inject(faults...)
			b.stageDay(t, day(t, secondNight, elt.Full, 1200, "new"))
			b.publishDay(t, secondNight, 2, "")
			if n := b.server.Pending(); n != 0 {
				t.Errorf("%d faults were not met", n)
			}
			b.wantVisible(t, 1200, "new", secondNight)
			if left := b.server.Objects(t, "parts"); len(left) > 0 {
				t.Errorf("left in the bucket: %v", left)
			}
			var jobs int
			for _, c := range b.jobs(0) {
				if c.Load != nil && len(c.Load.SourceUris) == 2 {
					jobs++
				}
			}
			if jobs == 0 {
				t.Error("no job loaded both parts from the bucket")
			}
		})
	}
}

// TestBucketTerminal: a bucket that is not there, and an object that is not ours, each end the step with a sentence.
func TestBucketTerminal(t *testing.T) {
	d := day(t, secondNight, elt.Full, 4, "new")
	stage := func(b bench) *elt.Failure {
		_, err := b.Stage(t.Context(), d.Run, d.Manifest, "shop.users", d.Files, func(int64) {})
		return elt.NewFailure(err)
	}
	away := bench{Warehouse: open(t, bigquerytest.New(t), Options{Bucket: "nowhere"})}
	if f := stage(away); f == nil || f.Code != "bucket_missing" || f.Class != elt.Config || !strings.Contains(f.Message, "nowhere") {
		t.Errorf("error %+v of a bucket that is not there", f)
	}
	b := bucketBench(t, Options{})
	s := b.stage(d.Run, d.Dataset)
	folder := b.bucket.folder(stagedID(d.Run, d.Dataset) + tableMark + digest(contentDigest(d.Manifest), s.layout, "parts"))
	b.server.PutObject("parts", folder+"part-00000.parquet", []byte("theirs"))
	if f := stage(b); f == nil || f.Code != "bucket_object" || f.Do == "" {
		t.Errorf("error %+v, want bucket_object", f)
	}
	b.stageDay(t, d) // what was in the way went with what Daybreak had put beside it
}

// TestBucketLeftovers: what a killed process left in the bucket goes with its run.
func TestBucketLeftovers(t *testing.T) {
	b := bucketBench(t, Options{})
	for i := range 5 {
		b.server.PutObject("parts", fmt.Sprintf("daybreak/%s/shop-users--x/part-%d.parquet", runID(firstNight), i), nil)
	}
	b.server.PutObject("parts", "daybreak/another_run/shop-users--x/part.parquet", nil)
	b.server.PutObject("parts", "theirs.parquet", nil)
	if err := b.Discard(t.Context(), firstNight); err != nil {
		t.Fatal(err)
	}
	if left := b.server.Objects(t, "parts"); len(left) != 2 {
		t.Errorf("left in the bucket: %v", left)
	}
}

// ahead measures how far parts are read before the service has them.
type ahead struct {
	io.Reader
	server *bigquerytest.Server
	read   *atomic.Int64
	most   *atomic.Int64
}

func (a ahead) Read(b []byte) (int, error) {
	n, err := a.Reader.Read(b)
	held := a.read.Add(int64(n)) - a.server.Received()
	for most := a.most.Load(); held > most && !a.most.CompareAndSwap(most, held); most = a.most.Load() {
	}
	return n, err
}

// TestMemoryBound: of parts that pass through, no more is held than one chunk for each part that is being sent, however
// large they are; in both ways to the warehouse.
func TestMemoryBound(t *testing.T) {
	const chunk = 256 << 10
	d := day(t, secondNight, elt.Full, 12000, "new")
	if d.Bytes() < 40*chunk {
		t.Fatalf("%d bytes are too few to tell", d.Bytes())
	}
	for _, bucket := range []string{"", "parts"} {
		server := bigquerytest.New(t)
		server.MakeBucket("parts")
		b := bench{Warehouse: open(t, server, Options{ChunkBytes: chunk, Bucket: bucket}), server: server}
		var read, most atomic.Int64
		rows, err := b.StageStreams(t.Context(), d.Run, d.Manifest, "shop.users", func(_ context.Context, i int) (io.ReadCloser, error) {
			f, err := os.Open(d.Files[i])
			return struct {
				io.Reader
				io.Closer
			}{ahead{f, server, &read, &most}, f}, err
		}, func(int64) {})
		if err != nil || rows != d.Rows() {
			t.Fatalf("%d rows, %v", rows, err)
		}
		if limit := int64(len(d.Files)) * 2 * chunk; most.Load() > limit || most.Load() < chunk/2 {
			t.Errorf("bucket %q: %d bytes were held, want at most %d", bucket, most.Load(), limit)
		}
	}
}

// TestPartEndsInError: of a part that ends in an error nothing is staged, and the error is the reader's own.
func TestPartEndsInError(t *testing.T) {
	broken := &elt.Error{Code: "part_corrupt", Class: elt.Data, What: "it is corrupt", Do: "extract it again"}
	d := day(t, secondNight, elt.Full, 1200, "new")
	for _, bucket := range []string{"", "parts"} {
		server := bigquerytest.New(t)
		server.MakeBucket("parts")
		b := bench{Warehouse: open(t, server, Options{ChunkBytes: 256 << 10, Bucket: bucket}), server: server}
		content, err := os.ReadFile(d.Files[0])
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.StageStreams(t.Context(), d.Run, d.Manifest, "shop.users", func(context.Context, int) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(content), failing{broken})), nil
		}, func(int64) {})
		if !errors.Is(err, broken) {
			t.Errorf("bucket %q: error %v, want %v", bucket, err, broken)
		}
		if left := server.Objects(t, "parts"); len(left) > 0 {
			t.Errorf("left in the bucket: %v", left)
		}
		if _, err := b.Measure(t.Context(), d.Run, "shop.users", d.Schema); elt.CodeOf(err) != "staging_missing" {
			t.Errorf("something is staged: %v", err)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestEveryJob: every job of a whole night says for whom it is, is encrypted with the team's key where it writes, and
// runs where the warehouse is.
func TestEveryJob(t *testing.T) {
	const key = "projects/p/locations/eu/keyRings/r/cryptoKeys/k"
	for _, together := range []bool{false, true} {
		b := bucketBench(t, Options{KMSKey: key, Together: together, MaxBytesBilled: 1 << 30})
		for i, run := range []elt.RunID{firstNight, secondNight} {
			b.stageDay(t, day(t, run, elt.Full, 4, "new"))
			if _, err := b.Build(t.Context(), elt.Build{Run: run, Dataset: "revenue", Relation: "analytics.revenue", Materialized: elt.AsTable, SQL: "SELECT COUNT(*) AS n FROM " + b.Staged(run, "shop.users")}); err != nil {
				t.Fatal(err)
			}
			b.publishDay(t, run, int64(i+1), "")
		}
		for _, c := range b.jobs(0) {
			if c.Labels["daybreak_step"] == "" {
				t.Errorf("a job without a label: %+v", c)
			}
			if step := c.Labels["daybreak_step"]; (step == "load" || step == "transform") && (c.Labels["daybreak_run"] == "" || c.Labels["daybreak_dataset"] == "") {
				t.Errorf("labels %v", c.Labels)
			}
			encrypted := ""
			switch {
			case c.Load != nil && c.Load.DestinationEncryptionConfiguration != nil:
				encrypted = c.Load.DestinationEncryptionConfiguration.KmsKeyName
			case c.Copy != nil && c.Copy.DestinationEncryptionConfiguration != nil:
				encrypted = c.Copy.DestinationEncryptionConfiguration.KmsKeyName
			case c.Query != nil && c.Query.DestinationTable == nil:
				continue
			case c.Query != nil && c.Query.DestinationEncryptionConfiguration != nil:
				encrypted = c.Query.DestinationEncryptionConfiguration.KmsKeyName
			}
			if encrypted != key {
				t.Errorf("a job writes with the key %q: %+v", encrypted, c)
			}
			if c.Query != nil && c.Labels["daybreak_step"] == "transform" && c.Query.MaximumBytesBilled != 1<<30 {
				t.Errorf("a model may be billed for %d bytes", c.Query.MaximumBytesBilled)
			}
		}
	}
}

// TestUsage: what jobs are billed, and their slots' time, come to the meter of whoever asked, of jobs that fail as well.
func TestUsage(t *testing.T) {
	b := newBench(t, Options{})
	var m elt.Meter
	ctx := elt.WithMeter(t.Context(), &m)
	if _, err := b.Build(ctx, elt.Build{Run: secondNight, Dataset: "revenue", Relation: "analytics.revenue", Materialized: elt.AsTable, SQL: "SELECT id FROM " + b.Published("shop.users")}); err != nil {
		t.Fatal(err)
	}
	if used := m.Used(); used.BytesBilled < 300 || used.Jobs < 1 || used.SlotTime <= 0 {
		t.Errorf("used %+v for a model over 3 rows", used)
	}
	before := m.Used()
	b.server.Inject(bigquerytest.Fault{Method: insert, Job: "daybreak_transform", Fails: true, Reason: "backendError"})
	if _, err := b.Build(ctx, elt.Build{Run: secondNight, Dataset: "revenue", Relation: "analytics.revenue", Materialized: elt.AsTable, SQL: "SELECT 1 AS id"}); err != nil {
		t.Fatal(err)
	}
	if jobs := m.Used().Jobs - before.Jobs; jobs < 2 {
		t.Errorf("%d jobs are counted, and one failed before the one that passed", jobs)
	}
}

func TestEstimate(t *testing.T) {
	b := newBench(t, Options{MaxBytesBilled: 250})
	n := len(b.server.Requests())
	model := elt.Build{Run: secondNight, Dataset: "revenue", Relation: "analytics.revenue", Materialized: elt.AsTable, SQL: "SELECT id FROM " + b.Published("shop.users")}
	if got, err := b.Estimate(t.Context(), model); got != 300 || err != nil {
		t.Errorf("estimate %d, %v; want 300 bytes of 3 rows", got, err)
	}
	for _, c := range b.jobs(n) {
		if !c.DryRun {
			t.Errorf("an estimate ran a job: %+v", c)
		}
	}
	_, err := b.Build(t.Context(), model)
	if f := elt.NewFailure(err); f == nil || f.Code != "bytes_limit" || f.Class != elt.Quota {
		t.Errorf("error %+v, want bytes_limit", f)
	}
	model.SQL = "SELECT nothing FROM " + b.Published("shop.users")
	if _, err := b.Estimate(t.Context(), model); elt.CodeOf(err) != "sql_refused" {
		t.Errorf("error %v, want sql_refused", err)
	}
	model.SQL = "SELECT id FROM " + b.Published("shop.users")
	b.server.Inject(bigquerytest.Fault{Method: insert, Status: 503, Reason: "backendError", Times: 2})
	if _, err := b.Estimate(t.Context(), model); err != nil {
		t.Errorf("after two answers of 503: %v", err)
	}
}

// redirect sends what would go to Google to the test.
type redirect func(*http.Request) (*http.Response, error)

func (r redirect) RoundTrip(q *http.Request) (*http.Response, error) { return r(q) }

// TestImpersonation: the machine's own credentials ask for a token of the service account, and that token is sent.
func TestImpersonation(t *testing.T) {
	const account = "daybreak@acme.iam.gserviceaccount.com"
	ask := &http.Client{Transport: redirect(func(q *http.Request) (*http.Response, error) {
		if q.URL.Host != "iamcredentials.googleapis.com" || !strings.HasSuffix(q.URL.Path, "/serviceAccounts/"+account+":generateAccessToken") {
			t.Errorf("asked for a token at %s", q.URL)
		}
		body := `{"accessToken": "of-the-account", "expireTime": "2999-01-01T00:00:00Z"}`
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}, nil
	})}
	as, err := impersonated(t.Context(), account, option.WithHTTPClient(ask))
	if err != nil {
		t.Fatal(err)
	}
	server := bigquerytest.New(t)
	w, err := openWith(t.Context(), Options{Project: "acme", Location: "EU"}.withDefaults(), []option.ClientOption{as, option.WithEndpoint(server.URL + "/bigquery/v2/")})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	for _, r := range server.Requests() {
		if r.Authorization != "Bearer of-the-account" {
			t.Errorf("%s was sent with the authorization %q", r.Method, r.Authorization)
		}
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", t.TempDir()+"/nothing.json")
	_, err = Open(t.Context(), Options{Project: "acme", Location: "EU", Impersonate: account})
	if f := elt.NewFailure(err); f == nil || f.Code != "warehouse_setting" || f.Do == "" {
		t.Errorf("without credentials to ask with: %+v", f)
	}
}

// TestTogetherBeyondOneTransaction: a night of more tables than one transaction can change is published in several.
func TestTogetherBeyondOneTransaction(t *testing.T) {
	server := bigquerytest.New(t)
	b := bench{Warehouse: open(t, server, Options{Together: true}), server: server}
	p := elt.Publication{Run: firstNight, Fence: 1}
	for i := range maxTables + 3 {
		d := elt.DatasetName(fmt.Sprintf("shop.t%03d", i))
		m := elt.Manifest{Dataset: d, Run: firstNight, Date: elt.Date{Year: 2026, Month: 1, Day: 5}, Attempt: 1, Schema: elt.Schema{{Name: "id", Type: elt.Type{Kind: elt.Int64}}}}
		one := warehousetest.NewDay(t, t.TempDir(), m, []warehousetest.Row{{int64(i)}})
		if _, err := b.Stage(t.Context(), firstNight, one.Manifest, string(d), one.Files, func(int64) {}); err != nil {
			t.Fatal(err)
		}
		p.Items = append(p.Items, elt.PublicationItem{Version: elt.Version{ID: elt.NewVersionID(d, firstNight), Dataset: d, Date: m.Date, Run: firstNight}, Relation: string(d)})
	}
	n := len(server.Requests())
	versions, err := b.Publish(t.Context(), p)
	if err != nil || len(versions) != len(p.Items) {
		t.Fatalf("%d versions, %v", len(versions), err)
	}
	transactions := 0
	for _, q := range b.queries(n) {
		if strings.HasPrefix(q, "BEGIN TRANSACTION") {
			transactions++
			if tables := strings.Count(q, "TRUNCATE TABLE") + strings.Count(q, "INSERT INTO `acme.shop."); tables > 2*maxTables {
				t.Errorf("a transaction changes %d tables", tables)
			}
		}
	}
	if transactions != 2 {
		t.Errorf("%d transactions, want 2", transactions)
	}
}
