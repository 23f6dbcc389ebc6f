package s3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/insighthub/insighthub/cdk/local/s3"
)

const bucket = "insighthub-dev-failures"

func open(t *testing.T, dir string) (*s3.Store, *awss3.Client, func()) {
	t.Helper()
	store, err := s3.New(s3.Config{Dir: dir, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(store.Handler())
	client := awss3.New(awss3.Options{
		BaseEndpoint: aws.String(server.URL),
		UsePathStyle: true,
		Region:       "eu-central-1",
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
	return store, client, sync.OnceFunc(func() {
		server.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
}

func put(ctx context.Context, client *awss3.Client, key string, body []byte, ifNoneMatch *string) error {
	_, err := client.PutObject(ctx, &awss3.PutObjectInput{
		Bucket: aws.String(bucket), Key: aws.String(key), Body: bytes.NewReader(body), IfNoneMatch: ifNoneMatch,
	})
	return err
}

func get(t *testing.T, client *awss3.Client, key string) []byte {
	t.Helper()
	out, err := client.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	defer func() { _ = out.Body.Close() }()
	body, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestObjectsLast(t *testing.T) {
	dir := t.TempDir()
	_, client, closeStore := open(t, dir)
	defer func() { closeStore() }()
	keys := []string{
		"a", "a/b", "a/b/c", "with space", "ünïcode/☃", "plus+and%25", "dots/.hidden", "x=1/y=2/shardId-000000000000:495.json",
		strings.Repeat("k", 300), strings.Repeat("long/", 190),
	}
	for i, key := range keys {
		if err := put(t.Context(), client, key, bytes.Repeat([]byte(key), i), nil); err != nil {
			t.Fatalf("put %q: %v", key, err)
		}
	}
	closeStore()
	_, client, closeStore = open(t, dir)
	for i, key := range keys {
		if got := get(t, client, key); !bytes.Equal(got, bytes.Repeat([]byte(key), i)) {
			t.Errorf("%q: got %d bytes, want %d", key, len(got), i*len(key))
		}
	}
	var listed []string
	pages := awss3.NewListObjectsV2Paginator(client, &awss3.ListObjectsV2Input{Bucket: aws.String(bucket), MaxKeys: aws.Int32(3)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range page.Contents {
			listed = append(listed, *object.Key)
		}
	}
	slices.Sort(keys)
	if !slices.Equal(listed, keys) {
		t.Errorf("listed %q, want %q", listed, keys)
	}
}

func TestIfNoneMatch(t *testing.T) {
	_, client, closeStore := open(t, t.TempDir())
	defer closeStore()
	var stored atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			err := put(t.Context(), client, "once", []byte{byte(i)}, aws.String("*"))
			var apiError smithy.APIError
			switch {
			case err == nil:
				stored.Add(1)
			case !errors.As(err, &apiError) || apiError.ErrorCode() != "PreconditionFailed":
				t.Errorf("got %v, want PreconditionFailed", err)
			}
		})
	}
	wg.Wait()
	if n := stored.Load(); n != 1 {
		t.Errorf("got %d successful writes of 8, want 1", n)
	}
}

func TestNotFound(t *testing.T) {
	_, client, closeStore := open(t, t.TempDir())
	defer closeStore()
	_, err := client.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("none")})
	if _, ok := errors.AsType[*types.NoSuchKey](err); !ok {
		t.Errorf("got %v, want NoSuchKey", err)
	}
	_, err = client.PutObject(t.Context(), &awss3.PutObjectInput{
		Bucket: aws.String("no-such-bucket"), Key: aws.String("k"),
		Body: strings.NewReader("x"),
	})
	var apiError smithy.APIError
	if !errors.As(err, &apiError) || apiError.ErrorCode() != "NoSuchBucket" {
		t.Errorf("got %v, want NoSuchBucket", err)
	}
}

func TestLargeObject(t *testing.T) {
	_, client, closeStore := open(t, t.TempDir())
	defer closeStore()
	body := bytes.Repeat([]byte("0123456789abcdef"), 6<<20/16)
	if err := put(t.Context(), client, "large", body, nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(get(t, client, "large"), body) {
		t.Error("got another object than was put")
	}
}

func TestBucketsAndLocks(t *testing.T) {
	dir := t.TempDir()
	store, _, closeStore := open(t, dir)
	defer closeStore()
	if err := store.CreateBucket(bucket); err != nil {
		t.Errorf("existing bucket: %v", err)
	}
	if err := store.CreateBucket("Not A Bucket"); err == nil {
		t.Error("invalid bucket name: got no error")
	}
	if _, err := s3.New(s3.Config{Dir: dir, Now: time.Now}); err == nil {
		t.Error("second store over the same file: got no error")
	}
}
