package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/extract"
)

// What has no pages of its own is cut by a column: where the server itself says that it would find a range of it in an
// index. Then a range costs its share, and a row's place in one follows from a stored value alone, which is not so of
// every view: the number that a window function gives a row may be another one in each session.

// plan is a node of a statement's plan, as far as it matters here.
type plan struct {
	Node     string  `json:"Node Type"`
	Schema   string  `json:"Schema"`
	Relation string  `json:"Relation Name"`
	Rows     float64 `json:"Plan Rows"`
	Width    float64 `json:"Plan Width"`
	Index    string  `json:"Index Cond"`
	Remote   string  `json:"Remote SQL"`
	Filter   string  `json:"Filter"`
	Join     string  `json:"Join Filter"`
	Plans    []plan
}

// bytes is about how much the statement brings.
func (p plan) bytes() int64 { return int64(p.Rows * p.Width) }

// any reports whether a node of the plan is so.
func (p plan) any(is func(plan) bool) bool {
	return is(p) || slices.ContainsFunc(p.Plans, func(below plan) bool { return below.any(is) })
}

// foreign reports whether another server has part of it: each session would see another moment there.
func (p plan) foreign() bool {
	return p.any(func(n plan) bool { return n.Node == "Foreign Scan" })
}

// finds reports whether a condition on the value is answered by an index, or by another server, wherever it applies.
func (p plan) finds(value string) bool {
	found := p.any(func(n plan) bool { return strings.Contains(n.Index, value) || strings.Contains(n.Remote, value) })
	return found && !p.any(func(n plan) bool {
		return strings.Contains(n.Filter, value) || strings.Contains(n.Join, value)
	})
}

func (s *snapshot) explain(ctx context.Context, in *session, statement string) (plan, error) {
	var text []byte
	if err := in.QueryRow(ctx, "EXPLAIN (FORMAT json, VERBOSE) "+statement).Scan(&text); err != nil {
		return plan{}, err
	}
	var plans []struct{ Plan plan }
	if err := json.Unmarshal(text, &plans); err != nil || len(plans) != 1 {
		return plan{}, fmt.Errorf("read the plan of a statement: %w", err)
	}
	return plans[0].Plan, nil
}

// byKey cuts what has no pages by the first column of its key, or not at all. alone says that one session must read all
// of it.
func (s *snapshot) byKey(ctx context.Context, in *session, t table, r extract.Request) (chunks []chunk, alone bool, err error) {
	whole := []chunk{{{from: t.name.sql()}}}
	key := r.Extraction.Key
	if len(key) == 0 {
		key = t.info.Key
	}
	if len(key) == 0 {
		return whole, false, nil
	}
	by, ok := t.column(key[0])
	if !ok {
		return whole, false, nil
	}
	column := pgx.Identifier{by.Name}.Sanitize()
	all, err := s.explain(ctx, in, selectFrom(whole[0][0], r))
	if err != nil {
		return nil, false, fault(ctx, err, "cannot plan the reading of table %s of source %s", t.info.Name, s.source.opts.Name)
	}
	number := s.pieces(all.bytes())
	if number < 2 {
		return whole, false, nil
	}
	pays, err := s.pays(ctx, in, t, r, column, by.SourceType)
	if err != nil || !pays {
		return whole, false, err
	}
	pieces, err := s.between(ctx, in, t, r, by, number)
	if err != nil || len(pieces) < 2 {
		return whole, false, err
	}
	for _, p := range pieces {
		chunks = append(chunks, chunk{p})
	}
	if by.Nullable || t.kind != "r" && t.kind != "p" { // a view says of no column that it is never NULL
		last := len(chunks) - 1
		chunks[last] = append(chunks[last], piece{from: t.name.sql(), where: column + " IS NULL"})
	}
	return chunks, all.foreign(), nil
}

// byCursor cuts a window whose rows an index finds by values of the cursor.
func (s *snapshot) byCursor(ctx context.Context, in *session, t table, r extract.Request, window plan) ([]chunk, error) {
	whole := []chunk{{{from: t.name.sql()}}}
	by, ok := t.column(r.Range.Cursor.Name)
	number := s.pieces(window.bytes())
	if !ok || number < 2 {
		return whole, nil
	}
	pieces, err := s.between(ctx, in, t, r, by, number)
	if err != nil || len(pieces) < 2 {
		return whole, err
	}
	var chunks []chunk
	for _, p := range pieces {
		chunks = append(chunks, chunk{p})
	}
	if by.Nullable { // the window may take rows without a cursor, too
		chunks = append(chunks, chunk{{from: t.name.sql(), where: pgx.Identifier{by.Name}.Sanitize() + " IS NULL"}})
	}
	return chunks, nil
}

// pieces is how many pieces that much is worth.
func (s *snapshot) pieces(bytes int64) int {
	return int(min(bytes/s.source.opts.ChunkBytes, chunksPerConnection*int64(s.source.opts.Connections-1)))
}

// pays reports whether the server finds a range of the column without looking at the rest.
func (s *snapshot) pays(ctx context.Context, in *session, t table, r extract.Request, column, typ string) (bool, error) {
	var probe []string
	rows, err := in.Query(ctx, "SELECT "+column+"::text FROM "+t.name.sql()+" WHERE "+column+" IS NOT NULL LIMIT 1")
	if err == nil {
		probe, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err == nil && len(probe) == 1 && probe[0] != "" {
		var p plan
		one := piece{from: t.name.sql(), where: column + " >= " + literal(probe[0], typ) + " AND " + column + " <= " + literal(probe[0], typ)}
		if p, err = s.explain(ctx, in, selectFrom(one, r)); err == nil {
			return p.finds(strings.ReplaceAll(probe[0], "'", "''")), nil
		}
	}
	if err != nil {
		return false, fault(ctx, err, "cannot cut table %s of source %s", t.info.Name, s.source.opts.Name)
	}
	return false, nil
}

// between has the server cut what is to be read, by values of the column that it also compares: what is equal, and what
// comes first, is for it to say. The first piece has no beginning and the last one no end.
func (s *snapshot) between(ctx context.Context, in *session, t table, r extract.Request, by column, number int) ([]piece, error) {
	column := pgx.Identifier{by.Name}.Sanitize()
	shares := make([]string, 0, number-1)
	for i := 1; i < number; i++ {
		shares = append(shares, strconv.FormatFloat(float64(i)/float64(number), 'f', 6, 64))
	}
	from := piece{from: t.name.sql()}.sql(r.Range)
	rows, err := in.Query(ctx, "SELECT value::text FROM (SELECT DISTINCT unnest(percentile_disc(ARRAY["+strings.Join(shares, ",")+
		"]) WITHIN GROUP (ORDER BY "+column+")) AS value FROM "+from+") AS cuts WHERE value IS NOT NULL ORDER BY cuts.value")
	var cuts []string
	if err == nil {
		cuts, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		return nil, fault(ctx, err, "cannot cut table %s of source %s", t.info.Name, s.source.opts.Name)
	}
	var pieces []piece
	for i := range len(cuts) + 1 {
		var where []string
		if i > 0 {
			where = append(where, column+" >= "+literal(cuts[i-1], by.SourceType))
		}
		if i < len(cuts) {
			where = append(where, column+" < "+literal(cuts[i], by.SourceType))
		}
		pieces = append(pieces, piece{from: t.name.sql(), where: strings.Join(where, " AND ")})
	}
	return pieces, nil
}

// literal writes a value of a type for a statement.
func literal(value, typ string) string {
	return "'" + strings.ReplaceAll(value, "'", "''") + "'::" + typ
}

// selectFrom is about the statement that reads a piece, for the planner.
func selectFrom(p piece, r extract.Request) string {
	list := make([]string, len(r.Columns))
	for i, c := range r.Columns {
		list[i] = pgx.Identifier{c.Name}.Sanitize()
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM " + p.sql(r.Range)
}
