package main

import (
	"context"
	"time"

	"github.com/insighthub/insighthub/lib/api"
	"github.com/insighthub/insighthub/lib/aws/s3"
)

// files adapts the bucket of exports to api.Files.
type files struct{ store *s3.Store }

var _ api.Files = files{}

// Create implements api.Files.
func (f files) Create(ctx context.Context, key, contentType string) (api.File, error) {
	return f.store.Create(ctx, key, contentType)
}

// Address implements api.Files.
func (f files) Address(ctx context.Context, key, fileName string, ttl time.Duration) (string, error) {
	return f.store.PresignGet(ctx, key, fileName, ttl)
}
