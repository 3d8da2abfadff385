package bench

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/mysql"
	"github.com/daybreak-data/daybreak/extract/postgres"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/lake/disk"
)

// jobVariable carries a job to the process that is to do it.
const jobVariable = "DAYBREAK_BENCH_JOB"

// profileVariable names a folder for the CPU profiles of extractions, by table and connections; the last round's stay.
const profileVariable = "DAYBREAK_BENCH_PROFILE"

// job is what one process does and measures.
type job struct {
	URL, Table  string
	Statement   string
	Copies      bool
	Bulk        bool
	Connections int
	Level       elt.Level
	Lake        string // the folder that takes the Parquet; without it, nothing is kept
}

// child does the job and prints its measure.
func child(text string) int {
	var j job
	err := json.Unmarshal([]byte(text), &j)
	if err == nil {
		err = j.measure(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (j job) measure(ctx context.Context) error {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, started := ownCPU(), time.Now()
	m, err := j.do(ctx)
	if err != nil {
		return err
	}
	m.Wall, m.ClientCPU = time.Since(started), ownCPU()-cpu
	runtime.ReadMemStats(&after)
	m.Mallocs = after.Mallocs - before.Mallocs
	if m.PeakBytes, err = peak(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(m)
}

func (j job) do(ctx context.Context) (measure, error) {
	if j.Connections > 0 {
		return j.extract(ctx)
	}
	if j.ofMariaDB() {
		return j.discardMariaDB(ctx)
	}
	config, err := pgx.ParseConfig(j.URL)
	if err != nil {
		return measure{}, err
	}
	if j.Bulk {
		config.DialFunc = dialBulk
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return measure{}, err
	}
	if j.Copies {
		tag, err := conn.PgConn().CopyTo(ctx, io.Discard, "COPY "+j.Table+" TO STDOUT (FORMAT binary)")
		return measure{Rows: tag.RowsAffected()}, errors.Join(err, conn.Close(ctx))
	}
	tag, err := conn.Exec(ctx, fmt.Sprintf(j.Statement, j.Table))
	return measure{Rows: tag.RowsAffected()}, errors.Join(err, conn.Close(ctx))
}

// extract does all that a night does with a table, the lake's disk excepted.
func (j job) extract(ctx context.Context) (_ measure, err error) {
	if dir := os.Getenv(profileVariable); dir != "" {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%s-%d.pprof", j.Table, j.Connections)))
		if err != nil {
			return measure{}, err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return measure{}, err
		}
		defer pprof.StopCPUProfile()
	}
	source, table, err := j.source()
	if err != nil {
		return measure{}, err
	}
	var lake extract.Lake = nowhere{}
	if j.Lake != "" {
		if lake, err = disk.Open(j.Lake); err != nil {
			return measure{}, err
		}
	}
	x := extract.New(extract.Options{Sources: map[elt.SourceName]extract.Source{"shop": source}, Lake: lake})
	e := elt.Extraction{Dataset: elt.DatasetName("shop." + j.Table), Source: "shop", Table: table, Mode: elt.Full, Verify: j.Level}
	night := x.Begin("r1", []elt.Extraction{e}, []elt.Extraction{e})
	defer func() { err = errors.Join(err, night.Close()) }()
	m, err := night.Extract(ctx, extract.Job{Extraction: e, Run: "r1", Date: elt.Date{Year: 2026, Month: 1, Day: 5}, Attempt: 1}, func(elt.Progress) {})
	if err != nil {
		return measure{}, err
	}
	return measure{Rows: m.Rows(), Written: m.Bytes()}, nil
}

// source returns the source, and the table as it names it.
func (j job) source() (extract.Source, string, error) {
	if j.ofMariaDB() {
		s, err := mysql.New(mysql.Options{Name: "shop", URL: j.URL, Connections: j.Connections})
		return s, j.Table, err
	}
	s, err := postgres.New(postgres.Options{Name: "shop", URL: j.URL, Connections: 1 + j.Connections})
	return s, "public." + j.Table, err
}

// nowhere is a lake that takes each object's checksum, as every lake does, and keeps nothing.
type nowhere struct{}

func (nowhere) Put(_ context.Context, key string, body io.Reader) (elt.Object, error) {
	hash := sha256.New()
	n, err := io.Copy(hash, body)
	return elt.Object{Key: key, Bytes: n, SHA256: hex.EncodeToString(hash.Sum(nil))}, err
}

// ownCPU is how long this process, and what it ran, has used a processor.
func ownCPU() (all time.Duration) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err == nil {
			all += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return all
}

// peak is the most resident memory that this process has had.
func peak() (int64, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "kB")), 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New("the kernel does not tell this process's peak of memory")
}

// processTree is a PostgreSQL server's first process, which knows what its children took.
type processTree struct {
	proc  string
	usual int // how many children it has when nobody works in it
}

func newProcessTree(dataDirectory string, usual int) (*processTree, error) {
	b, err := os.ReadFile(filepath.Join(dataDirectory, "postmaster.pid"))
	if err != nil {
		return nil, err
	}
	pid, _, _ := bytes.Cut(b, []byte("\n"))
	return &processTree{proc: "/proc/" + string(pid), usual: usual}, nil
}

func (t *processTree) children() (int, error) {
	b, err := os.ReadFile(filepath.Join(t.proc, "task", filepath.Base(t.proc), "children"))
	return len(bytes.Fields(b)), err
}

// ended waits until the contender's sessions are gone, and returns what all ended children took together.
func (t *processTree) ended() (time.Duration, error) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		n, err := t.children()
		if err != nil {
			return 0, err
		}
		if n <= t.usual {
			break
		}
	}
	b, err := os.ReadFile(filepath.Join(t.proc, "stat"))
	if err != nil {
		return 0, err
	}
	// Behind the name in parentheses the fields count from 3; 16 and 17 are the children's ticks of 10 ms.
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	user, err := strconv.ParseInt(string(fields[16-3]), 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(string(fields[17-3]), 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, err
}
