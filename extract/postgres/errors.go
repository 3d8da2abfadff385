package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// verdict is what an SQLSTATE means for an operator.
type verdict struct {
	code  elt.Code
	class elt.Class
	do    string
}

var lost = verdict{extract.CodeConnectionLost, elt.Transient, "nothing: the table is read again in a new snapshot; if it stays, look at the server's log and the network"}

// codeReplicaConflict is the code of a statement that a replica cancelled to go on with its replay.
const codeReplicaConflict elt.Code = "source_replica_conflict"

// verdicts are by SQLSTATE, the whole or its class of two digits.
var verdicts = map[string]verdict{
	"08":    lost,
	"57P01": lost, // admin_shutdown
	"57P02": lost, // crash_shutdown
	"57P03": lost, // cannot_connect_now
	"57P05": lost, // idle_session_timeout
	"25P03": lost, // idle_in_transaction_session_timeout
	"28":    {"source_auth_failed", elt.Config, "check user, password and pg_hba.conf"},
	"3D000": {"source_database_missing", elt.Config, "correct the database's name in the source's URL"},
	"42501": {"permission_denied", elt.Config, "grant USAGE on its schema and SELECT on the table to the source's user"},
	"42P01": {"table_missing", elt.Config, "correct the table's name, or leave it out"},
	"42703": {"column_missing", elt.Config, "correct the column's name"},
	"55P03": {"source_lock_timeout", elt.Budget, "nothing: it is tried again; look for a migration that holds the table"},
	"57014": {"source_statement_timeout", elt.Budget, "raise the source's statement timeout, or make the table incremental"},
	"40001": {codeReplicaConflict, elt.Transient, "nothing: it is tried again; raise max_standby_streaming_delay if it stays"},
	"53300": {"source_busy", elt.Budget, "nothing: it is tried again; lower the source's connections, or raise max_connections"},
	"53":    {"source_busy", elt.Budget, "nothing: it is tried again once the server has room"},
	"22":    {"source_value_error", elt.Data, "correct the view or the value that the server cannot compute"},
}

// fault returns err as an error for operators; what says what was tried.
func fault(ctx context.Context, err error, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	if _, ok := errors.AsType[*elt.Error](err); ok {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	v := verdict{extract.CodeConnectionLost, elt.Transient, lost.do}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		var ok bool
		if v, ok = verdicts[pg.Code]; !ok {
			if v, ok = verdicts[pg.Code[:min(2, len(pg.Code))]]; !ok {
				v = verdict{"source_failed", elt.Transient, "look at the server's message; it is tried again"}
			}
		}
	}
	return &elt.Error{Code: v.code, Class: v.class, What: what, Do: v.do, Err: err}
}

// rewritten returns the error of a table that is not any more what it was when the snapshot was taken.
func rewritten(format string, args ...any) *elt.Error {
	return &elt.Error{
		Code: extract.CodeTableRewritten, Class: elt.Transient, What: fmt.Sprintf(format, args...),
		Do: "nothing: the table is read again in a new snapshot; if it stays, move the job that rewrites it",
	}
}

// withoutValues takes out of an error what the server says of a value, where the table has columns that nobody may see.
func withoutValues(err error, r extract.Request) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || !r.Hides() || !strings.HasPrefix(pg.Code, "22") {
		return err
	}
	return &pgconn.PgError{Severity: pg.Severity, Code: pg.Code, Message: "the server cannot compute a value; its message may quote one of a masked column, and is not shown"}
}

// unreachable returns the error of a connection that did not come to be.
func unreachable(ctx context.Context, source elt.SourceName, host string, port uint16, err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && !strings.HasPrefix(pg.Code, "57P") {
		return fault(ctx, pg, "cannot connect to source %s at %s:%d", source, host, port)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("connect to source %s: %w", source, context.Cause(ctx))
	}
	if dial, ok := errors.AsType[*net.OpError](err); ok { // pgx tells the same of each address and each way of encrypting, a line for each
		err = dial
	}
	return &elt.Error{
		Code: "source_unreachable", Class: elt.Transient,
		What: fmt.Sprintf("cannot reach source %s at %s:%d", source, host, port), Err: err,
		Do: "check that the server runs and that its address in daybreak.yaml is right; it is tried again",
	}
}
