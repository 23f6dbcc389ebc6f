// Package conformance tests implementations of Kinesis Data Streams through the AWS SDK.
// The same cases run against the emulator and against kinesalite, an independent
// implementation that was compared with the real service: what both do is unlikely to be
// the mistake of one author.
//
// Where kinesalite differs from a case, and AWS's documentation agrees with the case, its
// differs member says so, with the place in the documentation. Such a case must fail with
// kinesalite: a difference that no longer exists is reported, so that the list stays true.
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

// Implementation is the name of an implementation.
type Implementation string

// The implementations that the cases are run against.
const (
	InsightHub Implementation = "insighthub"
	Kinesalite Implementation = "kinesalite"
)

// Options say what is tested.
type Options struct {
	Implementation Implementation
}

// testCase is one required behavior. run returns an error if the implementation differs.
type testCase struct {
	name string
	run  func(ctx context.Context, e *env) error
	// differs says, for an implementation with which the case must fail, how it differs
	// and which documentation agrees with the case.
	differs map[Implementation]string
}

// env has the client of a case, and the name of its stream, which is that of the case.
type env struct {
	*sdk.Client
	endpoint string
	stream   string
}

// Run runs every case against the endpoint, which must have AWS's limits for
// writing, allow 50 shards, and have none of the streams that are named after the cases.
func Run(t *testing.T, endpoint string, o Options) {
	t.Helper()
	client := sdk.New(sdk.Options{
		Region: "us-east-1", BaseEndpoint: &endpoint,
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
		Retryer:     aws.NopRetryer{}, // the cases check errors
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

// rejected returns nil when err is an API error of that type.
func rejected(what string, err error, want string) error {
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
