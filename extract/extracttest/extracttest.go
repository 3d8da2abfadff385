// Package extracttest has what the tests of sources share: a lake in memory, and a way to read it back.
// Only tests import it.
package extracttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// Lake is a lake in memory.
type Lake struct {
	mu      sync.Mutex
	objects map[string][]byte
	// Before, when set, sees each key first, and its error is what Put returns.
	Before func(key string) error
	// Discard counts octets instead of keeping them.
	Discard bool
}

// Put stores an object that must not be there yet.
func (l *Lake) Put(_ context.Context, key string, body io.Reader) (elt.Object, error) {
	if l.Before != nil {
		if err := l.Before(key); err != nil {
			return elt.Object{}, err
		}
	}
	hash := sha256.New()
	var kept bytes.Buffer
	var to io.Writer = io.MultiWriter(hash, &kept)
	if l.Discard {
		to = hash
	}
	n, err := io.Copy(to, body)
	if err != nil {
		return elt.Object{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.objects[key]; ok {
		return elt.Object{}, &elt.Error{Code: "object_exists", Class: elt.Conflict, What: key + " is there"}
	}
	if l.objects == nil {
		l.objects = make(map[string][]byte)
	}
	l.objects[key] = kept.Bytes()
	return elt.Object{Key: key, Bytes: n, SHA256: hex.EncodeToString(hash.Sum(nil))}, nil
}

// Keys returns the objects' keys in no order.
func (l *Lake) Keys() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var keys []string
	for k := range l.objects {
		keys = append(keys, k)
	}
	return keys
}

// Rows reads the manifest's parts back, checks them against it, and returns each row as canonical text.
func (l *Lake) Rows(t testing.TB, m *elt.Manifest) [][]string {
	t.Helper()
	var rows [][]string
	tally := parquet.NewTally(m.Schema)
	for _, p := range m.Parts {
		data := l.objects[p.Key]
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != p.SHA256 || int64(len(data)) != p.Bytes {
			t.Fatalf("part %s is not what its manifest says", p.Key)
		}
		n, err := parquet.Read(bytes.NewReader(data), m.Schema, func(b *parquet.Batch) error {
			tally.Add(b)
			first := len(rows)
			for range b.Rows() {
				rows = append(rows, make([]string, len(m.Schema)))
			}
			for c, v := range b.Columns {
				for r, text := range v.Texts() {
					rows[first+r][c] = text
				}
			}
			return nil
		})
		if err != nil || n != p.Rows {
			t.Fatalf("part %s holds %d rows of %d: %v", p.Key, n, p.Rows, err)
		}
	}
	for _, x := range m.Stats.Compare(tally.Stats()) {
		t.Errorf("%s: the parts differ from the manifest: %s", m.Dataset, x)
	}
	if text, err := m.Encode(); err != nil {
		t.Error(err)
	} else if _, err := elt.DecodeManifest(text); err != nil {
		t.Error(err)
	}
	return rows
}

// New returns an Extractor over one source called "shop".
func New(t testing.TB, source extract.Source, lake *Lake) *extract.Extractor {
	t.Helper()
	return extract.New(extract.Options{
		Sources: map[elt.SourceName]extract.Source{"shop": source}, Lake: lake, MaskKey: []byte("a key"),
		Log: Log(t), Now: time.Now,
	})
}

// Log returns a logger that writes to the test.
func Log(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// Table returns a full extraction of a table as the dataset shop.<last part of its name>.
func Table(name string) elt.Extraction {
	last := name[strings.LastIndexByte(name, '.')+1:]
	return elt.Extraction{Dataset: elt.DatasetName("shop." + last), Source: "shop", Table: name, Mode: elt.Full}
}

// Job returns a job of the extraction.
func Job(e elt.Extraction, attempt int) extract.Job {
	return extract.Job{Extraction: e, Run: "r1", Date: elt.Date{Year: 2026, Month: 1, Day: 5}, Attempt: attempt}
}

// Extract extracts one table in a night of its own.
func Extract(t testing.TB, x *extract.Extractor, job extract.Job) (*elt.Manifest, error) {
	t.Helper()
	night := x.Begin(job.Run, []elt.Extraction{job.Extraction}, []elt.Extraction{job.Extraction})
	defer func() {
		if err := night.Close(); err != nil {
			t.Error(err)
		}
	}()
	return night.Extract(t.Context(), job, func(elt.Progress) {})
}

// Fails checks that err has the code and that its sentence contains every one of the texts.
func Fails(t testing.TB, err error, code elt.Code, texts ...string) {
	t.Helper()
	f := elt.NewFailure(err)
	if f == nil {
		t.Fatalf("there was no error, expected %s", code)
	}
	if f.Code != code {
		t.Fatalf("the error is %s (%s), expected %s", f.Code, f.Message, code)
	}
	for _, text := range texts {
		if !strings.Contains(f.Message+fmt.Sprint(f.Do), text) {
			t.Errorf("%q does not name %q", f.Message, text)
		}
	}
	if f.Do == "" {
		t.Errorf("%q does not say what to do", f.Message)
	}
}
