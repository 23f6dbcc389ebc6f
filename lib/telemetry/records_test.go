package telemetry

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestRecordsOfAKinesisUnit(t *testing.T) {
	const maxBytes = 25_000
	want := new(Batch)
	for i := range 3 * MaxBatchEvents {
		want.Append(Event{
			Device: DeviceName(fmt.Sprintf("device-%d", i%700)), Metric: MetricName(fmt.Sprintf("metric-%d", i%11)),
			Time: Micros(i) * 1_000_003, Value: math.Sqrt(float64(i)), Quality: Quality(i % 3),
		})
	}
	for _, c := range []Compression{NoCompression, Zstd} {
		e, d := newEncoder(t, c), newDecoder(t)
		for range 2 { // an encoder is reused
			var records [][]byte
			if err := e.AppendRecords(want, maxBytes, func(record []byte) error {
				records = append(records, record)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			have, total := new(Batch), 0
			for i, record := range records {
				if len(record) > maxBytes {
					t.Errorf("record %d has %d bytes", i, len(record))
				}
				total += len(record)
				var part Batch
				if err := d.Decode(record, &part); err != nil {
					t.Fatal(err)
				}
				for i := range part.Len() {
					have.Append(part.Event(i))
				}
			}
			if diff := same(want, have); diff != "" {
				t.Fatalf("compression %d: (-want +have)\n%s", c, diff)
			}
			if filled := float64(total) / float64(maxBytes*len(records)); filled < 0.85 {
				t.Errorf("compression %d: %d records are filled to %.2f, want 0.85", c, len(records), filled)
			}
		}
	}
}

// TestRecordsAdaptToTheSizeOfEvents starts with large events and continues with events so
// small that their number is the limit.
func TestRecordsAdaptToTheSizeOfEvents(t *testing.T) {
	want := new(Batch)
	for i := range 5_000 {
		device := DeviceName(fmt.Sprintf("a device with a long name %d", i))
		want.Append(Event{Device: device, Metric: "m", Time: Micros(i * i), Value: math.Sqrt(float64(i))})
	}
	for i := range 3*MaxBatchEvents + 1 {
		want.Append(Event{Device: "d", Metric: "m", Time: Micros(i)})
	}
	for _, c := range []Compression{NoCompression, Zstd} {
		d, have, most := newDecoder(t), new(Batch), 0
		if err := newEncoder(t, c).AppendRecords(want, 25_000, func(record []byte) error {
			var part Batch
			if err := d.Decode(record, &part); err != nil {
				return err
			}
			most = max(most, part.Len())
			for i := range part.Len() {
				have.Append(part.Event(i))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if diff := same(want, have); diff != "" {
			t.Fatalf("compression %d: (-want +have)\n%s", c, diff)
		}
		if most != MaxBatchEvents {
			t.Errorf("compression %d: the fullest record has %d events, want %d", c, most, MaxBatchEvents)
		}
	}
}

func TestOneEventFitsIntoTwoThousandBytes(t *testing.T) {
	long := strings.Repeat("ü", MaxNameBytes/2)
	b := &Batch{Gateway: GatewayID(long), Site: SiteID(long), Trace: strings.Repeat("t", MaxTraceBytes), Received: math.MinInt64}
	b.Append(Event{DeviceName(long), MetricName(long), math.MinInt64, math.NaN(), Bad})
	b.Append(Event{DeviceName(long), MetricName(long), math.MaxInt64, 1, Bad})
	for _, c := range []Compression{NoCompression, Zstd} {
		events := 0
		if err := newEncoder(t, c).AppendRecords(b, 2000, func(record []byte) error {
			var part Batch
			events++
			return newDecoder(t).Decode(record, &part)
		}); err != nil || events == 0 {
			t.Errorf("compression %d: %d records, %v", c, events, err)
		}
	}
}

func TestAppendRecordsErrors(t *testing.T) {
	e := newEncoder(t, NoCompression)
	stop := errors.New("stop")
	if err := e.AppendRecords(sample(), 25_000, func([]byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("have %v, want emit's error", err)
	}
	never := func([]byte) error { t.Error("emit was called"); return nil }
	for _, maxBytes := range []int{-1, 0, 20} {
		if err := e.AppendRecords(sample(), maxBytes, never); !errors.Is(err, ErrInvalid) {
			t.Errorf("at most %d bytes: have %v, want ErrInvalid", maxBytes, err)
		}
	}
	if err := e.AppendRecords(new(Batch), 25_000, never); err != nil {
		t.Errorf("a batch without events: have %v, want no error and no record", err)
	}
}

func TestInvalidBatchIsNotEncoded(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Batch)
		want   string
	}{
		{"no events", func(b *Batch) { b.Reset() }, "want 1 to 10000 events, have 0"},
		{"too many events", func(b *Batch) {
			for range MaxBatchEvents {
				b.Append(b.Event(0))
			}
		}, "want 1 to 10000 events, have 10009"},
		{"columns differ", func(b *Batch) { b.Value = b.Value[1:] }, "columns differ in length"},
		{"device", func(b *Batch) { b.Device[3] = 3 }, "event 3: device 3 of 3"},
		{"metric", func(b *Batch) { b.Metric[2] = math.MaxUint32 }, "event 2: metric 4294967295 of 4"},
		{"quality", func(b *Batch) { b.Quality[1] = 3 }, "event 1: quality 3"},
		{"device name", func(b *Batch) { b.Devices[1] = "" }, "device 1: invalid: name"},
		{"metric name", func(b *Batch) { b.Metrics[1] = "a\tb" }, "metric 1: invalid: name: control character"},
		{"gateway", func(b *Batch) { b.Gateway = "\xff" }, "gateway: invalid: name: byte 0 is not UTF-8"},
		{"site", func(b *Batch) { b.Site = SiteID(strings.Repeat("s", 129)) }, "site: invalid: name: want at most 128"},
		{"trace", func(b *Batch) { b.Trace = "\n" }, "trace: control character"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, c := range []Compression{NoCompression, Zstd} {
				b := sample()
				tt.change(b)
				dst, err := newEncoder(t, c).AppendRecord([]byte("before"), b)
				if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("have %v\nwant ErrInvalid with %q", err, tt.want)
				}
				if string(dst) != "before" {
					t.Errorf("got dst %q, want it unchanged", dst)
				}
			}
		})
	}
	if _, err := NewEncoder(2); !errors.Is(err, ErrInvalid) {
		t.Errorf("compression 2: have %v, want ErrInvalid", err)
	}
}

func TestUnusedNamesAreNotWritten(t *testing.T) {
	b := new(Batch)
	b.DeviceIndex("rejected")
	b.MetricIndex("not\na name")
	b.Append(Event{Device: "press-1", Metric: "temperature", Value: 1})
	record, err := newEncoder(t, NoCompression).AppendRecord(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	var have Batch
	if err := newDecoder(t).Decode(record, &have); err != nil {
		t.Fatal(err)
	}
	if len(have.Devices) != 1 || len(have.Metrics) != 1 {
		t.Errorf("have devices %q and metrics %q, want one of each", have.Devices, have.Metrics)
	}
}

func TestAppendToADecodedBatch(t *testing.T) {
	record, err := newEncoder(t, NoCompression).AppendRecord(nil, sample())
	if err != nil {
		t.Fatal(err)
	}
	want, have := sample(), sample()
	if err := newDecoder(t).Decode(record, have); err != nil {
		t.Fatal(err)
	}
	for _, b := range []*Batch{want, have} {
		b.Append(Event{Device: "press-2", Metric: "new", Time: 7, Value: 1})
	}
	if diff := same(want, have); diff != "" || len(have.Devices) != 3 {
		t.Errorf("devices %q (-want +have)\n%s", have.Devices, diff)
	}
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	batch := benchBatch(walk)
	e, d := newEncoder(t, NoCompression), newDecoder(t)
	record, err := e.AppendRecord(nil, batch)
	if err != nil {
		t.Fatal(err)
	}
	var have Batch
	if n := testing.AllocsPerRun(20, func() {
		record, _ = e.AppendRecord(record[:0], batch)
		_ = e.AppendRecords(batch, 1000, func([]byte) error { return nil })
		_ = d.Decode(record, &have)
	}); n != 0 {
		t.Errorf("%v allocations for a batch, want none", n)
	}
}

// TestInternTableIsBounded decodes more names than the table may cache.
func TestInternTableIsBounded(t *testing.T) {
	e, d := newEncoder(t, NoCompression), newDecoder(t)
	var have Batch
	for i := range 8 {
		b := new(Batch)
		for j := range MaxBatchEvents {
			b.Append(Event{Device: DeviceName(fmt.Sprintf("device-%d-%d", i, j)), Metric: "temperature"})
		}
		record, err := e.AppendRecord(nil, b)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Decode(record, &have); err != nil {
			t.Fatal(err)
		}
		if diff := same(b, &have); diff != "" {
			t.Fatalf("(-want +have)\n%s", diff)
		}
		if n := len(d.names.byText); n > maxInternedNames+MaxBatchEvents+1 {
			t.Errorf("batch %d: got %d cached names", i, n)
		}
	}
}

func TestDecimalsAreUsedIfTheyFit(t *testing.T) {
	for _, tt := range []struct {
		name   string
		values []float64
		want   uint8
	}{
		{"integers", []float64{1, 250, 3}, scaleDecimal},
		{"one far from the next", []float64{-60, 60, -60}, scaleDecimal},
		{"three decimals", []float64{0.5, 71.125, 0.001}, scaleDecimal + 3},
		{"close together", []float64{1000.25, 1000.5, 1000.75}, scaleDelta + 2},
		{"nine decimals", []float64{0.123456789, 900000.5}, scaleDecimal + 9},
		{"ten decimals", []float64{1, 0.0123456789}, scaleRaw},
		{"the last does not fit with the others' exponent", []float64{0.000000001, 1 << 49}, scaleRaw},
		{"minus zero", []float64{1, math.Copysign(0, -1)}, scaleRaw},
		{"infinity", []float64{1, math.Inf(-1)}, scaleRaw},
		{"NaN", []float64{1, math.NaN()}, scaleRaw},
		{"large", []float64{1 << 50}, scaleRaw},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := new(Batch)
			for i, v := range tt.values {
				b.Append(Event{Device: "d", Metric: "m", Time: Micros(i), Value: v})
			}
			e := newEncoder(t, NoCompression)
			record, err := e.AppendRecord(nil, b)
			if err != nil {
				t.Fatal(err)
			}
			if have := e.scales[0].wire(); have != tt.want {
				t.Errorf("scale %d, want %d", have, tt.want)
			}
			var have Batch
			if err := newDecoder(t).Decode(record, &have); err != nil {
				t.Fatal(err)
			}
			if diff := same(b, &have); diff != "" {
				t.Errorf("(-want +have)\n%s", diff)
			}
		})
	}
}
