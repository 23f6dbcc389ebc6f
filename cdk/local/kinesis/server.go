package kinesis

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Limits are what one shard carries. 0 means AWS's own value, a negative number no limit.
type Limits struct {
	WriteBytesPerSecond   int // 1 MiB
	WriteRecordsPerSecond int // 1,000
	// The read limits hold for GetRecords; Read, which stands for the polling
	// inside an event source mapping, is not throttled.
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

// Config is what a server needs; the zero value is a server with AWS's limits.
type Config struct {
	Now     func() time.Time // nil: time.Now
	Account string           // "": 000000000000
	Region  string           // "": us-east-1
	// MemoryBytes bounds what all records cost together; 0: 1 GiB.
	MemoryBytes int64
	Limits      Limits
	// ShardLimit bounds the account's open shards; 0: 1,000.
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

// Server is an in-process Kinesis Data Streams of one account and region. It
// has no goroutines of its own and needs no closing.
type Server struct {
	cfg    Config
	memory atomic.Int64 // bytes held

	// mu is taken by what makes, deletes or reshapes streams, before any stream's
	// lock. The map is replaced, never changed, so that reading it takes no lock.
	mu      sync.Mutex
	streams atomic.Pointer[map[string]*stream]
}

// New returns a server without streams.
func New(cfg Config) *Server {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Account == "" {
		cfg.Account = "000000000000"
	}
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	if cfg.MemoryBytes == 0 {
		cfg.MemoryBytes = defaultMemoryBytes
	}
	if cfg.ShardLimit == 0 {
		cfg.ShardLimit = defaultShardLimit
	}
	if cfg.Log == nil {
		cfg.Log = io.Discard
	}
	cfg.Limits = cfg.Limits.resolved()
	s := &Server{cfg: cfg}
	s.streams.Store(new(map[string]*stream))
	return s
}

// StreamOptions describe a stream to make.
type StreamOptions struct {
	Shards         int  // in provisioned mode: 1 or more
	Mode           Mode // "": Provisioned
	RetentionHours int  // 0: 24
	MaxRecordKiB   int  // 0: 1,024
}

// CreateStream makes a provisioned stream; ResourceInUse when it exists.
func (s *Server) CreateStream(name string, shards int) error {
	return s.Create(name, StreamOptions{Shards: shards})
}

func validStreamName(name string) bool {
	const characters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
	return name != "" && len(name) <= 128 && !strings.ContainsFunc(name, func(c rune) bool { return !strings.ContainsRune(characters, c) })
}

// Create makes a stream.
func (s *Server) Create(name string, o StreamOptions) error {
	if o.Mode == "" {
		o.Mode = Provisioned
	}
	if o.Mode == OnDemand {
		o.Shards = onDemandShards
	}
	if o.RetentionHours == 0 {
		o.RetentionHours = defaultRetention
	}
	if o.MaxRecordKiB == 0 {
		o.MaxRecordKiB = minRecordKiB
	}
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
	if n := s.openShards(); n+o.Shards > s.cfg.ShardLimit {
		return errorf(LimitExceeded, "This request would exceed the shard limit for the account %s in %s. Current shard count for the account: %d. Limit: %d. Number of additional shards that would have resulted from this request: %d.",
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

// sweep forgets the streams whose deletion is over. Hold mu.
func (s *Server) sweep(now time.Time) {
	streams := maps.Clone(*s.streams.Load())
	maps.DeleteFunc(streams, func(_ string, st *stream) bool { return st.deleted(now) })
	s.streams.Store(&streams)
}

// openShards counts the account's open shards. Hold mu.
func (s *Server) openShards() int {
	n := 0
	for _, st := range *s.streams.Load() {
		st.mu.RLock()
		n += len(st.open)
		st.mu.RUnlock()
	}
	return n
}

// DeleteStream removes a stream and its records; readers that wait get ResourceNotFound.
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

// find returns the stream, in whatever state it is.
func (s *Server) find(name string) (*stream, error) {
	st := (*s.streams.Load())[name]
	if st == nil || st.deleted(s.cfg.Now()) {
		return nil, s.notFound(name)
	}
	return st, nil
}

// deleted reports whether the stream is gone. Do not hold mu.
func (st *stream) deleted(now time.Time) bool {
	st.mu.RLock()
	defer st.mu.RUnlock()
	return st.busy == deleting && !now.Before(st.readyAt)
}

// usable is what data operations need: hold st.mu.
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
