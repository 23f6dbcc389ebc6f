package kinesis

import (
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Mode is a stream's capacity mode.
type Mode string

// The two modes.
const (
	Provisioned Mode = "PROVISIONED"
	OnDemand    Mode = "ON_DEMAND"
)

type status string

const (
	creating status = "CREATING"
	active   status = "ACTIVE"
	updating status = "UPDATING"
	deleting status = "DELETING"
)

// stream is a named set of shards.
type stream struct {
	name    string
	mode    Mode
	created time.Time
	limits  Limits

	mu             sync.RWMutex
	shards         []*shard // by number
	open           []*shard // by hash range; together they cover all hash keys
	retentionHours int
	maxRecordBytes int
	busy           status // the status until readyAt
	readyAt        time.Time
	scalings       []time.Time // times of UpdateShardCount
	consumers      map[string]struct{}
	gone           chan struct{} // closed when the stream is deleted
}

func (st *stream) status(now time.Time) status {
	if now.Before(st.readyAt) || st.busy == deleting {
		return st.busy
	}
	return active
}

func (st *stream) horizon(now time.Time) time.Time {
	return now.Add(-time.Duration(st.retentionHours) * time.Hour)
}

// route returns the open shard of h. Hold mu.
func (st *stream) route(h hashKey) *shard {
	i := sort.Search(len(st.open), func(i int) bool { return !st.open[i].hashes.last.less(h) })
	return st.open[i]
}

// shard returns the shard of that id, unless it is unknown or has expired. Hold mu.
func (st *stream) shard(id string, now time.Time) *shard {
	digits, ok := strings.CutPrefix(id, "shardId-")
	number, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || len(digits) != 12 || number >= uint64(len(st.shards)) {
		return nil
	}
	if sh := st.shards[number]; !sh.expired(st.horizon(now)) {
		return sh
	}
	return nil
}

// listed returns the shards that may contain unexpired records. Hold mu.
func (st *stream) listed(now time.Time) []*shard {
	var out []*shard
	for _, sh := range st.shards {
		if !sh.expired(st.horizon(now)) {
			out = append(out, sh)
		}
	}
	return out
}

// expired reports whether a shard was closed before the horizon: all of its records have
// expired.
func (sh *shard) expired(horizon time.Time) bool { return sh.closed && sh.closedAt.Before(horizon) }

// replace closes the parents and opens children over the ranges. Hold mu for writing.
func (st *stream) replace(parents []*shard, now time.Time, ranges ...hashRange) {
	second := now.Unix()
	numbers := make([]uint32, 0, len(parents))
	for _, p := range parents {
		// Later than each parent, so that the sequence numbers of a child are above the parents'.
		second = max(second, p.created.created+1)
		numbers = append(numbers, p.number)
	}
	var children []*shard
	for _, r := range ranges {
		c := newShard(uint32(len(st.shards)), second, r, st.limits, now, numbers...)
		st.shards = append(st.shards, c)
		children = append(children, c)
	}
	for _, p := range parents {
		p.mu.Lock()
		p.children = children
		p.end(now)
		p.mu.Unlock()
	}
	open := append([]*shard(nil), children...)
	for _, sh := range st.open {
		if !sh.closed {
			open = append(open, sh)
		}
	}
	st.open = open
	st.sortOpen()
}

func (st *stream) sortOpen() {
	sort.Slice(st.open, func(i, j int) bool { return st.open[i].hashes.first.less(st.open[j].hashes.first) })
}

// split splits an open shard at key. Hold mu for writing.
func (st *stream) split(sh *shard, key hashKey, now time.Time) {
	st.replace([]*shard{sh}, now, hashRange{sh.hashes.first, key.prev()}, hashRange{key, sh.hashes.last})
}

// merge merges two adjacent open shards. Hold mu for writing.
func (st *stream) merge(a, b *shard, now time.Time) {
	r := hashRange{a.hashes.first, b.hashes.last}
	if b.hashes.first.less(a.hashes.first) {
		r = hashRange{b.hashes.first, a.hashes.last}
	}
	st.replace([]*shard{a, b}, now, r)
}

func (st *stream) adjacent(a, b *shard) bool {
	return a.hashes.last != maxHashKey() && a.hashes.last.next() == b.hashes.first ||
		b.hashes.last != maxHashKey() && b.hashes.last.next() == a.hashes.first
}

// rescale splits and merges until the open shards are n equal parts: it splits where a
// boundary is missing, and merges where there is one too many. Hold mu for writing.
func (st *stream) rescale(n int, now time.Time) {
	for i := range n {
		start := evenRange(i, n).first
		if sh := st.route(start); sh.hashes.first != start {
			st.split(sh, start, now)
		}
	}
	for i := range n {
		want := evenRange(i, n)
		for {
			left := st.route(want.first)
			if left.hashes.last == want.last {
				break
			}
			st.merge(left, st.route(left.hashes.last.next()), now)
		}
	}
}

// horizonNow is horizon for callers that do not hold mu.
func (st *stream) horizonNow(s *Server) time.Time {
	now := s.cfg.Now()
	st.mu.RLock()
	defer st.mu.RUnlock()
	return st.horizon(now)
}
