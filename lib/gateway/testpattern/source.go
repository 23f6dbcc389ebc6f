package testpattern

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/insighthub/insighthub/lib/gateway/video"
)

// keyEvery is the time between two key frames that nobody asked for: a viewer of whom every request is lost waits no longer.
const keyEvery = 5 * time.Second

// Config of a Source. Only the name is required.
type Config struct {
	// Name of the machine, and of the camera.
	Name string
	// Width and Height in pixels, even; 640 x 360 if both are 0.
	Width, Height int
	// FPS, frames per second, from 1 to 60; 30 if 0.
	FPS int
	// State returns what the picture says about the machine, "running" if nil. It is called for each picture, by one goroutine at a time.
	State func() string
	// Now is the clock in the picture, time.Now if nil.
	Now func() time.Time
}

// Source makes the test pattern of one machine. It encodes only while it is run.
type Source struct {
	config Config
	key    atomic.Bool
}

var (
	_ video.Source    = (*Source)(nil)
	_ video.KeyFramer = (*Source)(nil)
)

// NewSource checks the configuration.
func NewSource(c Config) (*Source, error) {
	if c.Name == "" {
		return nil, errors.New("test pattern: the machine's name is empty")
	}
	if c.Width == 0 && c.Height == 0 {
		c.Width, c.Height = 640, 360
	}
	if err := checkSize(c.Width, c.Height); err != nil {
		return nil, err
	}
	if c.FPS == 0 {
		c.FPS = 30
	}
	if c.FPS < 1 || c.FPS > 60 {
		return nil, fmt.Errorf("test pattern of %d frames per second: it makes from 1 to 60", c.FPS)
	}
	if c.State == nil {
		c.State = func() string { return "running" }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Source{config: c}, nil
}

// Info implements video.Source.
func (s *Source) Info() video.Info {
	c := s.config
	return video.Info{Name: c.Name, Codec: video.H264, Width: c.Width, Height: c.Height, FPS: float64(c.FPS), Profile: "42e01f"}
}

// RequestKeyFrame implements video.KeyFramer: the next picture is one.
func (s *Source) RequestKeyFrame() { s.key.Store(true) }

// Run implements video.Source; its error is that of ctx.
func (s *Source) Run(ctx context.Context, deliver func(*video.Frame)) error {
	c := s.config
	encoder := newEncoder(c.Width, c.Height)
	pattern := newPattern(c.Name, c.Width, c.Height)
	ticker := time.NewTicker(time.Second / time.Duration(c.FPS))
	defer ticker.Stop()
	sinceKey := 0
	for frame := uint16(0); ; frame++ {
		captured := c.Now()
		key := s.key.Swap(false) || sinceKey >= c.FPS*int(keyEvery/time.Second)
		blocks := pattern.draw(TimeCode{Captured: captured, Frame: frame}, c.State())
		units, isKey, disposable := encoder.encode(blocks, key)
		sinceKey++
		if isKey {
			sinceKey = 0
		}
		deliver(&video.Frame{Codec: video.H264, Units: units, Captured: captured, Key: isKey, Disposable: disposable})
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
