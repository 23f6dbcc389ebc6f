package s3

import (
	"bytes"
	"io"
	"slices"
	"sync"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3bolt"
)

// backend is s3bolt's, whose objects refer to the mapped memory of the bolt file after the
// transaction that read them: a write may change or unmap it while a response is sent
// (gofakes3 v1.2.0). So no write runs while an object is copied, and the copy is sent.
type backend struct {
	*s3bolt.Backend
	mu sync.RWMutex
}

var _ gofakes3.Backend = (*backend)(nil)

func (b *backend) GetObject(bucket, key string, part *gofakes3.ObjectRangeRequest) (*gofakes3.Object, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	object, err := b.Backend.GetObject(bucket, key, part)
	if err != nil || object == nil {
		return nil, err
	}
	contents, err := io.ReadAll(object.Contents)
	if err != nil {
		return nil, err
	}
	object.Contents = io.NopCloser(bytes.NewReader(contents))
	object.Hash = slices.Clone(object.Hash)
	return object, nil
}

func (b *backend) HeadObject(bucket, key string) (*gofakes3.Object, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	object, err := b.Backend.HeadObject(bucket, key)
	if err != nil || object == nil {
		return nil, err
	}
	object.Hash = slices.Clone(object.Hash)
	return object, nil
}

func (b *backend) PutObject(
	bucket, key string, meta map[string]string, input io.Reader, size int64, conditions *gofakes3.PutConditions,
) (gofakes3.PutObjectResult, error) {
	contents, err := gofakes3.ReadAll(input, size) // not under the lock: the client sends it
	if err != nil {
		return gofakes3.PutObjectResult{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Backend.PutObject(bucket, key, meta, bytes.NewReader(contents), size, conditions)
}

func (b *backend) CopyObject(fromBucket, from, toBucket, to string, meta map[string]string) (gofakes3.CopyObjectResult, error) {
	return gofakes3.CopyObject(b, fromBucket, from, toBucket, to, meta)
}

func (b *backend) DeleteObject(bucket, key string) (gofakes3.ObjectDeleteResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Backend.DeleteObject(bucket, key)
}

func (b *backend) DeleteMulti(bucket string, keys ...string) (gofakes3.MultiDeleteResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Backend.DeleteMulti(bucket, keys...)
}

func (b *backend) CreateBucket(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Backend.CreateBucket(name)
}

func (b *backend) DeleteBucket(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Backend.DeleteBucket(name)
}

func (b *backend) ForceDeleteBucket(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Backend.ForceDeleteBucket(name)
}
