package warehouse

import (
	"fmt"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// The codes that every warehouse uses; docs/runbook.md explains them.
const (
	CodeSetting        elt.Code = "warehouse_setting"
	CodeBusy           elt.Code = "warehouse_busy"
	CodeRefused        elt.Code = "sql_refused"
	CodePartUnreadable elt.Code = "part_unreadable"
	CodeSeedUnreadable elt.Code = "seed_unreadable"
	CodeSchemaChanged  elt.Code = "schema_changed"
	CodeSchemaInvalid  elt.Code = "schema_invalid"
	CodeDuplicateKey   elt.Code = "duplicate_key"
	CodeKeyMissing     elt.Code = "key_missing"
	CodeStagingMissing elt.Code = "staging_missing"
	CodePublished      elt.Code = "already_published"
	CodeStaleFence     elt.Code = "stale_fence"
	CodeRelationTaken  elt.Code = "relation_taken"
	CodeNotKept        elt.Code = "version_not_kept"
	CodeNotBuilt       elt.Code = "relation_not_built"
	CodeTakenWrong     elt.Code = "relation_changed"
)

// Busy says that somebody else's change came between: time alone mends it.
func Busy(what string) error {
	return &elt.Error{Code: CodeBusy, Class: elt.Transient, What: what, Do: "nothing: the step is tried again"}
}

// SchemaChanged says which columns cannot be merged into a published relation; nil when nothing differs.
func SchemaChanged(d elt.DatasetName, diff []string) error {
	if len(diff) == 0 {
		return nil
	}
	return &elt.Error{
		Code: CodeSchemaChanged, Class: elt.Data,
		What: fmt.Sprintf("the columns of %s changed since it was published: %s", d, strings.Join(diff, "; ")),
		Do: "take the change back, or load it whole again: a full refresh for a model, whose on_schema_change may also allow it; " +
			"for a table make it mode full for one night: daybreak run --again, and back to incremental",
	}
}

// IsView says that a dataset is published as a view, which has no rows that others could join.
func IsView(d elt.DatasetName) error {
	return &elt.Error{
		Code: CodeSchemaChanged, Class: elt.Data,
		What: fmt.Sprintf("%s is published as a view, and rows cannot be merged into a view", d),
		Do:   "build it whole once: a full refresh",
	}
}

// NeedsKey says that a model's strategy needs a key that it does not declare.
func NeedsKey(b elt.Build) error {
	return &elt.Error{
		Code: CodeKeyMissing, Class: elt.Config,
		What: fmt.Sprintf("the strategy %s of %s needs a key", b.Strategy, b.Dataset),
		Do:   "declare unique_key, or use the strategy append",
	}
}

// HasColumns reports an error key_missing when the key names a column that is not there.
func HasColumns(d elt.DatasetName, columns elt.Schema, key []string) error {
	for _, k := range key {
		if _, ok := columns.Column(k); !ok {
			return &elt.Error{
				Code: CodeKeyMissing, Class: elt.Config,
				What: fmt.Sprintf("%s has no column %q, which its key names", d, k),
				Do:   "correct the key; the columns are " + strings.Join(columns.Names(), ", "),
			}
		}
	}
	return nil
}

// DuplicateKey says that several rows of what was brought share a key: one such value, how many rows have it, and how
// many such values there are.
func DuplicateKey(d elt.DatasetName, key []string, value string, rows, values int64) error {
	return &elt.Error{
		Code: CodeDuplicateKey, Class: elt.Data,
		What: fmt.Sprintf("%s brings %d rows with the key (%s) = (%s); %d keys come more than once", d, rows, strings.Join(key, ", "), value, values),
		Do:   "declare a key that is unique, or remove the duplicates",
	}
}

// StagingMissing says that a run has nothing staged for a dataset.
func StagingMissing(run elt.RunID, d elt.DatasetName) error {
	return &elt.Error{
		Code: CodeStagingMissing, Class: elt.Data,
		What: fmt.Sprintf("run %s has nothing staged for %s; a newer night may have cleaned it up", run, d),
		Do:   "start the run again from its load",
	}
}

// Published says that a run has published a dataset, and stages nothing for it any more.
func Published(run elt.RunID, d elt.DatasetName) error {
	return &elt.Error{
		Code: CodePublished, Class: elt.Conflict,
		What: fmt.Sprintf("run %s has published %s already", run, d),
		Do:   "nothing: what is published stays; start another run to load it again",
	}
}

// StaleFence refuses a worker that was overtaken.
func StaleFence(what string) error {
	return &elt.Error{Code: CodeStaleFence, Class: elt.Conflict, What: what, Do: "nothing: a newer worker has published; this one stops"}
}

// PublishedUnder is the StaleFence of a dataset that was published under a higher fence.
func PublishedUnder(d elt.DatasetName, fence, seen int64) error {
	return StaleFence(fmt.Sprintf("cannot publish %s under fence %d: it was published under fence %d since", d, fence, seen))
}

// RelationTaken says that somebody else keeps a relation, of that kind, under a name that is to be published.
func RelationTaken(relation, kind string) error {
	return &elt.Error{
		Code: CodeRelationTaken, Class: elt.Config,
		What: fmt.Sprintf("cannot publish %s: the warehouse has a %s of that name which Daybreak did not make", relation, kind),
		Do:   fmt.Sprintf("rename or drop the %s, or publish under another name", kind),
	}
}

// NotKept says that a version cannot be restored; oldest is the first that can be, or empty.
func NotKept(id, oldest elt.VersionID, do string) error {
	if oldest != "" {
		do = fmt.Sprintf("the oldest that can be restored is %s; %s", oldest, do)
	}
	return &elt.Error{
		Code: CodeNotKept, Class: elt.Data,
		What: fmt.Sprintf("the warehouse has not kept what it takes to restore %s", id), Do: do,
	}
}

// NotBuilt says that a program which was lent the warehouse did not leave what it reported.
func NotBuilt(r elt.Exchange) error {
	return &elt.Error{
		Code: CodeNotBuilt, Class: elt.Data,
		What: fmt.Sprintf("%s was reported as built, but there is no relation %s.%s", r.Dataset, r.Schema, r.Name),
		Do:   "use a materialization that leaves a relation of the model's own name",
	}
}

// Extent is how much of a relation there is.
type Extent struct {
	Rows    int64
	Columns int
}

// TakenWrong says that what a program left is not what was taken.
func TakenWrong(d elt.DatasetName, before, after Extent, do string) error {
	return &elt.Error{
		Code: CodeTakenWrong, Class: elt.Data,
		What: fmt.Sprintf("%s changed while it was taken back: %d rows of %d columns became %d of %d", d, before.Rows, before.Columns, after.Rows, after.Columns),
		Do:   do,
	}
}
