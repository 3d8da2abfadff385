package mysql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// session is one connection to the server. It takes one statement at a time.
type session struct {
	source  *Source
	conn    driver.Conn
	line    *line
	wire    *wire  // beneath conn; nil where TLS is between them
	id      string // by which the server knows it
	mariadb bool
	server  string // which server this is, and since when
	version string
	unlocks bool // going back to a savepoint lets go of the locks behind it
	broken  bool
}

// settings are what values look like and how long the server waits for us, whatever its own defaults are.
func (s *Source) settings() []string {
	seconds := func(d time.Duration) string {
		return strconv.FormatInt(max(1, int64((d+time.Second-1)/time.Second)), 10)
	}
	return []string{
		// Backslashes and quotes mean in statements what literal and identifier take them to mean.
		"SET SESSION sql_mode = ''",
		"SET NAMES utf8mb4",
		// Text comes as it is stored: a character that the server cannot convert would become a question mark.
		"SET SESSION character_set_results = NULL",
		"SET SESSION time_zone = '+00:00', autocommit = 1, completion_type = 'NO_CHAIN', sql_select_limit = 18446744073709551615",
		"SET SESSION sql_auto_is_null = 0, sql_big_selects = 1, lc_time_names = 'en_US'",
		// Texts that a view puts together are not cut short.
		"SET SESSION group_concat_max_len = 4294967295",
		"SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
		// A snapshot is let go by then, and says why; the server ends what nobody looks after any more.
		"SET SESSION net_write_timeout = 600, net_read_timeout = 600, wait_timeout = " + seconds(s.opts.Budget.SnapshotAge+s.opts.Silence) +
			", lock_wait_timeout = " + seconds(s.opts.Budget.LockTimeout),
	}
}

// wishes are settings that not every server has.
func (s *Source) wishes() []string {
	return []string{
		"SET SESSION max_statement_time = " + strconv.FormatFloat(s.opts.Budget.StatementTimeout.Seconds(), 'f', 3, 64), // MariaDB
		"SET SESSION idle_transaction_timeout = 0, idle_readonly_transaction_timeout = 0",                               // MariaDB
		"SET SESSION max_execution_time = " + strconv.FormatInt(s.opts.Budget.StatementTimeout.Milliseconds(), 10),      // MySQL
		"SET SESSION information_schema_stats_expiry = 0",                                                               // MySQL: statistics of now
	}
}

// connect opens a session.
func (s *Source) connect(ctx context.Context) (*session, error) {
	w := &session{source: s}
	if err := w.open(ctx); err != nil {
		return nil, s.unreachable(ctx, err)
	}
	if err := w.begin(ctx); err != nil {
		w.hangUp()
		return nil, s.unreachable(ctx, err)
	}
	return w, nil
}

// open connects, and keeps hold of the connection beneath the driver where nothing is between them.
func (w *session) open(ctx context.Context) error {
	config := w.source.config.Clone()
	if err := w.source.tls.apply(config, w.source.host); err != nil {
		return err
	}
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		w.line = &line{conn, w}
		if config.TLS == nil {
			w.wire = &wire{conn: w.line}
		}
		return w.line, nil
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 2*config.Timeout, w.source.silent())
	defer cancel()
	w.conn, err = connector.Connect(ctx)
	return err
}

func (w *session) begin(ctx context.Context) error {
	rows, err := w.list(ctx, "SELECT CONNECTION_ID(), @@version")
	if err != nil {
		return err
	}
	w.id, w.version = rows[0][0], rows[0][1]
	w.source.own.Store(w.id, true)
	w.mariadb = strings.Contains(strings.ToLower(w.version), "mariadb")
	for _, statement := range w.source.settings() {
		if err := w.exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	for _, statement := range w.source.wishes() {
		if err := w.exec(ctx, statement); err != nil && !isServer(err, errUnknownSetting) {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	// What is read stays locked against being altered until the session ends, unless nothing can go to the log.
	err = w.exec(ctx, "SET SESSION sql_log_bin = 0")
	if w.unlocks = err == nil || !w.mariadb; err != nil && !isServer(err, errDenied) {
		return err
	}
	// Not every server has each of them, and behind one address there may be several servers.
	rows, err = w.list(ctx, "SHOW VARIABLES WHERE Variable_name IN ('hostname', 'port', 'server_id', 'server_uuid', 'server_uid', 'aurora_server_id')")
	if err != nil {
		return err
	}
	var parts []string
	for _, row := range rows {
		parts = append(parts, row[0]+"="+row[1])
	}
	w.server = strings.Join(parts, " ")
	return nil
}

// hangUp ends the session; there is nobody left to tell how that went.
func (w *session) hangUp() {
	w.broken = true
	w.source.own.Delete(w.id)
	if err := w.conn.Close(); err != nil {
		w.source.opts.Log.Debug("a session did not end cleanly", "source", w.source.opts.Name, "error", err)
	}
}

func (w *session) exec(ctx context.Context, statement string) error {
	_, err := w.conn.(driver.ExecerContext).ExecContext(ctx, statement, nil)
	w.broken = w.broken || ends(err)
	return err
}

// rows is a result as the server sends it, one row after the other, each valid until the next. Whoever asked for it
// must read it to its end, which is io.EOF. A nil cell is NULL.
type rows interface{ next() ([][]byte, error) }

// query begins a result.
func (w *session) query(ctx context.Context, statement string) (*result, error) {
	var from rows
	var err error
	if w.wire != nil {
		from, err = w.rawQuery(ctx, statement)
	} else {
		from, err = w.driverQuery(ctx, statement)
	}
	if err != nil {
		w.broken = w.broken || ends(err)
		return nil, err
	}
	return &result{session: w, from: from}, nil
}

// list returns a whole small result as text, NULL as nothing.
func (w *session) list(ctx context.Context, statement string) ([][]string, error) {
	out, _, err := w.whole(ctx, statement)
	return out, err
}

// records returns a whole small result by its columns' names, NULL as nothing.
func (w *session) records(ctx context.Context, statement string) ([]map[string]string, error) {
	rows, names, err := w.whole(ctx, statement)
	out := make([]map[string]string, len(rows))
	for i, row := range rows {
		out[i] = make(map[string]string, len(row))
		for c, text := range row {
			out[i][names[c]] = text
		}
	}
	return out, err
}

// whole reads a whole small result and the names of its columns.
func (w *session) whole(ctx context.Context, statement string) (out [][]string, names []string, err error) {
	from, err := w.driverQuery(ctx, statement)
	if err != nil {
		w.broken = w.broken || ends(err)
		return nil, nil, err
	}
	r := &result{session: w, from: from}
	for {
		cells, err := r.next()
		if errors.Is(err, io.EOF) {
			return out, from.rows.Columns(), nil
		}
		if err != nil {
			return nil, nil, err
		}
		row := make([]string, len(cells))
		for i, c := range cells {
			row[i] = string(c)
		}
		out = append(out, row)
	}
}

// result is rows, and what their end means for their session.
type result struct {
	session *session
	from    rows
	ended   bool
}

func (r *result) next() ([][]byte, error) {
	cells, err := r.from.next()
	if err != nil {
		r.ended = true
		if !errors.Is(err, io.EOF) {
			r.session.broken = r.session.broken || ends(err)
		}
	}
	return cells, err
}

// abandon ends a result that is not at its end: the server stops, and the session and its snapshot stay.
func (r *result) abandon() {
	if r.ended || r.session.broken {
		return
	}
	if err := r.session.interrupt(); err != nil {
		r.session.broken = true // the rest may be large: it is not waited for
		return
	}
	for !r.ended { // what was on its way
		if _, err := r.next(); err != nil {
			break
		}
	}
	if !r.session.broken {
		r.session.settle()
	}
}

// driverResult is a result that the driver reads: small ones, and those over TLS, which is the driver's.
type driverResult struct {
	rows    driver.Rows
	values  []driver.Value
	cells   [][]byte
	scratch [][]byte
}

func (w *session) driverQuery(ctx context.Context, statement string) (*driverResult, error) {
	from, err := w.conn.(driver.QueryerContext).QueryContext(ctx, statement, nil)
	if err != nil {
		return nil, err
	}
	n := len(from.Columns())
	return &driverResult{rows: from, values: make([]driver.Value, n), cells: make([][]byte, n), scratch: make([][]byte, n)}, nil
}

func (r *driverResult) next() ([][]byte, error) {
	if err := r.rows.Next(r.values); err != nil {
		if closed := r.rows.Close(); errors.Is(err, io.EOF) && closed != nil {
			err = closed
		}
		return nil, err
	}
	for i, v := range r.values {
		// The driver reads numbers for us; they are written down again as the server wrote them.
		switch v := v.(type) {
		case nil:
			r.cells[i] = nil
		case []byte:
			r.cells[i] = v
		case int64:
			r.scratch[i] = strconv.AppendInt(r.scratch[i][:0], v, 10)
			r.cells[i] = r.scratch[i]
		case uint64:
			r.scratch[i] = strconv.AppendUint(r.scratch[i][:0], v, 10)
			r.cells[i] = r.scratch[i]
		case float64:
			r.scratch[i] = strconv.AppendFloat(r.scratch[i][:0], v, 'g', -1, 64)
			r.cells[i] = r.scratch[i]
		default:
			return nil, fmt.Errorf("the driver sent a value of type %T", v)
		}
	}
	return r.cells, nil
}

// patient limits what is asked of a server about a session whose own context has ended: it counts as lost after the same
// Silence as everywhere. Giving it up sooner would cost the snapshot that the session has.
func (s *Source) patient() (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(context.Background(), s.opts.Silence, s.silent())
}

// interrupt stops the statement that the session is at, from another one.
func (w *session) interrupt() error {
	ctx, cancel := w.source.patient()
	defer cancel()
	other := &session{source: w.source}
	if err := other.open(ctx); err != nil {
		return err
	}
	defer other.hangUp()
	return other.exec(ctx, "KILL QUERY "+w.id)
}

// settle takes an interruption that came too late for its statement, so that it does not hit a later one.
func (w *session) settle() {
	ctx, cancel := w.source.patient()
	defer cancel()
	if err := w.exec(ctx, "DO 0"); ends(err) {
		w.broken = true
	}
}

// guarded runs do, and interrupts its statement when ctx ends, so that the session and its snapshot outlive it. Only
// when that does not help the connection is cut.
// What is on its way can be a lot, and is not waited for once the snapshot is gone: the table is locked until then.
func (w *session) guarded(ctx, snapshot context.Context, do func(context.Context) error) error {
	hard, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		if snapshot.Err() != nil {
			cut()
		}
		if err := w.interrupt(); err != nil { // the server would go on for nobody
			cut()
			return
		}
		late := time.AfterFunc(w.source.opts.Silence, cut)
		context.AfterFunc(hard, func() { late.Stop() })
		context.AfterFunc(snapshot, cut)
	})
	err := do(hard)
	if stop() {
		return err
	}
	<-interrupted
	if !w.broken {
		w.settle()
	}
	return context.Cause(ctx)
}
