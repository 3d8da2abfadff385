// Package extracttest has what the tests of sources share: a lake in memory, and a way to read it back.
// Only tests import it.
package extracttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// Lake is a lake in memory.
type Lake struct {
	mu      sync.Mutex
	objects map[string][]byte
	// Before, when set, sees each key first, and its error is what Put returns. The test may be ended there.
	Before func(key string) error
	// Discard counts octets instead of keeping them.
	Discard bool
}

// Put stores an object that must not be there yet.
func (l *Lake) Put(_ context.Context, key string, body io.Reader) (elt.Object, error) {
	if l.Before != nil {
		if err := l.before(key); err != nil {
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

// before calls Before on a goroutine of its own: t.Fatal ends the goroutine that it is called on, and whoever stores an
// object would be waited for until all tests are over.
func (l *Lake) before(key string) error {
	err := errors.New("the test was ended while " + key + " was stored")
	var called sync.WaitGroup
	called.Go(func() { err = l.Before(key) })
	called.Wait()
	return err
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

// Table returns a full extraction of a table as the dataset shop.<last part of its name>, verified at the level rows.
func Table(name string) elt.Extraction {
	last := name[strings.LastIndexByte(name, '.')+1:]
	return elt.Extraction{Dataset: elt.DatasetName("shop." + last), Source: "shop", Table: name, Mode: elt.Full, Verify: elt.LevelRows}
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

// Aside reads the rows that were set aside, each as key, column, value, reason and row.
func (l *Lake) Aside(t testing.TB, m *elt.Manifest) [][]string {
	t.Helper()
	if m.Quarantined == nil {
		return nil
	}
	aside := elt.Manifest{Schema: parquet.AsideSchema(), Parts: m.Quarantined.Parts}
	var rows [][]string
	for _, p := range aside.Parts {
		n, err := parquet.Read(bytes.NewReader(l.objects[p.Key]), aside.Schema, func(b *parquet.Batch) error {
			first := len(rows)
			for range b.Rows() {
				rows = append(rows, make([]string, len(aside.Schema)))
			}
			for c, v := range b.Columns {
				for r, text := range v.Texts() {
					rows[first+r][c] = text
				}
			}
			return nil
		})
		if err != nil || n != p.Rows {
			t.Fatalf("quarantine part %s holds %d rows of %d: %v", p.Key, n, p.Rows, err)
		}
	}
	return rows
}

// PolicyCase is a value that its column cannot hold, and what becomes of it under each policy.
type PolicyCase struct {
	Name        string
	Declaration string // of the column v
	Value       string // as an SQL expression
	Text        string // under string, and in quarantine
	Nearest     string // under clamp; "-" when it is refused by name, "!" when check refuses clamp for the type
	As          string // what types: declares before the policy, "decimal(5,2) or "
}

// Policies extracts a table that make fills, under every policy, and checks that the value round-trips exactly, is
// refused by name, or is counted. make returns an extractor of a table t (id, v) with a value that fits under the ID 1,
// the case's under 2, and NULL under 3.
func Policies(t *testing.T, c PolicyCase, table string, make func(t *testing.T, lake *Lake) *extract.Extractor) {
	t.Helper()
	for _, policy := range []elt.Policy{elt.Refuse, elt.AsText, elt.AsNull, elt.Clamp, elt.Quarantine} {
		t.Run(string(policy), func(t *testing.T) {
			if policy == elt.AsText && c.As != "" {
				return // text needs no other type
			}
			e := Table(table)
			rule := c.As + string(policy)
			if policy == elt.Refuse {
				rule = strings.TrimSuffix(c.As, " or ")
			}
			if rule != "" {
				parsed, err := elt.ParseTypeRule(rule)
				if err != nil {
					t.Fatal(err)
				}
				e.Types = map[string]elt.TypeRule{"v": parsed}
			}
			lake := &Lake{}
			m, err := Extract(t, make(t, lake), Job(e, 1))
			switch {
			case policy == elt.Clamp && c.Nearest == "!":
				Fails(t, err, "type_rule", "nearest")
				return
			case policy == elt.Refuse, policy == elt.Clamp && c.Nearest == "-":
				Fails(t, err, "value_not_representable", table, "column v", "id = 2")
				return
			case err != nil:
				t.Fatal(err)
			}
			c.holds(t, lake, m, policy)
		})
	}
}

// holds checks the rows and the counts of one policy.
func (c PolicyCase) holds(t *testing.T, lake *Lake, m *elt.Manifest, policy elt.Policy) {
	t.Helper()
	want := map[elt.Policy]string{elt.AsText: c.Text, elt.AsNull: "NULL", elt.Clamp: c.Nearest}
	rows := map[string]string{}
	for _, r := range lake.Rows(t, m) {
		rows[r[0]] = r[1]
	}
	text, there := rows["2"]
	switch {
	case policy == elt.Quarantine && there:
		t.Errorf("the quarantined row is in the table, as %s", text)
	case policy != elt.Quarantine && text != want[policy]:
		t.Errorf("the value is %q, expected %q", text, want[policy])
	}
	if rows["3"] != "NULL" || rows["1"] == "" || rows["1"] == "NULL" {
		t.Errorf("the other rows are %v", rows)
	}
	if diff := cmp.Diff([]elt.PolicyUse{{Column: "v", Policy: policy, Values: 1}}, m.Fidelity); diff != "" {
		t.Errorf("counted are (-want +got)\n%s", diff)
	}
	aside := lake.Aside(t, m)
	if policy != elt.Quarantine {
		if len(aside) != 0 || m.SetAside() != 0 {
			t.Errorf("set aside are %v", aside)
		}
		return
	}
	if len(aside) != 1 || m.SetAside() != 1 || m.Rows() != 2 {
		t.Fatalf("set aside are %v, kept %d rows", aside, m.Rows())
	}
	if got := aside[0]; got[0] != "id = 2" || got[1] != "v" || got[2] != c.Text || got[3] == "" || !strings.Contains(got[4], `"id":"2"`) {
		t.Errorf("set aside is %q", got)
	}
}
