package telemetry

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
)

// Encoder encodes batches as records. Reuse it: it retains memory for the largest batch so
// far. It is not safe for concurrent use.
type Encoder struct {
	zstd   *zstd.Encoder // nil: no compression
	plain  []byte        // the message before compression
	out    []byte        // the records of AppendRecords
	column []byte        // a column's bytes before its length is known

	devices remap
	metrics remap
	series  seriesIndex
	event   []uint32 // the series of each event
	runs    []run
	scales  []metricScale
	decimal []int64
	last    []int64 // the decimal of the event before, by series
}

// NewEncoder returns an Encoder that compresses by c each message that gets smaller by it.
func NewEncoder(c Compression) (*Encoder, error) {
	switch c {
	case NoCompression:
		return &Encoder{}, nil
	case Zstd:
		z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false))
		if err != nil {
			return nil, fmt.Errorf("zstd encoder: %w", err)
		}
		return &Encoder{zstd: z}, nil
	default:
		return nil, fmt.Errorf("%w: compression %d", ErrInvalid, c)
	}
}

// AppendRecord appends b to dst as one record of any size, with the names that an event
// uses. The error wraps ErrInvalid if b has a name that is not valid, an index outside its
// dictionary, columns of different lengths, no event or more than MaxBatchEvents; dst is
// then returned unchanged. The names in a dictionary must differ, which Batch.DeviceIndex
// and Batch.MetricIndex ensure.
func (e *Encoder) AppendRecord(dst []byte, b *Batch) ([]byte, error) {
	if err := b.check(); err != nil {
		return dst, err
	}
	if b.Len() < 1 || b.Len() > MaxBatchEvents {
		return dst, fmt.Errorf("%w: batch: want 1 to %d events, have %d", ErrInvalid, MaxBatchEvents, b.Len())
	}
	return e.appendRange(dst, b, 0, b.Len())
}

// AppendRecords encodes b as records of at most maxBytes bytes and
// MaxBatchEvents events, in the order of the events, and calls emit with each.
// A batch without events results in no record. A record is memory of the encoder and valid
// until the next call of AppendRecords, so that the records of one call can be collected.
// An error of emit ends the call and is returned unchanged. If a single event exceeds
// maxBytes, the error wraps ErrInvalid; 2,000 bytes are enough for any event.
func (e *Encoder) AppendRecords(b *Batch, maxBytes int, emit func(record []byte) error) error {
	if err := b.check(); err != nil {
		return err
	}
	e.out = e.out[:0]
	count := MaxBatchEvents
	for from := 0; from < b.Len(); {
		count = min(count, b.Len()-from)
		start := len(e.out)
		var err error
		if e.out, err = e.appendRange(e.out, b, from, from+count); err != nil {
			return err
		}
		size := len(e.out) - start
		if size > maxBytes {
			e.out = e.out[:start]
			if count == 1 {
				return fmt.Errorf("%w: batch: event %d: a record of %d bytes, want at most %d", ErrInvalid, from, size, maxBytes)
			}
			count = fitting(count, size, maxBytes)
			continue
		}
		if err := emit(e.out[start:len(e.out):len(e.out)]); err != nil {
			return err
		}
		from += count
		if size < maxBytes/4*3 { // these events are smaller than those that reduced count
			count = fitting(count, size, maxBytes)
		}
	}
	return nil
}

// fitting returns how many events to try after a record of count events had size bytes:
// slightly fewer than in proportion, so fewer than count if size exceeds maxBytes.
func fitting(count, size, maxBytes int) int {
	const margin = 31. / 32
	return int(max(1, min(margin*float64(count)*float64(maxBytes)/float64(size), MaxBatchEvents)))
}

// appendRange appends the record of b's events from..to-1.
func (e *Encoder) appendRange(dst []byte, b *Batch, from, to int) ([]byte, error) {
	start := len(dst)
	var err error
	if e.zstd == nil {
		dst = append(dst, Version, flagChecksum)
		if dst, err = e.appendMessage(dst, b, from, to); err != nil {
			return dst[:start], err
		}
		return appendChecksum(dst, start), nil
	}
	if e.plain, err = e.appendMessage(e.plain[:0], b, from, to); err != nil {
		return dst, err
	}
	dst = append(dst, Version, flagZstd|flagChecksum)
	dst = e.zstd.EncodeAll(e.plain, dst)
	if len(dst)-start-headerBytes >= len(e.plain) {
		dst = append(append(dst[:start], Version, flagChecksum), e.plain...)
	}
	return appendChecksum(dst, start), nil
}

func (e *Encoder) appendMessage(dst []byte, b *Batch, from, to int) ([]byte, error) {
	if err := e.indexSeries(b, from, to); err != nil {
		return dst, err
	}
	dst, err := appendHeader(dst, b)
	if err != nil {
		return dst, err
	}
	for _, d := range e.devices.used {
		dst = appendString(dst, fieldDevices, string(b.Devices[d]))
	}
	for _, m := range e.metrics.used {
		dst = appendString(dst, fieldMetrics, string(b.Metrics[m]))
	}
	dst = e.appendSeriesDictionary(dst)
	e.runs = differenceRuns(e.runs[:0], e.event)
	dst = e.appendRuns(dst, fieldSeries, fieldSeriesRuns, len(e.event))
	e.runs = differenceRuns(e.runs[:0], b.Time[from:to])
	dst = e.appendRuns(dst, fieldTimes, fieldTimeRuns, to-from)
	e.runs = equalRuns(e.runs[:0], b.Quality[from:to])
	if len(e.runs) > 1 || len(e.runs) == 1 && e.runs[0].entry != uint64(Good) {
		dst = e.appendRuns(dst, fieldQualities, fieldQualityRuns, to-from)
	}
	return e.appendValues(dst, b.Value[from:to]), nil
}

func appendHeader(dst []byte, b *Batch) ([]byte, error) {
	if b.Gateway != "" {
		if err := ValidName(b.Gateway); err != nil {
			return dst, fmt.Errorf("batch: gateway: %w", err)
		}
		dst = appendString(dst, fieldGateway, string(b.Gateway))
	}
	if b.Site != "" {
		if err := ValidName(b.Site); err != nil {
			return dst, fmt.Errorf("batch: site: %w", err)
		}
		dst = appendString(dst, fieldSite, string(b.Site))
	}
	if b.Trace != "" {
		if err := validText("trace", b.Trace, MaxTraceBytes); err != nil {
			return dst, fmt.Errorf("batch: %w", err)
		}
		dst = appendString(dst, fieldTrace, b.Trace)
	}
	if b.Received != 0 {
		dst = protowire.AppendTag(dst, protowire.Number(fieldReceived), protowire.VarintType)
		dst = protowire.AppendVarint(dst, uint64(b.Received))
	}
	return dst, nil
}

func appendString(dst []byte, f field, s string) []byte {
	dst = protowire.AppendTag(dst, protowire.Number(f), protowire.BytesType)
	return protowire.AppendString(dst, s)
}

func (e *Encoder) appendSeriesDictionary(dst []byte) []byte {
	e.column = e.column[:0]
	for _, s := range e.series.series {
		e.column = appendVarint(e.column, uint64(s.device))
	}
	dst = appendPacked(dst, fieldSeriesDevice, e.column)
	e.column = e.column[:0]
	for _, s := range e.series.series {
		e.column = appendVarint(e.column, uint64(s.metric))
	}
	return appendPacked(dst, fieldSeriesMetric, e.column)
}

// appendRuns appends the column e.runs of n events, with run lengths if they certainly
// save bytes.
func (e *Encoder) appendRuns(dst []byte, entries, lengths field, n int) []byte {
	inRuns := 2*len(e.runs) <= n
	e.column = slices.Grow(e.column[:0], binary.MaxVarintLen64*n)
	for _, r := range e.runs {
		times := r.events
		if inRuns {
			times = 1
		}
		for range times {
			e.column = appendVarint(e.column, r.entry)
		}
	}
	dst = appendPacked(dst, entries, e.column)
	if !inRuns {
		return dst
	}
	e.column = e.column[:0]
	for _, r := range e.runs {
		e.column = appendVarint(e.column, uint64(r.events))
	}
	return appendPacked(dst, lengths, e.column)
}

func appendPacked(dst []byte, f field, column []byte) []byte {
	if len(column) == 0 {
		return dst
	}
	dst = appendPackedHeader(dst, f, len(column))
	return append(dst, column...)
}

func appendPackedHeader(dst []byte, f field, sizeBytes int) []byte {
	dst = protowire.AppendTag(dst, protowire.Number(f), protowire.BytesType)
	return protowire.AppendVarint(dst, uint64(sizeBytes))
}

// run is an entry of a column and its number of consecutive events.
type run struct {
	entry  uint64
	events uint32
}

// differenceRuns appends the runs of equal differences between consecutive values.
func differenceRuns[T uint32 | Micros](runs []run, column []T) []run {
	var before int64
	var r run
	for _, v := range column {
		entry := zigzag(int64(v) - before)
		before = int64(v)
		if entry == r.entry && r.events > 0 {
			r.events++
			continue
		}
		if r.events > 0 {
			runs = append(runs, r)
		}
		r = run{entry, 1}
	}
	if r.events > 0 {
		runs = append(runs, r)
	}
	return runs
}

// equalRuns appends the runs of equal values.
func equalRuns(runs []run, column []Quality) []run {
	for len(column) > 0 {
		n := slices.IndexFunc(column, func(q Quality) bool { return q != column[0] })
		if n < 0 {
			n = len(column)
		}
		runs = append(runs, run{uint64(column[0]), uint32(n)})
		column = column[n:]
	}
	return runs
}
