package telemetry

import "fmt"

// Batch holds a gateway's events in columns, as they are encoded, decoded and stored. Event
// i is (Devices[Device[i]], Metrics[Metric[i]], Time[i], Value[i], Quality[i]); the five
// columns have the same length.
//
// A Batch can be reused: Reset retains its memory. It is not safe for concurrent use.
type Batch struct {
	Gateway GatewayID
	Site    SiteID
	// Trace is the X-Ray trace header under which the batch was accepted, or empty.
	Trace string
	// Received is when the platform accepted the batch.
	Received Micros

	Devices []DeviceName
	Metrics []MetricName

	Device  []uint32 // index into Devices
	Metric  []uint32 // index into Metrics
	Time    []Micros
	Value   []float64
	Quality []Quality

	deviceIndex map[DeviceName]uint32
	metricIndex map[MetricName]uint32
}

// RejectedEvent is an event of one of several batches that can never be stored, while the
// others can.
type RejectedEvent struct {
	Batch, Event int // indexes
	Reason       string
}

// Len returns the number of events.
func (b *Batch) Len() int { return len(b.Time) }

// Event returns event i.
func (b *Batch) Event(i int) Event {
	return Event{
		Device:  b.Devices[b.Device[i]],
		Metric:  b.Metrics[b.Metric[i]],
		Time:    b.Time[i],
		Value:   b.Value[i],
		Quality: b.Quality[i],
	}
}

// Reset empties b and retains its memory.
func (b *Batch) Reset() {
	b.Gateway, b.Site, b.Trace, b.Received = "", "", "", 0
	b.Devices, b.Metrics = b.Devices[:0], b.Metrics[:0]
	b.Device, b.Metric = b.Device[:0], b.Metric[:0]
	b.Time, b.Value, b.Quality = b.Time[:0], b.Value[:0], b.Quality[:0]
	clear(b.deviceIndex)
	clear(b.metricIndex)
}

// Append adds an event.
func (b *Batch) Append(e Event) {
	b.AppendIndexed(b.DeviceIndex(e.Device), b.MetricIndex(e.Metric), e.Time, e.Value, e.Quality)
}

// AppendIndexed adds an event whose names are already in the dictionaries.
func (b *Batch) AppendIndexed(device, metric uint32, t Micros, value float64, q Quality) {
	b.Device = append(b.Device, device)
	b.Metric = append(b.Metric, metric)
	b.Time = append(b.Time, t)
	b.Value = append(b.Value, value)
	b.Quality = append(b.Quality, q)
}

// DeviceIndex returns the dictionary index of name and adds the name if it is new.
func (b *Batch) DeviceIndex(name DeviceName) uint32 {
	b.deviceIndex = indexed(b.deviceIndex, b.Devices)
	if i, ok := b.deviceIndex[name]; ok {
		return i
	}
	i := uint32(len(b.Devices))
	b.Devices = append(b.Devices, name)
	b.deviceIndex[name] = i
	return i
}

// MetricIndex returns the dictionary index of name and adds the name if it is new.
func (b *Batch) MetricIndex(name MetricName) uint32 {
	b.metricIndex = indexed(b.metricIndex, b.Metrics)
	if i, ok := b.metricIndex[name]; ok {
		return i
	}
	i := uint32(len(b.Metrics))
	b.Metrics = append(b.Metrics, name)
	b.metricIndex[name] = i
	return i
}

// indexed returns index, filled from names if another function has set these: Decode
// leaves that to the few callers that append to a decoded batch.
func indexed[S ~string](index map[S]uint32, names []S) map[S]uint32 {
	if index == nil {
		index = make(map[S]uint32)
	}
	if len(index) != len(names) {
		clear(index)
		for i, name := range names {
			index[name] = uint32(i)
		}
	}
	return index
}

// check returns why b cannot be encoded: columns of different lengths, an index outside
// its dictionary, an unknown quality. It does not check names.
func (b *Batch) check() error {
	n := len(b.Time)
	if len(b.Device) != n || len(b.Metric) != n || len(b.Value) != n || len(b.Quality) != n {
		return fmt.Errorf("%w: batch: columns differ in length: device %d, metric %d, time %d, value %d, quality %d",
			ErrInvalid, len(b.Device), len(b.Metric), n, len(b.Value), len(b.Quality))
	}
	for i, d := range b.Device {
		if int(d) >= len(b.Devices) {
			return fmt.Errorf("%w: batch: event %d: device %d of %d", ErrInvalid, i, d, len(b.Devices))
		}
	}
	for i, m := range b.Metric {
		if int(m) >= len(b.Metrics) {
			return fmt.Errorf("%w: batch: event %d: metric %d of %d", ErrInvalid, i, m, len(b.Metrics))
		}
	}
	for i, q := range b.Quality {
		if !q.Valid() {
			return fmt.Errorf("%w: batch: event %d: quality %d", ErrInvalid, i, q)
		}
	}
	return nil
}
