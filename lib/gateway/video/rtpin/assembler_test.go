package rtpin

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/rtp"

	"github.com/insighthub/insighthub/lib/gateway/video"
)

const interval = 40 * time.Millisecond

// stream makes the packets of pictures: a key frame of several packets each tenth, else two slices in a packet each.
func stream(pictures int, sequence uint16) []*rtp.Packet {
	var packets []*rtp.Packet
	add := func(picture int, last bool, payload ...byte) {
		packets = append(packets, &rtp.Packet{Header: rtp.Header{
			Version: 2, SequenceNumber: sequence, Timestamp: uint32(picture) * 3600, Marker: last, SSRC: 1,
		}, Payload: payload})
		sequence++
	}
	for i := range pictures {
		if i%10 != 0 {
			add(i, false, 0x41, 0x9A, byte(i))
			add(i, true, 0x41, 0x1A, byte(i))
			continue
		}
		add(i, false, 0x67, 0x42, 0xe0, 0x1f)
		add(i, false, 0x68, 1)
		add(i, false, 0x7C, 0x85, 0x88, byte(i)) // FU-A of an IDR slice: start,
		add(i, false, 0x7C, 0x05, 1, 2)          // middle,
		add(i, true, 0x7C, 0x45, 3)              // end
	}
	return packets
}

// run pushes packets, interval apart by their timestamps, and returns the numbers of the pictures that come out.
func run(a *Assembler, packets []*rtp.Packet) []int {
	var numbers []int
	start := time.Unix(1_790_000_000, 0)
	for i, p := range packets {
		for _, f := range a.Push(p, start.Add(time.Duration(i)*interval/8)) {
			last := f.Units[len(f.Units)-1]
			numbers = append(numbers, int(last[2]))
		}
	}
	return numbers
}

func numbers(from, to int) []int {
	var list []int
	for i := from; i < to; i++ {
		list = append(list, i)
	}
	return list
}

func TestPacketsInOrder(t *testing.T) {
	t.Parallel()
	// The sequence number wraps.
	got := run(NewAssembler(video.H264, nil), stream(60, 65_500))
	if diff := cmp.Diff(numbers(0, 60), got); diff != "" {
		t.Error(diff)
	}
}

func TestUnitsOfAKeyFrame(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_790_000_000, 0)
	a := NewAssembler(video.H264, nil)
	var got []*video.Frame
	for i, p := range stream(1, 0) {
		got = append(got, a.Push(p, at.Add(time.Duration(i)*time.Millisecond))...)
	}
	want := []*video.Frame{{
		Codec: video.H264, Key: true, Captured: at, // when its first packet came
		Units: [][]byte{{0x67, 0x42, 0xe0, 0x1f}, {0x68, 1}, {0x65, 0x88, 0, 1, 2, 3}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPacketsAreReordered(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		packets := stream(60, 65_500)
		for i := 1; i+5 < len(packets); i += 5 { // the first stays: it says where the stream begins
			random.Shuffle(5, func(j, k int) { packets[i+j], packets[i+k] = packets[i+k], packets[i+j] })
		}
		packets = append(packets, packets[100], packets[20]) // and two come twice
		if diff := cmp.Diff(numbers(0, 60), run(NewAssembler(video.H264, nil), packets)); diff != "" {
			t.Fatal(diff)
		}
	}
}

// After any loss the pictures up to the next key frame are missing, and no other.
func TestNothingReferringToALossPasses(t *testing.T) {
	t.Parallel()
	all := stream(60, 100)
	for lost := range len(all) {
		asked := 0
		packets := append(append([]*rtp.Packet(nil), all[:lost]...), all[lost+1:]...)
		// Something after the end makes a loss in the last picture visible.
		got := run(NewAssembler(video.H264, func() { asked++ }), packets)
		picture := int(all[lost].Timestamp / 3600)
		next := (picture + 10) / 10 * 10
		want := append(numbers(0, picture), numbers(next, 60)...)
		if lost == 0 {
			// The stream seems to begin later, and lacks a parameter set.
			want = numbers(0, 60)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("packet %d of picture %d lost: %s", lost, picture, diff)
		}
		if picture > 0 && picture < 50 && asked == 0 {
			t.Errorf("packet %d of picture %d lost: no key frame was asked for", lost, picture)
		}
	}
}

func TestSenderStartsOver(t *testing.T) {
	t.Parallel()
	packets := append(stream(15, 1_000), stream(20, 40_000)...)
	got := run(NewAssembler(video.H264, nil), packets)
	want := append(numbers(0, 15), numbers(0, 20)...)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParameterSetsInPacketsOfTheirOwn(t *testing.T) {
	t.Parallel()
	// Each with a marker, as some cameras send them.
	packets := stream(1, 0)
	packets[0].Marker, packets[1].Marker = true, true
	a := NewAssembler(video.H264, nil)
	var got []*video.Frame
	for _, p := range packets {
		got = append(got, a.Push(p, time.Time{})...)
	}
	if len(got) != 1 || len(got[0].Units) != 3 {
		t.Fatalf("%d frames: %+v; want one with 3 units", len(got), got)
	}
}

func TestVP8(t *testing.T) {
	t.Parallel()
	var packets []*rtp.Packet
	for i := range 20 {
		tag := byte(0x11)
		if i%10 == 0 {
			tag = 0x10
		}
		for part := range 2 {
			p := &rtp.Packet{Header: rtp.Header{SequenceNumber: uint16(2*i + part), Timestamp: uint32(i), Marker: part == 1}}
			if p.Payload = []byte{0x10, tag, 0, byte(i)}; part == 1 {
				p.Payload = []byte{0, 7, 7}
			}
			packets = append(packets, p)
		}
	}
	packets = append(packets[:7], packets[8:]...) // the end of picture 3
	var got []int
	a := NewAssembler(video.VP8, nil)
	for i, p := range packets {
		for _, f := range a.Push(p, time.Unix(0, 0).Add(time.Duration(i)*20*time.Millisecond)) {
			got = append(got, int(f.Units[0][2]))
			if want := f.Units[0][2]%10 == 0; f.Key != want || len(f.Units[0]) != 5 {
				t.Errorf("picture %d: key %v, %d bytes", f.Units[0][2], f.Key, len(f.Units[0]))
			}
		}
	}
	if diff := cmp.Diff(append(numbers(0, 3), numbers(10, 20)...), got); diff != "" {
		t.Error(diff)
	}
}

// FuzzAssembler pushes packets cut from the input: two bytes of sequence number, one of flags, one of length, the payload.
func FuzzAssembler(f *testing.F) {
	var seed []byte
	for _, p := range stream(12, 65_530) {
		marker := byte(0)
		if p.Marker {
			marker = 1
		}
		seed = binary.BigEndian.AppendUint16(seed, p.SequenceNumber)
		seed = append(append(seed, marker, byte(len(p.Payload))), p.Payload...)
	}
	f.Add(false, seed)
	f.Add(true, []byte{0, 1, 1, 4, 0x10, 0x10, 0, 0, 0, 2, 1, 3, 0x10, 0x11, 9})
	f.Fuzz(func(t *testing.T, vp8 bool, data []byte) {
		codec := video.H264
		if vp8 {
			codec = video.VP8
		}
		a := NewAssembler(codec, nil)
		at := time.Unix(0, 0)
		first := true
		for len(data) >= 4 {
			n := min(int(data[3]), len(data)-4)
			p := &rtp.Packet{Header: rtp.Header{
				SequenceNumber: binary.BigEndian.Uint16(data), Marker: data[2]&1 == 1, Timestamp: uint32(data[2] >> 1),
			}, Payload: data[4 : 4+n]}
			at = at.Add(time.Duration(data[2]) * time.Millisecond)
			data = data[4+n:]
			for _, frame := range a.Push(p, at) {
				if first && !frame.Key {
					t.Fatal("the first frame is no key frame")
				}
				first = false
				for _, u := range frame.Units {
					if len(u) == 0 {
						t.Fatal("an empty unit")
					}
				}
			}
			if len(a.held) > reorderPackets || len(a.prefix) > prefixUnits {
				t.Fatalf("%d packets and %d units are held", len(a.held), len(a.prefix))
			}
		}
	})
}
