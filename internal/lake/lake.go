package lake

import (
	"context"
	"io"
	"iter"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Store keeps objects by key. Every error is an *elt.Error, except that a cancelled context and a failing
// body come back as they are, wrapped.
type Store interface {
	// Put stores what body yields as a new object, and returns it with its size and SHA-256. The object
	// is there whole and durable when Put returns without error, and else it is not there at all; only if
	// the store cannot be reached any more may it have arrived unheard. A key that is taken is
	// object_exists, whatever it holds.
	Put(ctx context.Context, key string, body io.Reader) (elt.Object, error)
	// Open returns the object's bytes; object_missing if it isn't there. The caller closes the reader.
	Open(ctx context.Context, key string) (io.ReadCloser, error)
	// Stat returns the object with its SHA-256, for which it may have to read all of it.
	Stat(ctx context.Context, key string) (elt.Object, error)
	// List yields the objects whose keys begin with prefix, in the order of their keys' bytes and without
	// SHA256. It ends after an error.
	List(ctx context.Context, prefix string) iter.Seq2[elt.Object, error]
	// Delete removes the object; one that isn't there is no error.
	Delete(ctx context.Context, key string) error
}

// MaxKey is the longest key in bytes.
const MaxKey = 900

// maxElement is the longest name that file systems take, in bytes.
const maxElement = 255

// CheckKey returns an error unless key names an object in every store: relative, slash-separated, clean,
// UTF-8, with no element that is empty, too long, or begins with a dot.
func CheckKey(key string) error {
	switch {
	case key == "":
		return badKey(key, "it is empty")
	case len(key) > MaxKey:
		return badKey(key, "it is too long")
	case !utf8.ValidString(key):
		return badKey(key, "it is not UTF-8")
	case strings.ContainsFunc(key, unicode.IsControl):
		return badKey(key, "it holds a control character")
	case strings.Contains(key, `\`):
		return badKey(key, "it holds a backslash")
	case strings.HasPrefix(key, "/") || path.Clean(key) != key:
		return badKey(key, "it is not a clean relative path")
	}
	for element := range strings.SplitSeq(key, "/") {
		if strings.HasPrefix(element, ".") {
			return badKey(key, "an element begins with a dot")
		}
		if len(element) > maxElement {
			return badKey(key, "an element is too long")
		}
	}
	return nil
}
