package config_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	awsconfig "github.com/insighthub/insighthub/lib/aws/config"
)

func TestSigV4(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	var failure error
	s := &awsconfig.SigV4{Region: "eu-west-1", Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "a-test", SessionToken: "session"}, failure
	})}
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
	sign := func(s *awsconfig.SigV4, body string) (http.Header, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/api/v1/query", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		return r.Header, s.Sign(t.Context(), r, []byte(body), now)
	}
	one, err := sign(s, "one")
	const prefix = "AWS4-HMAC-SHA256 Credential=AKID/20261123/eu-west-1/aps/aws4_request"
	if got := one.Get("Authorization"); err != nil || !strings.HasPrefix(got, prefix) {
		t.Errorf("got authorization %q, %v; want the prefix %q", got, err, prefix)
	}
	if got := one.Get("X-Amz-Security-Token"); got != "session" {
		t.Errorf("got session token %q, want session", got)
	}
	if other, err := sign(s, "two"); err != nil || other.Get("Authorization") == one.Get("Authorization") {
		t.Errorf("got the same signature for another body, %v", err)
	}
	failure = errors.New("expired")
	if header, err := sign(s, "one"); !errors.Is(err, failure) || header.Get("Authorization") != "" {
		t.Errorf("%v, %v", header, err)
	}
	var none *awsconfig.SigV4
	if header, err := sign(none, "one"); err != nil || len(header) > 0 || none.Validate() != nil {
		t.Errorf("without a signature: %v, %v", header, err)
	}
	err = new(awsconfig.SigV4).Validate()
	if err == nil || !strings.Contains(err.Error(), "region") || !strings.Contains(err.Error(), "credentials") {
		t.Errorf("got %v, want region and credentials in it", err)
	}
}
