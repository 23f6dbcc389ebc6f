package config

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// SigV4 signs requests to workspaces of Amazon Managed Service for Prometheus, for
// which the SDK has no client. It is safe for concurrent use; nil signs nothing.
type SigV4 struct {
	Region      string
	Credentials aws.CredentialsProvider
}

// Validate names every field that is missing.
func (s *SigV4) Validate() error {
	if s == nil {
		return nil
	}
	var problems []error
	if s.Region == "" {
		problems = append(problems, errors.New("region: not set"))
	}
	if s.Credentials == nil {
		problems = append(problems, errors.New("credentials: not set"))
	}
	return errors.Join(problems...)
}

// Sign signs a request whose headers are complete, and its body.
func (s *SigV4) Sign(ctx context.Context, request *http.Request, body []byte, now time.Time) error {
	if s == nil {
		return nil
	}
	credentials, err := s.Credentials.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	const service = "aps"
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, credentials, request, hex.EncodeToString(sum[:]), service, s.Region, now); err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	return nil
}
