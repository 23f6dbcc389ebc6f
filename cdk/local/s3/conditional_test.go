package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

func putIfMatch(ctx context.Context, client *awss3.Client, key string, body []byte, etag string) (string, error) {
	out, err := client.PutObject(ctx, &awss3.PutObjectInput{
		Bucket: aws.String(bucket), Key: aws.String(key), Body: bytes.NewReader(body), IfMatch: &etag,
	})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.ETag), nil
}

// codeOf returns the error code and the status of a response, "" and 0 without an error.
func codeOf(err error) (string, int) {
	var code string
	var status int
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code = api.ErrorCode()
	}
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		status = response.HTTPStatusCode()
	}
	return code, status
}

func wantCode(t *testing.T, err error, code string, status int) {
	t.Helper()
	if c, s := codeOf(err); c != code || s != status {
		t.Errorf("got %v (%s, %d), want %s, %d", err, c, s, code, status)
	}
}

func TestIfMatch(t *testing.T) {
	_, client, closeStore := open(t, t.TempDir())
	defer closeStore()
	const key = "state/bridge/shardId-000000000000"

	_, err := putIfMatch(t.Context(), client, key, []byte("x"), `"00000000000000000000000000000000"`)
	wantCode(t, err, "NoSuchKey", http.StatusNotFound)
	if err := put(t.Context(), client, key, []byte("one"), aws.String("*")); err != nil {
		t.Fatal(err)
	}
	head, err := client.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	if err != nil {
		t.Fatal(err)
	}
	first := aws.ToString(head.ETag)
	second, err := putIfMatch(t.Context(), client, key, []byte("two"), first)
	if err != nil || second == first || second == "" {
		t.Fatalf("got %q after %q, %v", second, first, err)
	}
	_, err = putIfMatch(t.Context(), client, key, []byte("late"), first)
	wantCode(t, err, "PreconditionFailed", http.StatusPreconditionFailed)
	if got := get(t, client, key); string(got) != "two" {
		t.Errorf("after a rejected write: got %q, want %q", got, "two")
	}
	if _, err = putIfMatch(t.Context(), client, key, []byte("three"), second); err != nil {
		t.Error(err)
	}
	if _, err := client.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)}); err != nil {
		t.Fatal(err)
	}
	_, err = putIfMatch(t.Context(), client, key, []byte("four"), second)
	wantCode(t, err, "NoSuchKey", http.StatusNotFound)
}

// TestIfMatchHasOneWinner starts writers that have all read the same object; one of each round succeeds.
func TestIfMatchHasOneWinner(t *testing.T) {
	_, client, closeStore := open(t, t.TempDir())
	defer closeStore()
	if err := put(t.Context(), client, "k", []byte("start"), nil); err != nil {
		t.Fatal(err)
	}
	head, err := client.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("k")})
	if err != nil {
		t.Fatal(err)
	}
	etag := aws.ToString(head.ETag)
	for round := range 10 {
		const writers = 4
		etags, errs := make([]string, writers), make([]error, writers)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				<-start
				etags[i], errs[i] = putIfMatch(t.Context(), client, "k", fmt.Appendf(nil, "%d/%d", round, i), etag)
			})
		}
		close(start)
		wg.Wait()
		winner := -1
		for i, err := range errs {
			switch {
			case err != nil:
				wantCode(t, err, "PreconditionFailed", http.StatusPreconditionFailed)
			case winner >= 0:
				t.Fatalf("round %d: writers %d and %d succeeded, want one", round, winner, i)
			default:
				winner = i
			}
		}
		if winner < 0 {
			t.Fatalf("round %d: no writer succeeded", round)
		}
		if got, want := string(get(t, client, "k")), fmt.Sprintf("%d/%d", round, winner); got != want {
			t.Fatalf("round %d: got object %q, want %q", round, got, want)
		}
		etag = etags[winner]
	}
}

func TestConditionThatIsNotImplemented(t *testing.T) {
	_, client, closeStore := open(t, t.TempDir())
	defer closeStore()
	err := put(t.Context(), client, "k", []byte("x"), aws.String(`"0123"`))
	wantCode(t, err, "NotImplemented", http.StatusNotImplemented)
}

func TestGetIfNoneMatch(t *testing.T) {
	_, client, closeStore := open(t, t.TempDir())
	defer closeStore()
	if err := put(t.Context(), client, "k", []byte("one"), nil); err != nil {
		t.Fatal(err)
	}
	out, err := client.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("k")})
	if err != nil {
		t.Fatal(err)
	}
	_ = out.Body.Close()
	_, err = client.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("k"), IfNoneMatch: out.ETag})
	if _, status := codeOf(err); status != http.StatusNotModified {
		t.Errorf("got %v, want 304", err)
	}
}
