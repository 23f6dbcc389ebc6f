// Package secrets reads secrets from AWS Secrets Manager, and replaces their values.
package secrets

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/insighthub/insighthub/lib/aws/failure"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Client is the part of the SDK's client that a Store uses.
type Client interface {
	GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (
		*secretsmanager.GetSecretValueOutput, error)
}

var _ Client = (*secretsmanager.Client)(nil)

// Store reads secrets. It caches nothing: after a rotation, Get returns the new value. It is
// safe for concurrent use.
type Store struct{ client Client }

// New returns a Store over the SDK's client for cfg.
func New(cfg aws.Config) *Store { return NewFromClient(secretsmanager.NewFromConfig(cfg)) }

// NewFromClient returns a Store over client.
func NewFromClient(client Client) *Store { return &Store{client: client} }

// Get returns the current value of the secret named by its ARN or name, text
// or binary. Errors wrap telemetry.ErrNotFound when there is no such secret or it is marked
// for deletion, telemetry.ErrUnavailable when the service does not respond within the
// context's deadline or throttles. An error never contains the value.
func (s *Store) Get(ctx context.Context, arn string) ([]byte, error) {
	out, err := s.client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(arn)})
	if err != nil {
		return nil, fmt.Errorf("get secret %q: %w", arn, classify(err))
	}
	switch {
	case out.SecretString != nil:
		return []byte(*out.SecretString), nil
	case out.SecretBinary != nil:
		return out.SecretBinary, nil
	default:
		return nil, fmt.Errorf("get secret %q: no value: %w", arn, telemetry.ErrNotFound)
	}
}

// Writer is a Store that also replaces the values of secrets.
type Writer struct {
	*Store
	client *secretsmanager.Client
}

// NewWriter returns a Writer over the SDK's client for cfg.
func NewWriter(cfg aws.Config) *Writer {
	client := secretsmanager.NewFromConfig(cfg)
	return &Writer{NewFromClient(client), client}
}

// Put replaces the value of a secret, as text. Errors are those of Get.
func (w *Writer) Put(ctx context.Context, arn string, value []byte) error {
	_, err := w.client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
		SecretId: aws.String(arn), SecretString: aws.String(string(value)),
	})
	if err != nil {
		return fmt.Errorf("put secret %q: %w", arn, classify(err))
	}
	return nil
}

// classify adds the sentinel that err stands for.
func classify(err error) error {
	return failure.Wrap(err, map[string]error{
		"ResourceNotFoundException": telemetry.ErrNotFound,
		"InvalidRequestException":   telemetry.ErrNotFound, // marked for deletion
	})
}
