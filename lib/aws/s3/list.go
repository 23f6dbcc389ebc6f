package s3

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Keys returns the keys that begin with prefix and sort after after, by their bytes: at
// most limit, and at most 1,000.
func (s *Store) Keys(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	input := &s3.ListObjectsV2Input{Bucket: &s.bucket, MaxKeys: aws.Int32(int32(min(limit, 1000)))}
	if prefix != "" {
		input.Prefix = &prefix
	}
	if after != "" {
		input.StartAfter = &after
	}
	out, err := s.client.ListObjectsV2(ctx, input)
	if err != nil {
		return nil, s.wrap(err, "list", prefix)
	}
	keys := make([]string, len(out.Contents))
	for i, object := range out.Contents {
		keys[i] = aws.ToString(object.Key)
	}
	return keys, nil
}
