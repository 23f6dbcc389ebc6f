package shardstate

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"sync"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Config is a Store's.
type Config[S any] struct {
	Objects Objects
	Lineage Lineage
	Codec   Codec[S]

	// Consumer and Stream name whose states these are; a slash is not allowed in
	// them. A stream that is deleted and made again begins with the same shard ids:
	// give it another name here, or delete the old states.
	Consumer, Stream string
	// Prefix stands before all keys; default "shardstate/".
	Prefix string
	// Compress stores the states with zstd.
	Compress bool
	// MaxStateBytes bounds an encoded state, before compression; default 64 MiB.
	MaxStateBytes int
	// CacheShards bounds how many shards' states are held in memory; default 8.
	CacheShards int
	// Rand gives what marks a save as one's own; default crypto/rand. Two
	// processes must never draw the same. Safe for concurrent use.
	Rand io.Reader
}

// Store loads and saves the states of one consumer of one stream. It is safe for
// concurrent use.
type Store[S any] struct {
	cfg      Config[S]
	compress *compressor

	mu    sync.Mutex
	cache map[ShardID]*entry[S]
	clock uint64 // counts uses of the cache
	// doubts are how many calls of Recall are still to ask, by shards that others
	// have saved lately.
	doubts map[ShardID]int
}

// doubted is for how many calls of Recall a shard is asked for after what was
// remembered was an old state: to find that out afterwards costs some ten times
// what asking does, and shards that change their process often go on doing so.
const doubted = 30

// entry is a state as it is stored under an ETag. Who takes it from the cache owns it.
type entry[S any] struct {
	etag      string // "": nothing is stored yet
	watermark Sequence
	state     S
	buffer    []byte // for the next save
	used      uint64
}

// New returns a Store. The error wraps telemetry.ErrInvalid and names all values
// of cfg that are not valid.
func New[S any](cfg Config[S]) (*Store[S], error) {
	cfg.Prefix = cmp.Or(cfg.Prefix, "shardstate/")
	cfg.MaxStateBytes = cmp.Or(cfg.MaxStateBytes, 64<<20)
	cfg.CacheShards = cmp.Or(cfg.CacheShards, 8)
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	var invalid []error
	check := func(ok bool, name string, value any) {
		if !ok {
			invalid = append(invalid, fmt.Errorf("%s %v", name, value))
		}
	}
	check(cfg.Consumer != "" && !strings.Contains(cfg.Consumer, "/"), "consumer", strconv.Quote(cfg.Consumer))
	check(cfg.Stream != "" && !strings.Contains(cfg.Stream, "/"), "stream", strconv.Quote(cfg.Stream))
	check(cfg.MaxStateBytes > 0 && cfg.MaxStateBytes <= math.MaxInt32, "state bytes: want 1 to 2 GiB, got", cfg.MaxStateBytes)
	check(cfg.CacheShards > 0, "cached shards: want at least 1, got", cfg.CacheShards)
	if err := errors.Join(invalid...); err != nil {
		return nil, fmt.Errorf("shardstate: %w: %w", telemetry.ErrInvalid, err)
	}
	compress, err := newCompressor(cfg.MaxStateBytes)
	if err != nil {
		return nil, fmt.Errorf("shardstate: %w", err)
	}
	return &Store[S]{cfg: cfg, compress: compress, cache: make(map[ShardID]*entry[S]), doubts: make(map[ShardID]int)}, nil
}

// Key returns the key of a shard's object.
func (s *Store[S]) Key(shard ShardID) string {
	return s.cfg.Prefix + s.cfg.Consumer + "/" + s.cfg.Stream + "/" + string(shard)
}

// Load returns the state of a shard: from memory when the object still is the
// one that this process knows, else from the object, else, where there is none,
// as Codec.Inherit makes it from the shard's parents. Nothing is written.
//
// Errors wrap telemetry.ErrInvalid when the object cannot be read, which stays
// so until somebody repairs or deletes it; telemetry.ErrNotFound when the stream
// does not know the shard; telemetry.ErrUnavailable when the call may succeed later.
func (s *Store[S]) Load(ctx context.Context, shard ShardID) (*Lease[S], error) {
	return s.load(ctx, shard, s.take(shard))
}

// Recall returns the state of a shard as this process remembers it, without
// asking whether that is what is stored; where it remembers none, or has lately
// remembered an old one, it is Load. The lease must be confirmed before the first effect. Without effects none is
// needed: Save compares, and ErrStale then says that nothing has happened.
func (s *Store[S]) Recall(ctx context.Context, shard ShardID) (*Lease[S], error) {
	known := s.take(shard)
	if known == nil || s.doubt(shard) {
		return s.load(ctx, shard, known)
	}
	return &Lease[S]{store: s, shard: shard, entry: known, State: known.state, unasked: true}, nil
}

func (s *Store[S]) load(ctx context.Context, shard ShardID, known *entry[S]) (*Lease[S], error) {
	if shard == "" || strings.Contains(string(shard), "/") {
		return nil, fmt.Errorf("load state of shard %q: %w", shard, telemetry.ErrInvalid)
	}
	e, err := s.fetch(ctx, shard, known)
	if errors.Is(err, telemetry.ErrNotFound) {
		e, err = s.begin(ctx, shard)
	}
	if err != nil {
		return nil, fmt.Errorf("load state of %s, shard %s: %w", s.cfg.Consumer, shard, err)
	}
	return &Lease[S]{store: s, shard: shard, entry: e, State: e.state}, nil
}

// fetch returns what is stored, known itself if that is it.
func (s *Store[S]) fetch(ctx context.Context, shard ShardID, known *entry[S]) (*entry[S], error) {
	var etag string
	if known != nil {
		etag = known.etag
	}
	key := s.Key(shard)
	body, tag, err := s.cfg.Objects.GetTagged(ctx, key, etag)
	if err != nil {
		return nil, err
	}
	if body == nil && known != nil && tag == known.etag {
		return known, nil
	}
	if known != nil {
		s.outdated(shard)
	}
	o, err := parseObject(key, body)
	if err != nil {
		return nil, err
	}
	encoded, err := s.compress.stateOf(o)
	if err != nil {
		return nil, err
	}
	state, err := s.cfg.Codec.Decode(encoded)
	if err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	return &entry[S]{etag: tag, watermark: o.watermark, state: state}, nil
}

// take removes a state from the cache.
func (s *Store[S]) take(shard ShardID) *entry[S] {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.cache[shard]
	delete(s.cache, shard)
	return e
}

// outdated notes that what was remembered of a shard was an old state.
func (s *Store[S]) outdated(shard ShardID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doubts[shard] = doubted
}

// doubt reports whether a shard is to be asked for, and counts down.
func (s *Store[S]) doubt(shard ShardID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.doubts[shard]
	if n <= 1 {
		delete(s.doubts, shard)
	} else {
		s.doubts[shard] = n - 1
	}
	return n > 0
}

// keep puts a state that is stored into the cache and drops those that were not used for longest.
func (s *Store[S]) keep(shard ShardID, e *entry[S]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock++
	e.used = s.clock
	s.cache[shard] = e
	for len(s.cache) > s.cfg.CacheShards {
		oldest := shard
		for id, other := range s.cache {
			if other.used < s.cache[oldest].used {
				oldest = id
			}
		}
		delete(s.cache, oldest)
	}
}
