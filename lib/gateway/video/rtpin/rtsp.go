package rtpin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"

	"github.com/insighthub/insighthub/lib/gateway/video"
)

// RTSPConfig describes a camera with an RTSP server.
type RTSPConfig struct {
	Name string
	// URL of the stream, rtsp:// or rtsps://, with user and password if the camera wants them.
	URL string
}

// RTSP is a camera with an RTSP server (RFC 2326): its first H.264 or else VP8 stream, over UDP, or TCP where UDP does not get through.
type RTSP struct {
	name string
	url  *base.URL
}

var _ video.Source = (*RTSP)(nil)

// NewRTSP checks the configuration. Errors never hold the URL, which may hold a password.
func NewRTSP(c RTSPConfig) (*RTSP, error) {
	if c.Name == "" {
		return nil, errors.New("RTSP camera: the name is empty")
	}
	u, err := base.ParseURL(c.URL)
	if err != nil {
		return nil, fmt.Errorf("RTSP camera %s: the URL is not a valid rtsp:// or rtsps:// URL", c.Name)
	}
	return &RTSP{name: c.Name, url: u}, nil
}

// Info implements video.Source.
func (r *RTSP) Info() video.Info { return video.Info{Name: r.name} }

// Run implements video.Source.
func (r *RTSP) Run(ctx context.Context, deliver func(*video.Frame)) error {
	fail := func(doing string, err error) error {
		// The library's errors may quote the URL.
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return fmt.Errorf("RTSP camera %s: %s: %w", r.name, doing, err)
	}
	c := &gortsplib.Client{
		Scheme: r.url.Scheme, Host: r.url.Host, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		OnPacketsLost: func(uint64) {}, OnDecodeError: func(error) {}, // the assembler sees both
	}
	if err := c.Start(); err != nil {
		return fail("connect", err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, c.Close)()
	session, _, err := c.Describe(r.url)
	if err != nil {
		return fail("describe", err)
	}
	media, f, codec, err := choose(session)
	if err != nil {
		return fail("choose a stream", err)
	}
	if _, err := c.Setup(session.BaseURL, media, 0, 0); err != nil {
		return fail("set up", err)
	}
	assembler := NewAssembler(codec, nil)
	var prefix [][]byte
	if h, ok := f.(*format.H264); ok && h.SPS != nil && h.PPS != nil {
		prefix = [][]byte{h.SPS, h.PPS}
	}
	c.OnPacketRTP(media, f, func(p *rtp.Packet) {
		at := time.Now()
		own := *p
		own.Payload = bytes.Clone(p.Payload)
		for _, f := range assembler.Push(&own, at) {
			if f.Key && prefix != nil {
				// Those of the description go first: the stream's own, if any, are newer.
				f.Units = append(append([][]byte(nil), prefix...), f.Units...)
				prefix = nil
			}
			deliver(f)
		}
	})
	if _, err := c.Play(nil); err != nil {
		return fail("play", err)
	}
	if err := c.Wait(); err != nil {
		return fail("receive", err)
	}
	return fail("receive", errors.New("the camera ended the stream"))
}

// choose returns the stream to take.
func choose(session *description.Session) (*description.Media, format.Format, video.Codec, error) {
	var h *format.H264
	if media := session.FindFormat(&h); media != nil {
		return media, h, video.H264, nil
	}
	var v *format.VP8
	if media := session.FindFormat(&v); media != nil {
		return media, v, video.VP8, nil
	}
	return nil, nil, "", errors.New("the camera offers neither H.264 nor VP8")
}
