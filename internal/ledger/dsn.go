package ledger

import (
	"strconv"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// parseDSN returns the engine that the ledger at dsn runs on.
func parseDSN(dsn string) (engine, error) {
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok && path != "" {
		return &sqliteEngine{path: path, busy: sqliteBusy}, nil
	}
	if strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://") {
		return newPostgresEngine(dsn)
	}
	// The address may hold a password: only its beginning is safe to show.
	scheme, _, _ := strings.Cut(dsn, ":")
	return nil, &elt.Error{
		Code: "ledger_address", Class: elt.Config,
		What: "cannot open the ledger: its address begins with " + strconv.Quote(scheme) + ", which is neither sqlite: nor postgres://",
		Do:   "write it as sqlite:state/ledger.db or postgres://user@host/database",
	}
}
