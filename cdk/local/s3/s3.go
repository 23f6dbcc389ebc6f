// Package s3 emulates Amazon S3: gofakes3 over one file, which outlives the process.
//
// The objects are stored in a bolt file rather than as files in a folder, since any key
// is safe in it: "a" next to "a/b", "..", names longer than a file name.
//
// When a PutObject has a response, the object is written to the file, and survives any
// end of this process. Only Close syncs the file: a loss of power may lose objects, unlike
// in S3. A sync a few times a second would slow down the database on the same disk.
//
// Conditional writes of whole objects (If-None-Match: *, If-Match) behave as S3's, each in
// one transaction of that file. Versions, signatures and checksums are ignored. Requests
// address buckets in path style.
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
	// lockTimeout is the wait for another process that has locked the file.
	lockTimeout = 2 * time.Second
)

// Config of a Store.
type Config struct {
	// Dir is the folder of the file; it is created.
	Dir string
	Now func() time.Time
}

// Store holds buckets and their objects. It is safe for concurrent use.
type Store struct {
	db      *bolt.DB
	backend *backend
	handler http.Handler
}

// New opens the store of a folder. It fails if another process has locked it.
func New(cfg Config) (*Store, error) {
	if err := os.MkdirAll(cfg.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("s3.New: %w", err)
	}
	file := filepath.Join(cfg.Dir, fileName)
	db, err := bolt.Open(file, 0o600, &bolt.Options{
		Timeout: lockTimeout, NoSync: true, NoFreelistSync: true,
		FreelistType: bolt.FreelistMapType,
	})
	if err != nil {
		return nil, fmt.Errorf("s3.New: open %s: %w", file, err)
	}
	clock := timeSource(cfg.Now)
	objects := &backend{Backend: s3bolt.New(db, s3bolt.WithTimeSource(clock))}
	server := gofakes3.New(objects, gofakes3.WithTimeSource(clock), gofakes3.WithTimeSkewLimit(0))
	s := &Store{db: db, backend: objects}
	s.handler = s.conditional(server.Server())
	return s, nil
}

// Handler returns the S3 API.
func (s *Store) Handler() http.Handler { return s.handler }

// CreateBucket creates a bucket unless it exists.
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

// Close syncs, unlocks and closes the file. Requests must have ended.
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
