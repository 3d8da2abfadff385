package lake

import (
	"fmt"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// The codes of the lake's errors.
const (
	CodeKeyInvalid    elt.Code = "object_key_invalid"
	CodeExists        elt.Code = "object_exists"
	CodeMissing       elt.Code = "object_missing"
	CodeCorrupt       elt.Code = "object_corrupt"
	CodeTooLarge      elt.Code = "object_too_large"
	CodeUnavailable   elt.Code = "lake_unavailable"
	CodeAccessDenied  elt.Code = "lake_access_denied"
	CodeBucketMissing elt.Code = "lake_bucket_missing"
	CodeMisconfigured elt.Code = "lake_misconfigured"
	CodeFull          elt.Code = "lake_full"
	CodeRefused       elt.Code = "lake_refused"
)

func badKey(key, why string) error {
	return &elt.Error{Code: CodeKeyInvalid, Class: elt.Internal,
		What: fmt.Sprintf("%q cannot be an object's key: %s", key, why), Do: "report it with the step's log"}
}

// Exists returns the error of a Put whose key is taken in the store.
func Exists(store, key string) error {
	return &elt.Error{Code: CodeExists, Class: elt.Conflict,
		What: fmt.Sprintf("%s already holds %s, and objects are never replaced", store, key),
		Do:   "nothing: another attempt wrote it, and the next attempt writes elsewhere"}
}

// Missing returns the error of reading a key that the store does not hold.
func Missing(store, key string) error {
	return &elt.Error{Code: CodeMissing, Class: elt.Data,
		What: fmt.Sprintf("%s holds no %s", store, key),
		Do:   "restore the object from a backup, or run the day again to extract it anew"}
}

// Corrupt returns the error of an object that is not what was written.
func Corrupt(store, key, how string) error {
	return &elt.Error{Code: CodeCorrupt, Class: elt.Transient,
		What: fmt.Sprintf("%s did not keep %s as it was written: %s", store, key, how),
		Do:   "nothing: the next attempt writes it anew; if it comes again, check the store's disks and network"}
}
