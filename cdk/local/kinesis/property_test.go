package kinesis

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// In any order of puts, splits, merges, scalings and snapshots, a reader that reads
// parents before children reads every accepted record once, and the records of each
// partition key in the order in which they were put.
func TestEveryAcceptedRecordIsReadOnceInOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		clock := newClock()
		m := &machine{
			T: t, clock: clock, s: New(Config{Now: clock.Now, Limits: Limits{WriteRecordsPerSecond: 100}}),
			after: map[string]string{}, ended: map[string]bool{},
		}
		must(m, m.s.CreateStream("st", rapid.IntRange(1, 3).Draw(t, "shards")))
		t.Repeat(map[string]func(*rapid.T){
			"":    m.counted,
			"put": m.put, "split": m.split, "merge": m.merge, "scale": m.scale, "read": m.read, "restart": m.restart,
			"wait": func(t *rapid.T) { clock.add(time.Duration(rapid.IntRange(1, 3000).Draw(t, "ms")) * time.Millisecond) },
		})
		m.drain()
	})
}

// machine is the model: what was accepted and what has been read.
type machine struct {
	*rapid.T
	clock    *fakeClock
	s        *Server
	sent     int
	accepted []string          // data, in order of acceptance
	seen     []string          // data, in order of reading
	after    map[string]string // shard → last number read
	ended    map[string]bool
}

func (m *machine) put(t *rapid.T) {
	var entries []PutEntry
	for range rapid.IntRange(1, 60).Draw(t, "records") {
		key := fmt.Sprintf("k%d", rapid.IntRange(0, 9).Draw(t, "key"))
		entries = append(entries, NewPutEntry(key, fmt.Appendf(nil, "%s %d", key, m.sent)))
		m.sent++
	}
	results, err := m.s.PutRecords("st", entries, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Error == "" {
			m.accepted = append(m.accepted, string(entries[i].Data))
		}
	}
}

// counted checks that the memory counter is the sum of all segments.
func (m *machine) counted(t *rapid.T) {
	var held int64
	st, err := m.s.find("st")
	if err != nil {
		t.Fatal(err)
	}
	for _, sh := range st.shards {
		for _, seg := range sh.segments {
			held += seg.bytes
		}
	}
	if n := m.s.memory.Load(); n != held {
		t.Fatalf("the counter is %d bytes, want %d", n, held)
	}
}

func (m *machine) open(t *rapid.T) []ShardInfo {
	all, err := m.s.ListShardInfo("st")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(i ShardInfo) bool { return i.Closed })
}

func (m *machine) split(t *rapid.T) {
	open := m.open(t)
	id := open[rapid.IntRange(0, len(open)-1).Draw(t, "shard")].ID
	st, sh, err := m.s.findShard("st", id)
	if err != nil || len(open) > 40 {
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	key := hashKey{sh.hashes.first.hi/2 + sh.hashes.last.hi/2, rapid.Uint64().Draw(t, "low")}
	if sh.hashes.first.less(key) && sh.hashes.contains(key) {
		st.split(sh, key, m.clock.Now())
	}
}

func (m *machine) merge(t *rapid.T) {
	st, err := m.s.find("st")
	if err != nil {
		t.Fatal(err)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.open) > 1 {
		i := rapid.IntRange(0, len(st.open)-2).Draw(t, "left")
		st.merge(st.open[i], st.open[i+1], m.clock.Now())
	}
}

func (m *machine) scale(t *rapid.T) {
	st, err := m.s.find("st")
	if err != nil {
		t.Fatal(err)
	}
	n := rapid.IntRange(1, 8).Draw(t, "target")
	st.mu.Lock()
	defer st.mu.Unlock()
	st.rescale(n, m.clock.Now())
	if len(st.open) != n {
		t.Fatalf("%d open shards, want %d", len(st.open), n)
	}
	for i, sh := range st.open {
		if sh.hashes != evenRange(i, n) {
			t.Fatalf("part %d is %v, want %v", i, sh.hashes, evenRange(i, n))
		}
	}
}

// read reads all records of a shard whose parents are finished.
func (m *machine) read(t *rapid.T) {
	all, err := m.s.ListShardInfo("st")
	if err != nil {
		t.Fatal(err)
	}
	ready := slices.DeleteFunc(all, func(i ShardInfo) bool {
		return m.ended[i.ID] || i.ParentID != "" && !m.ended[i.ParentID] || i.AdjacentParentID != "" && !m.ended[i.AdjacentParentID]
	})
	m.readShard(ready[rapid.IntRange(0, len(ready)-1).Draw(t, "shard")].ID)
}

func (m *machine) readShard(id string) {
	got, end := readAll(m, m.s, "st", id, m.after[id])
	for _, r := range got {
		if r.SequenceNumber <= m.after[id] {
			m.Fatalf("shard %s: read %s after %s", id, r.SequenceNumber, m.after[id])
		}
		m.after[id] = r.SequenceNumber
		m.seen = append(m.seen, string(r.Data))
	}
	m.ended[id] = end
}

// restart continues in a new server with the snapshot of the old one.
func (m *machine) restart(t *rapid.T) {
	var b bytes.Buffer
	if err := m.s.Snapshot(&b); err != nil {
		t.Fatal(err)
	}
	next := New(m.s.cfg)
	if err := next.Restore(&b); err != nil {
		t.Fatal(err)
	}
	m.s = next
}

// drain reads everything, parents first, and compares.
func (m *machine) drain() {
	all, err := m.s.ListShardInfo("st")
	if err != nil {
		m.Fatal(err)
	}
	for _, i := range all { // parents have lower numbers
		if i.Closed != m.ended[i.ID] || !i.Closed {
			m.readShard(i.ID)
		}
		if i.Closed && !m.ended[i.ID] {
			m.Fatalf("closed shard %s does not end", i.ID)
		}
	}
	for _, i := range all {
		for _, parent := range []string{i.ParentID, i.AdjacentParentID} {
			if first, _ := readAll(m, m.s, "st", i.ID, ""); len(first) > 0 && first[0].SequenceNumber <= m.after[parent] {
				m.Fatalf("%s starts with %s, but its parent %s ends with %s", i.ID, first[0].SequenceNumber, parent, m.after[parent])
			}
		}
	}
	byKey := func(all []string) map[string][]string {
		out := map[string][]string{}
		for _, data := range all {
			key := data[:2]
			out[key] = append(out[key], data)
		}
		return out
	}
	want, got := byKey(m.accepted), byKey(m.seen)
	for key := range want {
		if !slices.Equal(want[key], got[key]) {
			m.Fatalf("key %s: read %v, accepted %v", key, got[key], want[key])
		}
	}
	if len(m.seen) != len(m.accepted) {
		m.Fatalf("%d read, %d accepted", len(m.seen), len(m.accepted))
	}
}

// With concurrent writers, readers of all shards and scalings each record is read once and
// each key in order.
func TestConcurrentWritersReadersAndScaling(t *testing.T) {
	t.Parallel()
	s := New(Config{Limits: Limits{WriteRecordsPerSecond: -1, WriteBytesPerSecond: -1}})
	must(t, s.CreateStream("st", 2))
	const writers, each = 4, 500

	var mu sync.Mutex
	seen := map[string][]string{}
	readers := sync.WaitGroup{}
	finished := map[string]chan struct{}{}
	done := func(id string) chan struct{} {
		mu.Lock()
		defer mu.Unlock()
		if finished[id] == nil {
			finished[id] = make(chan struct{})
		}
		return finished[id]
	}
	follow := func(i ShardInfo) {
		for _, p := range []string{i.ParentID, i.AdjacentParentID} {
			if p != "" {
				<-done(p)
			}
		}
		after := ""
		for {
			got, end, err := waitAndRead(t.Context(), s, i.ID, after, 50, 1<<20)
			if err != nil {
				t.Errorf("read %s: %v", i.ID, err)
				return
			}
			mu.Lock()
			for _, r := range got {
				seen[r.PartitionKey] = append(seen[r.PartitionKey], string(r.Data))
				after = r.SequenceNumber
			}
			mu.Unlock()
			if end {
				close(done(i.ID))
				return
			}
		}
	}
	started := map[string]bool{}
	startReaders := func() {
		all, err := s.ListShardInfo("st")
		must(t, err)
		for _, i := range all {
			if !started[i.ID] {
				started[i.ID] = true
				readers.Go(func() { follow(i) })
			}
		}
	}
	startReaders()

	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				var entries []PutEntry
				for k := range 3 {
					key := fmt.Sprintf("w%d-%d", w, k)
					entries = append(entries, NewPutEntry(key, fmt.Append(nil, i)))
				}
				if _, err := s.PutRecords("st", entries, nil); err != nil {
					t.Errorf("put: %v", err)
				}
			}
		})
	}
	st, err := s.find("st")
	must(t, err)
	for _, n := range []int{4, 3, 6, 1, 2} {
		st.mu.Lock()
		st.rescale(n, time.Now())
		st.mu.Unlock()
		startReaders()
	}
	writing.Wait()
	// One last scaling closes every shard that holds records, so that its reader ends.
	st.mu.Lock()
	st.rescale(1, time.Now())
	st.split(st.open[0], hashKey{1 << 63, 0}, time.Now())
	last := []string{shardName(st.open[0].number), shardName(st.open[1].number)}
	st.mu.Unlock()
	for _, id := range last {
		started[id] = true
	}
	startReaders()
	readers.Wait()

	if len(seen) != writers*3 {
		t.Fatalf("%d keys were read, want %d", len(seen), writers*3)
	}
	for key, got := range seen {
		if len(got) != each {
			t.Errorf("key %s: %d records, want %d", key, len(got), each)
			continue
		}
		for i := range got {
			if got[i] != fmt.Sprint(i) {
				t.Errorf("key %s: record %d is %s", key, i, got[i])
				break
			}
		}
	}
}
