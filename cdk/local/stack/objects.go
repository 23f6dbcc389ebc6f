package stack

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/insighthub/insighthub/cdk/local/eventsource"
	"github.com/insighthub/insighthub/cdk/local/s3"
)

// startObjects starts the emulator of S3 with the buckets.
func (s *Stack) startObjects(ctx context.Context) error {
	store, err := s3.New(s3.Config{Dir: s.cfg.path("objects"), Now: s.cfg.Now})
	if err != nil {
		return err
	}
	s.onClose("buckets", func(context.Context) error { return store.Close() })
	for _, b := range s.plan.Buckets {
		if err := store.CreateBucket(b.Name); err != nil {
			return fmt.Errorf("%s: %w", b, err)
		}
		s.printf("bucket     %s", b.Name)
	}
	if s.endpoints.objects, err = s.serveLocal(ctx, "objects", store.Handler()); err != nil {
		return err
	}
	s.info.Objects, s.info.Buckets = s.endpoints.objects, make(map[string]string)
	for _, f := range s.plan.Functions {
		for variable, name := range f.Env {
			if strings.HasSuffix(variable, "_BUCKET") {
				s.info.Buckets[variable] = name
			}
		}
	}
	s.objects = awss3.New(awss3.Options{
		Region: s.plan.Region, BaseEndpoint: aws.String(s.endpoints.objects), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
	return nil
}

// failureBucket is the on-failure destination of a mapping.
type failureBucket struct {
	client *awss3.Client
	name   string
	printf func(format string, args ...any)
}

var _ eventsource.FailureSink = failureBucket{}

func (b failureBucket) Put(ctx context.Context, key string, body []byte) error {
	_, err := b.client.PutObject(ctx, &awss3.PutObjectInput{
		Bucket: aws.String(b.name), Key: aws.String(key), Body: bytes.NewReader(body), ContentType: aws.String("application/json"),
	})
	if err == nil {
		b.printf("failed     records, saved in bucket %s, object %s", b.name, key)
	}
	return err
}
