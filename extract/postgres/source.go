package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// Options of a Source. A zero duration or count means its default.
type Options struct {
	Name elt.SourceName
	URL  string // postgres://user:password@host:port/database
	// Connections is how many are open at once, the keeper of the snapshot among them; the others read. At least 2;
	// 3 by default.
	Connections int
	// ChunkBytes is how much of a table, as it lies on the server's disk, is worth a COPY of its own. 16 MiB by default.
	ChunkBytes int64
	Budget     extract.Budget
	// TransactionWait is how long to wait for transactions whose beginning cannot be seen. 5 s by default.
	TransactionWait time.Duration
	// Silence is how long a server that has nothing to compute may say nothing before its connection counts as lost. 30 s
	// by default.
	Silence time.Duration
	Log     *slog.Logger // nil for none
}

// Source is a PostgreSQL database.
type Source struct {
	opts   Options
	config *pgx.ConnConfig
}

// New returns the source; it connects when it is asked for something.
func New(o Options) (*Source, error) {
	config, err := pgx.ParseConfig(o.URL)
	if err != nil {
		return nil, &elt.Error{
			Code: "source_url", Class: elt.Config, What: fmt.Sprintf("source %s: its URL cannot be read", o.Name), Err: err,
			Do: "write it as postgres://user:password@host:5432/database",
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Budget = o.Budget.OrDefaults()
	orDefault(&o.TransactionWait, 5*time.Second)
	orDefault(&o.Silence, 30*time.Second)
	if o.Connections == 0 {
		o.Connections = 3
	}
	o.Connections = max(o.Connections, 2)
	if o.ChunkBytes <= 0 {
		o.ChunkBytes = 16 << 20
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = min(10*time.Second, o.Silence)
	}
	config.DialFunc, config.AfterNetConnect = buffered(config.DialFunc), framed
	// What a value's text looks like must not depend on the server's defaults.
	maps.Copy(config.RuntimeParams, map[string]string{
		"application_name":              applicationName,
		"default_transaction_read_only": "on",
		"statement_timeout":             milliseconds(o.Budget.StatementTimeout),
		"lock_timeout":                  milliseconds(o.Budget.LockTimeout),
		// Who keeps the snapshot ends it by then, and says why; the server ends what nobody looks after any more.
		"idle_in_transaction_session_timeout": milliseconds(o.Budget.SnapshotAge + o.Silence),

		"client_encoding": "UTF8", "TimeZone": "UTC", "DateStyle": "ISO", "IntervalStyle": "postgres",
		"extra_float_digits": "1", "bytea_output": "hex", "xmloption": "content",
	})
	return &Source{opts: o, config: config}, nil
}

// applicationName is how Daybreak's sessions show in pg_stat_activity.
const applicationName = "daybreak"

func orDefault(d *time.Duration, value time.Duration) {
	if *d <= 0 {
		*d = value
	}
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// connect opens a session.
func (s *Source) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, s.config.Copy())
	if err != nil {
		return nil, unreachable(ctx, s.opts.Name, s.config.Host, s.config.Port, err)
	}
	return conn, nil
}

// hangUp ends a session, whatever became of the context it was used under.
func hangUp(conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return conn.Close(ctx)
}

// Describe tells from the catalog what a table is.
func (s *Source) Describe(ctx context.Context, name string) (extract.TableInfo, error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return extract.TableInfo{}, err
	}
	t, err := s.describe(ctx, conn, name)
	if e := hangUp(conn); err == nil && e != nil {
		err = fault(ctx, e, "cannot describe table %s of source %s", name, s.opts.Name)
	}
	return t.info, err
}

// Tables describes every table and view that the user may read. Partitions are left out: their parent has
// their rows.
func (s *Source) Tables(ctx context.Context) (_ []extract.TableInfo, err error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := hangUp(conn); err == nil && e != nil {
			err = fault(ctx, e, "cannot list the tables of source %s", s.opts.Name)
		}
	}()
	rows, err := conn.Query(ctx, listTables)
	if err != nil {
		return nil, fault(ctx, err, "cannot list the tables of source %s", s.opts.Name)
	}
	names, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (tableName, error) {
		var n tableName
		err := row.Scan(&n.schema, &n.table)
		return n, err
	})
	if err != nil {
		return nil, fault(ctx, err, "cannot list the tables of source %s", s.opts.Name)
	}
	indexed, err := s.indexed(ctx, conn)
	if err != nil {
		return nil, err
	}
	infos := make([]extract.TableInfo, 0, len(names))
	for _, n := range names {
		t, err := s.describe(ctx, conn, n.String())
		if err != nil {
			return nil, err
		}
		if t.kind != "v" && t.kind != "f" {
			t.info.Indexed = append([]string{}, indexed[t.oid]...)
		}
		extract.Propose(&t.info)
		infos = append(infos, t.info)
	}
	return infos, nil
}

// indexed returns for each table the columns that an index begins with which holds every row.
func (s *Source) indexed(ctx context.Context, conn *pgx.Conn) (map[uint32][]string, error) {
	rows, err := conn.Query(ctx, listIndexed)
	if err != nil {
		return nil, fault(ctx, err, "cannot list the indexes of source %s", s.opts.Name)
	}
	out := make(map[uint32][]string)
	var table uint32
	var column string
	_, err = pgx.ForEachRow(rows, []any{&table, &column}, func() error {
		out[table] = append(out[table], column)
		return nil
	})
	if err != nil {
		return nil, fault(ctx, err, "cannot list the indexes of source %s", s.opts.Name)
	}
	return out, nil
}

// Close has nothing to let go of: sessions belong to snapshots.
func (s *Source) Close() error { return nil }
