package video

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/format/rtph264"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpvp8"
	"github.com/google/go-cmp/cmp"
	"github.com/pion/rtp"
)

// Another implementation reads the packets back.
func TestPacketsOfH264(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	unit := func(header byte, n int) []byte {
		u := make([]byte, n)
		for i := range u {
			u[i] = byte(random.Uint32()) | 1 // no start codes
		}
		u[0] = header
		return u
	}
	for name, units := range map[string][][]byte{
		"a small picture":          {unit(0x41, 300)},
		"parameter sets and a key": {unit(0x67, 20), unit(0x68, 5), unit(0x65, 30_000)},
		"all in one packet":        {unit(0x67, 20), unit(0x68, 5), unit(0x65, 700)},
		"slices":                   {unit(0x41, 500), unit(0x41, 500), unit(0x41, 500), unit(0x41, 2_000)},
		"exactly one payload":      {unit(0x65, maxPayload)},
		"one byte more":            {unit(0x65, maxPayload+1)},
		"fragments without a rest": {unit(0x65, 1+3*(maxPayload-2))},
		"a disposable one":         {unit(0x01, 3_000)},
		"two that just do not fit": {unit(0x41, maxPayload-5), unit(0x41, 3)},
		"two that just fit":        {unit(0x41, maxPayload-8), unit(0x41, 3)},
		"a unit of one byte":       {unit(0x68, 1), unit(0x65, 5_000)},
	} {
		decoder := &rtph264.Decoder{PacketizationMode: 1}
		if err := decoder.Init(); err != nil {
			t.Fatal(err)
		}
		list := payloads(&Frame{Codec: H264, Units: units})
		var got [][]byte
		for i, p := range list {
			if len(p) > maxPayload {
				t.Errorf("%s: a payload of %d bytes", name, len(p))
			}
			au, err := decoder.Decode(&rtp.Packet{
				Header: rtp.Header{SequenceNumber: uint16(i), Marker: i == len(list)-1, Timestamp: 7}, Payload: p,
			})
			if err == nil {
				got = au
			} else if i == len(list)-1 {
				t.Errorf("%s: %v", name, err)
			}
		}
		if diff := cmp.Diff(units, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestPacketsOfVP8(t *testing.T) {
	t.Parallel()
	for _, n := range []int{3, maxPayload - 1, maxPayload, 20_000} {
		frame := make([]byte, n)
		for i := range frame {
			frame[i] = byte(i)
		}
		decoder := &rtpvp8.Decoder{}
		if err := decoder.Init(); err != nil {
			t.Fatal(err)
		}
		list := payloads(&Frame{Codec: VP8, Units: [][]byte{frame}})
		var got []byte
		for i, p := range list {
			if len(p) > maxPayload {
				t.Errorf("%d bytes: a payload of %d", n, len(p))
			}
			whole, err := decoder.Decode(&rtp.Packet{
				Header: rtp.Header{SequenceNumber: uint16(i), Marker: i == len(list)-1}, Payload: p,
			})
			if err == nil {
				got = whole
			}
		}
		if diff := cmp.Diff(frame, got); diff != "" {
			t.Errorf("%d bytes: %s", n, diff)
		}
	}
}

func TestParameterSetsPrecedeEveryKeyFrame(t *testing.T) {
	t.Parallel()
	sps, pps, idr, p := []byte{0x67, 1}, []byte{0x68, 2}, []byte{0x65, 0x80}, []byte{0x41, 0x80}
	frame := func(units ...[]byte) *Frame {
		f, ok := NewFrame(H264, units, time.Time{})
		if !ok {
			t.Fatal("not a picture")
		}
		return f
	}
	var params parameters
	if _, ok := params.apply(frame(idr)); ok {
		t.Error("a key frame without parameter sets passes before any were seen")
	}
	newer := []byte{0x67, 9}
	for i, c := range []struct {
		in   *Frame
		want [][]byte
	}{
		{frame(sps, pps, idr), [][]byte{sps, pps, idr}},
		{frame(idr, idr), [][]byte{sps, pps, idr, idr}},
		{frame(p), [][]byte{p}},
		{frame(newer, p), [][]byte{newer, p}}, // between key frames: as it is, and remembered
		{frame(idr), [][]byte{newer, pps, idr}},
		{frame([]byte{9, 0xF0}, sps, []byte{6, 5}, idr, []byte{12}), [][]byte{sps, pps, {6, 5}, idr}},
	} {
		before := cmp.Diff(c.in.Units, c.want)
		got, ok := params.apply(c.in)
		if !ok {
			t.Fatalf("%d: rejected", i)
		}
		if diff := cmp.Diff(c.want, got.Units); diff != "" {
			t.Errorf("%d: %s", i, diff)
		}
		if cmp.Diff(c.in.Units, c.want) != before {
			t.Errorf("%d: the shared frame changed", i)
		}
	}
}

func TestTimestampsMoveForward(t *testing.T) {
	t.Parallel()
	start := time.UnixMicro(1_790_000_000_000_000)
	var track track
	first := track.stamp(start)
	for i, c := range []struct {
		after time.Duration
		want  uint32 // after the first
	}{
		{time.Second, 90_000},
		{time.Second, 90_001},
		{0, 90_002},
		{1001 * time.Millisecond, 90_090},
		{13 * time.Hour, 13 * 3600 * 90_000}, // nothing was shown for longer than half of the timestamps
		{20 * time.Hour, 20 * 3600 * 90_000 % (1 << 32)},
		{time.Hour, 20*3600*90_000%(1<<32) + 1}, // the clock was set back
		{time.Hour + time.Second, 20*3600*90_000%(1<<32) + 1 + 90_000},
	} {
		if got := track.stamp(start.Add(c.after)) - first; got != c.want {
			t.Errorf("%d: the timestamp is %d after the first, want %d", i, got, c.want)
		}
	}
}

func TestFramesAreClassified(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		codec           Codec
		units           [][]byte
		ok              bool
		key, disposable bool
	}{
		"IDR":                {H264, [][]byte{{0x65, 0x88}}, true, true, false},
		"P":                  {H264, [][]byte{{0x41, 0x9A}}, true, false, false},
		"P without referrer": {H264, [][]byte{{0x01, 0x9A}}, true, false, true},
		"mixed slices":       {H264, [][]byte{{0x01, 0x9A}, {0x41, 0x1A}}, true, false, false},
		"parameter sets":     {H264, [][]byte{{0x67, 1}, {0x68, 1}}, false, false, true},
		"nothing":            {H264, nil, false, false, true},
		"empty unit":         {H264, [][]byte{{}}, false, false, true},
		"VP8 key":            {VP8, [][]byte{{0x10, 0, 0, 0x9d, 1, 0x2a}}, true, true, false},
		"VP8 inter":          {VP8, [][]byte{{0x11, 0, 0}}, true, false, false},
		"VP8 too short":      {VP8, [][]byte{{0x10, 0}}, false, false, false},
		"two VP8 frames":     {VP8, [][]byte{{0x11, 0, 0}, {0x11, 0, 0}}, false, false, false},
	} {
		f, ok := NewFrame(c.codec, c.units, time.Time{})
		if ok != c.ok {
			t.Errorf("%s: ok %v, want %v", name, ok, c.ok)
			continue
		}
		if ok && (f.Key != c.key || f.Disposable != c.disposable) {
			t.Errorf("%s: key %v, disposable %v, want %v, %v", name, f.Key, f.Disposable, c.key, c.disposable)
		}
	}
}
