package video

import (
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

const (
	// queueFrames is how many frames a viewer may be behind before it skips to the next key frame.
	queueFrames = 8
	// A burst of packets leaves at once, what follows is spread.
	burstPackets = 16
	// The packets after a burst leave at this multiple of the bandwidth estimate, and no slower than paceBits.
	paceFactor, paceBits = 2.5, 10_000_000
	// askEvery bounds how often a viewer that waits for a key frame asks for one, and gets the same frames again.
	askEvery = time.Second
	// catchUpFor bounds the time that catching up may take.
	catchUpFor = 500 * time.Millisecond
)

// Stats counts what one viewer was given.
type Stats struct {
	Camera        string `json:"camera"`
	Sent          uint64 `json:"sent"`           // frames
	SentBytes     uint64 `json:"sent_bytes"`     // of encoded video
	Dropped       uint64 `json:"dropped"`        // frames that it was behind for, or not connected
	LeftOut       uint64 `json:"left_out"`       // frames for want of bandwidth
	Unsupported   uint64 `json:"unsupported"`    // frames of a codec that the peer did not accept
	KeyRequests   uint64 `json:"key_requests"`   // PLI and FIR
	BandwidthBits int    `json:"bandwidth_bits"` // the estimate, per second; 0 = none
}

// queued is a frame on its way to one viewer.
type queued struct {
	frame *Frame
	// at is the frame's time on the viewer's RTP clock.
	at time.Time
}

// Viewer is the video track of one peer connection. Its methods are safe for concurrent use.
type Viewer struct {
	cameras   *Cameras
	pc        *webrtc.PeerConnection
	sender    *webrtc.RTPSender
	bandwidth *Bandwidth
	track     *track // used by the pump alone

	wait sync.WaitGroup
	done chan struct{}
	wake chan struct{} // holds one

	choose sync.Mutex // one Show or Close at a time

	mu       sync.Mutex
	closed   bool
	camera   *camera // nil: shows nothing
	queue    []queued
	needsKey bool      // nothing can be sent before a key frame
	asked    time.Time // the last request of its own for one
	caughtUp time.Time
	backlog  int // frames of catching up, on top of queueFrames, until the queue is empty
	adapter  adapter
	decided  time.Time
	stats    Stats
}

func newViewer(c *Cameras, pc *webrtc.PeerConnection, bandwidth *Bandwidth) *Viewer {
	c.metrics.viewers.Inc()
	return &Viewer{
		cameras: c, pc: pc, bandwidth: bandwidth, track: &track{}, done: make(chan struct{}), wake: make(chan struct{}, 1),
	}
}

// Show makes the track carry the camera of the name, "" for none, from its next key frame on. The error is ErrUnknownCamera, ErrCodec
// (where the camera's codec is known already and the peer's choice too), or ErrClosed.
func (v *Viewer) Show(name string) error {
	v.choose.Lock()
	defer v.choose.Unlock()
	var next *camera
	if name != "" {
		if next = v.cameras.camera(name); next == nil {
			return ErrUnknownCamera
		}
		if info, b := next.describe(), v.track.bound.Load(); b != nil && info.Codec != "" {
			if _, ok := choose(b.formats, info.Codec, info.Profile); !ok {
				return ErrCodec
			}
		}
	}
	v.mu.Lock()
	if v.closed {
		v.mu.Unlock()
		return ErrClosed
	}
	before := v.camera
	if before == next {
		v.mu.Unlock()
		return nil
	}
	now := time.Now()
	v.camera, v.queue, v.needsKey, v.asked, v.caughtUp, v.backlog = next, nil, true, time.Time{}, time.Time{}, 0
	v.adapter, v.decided = newAdapter(now), now
	v.stats.Camera = name
	v.mu.Unlock()
	if before != nil {
		before.remove(v)
	}
	if next != nil {
		next.add(v)
		v.signal() // the pump asks for a key frame, now or as soon as the peer is connected
	}
	return nil
}

// Stats returns what the viewer was given so far.
func (v *Viewer) Stats() Stats {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.stats
	s.BandwidthBits = v.bandwidth.Bits()
	return s
}

// Close ends the track and waits for its goroutines. It does not close the peer connection.
func (v *Viewer) Close() error {
	v.choose.Lock()
	defer v.choose.Unlock()
	v.mu.Lock()
	if v.closed {
		v.mu.Unlock()
		return nil
	}
	v.closed = true
	cam := v.camera
	v.camera, v.queue = nil, nil
	v.mu.Unlock()
	if cam != nil {
		cam.remove(v)
	}
	close(v.done)
	err := v.sender.Stop()
	v.wait.Wait()
	v.cameras.forget(v)
	v.cameras.metrics.viewers.Dec()
	return err
}

// request asks the camera for a key frame.
func (v *Viewer) request(c *camera, kind string) {
	v.cameras.metrics.requests.WithLabelValues(c.name, kind).Inc()
	c.keyFrame(v)
}

// push puts a frame of the camera into the queue. It never waits. The camera holds its lock.
func (v *Viewer) push(c *camera, f *Frame) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.camera != c {
		return
	}
	switch {
	case v.needsKey && !f.Key:
		v.drop(c)
		v.signal() // the pump asks for a key frame
		return
	case f.Key:
		// Whatever waits is older than a picture that needs none of it.
		for range v.queue {
			v.drop(c)
		}
		v.queue, v.needsKey, v.backlog = nil, false, 0
	case !v.adapter.level.passes(f):
		v.stats.LeftOut++
		v.cameras.metrics.frames.WithLabelValues(c.name, "bandwidth").Inc()
		return
	case len(v.queue) >= queueFrames+v.backlog:
		for range v.queue {
			v.drop(c)
		}
		v.drop(c)
		v.queue, v.needsKey, v.backlog = nil, true, 0
		return
	}
	v.queue = append(v.queue, queued{f, f.Captured})
	v.signal()
}

// catchUp gives the viewer all frames since the last key frame, in the time before the next. The camera holds its lock.
func (v *Viewer) catchUp(c *camera, group []*Frame) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	size := 0
	for _, f := range group {
		size += f.size()
	}
	tooMuch := float64(8*size) > v.rate()*catchUpFor.Seconds()
	if v.camera != c || tooMuch || now.Sub(v.caughtUp) < askEvery {
		return
	}
	v.caughtUp, v.needsKey, v.backlog = now, false, len(group)
	v.queue = make([]queued, 0, len(group))
	last := group[len(group)-1].Captured
	for i, f := range group {
		// The RTP clock has 90 ticks a millisecond, and it never stands still: see stamp.
		v.queue = append(v.queue, queued{f, last.Add(-time.Duration(len(group)-1-i) * 100 * time.Microsecond)})
	}
	v.signal()
}

func (v *Viewer) drop(c *camera) {
	v.stats.Dropped++
	v.cameras.metrics.frames.WithLabelValues(c.name, "behind").Inc()
}

func (v *Viewer) signal() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// pump sends the queue's frames, one after another.
func (v *Viewer) pump() {
	for {
		select {
		case <-v.done:
			return
		case <-v.wake:
		}
		for {
			c, q, ok := v.next()
			if !ok {
				break
			}
			v.send(c, q)
			v.adapt(c)
		}
		v.ask()
	}
}

// next takes the first frame from the queue.
func (v *Viewer) next() (*camera, queued, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed || v.camera == nil || len(v.queue) == 0 {
		v.backlog = 0
		return nil, queued{}, false
	}
	q := v.queue[0]
	v.queue = v.queue[1:]
	return v.camera, q, true
}

// send writes a frame's packets. A peer that is not connected gets nothing, and a key frame when it is again.
func (v *Viewer) send(c *camera, q queued) {
	b := v.track.bound.Load()
	if b == nil || !v.ready() {
		v.lost(c)
		return
	}
	info := c.describe()
	payloadType, ok := choose(b.formats, q.frame.Codec, info.Profile)
	if !ok {
		if v.count(c, "unsupported", func(s *Stats) { s.Unsupported++ }).Unsupported == 1 {
			c.log.Warn("the viewer does not accept the camera's codec", "codec", info.Codec, "profile", info.Profile)
		}
		return
	}
	timestamp := v.track.stamp(q.at)
	list := payloads(q.frame)
	rate := v.rate()
	var due time.Time
	for i, p := range list {
		if i >= burstPackets {
			if i == burstPackets {
				due = time.Now()
			}
			due = due.Add(time.Duration(float64(len(p)*8) / rate * float64(time.Second)))
			if wait := time.Until(due); wait > time.Millisecond && !v.sleep(wait) {
				return
			}
		}
		if err := v.track.write(b, payloadType, timestamp, i == len(list)-1, p); err != nil {
			v.lost(c)
			return
		}
	}
	v.cameras.metrics.bytes.WithLabelValues(c.name).Add(float64(q.frame.size()))
	v.count(c, "sent", func(s *Stats) { s.Sent++; s.SentBytes += uint64(q.frame.size()) })
}

// sleep waits, and reports false if the viewer is closed meanwhile.
func (v *Viewer) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-v.done:
		return false
	case <-t.C:
		return true
	}
}

// lost notes that a frame did not leave: what follows cannot be decoded before a key frame.
func (v *Viewer) lost(c *camera) {
	ready := v.ready()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.camera == c {
		v.needsKey, v.queue = true, nil
		if !ready {
			// Whatever was asked for went by.
			v.asked, v.caughtUp = time.Time{}, time.Time{}
		}
	}
	v.drop(c)
}

// ask asks for a key frame if the viewer waits for one and could take it.
func (v *Viewer) ask() {
	if !v.ready() {
		return
	}
	v.mu.Lock()
	c, now := v.camera, time.Now()
	due := c != nil && v.needsKey && now.Sub(v.asked) >= askEvery
	if due {
		v.asked = now
	}
	v.mu.Unlock()
	if due {
		v.request(c, "start")
	}
}

// ready reports whether the peer can be sent to.
func (v *Viewer) ready() bool {
	return v.track.bound.Load() != nil && v.pc.ConnectionState() == webrtc.PeerConnectionStateConnected
}

// rate returns the bits per second at which bursts are spread.
func (v *Viewer) rate() float64 {
	return max(paceFactor*float64(v.bandwidth.Bits()), paceBits)
}

func (v *Viewer) count(c *camera, result string, update func(*Stats)) Stats {
	v.cameras.metrics.frames.WithLabelValues(c.name, result).Inc()
	v.mu.Lock()
	defer v.mu.Unlock()
	update(&v.stats)
	return v.stats
}

// adapt chooses the level from the bandwidth, every adaptEvery.
func (v *Viewer) adapt(c *camera) {
	need := c.rates()
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	if now.Sub(v.decided) < adaptEvery {
		return
	}
	v.decided = now
	v.adapter.decide(now, need, v.bandwidth.Bits())
}

// readFeedback serves the viewer's requests for key frames until the sender stops.
func (v *Viewer) readFeedback() {
	for {
		packets, _, err := v.sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			switch p.(type) {
			case *rtcp.PictureLossIndication:
				v.keyRequested("pli")
			case *rtcp.FullIntraRequest:
				v.keyRequested("fir")
			}
		}
	}
}

func (v *Viewer) keyRequested(kind string) {
	v.mu.Lock()
	v.stats.KeyRequests++
	c := v.camera
	v.mu.Unlock()
	if c != nil {
		v.request(c, kind)
	}
}
