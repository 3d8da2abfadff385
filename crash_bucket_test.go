package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/testenv"
)

// bucketed are workspaces of one table, each of whose lakes is a bucket of its own.
type bucketed struct {
	server *testenv.S3Server
	shop   string // with the database

	mu      sync.Mutex
	buckets map[string]string // by workspace
}

// photos makes a table of one row, which takes so many octets in a part.
func photos(t *testing.T, octets int) *bucketed {
	b := &bucketed{server: testenv.S3(t), shop: t.TempDir(), buckets: make(map[string]string)}
	change(t, filepath.Join(b.shop, "shop.db"), fmt.Sprintf("CREATE TABLE photos (id INTEGER PRIMARY KEY, jpeg BLOB); INSERT INTO photos VALUES (1, randomblob(%d))", octets))
	return b
}

// workspace returns one in which nothing has run.
func (b *bucketed) workspace(t *testing.T) string {
	t.Helper()
	dir, bucket := copyOf(t, b.shop), b.server.NewBucket(t)
	write(t, dir, map[string]string{
		"daybreak.yaml": fmt.Sprintf(`
sources: {shop: {sqlite: shop.db}}
lake: {s3: {bucket: %s, endpoint: %q, region: us-east-1, path_style: true, access_key: %s, secret_key: %s}}
retention: {lake: {versions: 1}, warehouse: {versions: 0}}
status: {public: true}
`, bucket, b.server.Endpoint, b.server.AccessKey, b.server.SecretKey),
		"schedules/nightly.yaml": `
at: "02:00"
timezone: UTC
owners: [data@example.com, growth@example.com]
tables:
  shop.photos: {mode: full, key: [id]}
`})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buckets[dir] = bucket
	return dir
}

// keys returns what is in the workspace's bucket, without the run that wrote it.
func (b *bucketed) keys(t *testing.T, dir string) (keys []string) {
	t.Helper()
	list, err := b.server.Client().ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: new(b.bucket(dir))})
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range list.Contents {
		pieces := strings.Split(*object.Key, "/")
		keys = append(keys, strings.Join(slices.DeleteFunc(pieces, func(p string) bool { return strings.HasPrefix(p, "run=") }), "/"))
	}
	return keys
}

func (b *bucketed) bucket(dir string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buckets[dir]
}

// A part that goes to a bucket in many pieces is there whole or not at all, whoever is killed meanwhile.
func TestKilledUploads(t *testing.T) {
	t.Parallel()
	lakes := photos(t, 17<<20) // a piece is 16 MiB
	scene{
		name: "a night into a bucket", args: []string{"run", "--yes", "--date", "2026-01-06"},
		stage: lakes.workspace,
		must:  []string{"lake.s3.upload_begun", "lake.s3.parts_sent", "lake.s3.put", "lake.s3.sent"},
		settled: func(t *testing.T, dir string) {
			if keys := lakes.keys(t, dir); len(slices.Compact(keys)) != len(keys) || !slices.ContainsFunc(keys, func(k string) bool { return strings.HasSuffix(k, "manifest.json") }) {
				t.Errorf("in the bucket there are %q", keys)
			}
			must(t, dir, nil, "verify")
		},
	}.play(t, moments(0, "lake.s3.upload_begun", "lake.s3.parts_sent"))
}

// gc of a bucket that is killed and given again leaves what one that nobody disturbs leaves.
func TestKilledGCOfABucket(t *testing.T) {
	t.Parallel()
	lakes := photos(t, 1<<10)
	stage := func(t *testing.T) string {
		dir := lakes.workspace(t)
		for _, date := range []string{"2026-01-05", "2026-01-06"} {
			must(t, dir, nil, "run", "--yes", "--date", date)
		}
		change(t, ledgerIn(dir), `UPDATE manifests SET saved_at = '2020-01-01T00:00:00.000000Z'; UPDATE versions SET published_at = '2020' || substr(published_at, 5)`)
		lakes.server.Age(t, lakes.bucket(dir), 365*24*time.Hour)
		return dir
	}
	undisturbed := stage(t)
	before := lakes.keys(t, undisturbed)
	must(t, undisturbed, nil, "gc")
	want := lakes.keys(t, undisturbed)
	if len(want) == 0 || len(want) >= len(before) {
		t.Fatalf("gc leaves %q of %q", want, before)
	}
	scene{
		name: "gc of a bucket", stage: stage, args: []string{"gc"}, forgets: true,
		must: []string{"gc.listed", "lake.s3.delete", "lake.s3.deleted"},
		settled: func(t *testing.T, dir string) {
			if diff := cmp.Diff(want, lakes.keys(t, dir)); diff != "" {
				t.Errorf("(-undisturbed +killed and given again):\n%s", diff)
			}
			must(t, dir, nil, "verify")
		},
	}.play(t, moments(0, "lake.s3.delete", "lake.s3.deleted"))
}
