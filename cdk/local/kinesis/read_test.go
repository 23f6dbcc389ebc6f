package kinesis

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// read is one Read in the background.
type readResult struct {
	records []Record
	end     bool
	err     error
}

func readLater(ctx context.Context, s *Server, id, after string) <-chan readResult {
	out := make(chan readResult, 1)
	go func() {
		r, end, err := s.Read(ctx, "st", id, after, 1000, 1<<20)
		out <- readResult{r, end, err}
	}()
	return out
}

func TestWaitingReadersAreWokenByWhatTheyWaitFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{})
		must(t, s.CreateStream("st", 1))
		ctx, cancel := context.WithCancel(t.Context())
		id := shardName(0)

		a, b := readLater(ctx, s, id, ""), readLater(ctx, s, id, "")
		synctest.Wait()
		start := time.Now()
		results, err := s.PutRecords("st", []PutEntry{NewPutEntry("k", []byte("1")), NewPutEntry("k", []byte("2"))}, nil)
		must(t, err)
		for _, c := range []<-chan readResult{a, b} {
			if r := <-c; r.err != nil || r.end || len(r.records) != 2 {
				t.Errorf("woken by a put: %+v, want both records of the request", r)
			}
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("the readers slept %v: something polls", d)
		}

		c := readLater(ctx, s, id, results[1].SequenceNumber)
		synctest.Wait()
		must(t, call(t, s, "UpdateShardCount", map[string]any{"StreamName": "st", "TargetShardCount": 2, "ScalingType": "UNIFORM_SCALING"}, nil))
		if r := <-c; r.err != nil || !r.end || len(r.records) != 0 {
			t.Errorf("woken by the shard's end: %+v", r)
		}

		d := readLater(ctx, s, shardName(1), "")
		synctest.Wait()
		cancel()
		if r := <-d; !errors.Is(r.err, context.Canceled) {
			t.Errorf("woken by the context: %+v", r)
		}

		e := readLater(t.Context(), s, shardName(1), "")
		synctest.Wait()
		must(t, s.DeleteStream("st"))
		r := <-e
		wantType(t, r.err, ResourceNotFound)
	})
}

func TestReadKeepsToItsBounds(t *testing.T) {
	t.Parallel()
	s := New(Config{Limits: Limits{WriteRecordsPerSecond: -1}})
	must(t, s.CreateStream("st", 1))
	for i := range 1000 {
		putOne(t, s, "key", fmt.Appendf(nil, "%07d", i)) // 10 bytes with its key
	}
	for _, c := range []struct{ limit, maxBytes, want int }{
		{1, 1 << 20, 1},
		{300, 1 << 20, 300},
		{1000, 1 << 20, 1000},
		{5000, 1 << 20, 1000},
		{0, 0, 1000},
		{1000, 1, 1},
		{1000, 10, 1},
		{1000, 19, 1},
		{1000, 20, 2},
		{1000, 6005, 600},
	} {
		got, end, err := s.Read(t.Context(), "st", shardName(0), "", c.limit, c.maxBytes)
		if err != nil || end || len(got) != c.want {
			t.Errorf("Read(limit %d, %d bytes) = %d records, end %v, error %v, want %d", c.limit, c.maxBytes, len(got), end, err, c.want)
		}
	}
}

func TestReadRefusesWhatTheShardDidNotGiveOut(t *testing.T) {
	t.Parallel()
	s := New(Config{})
	must(t, s.CreateStream("st", 2))
	r := putOne(t, s, "a", nil)
	_, _, err := s.Read(t.Context(), "st", shardName(1-r.Shard), r.SequenceNumber, 1, 1)
	wantType(t, err, InvalidArgument)
	_, _, err = s.Read(t.Context(), "st", shardName(0), "17", 1, 1)
	wantType(t, err, InvalidArgument)
	_, _, err = s.Read(t.Context(), "st", shardName(2), "", 1, 1)
	wantType(t, err, ResourceNotFound)
	_, _, err = s.Read(t.Context(), "none", shardName(0), "", 1, 1)
	wantType(t, err, ResourceNotFound)
}

func TestAShardAtItsEndNamesItsChildren(t *testing.T) {
	t.Parallel()
	s := New(Config{})
	must(t, s.CreateStream("st", 1))
	putOne(t, s, "a", []byte("x"))
	must(t, call(t, s, "UpdateShardCount", map[string]any{"StreamName": "st", "TargetShardCount": 2, "ScalingType": "UNIFORM_SCALING"}, nil))
	p := get(t, s, iteratorOf(t, s, "TRIM_HORIZON"))
	if len(p.Records) != 1 || p.NextShardIterator != "" || len(p.ChildShards) != 2 || p.ChildShards[1].ShardId != shardName(2) {
		t.Errorf("the last page of a closed shard: %+v", p)
	}
}
