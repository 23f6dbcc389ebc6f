// Package camera serves cameras by WHEP and takes others by WHIP, to try players and encoders.
package camera

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/gateway/testpattern"
	"github.com/insighthub/insighthub/lib/gateway/video"
	"github.com/insighthub/insighthub/lib/gateway/video/file"
	"github.com/insighthub/insighthub/lib/gateway/video/rtpin"
	"github.com/insighthub/insighthub/lib/gateway/whip"
)

// Config of the server.
type Config struct {
	Listen  string   // host:port
	Token   string   // the bearer token that permits everything
	Origins []string // of pages that may call
	// Sources are NAME=WHERE; see Open.
	Sources []string
	Logger  *slog.Logger
}

// Serve serves until ctx ends. It prints the addresses.
func Serve(ctx context.Context, c Config, stdout io.Writer) error {
	cams := video.NewCameras(video.Config{Logger: c.Logger})
	defer func() { _ = cams.Close() }()
	for _, s := range c.Sources {
		source, err := Open(s)
		if err != nil {
			return err
		}
		if err := cams.Add(source); err != nil {
			return err
		}
	}
	server := whip.New(whip.Config{
		Cameras: cams, Origins: c.Origins, Logger: c.Logger,
		Authorize: func(_ context.Context, got string, _ whip.Action, _ string) (time.Time, error) {
			if got != c.Token {
				return time.Time{}, whip.ErrUnauthorized
			}
			return time.Now().Add(24 * time.Hour), nil
		},
	})
	defer func() { _ = server.Close() }()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return err
	}
	for _, info := range cams.Infos() {
		fmt.Fprintf(stdout, "view http://%s/whep/%s\n", listener.Addr(), url.PathEscape(info.Name))
	}
	fmt.Fprintf(stdout, "publish http://%s/whip/NAME\nAuthorization: Bearer %s\n", listener.Addr(), c.Token)
	h := &http.Server{Handler: server, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = h.Close() })()
	if err := h.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Open makes the source of NAME=WHERE: pattern:, rtsp://…, rtp://HOST:PORT?codec=h264&type=96, or a file (.h264, .ivf).
func Open(camera string) (video.Source, error) {
	name, where, ok := strings.Cut(camera, "=")
	if !ok || name == "" {
		return nil, fmt.Errorf("%q is not NAME=WHERE", camera)
	}
	switch scheme, rest, _ := strings.Cut(where, ":"); scheme {
	case "pattern":
		return testpattern.NewSource(testpattern.Config{Name: name})
	case "rtsp", "rtsps":
		return rtpin.NewRTSP(rtpin.RTSPConfig{Name: name, URL: where})
	case "rtp":
		u, err := url.Parse("rtp:" + rest)
		if err != nil {
			return nil, errors.New("the address is not rtp://HOST:PORT?codec=h264&type=96")
		}
		payloadType, err := strconv.ParseUint(u.Query().Get("type"), 10, 7)
		if err != nil {
			return nil, fmt.Errorf("payload type %q: want type=0 to 127", u.Query().Get("type"))
		}
		return rtpin.NewUDP(rtpin.UDPConfig{
			Name: name, Address: u.Host, Codec: video.Codec(u.Query().Get("codec")), PayloadType: uint8(payloadType),
		})
	}
	return file.New(file.Config{Name: name, Path: filepath.Clean(where)})
}
