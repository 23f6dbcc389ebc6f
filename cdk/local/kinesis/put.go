package kinesis

import (
	"fmt"
	"time"
)

// PutEntry is one record to write.
type PutEntry struct {
	PartitionKey string
	// Data belongs to the server after the call.
	Data []byte
	// hash selects the shard: the MD5 of the partition key, or the explicit hash key.
	hash hashKey
}

// NewPutEntry returns an entry for the shard of its partition key.
func NewPutEntry(partitionKey string, data []byte) PutEntry {
	return PutEntry{PartitionKey: partitionKey, Data: data, hash: hashOf(partitionKey)}
}

// PutResult is the result of one entry: a sequence number, or an error.
type PutResult struct {
	SequenceNumber string
	Shard          uint32
	Error          ErrorType // "" when it was stored
	Message        string
}

// PutRecords writes entries in their order and appends one result for each.
// Entries fail individually, when the limit of their shard or the memory is exhausted.
func (s *Server) PutRecords(name string, entries []PutEntry, results []PutResult) ([]PutResult, error) {
	st, err := s.find(name)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	st.mu.RLock()
	defer st.mu.RUnlock()
	if err := s.usable(st, now); err != nil {
		return nil, err
	}
	if err := st.check(entries); err != nil {
		return nil, err
	}
	if err := s.reserve(st, entries, now); err != nil {
		for range entries {
			results = append(results, PutResult{Error: err.Type, Message: err.Message})
		}
		return results, nil
	}
	first := len(results)
	results = append(results, make([]PutResult, len(entries))...)
	for i := range entries {
		if r := &results[first+i]; r.SequenceNumber == "" && r.Error == "" {
			s.putShard(st, st.route(entries[i].hash), entries[i:], results[first+i:], now)
		}
	}
	return results, nil
}

// putShard stores those of entries that go to sh, the first of which does. It holds
// the shard's lock all the time, so that a reader sees a request in one piece.
func (s *Server) putShard(st *stream, sh *shard, entries []PutEntry, results []PutResult, now time.Time) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for i := range entries {
		e := &entries[i]
		if i > 0 && st.route(e.hash) != sh {
			continue
		}
		results[i].Shard = sh.number
		if !sh.admit(len(e.Data)+len(e.PartitionKey), now) {
			s.memory.Add(-e.cost())
			results[i].Error = ThroughputExceeded
			results[i].Message = fmt.Sprintf("Rate exceeded for shard %s in stream %s under account %s.",
				shardName(sh.number), st.name, s.cfg.Account)
			continue
		}
		results[i].SequenceNumber = sh.append(e.PartitionKey, e.Data, now)
	}
	sh.wake()
}

func (e *PutEntry) cost() int64 {
	return int64(len(e.Data)+len(e.PartitionKey)) + recordOverhead
}

// check returns an error if a record is larger than the stream allows.
func (st *stream) check(entries []PutEntry) error {
	for i := range entries {
		if size := len(entries[i].Data) + len(entries[i].PartitionKey); size > st.maxRecordBytes {
			return errorf(Validation, "1 validation error detected: Value at 'records.%d.member.data' failed to satisfy constraint: "+
				"a record of this stream has at most %d bytes, its partition key included; this one has %d",
				i+1, st.maxRecordBytes, size)
		}
	}
	return nil
}

// reserve reserves the memory of the entries and trims records if necessary. Hold st.mu for
// reading.
func (s *Server) reserve(st *stream, entries []PutEntry, now time.Time) *Error {
	var cost int64
	for i := range entries {
		cost += entries[i].cost()
	}
	if s.memory.Add(cost) <= s.cfg.MemoryBytes {
		return nil
	}
	s.trim(st, now)
	if s.memory.Load() <= s.cfg.MemoryBytes {
		return nil
	}
	s.memory.Add(-cost)
	return &Error{Type: ThroughputExceeded, Message: memoryMessage}
}

// trim frees the memory of records that are older than their stream's retention, and of
// those that every registered consumer has processed. The caller holds the lock of held,
// or passes nil.
func (s *Server) trim(held *stream, now time.Time) {
	for _, st := range *s.streams.Load() {
		if st != held && !st.mu.TryRLock() {
			continue // it is being resharded; the next call trims it
		}
		for _, sh := range st.shards {
			sh.mu.Lock()
			s.memory.Add(-sh.drop(sh.done(st.consumers), st.horizon(now)))
			sh.mu.Unlock()
		}
		if st != held {
			st.mu.RUnlock()
		}
	}
}
