package status

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

// mostDays is how many days one answer may span: the ledger's own retention.
const mostDays = 400

// mostTroubles is how many root causes the summary tells, so that a night in which nothing came weighs little.
const mostTroubles = 100

func (s *Service) getSummary(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	n := v.night
	body := &api.Summary{
		Title: s.opts.Title, Version: s.opts.Version, Sentence: n.sentence, Detail: n.detail, Date: n.date,
		Datasets: n.datasets, Counts: n.counts, Trouble: n.trouble[:min(mostTroubles, len(n.trouble))], Troubles: len(n.trouble), Next: n.next,
	}
	if body.Trouble == nil {
		body.Trouble = []api.Trouble{}
	}
	return s.answer(c, v, true, body, &body.Meta)
}

// selection is which datasets a list shows; the page and the API read the same parameters.
type selection struct{ query, owner, state, mine string }

func selectionOf(c echo.Context) (selection, error) {
	sel := selection{query: strings.TrimSpace(c.QueryParam("q")), owner: strings.TrimSpace(c.QueryParam("owner")), state: c.QueryParam("state"), mine: c.QueryParam("mine")}
	if c.QueryParams().Has("state") && sel.state != attention && !slices.Contains(enums[dayStateType], sel.state) {
		return sel, badRequest("state=%q is neither %s nor a state of a day: %s", shortened(sel.state), attention, strings.Join(enums[dayStateType], ", "))
	}
	return sel, nil
}

// attention selects what a person should look at.
const attention = "attention"

func (sel selection) matches(set *dataset) bool {
	if sel.owner != "" && !slices.ContainsFunc(set.Owners, func(o string) bool { return strings.EqualFold(o, sel.owner) }) {
		return false
	}
	if sel.mine != "" && !set.isOneOf(sel.mine) {
		return false
	}
	switch d := set.headline.Latest; {
	case sel.state == attention && d.Severity() < 2 && d.State != elt.DayRetrying && len(set.gaps) == 0:
		return false
	case sel.state != "" && sel.state != attention && string(d.State) != sel.state:
		return false
	}
	if sel.query == "" {
		return true
	}
	text := strings.ToLower(strings.Join(append([]string{string(set.Name), strings.ReplaceAll(string(set.Name), "_", " "), set.Description, set.Relation}, append(set.Tags, set.Owners...)...), "\n"))
	for word := range strings.FieldsSeq(strings.ToLower(sel.query)) {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// isOneOf reports whether a list with commas names the dataset, or one of its owners.
func (set *dataset) isOneOf(list string) bool {
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if name == string(set.Name) || slices.ContainsFunc(set.Owners, func(o string) bool { return strings.EqualFold(o, name) }) {
			return true
		}
	}
	return false
}

func (s *Service) getDatasets(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	limit, err := limitParam(c, 100, 1000)
	if err != nil {
		return err
	}
	sel, err := selectionOf(c)
	if err != nil {
		return err
	}
	after := c.QueryParam("cursor")
	if after != "" && !datasetText.MatchString(after) {
		return badRequest("cursor=%q is not one that this list gave", shortened(after))
	}
	body := &api.Datasets{Datasets: []api.Dataset{}}
	for _, set := range v.live() {
		if string(set.Name) <= after || !sel.matches(set) {
			continue
		}
		if len(body.Datasets) == limit {
			body.Next = string(body.Datasets[limit-1].Name)
			break
		}
		body.Datasets = append(body.Datasets, v.datasetBody(set))
	}
	return s.answer(c, v, true, body, &body.Meta)
}

func (v view) datasetBody(set *dataset) api.Dataset {
	head, detail := v.describeDataset(set)
	d := api.Dataset{Dataset: set.Dataset, Sentence: head, Detail: detail, Headline: set.headline, Usually: set.usual, Feeds: set.feeds}
	d.Estimate, d.EstimateRecord = v.estimateBody(set.headline.Latest), v.record(set.Name)
	if d.Owners == nil {
		d.Owners = []string{}
	}
	if st := set.step; st != nil && st.State == elt.StepRunning {
		d.Progress = &api.Progress{Step: st.Kind, Progress: st.Progress}
		if st.Attempt == 1 { // a later attempt began at a time that the board does not know
			d.Progress.RowsPerSecond, d.Progress.BytesPerSecond = rates(st.Progress, v.at.Sub(st.StartedAt))
		}
	}
	return d
}

func rates(p elt.Progress, d time.Duration) (rows, bytes float64) {
	if seconds := d.Seconds(); seconds >= 1 {
		return float64(p.Rows) / seconds, float64(p.Bytes) / seconds
	}
	return 0, 0
}

func (s *Service) getDataset(c echo.Context) error {
	v, set, err := s.lookAt(c)
	if err != nil {
		return err
	}
	body := &api.OneDataset{Dataset: v.datasetBody(set)}
	held := s.heldOf(c.Request().Context(), v, set)
	body.Fidelity, body.Quarantined, body.SchemaChanges = held.uses, held.quarantined, held.changes
	return s.answer(c, v, true, body, &body.Meta)
}

func (s *Service) getDays(c echo.Context) error {
	v, set, err := s.lookAt(c)
	if err != nil {
		return err
	}
	to := elt.DateOf(v.at.In(set.zone))
	if text := c.QueryParam("to"); c.QueryParams().Has("to") {
		if to, err = dateText("to", text); err != nil {
			return err
		}
	}
	from := to.AddDays(-89)
	if text := c.QueryParam("from"); c.QueryParams().Has("from") {
		if from, err = dateText("from", text); err != nil {
			return err
		}
	}
	if from.After(to) || to.DaysSince(from) >= mostDays {
		return badRequest("from=%s to=%s is not a range of 1 to %d days", from, to, mostDays)
	}
	body := &api.Days{Dataset: set.Name, From: from, To: to, Days: []elt.DayStatus{}}
	within := v.covers(from) && v.covers(to)
	snap := v.snapshot
	if !within {
		if snap, err = s.older(c.Request().Context(), v, from, to); err != nil {
			return err
		}
	}
	body.Days = append(body.Days, snap.history(set, from, to)...)
	return s.answer(c, v, within, body, &body.Meta)
}

// older reads a range that the snapshot does not hold. Requests for the same range share the reading.
func (s *Service) older(ctx context.Context, v view, from, to elt.Date) (*snapshot, error) {
	key := fmt.Sprintf("%s %s %d", from, to, v.revision)
	got, err, _ := s.feed.flight.Do(key, func() (any, error) {
		// The reading is shared with others: it does not end when this client leaves.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		facts, err := s.opts.Ledger.Facts(ctx, from, to)
		if err != nil {
			return nil, err
		}
		return newSnapshot(reading{revision: facts.Revision, at: facts.Now, board: elt.NewAlmanac(facts), fetched: v.fetched}, nil, v.ticks, v.location), nil
	})
	if err != nil {
		return nil, ledgerAway(err)
	}
	snap, ok := got.(*snapshot)
	if !ok {
		return nil, fmt.Errorf("a shared reading gave %T", got)
	}
	return snap, nil
}

// dayView finds a day, in the snapshot or in the ledger, with the snapshot that explains it.
func (s *Service) dayView(ctx context.Context, v view, set *dataset, date elt.Date) (elt.DayStatus, *snapshot, error) {
	snap := v.snapshot
	if !v.covers(date) {
		var err error
		if snap, err = s.older(ctx, v, date, date); err != nil {
			return elt.DayStatus{}, nil, err
		}
	}
	d, ok := snap.day(set.Name, date)
	if !ok {
		return d, nil, refuse(http.StatusNotFound, codeDayUnknown, fmt.Sprintf("nothing is known of %s on %s", set.Name, date), fmt.Sprintf("see /v1/datasets/%s/days for the days that are known", set.Name))
	}
	return d, snap, nil
}

func (s *Service) getDay(c echo.Context) error {
	v, set, err := s.lookAt(c)
	if err != nil {
		return err
	}
	date, err := dateText("date", c.Param("date"))
	if err != nil {
		return err
	}
	body, err := s.dayBody(c.Request().Context(), v, set, date)
	if err != nil {
		return err
	}
	return s.answer(c, v, false, body, &body.Meta)
}

// dayBody gathers what happened on a day: from the board, and from the ledger the steps and the manifest.
func (s *Service) dayBody(ctx context.Context, v view, set *dataset, date elt.Date) (*api.Day, error) {
	d, snap, err := s.dayView(ctx, v, set, date)
	if err != nil {
		return nil, err
	}
	body := &api.Day{DayStatus: d, Estimate: snap.estimateBody(d), Steps: []api.Step{}}
	body.Sentence, body.Detail = snap.describeDay(set, d)
	var version elt.Version
	if d.Version != "" {
		if version, err = s.opts.Ledger.Version(ctx, d.Version); err != nil {
			return nil, ledgerAway(err)
		}
		body.Manifest = version.Manifest
		for name, read := range version.Inputs {
			in := api.Input{Dataset: name, Read: read}
			if current, ok := snap.day(name, d.Date); ok {
				in.Current = current.Version
			}
			body.Inputs = append(body.Inputs, in)
		}
		slices.SortFunc(body.Inputs, func(a, b api.Input) int { return strings.Compare(string(a.Dataset), string(b.Dataset)) })
	}
	run := d.Run
	if run == "" {
		run = version.Run
	}
	if run != "" {
		steps, err := s.opts.Ledger.Steps(ctx, run)
		if err != nil {
			return nil, ledgerAway(err)
		}
		for _, st := range steps {
			if st.Dataset != d.Dataset && st.Dataset != "" {
				continue
			}
			full, err := s.stepBody(ctx, st, v.at)
			if err != nil {
				return nil, err
			}
			body.Steps = append(body.Steps, full)
			if st.Kind != elt.ExtractStep { // what that notes is no check
				body.Checks = append(body.Checks, st.Result.Notes...)
			}
			if st.Kind == elt.ExtractStep && body.Manifest == "" {
				body.Manifest = st.Result.Manifest
			}
		}
	}
	if body.Manifest != "" {
		m, err := s.opts.Ledger.Manifest(ctx, body.Manifest)
		if err != nil {
			return nil, ledgerAway(err)
		}
		body.Source = sourceFacts(m)
	}
	return body, nil
}

func sourceFacts(m *elt.Manifest) *api.SourceFacts {
	f := &api.SourceFacts{
		SourcePosition: m.Source, Mode: m.Mode, Window: m.Window, Numbers: m.Numbers, Parts: len(m.Parts),
		NullCursors: m.NullCursors, NullPolicy: m.NullPolicy, Uncompared: m.Uncompared,
		Rows: m.Rows(), Bytes: m.Bytes(), Columns: len(m.Schema),
		MaskKey: m.MaskKey, Fidelity: m.Fidelity, Quarantined: m.SetAside(), SchemaChanges: m.Changes,
	}
	if m.Keys != nil {
		f.Keys = m.Keys.Rows()
	}
	for _, col := range m.Schema {
		if col.Masked != "" {
			f.Masked = append(f.Masked, col.Name+" ("+col.Masked+")")
		}
	}
	return f
}

func (s *Service) getLineage(c echo.Context) error {
	v, set, err := s.lookAt(c)
	if err != nil {
		return err
	}
	body := v.lineageOf(set)
	return s.answer(c, v, true, body, &body.Meta)
}

// lineageOf walks both ways from a dataset.
func (s *snapshot) lineageOf(set *dataset) *api.Lineage {
	distance := map[elt.DatasetName]int{set.Name: 0}
	walk := func(step int, neighbours func(*dataset) []elt.DatasetName) {
		queue := []elt.DatasetName{set.Name}
		for len(queue) > 0 {
			at := queue[0]
			queue = queue[1:]
			for _, name := range neighbours(s.byName[at]) {
				if _, seen := distance[name]; !seen && s.byName[name] != nil {
					distance[name] = distance[at] + step
					queue = append(queue, name)
				}
			}
		}
	}
	walk(-1, func(d *dataset) []elt.DatasetName { return d.Inputs })
	walk(1, func(d *dataset) []elt.DatasetName { return d.feeds })
	body := &api.Lineage{Dataset: set.Name, Nodes: []api.LineageNode{}, Edges: []api.LineageEdge{}}
	for _, d := range s.sets {
		at, ok := distance[d.Name]
		if !ok {
			continue
		}
		body.Nodes = append(body.Nodes, api.LineageNode{Dataset: d.Name, Kind: d.Kind, State: d.headline.Latest.State, Distance: at})
		for _, in := range d.Inputs {
			if _, ok := distance[in]; ok {
				body.Edges = append(body.Edges, api.LineageEdge{From: in, To: d.Name})
			}
		}
	}
	return body
}
