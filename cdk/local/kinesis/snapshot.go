package kinesis

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"
)

// A snapshot is, in order: the magic, a version (uint32), the streams, each after a one
// byte, a zero byte and the CRC-32C (uint32) of all of that. Numbers are little endian or
// varints; strings and data are preceded by their length. See encoder.stream.
const (
	snapshotMagic   = "IHKINESIS"
	snapshotVersion = 1
	// No field is longer: a greater length means that the snapshot is corrupt.
	maxSnapshotField = maxRecordKiB << 10
)

// ErrSnapshot is wrapped by the errors of Restore that are caused by the snapshot.
var ErrSnapshot = errors.New("snapshot of streams")

// frozen is the state of a stream at one time.
type frozen struct {
	st      *stream
	horizon time.Time
	shards  []frozenShard
}

type frozenShard struct {
	sh      *shard
	next    uint64
	records []Record // the unexpired ones
}

// Snapshot writes all streams, their shards and their unexpired records. Each stream is
// consistent; concurrent puts may or may not be part of it.
func (s *Server) Snapshot(w io.Writer) error {
	buf := bufio.NewWriterSize(w, 256<<10)
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	e := &encoder{w: io.MultiWriter(buf, sum)}
	e.raw([]byte(snapshotMagic))
	e.raw(binary.LittleEndian.AppendUint32(nil, snapshotVersion))
	for _, name := range s.names() {
		st, err := s.find(name)
		if err != nil {
			continue // deleted in the meantime
		}
		f, ok := s.freeze(st)
		if !ok {
			continue
		}
		e.raw([]byte{1})
		e.stream(f)
	}
	e.raw([]byte{0})
	if e.err == nil {
		_, e.err = buf.Write(binary.LittleEndian.AppendUint32(nil, sum.Sum32()))
	}
	if e.err == nil {
		e.err = buf.Flush()
	}
	if e.err != nil {
		return fmt.Errorf("kinesis: write snapshot: %w", e.err)
	}
	return nil
}

// freeze copies the headers of a stream's records; their data is immutable.
func (s *Server) freeze(st *stream) (frozen, bool) {
	now := s.cfg.Now()
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.busy == deleting {
		return frozen{}, false
	}
	f := frozen{st: st, horizon: st.horizon(now)}
	for _, sh := range st.shards {
		sh.mu.Lock()
		const all = 1 << 62
		records, _ := sh.from(0, f.horizon, all, all)
		f.shards = append(f.shards, frozenShard{sh, sh.next, records})
		sh.mu.Unlock()
	}
	return f, true
}

// encoder writes fields; after the first error it writes nothing.
type encoder struct {
	w   io.Writer
	buf []byte
	err error
}

func (e *encoder) raw(b []byte) {
	if e.err == nil {
		_, e.err = e.w.Write(b)
	}
}

func (e *encoder) uint(v uint64) {
	e.buf = binary.AppendUvarint(e.buf[:0], v)
	e.raw(e.buf)
}

func (e *encoder) bytes(b []byte) {
	e.uint(uint64(len(b)))
	e.raw(b)
}

func (e *encoder) text(s string) { e.bytes([]byte(s)) }

func (e *encoder) time(t time.Time) { e.uint(uint64(t.UnixNano())) }

func (e *encoder) stream(f frozen) {
	st := f.st
	e.text(st.name)
	e.text(string(st.mode))
	e.time(st.created)
	e.uint(uint64(st.retentionHours))
	e.uint(uint64(st.maxRecordBytes))
	e.uint(uint64(len(f.shards)))
	for _, fs := range f.shards {
		sh := fs.sh
		e.uint(uint64(sh.created.created))
		e.time(sh.since)
		e.uint(uint64(len(sh.parents)))
		for _, p := range sh.parents {
			e.uint(uint64(p))
		}
		for _, v := range []uint64{sh.hashes.first.hi, sh.hashes.first.lo, sh.hashes.last.hi, sh.hashes.last.lo} {
			e.uint(v)
		}
		if sh.closed {
			e.uint(1)
			e.time(sh.closedAt)
		} else {
			e.uint(0)
		}
		e.uint(fs.next)
		e.uint(uint64(len(fs.records)))
		for i := range fs.records {
			r := &fs.records[i]
			e.text(r.PartitionKey)
			e.time(r.Arrival)
			e.bytes(r.Data)
		}
	}
}

// decoder reads fields; after the first error it returns zero values.
type decoder struct {
	r     *bufio.Reader
	table *crc32.Table
	sum   uint32
	one   [1]byte
	err   error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		d.err = err
	}
}

// ReadByte makes the decoder an io.ByteReader for varints.
func (d *decoder) ReadByte() (byte, error) {
	b, err := d.r.ReadByte()
	if err == nil {
		d.one[0] = b
		d.sum = crc32.Update(d.sum, d.table, d.one[:])
	}
	return b, err
}

func (d *decoder) raw(n int) []byte {
	if d.err != nil {
		return nil
	}
	// Read in steps: a corrupt length must not allocate more memory than the file fills.
	const step = 64 << 10
	b := make([]byte, min(n, step))
	for at := 0; ; {
		if _, err := io.ReadFull(d.r, b[at:]); err != nil {
			d.fail(err)
			return nil
		}
		if at = len(b); at == n {
			break
		}
		b = append(b, make([]byte, min(n-at, max(at, step)))...)
	}
	d.sum = crc32.Update(d.sum, d.table, b)
	return b
}

func (d *decoder) uint() uint64 {
	if d.err != nil {
		return 0
	}
	v, err := binary.ReadUvarint(d)
	if err != nil {
		d.fail(err)
	}
	return v
}

func (d *decoder) bytes() []byte {
	n := d.uint()
	if n > maxSnapshotField {
		d.fail(fmt.Errorf("field of %d bytes, want at most %d", n, maxSnapshotField))
		return nil
	}
	return d.raw(int(n))
}

func (d *decoder) text() string { return string(d.bytes()) }

func (d *decoder) time() time.Time { return time.Unix(0, int64(d.uint())).UTC() }

// Restore reads a snapshot into a server without streams. On an error it does not change
// the server.
func (s *Server) Restore(r io.Reader) error {
	d := &decoder{r: bufio.NewReaderSize(r, 64<<10), table: crc32.MakeTable(crc32.Castagnoli)}
	if magic := d.raw(len(snapshotMagic)); d.err == nil && string(magic) != snapshotMagic {
		return fmt.Errorf("%w: unknown format: the file starts with %q", ErrSnapshot, magic)
	}
	if b := d.raw(4); d.err == nil && binary.LittleEndian.Uint32(b) != snapshotVersion {
		return fmt.Errorf("%w: unknown version %d, want %d", ErrSnapshot, binary.LittleEndian.Uint32(b), snapshotVersion)
	}
	streams := make(map[string]*stream)
	var memory int64
	for d.err == nil {
		more := d.raw(1)
		if d.err != nil || more[0] == 0 {
			break
		}
		st := d.stream(s.cfg)
		if d.err != nil {
			break
		}
		if streams[st.name] != nil {
			d.fail(fmt.Errorf("stream %q is repeated", st.name))
			break
		}
		streams[st.name] = st
		for _, sh := range st.shards {
			for _, seg := range sh.segments {
				memory += seg.bytes
			}
		}
	}
	if d.err != nil {
		return fmt.Errorf("%w: corrupt: %w", ErrSnapshot, d.err)
	}
	sum := d.sum
	if b := d.raw(4); d.err != nil || binary.LittleEndian.Uint32(b) != sum {
		return fmt.Errorf("%w: corrupt: wrong checksum", ErrSnapshot)
	}
	if memory > s.cfg.MemoryBytes {
		return fmt.Errorf("%w: its records need %d bytes of memory, the limit is %d", ErrSnapshot, memory, s.cfg.MemoryBytes)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(*s.streams.Load()); n > 0 {
		return fmt.Errorf("kinesis: cannot restore: the server already has %d streams", n)
	}
	s.streams.Store(&streams)
	s.memory.Add(memory)
	return nil
}

func (d *decoder) stream(cfg Config) *stream {
	st := &stream{
		name: d.text(), mode: Mode(d.text()), created: d.time(), limits: cfg.Limits,
		retentionHours: int(d.uint()), maxRecordBytes: int(d.uint()), busy: active,
		consumers: make(map[string]struct{}), gone: make(chan struct{}),
	}
	now := cfg.Now()
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		d.shard(st, now)
	}
	if d.err == nil {
		d.topology(st)
	}
	return st
}

func (d *decoder) shard(st *stream, now time.Time) {
	created, since := int64(d.uint()), d.time()
	var parents []uint32
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		p := d.uint()
		if p >= uint64(len(st.shards)) || n > 2 {
			d.fail(errors.New("parent of a shard is not before it"))
			return
		}
		parents = append(parents, uint32(p))
	}
	hashes := hashRange{hashKey{d.uint(), d.uint()}, hashKey{d.uint(), d.uint()}}
	sh := newShard(uint32(len(st.shards)), created, hashes, st.limits, now, parents...)
	sh.since = since
	closed := d.uint() == 1
	var closedAt time.Time
	if closed {
		closedAt = d.time()
	}
	next, count := d.uint(), d.uint()
	if d.err == nil && (next == 0 || count >= next) {
		d.fail(fmt.Errorf("shard of %d records has the next index %d", count, next))
	}
	if d.err != nil {
		return
	}
	sh.next = next - count
	for ; count > 0 && d.err == nil; count-- {
		key, arrival, data := d.text(), d.time(), d.bytes()
		if d.err == nil {
			sh.append(key, data, arrival)
		}
	}
	if closed {
		sh.end(closedAt)
	}
	st.shards = append(st.shards, sh)
}

// topology links parents and children and collects the open shards, which must cover all
// hash keys.
func (d *decoder) topology(st *stream) {
	for _, sh := range st.shards {
		for _, p := range sh.parents {
			st.shards[p].children = append(st.shards[p].children, sh)
		}
		if !sh.closed {
			st.open = append(st.open, sh)
		}
	}
	st.sortOpen()
	var want hashKey
	for i, sh := range st.open {
		if sh.hashes.first != want || sh.hashes.last.less(sh.hashes.first) || (i == len(st.open)-1) != (sh.hashes.last == maxHashKey()) {
			d.fail(fmt.Errorf("open shards of stream %q do not cover the hash keys", st.name))
			return
		}
		want = sh.hashes.last.next()
	}
	if len(st.open) == 0 || !validStreamName(st.name) || st.retentionHours < 1 || st.maxRecordBytes < 1 {
		d.fail(fmt.Errorf("stream %q has no open shards, an invalid name or invalid settings", st.name))
	}
}
