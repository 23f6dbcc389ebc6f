package telemetry

// Batch is a gateway's events in columns: the form in which they are encoded,
// decoded and stored. Event i is (Devices[Device[i]], Metrics[Metric[i]],
// Time[i], Value[i], Quality[i]); the five columns have the same length.
//
// A Batch is reused: Reset keeps its memory. It is not safe for concurrent use.
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

// Reset empties b and keeps its memory.
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
	if i, ok := b.deviceIndex[name]; ok {
		return i
	}
	if b.deviceIndex == nil {
		b.deviceIndex = make(map[DeviceName]uint32)
	}
	i := uint32(len(b.Devices))
	b.Devices = append(b.Devices, name)
	b.deviceIndex[name] = i
	return i
}

// MetricIndex returns the dictionary index of name and adds the name if it is new.
func (b *Batch) MetricIndex(name MetricName) uint32 {
	if i, ok := b.metricIndex[name]; ok {
		return i
	}
	if b.metricIndex == nil {
		b.metricIndex = make(map[MetricName]uint32)
	}
	i := uint32(len(b.Metrics))
	b.Metrics = append(b.Metrics, name)
	b.metricIndex[name] = i
	return i
}
