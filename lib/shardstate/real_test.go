package shardstate_test

import (
	"context"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	locals3 "github.com/insighthub/insighthub/cdk/local/s3"
	"github.com/insighthub/insighthub/lib/aws/kinesis"
	"github.com/insighthub/insighthub/lib/aws/s3"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/shardstate/shardstatetest"
)

var (
	_ shardstate.Objects = (*s3.Store)(nil)
	_ shardstate.Lineage = (*kinesis.Shards)(nil)
)

const bucket = "state"

// overS3 returns a function that creates empty buckets in one local S3 and opens them
// with the SDK, or, if wire is not nil, with the adapter's own connections.
func overS3(t *testing.T, wire *s3.Wire) func(*testing.T) shardstate.Objects {
	t.Helper()
	store, err := locals3.New(locals3.Config{Dir: t.TempDir(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(store.Handler())
	t.Cleanup(func() {
		server.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	buckets := 0
	return func(t *testing.T) shardstate.Objects {
		t.Helper()
		buckets++
		name := bucket + "-" + string(rune('a'+buckets/26%26)) + string(rune('a'+buckets%26))
		if err := store.CreateBucket(name); err != nil {
			t.Fatal(err)
		}
		objects, err := s3.New(s3.Config{
			AWS: aws.Config{
				Region: "eu-west-1", BaseEndpoint: &server.URL,
				Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
					return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "a-test"}, nil
				}),
			},
			Bucket: name, PathStyle: true, Wire: wire,
		})
		if err != nil {
			t.Fatal(err)
		}
		return objects
	}
}

// transports are the ways in which lib/aws/s3 sends its requests.
func transports() map[string]*s3.Wire {
	return map[string]*s3.Wire{"transport": nil, "wire": {Dial: new(net.Dialer).DialContext}}
}

func TestConformanceOverS3(t *testing.T) {
	for name, wire := range transports() {
		t.Run(name, func(t *testing.T) { shardstatetest.Run(t, overS3(t, wire)) })
	}
}

func TestRandomOverS3(t *testing.T) {
	for name, wire := range transports() {
		open := overS3(t, wire)
		for seed := range uint64(10) {
			if err := shardstatetest.Random(t.Context(), open(t), 200, shardstatetest.Seeded(seed)); err != nil {
				t.Errorf("%s, seed %d: %v", name, seed, err)
			}
		}
	}
}
