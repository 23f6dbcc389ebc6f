package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/encoding/httpbinding"
)

// unsignedPayload stands for the body's hash in a signature that does not cover the body.
const unsignedPayload = "UNSIGNED-PAYLOAD"

var errAnonymous = errors.New("no credentials")

// direct sends requests to one bucket with the SDK's signer and transport but without
// its middleware, whose forty steps and 400 allocations for each call cost more than
// signing and sending. It only recognises success. After any other response ok is
// false, and the caller repeats the request through the SDK, which classifies errors
// and retries.
type direct struct {
	options s3.Options
	now     func() time.Time
	presign *s3.PresignClient
	bucket  string
	base    atomic.Pointer[url.URL] // of the bucket, ends with a slash
	wire    *wire                   // nil: requests go through the transport
}

func newDirect(client *s3.Client, cfg Config) *direct {
	d := &direct{options: client.Options(), now: cfg.Now, presign: s3.NewPresignClient(client), bucket: cfg.Bucket}
	if cfg.Wire != nil {
		d.wire = &wire{Wire: *cfg.Wire, now: cfg.Now}
	}
	return d
}

// putIf writes an object under one condition, an If-Match or If-None-Match header.
func (d *direct) putIf(ctx context.Context, key string, body []byte, header, condition string) (etag string, ok bool) {
	if body == nil {
		body = []byte{}
	}
	r, err := d.do(ctx, http.MethodPut, key, body, header, condition)
	return r.etag, err == nil && r.status == http.StatusOK && r.etag != ""
}

// unchanged reports whether the object still has the ETag.
func (d *direct) unchanged(ctx context.Context, key, etag string) bool {
	r, err := d.do(ctx, http.MethodGet, key, nil, "If-None-Match", etag)
	return err == nil && r.status == http.StatusNotModified
}

// result is the part of a response that putIf and unchanged need.
type result struct {
	status int
	etag   string
}

func resultOf(r *http.Response) result { return result{r.StatusCode, r.Header.Get("ETag")} }

func (d *direct) do(ctx context.Context, method, key string, body []byte, header, condition string) (result, error) {
	request, err := d.request(ctx, method, key, body, header, condition)
	if err != nil {
		return result{}, err
	}
	if d.wire != nil {
		return d.wire.do(ctx, request, body)
	}
	response, err := d.options.HTTPClient.Do(request)
	if err != nil {
		return result{}, err
	}
	// The transport reuses a connection only if the body was read to its end.
	_, _ = io.CopyN(io.Discard, response.Body, maxResponseBytes)
	_ = response.Body.Close()
	return resultOf(response), nil
}

// request returns a signed request.
func (d *direct) request(ctx context.Context, method, key string, body []byte, header, condition string) (*http.Request, error) {
	if d.options.Credentials == nil {
		return nil, errAnonymous
	}
	base, err := d.bucketURL(ctx)
	if err != nil {
		return nil, err
	}
	target := *base
	target.RawPath = base.EscapedPath() + httpbinding.EscapePath(key, false)
	target.Path = base.Path + key
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	request, err := http.NewRequestWithContext(ctx, method, target.String(), reader)
	if err != nil {
		return nil, err
	}
	request.Header.Set(header, condition)
	request.Header.Set("X-Amz-Content-Sha256", unsignedPayload)
	if body != nil {
		request.Header.Set("Content-Type", conditionalType)
	}
	credentials, err := d.options.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	return request, d.options.HTTPSignerV4.SignHTTP(ctx, credentials, request, unsignedPayload, "s3", d.options.Region, d.now())
}

// bucketURL returns the bucket's URL, which the SDK resolves once.
func (d *direct) bucketURL(ctx context.Context) (*url.URL, error) {
	if base := d.base.Load(); base != nil {
		return base, nil
	}
	const key = "k"
	signed, err := d.presign.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &d.bucket, Key: aws.String(key)})
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(signed.URL)
	if err != nil {
		return nil, err
	}
	path, found := strings.CutSuffix(base.Path, "/"+key)
	if !found {
		return nil, fmt.Errorf("path %q", base.Path)
	}
	base.RawQuery, base.RawPath, base.Path = "", "", path+"/"
	d.base.Store(base)
	return base, nil
}
