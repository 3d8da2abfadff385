package duckdb

import (
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// runSchemaPrefix begins the name of every run's schema; a dataset's schema cannot begin with it.
const runSchemaPrefix = "run_"

// attemptMark stands in the name of a table that is still being built. No dataset's name has a colon.
const attemptMark = ":attempt"

// quote returns name as an SQL identifier.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoteAll returns the names as SQL identifiers, each after the prefix.
func quoteAll(prefix string, names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = prefix + quote(n)
	}
	return strings.Join(quoted, ", ")
}

// literal returns s as an SQL string.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// fileLiteral returns the path of one file as an SQL string for DuckDB's table functions, which would
// otherwise take some of its characters for a pattern.
func fileLiteral(path string) string {
	return literal(strings.NewReplacer("[", "[[]", "*", "[*]", "?", "[?]").Replace(path))
}

func runSchema(run elt.RunID) string {
	return runSchemaPrefix + strings.ReplaceAll(string(run), "-", "_")
}

func deltaName(d elt.DatasetName) string { return string(d) + ":delta" }

// undoName is the table of the rows that a merge took the place of.
func undoName(d elt.DatasetName) string { return string(d) + ":undo" }

func qualified(schema, name string) string { return quote(schema) + "." + quote(name) }

// Staged returns the quoted name under which the run stages the dataset. For an incremental dataset that is
// already published it is a view of the table as it will be once the run's rows are published.
func (w *Warehouse) Staged(run elt.RunID, d elt.DatasetName) string {
	return qualified(runSchema(run), string(d))
}

// Published returns the quoted name of a published relation such as "shop.users".
func (w *Warehouse) Published(relation string) string { return publishedName(relation) }

func publishedName(relation string) string {
	schema, table := splitRelation(relation)
	return qualified(schema, table)
}

// splitRelation returns the schema and the name of a published relation; without a dot it lies in main.
func splitRelation(relation string) (schema, table string) {
	if schema, table, ok := strings.Cut(relation, "."); ok {
		return schema, table
	}
	return "main", relation
}

// relationSQL accepts both a published relation's plain name and a name that is quoted already.
func relationSQL(relation string) string {
	if strings.HasPrefix(relation, `"`) {
		return relation
	}
	return publishedName(relation)
}
