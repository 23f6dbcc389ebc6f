package main

import (
	"context"
	"flag"
	"io"
	"os"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/loadtest/live"
	"github.com/insighthub/insighthub/loadtest/live/relay"
)

// liveFlags declares the flags of all that view a gateway in a browser.
func liveFlags(fs *flag.FlagSet, c *live.Config) {
	fs.StringVar(&c.Page, "page", "build/local/web/bench", "folder of the bench's page")
	fs.StringVar(&c.Chromium, "chromium", ".local/chromium/bin/chromium", "program of the browser")
	fs.StringVar(&c.Signaling, "signaling", "build/local/functions/signaling/bootstrap", "program of the signaling service")
	fs.Uint64Var(&c.Seed, "seed", 1, "seed of the machines")
	fs.IntVar(&c.Machines, "machines", 10, "machines behind the gateway, 10 metrics each")
	fs.IntVar(&c.Rate, "rate", 10_000, "events per second of the gateway")
}

// benchLive measures the live path.
func benchLive(ctx context.Context, args []string, stdout io.Writer) error {
	fs := flag.NewFlagSet("live", flag.ContinueOnError)
	cfg := live.Config{Stdout: stdout}
	liveFlags(fs, &cfg)
	fs.StringVar(&cfg.Turnserver, "turnserver", ".local/coturn/bin/turnserver", "program of the TURN server")
	fs.StringVar(&cfg.Out, "out", "build/bench", "folder for live.json")
	fs.StringVar(&cfg.Logs, "logs", "build/bench/live", "folder for the logs and live.md")
	fs.DurationVar(&cfg.Each, "each", 10*time.Millisecond, "delay of each way to the cloud, in the comparison")
	fs.IntVar(&cfg.Rounds, "rounds", 3, "rounds of the comparison")
	fs.DurationVar(&cfg.Warm, "warm", 3*time.Second, "time before each measured phase")
	fs.DurationVar(&cfg.Phase, "phase", 15*time.Second, "length of each measured phase")
	fs.IntVar(&cfg.Connects, "connects", 50, "connects with host candidates, and as many through TURN alone")
	fs.DurationVar(&cfg.Video, "video", 20*time.Second, "how long the video is measured; 0 leaves it out")
	fs.DurationVar(&cfg.LossFor, "loss", time.Minute, "how long a view loses 20 % of its packets; 0 leaves out all faults")
	fs.DurationVar(&cfg.Drift, "drift", 0, "length of one long view, as in 1h")
	fs.StringVar(&cfg.SignalingResults, "signaling-results", "build/bench/signaling.json",
		"results of loadtest signaling, which are taken over; left out where the file is missing")
	fs.BoolVar(&cfg.Check, "check", false, "fail if a goal is missed")
	if err := fs.Parse(args); err != nil {
		return err
	}
	var err error
	if cfg.Self, err = os.Executable(); err != nil {
		return err
	}
	return live.Run(ctx, cfg)
}

// runGateway runs a gateway that publishes live until ctx ends, or it is killed.
func runGateway(ctx context.Context, args []string, _ io.Writer) error {
	fs := flag.NewFlagSet("live-gateway", flag.ContinueOnError)
	signaling := fs.String("signaling", "", "URL of the signaling service")
	name := fs.String("name", "bench-003", "name of the gateway, that of the token")
	rate := fs.Int("rate", 10_000, "events per second")
	file := fs.String("token", "", "file with the gateway's token")
	if err := fs.Parse(args); err != nil {
		return err
	}
	text, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	return live.RunGateway(ctx, live.GatewayConfig{
		Name: telemetry.GatewayID(*name), Signaling: *signaling,
		Token: func(context.Context) (string, error) { return string(text), nil },
	}, 1, 10, *rate)
}

// runRelay runs the relay of the comparison until ctx ends.
func runRelay(ctx context.Context, args []string, _ io.Writer) error {
	fs := flag.NewFlagSet("live-relay", flag.ContinueOnError)
	listen := fs.String("listen", "127.0.0.1:0", "address to listen on")
	if err := fs.Parse(args); err != nil {
		return err
	}
	s, err := relay.Start(ctx, *listen)
	if err != nil {
		return err
	}
	<-ctx.Done()
	return s.Close()
}
