package load

import "github.com/daybreak-data/daybreak/internal/elt"

// The codes of this package; docs/runbook.md explains them.
const (
	codeManifestMissing    elt.Code = "manifest_missing"
	codeManifestUnreadable elt.Code = "manifest_unreadable"
	codePartMissing        elt.Code = "part_missing"
	codePartCorrupt        elt.Code = "part_corrupt"
	codeRowsDiffer         elt.Code = "rows_differ"
	codeSpoolFailed        elt.Code = "spool_failed"
	codeSpoolFull          elt.Code = "spool_full"
	codeVerificationFailed elt.Code = "verification_failed"
	codeKeysDiffer         elt.Code = "keys_differ"
	codeDeletesOverCap     elt.Code = "deletes_over_cap"
	codeEmptyOverRows      elt.Code = "empty_over_rows"
	codeRowsUnexpected     elt.Code = "rows_unexpected"
)

// objectMissing is the code with which a lake says that it has no such object.
const objectMissing elt.Code = "object_missing"

func isMissing(err error) bool { return err != nil && elt.CodeOf(err) == objectMissing }
