package kinesis

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Limits are the rate limits of a shard. 0 means that of AWS, a negative number no limit.
type Limits struct {
	WriteBytesPerSecond   int // 1 MiB
	WriteRecordsPerSecond int // 1,000
	// The read limits apply to GetRecords; Read is not throttled.
	ReadBytesPerSecond int // 2 MiB
	ReadCallsPerSecond int // 5
}

func (l Limits) resolved() Limits {
	pick := func(v, aws int) int {
		switch {
		case v == 0:
			return aws
		case v < 0:
			return 0
		default:
			return v
		}
	}
	return Limits{
		WriteBytesPerSecond:   pick(l.WriteBytesPerSecond, 1<<20),
		WriteRecordsPerSecond: pick(l.WriteRecordsPerSecond, 1000),
		ReadBytesPerSecond:    pick(l.ReadBytesPerSecond, 2<<20),
		ReadCallsPerSecond:    pick(l.ReadCallsPerSecond, 5),
	}
}

// Config configures a server; the zero value is a server with the limits of AWS.
type Config struct {
	Now     func() time.Time // nil: time.Now
	Account string           // "": 000000000000
	Region  string           // "": us-east-1
	// MemoryBytes limits the memory of all records together; 0: 1 GiB.
	MemoryBytes int64
	Limits      Limits
	// ShardLimit limits the account's open shards; 0: 1,000.
	ShardLimit int
	// Transition is how long a stream stays CREATING, UPDATING or DELETING.
	Transition time.Duration
	// Log gets one line for each failure of the server itself; nil: nothing.
	Log io.Writer
}

const (
	defaultMemoryBytes = 1 << 30
	defaultShardLimit  = 1000
	onDemandShards     = 4
	defaultRetention   = 24   // hours
	maxRetention       = 8760 // hours
	minRecordKiB       = 1024
	maxRecordKiB       = 10240
)

// Server is an emulator of Kinesis Data Streams for one account and region. It has no
// goroutines and need not be closed.
type Server struct {
	cfg    Config
	memory atomic.Int64 // bytes of all records

	// mu is locked to create, delete or reshard streams, before the lock of any stream.
	// The map is replaced, never modified, so that reading it needs no lock.
	mu      sync.Mutex
	streams atomic.Pointer[map[string]*stream]
}

// New returns a server without streams.
func New(cfg Config) *Server {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Account = cmp.Or(cfg.Account, "000000000000")
	cfg.Region = cmp.Or(cfg.Region, "us-east-1")
	cfg.MemoryBytes = cmp.Or(cfg.MemoryBytes, defaultMemoryBytes)
	cfg.ShardLimit = cmp.Or(cfg.ShardLimit, defaultShardLimit)
	cfg.Log = cmp.Or(cfg.Log, io.Discard)
	cfg.Limits = cfg.Limits.resolved()
	s := &Server{cfg: cfg}
	s.streams.Store(new(map[string]*stream))
	return s
}

// StreamOptions are the options of a new stream.
type StreamOptions struct {
	Shards         int  // in provisioned mode: 1 or more
	Mode           Mode // "": Provisioned
	RetentionHours int  // 0: 24
	MaxRecordKiB   int  // 0: 1,024
}

// CreateStream creates a provisioned stream; ResourceInUse if it exists.
func (s *Server) CreateStream(name string, shards int) error {
	return s.Create(name, StreamOptions{Shards: shards})
}

func validStreamName(name string) bool {
	const characters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
	return name != "" && len(name) <= 128 && !strings.ContainsFunc(name, func(c rune) bool { return !strings.ContainsRune(characters, c) })
}

// Create creates a stream; ResourceInUse if it exists.
func (s *Server) Create(name string, o StreamOptions) error {
	o.Mode = cmp.Or(o.Mode, Provisioned)
	if o.Mode == OnDemand {
		o.Shards = onDemandShards
	}
	o.RetentionHours = cmp.Or(o.RetentionHours, defaultRetention)
	o.MaxRecordKiB = cmp.Or(o.MaxRecordKiB, minRecordKiB)
	switch {
	case !validStreamName(name):
		return invalid(name, "streamName", "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+, length 1 to 128")
	case o.Mode != Provisioned && o.Mode != OnDemand:
		return invalid(o.Mode, "streamModeDetails.streamMode", "Member must satisfy enum value set: [PROVISIONED, ON_DEMAND]")
	case o.Shards < 1:
		return invalid(o.Shards, "shardCount", "Member must have value greater than or equal to 1")
	case o.MaxRecordKiB < minRecordKiB || o.MaxRecordKiB > maxRecordKiB:
		return invalid(o.MaxRecordKiB, "maxRecordSizeInKiB", "Member must have value between 1024 and 10240")
	case o.RetentionHours < defaultRetention || o.RetentionHours > maxRetention:
		return invalid(o.RetentionHours, "retentionPeriodHours", "Member must have value between 24 and 8760")
	}
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(now)
	if _, ok := (*s.streams.Load())[name]; ok {
		return errorf(ResourceInUse, "Stream %s under account %s already exists.", name, s.cfg.Account)
	}
	if n := s.openShards(nil); n+o.Shards > s.cfg.ShardLimit {
		return errorf(LimitExceeded, "This request would exceed the shard limit for the account %s in %s. "+
			"Current shard count for the account: %d. Limit: %d. "+
			"Number of additional shards that would have resulted from this request: %d.",
			s.cfg.Account, s.cfg.Region, n, s.cfg.ShardLimit, o.Shards)
	}
	st := &stream{
		name: name, mode: o.Mode, created: now, limits: s.cfg.Limits,
		retentionHours: o.RetentionHours, maxRecordBytes: o.MaxRecordKiB << 10,
		busy: creating, readyAt: now.Add(s.cfg.Transition),
		consumers: make(map[string]struct{}), gone: make(chan struct{}),
	}
	for i := range o.Shards {
		st.shards = append(st.shards, newShard(uint32(i), now.Unix(), evenRange(i, o.Shards), st.limits, now))
	}
	st.open = append(st.open, st.shards...)
	streams := maps.Clone(*s.streams.Load())
	if streams == nil {
		streams = make(map[string]*stream)
	}
	streams[name] = st
	s.streams.Store(&streams)
	return nil
}

// sweep removes the streams whose deletion is complete. Hold mu.
func (s *Server) sweep(now time.Time) {
	streams := maps.Clone(*s.streams.Load())
	maps.DeleteFunc(streams, func(_ string, st *stream) bool { return st.deleted(now) })
	s.streams.Store(&streams)
}

// openShards counts the account's open shards, without those of the stream except, whose
// lock the caller may hold. Hold mu.
func (s *Server) openShards(except *stream) int {
	n := 0
	for _, st := range *s.streams.Load() {
		if st != except {
			st.mu.RLock()
			n += len(st.open)
			st.mu.RUnlock()
		}
	}
	return n
}

// DeleteStream removes a stream and its records; Wait returns ResourceNotFound.
func (s *Server) DeleteStream(name string) error {
	now := s.cfg.Now()
	st, err := s.find(name)
	if err != nil {
		return err
	}
	st.mu.Lock()
	if st.busy == deleting {
		st.mu.Unlock()
		return s.notFound(name)
	}
	st.busy, st.readyAt = deleting, now.Add(s.cfg.Transition)
	close(st.gone)
	for _, sh := range st.shards {
		sh.mu.Lock()
		s.memory.Add(-sh.drop(sh.next, time.Time{}))
		sh.wake()
		sh.mu.Unlock()
	}
	st.mu.Unlock()
	s.mu.Lock()
	s.sweep(now)
	s.mu.Unlock()
	return nil
}

func (s *Server) notFound(name string) *Error {
	return errorf(ResourceNotFound, "Stream %s under account %s not found.", name, s.cfg.Account)
}

// find returns the stream in any state.
func (s *Server) find(name string) (*stream, error) {
	st := (*s.streams.Load())[name]
	if st == nil || st.deleted(s.cfg.Now()) {
		return nil, s.notFound(name)
	}
	return st, nil
}

// deleted reports whether the deletion is complete. Do not hold mu.
func (st *stream) deleted(now time.Time) bool {
	st.mu.RLock()
	defer st.mu.RUnlock()
	return st.busy == deleting && !now.Before(st.readyAt)
}

// usable returns an error if the stream is not ready for reads and writes. Hold st.mu.
func (s *Server) usable(st *stream, now time.Time) error {
	if v := st.status(now); v != active && v != updating {
		return s.notFound(st.name)
	}
	return nil
}

func (s *Server) names() []string {
	return slices.Sorted(maps.Keys(*s.streams.Load()))
}

func (s *Server) arn(name string) string {
	return fmt.Sprintf("arn:aws:kinesis:%s:%s:stream/%s", s.cfg.Region, s.cfg.Account, name)
}
