// Package s3 is a local body of Amazon S3: gofakes3 over one file that lasts.
//
// The objects are kept in a bolt file rather than as files in a folder, since
// any key is safe in it: "a" beside "a/b", "..", names longer than a file's.
//
// A PutObject is in the file when it is answered, and so outlives this process
// however that ends. It is not waited for until the disk has it: only Close does. A
// machine that loses power may lose the objects, which S3 would not; a wait for
// the disk a few times a second would take it from the database beside it.
//
// Conditional writes of whole objects (If-None-Match: *, If-Match) are S3's, each
// one transaction of that file; versions, signatures and checksums are not looked
// at. Requests address buckets in path style.
package s3

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3bolt"
	bolt "go.etcd.io/bbolt"
)

const (
	fileName = "objects.bolt"
	// lockTimeout is how long to wait for another process that holds the file.
	lockTimeout = 2 * time.Second
)

// Config says where the objects are kept.
type Config struct {
	// Dir is the folder of the file; it is created.
	Dir string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Store holds buckets and their objects. It is safe for concurrent use.
type Store struct {
	db      *bolt.DB
	backend *s3bolt.Backend
	handler http.Handler
}

// New opens the store of a folder; it fails when another process holds it.
func New(cfg Config) (*Store, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if err := os.MkdirAll(cfg.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("s3.New: %w", err)
	}
	file := filepath.Join(cfg.Dir, fileName)
	db, err := bolt.Open(file, 0o600, &bolt.Options{Timeout: lockTimeout, NoSync: true, NoFreelistSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, fmt.Errorf("s3.New: open %s: %w", file, err)
	}
	clock := timeSource(cfg.Now)
	backend := s3bolt.New(db, s3bolt.WithTimeSource(clock))
	server := gofakes3.New(backend, gofakes3.WithTimeSource(clock), gofakes3.WithTimeSkewLimit(0))
	s := &Store{db: db, backend: backend}
	s.handler = s.conditional(server.Server())
	return s, nil
}

// Handler serves the S3 API.
func (s *Store) Handler() http.Handler { return s.handler }

// CreateBucket creates a bucket unless it is there.
func (s *Store) CreateBucket(name string) error {
	if err := gofakes3.ValidateBucketName(name); err != nil {
		return fmt.Errorf("create bucket %q: %w", name, err)
	}
	err := s.backend.CreateBucket(name)
	if err != nil && !gofakes3.HasErrorCode(err, gofakes3.ErrBucketAlreadyExists) {
		return fmt.Errorf("create bucket %q: %w", name, err)
	}
	return nil
}

// Close brings the file to disk and lets it go. Requests must have ended.
func (s *Store) Close() error {
	if s.db.Path() == "" { // closed already
		return nil
	}
	if err := errors.Join(s.db.Sync(), s.db.Close()); err != nil {
		return fmt.Errorf("close the object store: %w", err)
	}
	return nil
}

// timeSource is gofakes3's clock.
type timeSource func() time.Time

var _ gofakes3.TimeSource = timeSource(nil)

// Now implements gofakes3.TimeSource.
func (t timeSource) Now() time.Time { return t() }

// Since implements gofakes3.TimeSource.
func (t timeSource) Since(at time.Time) time.Duration { return t().Sub(at) }
