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
	"time"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

// answer writes a resource. Its ETag is a digest of the resource without its age, so that it changes
// when the resource does and a change elsewhere wakes nobody. What follows from the snapshot alone is
// made once for each snapshot, and answered from its bytes afterwards.
func (s *Service) answer(c echo.Context, v view, fromSnapshot bool, body any, meta *api.Meta) error {
	*meta = api.Meta{}
	bare, err := encode(body)
	if err != nil {
		return fmt.Errorf("encode %s: %w", c.Path(), err)
	}
	rest, ok := bytes.CutPrefix(bare, noAge)
	if !ok {
		return fmt.Errorf("encode %s: the body does not begin with its age", c.Path())
	}
	sum := sha256.Sum256(bare)
	// Weak: the body's age differs from one answer to the next, the resource doesn't.
	a := answer{tag: `W/"` + hex.EncodeToString(sum[:10]) + `"`, rest: rest}
	a.tags = []string{a.tag}
	if fromSnapshot {
		a.reader, a.spared = s.readers[c.Path()], s.metrics.spared(c.Path())
		v.answers.keep(c.Request().URL.RequestURI(), a)
	}
	return a.write(c, v)
}

// unchanged answers a poller that has what the snapshot says already, or whose answer was made before, without
// anything being built for it. What is worth compressing is left to answered.
func (s *Service) unchanged(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if v, ok := s.current(); ok {
			a, made := v.answers.of(c.Request().URL.RequestURI())
			if made && (len(a.rest) < compressedFrom || matches(c.Request().Header.Get("If-None-Match"), a.tag)) {
				return a.write(c, v)
			}
		}
		return next(c)
	}
}

// answered answers what was made before.
func (s *Service) answered(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if v, ok := s.current(); ok {
			if a, made := v.answers.of(c.Request().URL.RequestURI()); made {
				return a.write(c, v)
			}
		}
		return next(c)
	}
}

// answer is a resource as it is sent: its age, and the rest, which is the same for everybody.
type answer struct {
	tag    string
	tags   []string // the same, as a header has it
	rest   []byte
	reader elt.Role // the least role that may ask for it
	spared spared
}

// compressedFrom is the size from which an answer is compressed for those who take it so: what is smaller fits into
// three packets as it is.
const compressedFrom = 4 << 10

// noAge is how a body begins that has no age yet.
var noAge = []byte(`{"as_of":"0001-01-01T00:00:00Z","evaluator_lag_s":0`)

func (a answer) write(c echo.Context, v view) error {
	h := c.Response().Header()
	h["Etag"] = a.tags
	h["Cache-Control"] = noCache
	h["Vary"] = varies
	if matches(c.Request().Header.Get("If-None-Match"), a.tag) {
		return c.NoContent(http.StatusNotModified)
	}
	h["Content-Type"] = jsonType
	c.Response().WriteHeader(http.StatusOK)
	b := append(make([]byte, 0, 128+len(a.rest)), `{"as_of":"`...)
	b = v.asOf.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","evaluator_lag_s":`...)
	b = strconv.AppendFloat(b, float64(v.lag.Milliseconds())/1000, 'f', -1, 64)
	_, err := c.Response().Write(append(b, a.rest...))
	return err
}

// Header values that never change; nobody writes to them.
var (
	noCache  = []string{"no-cache"}
	varies   = []string{"Accept-Encoding, Authorization, Cookie"}
	jsonType = []string{"application/json; charset=utf-8"}
)

// answers are a snapshot's resources by path and query. There are at most mostAnswers, of mostAnswered bytes together:
// whoever asks for ever new queries makes the service slower for themselves and not larger.
type answers struct {
	mu    sync.RWMutex
	m     map[string]answer
	bytes int
}

const (
	mostAnswers  = 10_000
	mostAnswered = 32 << 20
)

func (t *answers) of(uri string) (answer, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	a, ok := t.m[uri]
	return a, ok
}

func (t *answers) keep(uri string, a answer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m == nil {
		t.m = make(map[string]answer)
	}
	if len(t.m) < mostAnswers && t.bytes+len(a.rest) <= mostAnswered {
		t.m[uri] = a
		t.bytes += len(a.rest)
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
	return v, nil, v.noDataset(string(name))
}

// noDataset refuses a name that is no dataset's, with the one that was most likely meant.
func (v view) noDataset(name string) *problem {
	known := make([]string, len(v.sets))
	for i, set := range v.sets {
		known[i] = string(set.Name)
	}
	do := "see /v1/datasets, or daybreak ls, for those that there are"
	if near := elt.Closest(name, known); near != "" {
		do = fmt.Sprintf("did you mean %q?", near)
	}
	return refuse(http.StatusNotFound, codeDatasetUnknown, fmt.Sprintf("there is no dataset %q", shortened(name)), do)
}

// dateText parses a date of a path or query, naming the parameter when it cannot be one.
func dateText(name, text string) (elt.Date, error) {
	d, err := elt.ParseDate(text)
	if err != nil || !yearText.MatchString(text) {
		return elt.Date{}, badRequest("%s=%q is not a date: write it as 2026-01-05", name, shortened(text))
	}
	return d, nil
}

// limitParam returns ?limit=, the default when it is absent.
func limitParam(c echo.Context, standard, most int) (int, error) {
	text := c.QueryParam("limit")
	if !c.QueryParams().Has("limit") {
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

// yesParam returns whether a parameter is true; it is not when it is absent.
func yesParam(c echo.Context, name string) (bool, error) {
	switch text := c.QueryParam(name); {
	case text == "true":
		return true, nil
	case text == "false", !c.QueryParams().Has(name):
		return false, nil
	default:
		return false, badRequest("%s=%q is neither true nor false", name, shortened(text))
	}
}

// idParam returns the ID in the path, and refuses what cannot be one with the code of one that is not known.
func idParam(c echo.Context, name string) (string, error) {
	id := c.Param(name)
	if !idText.MatchString(id) {
		return "", refuse(http.StatusNotFound, elt.Code(name+"_unknown"), fmt.Sprintf("there is no %s %q", name, shortened(id)), "see /openapi.json for where they are listed")
	}
	return id, nil
}
