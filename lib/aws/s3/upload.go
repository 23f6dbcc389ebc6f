package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// partBytes is the size of each part but the last. S3 accepts up to 10,000 parts of at
// least 5 MiB: 78 GiB at this size.
const partBytes = 8 << 20

// Upload is a multipart upload of an object whose size is not known beforehand. It
// buffers one part. The object exists only after Complete. An Upload is not safe for
// concurrent use, and ends with Complete or Abort.
type Upload struct {
	store       *Store
	ctx         context.Context //nolint:containedctx // of the whole upload: io.Writer has no parameter for it
	key         string
	contentType string
	buffer      []byte
	id          string // empty before the first part
	parts       []types.CompletedPart
	bytes       int64
	err         error
}

// Create starts an upload. It sends nothing until the first part is full.
func (s *Store) Create(ctx context.Context, key, contentType string) (*Upload, error) {
	if key == "" {
		return nil, fmt.Errorf("create s3://%s/: key: empty: %w", s.bucket, telemetry.ErrInvalid)
	}
	return &Upload{store: s, ctx: ctx, key: key, contentType: contentType}, nil
}

// Write implements io.Writer. After an error it always returns that error.
func (u *Upload) Write(p []byte) (written int, err error) {
	for len(p) > 0 && u.err == nil {
		if u.buffer == nil {
			u.buffer = make([]byte, 0, partBytes)
		}
		n := min(len(p), partBytes-len(u.buffer))
		u.buffer = append(u.buffer, p[:n]...)
		p, written, u.bytes = p[n:], written+n, u.bytes+int64(n)
		if len(u.buffer) == partBytes {
			u.err = u.send()
		}
	}
	return written, u.err
}

// Bytes returns how many bytes were written so far.
func (u *Upload) Bytes() int64 { return u.bytes }

// send uploads the buffer as the next part.
func (u *Upload) send() error {
	s := u.store
	if u.id == "" {
		out, err := s.client.CreateMultipartUpload(u.ctx, &s3.CreateMultipartUploadInput{
			Bucket: &s.bucket, Key: &u.key, ContentType: &u.contentType,
		})
		if err != nil {
			return s.wrap(err, "create", u.key)
		}
		u.id = aws.ToString(out.UploadId)
	}
	number := int32(len(u.parts) + 1) // at most 10,000
	out, err := s.client.UploadPart(u.ctx, &s3.UploadPartInput{
		Bucket: &s.bucket, Key: &u.key, UploadId: &u.id, PartNumber: &number, Body: bytes.NewReader(u.buffer),
	})
	if err != nil {
		return s.wrap(err, fmt.Sprintf("upload part %d of", number), u.key)
	}
	u.parts = append(u.parts, types.CompletedPart{ETag: out.ETag, PartNumber: &number, ChecksumCRC32: out.ChecksumCRC32})
	u.buffer = u.buffer[:0]
	return nil
}

// Complete creates the object from the parts. After an error the object does not exist,
// and the parts are deleted, at the latest by the bucket's lifecycle rule for incomplete
// multipart uploads.
func (u *Upload) Complete() error {
	if u.err != nil {
		return errors.Join(u.err, u.Abort())
	}
	s := u.store
	if u.id == "" { // less than a part
		_, u.err = s.put(u.ctx, "put", u.key, u.buffer, u.contentType, nil, nil)
		return u.err
	}
	if len(u.buffer) > 0 {
		u.err = u.send()
	}
	if u.err == nil {
		_, err := s.client.CompleteMultipartUpload(u.ctx, &s3.CompleteMultipartUploadInput{
			Bucket: &s.bucket, Key: &u.key, UploadId: &u.id, MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts},
		})
		u.err = s.wrap(err, "complete", u.key)
	}
	if u.err != nil {
		return errors.Join(u.err, u.Abort())
	}
	u.id = ""
	return nil
}

// abortTimeout is the timeout of Abort, which has to work after the upload's context ended.
const abortTimeout = 2 * time.Second

// Abort deletes the parts that were sent. After Complete it does nothing.
func (u *Upload) Abort() error {
	if u.err == nil {
		u.err = fmt.Errorf("create s3://%s/%s: aborted", u.store.bucket, u.key)
	}
	if u.id == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), abortTimeout)
	defer cancel()
	id := u.id
	u.id = ""
	_, err := u.store.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &u.store.bucket, Key: &u.key, UploadId: &id})
	return u.store.wrap(err, "abort", u.key)
}

// PresignGet returns a URL with which anyone can read the object until ttl has elapsed,
// as an attachment named fileName. It does not check that the object exists.
func (s *Store) PresignGet(ctx context.Context, key, fileName string, ttl time.Duration) (string, error) {
	disposition := `attachment; filename="` + fileName + `"`
	request, err := s3.NewPresignClient(s.client).PresignGetObject(ctx,
		&s3.GetObjectInput{Bucket: &s.bucket, Key: &key, ResponseContentDisposition: &disposition}, s3.WithPresignExpires(ttl))
	if err != nil {
		return "", s.wrap(err, "presign", key)
	}
	return request.URL, nil
}
