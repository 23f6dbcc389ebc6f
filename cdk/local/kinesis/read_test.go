package kinesis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// waitAndRead waits until a shard of the stream st has records or its end, and reads them.
func waitAndRead(ctx context.Context, s *Server, id, after string, limit, maxBytes int) ([]Record, bool, error) {
	const name = "st"
	if err := s.Wait(ctx, name, id, after); err != nil {
		return nil, false, err
	}
	return s.Read(name, id, after, limit, maxBytes)
}

// readResult is what a waitAndRead in the background returned.
type readResult struct {
	records []Record
	end     bool
	err     error
}

func readLater(ctx context.Context, s *Server, id, after string) <-chan readResult {
	out := make(chan readResult, 1)
	go func() {
		r, end, err := waitAndRead(ctx, s, id, after, 1000, 1<<20)
		out <- readResult{r, end, err}
	}()
	return out
}

func TestWait(t *testing.T) {
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
			t.Errorf("the readers slept %v, want 0: no polling", d)
		}

		c := readLater(ctx, s, id, results[1].SequenceNumber)
		synctest.Wait()
		must(t, scaleTo(t, s, 2))
		if r := <-c; r.err != nil || !r.end || len(r.records) != 0 {
			t.Errorf("woken by the end of the shard: %+v, want end", r)
		}

		d := readLater(ctx, s, shardName(1), "")
		synctest.Wait()
		cancel()
		if r := <-d; !errors.Is(r.err, context.Canceled) {
			t.Errorf("woken by the context: %+v, want its error", r)
		}

		e := readLater(t.Context(), s, shardName(1), "")
		synctest.Wait()
		must(t, s.DeleteStream("st"))
		r := <-e
		wantType(t, r.err, ResourceNotFound)
	})
}

func TestReadLimits(t *testing.T) {
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
		got, end, err := s.Read("st", shardName(0), "", c.limit, c.maxBytes)
		if err != nil || end || len(got) != c.want {
			t.Errorf("Read(limit %d, %d bytes) = %d records, end %v, error %v, want %d",
				c.limit, c.maxBytes, len(got), end, err, c.want)
		}
	}
}

func TestReadRejectsForeignSequenceNumbers(t *testing.T) {
	t.Parallel()
	s := New(Config{})
	must(t, s.CreateStream("st", 2))
	r := putOne(t, s, "a", nil)
	_, _, err := s.Read("st", shardName(1-r.Shard), r.SequenceNumber, 1, 1)
	wantType(t, err, InvalidArgument)
	_, _, err = s.Read("st", shardName(0), "17", 1, 1)
	wantType(t, err, InvalidArgument)
	_, _, err = s.Read("st", shardName(2), "", 1, 1)
	wantType(t, err, ResourceNotFound)
	_, _, err = s.Read("none", shardName(0), "", 1, 1)
	wantType(t, err, ResourceNotFound)
}

func TestEndOfShardListsChildren(t *testing.T) {
	t.Parallel()
	s := New(Config{})
	must(t, s.CreateStream("st", 1))
	putOne(t, s, "a", []byte("x"))
	must(t, scaleTo(t, s, 2))
	p := get(t, s, iteratorOf(t, s, "TRIM_HORIZON"))
	if len(p.Records) != 1 || p.NextShardIterator != "" || len(p.ChildShards) != 2 || p.ChildShards[1].ShardId != shardName(2) {
		t.Errorf("the last page of a closed shard: %+v", p)
	}
}

func TestReadSeesRequestAsAWhole(t *testing.T) {
	t.Parallel()
	s := New(Config{Limits: Limits{WriteRecordsPerSecond: -1}})
	must(t, s.CreateStream("st", 1))
	const requests, each = 100, 100
	done := make(chan error, 1)
	go func() {
		defer close(done)
		for range requests {
			if _, err := s.PutRecords("st", slices.Repeat([]PutEntry{NewPutEntry("k", nil)}, each), nil); err != nil {
				done <- err
				return
			}
		}
	}()
	after, n := "", 0
	for n < requests*each {
		records, _, err := waitAndRead(t.Context(), s, shardName(0), after, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if n += len(records); n%each != 0 {
			t.Fatalf("read %d records: a part of a request of %d", n, each)
		}
		after = records[len(records)-1].SequenceNumber
	}
	must(t, <-done)
}
