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

// conditionalType is the content type of the objects that PutIf writes.
const conditionalType = "application/octet-stream"

// GetTagged returns an object's content and its ETag. If the object still has the ETag
// known, the body is nil and only headers were transferred; an empty known always
// fetches. Errors are those of Get. The first attempt of GetTagged and of PutIf does not
// use the SDK's client, see direct.
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

// PutIf replaces the object atomically if it still has the given ETag, and returns the
// new ETag. With an empty etag it creates the object if the key does not exist.
// Otherwise nothing changes and the error wraps telemetry.ErrConflict, also when the
// object was deleted. As with PutIfAbsent, a retry inside this call can conflict with
// its own first attempt: a caller that has to recognise its own write puts something
// into the body that no other writer does.
//
// The signature does not cover the body, not even over plain http: hashing a body that
// is written each second costs more than the rest of the call, and over https TLS
// protects it. A caller that writes over plain http puts a checksum into the body.
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
		return "", fmt.Errorf("%s s3://%s/%s: no such key: %w", op, s.bucket, key, telemetry.ErrConflict)
	}
	return next, err
}

// unsigned excludes the body from the signature, and omits its checksum.
func unsigned(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
}
