package telemetry

import (
	"encoding/binary"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// column is a packed field's bytes: a slice of the message if the field occurs once, else
// all occurrences, concatenated in joined.
type column struct {
	bytes  []byte
	pieces int
	joined []byte
}

func (c *column) reset() { c.bytes, c.pieces = nil, 0 }

// add appends a field's value, packed or a single entry.
func (c *column) add(f field, wire protowire.Type, value []byte) error {
	single := protowire.VarintType
	if f == fieldValues {
		single = protowire.Fixed64Type
	}
	switch wire {
	case single:
	case protowire.BytesType:
		value, _ = protowire.ConsumeBytes(value)
		if f == fieldValues && len(value)%8 != 0 {
			return invalid("%s: %d bytes are not a whole number of doubles", f, len(value))
		}
		if f != fieldValues && len(value) > 0 && value[len(value)-1] >= 0x80 {
			return invalid("%s: ends inside a varint", f)
		}
	default:
		return wrongType(f, wire)
	}
	switch c.pieces++; c.pieces {
	case 1:
		c.bytes = value
		return nil
	case 2:
		c.joined = append(c.joined[:0], c.bytes...)
	}
	c.joined = append(c.joined, value...)
	c.bytes = c.joined
	return nil
}

// fill reads the columns into b, whose dictionaries are set.
func (d *Decoder) fill(b *Batch) error {
	n := countVarints(d.columns[fieldDecimals].bytes) + len(d.columns[fieldValues].bytes)/8
	if n == 0 {
		return invalid("no events")
	}
	if n > d.limits.Events {
		return invalid("want at most %d events, have %d", d.limits.Events, n)
	}
	if err := d.fillSeries(len(b.Devices), len(b.Metrics)); err != nil {
		return err
	}
	b.Device, b.Metric = resize(b.Device, n), resize(b.Metric, n)
	b.Time, b.Value, b.Quality = resize(b.Time, n), resize(b.Value, n), resize(b.Quality, n)
	d.event = resize(d.event, n)
	if err := differences(d.runsOf(fieldSeries, n), d.event); err != nil {
		return err
	}
	for i, s := range d.event {
		if uint64(s) >= uint64(len(d.series)) {
			return invalid("series: event %d: series %d of %d", i, s, len(d.series))
		}
		b.Device[i], b.Metric[i] = d.series[s].device, d.series[s].metric
	}
	if err := differences(d.runsOf(fieldTimes, n), b.Time); err != nil {
		return err
	}
	if err := d.qualities(b.Quality); err != nil {
		return err
	}
	if err := d.fillScales(len(b.Metrics)); err != nil {
		return err
	}
	return d.values(b.Value)
}

// resize returns s with length n and undefined content.
func resize[T any](s []T, n int) []T { return slices.Grow(s[:0], n)[:n] }

// fillSeries reads the series dictionary.
func (d *Decoder) fillSeries(devices, metrics int) error {
	device, metric := d.columns[fieldSeriesDevice].bytes, d.columns[fieldSeriesMetric].bytes
	n := countVarints(device)
	if have := countVarints(metric); have != n {
		return invalid("series_metric: want %d entries as in series_device, have %d", n, have)
	}
	if n > d.limits.Events {
		return invalid("series_device: want at most %d, have %d", d.limits.Events, n)
	}
	d.series = resize(d.series, n)
	deviceAt, metricAt := 0, 0
	for i := range d.series {
		var u uint64
		if u, deviceAt = varintAt(device, deviceAt); deviceAt < 0 || u >= uint64(devices) {
			return invalid("series_device: entry %d is not below %d", i, devices)
		}
		d.series[i].device = uint32(u)
		if u, metricAt = varintAt(metric, metricAt); metricAt < 0 || u >= uint64(metrics) {
			return invalid("series_metric: entry %d is not below %d", i, metrics)
		}
		d.series[i].metric = uint32(u)
	}
	return nil
}

// runReader reads a column with optional run lengths, which is the field after it.
type runReader struct {
	field            field
	entries, lengths []byte
	at, lengthAt     int
	left             int // events for which no entry was read yet
	inRuns           bool
}

func (d *Decoder) runsOf(f field, events int) runReader {
	lengths := d.columns[f+1].bytes
	return runReader{field: f, entries: d.columns[f].bytes, lengths: lengths, left: events, inRuns: len(lengths) > 0}
}

// next returns the next entry and its number of events, at least 1.
func (r *runReader) next() (entry uint64, events int, err error) {
	if r.at == len(r.entries) {
		return 0, 0, invalid("%s: ends %d events before the values", r.field, r.left)
	}
	if entry, r.at = varintAt(r.entries, r.at); r.at < 0 {
		return 0, 0, invalid("%s: varint past 64 bits", r.field)
	}
	n := uint64(1)
	if r.inRuns {
		if r.lengthAt == len(r.lengths) {
			return 0, 0, invalid("%s: fewer entries than %s", r.field+1, r.field)
		}
		if n, r.lengthAt = varintAt(r.lengths, r.lengthAt); r.lengthAt < 0 {
			return 0, 0, invalid("%s: varint past 64 bits", r.field+1)
		}
		if n == 0 || n > uint64(r.left) {
			return 0, 0, invalid("%s: run of %d events, %d are left", r.field+1, n, r.left)
		}
	}
	r.left -= int(n)
	return entry, int(n), nil
}

// end checks that nothing follows the last event's entry.
func (r *runReader) end() error {
	if r.at != len(r.entries) {
		return invalid("%s: more entries than values", r.field)
	}
	if r.lengthAt != len(r.lengths) {
		return invalid("%s: more entries than %s", r.field+1, r.field)
	}
	return nil
}

// differences reads a column of differences between consecutive events.
func differences[T ~int64](r runReader, out []T) error {
	if !r.inRuns {
		return plainDifferences(r, out)
	}
	var v T
	for len(out) > 0 {
		entry, n, err := r.next()
		if err != nil {
			return err
		}
		difference := T(unzigzag(entry))
		for i := range out[:n] {
			v += difference
			out[i] = v
		}
		out = out[n:]
	}
	return r.end()
}

// plainDifferences reads a column without run lengths: an entry for each event.
func plainDifferences[T ~int64](r runReader, out []T) error {
	var v T
	at := 0
	for i := range out {
		if at == len(r.entries) {
			return invalid("%s: ends %d events before the values", r.field, len(out)-i)
		}
		var entry uint64
		if entry, at = varintAt(r.entries, at); at < 0 {
			return invalid("%s: varint past 64 bits", r.field)
		}
		v += T(unzigzag(entry))
		out[i] = v
	}
	r.at = at
	return r.end()
}

func (d *Decoder) qualities(out []Quality) error {
	r := d.runsOf(fieldQualities, len(out))
	if len(r.entries) == 0 && !r.inRuns {
		clear(out) // all good
		return nil
	}
	for len(out) > 0 {
		entry, n, err := r.next()
		if err != nil {
			return err
		}
		if entry > uint64(Bad) {
			return invalid("qualities: %d is not a quality", entry)
		}
		for i := range out[:n] {
			out[i] = Quality(entry)
		}
		out = out[n:]
	}
	return r.end()
}

// seriesState is the state of decoding a series' values.
type seriesState struct {
	power float64 // 10^e; 0: from values
	mask  int64   // -1: decimals are differences, 0: they are absolute
	last  int64   // the base of the next difference
}

// fillScales reads the scales and initializes the series' states.
func (d *Decoder) fillScales(metrics int) error {
	d.state = resize(d.state, len(d.series))
	column := d.columns[fieldScales].bytes
	if len(column) == 0 {
		clear(d.state)
		return nil
	}
	if n := countVarints(column); n != metrics {
		return invalid("scales: want %d entries, one for each metric, have %d", metrics, n)
	}
	d.scales = d.scales[:0]
	for at := 0; at < len(column); {
		var scale uint64
		if scale, at = varintAt(column, at); at < 0 {
			return invalid("scales: varint past 64 bits")
		}
		if scale > scaleDelta+maxExponent || scale > scaleDecimal+maxExponent && scale < scaleDelta {
			return invalid("scales: entry %d: unknown scale %d", len(d.scales), scale)
		}
		d.scales = append(d.scales, uint8(scale))
	}
	for i, s := range d.series {
		switch scale := d.scales[s.metric]; {
		case scale == scaleRaw:
			d.state[i] = seriesState{}
		case scale < scaleDelta:
			d.state[i] = seriesState{power: pow10(int(scale - scaleDecimal))}
		default:
			d.state[i] = seriesState{power: pow10(int(scale - scaleDelta)), mask: -1}
		}
	}
	return nil
}

// values reads values and decimals, which together have len(out) entries.
func (d *Decoder) values(out []float64) error {
	raw, decimals := d.columns[fieldValues].bytes, d.columns[fieldDecimals].bytes
	at := 0
	for i, series := range d.event[:len(out)] {
		s := &d.state[series]
		if s.power == 0 {
			if len(raw) == 0 {
				return invalid("values: ended at event %d", i)
			}
			out[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw))
			raw = raw[8:]
			continue
		}
		if at == len(decimals) {
			return invalid("decimals: ended at event %d", i)
		}
		var u uint64
		if u, at = varintAt(decimals, at); at < 0 {
			return invalid("decimals: event %d: varint past 64 bits", i)
		}
		k := unzigzag(u) + s.last
		if k >= maxDecimal || k <= -maxDecimal {
			return invalid("decimals: event %d: %d is not within ±2^53", i, k)
		}
		s.last = k & s.mask
		out[i] = float64(k) / s.power
	}
	// len(out) is the sum of the two counts: nothing is left here.
	return nil
}
