package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	migratepgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/daybreak-data/daybreak/internal/elt"
)

const (
	postgresConns   = 16
	postgresConnect = 10 * time.Second // unless the address says connect_timeout
	// postgresStill is how long a transaction may stand still, unless the server has a limit of its own. Every change holds
	// the lock of the event counter: a process that is paused in the middle of one would stop all others. It is shorter
	// than the others' patience, so that they do not notice.
	postgresStill = 10 * time.Second
)

// postgresEngine keeps the ledger in the first schema of the connection's search path.
type postgresEngine struct{ config *pgx.ConnConfig }

func newPostgresEngine(dsn string) (*postgresEngine, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil { // its text is free of the password
		return nil, &elt.Error{
			Code: "ledger_address", Class: elt.Config, What: "cannot open the ledger: its address is malformed", Err: err,
			Do: "write it as postgres://user@host/database",
		}
	}
	if config.ConnectTimeout == 0 || !strings.Contains(dsn, "connect_timeout") {
		config.ConnectTimeout = postgresConnect
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "daybreak ledger"
	}
	return &postgresEngine{config}, nil
}

func (e *postgresEngine) name() string {
	return fmt.Sprintf("postgres://%s:%d/%s", e.config.Host, e.config.Port, e.config.Database)
}

func (e *postgresEngine) dialect() dialect {
	return dialect{
		clock:  `to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`,
		tables: `SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = $1`,
		names:  `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' AND table_name <> 'schema_migrations'`,
		parents: `SELECT DISTINCT p.relname FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid JOIN pg_class p ON p.oid = f.confrelid
			WHERE f.contype = 'f' AND f.connamespace = current_schema()::regnamespace AND c.relname = $1`,
	}
}

func (e *postgresEngine) open() (writer, reader *sql.DB, err error) {
	db := stdlib.OpenDB(*e.config, stdlib.OptionAfterConnect(prepare))
	db.SetMaxOpenConns(postgresConns)
	db.SetMaxIdleConns(postgresConns / 2)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db, db, nil
}

// prepare makes a commit mean what the ledger promises by it, on a server that answers before it has written, and has the
// server end a transaction that stands still.
func prepare(ctx context.Context, c *pgx.Conn) error {
	const durable = `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`
	const still = `SELECT set_config('idle_in_transaction_session_timeout', $1, false) WHERE current_setting('idle_in_transaction_session_timeout') = '0'`
	if _, err := c.Exec(ctx, durable); err != nil {
		return err
	}
	_, err := c.Exec(ctx, still, strconv.FormatInt(postgresStill.Milliseconds(), 10))
	return err
}

// migrator holds a lock in the server for as long as it is open. golang-migrate's own covers each of its
// calls, but not the look at what an interrupted migration left.
func (e *postgresEngine) migrator(ctx context.Context) (*migrator, error) {
	locked := stdlib.OpenDB(*e.config)
	locked.SetMaxOpenConns(1) // the lock is the session's, and ends with it
	if _, err := locked.ExecContext(ctx, `SELECT pg_advisory_lock(hashtext('daybreak ledger migration'))`); err != nil {
		return nil, errors.Join(err, locked.Close())
	}
	db := stdlib.OpenDB(*e.config)
	driver, err := migratepgx.WithInstance(db, &migratepgx.Config{})
	if err != nil {
		return nil, errors.Join(err, db.Close(), locked.Close())
	}
	return newMigrator(db, driver, locked.Close)
}

func (e *postgresEngine) diagnose(err error) (fault, bool) {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.diagnoseServer(pg)
	}
	var connect *pgconn.ConnectError
	var network net.Error
	if errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) || isCut(err) {
		return fault{"ledger_unreachable", elt.Transient, "the server does not answer",
			"nothing: it is tried again; if it lasts, check the server and the network between"}, true
	}
	return fault{}, false
}

// diagnoseServer goes by SQLSTATE (25P03 ends a transaction that stood still): https://www.postgresql.org/docs/current/errcodes-appendix.html.
func (e *postgresEngine) diagnoseServer(pg *pgconn.PgError) (fault, bool) {
	switch {
	case pg.Code == "53100":
		return fault{"ledger_full", elt.Quota, "no space is left for it", "free space on the server's disk"}, true
	case pg.Code == "53300", pg.Code == "55P03", strings.HasPrefix(pg.Code, "40"):
		return fault{"ledger_busy", elt.Transient, pg.Message, "nothing: it is tried again; if it lasts, look at pg_stat_activity for who holds the lock or the connections"}, true
	case strings.HasPrefix(pg.Code, "28"), strings.HasPrefix(pg.Code, "3D"), pg.Code == "42501", pg.Code == "25006":
		return fault{"ledger_unreadable", elt.Config, pg.Message, "create the database and grant the user of the ledger's address CREATE and everything on its tables"}, true
	case strings.HasPrefix(pg.Code, "XX0"):
		return fault{"ledger_unreadable", elt.Config, pg.Message, "the server found its own data damaged: restore from a backup"}, true
	case strings.HasPrefix(pg.Code, "08"), pg.Code == "25P03", strings.HasPrefix(pg.Code, "57P"), strings.HasPrefix(pg.Code, "58"):
		return fault{"ledger_unreachable", elt.Transient, pg.Message, "nothing: it is tried again; if it lasts, check the server"}, true
	}
	return fault{}, false
}
