package video

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// Config of Cameras. Both are optional.
type Config struct {
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Cameras are the cameras of one gateway and their viewers. It is safe for concurrent use.
type Cameras struct {
	log     *slog.Logger
	metrics *metrics
	wait    sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	byName  map[string]*camera
	viewers map[*Viewer]struct{}
}

// ErrDuplicate means that a camera of the name exists already.
var ErrDuplicate = errors.New("a camera of this name exists already")

// ErrClosed means that the gateway's video has ended.
var ErrClosed = errors.New("video is closed")

// NewCameras returns an empty set.
func NewCameras(c Config) *Cameras {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Cameras{
		log: c.Logger, metrics: newMetrics(c.Registerer), byName: map[string]*camera{}, viewers: map[*Viewer]struct{}{},
	}
}

// Add makes a source viewable under its name, which must be new.
func (c *Cameras) Add(source Source) error {
	name := source.Info().Name
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return ErrClosed
	case name == "":
		return errors.New("video: a camera needs a name")
	case c.byName[name] != nil:
		return fmt.Errorf("%w: %q", ErrDuplicate, name)
	}
	c.byName[name] = newCamera(source, c.log, c.metrics, &c.wait)
	return nil
}

// Remove takes a camera away; its viewers see nothing until they choose another.
func (c *Cameras) Remove(name string) {
	c.mu.Lock()
	cam := c.byName[name]
	delete(c.byName, name)
	c.mu.Unlock()
	if cam != nil {
		cam.close()
	}
}

// Infos describes the cameras, in the order of their names.
func (c *Cameras) Infos() []Info {
	c.mu.Lock()
	cams := make([]*camera, 0, len(c.byName))
	for _, cam := range c.byName {
		cams = append(cams, cam)
	}
	c.mu.Unlock()
	infos := make([]Info, 0, len(cams))
	for _, cam := range cams {
		infos = append(infos, cam.describe())
	}
	slices.SortFunc(infos, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return infos
}

// Info describes one camera; ok is false if there is none of the name.
func (c *Cameras) Info(name string) (info Info, ok bool) {
	cam := c.camera(name)
	if cam == nil {
		return Info{}, false
	}
	return cam.describe(), true
}

// Await describes one camera as soon as its codec and profile are known, which for some takes a key frame, so somebody must watch it.
// When ctx ends first it returns what is known.
func (c *Cameras) Await(ctx context.Context, name string) Info {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		info, ok := c.Info(name)
		if !ok || info.Codec == VP8 || info.Codec == H264 && info.Profile != "" {
			return info
		}
		select {
		case <-ctx.Done():
			return info
		case <-ticker.C:
		}
	}
}

func (c *Cameras) camera(name string) *camera {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byName[name]
}

// Attach gives a peer connection one video track, which carries nothing until Show. Call it after the remote offer is set and before the
// answer is made: it then takes the offered place for video. The bandwidth comes from Register of the same peer connection; nil means
// that frames are dropped only when the viewer's queue is full. The caller closes the viewer, before or after the peer connection.
func (c *Cameras) Attach(pc *webrtc.PeerConnection, bandwidth *Bandwidth) (*Viewer, error) {
	v := newViewer(c, pc, bandwidth)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	sender, err := pc.AddTrack(v.track)
	if err != nil {
		return nil, fmt.Errorf("video: add track: %w", err)
	}
	v.sender = sender
	c.viewers[v] = struct{}{}
	v.wait.Go(v.pump)
	v.wait.Go(v.readFeedback)
	return v, nil
}

func (c *Cameras) forget(v *Viewer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.viewers, v)
}

// Close ends all viewers and sources and waits for them.
func (c *Cameras) Close() error {
	c.mu.Lock()
	c.closed = true
	viewers := make([]*Viewer, 0, len(c.viewers))
	for v := range c.viewers {
		viewers = append(viewers, v)
	}
	cams := make([]*camera, 0, len(c.byName))
	for _, cam := range c.byName {
		cams = append(cams, cam)
	}
	c.mu.Unlock()
	var errs []error
	for _, v := range viewers {
		errs = append(errs, v.Close())
	}
	for _, cam := range cams {
		cam.close()
	}
	c.wait.Wait()
	return errors.Join(errs...)
}

// metrics of a gateway's video.
type metrics struct {
	frames   *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	requests *prometheus.CounterVec
	failures *prometheus.CounterVec
	viewers  prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		frames: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "insighthub_gateway_video_frames_total",
			Help: "Frames of viewers by what became of them: sent, behind (its queue was full or it waits for a key frame), " +
				"bandwidth (left out for want of it), unsupported (codec), or no_parameters (no viewer could decode it).",
		}, []string{"camera", "result"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "insighthub_gateway_video_sent_bytes_total", Help: "Bytes of encoded video sent to viewers.",
		}, []string{"camera"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "insighthub_gateway_video_key_requests_total", Help: "Requests for key frames by kind: start, pli or fir.",
		}, []string{"camera", "kind"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "insighthub_gateway_video_source_failures_total", Help: "Failed runs of a camera's source.",
		}, []string{"camera"}),
		viewers: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "insighthub_gateway_video_viewers", Help: "Attached viewers.",
		}),
	}
	if r != nil {
		r.MustRegister(m.frames, m.bytes, m.requests, m.failures, m.viewers)
	}
	return m
}
