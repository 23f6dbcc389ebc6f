package telemetry

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
)

// message builds a record's message field by field.
type message []byte

func (m message) text(f field, s string) message { return appendString(m, f, s) }

func (m message) packed(f field, entries ...uint64) message {
	var column []byte
	for _, u := range entries {
		column = protowire.AppendVarint(column, u)
	}
	return m.bytes(f, column)
}

func (m message) bytes(f field, p []byte) message {
	return protowire.AppendBytes(protowire.AppendTag(m, protowire.Number(f), protowire.BytesType), p)
}

func (m message) record() []byte { return append([]byte{Version, 0}, m...) }

// named has two devices, a metric and a series for each device.
func named() message {
	return message(nil).text(fieldDevices, "press-1").text(fieldDevices, "press-2").text(fieldMetrics, "temperature").
		packed(fieldSeriesDevice, 0, 1).packed(fieldSeriesMetric, 0, 0)
}

// columns has two events of the first series.
func columns() message {
	return named().packed(fieldSeries, 0, 0).packed(fieldTimes, 2, 2)
}

func two(f field, entries ...uint64) []byte {
	return columns().bytes(fieldValues, make([]byte, 16)).packed(f, entries...).record()
}

func TestUnchangedRecordsAreValid(t *testing.T) {
	record := columns().bytes(fieldValues, make([]byte, 16)).record()
	var b Batch
	if err := newDecoder(t).Decode(record, &b); err != nil || b.Len() != 2 {
		t.Errorf("have %d events, %v; want 2", b.Len(), err)
	}
}

func TestMalformedRecordIsInvalid(t *testing.T) {
	overlong := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}
	declared := func(f field, size uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag([]byte{Version, 0}, protowire.Number(f), protowire.BytesType), size)
	}
	for _, tt := range []struct {
		name   string
		record []byte
		want   string // part of the error
	}{
		{"nothing", nil, "have 0 bytes"},
		{"version only", []byte{1}, "have 1 bytes"},
		{"version 0", []byte{0, 0}, "version: want 1, have 0"},
		{"version 2", []byte{2, 0}, "version: want 1, have 2"},
		{"unknown flag", []byte{1, 0x84}, "unknown bits 0x84"},
		{"checksum and an unknown flag", []byte{1, 0x82}, "unknown bits 0x80 in 0x82"},
		{"aggregated", []byte("\xF3\x89\x9A\xC2 and more"), "aggregated by the Kinesis Producer Library"},
		{"checksum flagged, nothing there", []byte{1, 2}, "checksum: want 4 bytes, have 0"},
		{"checksum too short", []byte{1, 2, 3, 4, 5}, "checksum: want 4 bytes, have 3"},
		{"checksum of something else", []byte{1, 2, 0, 0, 0, 0}, "checksum: want 0x000000"},
		{"zstd and an unknown flag", []byte{1, 0x41}, "unknown bits 0x40 in 0x41"},
		{"flagged, not zstd", []byte{1, 1, 'n', 'o'}, "zstd: "},
		{"flagged, nothing there", []byte{1, 1}, "no events"},
		{"no message", []byte{1, 0}, "no events"},
		{"names only", named().record(), "no events"},
		{"record too long", make([]byte, DefaultLimits().RecordBytes+1), "at most 1048576 bytes"},
		{"field 0", []byte{1, 0, 0, 0}, "byte 0: tag"},
		{"tag overflows", append([]byte{1, 0}, overlong...), "byte 0: tag"},
		{"group without end", []byte{1, 0, 19<<3&0x7f | 3 | 0x80, 1}, "byte 0: field 19"},
		{"huge name declared", declared(fieldDevices, 1<<40), "field 5"},
		{"huge column declared", declared(fieldValues, 1<<62), "field 15"},
		{"length overflows", append(protowire.AppendTag([]byte{1, 0}, 5, protowire.BytesType), overlong...), "field 5"},
		{
			"name as a number", message(protowire.AppendVarint(protowire.AppendTag(nil, 5, protowire.VarintType), 1)).record(),
			"devices: unexpected wire type 0",
		},
		{"received as bytes", message(nil).text(fieldReceived, "x").record(), "received: unexpected wire type 2"},
		{
			"values as a number", message(protowire.AppendVarint(protowire.AppendTag(nil, 15, protowire.VarintType), 1)).record(),
			"values: unexpected wire type 0",
		},
		{
			"times as fixed64", message(protowire.AppendFixed64(protowire.AppendTag(nil, 11, protowire.Fixed64Type), 1)).record(),
			"times: unexpected wire type 1",
		},

		{"empty name", message(nil).text(fieldDevices, "").record(), "devices: invalid: name: want 1 to 128"},
		{
			"long name", message(nil).text(fieldMetrics, strings.Repeat("é", 65)).record(),
			"metrics: invalid: name: want at most 128 bytes, have 130",
		},
		{"not UTF-8", message(nil).text(fieldDevices, "a\xff").record(), "byte 1 is not UTF-8"},
		{"half a rune", message(nil).text(fieldDevices, "\xc3").record(), "byte 0 is not UTF-8"},
		{"surrogate", message(nil).text(fieldDevices, "\xed\xa0\x80").record(), "byte 0 is not UTF-8"},
		{"newline", message(nil).text(fieldGateway, "a\nb").record(), "control character U+000A at byte 1"},
		{"DEL", message(nil).text(fieldSite, "\x7f").record(), "control character U+007F"},
		{"C1 control", message(nil).text(fieldMetrics, "\u0085").record(), "control character U+0085"},
		{"long trace", message(nil).text(fieldTrace, strings.Repeat("x", MaxTraceBytes+1)).record(), "trace: want at most 512"},
		{"control in trace", message(nil).text(fieldTrace, "a\x00").record(), "trace: control character"},
		{"device twice", named().text(fieldDevices, "press-1").record(), "devices: entry 2 repeats"},
		{"metric twice", named().text(fieldMetrics, "temperature").record(), "metrics: entry 1 repeats"},

		{
			"device out of range",
			columns().packed(fieldSeriesDevice, 2).packed(fieldSeriesMetric, 0).bytes(fieldValues, make([]byte, 16)).record(),
			"series_device: entry 2 is not below 2",
		},
		{
			"metric out of range",
			columns().packed(fieldSeriesDevice, 0).packed(fieldSeriesMetric, 1<<32).bytes(fieldValues, make([]byte, 16)).record(),
			"series_metric: entry 2 is not below 1",
		},
		{
			"metric just out of range",
			columns().packed(fieldSeriesDevice, 0).packed(fieldSeriesMetric, 1).bytes(fieldValues, make([]byte, 16)).record(),
			"series_metric: entry 2 is not below 1",
		},
		{
			"series differ in length", columns().packed(fieldSeriesDevice, 0).bytes(fieldValues, make([]byte, 16)).record(),
			"series_metric: want 3 entries",
		},
		{
			"series out of range", named().packed(fieldSeries, 0, 4).packed(fieldTimes, 2, 2).bytes(fieldValues, make([]byte, 16)).record(),
			"series: event 1: series 2 of 2",
		},
		{
			"series negative", named().packed(fieldSeries, 1, 0).packed(fieldTimes, 2, 2).bytes(fieldValues, make([]byte, 16)).record(),
			"series: event 0: series -1 of 2",
		},
		{"more values than series", columns().bytes(fieldValues, make([]byte, 24)).record(), "series: ends 1 events before the values"},
		{"fewer values than series", columns().bytes(fieldValues, make([]byte, 8)).record(), "series: more entries than values"},
		{"more times", two(fieldTimes, 2), "times: more entries than values"},
		{"fewer qualities", two(fieldQualities, 0), "qualities: ends 1 events before"},
		{"more qualities", two(fieldQualities, 0, 0, 0), "qualities: more entries than values"},
		{"unknown quality", two(fieldQualities, 0, 3), "qualities: 3 is not a quality"},
		{"quality that a byte would hide", two(fieldQualities, 0, 256), "qualities: 256 is not a quality"},
		{"half a double", columns().bytes(fieldValues, make([]byte, 15)).record(), "values: 15 bytes"},

		{"fewer runs", two(fieldSeriesRuns, 1), "series_runs: fewer entries than series"},
		{"more runs", two(fieldSeriesRuns, 1, 1, 1), "series_runs: more entries than series"},
		{"run of nothing", two(fieldTimeRuns, 0, 2), "time_runs: run of 0 events, 2 are left"},
		{"run past the end", two(fieldTimeRuns, 1, 2), "time_runs: run of 2 events, 1 are left"},
		{"run of 2^63", two(fieldTimeRuns, 1<<63), "time_runs: run of 9223372036854775808 events"},
		{"runs of no qualities", two(fieldQualityRuns, 2), "qualities: ends 2 events before"},
		{"run ends inside a varint", columns().bytes(fieldTimeRuns, []byte{0x80}).record(), "time_runs: ends inside a varint"},
		{
			"run overflows", columns().bytes(fieldValues, make([]byte, 16)).bytes(fieldTimeRuns, overlong).record(),
			"time_runs: varint past 64 bits",
		},
		{
			"time overflows", named().packed(fieldSeries, 0).bytes(fieldTimes, overlong).bytes(fieldValues, make([]byte, 8)).record(),
			"times: varint past 64 bits",
		},
		{
			"series device overflows",
			message(nil).text(fieldDevices, "d").bytes(fieldSeriesDevice, overlong).packed(fieldSeriesMetric, 0).
				bytes(fieldValues, make([]byte, 8)).record(),
			"series_device: entry 0",
		},

		{
			"scales too few", columns().text(fieldMetrics, "m").packed(fieldScales, 1).packed(fieldDecimals, 2, 2).record(),
			"scales: want 2 entries",
		},
		{"scale 11", columns().packed(fieldScales, 11).packed(fieldDecimals, 2, 2).record(), "scales: entry 0: unknown scale 11"},
		{"scale 16", columns().packed(fieldScales, 16).packed(fieldDecimals, 2, 2).record(), "scales: entry 0: unknown scale 16"},
		{"scale 27", columns().packed(fieldScales, 27).packed(fieldDecimals, 2, 2).record(), "scales: entry 0: unknown scale 27"},
		{
			"scale that a byte would hide", columns().packed(fieldScales, 257).packed(fieldDecimals, 2, 2).record(),
			"scales: entry 0: unknown scale 257",
		},
		{"scale overflows", columns().bytes(fieldScales, overlong).packed(fieldDecimals, 2, 2).record(), "scales: varint past 64 bits"},
		{"decimals of a raw metric", columns().packed(fieldDecimals, 2, 2).record(), "values: ended at event 0"},
		{
			"values of a decimal metric", columns().packed(fieldScales, 1).bytes(fieldValues, make([]byte, 16)).record(),
			"decimals: ended at event 0",
		},
		{
			"one of each", columns().packed(fieldScales, 1).packed(fieldDecimals, 2).bytes(fieldValues, make([]byte, 8)).record(),
			"decimals: ended at event 1",
		},
		{
			"decimal of 2^53", columns().packed(fieldScales, 1).packed(fieldDecimals, 2, 1<<54).record(),
			"decimals: event 1: 9007199254740992 is not within",
		},
		{
			"decimal of -2^53", columns().packed(fieldScales, 1).packed(fieldDecimals, 1<<54-1, 2).record(),
			"decimals: event 0: -9007199254740992 is not within",
		},
		{
			"differences to 2^53", columns().packed(fieldScales, 17).packed(fieldDecimals, 1<<54-2, 2).record(),
			"decimals: event 1: 9007199254740992",
		},
		{
			"decimal overflows",
			named().packed(fieldSeries, 0).packed(fieldTimes, 0).packed(fieldScales, 1).bytes(fieldDecimals, overlong).record(),
			"decimals: event 0: varint past 64 bits",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := sample()
			err := newDecoder(t).Decode(tt.record, b)
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("have %v\nwant ErrInvalid with %q", err, tt.want)
			}
			if b.Len() != 0 || len(b.Devices)+len(b.Metrics) != 0 {
				t.Errorf("got a batch after the error, want it empty")
			}
		})
	}
}

func TestLimits(t *testing.T) {
	record, err := newEncoder(t, Zstd).AppendRecord(nil, benchBatch(walk))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		limits Limits
		want   string
	}{
		{Limits{len(record) - 1, 1 << 20, 1000, 10}, fmt.Sprintf("want at most %d bytes, have %d", len(record)-1, len(record))},
		{Limits{len(record), 2000, 1000, 10}, "zstd: decompresses to more than 2000 bytes"},
		{Limits{len(record), 1 << 20, 999, 10}, "want at most 999 events, have 1000"},
		{Limits{len(record), 1 << 20, 1000, 9}, "devices: want at most 9"},
		{Limits{len(record), 1 << 20, 1000, 10}, ""},
	} {
		d, err := NewDecoder(tt.limits)
		if err != nil {
			t.Fatal(err)
		}
		err = d.Decode(record, new(Batch))
		if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: have %v, want %q", tt.limits, err, tt.want)
		}
	}
	if _, err := NewDecoder(Limits{1, 1, 0, 1}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a limit of 0: have %v, want ErrInvalid", err)
	}
}

// bomb returns a record that decompresses to sizeBytes zeros, with or without declaring so.
func bomb(t *testing.T, sizeBytes int, declared bool) []byte {
	t.Helper()
	var out bytes.Buffer
	out.Write([]byte{Version, flagZstd})
	z, err := zstd.NewWriter(&out, zstd.WithWindowSize(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	if declared {
		return z.EncodeAll(make([]byte, sizeBytes), out.Bytes())
	}
	for range sizeBytes >> 20 {
		if _, err := z.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestBombIsRejectedInBoundedMemory(t *testing.T) {
	const inflatedBytes = 1 << 20
	small := []byte{Version, 0}
	for _, tt := range []struct {
		name   string
		record []byte
		want   string
	}{
		{"declared", bomb(t, 256<<20, true), "zstd: decompresses to more than 1048576 bytes"},
		{"undeclared", bomb(t, 256<<20, false), "zstd: decompresses to more than 1048576 bytes"},
		{"run", columns().packed(fieldSeriesRuns, 1<<40, 1).bytes(fieldValues, make([]byte, 16)).record(), "series_runs: run of"},
		{"column", append(protowire.AppendVarint(protowire.AppendTag(small, 15, protowire.BytesType), 1<<40), 0), "field 15"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := NewDecoder(Limits{RecordBytes: 1 << 20, InflatedBytes: inflatedBytes, Events: 10_000, Names: 10_000})
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err = d.Decode(tt.record, new(Batch))
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("have %v, want ErrInvalid with %q", err, tt.want)
			}
			// The sum of all allocations: without a declared size the buffer grows by
			// quarters, so that its steps sum to five times the last.
			const bound = 8 * inflatedBytes
			if used := after.TotalAlloc - before.TotalAlloc; used > bound {
				t.Errorf("a record of %d bytes: got %d bytes allocated, want at most %d", len(tt.record), used, bound)
			} else {
				t.Logf("a record of %d bytes: %d bytes allocated", len(tt.record), used)
			}
		})
	}
}
