package status

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

// answer writes a resource. Its ETag is a digest of the resource without its age, so that it changes
// when the resource does and a change elsewhere wakes nobody. What follows from the snapshot alone is
// digested once for each snapshot.
func (s *Service) answer(c echo.Context, v view, fromSnapshot bool, body any, meta *api.Meta) error {
	key := c.Request().URL.RequestURI()
	var tag string
	if fromSnapshot {
		tag = v.etags.of(key)
	}
	if tag == "" {
		*meta = api.Meta{}
		bare, err := encode(body)
		if err != nil {
			return fmt.Errorf("encode %s: %w", c.Path(), err)
		}
		sum := sha256.Sum256(bare)
		// Weak: the body's age differs from one answer to the next, the resource doesn't.
		tag = `W/"` + hex.EncodeToString(sum[:10]) + `"`
		if fromSnapshot {
			v.etags.keep(key, tag)
		}
	}
	if matches(c.Request().Header.Get("If-None-Match"), tag) {
		return notModified(c, tag)
	}
	describe(c, tag)
	*meta = v.meta()
	return s.write(c, body)
}

// unchanged answers a poller that has what the snapshot says already, before anything is built for it.
func (s *Service) unchanged(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		header := c.Request().Header.Get("If-None-Match")
		if v, ok := s.current(); ok && header != "" {
			if tag := v.etags.of(c.Request().URL.RequestURI()); tag != "" && matches(header, tag) {
				return notModified(c, tag)
			}
		}
		return next(c)
	}
}

func notModified(c echo.Context, tag string) error {
	describe(c, tag)
	return c.NoContent(http.StatusNotModified)
}

func describe(c echo.Context, tag string) {
	h := c.Response().Header()
	h.Set("ETag", tag)
	h.Set("Cache-Control", "no-cache")
	h.Set("Vary", "Accept-Encoding, Authorization, Cookie")
}

// tags are the ETags of a snapshot's resources by path and query. There are at most mostTags: whoever asks
// for ever new queries makes the service slower for themselves and not larger.
type tags struct {
	mu sync.Mutex
	m  map[string]string
}

const mostTags = 10_000

func (t *tags) of(uri string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.m[uri]
}

func (t *tags) keep(uri, tag string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m == nil {
		t.m = make(map[string]string)
	}
	if len(t.m) < mostTags {
		t.m[uri] = tag
	}
}

// write sends a body that is not cached.
func (s *Service) write(c echo.Context, body any) error {
	b, err := encode(body)
	if err != nil {
		return fmt.Errorf("encode %s: %w", c.Path(), err)
	}
	return c.Blob(http.StatusOK, "application/json; charset=utf-8", b)
}

func encode(body any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(body)
	return buf.Bytes(), err
}

// matches compares an If-None-Match header with a tag, weakly as RFC 9110 asks of it.
func matches(header, tag string) bool {
	bare := strings.TrimPrefix(tag, "W/")
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimSpace(candidate)
		if candidate == "*" || strings.TrimPrefix(candidate, "W/") == bare {
			return true
		}
	}
	return false
}

func badRequest(format string, args ...any) *problem {
	return refuse(http.StatusBadRequest, codeBadRequest, fmt.Sprintf(format, args...), "see /openapi.json for what is expected")
}

// lookAt returns the current view and the dataset of the path in it.
func (s *Service) lookAt(c echo.Context) (view, *dataset, error) {
	v, err := s.look(c)
	if err != nil {
		return v, nil, err
	}
	name := elt.DatasetName(c.Param("dataset"))
	if set := v.byName[name]; set != nil {
		return v, set, nil
	}
	return v, nil, refuse(http.StatusNotFound, codeDatasetUnknown, fmt.Sprintf("there is no dataset %q", shortened(string(name))), "see /v1/datasets for those that there are")
}

// dateText parses a date of a path or query, naming the parameter when it cannot be one.
func dateText(name, text string) (elt.Date, error) {
	d, err := elt.ParseDate(text)
	if err != nil || d.Year < 1970 || d.Year > 9998 {
		return elt.Date{}, badRequest("%s=%q is not a date: write it as 2026-01-05", name, shortened(text))
	}
	return d, nil
}

// limitParam returns ?limit=, the default when it is absent.
func limitParam(c echo.Context, standard, most int) (int, error) {
	text := c.QueryParam("limit")
	if text == "" {
		return standard, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, badRequest("limit=%q is not a number from 1 to %d", shortened(text), most)
	}
	return n, nil
}

// shortened keeps an answer from echoing what is unreasonably long.
func shortened(text string) string {
	if len(text) > 80 {
		return strings.ToValidUTF8(text[:80], "") + "…"
	}
	return strings.ToValidUTF8(text, "�")
}
