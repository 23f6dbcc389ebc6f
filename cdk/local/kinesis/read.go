package kinesis

import (
	"context"
	"math"
)

// ShardInfo is a shard's place among the others.
type ShardInfo struct {
	ID, ParentID, AdjacentParentID string // "": no such parent
	Closed                         bool
}

// ListShardInfo returns the shards of a stream that may still hold records, parents before their children.
func (s *Server) ListShardInfo(name string) ([]ShardInfo, error) {
	st, err := s.find(name)
	if err != nil {
		return nil, err
	}
	st.mu.RLock()
	defer st.mu.RUnlock()
	var out []ShardInfo
	for _, sh := range st.listed(s.cfg.Now()) {
		i := ShardInfo{ID: shardName(sh.number), Closed: sh.closed}
		if len(sh.parents) > 0 {
			i.ParentID = shardName(sh.parents[0])
		}
		if len(sh.parents) > 1 {
			i.AdjacentParentID = shardName(sh.parents[1])
		}
		out = append(out, i)
	}
	return out, nil
}

// Read returns records of the shard after sequence number after ("": from the
// trim horizon), at most limit records and maxBytes of data and keys, but one
// record even if it alone is larger; 0 or less means no bound. When there is
// none it waits until one arrives, the shard is closed and exhausted (end), the
// stream is deleted (ResourceNotFound) or ctx ends. What it returns is shared
// with other readers: do not write to it. It is not throttled.
func (s *Server) Read(ctx context.Context, name, shardID, after string, limit, maxBytes int) (records []Record, end bool, err error) {
	st, sh, err := s.findShard(name, shardID)
	if err != nil {
		return nil, false, err
	}
	var index uint64
	if after != "" {
		if index, err = s.indexOf(st, sh, after); err != nil {
			return nil, false, err
		}
		index++
	}
	if limit <= 0 {
		limit = math.MaxInt
	}
	if maxBytes <= 0 {
		maxBytes = math.MaxInt
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		horizon := st.horizonNow(s)
		sh.mu.Lock()
		s.memory.Add(-sh.drop(0, horizon))
		records, next := sh.from(index, horizon, limit, maxBytes)
		end := sh.closed && next >= sh.next
		if len(records) > 0 || end {
			sh.mu.Unlock()
			return records, end, nil
		}
		if sh.wait == nil {
			sh.wait = make(chan struct{})
		}
		wait := sh.wait
		sh.mu.Unlock()
		select {
		case <-wait:
		case <-st.gone:
			return nil, false, s.notFound(name)
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

// RegisterConsumer says that an in-process consumer reads the stream and will
// report with SetTrimmable how far it has come. Records that every registered
// consumer is past may be given up when the memory is full; without a consumer
// nothing younger than the retention ever is.
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

// SetTrimmable says that the consumer will not ask for records of the shard up
// to and including sequence again. A report that goes backwards is ignored.
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

// indexOf returns the index in a sequence number that the shard has given out, or its starting number.
func (s *Server) indexOf(st *stream, sh *shard, number string) (uint64, error) {
	q, ok := parseSequence(number)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if !ok || q.created != sh.created.created || q.shard != sh.number || q.index >= sh.next && number != sh.ending {
		return 0, errorf(InvalidArgument, "StartingSequenceNumber %s used in GetShardIterator on shard %s in stream %s under account %s is invalid.",
			number, shardName(sh.number), st.name, s.cfg.Account)
	}
	return min(q.index, sh.next-1), nil
}
