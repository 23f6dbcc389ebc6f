package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// history holds what was published lately, bounded in time and memory. It is safe for concurrent use.
type history struct {
	length   telemetry.Micros
	maxBytes int

	mu     sync.Mutex
	blocks []*block // in the order of publishing
	bytes  int
	fresh  int // blocks[fresh:] may still have encoded parts
}

// push appends a block and forgets what is too old or too much.
func (h *history) push(b *block, now telemetry.Micros) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.blocks = append(h.blocks, b)
	h.bytes += b.bytes()
	drop := 0
	for drop < len(h.blocks)-1 && (h.bytes > h.maxBytes || h.blocks[drop].read[h.blocks[drop].len()-1] < now-h.length) {
		h.bytes -= h.blocks[drop].bytes()
		h.blocks[drop] = nil
		drop++
	}
	h.blocks = h.blocks[drop:]
	h.fresh = max(0, h.fresh-drop)
	// Viewers take a block within moments or not at all.
	const partsAge = 2_000_000
	for ; h.fresh < len(h.blocks) && h.blocks[h.fresh].read[0] < now-partsAge; h.fresh++ {
		h.blocks[h.fresh].forget()
	}
}

// since returns the blocks that have events which were read at t or later. They do not change.
func (h *history) since(t telemetry.Micros) []*block {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, b := range h.blocks {
		for _, r := range b.read {
			if r >= t {
				return append([]*block(nil), h.blocks[i:]...)
			}
		}
	}
	return nil
}

// historyRequest is a viewer's wish for the past.
type historyRequest struct {
	id        uint32
	since     telemetry.Micros
	selection *selection
}

const (
	// historyWindowBytes is how much of a response may be in a channel's buffer. The live channel has
	// priority over what waits there, and shares what is in flight.
	historyWindowBytes = 128 << 10
	// maxHistoryRequests may wait for a viewer's one in progress.
	maxHistoryRequests = 4
	// historyChunkEvents are gathered before they are encoded as one record of at most 64 KiB.
	historyChunkEvents = 2000
)

// historySender sends history to one viewer, one request after the other.
type historySender struct {
	channel channel
	history *history
	room    chan struct{} // signaled when the channel's buffer has become small
	counts  *counters
	encoder *encoder
	frame   []byte
}

// send sends the response to a request and returns the numbers of its events and frames.
func (s *historySender) send(ctx context.Context, r historyRequest) (events, frames int, err error) {
	blocks := s.history.since(r.since)
	var chunk columns
	var last []byte // encoded and not sent: the last frame says that it is the last
	send := func(isLast bool) error {
		if last == nil {
			return nil
		}
		s.frame = rtc.AppendHistory(s.frame[:0], rtc.HistoryFrame{Request: r.id, Last: isLast, Record: last})
		frames++
		return s.write(ctx, s.frame)
	}
	flush := func(b *block) error {
		return s.encoder.split(&chunk, b.devices, b.metrics, rtc.MaxHistoryFrameBytes-rtc.HistoryHeaderBytes, 0,
			func(_, _ int, record []byte) error {
				if err := send(false); err != nil {
					return err
				}
				last = append(last[:0], record...)
				return nil
			})
	}
	for i, b := range blocks {
		for j := range b.len() {
			if b.read[j] >= r.since && r.selection.has(b.devices[b.device[j]]) {
				chunk.appendOne(&b.columns, j)
			}
		}
		if chunk.len() >= historyChunkEvents || i == len(blocks)-1 {
			events += chunk.len()
			if err := flush(b); err != nil {
				return events, frames, err
			}
			chunk.reset()
		}
	}
	if err := send(true); err != nil {
		return events, frames, err
	}
	s.counts.history.Add(uint64(events))
	return events, frames, nil
}

var errClosed = errors.New("the channel is closed")

// write waits for room and sends.
func (s *historySender) write(ctx context.Context, frame []byte) error {
	for s.channel.BufferedAmount() > historyWindowBytes {
		select {
		case <-ctx.Done():
			return errClosed
		case <-s.room:
		case <-time.After(time.Second): // the signal of a channel that is reset never comes
		}
	}
	return s.channel.Send(frame)
}
