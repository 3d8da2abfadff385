package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/extract"
)

const (
	// chunksPerConnection is how many chunks a table has for each connection that may read, so that no connection waits
	// long for the last one.
	chunksPerConnection = 4
	// largestChunk is how much of a table, as it lies on the server's disk, one chunk holds at most.
	largestChunk = 1 << 30
	// tidRangeScans is the first version that reads a range of pages without looking at the others.
	tidRangeScans = 14_00_00
)

// listLeaves selects, as the snapshot sees the catalog, a table, its partitions and its heirs. Whether rows can be read by page; how many pages there are, and how much with what lies
// beside them; whether reading the relation itself is allowed, and shows what reading its parent shows; and
// whether its rows are gone because it was rewritten after the snapshot was taken. A partitioned table has none, and of a
// foreign table another server has them.
const listLeaves = `
WITH RECURSIVE tree AS (
  SELECT $1::oid AS oid UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent = tree.oid)
SELECT n.nspname, c.relname, c.relkind IN ('r', 'm') AND coalesce(am.amname = 'heap', false),
  coalesce(pg_relation_size(c.oid), 0) / current_setting('block_size')::bigint, coalesce(pg_table_size(c.oid), 0),
  (c.relkind = 'p' OR has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')) AND NOT row_security_active(c.oid),
  c.relkind IN ('r', 'm') AND pg_relation_filenode(c.oid) IS DISTINCT FROM c.relfilenode,
  c.relkind = 'p', c.relkind = 'f'
FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
ORDER BY 1, 2`

// leaf is a relation that holds rows of a table.
type leaf struct {
	name                            tableName
	paged, open, rewritten, without bool // without rows of its own
	foreign                         bool
	pages, bytes                    int64
}

// piece is what one COPY reads: a relation, or a range of its pages.
type piece struct {
	of    *tableName // the relation, where any session sees the same of it
	from  string     // as a statement names it
	where string     // which of its rows; empty for all
	first int64      // page
	end   int64      // the page behind the last one; 0 for no end
}

// sql returns what follows FROM.
func (p piece) sql(r *extract.Range) string {
	var where []string
	if p.first > 0 {
		where = append(where, fmt.Sprintf("ctid >= '(%d,0)'::tid", p.first))
	}
	if p.end > 0 {
		where = append(where, fmt.Sprintf("ctid < '(%d,0)'::tid", p.end))
	}
	if p.where != "" {
		where = append(where, p.where)
	}
	if r != nil {
		where = append(where, rangeSQL(r))
	}
	if len(where) == 0 {
		return p.from
	}
	return p.from + " WHERE " + strings.Join(where, " AND ")
}

// String says where the piece is, for messages.
func (p piece) String() string {
	switch {
	case p.end > 0:
		return fmt.Sprintf("pages %d to %d of %s", p.first, p.end-1, p.from)
	case p.where != "":
		return p.from + " where " + p.where
	case p.first > 0:
		return fmt.Sprintf("from page %d on of %s", p.first, p.from)
	}
	return "all of " + p.from
}

// chunk is pieces that are read one after the other into parts of their own.
type chunk []piece

// chunks cuts a table so that its chunks hold about as much each: by pages where there are any, a window whose rows an
// index finds by its cursor, and everything else by key, as far as that pays. alone says that one session must read
// all of them.
func (s *snapshot) chunks(ctx context.Context, in *session, t table, r extract.Request) (chunks []chunk, alone bool, err error) {
	if t.kind == "v" || t.kind == "f" {
		return s.byKey(ctx, in, t, r)
	}
	leaves, err := s.leaves(ctx, in, t)
	if err != nil {
		return nil, false, err
	}
	var bytes int64
	for _, l := range leaves {
		if l.rewritten {
			return nil, false, rewritten("%s of source %s was rewritten while the snapshot was taken", l.name, s.source.opts.Name)
		}
		if !l.open {
			return s.byKey(ctx, in, t, r)
		}
		bytes += l.bytes
	}
	leaves = slices.DeleteFunc(leaves, func(l leaf) bool { return l.without })
	if s.server.number < tidRangeScans || len(leaves) == 0 {
		return s.byKey(ctx, in, t, r)
	}
	size := min(max(bytes/(chunksPerConnection*int64(s.source.opts.Connections-1)), s.source.opts.ChunkBytes), largestChunk)
	if r.Range == nil || r.Range.All {
		return cut(leaves, size), false, nil
	}
	if bytes < 2*size {
		return []chunk{{{from: t.name.sql()}}}, false, nil
	}
	window, err := s.explain(ctx, in, selectFrom(piece{from: t.name.sql()}, r))
	if err != nil {
		return nil, false, fault(ctx, err, "cannot plan the reading of table %s of source %s", t.info.Name, s.source.opts.Name)
	}
	if !window.any(func(n plan) bool { return n.Node == "Seq Scan" }) {
		chunks, err := s.byCursor(ctx, in, t, r, window)
		return chunks, window.foreign(), err
	}
	// Partitions that cannot have rows of the window are not in the plan.
	leaves = slices.DeleteFunc(leaves, func(l leaf) bool {
		return !window.any(func(n plan) bool { return n.Schema == l.name.schema && n.Relation == l.name.table })
	})
	return cut(leaves, size), false, nil
}

func (s *snapshot) leaves(ctx context.Context, in *session, t table) ([]leaf, error) {
	if t.kind == "p" {
		// A partition that was attached after the keeper's lock is locked from here on.
		if _, err := in.PgConn().Exec(ctx, lockTables(t)).ReadAll(); err != nil {
			return nil, fault(ctx, err, "cannot lock table %s of source %s against being rewritten", t.info.Name, s.source.opts.Name)
		}
	}
	rows, err := in.Query(ctx, listLeaves, t.oid)
	if err != nil {
		return nil, fault(ctx, err, "cannot describe table %s of source %s", t.info.Name, s.source.opts.Name)
	}
	leaves, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (l leaf, err error) {
		return l, row.Scan(&l.name.schema, &l.name.table, &l.paged, &l.pages, &l.bytes, &l.open, &l.rewritten, &l.without, &l.foreign)
	})
	if err != nil {
		return nil, fault(ctx, err, "cannot describe table %s of source %s", t.info.Name, s.source.opts.Name)
	}
	return leaves, nil
}

// cut cuts leaves into chunks of about that size. Small leaves share a chunk; the last range of each leaf is
// open-ended, whatever its size was said to be.
func cut(leaves []leaf, size int64) []chunk {
	var chunks []chunk
	var open chunk // of small leaves
	var held int64
	var far chunk // each session would see another moment of what is there
	for _, l := range leaves {
		from := "ONLY " + l.name.sql()
		if l.foreign {
			far = append(far, piece{from: from})
			continue
		}
		if !l.paged || l.bytes < 2*size || l.pages < 2 {
			if held > 0 && held+l.bytes > size {
				chunks, open, held = append(chunks, open), nil, 0
			}
			open, held = append(open, piece{of: &l.name, from: from}), held+l.bytes
			continue
		}
		step := max(l.pages*size/l.bytes, 1)
		for first := int64(0); first < l.pages; first += step {
			p := piece{of: &l.name, from: from, first: first, end: first + step}
			if p.end >= l.pages {
				p.end = 0
			}
			chunks = append(chunks, chunk{p})
		}
	}
	for _, last := range []chunk{open, far} {
		if len(last) > 0 {
			chunks = append(chunks, last)
		}
	}
	return chunks
}
