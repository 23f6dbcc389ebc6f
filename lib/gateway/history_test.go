package gateway

import (
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// slowChannel takes what it gets when it is drained.
type slowChannel struct {
	frames   [][]byte
	buffered uint64
	most     uint64
	room     chan struct{}
}

func (c *slowChannel) Send(p []byte) error {
	c.frames = append(c.frames, append([]byte(nil), p...))
	c.buffered += uint64(len(p))
	c.most = max(c.most, c.buffered)
	return nil
}

// BufferedAmount lets the channel drain whenever it is full.
func (c *slowChannel) BufferedAmount() uint64 {
	b := c.buffered
	if b > historyWindowBytes {
		c.buffered = 0
		c.room <- struct{}{}
	}
	return b
}

func TestHistoryFlow(t *testing.T) {
	h := history{length: 1e9, maxBytes: 64 << 20}
	cat := newCatalog()
	const blocks, each = 600, 100
	for i := range blocks {
		var readings []reading
		for d := range each {
			readings = append(readings, reading{telemetry.DeviceName('A' + rune(d%10)), float64(i*each + d), telemetry.Micros(i * 1000)})
		}
		h.push(blockOf(t, cat, readings...), telemetry.Micros(i*1000))
	}
	encoder, err := newEncoder()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		since     telemetry.Micros
		selection *selection
		want      int
	}{
		"all":         {0, nil, blocks * each},
		"the last 50": {550_000, nil, 50 * each},
		"a device":    {0, selectionOf("C"), blocks * each / 10},
		"no device":   {0, selectionOf("none"), 0},
		"none":        {600_000, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			ch := &slowChannel{room: make(chan struct{}, 1000)}
			s := historySender{channel: ch, history: &h, room: ch.room, counts: &counters{}, encoder: encoder}
			events, frames, err := s.send(t.Context(), historyRequest{id: 7, since: c.since, selection: c.selection})
			if err != nil || events != c.want || frames != len(ch.frames) {
				t.Fatalf("got %d events, %d frames, %v; want %d events, %d frames", events, frames, err, c.want, len(ch.frames))
			}
			if limit := uint64(historyWindowBytes + rtc.MaxHistoryFrameBytes); ch.most > limit {
				t.Errorf("%d bytes in the channel's buffer, want at most %d", ch.most, limit)
			}
			got, last := 0, -1.0
			d, err := telemetry.NewDecoder(telemetry.DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			for i, raw := range ch.frames {
				f, err := rtc.DecodeHistory(raw)
				if err != nil {
					t.Fatal(err)
				}
				if f.Request != 7 || f.Last != (i == len(ch.frames)-1) {
					t.Errorf("frame %d of %d: request %d, last %v", i, len(ch.frames), f.Request, f.Last)
				}
				var b telemetry.Batch
				if err := d.Decode(f.Record, &b); err != nil {
					t.Fatal(err)
				}
				for k := range b.Len() {
					if b.Value[k] <= last {
						t.Fatalf("value %v after %v", b.Value[k], last)
					}
					last = b.Value[k]
				}
				got += b.Len()
			}
			if got != c.want {
				t.Errorf("%d events in the frames, want %d", got, c.want)
			}
		})
	}
}

// TestHistoryBounds: what is too old or too much is forgotten, and the encoded parts of what is kept.
func TestHistoryBounds(t *testing.T) {
	cat := newCatalog()
	h := history{length: telemetry.Micros((10 * time.Second).Microseconds()), maxBytes: 1 << 30}
	encoder, err := newEncoder()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		at := telemetry.Micros(i) * 1e6
		b := blockOf(t, cat, reading{"a", float64(i), at})
		h.push(b, at)
		if _, err := b.encoded(nil, encoder); err != nil {
			t.Fatal(err)
		}
	}
	if len(h.blocks) != 11 || h.blocks[0].value[0] != 49 {
		t.Errorf("%d blocks from %v on, want those of the last 10 s", len(h.blocks), h.blocks[0].value[0])
	}
	for i, b := range h.blocks {
		if encoded := b.parts != nil; encoded != (i >= len(h.blocks)-3) {
			t.Errorf("block %d of %d is encoded: %v", i, len(h.blocks), encoded)
		}
	}
	h.maxBytes = 3 * h.blocks[0].bytes()
	h.push(blockOf(t, cat, reading{"a", 60, 60e6}), 60e6)
	if len(h.blocks) != 3 || h.bytes > h.maxBytes {
		t.Errorf("%d blocks, %d bytes, want 3 within %d", len(h.blocks), h.bytes, h.maxBytes)
	}
}
