package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3afero"
	"github.com/spf13/afero"

	"github.com/insighthub/insighthub/cdk/local/eventsource"
)

type objects struct{ backend gofakes3.Backend }

func (s *Stack) startObjects(ctx context.Context) error {
	dir := s.cfg.path("objects")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b, err := s3afero.MultiBucket(afero.NewBasePathFs(afero.NewOsFs(), dir))
	if err != nil {
		return err
	}
	s.objects = &objects{b}
	for _, bucket := range s.plan.Buckets {
		if ok, err := b.BucketExists(bucket.Name); err != nil {
			return err
		} else if !ok {
			if err := b.CreateBucket(bucket.Name); err != nil {
				return err
			}
		}
		s.say("bucket     %s", bucket.Name)
	}
	s.endpoints.objects, err = s.serveLocal(ctx, "objects", gofakes3.New(b).Server())
	return err
}

type bucketSink struct {
	o      *objects
	bucket string
}

func (o *objects) sink(bucket string) eventsource.FailureSink { return bucketSink{o, bucket} }

func (b bucketSink) Put(_ context.Context, key string, body []byte) error {
	_, err := b.o.backend.PutObject(b.bucket, key, nil, bytes.NewReader(body), int64(len(body)), nil)
	return err
}

func newSecrets(values map[string]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct{ SecretId string }
		_ = json.NewDecoder(r.Body).Decode(&q)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		v, ok := values[q.SecretId]
		if !ok {
			w.WriteHeader(400)
			fmt.Fprint(w, `{"__type":"ResourceNotFoundException"}`)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"ARN": q.SecretId, "Name": q.SecretId, "SecretString": v})
	})
}
