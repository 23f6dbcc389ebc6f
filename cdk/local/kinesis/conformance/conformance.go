// Package conformance holds what any Kinesis Data Streams must do, as cases that
// talk to an endpoint through the AWS SDK. The same cases run against the local
// stack's server and against kinesalite, an independent implementation made
// beside the real service: what both do is unlikely to be one author's mistake.
//
// Where kinesalite does otherwise, and AWS's documentation is on the side of the
// case, the case says so in its differs member, with the place in the
// documentation. Such a case must fail there: a difference that has gone away is
// reported, so that the list stays true.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go"
)

// Implementation names what stands behind the endpoint.
type Implementation string

// The implementations whose differences the cases know.
const (
	InsightHub Implementation = "insighthub"
	Kinesalite Implementation = "kinesalite"
)

// Options say what is tested.
type Options struct {
	Implementation Implementation
}

// testCase is one thing that must hold. run returns what does not.
type testCase struct {
	name string
	run  func(ctx context.Context, e *env) error
	// differs says, for an implementation on which the case must fail, how it
	// differs and which documentation sides with the case.
	differs map[Implementation]string
}

// env is what a case works with: a client, and streams named after the case.
type env struct {
	*sdk.Client
	endpoint string
	stream   string
}

// Run runs every case against the endpoint, which must have AWS's limits for
// writing, room for 50 shards, and none of the streams that are named after the cases.
func Run(t *testing.T, endpoint string, o Options) {
	t.Helper()
	client := sdk.New(sdk.Options{
		Region: "us-east-1", BaseEndpoint: &endpoint,
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
		Retryer:     aws.NopRetryer{}, // what is refused is to be seen
		HTTPClient:  &http.Client{Transport: plainBody{http.DefaultTransport}},
	})
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			e := &env{client, endpoint, "case-" + strings.NewReplacer(" ", "-", "'", "").Replace(c.name)}
			err := c.run(ctx, e)
			// Not deferred with the case's context: shards must be given back even when it timed out.
			_, _ = client.DeleteStream(context.WithoutCancel(ctx), &sdk.DeleteStreamInput{StreamName: &e.stream}) // most often it is there
			why, differs := c.differs[o.Implementation]
			switch {
			case differs && err == nil:
				t.Errorf("%s no longer differs: %s", o.Implementation, why)
			case differs:
				t.Logf("%s differs, as listed (%s): %v", o.Implementation, why, err)
			case err != nil:
				t.Error(err)
			}
		})
	}
}

// cases are all of them.
func cases() []testCase {
	var all []testCase
	for _, some := range [][]testCase{streamCases(), putCases(), readCases(), reshardCases(), protocolCases()} {
		all = append(all, some...)
	}
	return all
}

// plainBody keeps the transport from the request body's WriterTo, which fails
// now and then when a fast server has answered.
type plainBody struct{ next http.RoundTripper }

// RoundTrip sends r.
func (p plainBody) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r = r.Clone(r.Context())
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return p.next.RoundTrip(r)
}

// make creates the case's stream and waits until it is active.
func (e *env) make(ctx context.Context, shards int32) error {
	if _, err := e.CreateStream(ctx, &sdk.CreateStreamInput{StreamName: &e.stream, ShardCount: &shards}); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	return e.settle(ctx)
}

// settle waits until the stream is active.
func (e *env) settle(ctx context.Context) error {
	return until(ctx, func() (bool, error) {
		d, err := e.DescribeStreamSummary(ctx, &sdk.DescribeStreamSummaryInput{StreamName: &e.stream})
		return err == nil && d.StreamDescriptionSummary.StreamStatus == "ACTIVE", err
	})
}

// until calls f until it is true.
func until(ctx context.Context, f func() (bool, error)) error {
	for {
		done, err := f()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// refused returns nil when err is an API error of that type.
func refused(what string, err error, want string) error {
	var api smithy.APIError
	switch {
	case err == nil:
		return fmt.Errorf("%s: accepted, want %s", what, want)
	case !errors.As(err, &api):
		return fmt.Errorf("%s: %w, want %s", what, err, want)
	case api.ErrorCode() != want:
		return fmt.Errorf("%s: %s (%s), want %s", what, api.ErrorCode(), api.ErrorMessage(), want)
	default:
		return nil
	}
}

// differ returns an error unless got is want.
func differ[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s: %v, want %v", what, got, want)
	}
	return nil
}
