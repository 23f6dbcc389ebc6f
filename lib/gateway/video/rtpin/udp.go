package rtpin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/pion/rtp"

	"github.com/insighthub/insighthub/lib/gateway/video"
)

// UDPConfig describes a camera that sends RTP to a port of ours. All but FPS are required.
type UDPConfig struct {
	Name  string
	Codec video.Codec
	// Address to listen at, such as "127.0.0.1:5004".
	Address string
	// PayloadType is that of the video, from the camera's session description.
	PayloadType uint8
	// FPS is shown to viewers.
	FPS float64
}

// UDP is a camera that sends RTP to a port of ours. Whoever reaches the port can send: bind it to the camera's network.
type UDP struct{ config UDPConfig }

var _ video.Source = (*UDP)(nil)

// NewUDP checks the configuration.
func NewUDP(c UDPConfig) (*UDP, error) {
	if c.Name == "" || c.Address == "" {
		return nil, errors.New("RTP camera: name and address are required")
	}
	if c.Codec != video.H264 && c.Codec != video.VP8 {
		return nil, fmt.Errorf("RTP camera %s: codec %q is neither h264 nor vp8", c.Name, c.Codec)
	}
	if c.PayloadType > 127 {
		return nil, fmt.Errorf("RTP camera %s: payload type %d is above 127", c.Name, c.PayloadType)
	}
	return &UDP{c}, nil
}

// Info implements video.Source.
func (u *UDP) Info() video.Info {
	return video.Info{Name: u.config.Name, Codec: u.config.Codec, FPS: u.config.FPS}
}

// A camera from which nothing has come for this long may have been replaced: another SSRC is taken.
const senderTimeout = 2 * time.Second

// Run implements video.Source. It takes the packets of one SSRC.
func (u *UDP) Run(ctx context.Context, deliver func(*video.Frame)) error {
	c, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", u.config.Address)
	if err != nil {
		return fmt.Errorf("RTP camera %s: %w", u.config.Name, err)
	}
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	defer func() { _ = c.Close() }()
	if udp, ok := c.(*net.UDPConn); ok {
		_ = udp.SetReadBuffer(1 << 20) // a key frame comes at once
	}
	assembler := NewAssembler(u.config.Codec, nil)
	var sender uint32
	var last time.Time
	buffer := make([]byte, 1<<16)
	for {
		n, _, err := c.ReadFrom(buffer)
		if err != nil {
			return fmt.Errorf("RTP camera %s: %w", u.config.Name, err)
		}
		at := time.Now()
		p := &rtp.Packet{}
		if p.Unmarshal(append([]byte(nil), buffer[:n]...)) != nil || p.PayloadType != u.config.PayloadType {
			continue
		}
		if p.SSRC != sender {
			if !last.IsZero() && at.Sub(last) < senderTimeout {
				continue
			}
			sender = p.SSRC
			assembler = NewAssembler(u.config.Codec, nil)
		}
		last = at
		for _, f := range assembler.Push(p, at) {
			deliver(f)
		}
	}
}
