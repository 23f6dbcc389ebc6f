package kinesis

import (
	"fmt"
	"sort"
	"sync"
	"time"
)

// Record is one record of a shard. It is immutable and shared by all readers.
type Record struct {
	SequenceNumber string
	PartitionKey   string
	Data           []byte
	// Arrival never goes backwards within a shard.
	Arrival time.Time
}

const (
	// A segment is the unit in which memory is freed.
	segmentRecords = 256
	segmentBytes   = 1 << 20
	// recordOverhead is the memory of a record besides its data and key: its header and
	// its sequence number.
	recordOverhead = 80 + sequenceDigits
)

func (r *Record) cost() int64 {
	return int64(len(r.Data)+len(r.PartitionKey)) + recordOverhead
}

// segment holds consecutive records. Those up to len(records) never change, so readers
// may hold sub-slices while the writer appends.
type segment struct {
	first   uint64 // index of records[0]
	records []Record
	bytes   int64
}

// shard is an append-only list of records. Its parents, range and closed are guarded by
// the lock of the stream. Readers of records need closed, too, so it is changed only with
// both locks held.
type shard struct {
	number  uint32
	created sequence // index 0
	since   time.Time
	parents []uint32 // none, one (split) or two (merge: parent, adjacent parent)
	hashes  hashRange

	mu       sync.Mutex
	closed   bool
	closedAt time.Time
	ending   string // the last possible sequence number, once closed
	children []*shard
	segments []*segment
	next     uint64    // index of the next record; the first is 1
	last     time.Time // arrival of the newest record
	floor    uint64    // records below have expired, even if the retention is increased
	wait     chan struct{}

	writeBytes, writeRecords bucket
	readBytes, readCalls     bucket
	checkpoints              map[string]uint64 // consumer → index up to which it has processed the records
}

func shardName(number uint32) string { return fmt.Sprintf("shardId-%012d", number) }

// parentNames returns the ids of the parent and of the adjacent parent, or "".
func (sh *shard) parentNames() (parent, adjacent string) {
	if len(sh.parents) > 0 {
		parent = shardName(sh.parents[0])
	}
	if len(sh.parents) > 1 {
		adjacent = shardName(sh.parents[1])
	}
	return parent, adjacent
}

func newShard(number uint32, createdSecond int64, hashes hashRange, l Limits, now time.Time, parents ...uint32) *shard {
	return &shard{
		number: number, created: sequence{created: createdSecond, arrived: createdSecond, shard: number},
		since: now, parents: parents, hashes: hashes, next: 1,
		writeBytes: newBucket(l.WriteBytesPerSecond, now), writeRecords: newBucket(l.WriteRecordsPerSecond, now),
		readBytes: newBucket(l.ReadBytesPerSecond, now), readCalls: newBucket(l.ReadCallsPerSecond, now),
		checkpoints: make(map[string]uint64),
	}
}

// admit charges one record of size bytes to the write limits, if they allow it. Hold mu.
func (sh *shard) admit(size int, now time.Time) bool {
	sh.writeBytes.refill(now)
	sh.writeRecords.refill(now)
	if !sh.writeBytes.has(size) || !sh.writeRecords.has(1) {
		return false
	}
	sh.writeBytes.take(size)
	sh.writeRecords.take(1)
	return true
}

// append stores a record and returns its sequence number. Hold mu; the shard is open.
func (sh *shard) append(key string, data []byte, now time.Time) string {
	seg := sh.tail()
	if seg == nil || len(seg.records) == segmentRecords || seg.bytes >= segmentBytes {
		seg = &segment{first: sh.next}
		sh.segments = append(sh.segments, seg)
	}
	if now.Before(sh.last) {
		now = sh.last
	}
	sh.last = now
	q := sh.created
	q.index, q.arrived = sh.next, max(now.Unix(), q.created)
	r := Record{SequenceNumber: q.String(), PartitionKey: key, Data: data, Arrival: now}
	seg.records = append(seg.records, r)
	seg.bytes += r.cost()
	sh.next++
	return r.SequenceNumber
}

func (sh *shard) tail() *segment {
	if len(sh.segments) == 0 {
		return nil
	}
	return sh.segments[len(sh.segments)-1]
}

// wake wakes all waiting readers. Hold mu.
func (sh *shard) wake() {
	if sh.wait != nil {
		close(sh.wait)
		sh.wait = nil
	}
}

// from returns up to limit records from index on that arrived at or after
// horizon, of at most maxBytes of data and keys together but at least one, and
// the index after the last of them. With several segments the headers are
// copied, never the data. Hold mu.
func (sh *shard) from(index uint64, horizon time.Time, limit, maxBytes int) ([]Record, uint64) {
	index = max(index, sh.trimmed(horizon))
	var out []Record
	at := sort.Search(len(sh.segments), func(i int) bool {
		s := sh.segments[i]
		return s.first+uint64(len(s.records)) > index
	})
	for ; at < len(sh.segments) && len(out) < limit; at++ {
		seg := sh.segments[at]
		part := seg.records[max(index, seg.first)-seg.first:]
		n := 0
		for n < len(part) && len(out)+n < limit {
			size := len(part[n].Data) + len(part[n].PartitionKey)
			if size > maxBytes && len(out)+n > 0 {
				break
			}
			maxBytes -= size
			n++
		}
		if n == 0 {
			break
		}
		index = max(index, seg.first) + uint64(n)
		if out == nil {
			out = part[:n:n]
		} else {
			out = append(out, part[:n]...)
		}
		if n < len(part) {
			break
		}
	}
	return out, index
}

// trimmed returns the index of the oldest record in memory that arrived at or after
// horizon. Hold mu.
func (sh *shard) trimmed(horizon time.Time) uint64 {
	for _, seg := range sh.segments {
		n := len(seg.records)
		if seg.records[n-1].Arrival.Before(horizon) {
			continue
		}
		return max(sh.floor, seg.first+uint64(sort.Search(n, func(i int) bool { return !seg.records[i].Arrival.Before(horizon) })))
	}
	return sh.next
}

// at returns the index of the first record that arrived at or after t. Hold mu.
func (sh *shard) at(t time.Time) uint64 { return sh.trimmed(t) }

// drop frees the segments that are below index or whose newest record arrived before
// horizon, and returns the number of bytes. Hold mu.
func (sh *shard) drop(index uint64, horizon time.Time) int64 {
	var freed int64
	n := 0
	for _, seg := range sh.segments {
		end := seg.first + uint64(len(seg.records))
		if end > index && !seg.records[len(seg.records)-1].Arrival.Before(horizon) {
			break
		}
		freed += seg.bytes
		n++
	}
	if n > 0 {
		sh.segments = append([]*segment(nil), sh.segments[n:]...)
	}
	return freed
}

// done returns the index below which every consumer has processed the records. Hold mu.
func (sh *shard) done(consumers map[string]struct{}) uint64 {
	if len(consumers) == 0 {
		return 0
	}
	least := sh.next
	for c := range consumers {
		least = min(least, sh.checkpoints[c]+1)
	}
	return least
}

// end closes the shard. Hold mu and the stream's lock.
func (sh *shard) end(now time.Time) {
	sh.closed, sh.closedAt = true, now
	q := sh.created
	q.index, q.arrived = lastIndex, max(now.Unix(), q.created)
	sh.ending = q.String()
	sh.wake()
}
