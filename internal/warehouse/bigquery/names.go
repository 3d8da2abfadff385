package bigquery

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"cloud.google.com/go/bigquery"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Daybreak's own datasets; no dataset of people's can begin with _daybreak.
const (
	catalogDataset = "_daybreak"
	stagingSuffix  = "_staging"
)

// tableMark stands between a staging name and what tells the tables behind it apart. No dataset's name has a dash.
const tableMark = "--"

func (w *Warehouse) stagingDataset() string { return w.DatasetPrefix + catalogDataset + stagingSuffix }

// stagedID is the table under which the run stages the dataset: "nightly_2026_01_05-shop-users".
func stagedID(run elt.RunID, d elt.DatasetName) string {
	return runID(run) + "-" + strings.ReplaceAll(string(d), ".", "-")
}

func runID(run elt.RunID) string { return strings.ReplaceAll(string(run), "-", "_") }

func (w *Warehouse) staged(id string) *bigquery.Table {
	return w.client.Dataset(w.stagingDataset()).Table(id)
}

func (w *Warehouse) published(relation string) *bigquery.Table {
	schema, table := splitRelation(relation)
	return w.client.Dataset(w.DatasetPrefix + schema).Table(table)
}

// splitRelation returns the dataset and the table of a published relation; without a dot it lies in main.
func splitRelation(relation string) (schema, table string) {
	if schema, table, ok := strings.Cut(relation, "."); ok {
		return schema, table
	}
	return "main", relation
}

// nameOf returns the quoted name of a table.
func nameOf(t *bigquery.Table) string {
	return "`" + t.ProjectID + "." + t.DatasetID + "." + t.TableID + "`"
}

// catalog returns the quoted name of one of Daybreak's own tables.
func (w *Warehouse) catalog(table string) string {
	return nameOf(w.client.Dataset(w.DatasetPrefix + catalogDataset).Table(table))
}

// Staged returns the quoted name under which the run stages the dataset. It is a view: for an incremental
// dataset that is already published, of the table as it will be once the run's rows are published.
func (w *Warehouse) Staged(run elt.RunID, d elt.DatasetName) string {
	return nameOf(w.staged(stagedID(run, d)))
}

// Published returns the quoted name of a published relation such as "shop.users".
func (w *Warehouse) Published(relation string) string { return nameOf(w.published(relation)) }

// named returns the table of a published relation's plain name or of a quoted one.
func (w *Warehouse) named(relation string) *bigquery.Table {
	parts := strings.Split(strings.Trim(relation, "`"), ".")
	if !strings.HasPrefix(relation, "`") || len(parts) != 3 {
		return w.published(relation)
	}
	return w.client.DatasetInProject(parts[0], parts[1]).Table(parts[2])
}

// quote returns a column's name as an SQL identifier. No name that gets this far has a backtick.
func quote(column string) string { return "`" + column + "`" }

// quoteAll returns the columns as SQL identifiers, each after the prefix.
func quoteAll(prefix string, columns []string) string {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = prefix + quote(c)
	}
	return strings.Join(quoted, ", ")
}

var escapes = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\r", `\r`)

// literal returns s as an SQL string.
func literal(s string) string { return "'" + escapes.Replace(s) + "'" }

func literals[T ~string](values []T) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = literal(string(v))
	}
	return strings.Join(out, ", ")
}

// keyOf is a row's key as one text that is never NULL, so that two rows have the same key where = says so: every kind
// of join in BigQuery accepts an equality.
func keyOf(alias string, key []string) string {
	parts := make([]string, len(key))
	for i, k := range key {
		parts[i] = alias + "." + quote(k) + " AS " + quote(k)
	}
	return "TO_JSON_STRING(STRUCT(" + strings.Join(parts, ", ") + "))"
}

// digest returns a short name for everything that is given.
func digest(parts ...any) string {
	h := sha256.New()
	for _, p := range parts {
		text := fmt.Sprint(p)
		fmt.Fprintf(h, "%d:%s", len(text), text)
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// unique returns a name that nothing else has.
func unique() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

var notLabel = regexp.MustCompile(`[^a-z0-9_-]`)

// labels say on BigQuery's bill what a job was for.
func labels(step string, run elt.RunID, d elt.DatasetName) map[string]string {
	out := map[string]string{"daybreak_step": step}
	for key, value := range map[string]string{"daybreak_run": string(run), "daybreak_dataset": string(d)} {
		if value == "" {
			continue
		}
		value = notLabel.ReplaceAllString(strings.ToLower(value), "-")
		out[key] = value[:min(63, len(value))]
	}
	return out
}
