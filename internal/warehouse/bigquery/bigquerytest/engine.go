package bigquerytest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/duckdb/duckdb-go/v2"
	bq "google.golang.org/api/bigquery/v2"
)

// result is what a SELECT returned.
type result struct {
	fields []*bq.TableFieldSchema
	rows   []*bq.TableRow
}

// execute does a job's work.
func (s *Server) execute(w *work, media []byte) *bq.ErrorProto {
	var err error
	switch c := w.job.Configuration; {
	case c.Load != nil:
		err = s.loadFiles(w.job, c.Load, media)
	case c.Copy != nil:
		err = s.copy(c.Copy)
	case c.Query != nil:
		if err = s.bill(w.job); err == nil {
			w.result, err = s.query(w.job)
		}
	default:
		return &bq.ErrorProto{Reason: "invalid", Message: "a job of no kind that the double knows"}
	}
	if err == nil {
		return nil
	}
	reason, message := explain(err)
	return &bq.ErrorProto{Reason: reason, Message: message}
}

// jobError is an error in BigQuery's words.
type jobError struct{ reason, message string }

func (e jobError) Error() string { return e.message }

func failf(reason, format string, args ...any) error {
	return jobError{reason, fmt.Sprintf(format, args...)}
}

// load appends a file to a table.
func (s *Server) load(c *bq.JobConfigurationLoad, media []byte) (rows int64, err error) {
	p := at(c.DestinationTable)
	if c.Schema == nil {
		return 0, failf("invalid", "the double loads with a schema")
	}
	switch appends := c.CreateDisposition == "CREATE_NEVER" && c.WriteDisposition == "WRITE_APPEND"; {
	case appends && s.stands(p) == "":
		return 0, failf("notFound", "Not found: Table %s", p.key())
	case appends:
	case c.CreateDisposition == "" && c.WriteDisposition == "WRITE_TRUNCATE":
		columns, err := definitions(c.Schema)
		if err != nil {
			return 0, failf("invalid", "%v", err)
		}
		if _, err := s.db.Exec("CREATE OR REPLACE TABLE " + p.sql() + " (" + columns + ")"); err != nil {
			return 0, failf("notFound", "%v", err)
		}
	default:
		return 0, failf("invalid", "the double loads by appending to a table that is there, or in its place")
	}
	f, err := os.CreateTemp("", "bigquerytest-*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(media); err != nil {
		return 0, err
	}
	if err := f.Close(); err != nil {
		return 0, err
	}
	var columns, values []string
	for _, field := range c.Schema.Fields {
		expr, err := loaded(field, c.SourceFormat)
		if err != nil {
			return 0, err
		}
		columns, values = append(columns, quote(field.Name)), append(values, expr)
	}
	from := "read_parquet('" + f.Name() + "')"
	switch c.SourceFormat {
	case "PARQUET":
	case "NEWLINE_DELIMITED_JSON":
		texts := make([]string, len(columns))
		for i, field := range c.Schema.Fields {
			texts[i] = "'" + field.Name + "': 'VARCHAR'"
		}
		from = "read_json('" + f.Name() + "', format = 'newline_delimited', columns = {" + strings.Join(texts, ", ") + "})"
	case "CSV", "":
		texts := make([]string, len(columns))
		for i, field := range c.Schema.Fields {
			texts[i] = "'" + field.Name + "': 'VARCHAR'"
		}
		from = fmt.Sprintf("read_csv('%s', header = false, skip = %d, delim = ',', quote = '\"', escape = '\"', columns = {%s})", f.Name(), c.SkipLeadingRows, strings.Join(texts, ", "))
	default:
		return 0, failf("invalid", "the double does not load %s", c.SourceFormat)
	}
	if len(media) == 0 {
		return 0, nil
	}
	res, err := s.db.Exec("INSERT INTO " + p.sql() + " (" + strings.Join(columns, ", ") + ") SELECT " + strings.Join(values, ", ") + " FROM " + from)
	if err != nil {
		return 0, failf("invalid", "Error while reading data, error message: %v", err)
	}
	return res.RowsAffected()
}

// loaded reads a column of a file as a field. The bits of an unsigned integer are taken for a signed one's; a list is
// a record of a repeated record.
func loaded(f *bq.TableFieldSchema, format string) (string, error) {
	name := quote(f.Name)
	typ, err := duckType(f)
	if err != nil {
		return "", err
	}
	switch {
	case f.Type == "INTEGER" && format == "PARQUET":
		return "CASE WHEN " + name + " >= 9223372036854775808 THEN CAST(CAST(" + name + " AS HUGEINT) - 18446744073709551616 AS BIGINT) ELSE CAST(" + name + " AS BIGINT) END", nil
	case f.Type == "RECORD":
		if len(f.Fields) != 1 || f.Fields[0].Name != "list" || f.Fields[0].Mode != "REPEATED" || len(f.Fields[0].Fields) != 1 || f.Fields[0].Fields[0].Name != "element" {
			return "", failf("invalid", "field %s is no list as Parquet writes it", f.Name)
		}
		element, err := duckType(f.Fields[0].Fields[0])
		return "CASE WHEN " + name + " IS NOT NULL THEN struct_pack(list := list_transform(" + name + ", lambda x: struct_pack(element := CAST(x AS " + element + ")))) END", err
	}
	return "CAST(" + name + " AS " + typ + ")", nil
}

// query runs a SELECT, a definition, or a script, and says in the job what it was.
func (s *Server) query(job *bq.Job) (*result, error) {
	c := job.Configuration.Query
	if c.UseLegacySql == nil || *c.UseLegacySql {
		return nil, failf("invalidQuery", "the double has no legacy SQL")
	}
	statements, err := translate(c.Query)
	if err != nil {
		return nil, err
	}
	about := job.Statistics.Query
	about.StatementType = "SCRIPT"
	if len(statements) == 1 {
		about.StatementType = statements[0].kind
	}
	if len(statements) == 1 && statements[0].kind == "SELECT" {
		if c.DestinationTable != nil {
			return nil, s.selectInto(statements[0].sql, c)
		}
		return s.answer(job, statements[0].sql)
	}
	if c.DestinationTable != nil {
		return nil, failf("invalidQuery", "a script has no destination table")
	}
	for _, one := range statements {
		if one.kind == "SELECT" {
			_, err = s.selectRows(one.sql)
		} else {
			about.NumDmlAffectedRows, err = s.run(one)
		}
		if err != nil {
			if len(statements) > 1 && statements[0].kind == "BEGIN_TRANSACTION" {
				if _, rollback := s.db.Exec("ROLLBACK"); rollback != nil {
					s.violate("roll back after %v: %v", err, rollback)
				}
			}
			return nil, err
		}
	}
	if len(statements) == 1 && statements[0].at.table != "" {
		c.DestinationTable = &bq.TableReference{ProjectId: job.JobReference.ProjectId, DatasetId: statements[0].at.dataset, TableId: statements[0].at.table}
	}
	return nil, nil
}

// answer runs a SELECT whose rows go into a table without a name of its own.
func (s *Server) answer(job *bq.Job, query string) (*result, error) {
	r, err := s.selectRows(query)
	if err != nil {
		return nil, err
	}
	at := place{"_anonymous", "anon_" + job.JobReference.JobId}
	s.answers[at.key()] = r
	job.Configuration.Query.DestinationTable = &bq.TableReference{ProjectId: job.JobReference.ProjectId, DatasetId: at.dataset, TableId: at.table}
	return r, nil
}

func (s *Server) selectInto(statement string, c *bq.JobConfigurationQuery) error {
	p := at(c.DestinationTable)
	switch {
	case c.WriteDisposition != "WRITE_TRUNCATE":
		return failf("invalid", "the double replaces destination tables")
	case s.stands(p) == "VIEW":
		return failf("invalid", "%s is not allowed for this operation because it is currently a VIEW.", p.key())
	}
	made := arrangement{c.TimePartitioning, c.Clustering}
	if s.stands(p) != "" {
		if err := s.sameArrangement(p, made); err != nil {
			return err
		}
	}
	if _, err := s.db.Exec("CREATE OR REPLACE TABLE " + p.sql() + " AS " + statement); err != nil {
		return err
	}
	s.tables[p.key()] = &bq.Table{CreationTime: s.tick(), TimePartitioning: made.partitions, Clustering: made.clusters}
	return s.arrangeable(p, made)
}

func (s *Server) selectRows(statement string) (*result, error) {
	fields, err := s.fields(statement)
	if err != nil {
		return nil, err
	}
	rows, err := s.db.QueryContext(context.Background(), statement)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := &result{fields: fields}
	for rows.Next() {
		cells, dests := make([]any, len(fields)), make([]any, len(fields))
		for i := range cells {
			dests[i] = &cells[i]
		}
		if err := rows.Scan(dests...); err != nil {
			return nil, err
		}
		row := &bq.TableRow{}
		for i, cell := range cells {
			text, err := cellText(cell, fields[i])
			if err != nil {
				return nil, err
			}
			row.F = append(row.F, &bq.TableCell{V: text})
		}
		out.rows = append(out.rows, row)
	}
	return out, rows.Err()
}

// cellText writes a value as the API does.
func cellText(v any, f *bq.TableFieldSchema) (any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case bool, int8, int16, int32, int64, string:
		return fmt.Sprint(v), nil
	case *big.Int:
		return v.String(), nil
	case float64:
		return floatText(v), nil
	case []byte:
		return base64.StdEncoding.EncodeToString(v), nil
	case duckdb.Decimal:
		return trimmed(v.String()), nil
	case time.Time:
		switch f.Type {
		case "TIMESTAMP":
			return fmt.Sprint(v.UnixMicro()), nil
		case "DATETIME":
			return v.Format("2006-01-02T15:04:05.999999"), nil
		case "DATE":
			return v.Format(time.DateOnly), nil
		case "TIME":
			return v.Format("15:04:05.999999"), nil
		}
	}
	return nil, failf("invalid", "the double does not return a %T as %s", v, f.Type)
}

var (
	noTable  = regexp.MustCompile(`Table with name (\S+) does not exist`)
	noColumn = regexp.MustCompile(`Referenced column "([^"]+)" not found`)
	badCast  = regexp.MustCompile(`Could not convert \w+ '([^']*)' to (\w+)`)
	badToken = regexp.MustCompile(`syntax error at (or near "[^"]*"|end of input)`)
	position = regexp.MustCompile(`(?m)^LINE (\d+): .*\n( *)\^`)
)

// explain turns DuckDB's error into BigQuery's reason and message, with the place where there is one.
func explain(err error) (reason, message string) {
	if known, ok := errors.AsType[jobError](err); ok {
		return known.reason, known.message
	}
	text := err.Error()
	where := ""
	if m := position.FindStringSubmatch(text); m != nil {
		column := len(m[2]) - len("LINE ") - len(m[1]) - len(": ") + 1
		where = fmt.Sprintf(" at [%s:%d]", m[1], max(1, column))
	}
	first, _, _ := strings.Cut(text, "\n")
	switch {
	case noTable.MatchString(text):
		return "notFound", "Not found: Table " + noTable.FindStringSubmatch(text)[1] + " was not found in location EU" + where
	case noColumn.MatchString(text):
		return "invalidQuery", "Unrecognized name: " + noColumn.FindStringSubmatch(text)[1] + where
	case badCast.MatchString(text):
		m := badCast.FindStringSubmatch(text)
		return "invalidQuery", "Bad " + strings.ToLower(m[2]) + " value: " + m[1]
	case badToken.MatchString(text):
		return "invalidQuery", "Syntax error: " + badToken.FindString(text) + where
	}
	return "invalidQuery", first + where
}
