package bigquery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"cloud.google.com/go/bigquery"
	"golang.org/x/sync/semaphore"
	"google.golang.org/api/option"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// Options say where the warehouse is and what it may cost.
type Options struct {
	Project       string // whose datasets these are, and who pays
	Location      string // of every dataset and job: "EU"
	DatasetPrefix string // before the name of each dataset, for several warehouses in a project
	Endpoint      string // of an emulator, reached without credentials; empty for Google's own
	Impersonate   string // the service account whose rights are used; empty for the machine's own credentials
	// Bucket is one of Cloud Storage through which parts go; empty sends them within the load jobs.
	Bucket string
	// Together publishes a run's tables in one transaction of DML, which rewrites them and costs what that
	// costs; else each is copied, which is free.
	Together bool
	// MaxBytesBilled is what one model or test may read; BigQuery refuses a query that would read more. 0 is no limit.
	MaxBytesBilled int64
	// Layout says how the dataset's published table is arranged; nil arranges none.
	Layout func(elt.DatasetName) elt.Layout
	KMSKey string // the key of Cloud KMS that encrypts the datasets; empty for Google's own
	// Keep is how many versions of each dataset stay beside the published one, so that they can be restored; 0 means 1,
	// and less than 0 none.
	Keep        int
	ReadOnly    bool // nothing is made: to ask what a model would cost
	StagingDays int  // after which BigQuery drops staged tables by itself; 0 means 7
	// ChunkBytes is how much of a part is held in memory while it is sent; 0 means the client's 16 MiB.
	ChunkBytes int
	// Pause is how long to wait before a first repetition; 0 means a second. It doubles with each.
	Pause time.Duration
	Now   func() time.Time
	Log   *slog.Logger
}

// Warehouse is a handle on the datasets of a project. It is safe for concurrent use.
type Warehouse struct {
	Options
	client *bigquery.Client
	bucket *bucket // nil where parts go within the load jobs
	// publishing is held by whoever changes what a published name means, one at a time.
	publishing *semaphore.Weighted

	mu   sync.Mutex
	open map[elt.RunID]bool // runs that have staged something since they last published
}

// Open reaches BigQuery and makes Daybreak's own datasets and tables where they are missing. Credentials are the
// application's default ones. The errors are warehouse_denied, warehouse_unreachable and warehouse_setting.
func Open(ctx context.Context, o Options) (*Warehouse, error) {
	o = o.withDefaults()
	if o.Project == "" || o.Location == "" {
		return nil, setting("the warehouse needs a project and a location", "give bigquery.project and bigquery.location in daybreak.yaml")
	}
	options, err := o.clientOptions(ctx)
	if err != nil {
		return nil, err
	}
	return openWith(ctx, o, options)
}

func openWith(ctx context.Context, o Options, options []option.ClientOption) (*Warehouse, error) {
	client, err := bigquery.NewClient(ctx, o.Project, options...)
	if err != nil {
		return nil, noCredentials(o.Project, err)
	}
	client.Location = o.Location
	w := &Warehouse{Options: o, client: client, publishing: semaphore.NewWeighted(1), open: make(map[elt.RunID]bool)}
	if w.bucket, err = openBucket(ctx, o, options); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	if o.ReadOnly {
		return w, nil
	}
	if err := w.prepare(ctx); err != nil {
		return nil, errors.Join(w.fail(ctx, "prepare the warehouse's own datasets", err), client.Close())
	}
	return w, nil
}

func (o Options) withDefaults() Options {
	if o.StagingDays == 0 {
		o.StagingDays = 7
	}
	if o.Keep == 0 {
		o.Keep = 1
	}
	if o.Pause == 0 {
		o.Pause = time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func setting(what, do string) error {
	return &elt.Error{Code: warehouse.CodeSetting, Class: elt.Config, What: what, Do: do}
}

// prepare makes the datasets and tables that are Daybreak's own.
func (w *Warehouse) prepare(ctx context.Context) error {
	if err := w.makeDataset(ctx, w.DatasetPrefix+catalogDataset, 0); err != nil {
		return err
	}
	if err := w.makeDataset(ctx, w.stagingDataset(), time.Duration(w.StagingDays)*24*time.Hour); err != nil {
		return err
	}
	for name, schema := range catalogTables() {
		err := create(ctx, w.client.Dataset(w.DatasetPrefix+catalogDataset).Table(name), &bigquery.TableMetadata{Schema: schema})
		if err != nil && !isStatus(err, http.StatusConflict) {
			return err
		}
	}
	return nil
}

// makeDataset makes a dataset unless it is there. Tables in it expire after the given time; 0 is never.
func (w *Warehouse) makeDataset(ctx context.Context, id string, expiration time.Duration) error {
	md := &bigquery.DatasetMetadata{
		Location: w.Location, DefaultTableExpiration: expiration, Labels: map[string]string{"daybreak": "yes"},
		DefaultEncryptionConfig: w.encryption(),
	}
	make := func(ctx context.Context) error { return w.client.Dataset(id).Create(ctx, md) }
	if err := limited(ctx, make); err != nil && !isStatus(err, http.StatusConflict) {
		return err
	}
	return nil
}

// encryption names the key with which whatever is made is encrypted, also in datasets that people have made without it.
func (w *Warehouse) encryption() *bigquery.EncryptionConfig {
	if w.KMSKey == "" {
		return nil
	}
	return &bigquery.EncryptionConfig{KMSKeyName: w.KMSKey}
}

// Close lets go of the connection. What BigQuery is at work on goes on.
func (w *Warehouse) Close() error {
	if err := w.client.Close(); err != nil {
		return fmt.Errorf("close the warehouse %s: %w", w.Project, err)
	}
	return nil
}
