package main

import (
	"context"
	"crypto/rand"
	"flag"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/insighthub/insighthub/loadtest/camera"
)

// serveCameras serves cameras by WHEP and takes others by WHIP.
func serveCameras(ctx context.Context, args []string, stdout io.Writer) error {
	fs := flag.NewFlagSet("camera", flag.ContinueOnError)
	c := camera.Config{Logger: slog.New(slog.NewJSONHandler(os.Stderr, nil))}
	fs.StringVar(&c.Listen, "listen", "127.0.0.1:8889", "address to serve at")
	fs.StringVar(&c.Token, "token", rand.Text(), "bearer token that permits everything")
	origins := fs.String("origins", "", "origins of pages that may call, separated by spaces")
	fs.Func("source", "NAME=WHERE, may be repeated: pattern:, rtsp://…, rtp://HOST:PORT?codec=h264&type=96, or a file (.h264, .ivf)",
		func(v string) error {
			c.Sources = append(c.Sources, v)
			return nil
		})
	if err := fs.Parse(args); err != nil {
		return err
	}
	c.Origins = strings.Fields(*origins)
	return camera.Serve(ctx, c, stdout)
}
