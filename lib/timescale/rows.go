package timescale

import (
	"cmp"
	"math"
	"slices"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// row is an event whose names are resolved.
type row struct {
	series  uint64 // device id << 32 | metric id: sorts as the pair does
	time    telemetry.Micros
	value   float64
	quality telemetry.Quality
}

func seriesKey(device, metric int32) uint64 {
	return uint64(uint32(device))<<32 | uint64(uint32(metric))
}

func (r row) device() uint32 { return uint32(r.series >> 32) }
func (r row) metric() uint32 { return uint32(r.series) }

func (r row) sameIdentity(o row) bool { return r.series == o.series && r.time == o.time }

// sameReading compares as PostgreSQL does: 0 equals -0, and NaN, a reading without a
// value, equals NaN.
func (r row) sameReading(o row) bool {
	return r.quality == o.quality && (r.value == o.value || math.IsNaN(r.value) && math.IsNaN(o.value))
}

// oldestTime is the first instant that a timestamptz can hold, 4714-11-24 BC, and newestTime
// the last one of the year 9999: later ones have no form that others read.
const (
	oldestTime telemetry.Micros = -210866803200000000
	newestTime telemetry.Micros = 253402300799999999
)

// noSeries is the series of an event that cannot be stored.
const noSeries = math.MaxUint32

// maxDenseSeries limits the slice that maps a batch's (device, metric) pairs to its
// series. Beyond it a map is used: such a batch has far fewer events than pairs.
const maxDenseSeries = 1 << 18

// ids are the database's ids for a batch's dictionaries, by their indexes.
type ids struct {
	device []int32
	metric []int32
}

// table merges batches into rows ordered by (device, metric, time) with one row for
// each identity. It reuses its memory.
type table struct {
	rows []row // the result: sorted, each identity once
	// conflicting are the rows with the identity of an earlier event of the same call
	// and another value or quality.
	conflicting []row
	duplicates  int
	// rejected are the events that cannot be stored: their time is out of range, or their
	// names have no id.
	rejected []rejected

	series   []series
	count    []uint32 // rows of each series, then the index of its next row
	seriesOf []uint32 // series of each event, in stream order
	dense    []uint32 // (device, metric) of the current batch → series + 1
}

// rejected is an event, by its batch and its index there.
type rejected struct{ batch, event int }

// series is one batch's part of a series. Parts of the same series sort in
// stream order, by index.
type series struct {
	key   uint64
	index uint32
}

// fill replaces the table's content. resolved[i] belongs to batches[i], and has 0 for a
// name that is not stored.
//
// Rows nearly always arrive in time order within their series, so a counting
// sort by series and a check of the times replace a comparison sort.
func (t *table) fill(batches []*telemetry.Batch, resolved []ids) {
	t.series, t.count, t.seriesOf = t.series[:0], t.count[:0], t.seriesOf[:0]
	t.conflicting, t.duplicates, t.rejected = t.conflicting[:0], 0, t.rejected[:0]
	events := 0
	for i, b := range batches {
		t.assignSeries(b, i, resolved[i])
		events += b.Len()
	}
	t.place(batches, events-len(t.rejected))
	t.orderByTime()
	t.dedupe()
}

func (t *table) assignSeries(b *telemetry.Batch, batch int, resolved ids) {
	metrics := uint64(len(b.Metrics))
	pairs := uint64(len(b.Devices)) * metrics
	var sparse map[uint64]uint32
	if pairs <= maxDenseSeries {
		t.dense = slices.Grow(t.dense[:0], int(pairs))[:pairs]
		clear(t.dense)
	} else {
		sparse = make(map[uint64]uint32, b.Len())
	}
	for i, device := range b.Device {
		metric := b.Metric[i]
		if at := b.Time[i]; at < oldestTime || at > newestTime {
			t.reject(batch, i)
			continue
		}
		pair := uint64(device)*metrics + uint64(metric)
		var known uint32
		if sparse == nil {
			known = t.dense[pair]
		} else {
			known = sparse[pair]
		}
		if known == 0 {
			if resolved.device[device] == 0 || resolved.metric[metric] == 0 {
				t.reject(batch, i)
				continue
			}
			key := seriesKey(resolved.device[device], resolved.metric[metric])
			t.series = append(t.series, series{key: key, index: uint32(len(t.series))})
			t.count = append(t.count, 0)
			known = uint32(len(t.series))
			if sparse == nil {
				t.dense[pair] = known
			} else {
				sparse[pair] = known
			}
		}
		t.count[known-1]++
		t.seriesOf = append(t.seriesOf, known-1)
	}
}

func (t *table) reject(batch, event int) {
	t.seriesOf = append(t.seriesOf, noSeries)
	t.rejected = append(t.rejected, rejected{batch, event})
}

// place writes each event into the rows of its series, in stream order.
func (t *table) place(batches []*telemetry.Batch, events int) {
	slices.SortFunc(t.series, func(a, b series) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.index, b.index))
	})
	next := uint32(0)
	for _, s := range t.series {
		next, t.count[s.index] = next+t.count[s.index], next
	}
	t.rows = slices.Grow(t.rows[:0], events)[:events]
	// Keys are written by series, the other fields by event.
	for i, s := range t.series {
		end := next
		if i+1 < len(t.series) {
			end = t.count[t.series[i+1].index]
		}
		for at := t.count[s.index]; at < end; at++ {
			t.rows[at].series = s.key
		}
	}
	event := 0
	for _, b := range batches {
		for i, time := range b.Time {
			s := t.seriesOf[event]
			event++
			if s == noSeries {
				continue
			}
			at := t.count[s]
			t.count[s]++
			r := &t.rows[at]
			r.time, r.value, r.quality = time, b.Value[i], b.Quality[i]
		}
	}
}

func (t *table) orderByTime() {
	for start := 0; start < len(t.rows); {
		end, ordered := start+1, true
		for end < len(t.rows) && t.rows[end].series == t.rows[start].series {
			ordered = ordered && t.rows[end-1].time <= t.rows[end].time
			end++
		}
		if !ordered {
			slices.SortStableFunc(t.rows[start:end], func(a, b row) int { return cmp.Compare(a.time, b.time) })
		}
		start = end
	}
}

// dedupe reduces the rows to the first one of each identity.
func (t *table) dedupe() {
	if len(t.rows) == 0 {
		return
	}
	last := 0
	for i := 1; i < len(t.rows); i++ {
		r := t.rows[i]
		switch {
		case !r.sameIdentity(t.rows[last]):
			last++
			if last != i {
				t.rows[last] = r
			}
		case r.sameReading(t.rows[last]):
			t.duplicates++
		default:
			t.conflicting = append(t.conflicting, r)
		}
	}
	t.rows = t.rows[:last+1]
}

// bits is the value in PostgreSQL's binary format of float8.
func (r row) bits() uint64 { return math.Float64bits(r.value) }
