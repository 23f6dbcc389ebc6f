package kinesis

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func filled(tb testing.TB, clock *fakeClock) *Server {
	tb.Helper()
	s := New(Config{Now: clock.Now})
	must(tb, s.CreateStream("st", 2))
	must(tb, s.Create("other", StreamOptions{Mode: OnDemand, RetentionHours: 48, MaxRecordKiB: 2048}))
	for i := range 50 {
		putOne(tb, s, fmt.Sprint("key ", i), fmt.Appendf(nil, "data %d", i))
		clock.add(time.Second / 3)
	}
	merge := map[string]any{"StreamName": "st", "ShardToMerge": shardName(1), "AdjacentShardToMerge": shardName(0)}
	must(tb, call(tb, s, "MergeShards", merge, nil))
	for i := range 50 {
		putOne(tb, s, fmt.Sprint("key ", i), fmt.Appendf(nil, "later data %d", i))
	}
	return s
}

func describe(tb testing.TB, s *Server) map[string]any {
	tb.Helper()
	out := map[string]any{}
	for _, name := range s.names() {
		var d, sum map[string]any
		must(tb, call(tb, s, "DescribeStream", map[string]any{"StreamName": name}, &d))
		must(tb, call(tb, s, "DescribeStreamSummary", map[string]any{"StreamName": name}, &sum))
		out[name] = []any{d, sum}
		infos, err := s.ListShardInfo(name)
		must(tb, err)
		for _, i := range infos {
			records, end := readAll(tb, s, name, i.ID, "")
			out[name+"/"+i.ID] = []any{records, end}
		}
	}
	return out
}

func TestSnapshotAndRestore(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := filled(t, clock)
	var b bytes.Buffer
	must(t, s.Snapshot(&b))
	r := New(Config{Now: clock.Now})
	must(t, r.Restore(bytes.NewReader(b.Bytes())))
	if diff := cmp.Diff(describe(t, s), describe(t, r)); diff != "" {
		t.Errorf("restored (-want +got):\n%s", diff)
	}
	if s.memory.Load() != r.memory.Load() {
		t.Errorf("%d bytes of memory, want %d", r.memory.Load(), s.memory.Load())
	}
	// Sequence numbers continue to increase.
	was, _ := readAll(t, s, "st", shardName(2), "")
	if now := putOne(t, r, "a", nil); now.SequenceNumber <= was[len(was)-1].SequenceNumber {
		t.Errorf("after the restart %s, before it %s", now.SequenceNumber, was[len(was)-1].SequenceNumber)
	}
	if err := r.Restore(bytes.NewReader(b.Bytes())); err == nil || errors.Is(err, ErrSnapshot) {
		t.Errorf("restore into a server with streams: %v, want another error than ErrSnapshot", err)
	}
}

func TestRestoreRejectsCorruptSnapshots(t *testing.T) {
	t.Parallel()
	clock := newClock()
	var b bytes.Buffer
	must(t, filled(t, clock).Snapshot(&b))
	good := b.Bytes()
	reject := func(what string, in []byte) {
		t.Helper()
		s := New(Config{Now: clock.Now})
		if err := s.Restore(bytes.NewReader(in)); !errors.Is(err, ErrSnapshot) {
			t.Errorf("%s: error %v, want one that wraps ErrSnapshot", what, err)
		}
		if len(s.names()) != 0 || s.memory.Load() != 0 {
			t.Errorf("%s: the server has streams or memory in use", what)
		}
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		reject(fmt.Sprintf("bit of byte %d of %d flipped", i, len(good)), bad)
	}
	for i := 0; i < len(good); i += 7 {
		reject(fmt.Sprintf("truncated to %d bytes", i), good[:i])
	}
	reject("something else", []byte("PK\x03\x04 not a snapshot at all"))

	small := New(Config{MemoryBytes: 100})
	if err := small.Restore(bytes.NewReader(good)); !errors.Is(err, ErrSnapshot) {
		t.Errorf("restore into too little memory: %v, want %v", err, ErrSnapshot)
	}
}

func FuzzRestore(f *testing.F) {
	clock := newClock()
	var b bytes.Buffer
	must(f, filled(f, clock).Snapshot(&b))
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:100])
	f.Add(b.Bytes()[:b.Len()-4])
	b.Reset()
	must(f, New(Config{}).Snapshot(&b))
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, in []byte) {
		if err := New(Config{}).Restore(bytes.NewReader(in)); err != nil && !errors.Is(err, ErrSnapshot) {
			t.Fatal(err)
		}
		// With a correct checksum Restore must detect that the content is corrupt, or succeed.
		sum := crc32.Checksum(in, crc32.MakeTable(crc32.Castagnoli))
		s := New(Config{Now: clock.Now})
		if s.Restore(bytes.NewReader(binary.LittleEndian.AppendUint32(bytes.Clone(in), sum))) != nil {
			return
		}
		var again bytes.Buffer
		must(t, s.Snapshot(&again))
		for _, name := range s.names() {
			if _, err := s.PutRecords(name, []PutEntry{NewPutEntry("k", nil)}, nil); err != nil && !IsType(err, ResourceNotFound) {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkSnapshotRestore(b *testing.B) {
	s := New(Config{Limits: Limits{WriteBytesPerSecond: -1, WriteRecordsPerSecond: -1}})
	must(b, s.CreateStream("st", 4))
	for i := range 5000 {
		putOne(b, s, fmt.Sprint(i), make([]byte, 10_000))
	}
	var file bytes.Buffer
	b.SetBytes(s.memory.Load())
	b.ReportAllocs()
	for b.Loop() {
		file.Reset()
		must(b, s.Snapshot(&file))
		must(b, New(Config{}).Restore(&file))
	}
}

func TestSnapshotOfLargestRecord(t *testing.T) {
	t.Parallel()
	s := New(Config{})
	must(t, s.Create("st", StreamOptions{Shards: 1, MaxRecordKiB: maxRecordKiB}))
	data := bytes.Repeat([]byte("0123456789"), maxSnapshotField/10)[:maxSnapshotField-1]
	if r := putOne(t, s, "k", data); r.Error != "" {
		t.Fatal(r)
	}
	var b bytes.Buffer
	must(t, s.Snapshot(&b))
	r := New(Config{})
	must(t, r.Restore(&b))
	if got, _ := readAll(t, r, "st", shardName(0), ""); len(got) != 1 || !bytes.Equal(got[0].Data, data) {
		t.Errorf("the record of %d bytes was not restored", len(data))
	}
}
