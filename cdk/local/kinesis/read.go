package kinesis

import (
	"context"
	"math"
)

// ShardInfo describes a shard and its parents.
type ShardInfo struct {
	ID, ParentID, AdjacentParentID string // "": no such parent
	Closed                         bool
}

// ListShardInfo returns the shards of a stream that may contain unexpired records, parents
// before their children.
func (s *Server) ListShardInfo(name string) ([]ShardInfo, error) {
	st, err := s.find(name)
	if err != nil {
		return nil, err
	}
	st.mu.RLock()
	defer st.mu.RUnlock()
	var out []ShardInfo
	for _, sh := range st.listed(s.cfg.Now()) {
		parent, adjacent := sh.parentNames()
		out = append(out, ShardInfo{ID: shardName(sh.number), ParentID: parent, AdjacentParentID: adjacent, Closed: sh.closed})
	}
	return out, nil
}

// Read returns the records that the shard holds after sequence number after ("":
// from the trim horizon), at most limit records and maxBytes of data and keys, but
// one record even if it alone is larger; 0 or less means no bound. With end the
// shard is closed and nothing follows what it returned. What it returns is shared
// with other readers: do not write to it. It neither waits nor is throttled.
func (s *Server) Read(name, shardID, after string, limit, maxBytes int) (records []Record, end bool, err error) {
	records, end, _, err = s.read(name, shardID, after, limit, maxBytes)
	return records, end, err
}

// Wait waits until Read would return a record or the shard's end, the stream is
// deleted (ResourceNotFound) or ctx ends.
func (s *Server) Wait(ctx context.Context, name, shardID, after string) error {
	for {
		records, end, changed, err := s.read(name, shardID, after, 1, 1)
		if err != nil || len(records) > 0 || end {
			return err
		}
		select {
		case <-changed.records:
		case <-changed.deleted:
			return s.notFound(name)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// changes are closed when a shard gets a record or ends, or its stream is deleted.
type changes struct{ records, deleted <-chan struct{} }

// read is Read; when there is nothing to return it says what to wait for.
func (s *Server) read(name, shardID, after string, limit, maxBytes int) (records []Record, end bool, more changes, err error) {
	st, sh, err := s.findShard(name, shardID)
	if err != nil {
		return nil, false, changes{}, err
	}
	var index uint64
	if after != "" {
		if index, err = s.indexOf(st, sh, after); err != nil {
			return nil, false, changes{}, err
		}
		index++
	}
	if limit <= 0 {
		limit = math.MaxInt
	}
	if maxBytes <= 0 {
		maxBytes = math.MaxInt
	}
	horizon := st.horizonNow(s)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s.memory.Add(-sh.drop(0, horizon))
	records, next := sh.from(index, horizon, limit, maxBytes)
	end = sh.closed && next >= sh.next
	if len(records) > 0 || end {
		return records, end, changes{}, nil
	}
	if sh.wait == nil {
		sh.wait = make(chan struct{})
	}
	return nil, false, changes{sh.wait, st.gone}, nil
}

// RegisterConsumer registers an in-process consumer, which reports its progress with
// SetTrimmable. Records that every registered consumer has processed may be freed when
// the memory is full; without a consumer no unexpired record is.
func (s *Server) RegisterConsumer(name, consumer string) error {
	st, err := s.find(name)
	if err != nil {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.consumers[consumer] = struct{}{}
	return nil
}

// SetTrimmable says that the consumer does not need the records of the shard up to and
// including sequenceNumber anymore. A smaller number than before is ignored.
func (s *Server) SetTrimmable(name, consumer, shardID, sequenceNumber string) error {
	st, sh, err := s.findShard(name, shardID)
	if err != nil {
		return err
	}
	index, err := s.indexOf(st, sh, sequenceNumber)
	if err != nil {
		return err
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.checkpoints[consumer] = max(index, sh.checkpoints[consumer])
	return nil
}

func (s *Server) findShard(name, shardID string) (*stream, *shard, error) {
	st, err := s.find(name)
	if err != nil {
		return nil, nil, err
	}
	now := s.cfg.Now()
	st.mu.RLock()
	defer st.mu.RUnlock()
	if err := s.usable(st, now); err != nil {
		return nil, nil, err
	}
	sh := st.shard(shardID, now)
	if sh == nil {
		return nil, nil, s.noShard(name, shardID)
	}
	return st, sh, nil
}

func (s *Server) noShard(name, shardID string) *Error {
	return errorf(ResourceNotFound, "Shard %s in stream %s under account %s does not exist", shardID, name, s.cfg.Account)
}

// indexOf returns the index of a sequence number of the shard, or of its starting or ending
// number.
func (s *Server) indexOf(st *stream, sh *shard, number string) (uint64, error) {
	q, ok := parseSequence(number)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if !ok || q.created != sh.created.created || q.shard != sh.number || q.index >= sh.next && number != sh.ending {
		return 0, errorf(InvalidArgument, "StartingSequenceNumber %s used in GetShardIterator on shard %s in stream %s "+
			"under account %s is invalid.", number, shardName(sh.number), st.name, s.cfg.Account)
	}
	return min(q.index, sh.next-1), nil
}
