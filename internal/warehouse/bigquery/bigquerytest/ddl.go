package bigquerytest

import (
	"regexp"
	"strings"

	bq "google.golang.org/api/bigquery/v2"
)

// statement is one of a query's, in DuckDB's SQL, with what DuckDB does not know of it.
type statement struct {
	sql  string
	kind string // the service's word for it: "CREATE_TABLE_AS_SELECT"
	at   place  // of what it makes
	made arrangement
}

// cursor reads the tokens of a statement that defines something, spaces left out.
type cursor struct{ rest []token }

// take takes the words if they are what comes next.
func (c *cursor) take(words ...string) bool {
	rest := trim(c.rest)
	for _, w := range words {
		if len(rest) == 0 || rest[0].kind != word || !strings.EqualFold(rest[0].text, w) {
			return false
		}
		rest = trim(rest[1:])
	}
	c.rest = rest
	return true
}

// name takes a table's or a dataset's name, with its project or without it.
func (c *cursor) name() []string {
	var parts []string
	for rest := trim(c.rest); len(rest) > 0 && (rest[0].kind == quoted || rest[0].kind == word); {
		parts = append(parts, strings.Split(rest[0].text, ".")...)
		if rest = rest[1:]; len(rest) == 0 || rest[0].text != "." {
			c.rest = trim(rest)
			return parts
		}
		rest = rest[1:]
	}
	return nil
}

// until takes what comes before one of the words, outside of parentheses.
func (c *cursor) until(words ...string) []token {
	depth := 0
	for i, t := range c.rest {
		switch {
		case t.kind == sign && t.text == "(":
			depth++
		case t.kind == sign && t.text == ")":
			depth--
		case depth == 0 && t.kind == word:
			for _, w := range words {
				if strings.EqualFold(t.text, w) {
					taken := c.rest[:i]
					c.rest = c.rest[i:]
					return trim(taken)
				}
			}
		}
	}
	taken := c.rest
	c.rest = nil
	return trim(taken)
}

// parens takes what stands in parentheses.
func (c *cursor) parens() ([]token, bool) {
	c.rest = trim(c.rest)
	end := -1
	if len(c.rest) > 0 && c.rest[0].text == "(" {
		end = closing(c.rest, 0)
	}
	if end < 0 {
		return nil, false
	}
	inner := trim(c.rest[1:end])
	c.rest = trim(c.rest[end+1:])
	return inner, true
}

func placeOf(parts []string) (place, error) {
	if len(parts) == 3 {
		parts = parts[1:]
	}
	if len(parts) != 2 {
		return place{}, failf("invalidQuery", "Table %q must be qualified with a dataset (e.g. dataset.table).", strings.Join(parts, "."))
	}
	return place{parts[0], parts[1]}, nil
}

// define translates a statement that makes, changes or drops something.
func define(all []token) (statement, error) {
	c := &cursor{trim(all)}
	switch {
	case c.take("CREATE", "SCHEMA"):
		c.take("IF", "NOT", "EXISTS")
		parts := c.name()
		if len(parts) == 0 {
			break
		}
		id := parts[len(parts)-1]
		return statement{sql: "CREATE SCHEMA IF NOT EXISTS " + quote(id), kind: "CREATE_SCHEMA", at: place{dataset: id}}, nil
	case c.take("CREATE", "OR", "REPLACE", "TABLE"):
		return c.create("TABLE", "CREATE_TABLE_AS_SELECT")
	case c.take("CREATE", "OR", "REPLACE", "VIEW"):
		return c.create("VIEW", "CREATE_VIEW")
	case c.take("DROP", "TABLE", "IF", "EXISTS"):
		at, err := placeOf(c.name())
		return statement{sql: "DROP TABLE IF EXISTS " + at.sql(), kind: "DROP_TABLE", at: at}, err
	case c.take("ALTER", "TABLE"):
		at, err := placeOf(c.name())
		if err != nil || !c.take("SET", "OPTIONS") {
			break
		}
		return statement{kind: "ALTER_TABLE", at: at}, nil
	}
	return statement{}, failf("invalidQuery", "Syntax error: the double does not know %s", join(all))
}

// create translates the definition of a table or of a view by a SELECT.
func (c *cursor) create(what, kind string) (s statement, err error) {
	s.kind = kind
	if s.at, err = placeOf(c.name()); err != nil {
		return s, err
	}
	if c.take("PARTITION", "BY") {
		if s.made.partitions, err = partitionedBy(c.until("CLUSTER", "OPTIONS", "AS")); err != nil {
			return s, err
		}
	}
	if c.take("CLUSTER", "BY") {
		s.made.clusters = new(bq.Clustering)
		for _, column := range split(c.until("OPTIONS", "AS"), ",") {
			s.made.clusters.Fields = append(s.made.clusters.Fields, strings.Trim(join(column), "`"))
		}
	}
	if c.take("OPTIONS") {
		if _, ok := c.parens(); !ok {
			return s, failf("invalidQuery", "Syntax error: Expected \"(\" after OPTIONS")
		}
	}
	if !c.take("AS") {
		return s, failf("invalidQuery", "the double makes a %s of a SELECT only", strings.ToLower(what))
	}
	query, err := render(c.rest)
	s.sql = "CREATE OR REPLACE " + what + " " + s.at.sql() + " AS " + query
	return s, err
}

var truncated = regexp.MustCompile(`(?i)^(?:date|timestamp|datetime)_trunc\(\s*([a-z_0-9` + "`" + `]+)\s*,\s*(hour|day|month|year)\s*\)$`)

// partitionedBy reads a partition expression.
func partitionedBy(all []token) (*bq.TimePartitioning, error) {
	expression := join(all)
	if m := truncated.FindStringSubmatch(expression); m != nil {
		return &bq.TimePartitioning{Field: strings.Trim(m[1], "`"), Type: strings.ToUpper(m[2])}, nil
	}
	if len(all) == 1 {
		return &bq.TimePartitioning{Field: strings.Trim(expression, "`"), Type: "DAY"}, nil
	}
	return nil, failf("invalidQuery", "the double has no partitions by %s", expression)
}

// run runs a statement that returns no rows.
func (s *Server) run(one statement) (affected int64, err error) {
	if one.kind == "CREATE_TABLE_AS_SELECT" || one.kind == "CREATE_VIEW" {
		switch stands := s.stands(one.at); {
		case !s.hasDataset(one.at.dataset):
			return 0, failf("notFound", "Not found: Dataset %s was not found in location %s", one.at.dataset, s.location)
		case stands == "VIEW" && one.kind != "CREATE_VIEW", stands == "BASE TABLE" && one.kind == "CREATE_VIEW":
			return 0, failf("invalidQuery", "%s is not allowed for this operation because it is currently a %s.", one.at.key(), strings.TrimPrefix(stands, "BASE "))
		case stands == "BASE TABLE":
			if err := s.sameArrangement(one.at, one.made); err != nil {
				return 0, err
			}
		}
	}
	if one.sql != "" {
		res, err := s.db.Exec(one.sql)
		if err != nil {
			return 0, err
		}
		if affected, err = res.RowsAffected(); err != nil {
			return 0, err
		}
	}
	switch one.kind {
	case "CREATE_SCHEMA":
		s.datasets[one.at.dataset] = true
	case "DROP_TABLE":
		delete(s.tables, one.at.key())
	case "CREATE_TABLE_AS_SELECT":
		s.tables[one.at.key()] = &bq.Table{CreationTime: s.tick(), TimePartitioning: one.made.partitions, Clustering: one.made.clusters}
		return 0, s.arrangeable(one.at, one.made)
	case "CREATE_VIEW":
		s.tables[one.at.key()] = &bq.Table{CreationTime: s.tick(), View: &bq.ViewDefinition{Query: one.sql}}
	}
	return affected, nil
}
