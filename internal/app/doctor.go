package app

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/lake"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery"
)

// verdictWord says how one thing that doctor looked at is.
type verdictWord string

// The verdicts.
const (
	fine     verdictWord = "ok"
	doubtful verdictWord = "warn"
	broken   verdictWord = "fail"
)

// finding is what doctor found out about one thing.
type finding struct {
	Check   string      `json:"check"` // "ledger", "source app"
	Verdict verdictWord `json:"result"`
	What    string      `json:"what"`
	Do      string      `json:"do,omitempty"`
	Code    elt.Code    `json:"code,omitempty"`
}

// mostSkew is how far two clocks may be apart: a tenth of a lease would already be felt in what the pages say.
const mostSkew = 3 * time.Second

func good(check, format string, args ...any) finding {
	return finding{Check: check, Verdict: fine, What: fmt.Sprintf(format, args...)}
}

func bad(check string, err error) finding {
	f := elt.NewFailure(err)
	return finding{Check: check, Verdict: broken, What: f.Message, Do: f.Do, Code: f.Code}
}

func doubt(check string, code elt.Code, what, do string) finding {
	return finding{Check: check, Verdict: doubtful, What: what, Do: do, Code: code}
}

// examine looks at everything at the same time, at each thing for no longer than limit, and tells of it in one order.
func examine(ctx context.Context, dir string, limit time.Duration, log *slog.Logger) []finding {
	ws, problems := readWorkspace(ctx, dir)
	found := []finding{ofFiles(ws, problems)}
	if slices.ContainsFunc(problems, unread) || ws.config == nil {
		return found
	}
	checks := []func(context.Context) []finding{
		func(context.Context) []finding { return ws.examineModes() },
		func(context.Context) []finding { return ws.examineDisks() },
		ws.examineLedger, ws.examineLake,
	}
	for _, name := range slices.Sorted(maps.Keys(ws.config.Sources)) {
		checks = append(checks, func(ctx context.Context) []finding { return ws.examineSource(ctx, name, log) })
	}
	checks = append(checks,
		func(ctx context.Context) []finding { return ws.examineWarehouse(ctx, log) },
		func(context.Context) []finding { return ws.examineZones() },
		func(ctx context.Context) []finding { return ws.examineWebhooks(ctx, limit/2) })
	results := make([][]finding, len(checks))
	var all sync.WaitGroup
	for i, check := range checks {
		all.Go(func() {
			within, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			results[i] = check(within)
			if errors.Is(within.Err(), context.DeadlineExceeded) {
				results[i] = silent(results[i], limit)
			}
		})
	}
	all.Wait()
	return slices.Concat(append([][]finding{found}, results...)...)
}

// silent says of what did not answer in time just that.
func silent(found []finding, limit time.Duration) []finding {
	for i, f := range found {
		if f.Code == elt.Interrupted {
			found[i] = finding{f.Check, broken, fmt.Sprintf("no answer within %s", limit), "check its address, and what lies between: name, firewall, proxy; --timeout waits for longer", "no_answer"}
		}
	}
	return found
}

func ofFiles(ws *workspace, problems elt.Problems) finding {
	wrong := 0
	for _, p := range problems {
		if !p.Warning {
			wrong++
		}
	}
	if wrong > 0 {
		first := problems[slices.IndexFunc(problems, func(p elt.Problem) bool { return !p.Warning })]
		return finding{"files", broken, plural(wrong, "problem") + ", the first is " + first.String(), "run daybreak check, and correct what it names", first.Code}
	}
	return good("files", "%s in %s, %s", plural(len(ws.catalog.datasets), "dataset"), plural(len(ws.schedules), "schedule"), plural(len(problems), "warning"))
}

// examineLedger opens the ledger as it is: doctor migrates nothing.
func (ws *workspace) examineLedger(ctx context.Context) []finding {
	if err := ws.hasLedger(); err != nil {
		return []finding{doubt("ledger", elt.CodeOf(err), "there is none yet", "nothing: the first daybreak run makes it")}
	}
	book, err := ledger.Open(ctx, ws.config.Ledger.Reveal(), slog.New(slog.DiscardHandler))
	if err != nil {
		return []finding{bad("ledger", err)}
	}
	defer book.Close() // it only reads
	before := time.Now()
	now, err := book.Now(ctx)
	if elt.CodeOf(err) == "ledger_older" {
		f := elt.NewFailure(err)
		return []finding{doubt("ledger", f.Code, f.Message, "daybreak ledger backup, and then "+f.Do)}
	}
	if err != nil {
		return []finding{bad("ledger", err)}
	}
	after := time.Now()
	running, err := book.Runs(ctx, elt.RunFilter{State: elt.RunRunning})
	if err != nil {
		return []finding{bad("ledger", err)}
	}
	return append([]finding{
		good("ledger", "answers in %s; %s under way", max(time.Since(before).Round(time.Millisecond), time.Millisecond), plural(len(running), "run")),
		skewed("ledger's clock", now, before, after),
	}, examineWorkers(ctx, book)...)
}

// skewed compares another clock with this machine's: when it was read by ours nobody knows better than that it was between
// the question and the answer, which may be long on a busy server.
func skewed(check string, theirs, asked, answered time.Time) finding {
	apart := min(theirs.Sub(asked), 0) + max(theirs.Sub(answered), 0)
	if apart.Abs() > mostSkew {
		way := map[bool]string{true: "ahead of", false: "behind"}[apart > 0]
		return doubt(check, "clock_skew", fmt.Sprintf("it is %s %s this machine's", apart.Abs().Round(time.Second), way), "set both clocks by NTP")
	}
	return good(check, "within %s of this machine's", mostSkew)
}

// examineLake does what a night relies on: an object is written once, never again, and comes back as it was.
func (ws *workspace) examineLake(ctx context.Context) []finding {
	store, err := openLake(ctx, ws)
	if err != nil {
		return []finding{bad("lake", err)}
	}
	if c, ok := store.(io.Closer); ok {
		defer c.Close() // everything that was written has been read again by then
	}
	return []finding{tryLake(ctx, store)}
}

func tryLake(ctx context.Context, store lake.Store) finding {
	const check = "lake"
	random := make([]byte, 8<<10)
	rand.Read(random) // never fails
	key := "_doctor/" + hex.EncodeToString(random[:8])
	if _, err := store.Stat(ctx, key); elt.CodeOf(err) != "object_missing" { // who is not there is found out without anything to tidy up
		return bad(check, cmp.Or(err, errors.New("the lake has an object that nobody wrote")))
	}
	put, err := store.Put(ctx, key, bytes.NewReader(random))
	if err != nil {
		return bad(check, err)
	}
	defer func() { _ = store.Delete(context.WithoutCancel(ctx), key) }() // below, its error is told
	if _, err := store.Put(ctx, key, strings.NewReader("another")); elt.CodeOf(err) != "object_exists" {
		return finding{check, broken, fmt.Sprintf("an object was written over: the store does not keep to conditional writes (%v)", err), "use a store that obeys If-None-Match: two workers could overwrite each other's parts", "lake_overwrites"}
	}
	body, err := store.Open(ctx, key)
	if err != nil {
		return bad(check, err)
	}
	got, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil {
		return bad(check, err)
	}
	if sum := sha256.Sum256(got); !bytes.Equal(got, random) || put.SHA256 != hex.EncodeToString(sum[:]) {
		return finding{check, broken, "an object came back otherwise than it was written", "do not use this store: look at its disks and at what lies between", "lake_damaged"}
	}
	if err := store.Delete(ctx, key); err != nil {
		return bad(check, err)
	}
	return good(check, "writes once, reads back bit by bit, deletes")
}

// examineSource asks for every declared table, and opens one snapshot for a moment.
func (ws *workspace) examineSource(ctx context.Context, name elt.SourceName, log *slog.Logger) []finding {
	check := "source " + string(name)
	source, err := openSource(name, ws.config.Sources[name], log)
	if err != nil {
		return []finding{bad(check, err)}
	}
	defer source.Close() // it was only read
	var tables []elt.Extraction
	for _, s := range ws.schedules {
		for _, t := range s.Tables {
			if t.Source == name {
				tables = append(tables, t.Extraction)
			}
		}
	}
	if len(tables) == 0 {
		return []finding{doubt(check, "source_unused", "no schedule reads it", "remove it, or read its tables in a schedule")}
	}
	x := extract.New(extract.Options{Sources: sources{name: source}, MaskKey: []byte(ws.config.Masking.Key.Reveal()), Log: log})
	wrong := slices.DeleteFunc(x.Check(ctx, tables, nil), func(p elt.Problem) bool { return p.Warning })
	if len(wrong) > 0 {
		return []finding{{check, broken, fmt.Sprintf("%s of %d: %s", plural(len(wrong), "problem"), len(tables), wrong[0].What), wrong[0].Do, wrong[0].Code}}
	}
	before := time.Now()
	snapshot, err := source.Open(ctx, tables[:1])
	if err != nil {
		return []finding{bad(check, err)}
	}
	defer snapshot.Close() // it was only looked at
	at := snapshot.Position()
	found := []finding{good(check, "%s; %s can be read", at.Server, plural(len(tables), "table")), skewed(check+"'s clock", at.TakenAt, before, time.Now())}
	if e, ok := source.(extract.Examiner); ok {
		risks, err := e.Examine(ctx)
		if err != nil {
			return append(found, bad(check, err))
		}
		for _, r := range risks {
			found = append(found, doubt(check, r.Code, r.What, r.Do))
		}
	}
	return found
}

// examineWarehouse opens what is published for reading; a night may go on meanwhile.
func (ws *workspace) examineWarehouse(ctx context.Context, log *slog.Logger) []finding {
	const check = "warehouse"
	cfg := ws.config.Warehouse
	if cfg.BigQuery != nil {
		return ws.examineBigQuery(ctx, log)
	}
	reader, err := openReader(ctx, cfg)
	if elt.CodeOf(err) == "read_copy_missing" && ws.hasLedger() != nil {
		return []finding{doubt(check, "read_copy_missing", "nothing is published yet", "nothing: the first daybreak run makes it")}
	}
	if err != nil {
		return []finding{bad(check, err)}
	}
	defer reader.Close() // it only read
	versions, err := reader.Versions(ctx)
	if err != nil {
		return []finding{bad(check, err)}
	}
	if len(versions) == 0 {
		return []finding{good(check, "readable; nothing is published yet")}
	}
	last := versions[len(versions)-1]
	return []finding{good(check, "readable; %s, the last of %s", plural(len(versions), "version"), last.Date)}
}

func (ws *workspace) examineBigQuery(ctx context.Context, log *slog.Logger) (found []finding) {
	const check = "warehouse"
	o := bigqueryOptions(ws, log)
	o.ReadOnly = true
	w, err := bigquery.Open(ctx, o)
	if err != nil {
		return []finding{bad(check, err)}
	}
	defer w.Close()                                                   // it only read
	if _, err := w.QueryColumns(ctx, "SELECT 1 AS one"); err != nil { // the right to run jobs
		return []finding{bad(check, err)}
	}
	versions, err := w.Versions(ctx)
	if err != nil {
		return []finding{bad(check, err)}
	}
	found = append(found, good(check, "%s in %s runs queries; %s", o.Project, o.Location, plural(len(versions), "version")))
	if b := ws.config.Warehouse.BigQuery.Budget; b.Night == "" && b.Model == "" && o.MaxBytesBilled == 0 {
		return append(found, doubt("budget", "budget_missing", "no night and no model has a budget", "set bigquery.budget, so that a wrong join costs a refusal and not a month's bill"))
	}
	return append(found, good("budget", "set"))
}

// examineZones says when each schedule is due next by its own clock.
func (ws *workspace) examineZones() (found []finding) {
	for _, s := range ws.schedules {
		now := time.Now().In(s.Zone)
		zone, offset := now.Zone()
		found = append(found, good("schedule "+string(s.Name), "%s, where it is %s now (%s, %+03d:%02d)", s.Zone, now.Format("15:04"), zone, offset/3600, offset%3600/60))
	}
	return found
}

// examineWebhooks connects to each destination within the limit, and sends nothing that it would tell anybody.
func (ws *workspace) examineWebhooks(ctx context.Context, limit time.Duration) (found []finding) {
	for _, d := range destinations(ws.config.Notify) {
		check := "webhook " + string(d.Name())
		if err := d.Reach(ctx, ws.config.Notify.AllowPrivate, limit); err != nil {
			found = append(found, bad(check, err))
			continue
		}
		found = append(found, good(check, "answers"))
	}
	nobody := len(found) == 0
	if ws.config.OpenLineage.URL != "" {
		if err := ws.lineage().Reach(ctx, ws.config.Notify.AllowPrivate, limit); err != nil {
			found = append(found, bad("openlineage", err))
		} else {
			found = append(found, good("openlineage", "answers"))
		}
	}
	if nobody {
		found = append(found, doubt("webhooks", "nobody_told", "nobody is told of incidents", "set notify.slack or notify.webhooks"))
	}
	return found
}
