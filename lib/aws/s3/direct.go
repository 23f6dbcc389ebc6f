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

// direct makes plain requests of one bucket with the SDK's signer and transport,
// past the rest of the SDK: that builds some forty steps for each call, 400
// allocations, which is more than signing and sending cost. It knows success only.
// For any other answer ok is false, and the caller asks again through the SDK,
// which retries and tells failures apart.
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
	a, err := d.do(ctx, http.MethodPut, key, body, header, condition)
	return a.etag, err == nil && a.status == http.StatusOK && a.etag != ""
}

// unchanged reports whether an object still has that ETag.
func (d *direct) unchanged(ctx context.Context, key, etag string) bool {
	a, err := d.do(ctx, http.MethodGet, key, nil, "If-None-Match", etag)
	return err == nil && a.status == http.StatusNotModified
}

// answer is what is looked at of a response.
type answer struct {
	status int
	etag   string
}

func answerOf(r *http.Response) answer { return answer{r.StatusCode, r.Header.Get("ETag")} }

func (d *direct) do(ctx context.Context, method, key string, body []byte, header, condition string) (answer, error) {
	request, err := d.request(ctx, method, key, body, header, condition)
	if err != nil {
		return answer{}, err
	}
	if d.wire != nil {
		return d.wire.do(ctx, request, body)
	}
	response, err := d.options.HTTPClient.Do(request)
	if err != nil {
		return answer{}, err
	}
	// What is read leaves the connection to the next request.
	_, _ = io.CopyN(io.Discard, response.Body, maxAnswer)
	_ = response.Body.Close()
	return answerOf(response), nil
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

// bucketURL asks the SDK where the bucket is, once.
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
