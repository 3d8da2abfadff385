// Package laketest is what every lake must do, as tests that each driver runs.
package laketest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/lake"
)

// Run holds the lakes that open returns, each of them empty, to what lake.Store promises.
func Run(t *testing.T, open func(t *testing.T) lake.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, lake.Store)
	}{
		{"what is put is read again", testRoundTrip},
		{"an object is never replaced", testCreateOnly},
		{"one of many writers wins", testWriters},
		{"a failing body leaves nothing", testFailingBody},
		{"a cancelled context leaves nothing", testCancelled},
		{"keys are checked", testKeys},
		{"what is missing is said to be", testMissing},
		{"a deleted object is gone", testDelete},
		{"a list is complete and in order", testList},
		{"a long list is complete and in order", testLongList},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open(t))
		})
	}
}

const (
	big   = 64<<20 + 12_345 // sent in many parts
	parts = 18<<20 + 12_345 // sent in a few
)

// Bytes returns n bytes that follow from the seed and do not compress.
func Bytes(seed uint64, n int) []byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	b := make([]byte, n)
	if _, err := rand.NewChaCha8(key).Read(b); err != nil {
		panic(err) // its documentation says that it never fails
	}
	return b
}

// CodeOf returns the error's code, or its text if it has none.
func CodeOf(err error) elt.Code {
	var e *elt.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Code
	}
	return elt.Code(err.Error())
}

// Want fails the test unless the error has the code, and tells an operator something.
func Want(t *testing.T, err error, code elt.Code) {
	t.Helper()
	if CodeOf(err) != code {
		t.Fatalf("error is %v (%s), want %s", err, CodeOf(err), code)
	}
	var e *elt.Error
	if errors.As(err, &e) && (e.What == "" || e.Do == "" || e.Class == "") {
		t.Errorf("%#v leaves the operator alone", e)
	}
}

// WantEmpty fails the test if the lake holds any object.
func WantEmpty(t *testing.T, l lake.Store) {
	t.Helper()
	if keys := keysOf(t, l, ""); len(keys) > 0 {
		t.Errorf("the lake holds %q, want nothing", keys)
	}
}

func testRoundTrip(t *testing.T, l lake.Store) {
	for _, c := range []struct {
		name, key string
		size      int
	}{
		{"nothing", "empty", 0},
		{"one byte", "a", 1},
		{"a folder", "shop.users/date=2026-11-20/run=r1/attempt=1/part-00000.parquet", 10_000},
		{"unicode", "größe/日付=🌅/ a+b&c=d%20?#.parquet", 100},
		{"decomposed unicode", "cafe\u0301", 7},
		{"big", "big", big},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := Bytes(uint64(c.size), c.size)
			sum := sha256.Sum256(want)
			body := io.Reader(bytes.NewReader(want))
			if c.size < big {
				body = iotest.OneByteReader(body)
			}
			begun := time.Now()
			put, err := l.Put(t.Context(), c.key, body)
			if err != nil {
				t.Fatal(err)
			}
			stat, err := l.Stat(t.Context(), c.key)
			if err != nil {
				t.Fatal(err)
			}
			for what, o := range map[string]elt.Object{"put": put, "stat": stat} {
				// A store's clock may be coarser than ours.
				if o.ModifiedAt.Before(begun.Add(-time.Minute)) || o.ModifiedAt.After(time.Now().Add(time.Minute)) {
					t.Errorf("%s: written at %s", what, o.ModifiedAt)
				}
				o.ModifiedAt = time.Time{}
				if diff := cmp.Diff(elt.Object{Key: c.key, Bytes: int64(c.size), SHA256: hex.EncodeToString(sum[:])}, o); diff != "" {
					t.Errorf("%s (-want +got):\n%s", what, diff)
				}
			}
			if got := read(t, l, c.key); !bytes.Equal(got, want) {
				t.Errorf("read %d bytes that are not the %d written", len(got), len(want))
			}
		})
	}
}

func testCreateOnly(t *testing.T, l lake.Store) {
	put(t, l, "k", "first")
	for _, body := range []string{"second", "first", ""} {
		_, err := l.Put(t.Context(), "k", strings.NewReader(body))
		Want(t, err, lake.CodeExists)
	}
	if _, err := l.Put(t.Context(), "k", bytes.NewReader(Bytes(1, parts))); CodeOf(err) != lake.CodeExists {
		t.Errorf("a big object over a small one: %v", err)
	}
	if got := read(t, l, "k"); string(got) != "first" {
		t.Errorf("the object is now %.20q", got)
	}
}

func testWriters(t *testing.T, l lake.Store) {
	for _, size := range []int{20, 9 << 20} {
		t.Run(fmt.Sprintf("%d bytes", size), func(t *testing.T) {
			const writers = 20
			key := fmt.Sprintf("contended/%d", size)
			var errs [writers]error
			var ready, done sync.WaitGroup
			ready.Add(writers)
			for i := range writers {
				body := Bytes(uint64(i), size)
				done.Go(func() {
					ready.Done()
					ready.Wait()
					_, errs[i] = l.Put(t.Context(), key, bytes.NewReader(body))
				})
			}
			done.Wait()
			winner := -1
			for i, err := range errs {
				switch CodeOf(err) {
				case "":
					if winner >= 0 {
						t.Errorf("writers %d and %d both won", winner, i)
					}
					winner = i
				case lake.CodeExists:
				default:
					t.Errorf("writer %d: %v", i, err)
				}
			}
			if winner < 0 {
				t.Fatal("nobody won")
			}
			if !bytes.Equal(read(t, l, key), Bytes(uint64(winner), size)) {
				t.Errorf("the object is not what the winner wrote")
			}
		})
	}
}

func testFailingBody(t *testing.T, l lake.Store) {
	cause := &elt.Error{Code: "source_gone", Class: elt.Transient, What: "the source went away", Do: "nothing"}
	for _, after := range []int{0, 1, 1 << 20, parts} {
		body := io.MultiReader(bytes.NewReader(Bytes(1, after)), iotest.ErrReader(cause))
		_, err := l.Put(t.Context(), fmt.Sprintf("failing/%d", after), body)
		if !errors.Is(err, cause) || CodeOf(err) != "source_gone" {
			t.Errorf("after %d bytes: %v, want the body's own error", after, err)
		}
	}
	// A body that was cut short must not pass for one that ended.
	cut := io.MultiReader(strings.NewReader("x"), iotest.ErrReader(io.ErrUnexpectedEOF))
	if _, err := l.Put(t.Context(), "failing/cut", cut); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a body that was cut: %v", err)
	}
	WantEmpty(t, l)
	put(t, l, "failing/0", "the key is free")
}

// cancelling cancels a context after some bytes, and goes on.
type cancelling struct {
	io.Reader
	left   int
	cancel func()
}

func (c *cancelling) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if c.left -= n; c.left <= 0 {
		c.cancel()
	}
	return n, err
}

func testCancelled(t *testing.T, l lake.Store) {
	for _, after := range []int{0, 1000, parts - 1000} {
		ctx, cancel := context.WithCancel(t.Context())
		body := &cancelling{bytes.NewReader(Bytes(1, parts)), after, cancel}
		if _, err := l.Put(ctx, fmt.Sprintf("cancelled/%d", after), body); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled after %d bytes: %v", after, err)
		}
	}
	WantEmpty(t, l)

	put(t, l, "kept", "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, putErr := l.Put(ctx, "small", strings.NewReader("x"))
	_, openErr := l.Open(ctx, "kept")
	_, statErr := l.Stat(ctx, "kept")
	var listErr error
	for _, listErr = range l.List(ctx, "") {
	}
	for operation, err := range map[string]error{
		"Put": putErr, "Open": openErr, "Stat": statErr, "List": listErr, "Delete": l.Delete(ctx, "kept"),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context: %v", operation, err)
		}
	}
	if diff := cmp.Diff([]string{"kept"}, keysOf(t, l, "")); diff != "" {
		t.Error(diff)
	}
}

func testKeys(t *testing.T, l lake.Store) {
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", ".hidden", "a/.b", `a\b`, "a\x00b", "a\nb",
		"\xff", strings.Repeat("x", 256), strings.Repeat("long/", 300) + "x",
	} {
		_, err := l.Put(t.Context(), key, strings.NewReader("x"))
		Want(t, err, lake.CodeKeyInvalid)
		_, err = l.Open(t.Context(), key)
		Want(t, err, lake.CodeKeyInvalid)
		_, err = l.Stat(t.Context(), key)
		Want(t, err, lake.CodeKeyInvalid)
		Want(t, l.Delete(t.Context(), key), lake.CodeKeyInvalid)
	}
	WantEmpty(t, l)
}

func testMissing(t *testing.T, l lake.Store) {
	put(t, l, "folder/object", "x")
	for _, key := range []string{"nothing", "folder", "folder/nothing", "folder/object/below"} {
		_, err := l.Open(t.Context(), key)
		Want(t, err, lake.CodeMissing)
		_, err = l.Stat(t.Context(), key)
		Want(t, err, lake.CodeMissing)
		Want(t, l.Delete(t.Context(), key), "")
	}
	if got := read(t, l, "folder/object"); string(got) != "x" {
		t.Errorf("the object is now %q", got)
	}
}

func testDelete(t *testing.T, l lake.Store) {
	put(t, l, "a/b/one", "1")
	put(t, l, "a/b/two", "2")
	Want(t, l.Delete(t.Context(), "a/b/one"), "")
	_, err := l.Open(t.Context(), "a/b/one")
	Want(t, err, lake.CodeMissing)
	if diff := cmp.Diff([]string{"a/b/two"}, keysOf(t, l, "")); diff != "" {
		t.Error(diff)
	}
	put(t, l, "a/b/one", "1 again")
	Want(t, errors.Join(l.Delete(t.Context(), "a/b/one"), l.Delete(t.Context(), "a/b/two")), "")
	WantEmpty(t, l)
}

func testList(t *testing.T, l lake.Store) {
	WantEmpty(t, l)
	keys := []string{"a", "a.b/c", "a-b", "aa/x", "b/a.c", "b/a/c", "b/a0", "b/b", "b/é", "b/z", "B", "日/本"}
	for _, k := range keys {
		put(t, l, k, k)
	}
	slices.Sort(keys)
	for _, prefix := range []string{"", "a", "a.", "aa/", "b", "b/", "b/a", "b/a/", "B", "日", "none", "b/none", "b/z"} {
		want := slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return !strings.HasPrefix(k, prefix) })
		if diff := cmp.Diff(want, keysOf(t, l, prefix), cmpEmpty); diff != "" {
			t.Errorf("prefix %q (-want +got):\n%s", prefix, diff)
		}
	}
	for o, err := range l.List(t.Context(), "b/z") {
		if err != nil || o.Bytes != 3 || o.ModifiedAt.IsZero() || o.SHA256 != "" {
			t.Errorf("listed as %+v, %v", o, err)
		}
	}
	for _, err := range l.List(t.Context(), "") {
		Want(t, err, "")
		break // a caller may have seen enough
	}
}

var cmpEmpty = cmp.FilterValues(func(a, b []string) bool { return len(a) == 0 && len(b) == 0 }, cmp.Ignore())

func testLongList(t *testing.T, l lake.Store) {
	const n = 2500
	want := make([]string, n)
	var writers errgroup.Group
	writers.SetLimit(16)
	for i := range n {
		want[i] = fmt.Sprintf("shop.users/date=2026-11-20/run=%d/part-%05d.parquet", i%3, i)
		writers.Go(func() error {
			_, err := l.Put(t.Context(), want[i], strings.NewReader("x"))
			return err
		})
	}
	if err := writers.Wait(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, keysOf(t, l, "shop.users/")); diff != "" {
		t.Error(diff)
	}
}

func put(t *testing.T, l lake.Store, key, body string) {
	t.Helper()
	if _, err := l.Put(t.Context(), key, strings.NewReader(body)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, l lake.Store, key string) []byte {
	t.Helper()
	r, err := l.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

func keysOf(t *testing.T, l lake.Store, prefix string) (keys []string) {
	t.Helper()
	for o, err := range l.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}
