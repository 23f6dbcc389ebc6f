package kinesis

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"testing"
	"time"
)

func TestWriteLimits(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := New(Config{Now: clock.Now})
	must(t, s.CreateStream("st", 1))

	put := func(n, size int) (stored int) {
		t.Helper()
		var entries []PutEntry
		for range n {
			entries = append(entries, NewPutEntry("k", make([]byte, size-1)))
		}
		results, err := s.PutRecords("st", entries, nil)
		must(t, err)
		for _, r := range results {
			switch r.Error {
			case "":
				stored++
			case ThroughputExceeded:
			default:
				t.Fatalf("result %+v", r)
			}
		}
		return stored
	}
	if got := put(500, 10) + put(500, 10) + put(500, 10); got != 1000 {
		t.Errorf("%d of 1,500 small records were stored in one second, want 1,000", got)
	}
	clock.add(100 * time.Millisecond)
	if got := put(500, 10); got != 100 {
		t.Errorf("%d records were stored after a tenth of a second, want 100", got)
	}
	clock.add(10 * time.Second)
	if got := put(20, 100<<10); got != 10 {
		t.Errorf("%d records of 100 KiB were stored in one second, want 10: 1 MiB", got)
	}
}

func TestRecordLargerThanBucketNeedsFullBucket(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := New(Config{Now: clock.Now})
	must(t, s.Create("st", StreamOptions{Shards: 1, MaxRecordKiB: 10240}))
	if r := putOne(t, s, "k", make([]byte, 5<<20)); r.Error != "" {
		t.Fatalf("5 MiB with a full bucket: %+v", r)
	}
	clock.add(4 * time.Second)
	if r := putOne(t, s, "k", []byte("x")); r.Error != ThroughputExceeded {
		t.Errorf("4 s later: %+v, want an error: the bucket is negative", r)
	}
	clock.add(1100 * time.Millisecond)
	if r := putOne(t, s, "k", []byte("x")); r.Error != "" {
		t.Errorf("5.1 s later: %+v, want no error", r)
	}
}

func TestPutRecordReturnsThrottlingAsError(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := New(Config{Now: clock.Now, Limits: Limits{WriteRecordsPerSecond: 1}})
	must(t, s.CreateStream("st", 1))
	in := map[string]any{"StreamName": "st", "PartitionKey": "k", "Data": []byte("x")}
	must(t, call(t, s, "PutRecord", in, nil))
	wantType(t, call(t, s, "PutRecord", in, nil), ThroughputExceeded)
}

func TestReadLimitsOfGetRecords(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := New(Config{Now: clock.Now, Limits: Limits{WriteBytesPerSecond: -1}})
	must(t, s.CreateStream("st", 1))
	for range 12 {
		putOne(t, s, "k", make([]byte, 1<<20-1))
	}
	it := iteratorOf(t, s, "TRIM_HORIZON")
	p := get(t, s, it)
	if len(p.Records) != 10 {
		t.Fatalf("%d records of 1 MiB in one call, want 10: 10 MiB", len(p.Records))
	}
	clock.add(3900 * time.Millisecond)
	wantType(t, call(t, s, "GetRecords", map[string]any{"ShardIterator": p.NextShardIterator}, nil), ThroughputExceeded)
	clock.add(1200 * time.Millisecond)
	p = get(t, s, p.NextShardIterator)
	if len(p.Records) != 2 {
		t.Fatalf("%d records left, want 2", len(p.Records))
	}
	clock.add(time.Minute)
	it = iteratorOf(t, s, "LATEST")
	for i := range 6 {
		err := call(t, s, "GetRecords", map[string]any{"ShardIterator": it}, nil)
		if i < 5 {
			must(t, err)
		} else {
			wantType(t, err, ThroughputExceeded)
		}
	}
}

func TestIteratorsAndTokensExpire(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := New(Config{Now: clock.Now})
	must(t, s.CreateStream("st", 2))
	it := iteratorOf(t, s, "TRIM_HORIZON")
	var l struct{ NextToken string }
	must(t, call(t, s, "ListShards", map[string]any{"StreamName": "st", "MaxResults": 1}, &l))
	clock.add(5 * time.Minute)
	get(t, s, it)
	must(t, call(t, s, "ListShards", map[string]any{"NextToken": l.NextToken}, nil))
	clock.add(time.Millisecond)
	wantType(t, call(t, s, "GetRecords", map[string]any{"ShardIterator": it}, nil), ExpiredIterator)
	wantType(t, call(t, s, "ListShards", map[string]any{"NextToken": l.NextToken}, nil), ExpiredNextToken)

	raw, err := base64.StdEncoding.DecodeString(it)
	must(t, err)
	raw[20] ^= 1
	forged := base64.StdEncoding.EncodeToString(raw)
	for _, bad := range []string{"", "AAAA", "%", forged} {
		wantType(t, call(t, s, "GetRecords", map[string]any{"ShardIterator": bad}, nil), InvalidArgument)
	}
}

func TestRetentionTrims(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := New(Config{Now: clock.Now, Limits: Limits{WriteRecordsPerSecond: -1}})
	must(t, s.CreateStream("st", 1))
	for i := range 600 {
		putOne(t, s, "k", fmt.Append(nil, i))
	}
	clock.add(time.Hour)
	putOne(t, s, "k", []byte("young"))
	clock.add(23*time.Hour + time.Second)
	got, _ := readAll(t, s, "st", shardName(0), "")
	if len(got) != 1 || string(got[0].Data) != "young" {
		t.Fatalf("%d records after 24 h, want only the young one", len(got))
	}
	hours := func(n int) map[string]any { return map[string]any{"StreamName": "st", "RetentionPeriodHours": n} }
	must(t, call(t, s, "IncreaseStreamRetentionPeriod", hours(48), nil))
	wantType(t, call(t, s, "IncreaseStreamRetentionPeriod", hours(47), nil), InvalidArgument)
	wantType(t, call(t, s, "DecreaseStreamRetentionPeriod", hours(23), nil), InvalidArgument)
	clock.add(2 * time.Hour)
	if got, _ := readAll(t, s, "st", shardName(0), ""); len(got) != 1 {
		t.Errorf("%d records after 26 h of 48, want 1", len(got))
	}
	clock.add(48 * time.Hour)
	if got, _ := readAll(t, s, "st", shardName(0), ""); len(got) != 0 {
		t.Errorf("%d records after the retention, want none", len(got))
	}
	s.trim(nil, clock.Now())
	if n := s.memory.Load(); n != 0 {
		t.Errorf("%d bytes are in use, want 0", n)
	}
}

func TestFullMemoryThrottlesAndLosesNothing(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := New(Config{Now: clock.Now, MemoryBytes: 8 << 20, Limits: Limits{WriteBytesPerSecond: -1}})
	must(t, s.CreateStream("st", 1))
	must(t, s.RegisterConsumer("st", "store"))
	must(t, s.RegisterConsumer("st", "archive"))
	body := bytes.Repeat([]byte{7}, 1<<19)
	var numbers []string
	for {
		r := putOne(t, s, "k", body)
		if r.Error != "" {
			if r.Error != ThroughputExceeded {
				t.Fatalf("full memory gives %+v", r)
			}
			break
		}
		numbers = append(numbers, r.SequenceNumber)
	}
	if n := len(numbers); n != 15 {
		t.Errorf("%d records of 512 KiB fit into 8 MiB, want 15", n)
	}
	if got, _ := readAll(t, s, "st", shardName(0), ""); len(got) != len(numbers) {
		t.Fatalf("%d records are readable of %d accepted", len(got), len(numbers))
	}
	must(t, s.SetTrimmable("st", "store", shardName(0), numbers[9]))
	for range 20 { // the consumers are in random order
		if r := putOne(t, s, "k", body); r.Error == "" {
			t.Fatal("a record was stored although one consumer has processed nothing")
		}
	}
	must(t, s.SetTrimmable("st", "archive", shardName(0), numbers[4]))
	r := putOne(t, s, "k", body)
	if r.Error != "" {
		t.Fatalf("not stored although both consumers have processed five records: %+v", r)
	}
	got, _ := readAll(t, s, "st", shardName(0), "")
	if got[0].SequenceNumber > numbers[5] {
		t.Errorf("the oldest readable record is %s, want at most %s", got[0].SequenceNumber, numbers[5])
	}
	if last := got[len(got)-1].SequenceNumber; last != r.SequenceNumber {
		t.Errorf("the newest readable record is %s, want %s", last, r.SequenceNumber)
	}
}

func TestArrivalNeverGoesBackwards(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := New(Config{Now: clock.Now, Limits: Limits{WriteRecordsPerSecond: -1}})
	must(t, s.CreateStream("st", 1))
	for i := range 600 {
		clock.add(time.Duration(1-i%3) * time.Second)
		putOne(t, s, "k", nil)
	}
	got, _ := readAll(t, s, "st", shardName(0), "")
	for i := 1; i < len(got); i++ {
		if got[i].Arrival.Before(got[i-1].Arrival) {
			t.Fatalf("record %d arrived %v, the one before it %v", i, got[i].Arrival, got[i-1].Arrival)
		}
	}
}

func TestTransitions(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := New(Config{Now: clock.Now, Transition: time.Second})
	must(t, s.CreateStream("st", 1))
	entry := []PutEntry{NewPutEntry("k", nil)}
	_, err := s.PutRecords("st", entry, nil)
	wantType(t, err, ResourceNotFound)
	clock.add(time.Second)
	_, err = s.PutRecords("st", entry, nil)
	must(t, err)
	must(t, scaleTo(t, s, 2))
	wantType(t, scaleTo(t, s, 4), ResourceInUse)
	_, err = s.PutRecords("st", entry, nil)
	must(t, err) // an UPDATING stream accepts records
	clock.add(time.Second)
	must(t, scaleTo(t, s, 4))
	clock.add(time.Second)
	must(t, s.DeleteStream("st"))
	wantType(t, s.CreateStream("st", 1), ResourceInUse)
	clock.add(time.Second)
	must(t, s.CreateStream("st", 1))
}

// iteratorOf returns an iterator of shard 0 of the stream st.
func iteratorOf(tb testing.TB, s *Server, kind string) string {
	tb.Helper()
	in := map[string]any{"StreamName": "st", "ShardId": shardName(0), "ShardIteratorType": kind}
	var out struct{ ShardIterator string }
	must(tb, call(tb, s, "GetShardIterator", in, &out))
	return out.ShardIterator
}

type gotPage struct {
	Records []struct {
		Data           []byte
		SequenceNumber string
	}
	NextShardIterator string
	ChildShards       []struct{ ShardId string } //nolint:revive // the API's spelling
}

func get(tb testing.TB, s *Server, it string) gotPage {
	tb.Helper()
	var p gotPage
	must(tb, call(tb, s, "GetRecords", map[string]any{"ShardIterator": it}, &p))
	return p
}
