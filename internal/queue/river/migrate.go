package river

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// plainName is what River takes for the name of a schema.
var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,40}$`)

// schemaBeside returns the name of the queue's schema beside the ledger's: two ledgers in one database have two queues.
func schemaBeside(ledger string) string {
	name := ledger + "_queue"
	if ledger == "public" {
		name = "daybreak_queue"
	}
	if plainName.MatchString(name) {
		return name
	}
	sum := sha256.Sum256([]byte(ledger))
	return "daybreak_queue_" + hex.EncodeToString(sum[:6])
}

// migrate makes the queue's schema and brings its tables to what this binary knows, one process after the other, and
// returns its name.
func migrate(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger) (schema string, err error) {
	locked, err := pool.Acquire(ctx)
	if err != nil {
		return "", unusable("be reached", err)
	}
	defer locked.Release()
	if err := locked.QueryRow(ctx, `SELECT coalesce(current_schema(), 'public')`).Scan(&schema); err != nil {
		return "", unusable("be reached", err)
	}
	schema = schemaBeside(schema)
	if _, err := locked.Exec(ctx, `SELECT pg_advisory_lock(hashtext('daybreak queue migration'))`); err != nil {
		return "", unusable("be migrated", err)
	}
	defer func() { // a session that cannot answer any more has lost its lock anyway
		_, unlock := locked.Exec(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock(hashtext('daybreak queue migration'))`)
		if unlock != nil && err == nil {
			err = unusable("be migrated", unlock)
		}
	}()
	var there bool
	if err := locked.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)`, schema).Scan(&there); err != nil {
		return "", unusable("be migrated", err)
	}
	if !there {
		if _, err := locked.Exec(ctx, "CREATE SCHEMA "+pgx.Identifier{schema}.Sanitize()); err != nil {
			return "", notAllowed(schema, err)
		}
	}
	m, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: schema, Logger: slog.New(quiet{log.Handler()})})
	if err != nil {
		return "", unusable("be migrated", err)
	}
	done, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil)
	if err != nil {
		return "", notAllowed(schema, err)
	}
	if n := len(done.Versions); n > 0 {
		log.Info("queue migrated", "schema", schema, "to", done.Versions[n-1].Version)
	}
	return schema, nil
}

// notAllowed says what the ledger's user lacks, where that is why.
func notAllowed(schema string, err error) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || !strings.HasPrefix(pg.Code, "42501") {
		return unusable("be migrated", err)
	}
	return &elt.Error{
		Code: "queue_not_allowed", Class: elt.Config, Err: err,
		What: fmt.Sprintf("the ledger's user may not make the queue's schema %s", schema),
		Do:   fmt.Sprintf("have it made: CREATE SCHEMA %s AUTHORIZATION <the ledger's user>, or GRANT CREATE ON DATABASE", schema),
	}
}
