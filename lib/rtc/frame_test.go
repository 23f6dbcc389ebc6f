package rtc

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/telemetry"
)

func record(tb testing.TB, events ...telemetry.Event) []byte {
	tb.Helper()
	e, err := telemetry.NewEncoder(telemetry.NoCompression)
	if err != nil {
		tb.Fatal(err)
	}
	var b telemetry.Batch
	for _, event := range events {
		b.Append(event)
	}
	out, err := e.AppendRecord(nil, &b)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// The values of the examples in docs/LIVE.md.
const exampleSent = telemetry.Micros(1795425713123456)

func exampleRecord(tb testing.TB) []byte {
	tb.Helper()
	return record(tb, telemetry.Event{Device: "d", Metric: "m", Time: 1, Value: 20.5})
}

func exampleFrames(tb testing.TB) map[string][]byte {
	tb.Helper()
	return map[string][]byte{
		"live":           AppendLive(nil, 7, exampleSent, []telemetry.Micros{exampleSent - 1500}, exampleRecord(tb)),
		"clock request":  AppendClockRequest(nil, ClockRequest{ID: 3, T0: exampleSent}),
		"clock response": AppendClockResponse(nil, ClockResponse{ID: 3, T0: exampleSent, T1: exampleSent + 10000, T2: exampleSent + 10020}),
		"heartbeat":      AppendHeartbeat(nil, Heartbeat{Seq: 2, Sent: exampleSent}),
		"history":        AppendHistory(nil, HistoryFrame{Request: 9, Last: true, Record: exampleRecord(tb)}),
	}
}

// TestDocumentedFrames compares the examples of docs/LIVE.md, given as "Example: NAME" and a
// block of hexadecimal bytes with comments, with what is encoded.
func TestDocumentedFrames(t *testing.T) {
	doc, err := os.ReadFile("../../docs/LIVE.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)Example: ([a-z ]+)\n+```text\n(.*?)```").FindAllStringSubmatch(string(doc), -1)
	documented := map[string][]byte{}
	for _, block := range blocks {
		var digits strings.Builder
		for line := range strings.Lines(block[2]) {
			code, _, _ := strings.Cut(line, "#")
			digits.WriteString(strings.Join(strings.Fields(code), ""))
		}
		raw, err := hex.DecodeString(digits.String())
		if err != nil {
			t.Errorf("example %q: %v", block[1], err)
		}
		documented[block[1]] = raw
	}
	if diff := cmp.Diff(exampleFrames(t), documented); diff != "" {
		t.Errorf("docs/LIVE.md differs from what is encoded (-encoded +documented)\n%s", diff)
	}
}

func TestLiveRoundTrip(t *testing.T) {
	rec := record(t,
		telemetry.Event{Device: "d", Metric: "m", Time: 1, Value: 20.5},
		telemetry.Event{Device: "d", Metric: "n", Time: 2, Value: math.Inf(1)},
		telemetry.Event{Device: "d", Metric: "n", Time: 3, Value: math.NaN()},
		telemetry.Event{Device: "d", Metric: "n", Time: 4, Value: 1},
	)
	const sent = telemetry.Micros(1 << 40)
	read := []telemetry.Micros{sent - 250, sent + 1, sent - math.MaxUint32 - 1, math.MinInt64}
	prefix := []byte{9, 9}
	frame := AppendLive(prefix, math.MaxUint32, sent, read, rec)
	if !bytes.Equal(frame[:2], prefix) {
		t.Fatal("the bytes before the frame changed")
	}
	f := LiveFrame{Ages: make([]uint32, 0, 8)}
	if err := DecodeLive(frame[2:], &f); err != nil {
		t.Fatal(err)
	}
	want := LiveFrame{Seq: math.MaxUint32, Sent: sent, Ages: []uint32{250, 0, math.MaxUint32, math.MaxUint32}, Record: rec}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("(-want +have)\n%s", diff)
	}
}

func TestBadFrames(t *testing.T) {
	rec := exampleRecord(t)
	live := AppendLive(nil, 1, 2, []telemetry.Micros{1}, rec)
	edit := func(frame []byte, at int, value byte) []byte {
		out := bytes.Clone(frame)
		out[at] = value
		return out
	}
	decodeLive := func(frame []byte) error { return DecodeLive(frame, new(LiveFrame)) }
	decodeHistory := func(frame []byte) error { _, err := DecodeHistory(frame); return err }
	decodeRequest := func(frame []byte) error { _, err := DecodeClockRequest(frame); return err }
	decodeResponse := func(frame []byte) error { _, err := DecodeClockResponse(frame); return err }
	decodeHeartbeat := func(frame []byte) error { _, err := DecodeHeartbeat(frame); return err }
	for name, c := range map[string]struct {
		decode func([]byte) error
		frame  []byte
		want   string
	}{
		"empty":                   {decodeLive, nil, "empty"},
		"other kind":              {decodeLive, edit(live, 0, 4), "kind 4, want 1"},
		"live without its header": {decodeLive, live[:19], "kind 1: 19 bytes, want 20 to 262144"},
		"live flags":              {decodeLive, edit(live, 1, 2), "unknown flags 0x02"},
		"no events":               {decodeLive, edit(live, 16, 0), "0 events, want 1 to 10000"},
		"10,001 events":           {decodeLive, edit(edit(live, 16, 0x11), 17, 0x27), "10001 events, want 1 to 10000"},
		"ages cut off":            {decodeLive, edit(live, 16, 200), "want at least 800 for the ages of 200 events"},
		"no record":               {decodeLive, live[:25], "live: record of 1 bytes, want at least 2"},
		"compressed record":       {decodeLive, edit(live, 25, 3), "the record is compressed (flag 0x01)"},
		"a tick":                  {decodeLive, edit(live, 24, 84), "record of version 84, want 1"},
		"too large":               {decodeLive, append(bytes.Clone(live), make([]byte, MaxFrameBytes)...), "want 20 to 262144"},
		"history flags":           {decodeHistory, []byte{16, 4, 0, 0, 1, 0, 0, 0, 1, 0}, "unknown flags 0x04"},
		"history without record":  {decodeHistory, []byte{16, 1, 0, 0, 1, 0, 0, 0}, "history: record of 0 bytes"},
		"history too large":       {decodeHistory, append([]byte{16}, make([]byte, MaxHistoryFrameBytes)...), "want 8 to 65536"},
		"short request":           {decodeRequest, make([]byte, 15), "kind 0, want 2"},
		"long request":            {decodeRequest, append([]byte{2}, make([]byte, 16)...), "17 bytes, want 16 to 16"},
		"short response":          {decodeResponse, append([]byte{3}, make([]byte, 30)...), "31 bytes, want 32 to 32"},
		"long heartbeat":          {decodeHeartbeat, append([]byte{4}, make([]byte, 31)...), "32 bytes, want 16 to 16"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.decode(c.frame)
			if !errors.Is(err, telemetry.ErrInvalid) {
				t.Fatalf("got %v, want ErrInvalid", err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %q, want it to contain %q", err, c.want)
			}
		})
	}
}

// TestReservedBytes: a later version may use them, so a receiver skips them.
func TestReservedBytes(t *testing.T) {
	for name, frame := range exampleFrames(t) {
		frame[2], frame[3] = 0xff, 0xff
		if _, err := decodeAny(frame); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// decodeAny decodes a frame by its kind and encodes it anew; nil if the kind is unknown.
func decodeAny(frame []byte) ([]byte, error) {
	if len(frame) == 0 {
		return nil, nil
	}
	switch FrameKind(frame[0]) {
	case FrameLive:
		var f LiveFrame
		if err := DecodeLive(frame, &f); err != nil {
			return nil, err
		}
		read := make([]telemetry.Micros, len(f.Ages))
		for i, a := range f.Ages {
			read[i] = f.Sent - telemetry.Micros(a)
			if read[i] > f.Sent { // before the year −292,000: the frame has the age, no clock the time
				read[i] = math.MinInt64
			}
		}
		return AppendLive(nil, f.Seq, f.Sent, read, f.Record), nil
	case FrameClockRequest:
		r, err := DecodeClockRequest(frame)
		return AppendClockRequest(nil, r), err
	case FrameClockResponse:
		r, err := DecodeClockResponse(frame)
		return AppendClockResponse(nil, r), err
	case FrameHeartbeat:
		h, err := DecodeHeartbeat(frame)
		return AppendHeartbeat(nil, h), err
	case FrameHistory:
		h, err := DecodeHistory(frame)
		return AppendHistory(nil, h), err
	default:
		return nil, nil
	}
}

// FuzzFrame: no input makes a decoder panic, its errors wrap ErrInvalid, and what is decoded has
// the same bytes when it is encoded, but for the reserved ones.
func FuzzFrame(f *testing.F) {
	for _, frame := range exampleFrames(f) {
		f.Add(frame)
		f.Add(frame[:len(frame)-1])
	}
	f.Add([]byte{1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 1, 0})
	f.Fuzz(func(t *testing.T, frame []byte) {
		encoded, err := decodeAny(frame)
		if err != nil {
			if !errors.Is(err, telemetry.ErrInvalid) {
				t.Errorf("got %v, want ErrInvalid", err)
			}
			return
		}
		if encoded == nil {
			return
		}
		want := bytes.Clone(frame)
		want[2], want[3] = 0, 0
		if FrameKind(want[0]) != FrameLive && FrameKind(want[0]) != FrameHistory {
			want[1] = 0
		}
		if FrameKind(want[0]) == FrameLive && telemetry.Micros(int64(micros(want[8:]))) < math.MinInt64+math.MaxUint32 {
			return // ages of such clocks have no time to be computed from
		}
		if !bytes.Equal(want, encoded) {
			t.Errorf("got %x, want %x", encoded, want)
		}
	})
}

func BenchmarkAppendLive(b *testing.B) {
	rec := exampleRecord(b)
	read := make([]telemetry.Micros, 100)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendLive(dst[:0], 1, exampleSent, read, rec)
	}
}

func BenchmarkDecodeLive(b *testing.B) {
	frame := AppendLive(nil, 1, exampleSent, make([]telemetry.Micros, 100), exampleRecord(b))
	var f LiveFrame
	b.ReportAllocs()
	for b.Loop() {
		if err := DecodeLive(frame, &f); err != nil {
			b.Fatal(err)
		}
	}
}

// TestFramesDoNotAllocate: the hot paths of a gateway and a viewer reuse their memory.
func TestFramesDoNotAllocate(t *testing.T) {
	rec, read := exampleRecord(t), make([]telemetry.Micros, 100)
	dst := AppendLive(nil, 1, exampleSent, read, rec)
	f := LiveFrame{Ages: make([]uint32, 0, 100)}
	if n := testing.AllocsPerRun(100, func() {
		dst = AppendLive(dst[:0], 1, exampleSent, read, rec)
		if DecodeLive(dst, &f) != nil {
			t.Error("cannot decode")
		}
	}); n != 0 {
		t.Errorf("%v allocations for each frame, want none", n)
	}
}
