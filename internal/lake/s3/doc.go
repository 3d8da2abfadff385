// Package s3 is the lake in a bucket of S3, or of what speaks its protocol.
//
// The request that makes an object visible, a PutObject or the completion of a multipart upload, carries
// If-None-Match: *, so that the server itself refuses a second writer. Every object is marked with the
// Put that wrote it: where an answer was lost and a repeated request finds the key taken, the mark tells
// whether it was taken by the first one.
package s3
