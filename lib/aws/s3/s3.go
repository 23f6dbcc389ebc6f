// Package s3 reads and writes objects in Amazon S3.
package s3

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/insighthub/insighthub/lib/aws/failure"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Config of a Store. AWS and Bucket are required.
type Config struct {
	// AWS is the SDK's configuration.
	AWS    aws.Config
	Bucket string
	// PathStyle puts the bucket's name into the path instead of the host name,
	// as S3-compatible servers on one machine require.
	PathStyle bool
	// MaxBytes is the size of the largest object that Get reads; default DefaultMaxBytes.
	MaxBytes int64
	// Now is the clock by which GetTagged and PutIf sign; default time.Now.
	Now func() time.Time
	// Wire, if set, makes the first attempt of GetTagged and PutIf over connections of
	// its own. Retries go through the SDK.
	Wire *Wire
}

// DefaultMaxBytes is the default of Config.MaxBytes.
const DefaultMaxBytes = 64 << 20

// Store reads and writes the objects of one bucket. It is safe for concurrent
// use. Every error wraps one of telemetry's sentinels where one fits:
// ErrUnavailable when S3 cannot be reached in time, throttles or has an internal error;
// ErrNotFound when the bucket or the key does not exist. The SDK has retried before an
// error is returned. A write that failed may have been applied.
type Store struct {
	client   *s3.Client
	direct   *direct
	bucket   string
	maxBytes int64
}

// New returns a Store.
func New(cfg Config) (*Store, error) {
	if cfg.Bucket == "" {
		return nil, fmt.Errorf("object store: bucket: empty: %w", telemetry.ErrInvalid)
	}
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, DefaultMaxBytes)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	client := s3.NewFromConfig(cfg.AWS, func(o *s3.Options) { o.UsePathStyle = cfg.PathStyle })
	return &Store{client: client, direct: newDirect(client, cfg), bucket: cfg.Bucket, maxBytes: cfg.MaxBytes}, nil
}

// Put creates or replaces an object.
func (s *Store) Put(ctx context.Context, key string, body []byte, contentType string) error {
	_, err := s.put(ctx, "put", key, body, contentType, nil, nil)
	return err
}

// PutIfAbsent creates an object. If the key exists, nothing changes and the error
// wraps telemetry.ErrConflict. That is also the error when S3 applied the first
// attempt of this call but its response was lost: the retry finds the object.
func (s *Store) PutIfAbsent(ctx context.Context, key string, body []byte, contentType string) error {
	_, err := s.put(ctx, "put if absent", key, body, contentType, nil, aws.String("*"))
	return err
}

func (s *Store) put(
	ctx context.Context, op, key string, body []byte, contentType string, ifMatch, ifNoneMatch *string, options ...func(*s3.Options),
) (etag string, err error) {
	if key == "" {
		return "", fmt.Errorf("%s s3://%s/: key: empty: %w", op, s.bucket, telemetry.ErrInvalid)
	}
	input := &s3.PutObjectInput{
		Bucket:      &s.bucket,
		Key:         &key,
		Body:        bytes.NewReader(body),
		ContentType: &contentType,
		IfMatch:     ifMatch,
		IfNoneMatch: ifNoneMatch,
	}
	if len(options) == 0 {
		input.ChecksumCRC32 = aws.String(checksum(body))
	}
	out, err := s.client.PutObject(ctx, input, options...)
	if err != nil {
		return "", s.wrap(err, op, key)
	}
	return aws.ToString(out.ETag), nil
}

// checksum returns the body's CRC-32 in base64. S3 verifies it, and requires a checksum
// in a bucket with Object Lock.
func checksum(body []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(body)))
}

// Get returns an object's content. An object that is larger than
// Config.MaxBytes is an error that wraps telemetry.ErrInvalid.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	body, _, err := s.get(ctx, key, nil)
	return body, err
}

func (s *Store) get(ctx context.Context, key string, ifNoneMatch *string) (body []byte, etag string, err error) {
	if key == "" {
		return nil, "", fmt.Errorf("get s3://%s/: key: empty: %w", s.bucket, telemetry.ErrInvalid)
	}
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: &key, IfNoneMatch: ifNoneMatch})
	if err != nil {
		return nil, "", s.wrap(err, "get", key)
	}
	defer out.Body.Close() //nolint:errcheck // read to its end, or the read has failed
	if body, err = s.read(out); err != nil {
		return nil, "", s.wrap(err, "get", key)
	}
	if int64(len(body)) > s.maxBytes {
		return nil, "", fmt.Errorf("get s3://%s/%s: larger than %d bytes: %w", s.bucket, key, s.maxBytes, telemetry.ErrInvalid)
	}
	return body, aws.ToString(out.ETag), nil
}

// read reads a body, at most one byte more than maxBytes, into one allocation if its length is known.
func (s *Store) read(out *s3.GetObjectOutput) ([]byte, error) {
	limited := io.LimitReader(out.Body, s.maxBytes+1)
	n := aws.ToInt64(out.ContentLength)
	if n <= 0 || n > s.maxBytes {
		return io.ReadAll(limited)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(limited, body); err != nil {
		return nil, err
	}
	return body, nil
}

// wrap adds the operation, the object's name and the sentinel that err stands for.
func (s *Store) wrap(err error, op, key string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s s3://%s/%s: %w", op, s.bucket, key, failure.Wrap(err, map[string]error{
		"NoSuchKey": telemetry.ErrNotFound, "NoSuchBucket": telemetry.ErrNotFound,
		"PreconditionFailed": telemetry.ErrConflict,
		// Another conditional write of the same key is in progress.
		"ConditionalRequestConflict": telemetry.ErrUnavailable, "OperationAborted": telemetry.ErrUnavailable,
		"RequestTimeout":  telemetry.ErrUnavailable,
		"KeyTooLongError": telemetry.ErrInvalid, "EntityTooLarge": telemetry.ErrInvalid,
		"InvalidArgument": telemetry.ErrInvalid, "InvalidURI": telemetry.ErrInvalid,
	}))
}
