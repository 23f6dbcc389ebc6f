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

// Config configures a Store.
type Config[S any] struct {
	Objects Objects
	Lineage Lineage
	Codec   Codec[S]

	// Consumer and Stream are parts of the keys; they must not contain a slash. A
	// stream that is deleted and created again has the same shard ids: give it
	// another name here, or delete the old states.
	Consumer, Stream string
	// Prefix begins all keys; default "shardstate/".
	Prefix string
	// Compress stores the states with zstd.
	Compress bool
	// MaxStateBytes limits an encoded state, before compression; default 64 MiB.
	MaxStateBytes int
	// CacheShards limits how many shards' states are cached in memory; default 8.
	CacheShards int
	// Rand is the source of the nonces that identify saves; default crypto/rand. Two
	// processes must never read the same bytes. Safe for concurrent use.
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
	// loads is how many of the next calls of Recall must load, for shards whose
	// cached state was stale lately.
	loads map[ShardID]int
}

// loadsAfterStale is how many calls of Recall load a shard after its cached state was
// stale: detecting that later costs about ten times as much as a conditional request,
// and a shard that moves between processes is likely to do so repeatedly.
const loadsAfterStale = 30

// entry is a state as it is stored under an ETag. The caller of uncache owns it.
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
	return &Store[S]{cfg: cfg, compress: compress, cache: make(map[ShardID]*entry[S]), loads: make(map[ShardID]int)}, nil
}

// Key returns the key of a shard's object.
func (s *Store[S]) Key(shard ShardID) string {
	return s.cfg.Prefix + s.cfg.Consumer + "/" + s.cfg.Stream + "/" + string(shard)
}

// Load returns the state of a shard: the cached one if the object still has its ETag,
// else the object's. If there is no object, Codec.Inherit makes the state from the
// shard's parents. Nothing is written.
//
// Errors wrap telemetry.ErrInvalid if the object is not valid, which stays so until an
// operator restores or deletes it; telemetry.ErrNotFound if the stream does not have
// the shard; telemetry.ErrUnavailable if a retry may succeed.
func (s *Store[S]) Load(ctx context.Context, shard ShardID) (*Lease[S], error) {
	return s.load(ctx, shard, s.uncache(shard))
}

// Recall returns the cached state of a shard without checking that it is the stored
// one. If none is cached, or the cached one was stale lately, it calls Load. The lease
// must be confirmed before the first effect. An invocation without effects need not
// confirm: Save compares the ETag, and returns ErrStale if nothing was written.
func (s *Store[S]) Recall(ctx context.Context, shard ShardID) (*Lease[S], error) {
	cached := s.uncache(shard)
	if cached == nil || s.mustLoad(shard) {
		return s.load(ctx, shard, cached)
	}
	return &Lease[S]{store: s, shard: shard, entry: cached, State: cached.state, unconfirmed: true}, nil
}

func (s *Store[S]) load(ctx context.Context, shard ShardID, cached *entry[S]) (*Lease[S], error) {
	if shard == "" || strings.Contains(string(shard), "/") {
		return nil, fmt.Errorf("load state of shard %q: %w", shard, telemetry.ErrInvalid)
	}
	e, err := s.fetch(ctx, shard, cached)
	if errors.Is(err, telemetry.ErrNotFound) {
		e, err = s.first(ctx, shard)
	}
	if err != nil {
		return nil, fmt.Errorf("load state of %s, shard %s: %w", s.cfg.Consumer, shard, err)
	}
	return &Lease[S]{store: s, shard: shard, entry: e, State: e.state}, nil
}

// fetch returns the stored state: cached itself if the object still has its ETag.
func (s *Store[S]) fetch(ctx context.Context, shard ShardID, cached *entry[S]) (*entry[S], error) {
	var etag string
	if cached != nil {
		etag = cached.etag
	}
	key := s.Key(shard)
	body, tag, err := s.cfg.Objects.GetTagged(ctx, key, etag)
	if err != nil {
		return nil, err
	}
	if body == nil && cached != nil && tag == cached.etag {
		return cached, nil
	}
	if cached != nil {
		s.markStale(shard)
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

// uncache removes a state from the cache and returns it, or nil.
func (s *Store[S]) uncache(shard ShardID) *entry[S] {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.cache[shard]
	delete(s.cache, shard)
	return e
}

// markStale makes the next calls of Recall load, after a shard's cached state was stale.
func (s *Store[S]) markStale(shard ShardID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads[shard] = loadsAfterStale
}

// mustLoad reports whether this call of Recall must load, and counts down.
func (s *Store[S]) mustLoad(shard ShardID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.loads[shard]
	if n <= 1 {
		delete(s.loads, shard)
	} else {
		s.loads[shard] = n - 1
	}
	return n > 0
}

// addToCache caches a stored state, and drops the least recently used ones above the limit.
func (s *Store[S]) addToCache(shard ShardID, e *entry[S]) {
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
