package main

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"time"

	"github.com/insighthub/insighthub/loadtest/glass"
)

// measureVideo measures what the platform adds to a picture.
func measureVideo(ctx context.Context, args []string, stdout io.Writer) error {
	fs := flag.NewFlagSet("video", flag.ContinueOnError)
	var c glass.Config
	fs.StringVar(&c.Chromium, "chromium", ".local/chromium/bin/chromium", "path of the browser")
	fs.DurationVar(&c.Duration, "duration", 30*time.Second, "how long to measure, from the first frame on")
	fs.BoolVar(&c.Jitter, "jitter-buffer", false, "leave the browser's jitter buffer as it is, instead of a target of 0 ms")
	fs.BoolVar(&c.NoPlayoutDelay, "no-playout-delay", false, "do without the playout delay extension")
	fs.IntVar(&c.Width, "width", 640, "width of the pictures in pixels")
	fs.IntVar(&c.Height, "height", 360, "height of the pictures in pixels")
	fs.IntVar(&c.FPS, "fps", 30, "frames per second")
	if err := fs.Parse(args); err != nil {
		return err
	}
	result, err := glass.Measure(ctx, c)
	if err != nil {
		return err
	}
	e := json.NewEncoder(stdout)
	e.SetIndent("", "  ")
	return e.Encode(result)
}
