package eventsource

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// The batches of a partition key's lane are consecutive runs of BatchSize records of
// what the shard holds, in whatever order the goroutines run and however much room
// the records that are finished leave to read more.
func TestBatchesAreFull(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		lanes := rapid.IntRange(1, 4).Draw(rt, "lanes")
		size := rapid.IntRange(2, 20).Draw(rt, "batch size")
		// One lane reads as far as it needs; several share the read-ahead.
		most := 2 * lanes * size
		if lanes == 1 {
			most = 10 * size
		}
		records := rapid.IntRange(1, most).Draw(rt, "records")
		takes := time.Duration(rapid.IntRange(0, 1).Draw(rt, "takes")) * time.Millisecond
		failAt := rapid.SliceOfN(rapid.IntRange(0, size), 0, 20).Draw(rt, "index of the first failed record")
		synctest.Test(t, func(t *testing.T) {
			r := newRig(func(invocation int, s []string) (Response, error) {
				if invocation <= len(failAt) && failAt[invocation-1] < len(s) {
					return failure(s[failAt[invocation-1]]), nil
				}
				return Response{}, nil
			})
			r.fn.takes = takes
			held := make([][]string, lanes) // sequence numbers by lane
			for i := range records {
				key := fmt.Sprintf("gw-%d", i%13)
				r.stream.put(shard0, key)
				l := laneOf(key, lanes)
				held[l] = append(held[l], fmt.Sprintf("%056d", r.stream.last))
			}
			ends := make(map[string]bool) // records with which a batch may end
			for _, sequences := range held {
				for i, s := range sequences {
					ends[s] = (i+1)%size == 0 || i == len(sequences)-1
				}
			}
			m := r.start(t, func(s *Settings) {
				s.BatchSize, s.Parallelization, s.MaxRetries = size, lanes, Infinite
			})
			settle(5 * time.Minute)
			if !m.Idle() {
				rt.Error("records are left after five minutes")
			}
			for _, batch := range r.fn.batches {
				if last := batch[len(batch)-1]; !ends[last] {
					rt.Errorf("a batch of %d records ends with %s, before it is full", len(batch), last)
				}
			}
			if err := m.Close(t.Context()); err != nil {
				rt.Error(err)
			}
		})
	})
}

// newIdlePoller returns a poller whose goroutines do not run: the test takes their steps.
func newIdlePoller(t *testing.T, stream Stream, saved Checkpoints, batchSize int, from time.Time) *poller {
	t.Helper()
	s := testSettings()
	s.BatchSize = batchSize
	return newPoller(&Mapping{
		settings: s, stream: stream, checkpoints: saved, log: slog.New(slog.DiscardHandler), now: time.Now,
		stop: t.Context(), work: t.Context(),
	}, shard0, from)
}

func mustFill(t *testing.T, p *poller) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.fill(); err != nil {
		t.Fatal(err)
	}
}

// The poller may read a single record, because a single one was finished, and be late
// with the next read: the lane reads the rest of its batch itself.
func TestLateReadDoesNotDivideBatch(t *testing.T) {
	t.Parallel()
	stream := newFakeStream(Shard{ID: shard0})
	stream.put(shard0, oneKey(60)...)
	p := newIdlePoller(t, stream, &Memory{}, 10, time.Time{})
	mustFill(t, p)
	for i := range 4 {
		n, _, _ := p.lanes[0].cutBatch()
		if n != 10 {
			t.Fatalf("batch %d has %d records, want 10", i, n)
		}
		p.finish(p.lanes[0].batch[:1])
		if i == 0 {
			mustFill(t, p)
		}
		p.finish(p.lanes[0].batch[1:])
	}
}

// slowSaves takes longer to save a checkpoint than a mutex lets its waiters starve, so
// that a waiter is the next to hold the poller's lock if it is released at all.
type slowSaves struct {
	Memory
	onSave func()
}

func (c *slowSaves) Save(id MappingID, shard string, at Checkpoint) {
	c.onSave()
	time.Sleep(2 * time.Millisecond)
	c.Memory.Save(id, shard, at)
}

// A lane that wants a batch during a read gets all records of the read. The first ten
// are skipped for their age, which saves ten checkpoints.
func TestReadReachesLaneAsAWhole(t *testing.T) {
	t.Parallel()
	stream := newFakeStream(Shard{ID: shard0})
	stream.put(shard0, oneKey(20)...)
	start := time.Now().Add(-time.Hour)
	for i := range 10 {
		stream.shards[shard0].records[i].Arrival = start.Add(-time.Minute)
	}
	saved := &slowSaves{}
	p := newIdlePoller(t, stream, saved, 10, start)
	got := make(chan int)
	saved.onSave = sync.OnceFunc(func() {
		go func() {
			n, _, _ := p.lanes[0].cutBatch()
			got <- n
		}()
	})
	mustFill(t, p)
	if n := <-got; n != 10 {
		t.Errorf("batch of %d records, want the 10 of the read", n)
	}
}
