// Package lake is the object store between extract and load: Parquet parts and manifests, written once
// and never changed.
//
// A Store creates and never replaces. That is what lets a manifest be trusted for as long as it exists,
// and what keeps a stale worker from harming a newer one's objects. The drivers are disk (a folder) and
// s3 (S3 and what speaks it); package laketest holds both to one behaviour.
package lake
