package mysql

import (
	"context"
	"errors"
	"fmt"

	driver "github.com/go-sql-driver/mysql"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// verdict is what an error number means for an operator.
type verdict struct {
	code  elt.Code
	class elt.Class
	do    string
}

// What several numbers mean.
var (
	lost       = verdict{extract.CodeConnectionLost, elt.Transient, "nothing: the table is read again in a new snapshot; if it stays, look at the server's log and the network"}
	denied     = verdict{"source_auth_failed", elt.Config, "check user and password, and from which hosts the user may connect"}
	grant      = verdict{"permission_denied", elt.Config, "grant SELECT on the table to the source's user"}
	busy       = verdict{"source_busy", elt.Budget, "nothing: it is tried again; lower the source's connections, or raise max_connections"}
	slow       = verdict{"source_statement_timeout", elt.Budget, "raise the source's statement timeout, or make the table incremental"}
	valueError = verdict{"source_value_error", elt.Data, "correct the view or the value that the server cannot compute"}
)

// Numbers of the server's errors that are told apart in more than one place.
const (
	errShutdown       = 1053
	errSyntax         = 1064
	errMissing        = 1146
	errUnknownSetting = 1193
	errLockTimeout    = 1205
	errDeadlock       = 1213
	errDenied         = 1227
	errInterrupted    = 1317
	errRewritten      = 1412
	errKilled         = 1927 // MariaDB
	errIdle           = 4031 // MySQL
)

// verdictOf returns what the server's error means.
func verdictOf(number uint16) verdict {
	switch number {
	case errShutdown, errKilled, errIdle, errDeadlock, 1080, 1152, 1158, 1159, 1160, 1161, 1184:
		return lost
	case 1044, 1142, 1143, errDenied, 1370:
		return grant
	case 1045, 1129, 1130, 1251, 1698, 1820, 1862:
		return denied
	case 1040, 1203, 1226, 1041:
		return busy
	case 3024, 1969, 1907:
		return slow
	case 1264, 1292, 1365, 1366, 1411, 1416, 1690, 3037, 3141, 4038:
		return valueError
	case 1049:
		return verdict{"source_database_missing", elt.Config, "correct the database's name in the source's URL"}
	case errMissing, 1051:
		return verdict{"table_missing", elt.Config, "correct the table's name, or leave it out"}
	case 1054:
		return verdict{"column_missing", elt.Config, "correct the column's name"}
	case errLockTimeout:
		return verdict{"source_lock_timeout", elt.Budget, "nothing: it is tried again; look for a migration that holds the table"}
	case errRewritten:
		return rewritten
	}
	return verdict{"source_failed", elt.Transient, "look at the server's message; it is tried again"}
}

// rewritten is a table that is not any more what it was in the snapshot.
var rewritten = verdict{extract.CodeTableRewritten, elt.Transient, "nothing: the table is read again in a new snapshot; if it stays, move the job that alters or truncates it"}

func (v verdict) error(err error, format string, args ...any) *elt.Error {
	return &elt.Error{Code: v.code, Class: v.class, Do: v.do, Err: err, What: fmt.Sprintf(format, args...)}
}

// fault returns err as an error for operators; format says what was tried.
func fault(ctx context.Context, err error, format string, args ...any) error {
	if _, ok := errors.AsType[*elt.Error](err); ok {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), context.Cause(ctx))
	}
	v := lost
	if server, ok := serverError(err); ok {
		v = verdictOf(server.Number)
	}
	return v.error(err, format, args...)
}

// withoutValues takes out of an error what the server says of a value, where the table has columns that nobody may see.
func withoutValues(err error, r extract.Request) error {
	server, ok := serverError(err)
	if !ok || !r.Hides() || verdictOf(server.Number) != valueError {
		return err
	}
	return &driver.MySQLError{Number: server.Number, SQLState: server.SQLState,
		Message: "the server cannot compute a value; its message may quote one of a masked column, and is not shown"}
}

// serverError returns the error that the server sent, if it did.
func serverError(err error) (*driver.MySQLError, bool) {
	return errors.AsType[*driver.MySQLError](err)
}

// isServer reports whether the server sent an error of that number.
func isServer(err error, number uint16) bool {
	server, ok := serverError(err)
	return ok && server.Number == number
}

// ends reports whether a session is of no use after the error.
func ends(err error) bool {
	if err == nil {
		return false
	}
	server, ok := serverError(err)
	return !ok || verdictOf(server.Number) == lost
}

// unreachable returns the error of a connection that did not come to be.
func (s *Source) unreachable(ctx context.Context, err error) error {
	if server, ok := serverError(err); ok && verdictOf(server.Number) != lost {
		return fault(ctx, err, "cannot connect to source %s", s.opts.Name)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("connect to source %s: %w", s.opts.Name, context.Cause(ctx))
	}
	if untrusted(err) {
		return s.tlsFailed(err)
	}
	return &elt.Error{
		Code: "source_unreachable", Class: elt.Transient,
		What: fmt.Sprintf("cannot reach source %s at %s", s.opts.Name, s.config.Addr), Err: err,
		Do: "check that the server runs and that its address in daybreak.yaml is right; it is tried again",
	}
}
