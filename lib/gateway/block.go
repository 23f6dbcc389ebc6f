package gateway

import (
	"fmt"
	"slices"
	"sync"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// catalog numbers the devices, metrics and series that a gateway has published. Its lists only
// grow, so a block may use them without a lock. It is not safe for concurrent use.
type catalog struct {
	devices []telemetry.DeviceName
	metrics []telemetry.MetricName
	device  map[telemetry.DeviceName]uint32
	metric  map[telemetry.MetricName]uint32
	series  map[uint64]uint32 // device<<32 | metric

	deviceMap, metricMap []uint32 // of the batch: its index to the catalog's
}

func newCatalog() *catalog {
	return &catalog{
		device: make(map[telemetry.DeviceName]uint32), metric: make(map[telemetry.MetricName]uint32), series: make(map[uint64]uint32),
	}
}

// maxSeries bounds the series of a gateway, and with them each viewer's memory.
const maxSeries = 200_000

// add returns the batch's events as a block. The error wraps telemetry.ErrInvalid, and nothing is
// added then but names. The block has copies of all that it needs of b and read.
func (c *catalog) add(b *telemetry.Batch, read []telemetry.Micros) (*block, error) {
	if err := checkBatch(b, read); err != nil {
		return nil, err
	}
	var err error
	if c.deviceMap, err = index(c.deviceMap[:0], b.Devices, &c.devices, c.device, telemetry.MaxDevices, "device"); err != nil {
		return nil, err
	}
	if c.metricMap, err = index(c.metricMap[:0], b.Metrics, &c.metrics, c.metric, telemetry.MaxMetrics, "metric"); err != nil {
		return nil, err
	}
	n := b.Len()
	out := &block{
		columns: columns{
			series: make([]uint32, n), device: make([]uint32, n), metric: make([]uint32, n),
			time: slices.Clone(b.Time), value: slices.Clone(b.Value), quality: slices.Clone(b.Quality), read: slices.Clone(read),
		},
		devices: c.devices, metrics: c.metrics,
	}
	for i := range n {
		d, m := c.deviceMap[b.Device[i]], c.metricMap[b.Metric[i]]
		key := uint64(d)<<32 | uint64(m)
		s, ok := c.series[key]
		if !ok {
			if len(c.series) == maxSeries {
				return nil, fmt.Errorf("%w: event %d: more than %d series", telemetry.ErrInvalid, i, maxSeries)
			}
			s = uint32(len(c.series))
			c.series[key] = s
		}
		out.series[i], out.device[i], out.metric[i] = s, d, m
	}
	return out, nil
}

// index maps names to their places in *all, which gets those that are new.
func index[S ~string](dst []uint32, names []S, all *[]S, known map[S]uint32, limit int, what string) ([]uint32, error) {
	for i, name := range names {
		at, ok := known[name]
		if !ok {
			if err := telemetry.ValidName(name); err != nil {
				return dst, fmt.Errorf("batch: %s %d: %w", what, i, err)
			}
			if len(*all) == limit {
				return dst, fmt.Errorf("%w: batch: %s %d: more than %d", telemetry.ErrInvalid, what, i, limit)
			}
			at = uint32(len(*all))
			name = S([]byte(name)) // not the memory of the caller's input
			*all, known[name] = append(*all, name), at
		}
		dst = append(dst, at)
	}
	return dst, nil
}

func checkBatch(b *telemetry.Batch, read []telemetry.Micros) error {
	n := b.Len()
	switch {
	case n < 1 || n > telemetry.MaxBatchEvents:
		return fmt.Errorf("%w: batch: %d events, want 1 to %d", telemetry.ErrInvalid, n, telemetry.MaxBatchEvents)
	case len(b.Device) != n || len(b.Metric) != n || len(b.Value) != n || len(b.Quality) != n:
		return fmt.Errorf("%w: batch: columns differ in length: device %d, metric %d, time %d, value %d, quality %d",
			telemetry.ErrInvalid, len(b.Device), len(b.Metric), n, len(b.Value), len(b.Quality))
	case len(read) != n:
		return fmt.Errorf("%w: batch: %d read times for %d events", telemetry.ErrInvalid, len(read), n)
	}
	for i := range n {
		switch {
		case int(b.Device[i]) >= len(b.Devices):
			return fmt.Errorf("%w: batch: event %d: device %d of %d", telemetry.ErrInvalid, i, b.Device[i], len(b.Devices))
		case int(b.Metric[i]) >= len(b.Metrics):
			return fmt.Errorf("%w: batch: event %d: metric %d of %d", telemetry.ErrInvalid, i, b.Metric[i], len(b.Metrics))
		case !b.Quality[i].Valid():
			return fmt.Errorf("%w: batch: event %d: quality %d", telemetry.ErrInvalid, i, b.Quality[i])
		}
	}
	return nil
}

// columns are events in columns of one length.
type columns struct {
	series, device, metric []uint32
	time                   []telemetry.Micros
	value                  []float64
	quality                []telemetry.Quality
	read                   []telemetry.Micros
}

// eventBytes is the memory of an event in columns.
const eventBytes = 3*4 + 3*8 + 1

func (c *columns) len() int { return len(c.time) }

func (c *columns) reset() {
	c.series, c.device, c.metric = c.series[:0], c.device[:0], c.metric[:0]
	c.time, c.value, c.quality, c.read = c.time[:0], c.value[:0], c.quality[:0], c.read[:0]
}

// appendAll appends all events of from.
func (c *columns) appendAll(from *columns) {
	c.series, c.device, c.metric = append(c.series, from.series...), append(c.device, from.device...), append(c.metric, from.metric...)
	c.time, c.value = append(c.time, from.time...), append(c.value, from.value...)
	c.quality, c.read = append(c.quality, from.quality...), append(c.read, from.read...)
}

// appendOne appends event i of from.
func (c *columns) appendOne(from *columns, i int) {
	c.series, c.device, c.metric = append(c.series, from.series[i]), append(c.device, from.device[i]), append(c.metric, from.metric[i])
	c.time, c.value = append(c.time, from.time[i]), append(c.value, from.value[i])
	c.quality, c.read = append(c.quality, from.quality[i]), append(c.read, from.read[i])
}

// reverse turns the order of the events.
func (c *columns) reverse() {
	slices.Reverse(c.series)
	slices.Reverse(c.device)
	slices.Reverse(c.metric)
	slices.Reverse(c.time)
	slices.Reverse(c.value)
	slices.Reverse(c.quality)
	slices.Reverse(c.read)
}

// block is what one call of Publish brought; it does not change afterwards and is shared by
// history and viewers.
type block struct {
	columns
	devices []telemetry.DeviceName
	metrics []telemetry.MetricName

	mu    sync.Mutex
	parts map[*selection][]part // what viewers of one selection get, encoded once
}

func (b *block) bytes() int { return eventBytes*b.len() + blockOverheadBytes }

const blockOverheadBytes = 256

// selection is the set of devices that a viewer has subscribed to; viewers with equal sets share
// one. Nil selects all.
type selection struct {
	key  string
	name map[telemetry.DeviceName]bool
}

func (s *selection) has(name telemetry.DeviceName) bool { return s == nil || s.name[name] }

// part is an encoded piece of a block, with what the header of its frames needs.
type part struct {
	read   []telemetry.Micros
	record []byte
}

// encoded returns b's events of s as parts of at most LiveFrameBytes in a frame. Each selection is
// encoded once, by the first viewer that needs it.
func (b *block) encoded(s *selection, e *encoder) ([]part, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if parts, ok := b.parts[s]; ok {
		return parts, nil
	}
	events := &b.columns
	if s != nil {
		events = &columns{}
		for i, d := range b.device {
			if s.has(b.devices[d]) {
				events.appendOne(&b.columns, i)
			}
		}
	}
	var parts []part
	const room = rtc.LiveFrameBytes - rtc.LiveHeaderBytes
	err := e.split(events, b.devices, b.metrics, room, rtc.AgeBytes, func(from, to int, record []byte) error {
		parts = append(parts, part{events.read[from:to], slices.Clone(record)})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if b.parts == nil {
		b.parts = make(map[*selection][]part, 1)
	}
	b.parts[s] = parts
	return parts, nil
}

// forget frees the encoded parts, which only viewers need that have the block in their queue.
func (b *block) forget() {
	b.mu.Lock()
	b.parts = nil
	b.mu.Unlock()
}

// encoder encodes columns as plain records. It is not safe for concurrent use.
type encoder struct {
	records *telemetry.Encoder
	record  []byte
}

func newEncoder() (*encoder, error) {
	records, err := telemetry.NewEncoder(telemetry.NoCompression)
	return &encoder{records: records}, err
}

// split encodes the events in order as records such that record and perEvent bytes for each of its
// events stay within maxBytes, and calls emit with each. A record is valid during the call.
func (e *encoder) split(c *columns, devices []telemetry.DeviceName, metrics []telemetry.MetricName, maxBytes, perEvent int,
	emit func(from, to int, record []byte) error,
) error {
	b := telemetry.Batch{Devices: devices, Metrics: metrics}
	count := telemetry.MaxBatchEvents
	for from := 0; from < c.len(); {
		to := min(from+count, c.len())
		b.Device, b.Metric = c.device[from:to], c.metric[from:to]
		b.Time, b.Value, b.Quality = c.time[from:to], c.value[from:to], c.quality[from:to]
		var err error
		if e.record, err = e.records.AppendRecord(e.record[:0], &b); err != nil {
			return fmt.Errorf("encode %d events: %w", to-from, err)
		}
		if size := len(e.record) + perEvent*(to-from); size > maxBytes {
			if to-from == 1 {
				return fmt.Errorf("%w: an event of %d bytes, want at most %d", telemetry.ErrInvalid, size, maxBytes)
			}
			// Somewhat fewer than in proportion: a smaller record has its names for fewer events.
			count = max(1, int(float64(to-from)*float64(maxBytes)/float64(size)*7/8))
			continue
		}
		if err := emit(from, to, e.record); err != nil {
			return err
		}
		from = to
	}
	return nil
}
