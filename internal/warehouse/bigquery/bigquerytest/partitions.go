package bigquerytest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	bq "google.golang.org/api/bigquery/v2"
)

// arrangement is how a table's rows are partitioned and sorted. DuckDB does neither: the double holds requests to it.
type arrangement struct {
	partitions *bq.TimePartitioning
	clusters   *bq.Clustering
}

func (a arrangement) String() string {
	var parts []string
	if a.partitions != nil {
		parts = append(parts, fmt.Sprintf("interval(type:%s,field:%s)", strings.ToLower(a.partitions.Type), a.partitions.Field))
	}
	if a.clusters != nil {
		parts = append(parts, "clustering("+strings.Join(a.clusters.Fields, ",")+")")
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, " ")
}

func (s *Server) arranged(p place) arrangement {
	if t := s.tables[p.key()]; t != nil {
		return arrangement{t.TimePartitioning, t.Clustering}
	}
	return arrangement{}
}

// sameArrangement refuses to write over a table that is arranged in another way.
func (s *Server) sameArrangement(p place, a arrangement) error {
	if have := s.arranged(p); have.String() != a.String() {
		return failf("invalid", "Incompatible table partitioning specification. Expects partitioning specification %s, but input partitioning specification is %s", have, a)
	}
	return nil
}

// arrangeable refuses partitions and clusters that a table's columns do not allow.
func (s *Server) arrangeable(p place, a arrangement) error {
	fields, err := s.fields("SELECT * FROM " + p.sql())
	if err != nil {
		return err
	}
	typeOf := func(name string) string {
		i := slices.IndexFunc(fields, func(f *bq.TableFieldSchema) bool { return f.Name == name })
		if i < 0 {
			return ""
		}
		return fields[i].Type
	}
	if t := a.partitions; t != nil {
		hours := t.Type == "HOUR"
		if of := typeOf(t.Field); of != "TIMESTAMP" && of != "DATETIME" && (of != "DATE" || hours) {
			return failf("invalid", "The field specified for partitioning cannot be %s of type %q by %s", t.Field, of, t.Type)
		}
		if !slices.Contains([]string{"HOUR", "DAY", "MONTH", "YEAR"}, t.Type) {
			return failf("invalid", "no partitions of %q", t.Type)
		}
	}
	if a.clusters != nil {
		for _, name := range a.clusters.Fields {
			if of := typeOf(name); slices.Contains([]string{"", "FLOAT", "BYTES", "TIME", "RECORD"}, of) || len(a.clusters.Fields) > 4 {
				return failf("invalid", "Entity of type %q is not supported for clustering: %s", of, name)
			}
		}
	}
	return nil
}

var partitionName = regexp.MustCompile(`^(\d{4})(\d{2})?(\d{2})?(\d{2})?$`)

// partition returns the table of a name and, where the name has a decorator, the condition of the one partition.
func (s *Server) partition(p place) (table place, condition string, err error) {
	name, id, decorated := strings.Cut(p.table, "$")
	table = place{p.dataset, name}
	if !decorated {
		return table, "", nil
	}
	t := s.arranged(table).partitions
	if t == nil {
		return table, "", failf("invalid", "Cannot use a partition decorator on %s, which is not partitioned", table.key())
	}
	digits := map[string]int{"YEAR": 4, "MONTH": 6, "DAY": 8, "HOUR": 10}[t.Type]
	if !partitionName.MatchString(id) || len(id) != digits {
		return table, "", failf("invalid", "Invalid partition ID %q for a table partitioned by %s", id, t.Type)
	}
	begins, err := time.Parse("2006010215"[:digits], id)
	if err != nil {
		return table, "", failf("invalid", "Invalid partition ID %q: %v", id, err)
	}
	return table, fmt.Sprintf("date_trunc('%s', %s) = '%s'", t.Type, quote(t.Field), begins.Format(time.DateTime)), nil
}

// copy puts one table in the place of another, or one partition in the place of another.
func (s *Server) copy(c *bq.JobConfigurationTableCopy) error {
	snapshot := c.OperationType == "SNAPSHOT"
	if len(c.SourceTables) != 1 || snapshot && c.WriteDisposition != "WRITE_EMPTY" || !snapshot && c.WriteDisposition != "WRITE_TRUNCATE" {
		return failf("invalid", "the double copies one table over another, and makes snapshots where nothing is")
	}
	from, taken, err := s.partition(at(c.SourceTables[0]))
	if err != nil {
		return err
	}
	to, replaced, err := s.partition(at(c.DestinationTable))
	if err != nil {
		return err
	}
	switch {
	case snapshot && s.stands(to) != "":
		return failf("duplicate", "Already Exists: Table %s", to.key())
	case s.stands(from) != "BASE TABLE":
		return failf("notFound", "Not found: Table %s", from.key())
	case s.stands(to) == "VIEW":
		return failf("invalid", "%s is not allowed for this operation because it is currently a VIEW.", to.key())
	case !s.hasDataset(to.dataset):
		return failf("notFound", "Not found: Dataset %s", to.dataset)
	case taken != replaced:
		return failf("invalid", "the double copies a partition over the same one")
	}
	if s.stands(to) != "" {
		if err := s.sameArrangement(to, s.arranged(from)); err != nil {
			return err
		}
	}
	if taken != "" {
		return s.copyPartition(from, to, taken)
	}
	if _, err := s.db.Exec("CREATE OR REPLACE TABLE " + to.sql() + " AS SELECT * FROM " + from.sql()); err != nil {
		return err
	}
	known := s.tables[to.key()]
	if known == nil {
		known = &bq.Table{CreationTime: s.tick()}
		s.tables[to.key()] = known
	}
	made := s.arranged(from)
	known.TimePartitioning, known.Clustering = made.partitions, made.clusters
	return nil
}

func (s *Server) copyPartition(from, to place, condition string) error {
	var n int64
	if err := s.db.QueryRow("SELECT count(*) FROM " + from.sql() + " WHERE " + condition).Scan(&n); err != nil {
		return err
	}
	if n == 0 {
		return failf("notFound", "Not found: partition of %s", from.key())
	}
	tx, err := s.db.Begin()
	if err != nil {
		return err
	}
	for _, statement := range []string{
		"DELETE FROM " + to.sql() + " WHERE " + condition,
		"INSERT INTO " + to.sql() + " SELECT * FROM " + from.sql() + " WHERE " + condition,
	} {
		if _, err := tx.Exec(statement); err != nil {
			if back := tx.Rollback(); back != nil {
				s.violate("roll back: %v", back)
			}
			return err
		}
	}
	return tx.Commit()
}
