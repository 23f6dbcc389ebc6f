package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// conditionalType is the content type of what PutIf writes.
const conditionalType = "application/octet-stream"

// GetTagged returns an object's content and its ETag. When the object still has
// the ETag known, the body is nil and nothing but headers was transferred; an
// empty known always fetches. Errors are those of Get. Neither this nor PutIf uses
// the SDK's client for what succeeds at once, see direct.
func (s *Store) GetTagged(ctx context.Context, key, known string) (body []byte, etag string, err error) {
	var ifNoneMatch *string
	if known != "" {
		if key != "" && s.direct.unchanged(ctx, key, known) {
			return nil, known, nil
		}
		ifNoneMatch = &known
	}
	body, etag, err = s.get(ctx, key, ifNoneMatch)
	var response interface{ HTTPStatusCode() int }
	if err != nil && known != "" && errors.As(err, &response) && response.HTTPStatusCode() == http.StatusNotModified {
		return nil, known, nil
	}
	return body, etag, err
}

// PutIf replaces an object if it still has that ETag, or creates it if there is
// none where etag is empty, and returns the new ETag. S3 compares and writes in
// one step. Otherwise nothing changes and the error wraps telemetry.ErrConflict,
// also when the object is gone. As with PutIfAbsent, a retry inside this call
// meets what its own first attempt has written and reports the conflict too: to
// know its write, the caller puts something into the body that nobody else writes.
//
// The signature does not cover the body, over plain http either: over https TLS
// does, and the hash of a body that is written each second costs more than the
// rest of the call. The caller that writes over plain http puts a checksum into the body.
func (s *Store) PutIf(ctx context.Context, key string, body []byte, etag string) (string, error) {
	if key != "" {
		header, condition := "If-Match", etag
		if etag == "" {
			header, condition = "If-None-Match", "*"
		}
		if next, ok := s.direct.putIf(ctx, key, body, header, condition); ok {
			return next, nil
		}
	}
	if etag == "" {
		return s.put(ctx, "put if absent", key, body, conditionalType, nil, aws.String("*"), unsigned)
	}
	const op = "put if unchanged"
	next, err := s.put(ctx, op, key, body, conditionalType, &etag, nil, unsigned)
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() == "NoSuchKey" {
		return "", fmt.Errorf("%s s3://%s/%s: gone: %w", op, s.bucket, key, telemetry.ErrConflict)
	}
	return next, err
}

// unsigned leaves the body out of the signature and computes no checksum of it.
func unsigned(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
}
