// Package file plays video files as cameras: H.264 as a byte stream (annex B), and VP8 in IVF.
package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/pion/webrtc/v4/pkg/media/h264reader"
	"github.com/pion/webrtc/v4/pkg/media/ivfreader"

	"github.com/insighthub/insighthub/lib/gateway/video"
)

// Config of a Source. Name and Path are required.
type Config struct {
	Name string
	// Path of the file: .h264 or .264 with start codes, or .ivf with VP8.
	Path string
	// FPS is the speed at which it is played, from 1 to 120. 0: that of the file if it says so (IVF), else 25.
	FPS float64
	// Once ends the source at the end of the file; otherwise it starts over.
	Once bool
}

// ErrEnd ends the run of a source that plays once.
var ErrEnd = errors.New("end of the file")

// Source plays one file.
type Source struct {
	config Config
	codec  video.Codec
}

var _ video.Source = (*Source)(nil)

// New checks the configuration. The file is opened at each Run.
func New(c Config) (*Source, error) {
	s := &Source{config: c}
	if c.Name == "" {
		return nil, errors.New("video file: the name is empty")
	}
	switch ext := filepath.Ext(c.Path); ext {
	case ".h264", ".264":
		s.codec = video.H264
	case ".ivf":
		s.codec = video.VP8
	default:
		return nil, fmt.Errorf("video file %s: the ending is %q, want .h264, .264 or .ivf", c.Path, ext)
	}
	if c.FPS != 0 && (c.FPS < 1 || c.FPS > 120) {
		return nil, fmt.Errorf("video file %s: %g frames per second, want 1 to 120", c.Path, c.FPS)
	}
	return s, nil
}

// Info implements video.Source.
func (s *Source) Info() video.Info {
	return video.Info{Name: s.config.Name, Codec: s.codec, FPS: s.config.FPS}
}

// Run implements video.Source.
func (s *Source) Run(ctx context.Context, deliver func(*video.Frame)) error {
	due := time.Now()
	for {
		frames, err := s.play(ctx, &due, deliver)
		switch {
		case err != nil:
			return fmt.Errorf("video file %s: %w", s.config.Path, err)
		case frames == 0:
			return fmt.Errorf("video file %s: it holds no picture", s.config.Path)
		case s.config.Once:
			return fmt.Errorf("video file %s: %w", s.config.Path, ErrEnd)
		}
	}
}

// play plays the file once and returns the number of its pictures.
func (s *Source) play(ctx context.Context, due *time.Time, deliver func(*video.Frame)) (int, error) {
	f, err := os.Open(s.config.Path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	next, fps, err := s.open(f)
	if err != nil {
		return 0, err
	}
	if s.config.FPS != 0 {
		fps = s.config.FPS
	}
	timer := time.NewTimer(time.Until(*due))
	defer timer.Stop()
	for n := 0; ; {
		units, err := next()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		select {
		case <-ctx.Done():
			return n, ctx.Err()
		case <-timer.C:
		}
		if frame, ok := video.NewFrame(s.codec, units, time.Now()); ok {
			deliver(frame)
			n++
		}
		*due = due.Add(time.Duration(float64(time.Second) / fps))
		if behind := time.Since(*due); behind > time.Second {
			*due = time.Now() // the machine slept
		}
		timer.Reset(time.Until(*due))
	}
}

// open returns a function that reads the next picture, with io.EOF after the last, and the file's speed.
func (s *Source) open(r io.Reader) (next func() ([][]byte, error), fps float64, err error) {
	if s.codec == video.H264 {
		pictures, err := newPictures(r)
		if err != nil {
			return nil, 0, err
		}
		return pictures.next, 25, nil
	}
	ivf, header, err := ivfreader.NewWith(r)
	if err != nil {
		return nil, 0, err
	}
	if header.FourCC != "VP80" {
		return nil, 0, fmt.Errorf("the codec is %q, want VP80", header.FourCC)
	}
	fps = 25
	if header.TimebaseNumerator > 0 {
		if f := float64(header.TimebaseDenominator) / float64(header.TimebaseNumerator); f >= 1 && f <= 120 {
			fps = f
		}
	}
	return func() ([][]byte, error) {
		frame, _, err := ivf.ParseNextFrame()
		if err != nil {
			return nil, err
		}
		return [][]byte{frame}, nil
	}, fps, nil
}

// maxUnits bounds the NAL units of a picture.
const maxUnits = 512

// pictures cuts a byte stream into pictures.
type pictures struct {
	reader *h264reader.H264Reader
	first  []byte // of the picture after the one returned
}

func newPictures(r io.Reader) (*pictures, error) {
	// By default the reader leaves out SEI.
	reader, err := h264reader.NewReaderWithOptions(r, h264reader.WithIncludeSEI(true))
	if err != nil {
		return nil, err
	}
	return &pictures{reader: reader}, nil
}

// next returns the units of a picture: a new one begins with a delimiter, parameter sets or SEI after a slice, or with a slice of the
// first macroblock (section 7.4.1.2.3, as far as streams without arbitrary slice order need it).
func (p *pictures) next() ([][]byte, error) {
	var units [][]byte
	slice := false
	if p.first != nil {
		units = append(units, p.first)
		slice = isSlice(p.first)
		p.first = nil
	}
	for {
		nal, err := p.reader.NextNAL()
		if errors.Is(err, io.EOF) && len(units) > 0 {
			return units, nil
		}
		if err != nil {
			return nil, err
		}
		u := append([]byte(nil), nal.Data...)
		if len(u) == 0 {
			continue
		}
		if slice && starts(u) {
			p.first = u
			return units, nil
		}
		if len(units) == maxUnits {
			return nil, fmt.Errorf("a picture of more than %d NAL units", maxUnits)
		}
		units = append(units, u)
		slice = slice || isSlice(u)
	}
}

func isSlice(unit []byte) bool {
	t := unit[0] & 0x1F
	return t >= 1 && t <= 5
}

// starts reports whether a unit that follows a slice belongs to another picture.
func starts(unit []byte) bool {
	switch unit[0] & 0x1F {
	case 1, 2, 5:
		return len(unit) > 1 && unit[1]&0x80 != 0 // first_mb_in_slice is 0
	case 6, 7, 8, 9:
		return true
	}
	return false
}
