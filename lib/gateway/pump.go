package gateway

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// channel is the part of a data channel that sends. Send does not block; what it cannot put on the
// wire at once counts in BufferedAmount until the peer has acknowledged it.
type channel interface {
	Send(frame []byte) error
	BufferedAmount() uint64
}

const (
	// liveWindowBytes is how much a live channel may have unacknowledged. All of it is in flight at
	// once, because the congestion window is never smaller (see settings): what waits, waits in
	// the queue, where a newer reading replaces it. Browsers acknowledge every second packet or after
	// 200 ms, so a smaller window would stop the flow at moderate rates.
	liveWindowBytes = 128 << 10
	// maxFrameEvents bounds the events of a frame that a pump merges.
	maxFrameEvents = 600
	// maxQueuedEvents bounds a viewer's queue, unless the gateway has more series.
	maxQueuedEvents = 8192
)

// counters are a viewer's own: the stack counts what it rejected as sent.
type counters struct {
	events, frames, bytes atomic.Uint64 // handed to the channel without error
	refused               atomic.Uint64 // events of frames that the channel rejected
	heartbeats, clocks    atomic.Uint64
	history               atomic.Uint64 // events of history
}

// pump brings published blocks to one viewer's live channel. push may be called by any goroutine,
// run is one.
type pump struct {
	clock     func() time.Time
	heartbeat time.Duration
	onRefused func(error)
	counts    counters

	mu         sync.Mutex
	queue      queue
	subscribed bool
	selection  *selection
	interval   time.Duration // between two frames; 0: none
	maxAge     telemetry.Micros

	wake chan struct{}

	sending sync.Mutex // guards what follows; taken before mu
	channel channel    // nil: not open yet
	encoder *encoder
	events  columns
	frame   []byte
	seq     uint32
	beats   uint32
	next    time.Time // not before
}

func newPump(clock func() time.Time, heartbeat, maxAge time.Duration) (*pump, error) {
	e, err := newEncoder()
	if err != nil {
		return nil, err
	}
	return &pump{
		clock: clock, heartbeat: heartbeat, maxAge: telemetry.Micros(maxAge.Microseconds()),
		queue: queue{maxEvents: maxQueuedEvents}, wake: make(chan struct{}, 1), encoder: e, onRefused: func(error) {},
	}, nil
}

// push hands a block over; it never waits for the viewer. With atOnce it is sent by the caller if run
// is idle and the channel has room, which saves waking a goroutine; Send only puts it into a buffer.
func (p *pump) push(b *block, atOnce bool) {
	p.mu.Lock()
	if p.subscribed {
		p.queue.push(b)
	}
	p.mu.Unlock()
	if atOnce && p.sending.TryLock() {
		wait := p.send()
		p.sending.Unlock()
		if wait == 0 {
			return
		}
	}
	p.signal() // run sends, or waits for the time
}

// signal wakes run.
func (p *pump) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// subscribe replaces the subscription; interval 0 sends all events, another one the newest of each
// series once in the interval.
func (p *pump) subscribe(s *selection, interval time.Duration) {
	p.mu.Lock()
	p.subscribed, p.selection, p.interval = true, s, interval
	p.queue.clear()
	p.queue.maxAge = p.maxAge
	if interval > 0 {
		p.queue.maxAge = 0
	}
	p.mu.Unlock()
	p.signal()
}

func (p *pump) unsubscribe() {
	p.mu.Lock()
	p.subscribed = false
	p.queue.clear()
	p.mu.Unlock()
}

// run sends until ctx ends. It sends at once while the channel has room, so an event waits for no
// timer; events are merged into larger frames only while the channel has none.
func (p *pump) run(ctx context.Context, ch channel) {
	p.sending.Lock()
	p.channel = ch
	p.sending.Unlock()
	beat := time.NewTicker(p.heartbeat)
	defer beat.Stop()
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	p.beat()
	for {
		p.sending.Lock()
		wait := p.send()
		p.sending.Unlock()
		if wait > 0 {
			due.Reset(wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-due.C:
		case <-beat.C:
			p.beat()
		}
	}
}

// send sends what waits while there is room. It returns the time after which it is to be called
// again without another reason, or 0. The caller has the lock sending.
func (p *pump) send() time.Duration {
	for p.hasRoom() {
		p.mu.Lock()
		if p.queue.empty() || !p.subscribed {
			p.mu.Unlock()
			return 0
		}
		if now := p.clock(); p.interval > 0 {
			if wait := p.next.Sub(now); wait > 0 {
				p.mu.Unlock()
				return wait
			}
			p.next = now.Add(p.interval)
		}
		p.sendNext()
	}
	return 0
}

func (p *pump) hasRoom() bool {
	return p.channel != nil && p.channel.BufferedAmount() < liveWindowBytes
}

// sendNext sends the next frames; it is called with both locks and releases mu.
func (p *pump) sendNext() {
	now, s := telemetry.MicrosOf(p.clock()), p.selection
	devices, metrics := p.queue.devices, p.queue.metrics
	if b := p.queue.single(now); b != nil {
		p.mu.Unlock()
		parts, err := b.encoded(s, p.encoder)
		if err != nil {
			p.refuse(b.len(), err)
			return
		}
		for _, part := range parts {
			p.sendFrame(part.read, part.record)
		}
		return
	}
	limit := maxFrameEvents
	if p.interval > 0 {
		limit = p.queue.events // one due time sends all series
	}
	p.queue.take(&p.events, now, s, limit)
	p.mu.Unlock()
	err := p.encoder.split(&p.events, devices, metrics, rtc.LiveFrameBytes-rtc.LiveHeaderBytes, rtc.AgeBytes,
		func(from, to int, record []byte) error {
			p.sendFrame(p.events.read[from:to], record)
			return nil
		})
	if err != nil {
		p.refuse(p.events.len(), err)
	}
}

// sendFrame stamps a frame and hands it to the channel.
func (p *pump) sendFrame(read []telemetry.Micros, record []byte) {
	p.frame = rtc.AppendLive(p.frame[:0], p.seq+1, telemetry.MicrosOf(p.clock()), read, record)
	if err := p.channel.Send(p.frame); err != nil {
		p.refuse(len(read), err)
		return
	}
	p.seq++
	p.counts.frames.Add(1)
	p.counts.events.Add(uint64(len(read)))
	p.counts.bytes.Add(uint64(len(p.frame)))
}

func (p *pump) refuse(events int, err error) {
	p.counts.refused.Add(uint64(events))
	p.onRefused(err)
}

// beat sends a heartbeat, unless the channel is stuck: a late heartbeat says nothing.
func (p *pump) beat() {
	p.sending.Lock()
	defer p.sending.Unlock()
	if !p.hasRoom() {
		return
	}
	p.frame = rtc.AppendHeartbeat(p.frame[:0], rtc.Heartbeat{Seq: p.beats + 1, Sent: telemetry.MicrosOf(p.clock())})
	if err := p.channel.Send(p.frame); err != nil {
		p.onRefused(err)
		return
	}
	p.beats++
	p.counts.heartbeats.Add(1)
}

// superseded returns how many events were dropped because a newer one of their series replaced them.
func (p *pump) superseded() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queue.superseded
}
