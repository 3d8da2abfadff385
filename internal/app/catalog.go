package app

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
	"github.com/daybreak-data/daybreak/schedules"
	"github.com/daybreak-data/daybreak/transform"
)

// catalog is everything that the workspace's files say about datasets: the tables of its schedules and the
// models and seeds of its SQL, each with the schedule that brings it.
type catalog struct {
	datasets  []elt.Dataset // in dependency order
	schedules map[elt.ScheduleName]*schedules.Schedule
	tables    map[elt.DatasetName]elt.Extraction
	byName    map[elt.DatasetName]elt.Dataset
	project   project
}

// newCatalog joins the schedules with the project and says what does not fit together: a model that no schedule
// builds, or two build. where is the folder of the models, as people write it.
func newCatalog(scheds []*schedules.Schedule, project project, where string) (*catalog, elt.Problems) {
	c := &catalog{
		schedules: make(map[elt.ScheduleName]*schedules.Schedule),
		tables:    make(map[elt.DatasetName]elt.Extraction),
		byName:    make(map[elt.DatasetName]elt.Dataset),
		project:   project,
	}
	var problems elt.Problems
	var all []elt.Dataset
	docs := project.TableDocs()
	builtBy := make(map[elt.DatasetName]*schedules.Schedule)
	for _, s := range scheds {
		c.schedules[s.Name] = s
		for _, t := range s.Tables {
			c.tables[t.Dataset] = t.Extraction
			all = append(all, tableDataset(s, t, docs[t.Dataset]))
		}
		selected, err := selectModels(project, s)
		if err != nil {
			problems = append(problems, elt.Problem{File: s.File, Line: 1, Code: elt.CodeOf(err), What: err.Error(), Do: elt.NewFailure(err).Do})
		}
		for _, name := range selected {
			if other := builtBy[name]; other != nil {
				problems = append(problems, elt.Problem{
					File: s.File, Line: 1, Code: "two_schedules",
					What: fmt.Sprintf("model %s is built by %s already", name, other.File),
					Do:   "select it in one of the two schedules only",
				})
				continue
			}
			builtBy[name] = s
		}
	}
	for _, d := range project.Datasets() {
		s := builtBy[d.Name]
		if s == nil {
			problems = append(problems, elt.Problem{
				File: "schedules", Code: "model_without_schedule", Warning: true,
				What: fmt.Sprintf("model %s is built by no schedule", d.Name),
				Do:   "select it under models: of a schedule",
			})
			continue
		}
		d.Schedule, d.Zone = s.Name, s.Zone.String()
		d.DeadlineTime = cmp.Or(d.DeadlineTime, s.Deadline)
		if len(d.Owners) == 0 {
			d.Owners = s.Owners
		}
		if len(d.Owners) < 2 {
			problems = append(problems, oneOwner(d, where))
		}
		if err := s.CheckDeadline(d.DeadlineTime); d.DeadlineTime != "" && err != nil {
			problems = append(problems, elt.Problem{
				File: where, Code: err.Code, What: fmt.Sprintf("the deadline of %s: %v", d.Name, err), Do: err.Do,
			})
		}
		all = append(all, d)
	}
	c.datasets = elt.InOrder(all)
	for _, d := range c.datasets {
		c.byName[d.Name] = d
	}
	return c, append(problems, c.waits(scheds)...)
}

// waits says what is wrong with the datasets that schedules wait for: ones that nobody brings, their own, and circles.
func (c *catalog) waits(scheds []*schedules.Schedule) (problems elt.Problems) {
	graph := make([]elt.Dataset, 0, len(scheds)) // schedules as if they were made from one another
	for _, s := range scheds {
		node := elt.Dataset{Name: elt.DatasetName(s.Name)}
		for _, name := range s.WaitFor.Datasets {
			d, known := c.byName[name]
			switch {
			case !known:
				problems = append(problems, elt.Problem{File: s.File, Line: 1, Code: "bad_wait_for", What: fmt.Sprintf("it waits for %s, which no schedule brings", name), Do: yamlfile.Suggest(string(name), c.names())})
			case d.Schedule == s.Name:
				problems = append(problems, elt.Problem{File: s.File, Line: 1, Code: "bad_wait_for", What: fmt.Sprintf("it waits for %s, which it brings itself", name), Do: "remove it from wait_for: within one schedule the order follows by itself"})
			default:
				node.Inputs = append(node.Inputs, elt.DatasetName(d.Schedule))
			}
		}
		graph = append(graph, node)
	}
	seen := make(map[elt.DatasetName]bool)
	for _, node := range elt.InOrder(graph) {
		if slices.ContainsFunc(node.Inputs, func(in elt.DatasetName) bool { return !seen[in] }) {
			s := c.schedules[elt.ScheduleName(node.Name)]
			problems = append(problems, elt.Problem{File: s.File, Line: 1, Code: "bad_wait_for", What: fmt.Sprintf("schedule %s waits for one that waits for it", s.Name), Do: "remove one of the two wait_for"})
		}
		seen[node.Name] = true
	}
	return problems
}

func oneOwner(d elt.Dataset, where string) elt.Problem {
	return elt.Problem{
		File: where, Code: "one_owner", Warning: true,
		What: fmt.Sprintf("%s has %s: when that one is away, nobody looks after it", d.Name, plural(len(d.Owners), "owner")),
		Do:   "name two or more under meta.owners of its schema.yml, or under owners of its schedule",
	}
}

// selectModels returns the models and seeds that the schedule builds; a schedule that names none builds none.
func selectModels(project project, s *schedules.Schedule) ([]elt.DatasetName, error) {
	if len(s.Models) == 0 {
		return nil, nil
	}
	return project.Select(s.Models)
}

// tableDataset is the catalogue entry of an extracted table: its schedule says how it is brought, schema.yml what
// it means.
func tableDataset(s *schedules.Schedule, t schedules.Table, doc transform.TableDoc) elt.Dataset {
	return elt.Dataset{
		Name: t.Dataset, Kind: elt.TableDataset, Schedule: s.Name,
		Description: cmp.Or(t.Description, doc.Description),
		Owners:      t.Owners, Tags: t.Tags, Columns: doc.Columns,
		Relation: string(t.Dataset), Materialized: string(t.Mode),
		DeadlineTime: t.Deadline, Zone: s.Zone.String(),
	}
}

// of returns the datasets that the schedule brings, in dependency order.
func (c *catalog) of(s elt.ScheduleName) []elt.Dataset {
	return slices.DeleteFunc(slices.Clone(c.datasets), func(d elt.Dataset) bool { return d.Schedule != s })
}

// table returns how the dataset is extracted. A run that outlived its configuration meets the error.
func (c *catalog) table(d elt.DatasetName) (elt.Extraction, error) {
	t, ok := c.tables[d]
	if !ok {
		return t, &elt.Error{
			Code: "dataset_retired", Class: elt.Config,
			What: fmt.Sprintf("%s is a step of the run, but no schedule brings it any more", d),
			Do:   "put it back into a schedule, or let the run end without it",
		}
	}
	return t, nil
}

// anyDate reports whether any date of the dataset can be brought at any time: its rows say to which date they belong.
func (c *catalog) anyDate(d elt.Dataset) bool {
	return d.Materialized == string(elt.Incremental) && c.tables[d.Name].OverlapNumbers == nil
}

// zone returns the zone of the dataset's data dates.
func (c *catalog) zone(d elt.DatasetName) *time.Location {
	if s := c.schedules[c.byName[d].Schedule]; s != nil {
		return s.Zone
	}
	return time.UTC
}

// layout returns how the dataset's published table is arranged.
func (c *catalog) layout(d elt.DatasetName) elt.Layout {
	if t, ok := c.tables[d]; ok {
		return t.Layout
	}
	return c.project.Layout(d)
}

func (c *catalog) relation(d elt.DatasetName) string { return c.byName[d].Relation }

// tests reports whether the dataset has tests of its own, and which other datasets they read.
func (c *catalog) tests(d elt.DatasetName) (reads []elt.DatasetName, has bool) {
	return c.project.TestNeeds(d), len(c.project.Tests(d)) > 0
}

// names returns the names of all datasets, for messages that say what there is.
func (c *catalog) names() []string {
	out := make([]string, len(c.datasets))
	for i, d := range c.datasets {
		out[i] = string(d.Name)
	}
	return out
}

// unknown is the error of a dataset that nobody knows.
func (c *catalog) unknown(name string) error {
	return &elt.Error{
		Code: "dataset_unknown", Class: elt.Config,
		What: fmt.Sprintf("there is no dataset %q", name), Do: yamlfile.Suggest(name, c.names()),
	}
}
