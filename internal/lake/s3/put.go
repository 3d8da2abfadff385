package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
	"github.com/daybreak-data/daybreak/internal/lake"
)

// The metadata of an object.
const (
	markName = "daybreak-put"    // unique to the Put that wrote it
	sumName  = "daybreak-sha256" // of an object that was sent in one piece
)

const (
	maxParts = 10_000 // S3's limit
	aborts   = 5
	// firstBuffer is for manifests and other small objects.
	firstBuffer = 64 << 10
	// tidyTime is how long it may take to confirm or undo an upload, also after its context has ended.
	tidyTime = 30 * time.Second
)

// upload is one Put.
type upload struct {
	*Store
	key  string
	mark string
	body *lake.Body
}

// Put stores a new object, in one piece or in parts. See lake.Store.
func (s *Store) Put(ctx context.Context, key string, body io.Reader) (elt.Object, error) {
	if err := lake.CheckKey(key); err != nil {
		return elt.Object{}, err
	}
	u := &upload{Store: s, key: key, mark: rand.Text(), body: lake.NewBody(ctx, body)}
	first, end, err := u.readFirst()
	if err != nil {
		return elt.Object{}, err
	}
	if end {
		return u.confirm(ctx, u.send(ctx, first))
	}
	return u.sendParts(ctx, first)
}

// readFirst reads the first piece into a buffer that grows with it: most objects are far smaller than a part.
func (u *upload) readFirst() (piece []byte, end bool, err error) {
	buffer := make([]byte, min(firstBuffer, u.partSize))
	for filled := 0; ; {
		piece, end, err = u.read(buffer[filled:])
		filled += len(piece)
		if err != nil || end || filled == u.partSize {
			return buffer[:filled], end, err
		}
		grown := make([]byte, min(4*len(buffer), u.partSize))
		copy(grown, buffer)
		buffer = grown
	}
}

// read fills the buffer from the body, and reports whether that was the end.
func (u *upload) read(buffer []byte) (piece []byte, end bool, err error) {
	n, err := io.ReadFull(u.body, buffer)
	if cause := u.body.Err(); cause != nil {
		return nil, false, fmt.Errorf("write %s to %s: %w", u.key, u, cause)
	}
	return buffer[:n], err != nil, nil // ReadFull's own errors say that the body ended
}

// send puts the object in one request. The server compares the SHA-256 with what it received.
func (u *upload) send(ctx context.Context, content []byte) error {
	sum := u.body.SHA256()
	failpoint.Here("lake.s3.put")
	_, err := u.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: u.bucket, Key: u.at(u.key), IfNoneMatch: aws.String("*"),
		Body: bytes.NewReader(content), ContentLength: aws.Int64(int64(len(content))),
		ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum)),
		Metadata:       map[string]string{markName: u.mark, sumName: hex.EncodeToString(sum)},
	})
	return err
}

// sendParts puts the object as a multipart upload, of which nothing remains unless it is completed.
func (u *upload) sendParts(ctx context.Context, first []byte) (elt.Object, error) {
	created, err := u.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: u.bucket, Key: u.at(u.key), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
		Metadata: map[string]string{markName: u.mark},
	})
	if err != nil {
		return elt.Object{}, u.failure("write", u.key, err)
	}
	failpoint.Here("lake.s3.upload_begun")
	object, err := u.complete(ctx, created.UploadId, first)
	if err == nil {
		return object, nil
	}
	if abortErr := u.abort(ctx, created.UploadId); abortErr != nil {
		err = errors.Join(err, fmt.Errorf("its parts stay in the bucket until a lifecycle rule removes them: %w", abortErr))
	}
	return elt.Object{}, err
}

// abort removes the parts that arrived. One that was under way may arrive after an abort, so it is
// repeated until the server knows no such upload.
func (u *upload) abort(ctx context.Context, id *string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
	defer cancel()
	for range aborts {
		_, err := u.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: u.bucket, Key: u.at(u.key), UploadId: id})
		if err != nil && !isStatus(err, http.StatusNotFound) {
			return err
		}
		_, err = u.client.ListParts(ctx, &s3.ListPartsInput{Bucket: u.bucket, Key: u.at(u.key), UploadId: id, MaxParts: aws.Int32(1)})
		if isStatus(err, http.StatusNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("parts still arrive after %d aborts", aborts)
}

func (u *upload) complete(ctx context.Context, id *string, first []byte) (elt.Object, error) {
	parts, err := u.parts(ctx, id, first)
	if err != nil {
		return elt.Object{}, err
	}
	failpoint.Here("lake.s3.parts_sent")
	_, err = u.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: u.bucket, Key: u.at(u.key), UploadId: id, IfNoneMatch: aws.String("*"),
		MpuObjectSize:   aws.Int64(u.body.Size()),
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	return u.confirm(ctx, err)
}

// parts sends the body in parts, some at a time, and returns them in order.
func (u *upload) parts(ctx context.Context, id *string, piece []byte) ([]types.CompletedPart, error) {
	// Parts under way are let finish when another fails: no abort can be sure to catch them.
	senders, failed := errgroup.WithContext(ctx)
	free := make(chan []byte, u.parallel) // one buffer for each sender
	for range u.parallel - 1 {
		free <- make([]byte, u.partSize)
	}
	var parts []*types.CompletedPart
	for end := false; len(piece) > 0; {
		if len(parts) == maxParts {
			return nil, errors.Join(u.tooLarge(), senders.Wait())
		}
		part := &types.CompletedPart{PartNumber: aws.Int32(int32(len(parts) + 1))}
		parts = append(parts, part)
		content := piece
		senders.Go(func() error {
			defer func() { free <- content[:cap(content)] }()
			return u.sendPart(ctx, id, part, content)
		})
		if end {
			break
		}
		select {
		case buffer := <-free:
			var err error
			if piece, end, err = u.read(buffer); err != nil {
				return nil, errors.Join(err, senders.Wait())
			}
		case <-failed.Done(): // a sender failed, or the caller gave up
			if err := senders.Wait(); err != nil {
				return nil, u.failure("write", u.key, err)
			}
			return nil, fmt.Errorf("write %s to %s: %w", u.key, u, context.Cause(ctx))
		}
	}
	if err := senders.Wait(); err != nil {
		return nil, u.failure("write", u.key, err)
	}
	completed := make([]types.CompletedPart, len(parts))
	for i, p := range parts {
		completed[i] = *p
	}
	return completed, nil
}

func (u *upload) sendPart(ctx context.Context, id *string, part *types.CompletedPart, piece []byte) error {
	sent, err := u.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: u.bucket, Key: u.at(u.key), UploadId: id, PartNumber: part.PartNumber,
		Body: bytes.NewReader(piece), ContentLength: aws.Int64(int64(len(piece))),
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
	})
	if err != nil {
		return err
	}
	part.ETag, part.ChecksumCRC32 = sent.ETag, sent.ChecksumCRC32
	return nil
}

// confirm looks at what the last request of an upload left behind. An object with this Put's mark and
// size is the object, also if the request seemed to fail: the server stored it and its answer was lost,
// and a repeat was told that the key is taken.
func (u *upload) confirm(ctx context.Context, cause error) (elt.Object, error) {
	if ctx.Err() != nil && cause != nil {
		return elt.Object{}, u.failure("write", u.key, cause)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
	defer cancel()
	failpoint.Here("lake.s3.sent")
	head, err := u.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: u.bucket, Key: u.at(u.key)}, func(o *s3.Options) {
		if unreachable(cause) {
			o.RetryMaxAttempts = 1 // it has just been tried for as long as anybody wants to wait
		}
	})
	switch {
	case err == nil && head.Metadata[markName] == u.mark:
		if size := aws.ToInt64(head.ContentLength); size != u.body.Size() {
			return elt.Object{}, lake.Corrupt(u.String(), u.key, fmt.Sprintf("%d bytes of %d", size, u.body.Size()))
		}
		return elt.Object{
			Key: u.key, Bytes: u.body.Size(), SHA256: hex.EncodeToString(u.body.SHA256()), ModifiedAt: aws.ToTime(head.LastModified),
		}, nil
	case err == nil && cause != nil, isStatus(cause, http.StatusPreconditionFailed):
		return elt.Object{}, lake.Exists(u.String(), u.key)
	case cause != nil:
		return elt.Object{}, u.failure("write", u.key, cause)
	case err == nil:
		return elt.Object{}, lake.Corrupt(u.String(), u.key, "another writer replaced it: the server ignores If-None-Match")
	}
	return elt.Object{}, u.failure("write", u.key, err)
}
