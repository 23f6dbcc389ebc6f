package eventsource

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// fakeStream is a stream in memory.
type fakeStream struct {
	mu      sync.Mutex
	changed chan struct{}
	order   []string
	shards  map[string]*fakeShard
	last    int
	broken  int // reads that fail before the first that succeeds
}

type fakeShard struct {
	info    Shard
	records []Record
	closed  bool
}

func newFakeStream(shards ...Shard) *fakeStream {
	s := &fakeStream{changed: make(chan struct{}), shards: make(map[string]*fakeShard), last: 100}
	for _, i := range shards {
		s.open(i)
	}
	return s
}

func (s *fakeStream) update(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *fakeStream) open(i Shard) {
	s.update(func() {
		s.order = append(s.order, i.ID)
		s.shards[i.ID] = &fakeShard{info: i}
	})
}

func (s *fakeStream) end(shard string) { s.update(func() { s.shards[shard].closed = true }) }

// put appends records with these partition keys; their data is the sequence number.
func (s *fakeStream) put(shard string, keys ...string) {
	s.update(func() {
		for _, k := range keys {
			s.last++
			n := fmt.Sprintf("%056d", s.last)
			sh := s.shards[shard]
			sh.records = append(sh.records, Record{
				SequenceNumber: n, PartitionKey: k, Data: []byte(n), Arrival: time.Now(),
			})
		}
	})
}

func (s *fakeStream) Shards(string) ([]Shard, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Shard
	for _, id := range s.order {
		list = append(list, s.shards[id].info)
	}
	return list, nil
}

func (s *fakeStream) read(shard, after string, maxRecords int) ([]Record, bool, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.shards[shard]
	if s.broken > 0 {
		s.broken--
		return nil, false, nil, fmt.Errorf("read %s: connection lost", shard)
	}
	from := 0
	for from < len(sh.records) && sh.records[from].SequenceNumber <= after {
		from++
	}
	to := min(from+maxRecords, len(sh.records))
	return sh.records[from:to:to], sh.closed && to == len(sh.records), s.changed, nil
}

func (s *fakeStream) Read(_, shard, after string, maxRecords, _ int) ([]Record, bool, error) {
	yield()
	records, end, _, err := s.read(shard, after, maxRecords)
	return records, end, err
}

func (s *fakeStream) Wait(ctx context.Context, _, shard, after string) error {
	for {
		records, end, changed, err := s.read(shard, after, 1)
		if err != nil || len(records) > 0 || end {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// yield lets other goroutines run where a fake is called, so that a test does not
// pass only because nothing came between.
func yield() {
	for range rand.IntN(5) {
		runtime.Gosched()
	}
}

// fakeFunction records its invocations and responds as respond does.
type fakeFunction struct {
	mu       sync.Mutex
	respond  func(invocation int, sequences []string) (Response, error)
	takes    time.Duration
	invoked  int
	batches  [][]string // of the invocations that did not return an error
	keys     map[string]string
	seen     []string        // first deliveries, in order
	done     map[string]bool // successfully processed
	inFlight map[string]bool // partition keys
	atOnce   int
	maxAt    int
	overlap  string
}

func newFakeFunction(respond func(int, []string) (Response, error)) *fakeFunction {
	return &fakeFunction{
		respond: respond, keys: map[string]string{}, done: map[string]bool{}, inFlight: map[string]bool{},
	}
}

func (f *fakeFunction) Invoke(ctx context.Context, payload []byte) (Response, error) {
	var e events.KinesisEvent
	if err := json.Unmarshal(payload, &e); err != nil {
		panic(err)
	}
	var sequences []string
	yield()
	f.mu.Lock()
	f.invoked++
	invocation := f.invoked
	own := map[string]bool{}
	for _, r := range e.Records {
		k := r.Kinesis
		sequences = append(sequences, k.SequenceNumber)
		if f.inFlight[k.PartitionKey] && !own[k.PartitionKey] {
			f.overlap = k.PartitionKey
		}
		own[k.PartitionKey], f.inFlight[k.PartitionKey] = true, true
		if _, seen := f.keys[k.SequenceNumber]; !seen {
			f.keys[k.SequenceNumber] = k.PartitionKey
			f.seen = append(f.seen, k.SequenceNumber)
		}
	}
	f.atOnce++
	f.maxAt = max(f.maxAt, f.atOnce)
	f.mu.Unlock()
	var r Response
	var err error
	if f.respond != nil {
		r, err = f.respond(invocation, sequences)
	}
	if f.takes > 0 {
		select {
		case <-time.After(f.takes):
		case <-ctx.Done():
			r, err = Response{}, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.atOnce--
	for k := range own {
		delete(f.inFlight, k)
	}
	if err != nil {
		return r, err
	}
	f.batches = append(f.batches, sequences)
	o := classify(r, err, true, func(s string) (int, bool) {
		for i := range sequences {
			if sequences[i] == s {
				return i, true
			}
		}
		return 0, false
	})
	n := 0
	switch o.kind {
	case succeeded:
		n = len(sequences)
	case partly:
		n = o.first
	case failed, notInvoked:
	}
	for _, s := range sequences[:n] {
		f.done[s] = true
	}
	return r, nil
}

func (f *fakeFunction) sizes() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	var n []int
	for _, b := range f.batches {
		n = append(n, len(b))
	}
	return n
}

// fakeSink is an on-failure destination in memory.
type fakeSink struct {
	mu      sync.Mutex
	objects map[string][]byte
	broken  int
}

func (s *fakeSink) Put(_ context.Context, key string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken > 0 {
		s.broken--
		return fmt.Errorf("put %s: no such bucket", key)
	}
	if s.objects == nil {
		s.objects = map[string][]byte{}
	}
	s.objects[key] = data
	return nil
}

// all returns the objects.
func (s *fakeSink) all() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.objects)
}

// sequences lists the records in all objects.
func (s *fakeSink) sequences(tb testing.TB) map[string]int {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	got := map[string]int{}
	for key, data := range s.objects {
		var f failureRecord
		if err := json.Unmarshal(data, &f); err != nil {
			tb.Fatalf("%s: %v", key, err)
		}
		var e events.KinesisEvent
		if err := json.Unmarshal([]byte(f.Payload), &e); err != nil {
			tb.Fatalf("%s: payload: %v", key, err)
		}
		if len(e.Records) != f.Batch.BatchSize {
			tb.Fatalf("%s: %d records, want batchSize %d", key, len(e.Records), f.Batch.BatchSize)
		}
		for _, r := range e.Records {
			got[r.Kinesis.SequenceNumber]++
		}
	}
	return got
}

// rig is a mapping with fakes for its ports.
type rig struct {
	stream *fakeStream
	fn     *fakeFunction
	sink   *fakeSink
	saved  *Memory
	ids    int
}

func newRig(respond func(int, []string) (Response, error)) *rig {
	return &rig{
		stream: newFakeStream(Shard{ID: "shardId-000000000000"}),
		fn:     newFakeFunction(respond), sink: &fakeSink{}, saved: &Memory{},
	}
}

const shard0 = "shardId-000000000000"

func (r *rig) start(tb testing.TB, change func(*Settings)) *Mapping {
	tb.Helper()
	s := testSettings()
	if change != nil {
		change(&s)
	}
	var ids sync.Mutex
	m, err := Start(tb.Context(), Config{
		Settings: s, Stream: r.stream, Invoker: r.fn, Checkpoints: r.saved, Failures: r.sink,
		Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time {
			yield()
			return time.Now()
		},
		NewID: func() string {
			ids.Lock()
			defer ids.Unlock()
			r.ids++
			return fmt.Sprintf("id-%d", r.ids)
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func mustClose(tb testing.TB, m *Mapping) {
	tb.Helper()
	if err := m.Close(tb.Context()); err != nil {
		tb.Errorf("Close: %v", err)
	}
}

func (r *rig) checkpoint(tb testing.TB) string {
	tb.Helper()
	c, _ := r.saved.Load(testSettings().ID, shard0)
	return strings.TrimLeft(c.Sequence, "0")
}

func failure(sequences ...string) Response {
	var list []string
	for _, s := range sequences {
		list = append(list, fmt.Sprintf(`{"itemIdentifier":%q}`, s))
	}
	return Response{Payload: []byte(`{"batchItemFailures":[` + strings.Join(list, ",") + `]}`)}
}

// oneKey returns n times the same partition key.
func oneKey(n int) []string { return slices.Repeat([]string{"a"}, n) }

// settle waits for d and then until all goroutines are blocked.
func settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
