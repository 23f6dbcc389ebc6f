package shardstatetest

import (
	"context"
	"fmt"
	"math/big"
	"strconv"

	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// record is a record of the stream: a value of a key at a time.
type record struct {
	sequence    shardstate.Sequence
	key         string
	value       int64
	at, arrival int64 // ms
}

// shard is one shard of the stream.
type shard struct {
	id          shardstate.ShardID
	parents     []int
	first, last *big.Int
	hashes      shardstate.HashRange
	closed      bool
	records     []record
}

// stream is a stream whose shards split and merge.
type stream struct {
	shards []*shard // parents before children
	all    []record // in the order of put
	next   int64    // sequence number; starts at 7, so that the number of digits grows
	now    int64
}

var _ shardstate.Lineage = (*stream)(nil)

func newStream() *stream {
	s := &stream{next: 7}
	last := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1))
	s.open(nil, new(big.Int), last)
	return s
}

// open adds a shard.
func (s *stream) open(parents []int, first, last *big.Int) {
	hashes, err := shardstate.ParseHashRange(first.String(), last.String())
	if err != nil {
		panic(err) // only this file makes ranges
	}
	for _, p := range parents {
		s.shards[p].closed = true
	}
	id := shardstate.ShardID(fmt.Sprintf("shardId-%012d", len(s.shards)))
	s.shards = append(s.shards, &shard{id: id, parents: parents, first: first, last: last, hashes: hashes})
}

// split halves an open shard.
func (s *stream) split(i int) {
	sh := s.shards[i]
	middle := new(big.Int).Rsh(new(big.Int).Add(sh.first, sh.last), 1)
	s.open([]int{i}, sh.first, middle)
	s.open([]int{i}, new(big.Int).Add(middle, big.NewInt(1)), sh.last)
}

// merge merges an open shard with the open one whose range follows, if there is one.
func (s *stream) merge(i int) bool {
	after := new(big.Int).Add(s.shards[i].last, big.NewInt(1))
	for j, other := range s.shards {
		if !other.closed && other.first.Cmp(after) == 0 {
			s.open([]int{i, j}, s.shards[i].first, other.last)
			return true
		}
	}
	return false
}

// put appends a record to the open shard of its key, with an event time late ms before its arrival.
func (s *stream) put(key string, value, after, late int64) {
	s.now += after
	r := record{key: key, value: value, at: s.now - late, arrival: s.now, sequence: shardstate.Sequence(strconv.FormatInt(s.next, 10))}
	s.next++
	for _, sh := range s.shards {
		if !sh.closed && sh.hashes.Contains(key) {
			sh.records = append(sh.records, r)
			s.all = append(s.all, r)
			return
		}
	}
	panic("no open shard for " + key)
}

// openShards returns the indices of the open shards.
func (s *stream) openShards() []int {
	var out []int
	for i, sh := range s.shards {
		if !sh.closed {
			out = append(out, i)
		}
	}
	return out
}

// Shard implements shardstate.Lineage.
func (s *stream) Shard(_ context.Context, id string) (parents []string, firstHash, lastHash string, err error) {
	for _, sh := range s.shards {
		if string(sh.id) == id {
			for _, p := range sh.parents {
				parents = append(parents, string(s.shards[p].id))
			}
			return parents, sh.first.String(), sh.last.String(), nil
		}
	}
	return nil, "", "", fmt.Errorf("shard %q: %w", id, telemetry.ErrNotFound)
}
