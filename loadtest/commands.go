package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/cdk/local/stackfile"
	"github.com/insighthub/insighthub/lib/gateway"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/loadtest/bench"
	"github.com/insighthub/insighthub/loadtest/describe"
	"github.com/insighthub/insighthub/loadtest/drive"
	"github.com/insighthub/insighthub/loadtest/fleet"
	"github.com/insighthub/insighthub/loadtest/publish"
	"github.com/insighthub/insighthub/loadtest/replay"
	"github.com/insighthub/insighthub/loadtest/verify"
)

// fleetFlags declares the flags of all commands that simulate a fleet.
func fleetFlags(fs *flag.FlagSet, gateways, samples int) *fleet.Config {
	var c fleet.Config
	fs.StringVar(&c.Site, "site", "plant-1", "site of the gateways")
	fs.Uint64Var(&c.Seed, "seed", 1, "seed of the machines and their faults")
	fs.IntVar(&c.Gateways, "gateways", gateways, "number of gateways")
	fs.IntVar(&c.Machines, "machines", 10, "machines behind each gateway, 10 metrics each")
	fs.IntVar(&c.Samples, "samples", samples, "samples of each series in one batch")
	return &c
}

// targetFlags declares -state. After parsing, target returns the running stack, with the
// tokens of the gateways of -site.
func targetFlags(fs *flag.FlagSet) (target func() (stackfile.Info, *bench.Tokens, error)) {
	state := fs.String("state", ".local", "state folder of the running stack")
	return func() (stackfile.Info, *bench.Tokens, error) {
		stack, err := stackfile.Read(*state)
		if err != nil {
			return stack, nil, err
		}
		tokens, err := bench.NewTokens(stack, fs.Lookup("site").Value.String())
		return stack, tokens, err
	}
}

func simulate(ctx context.Context, args []string, stdout io.Writer) error {
	fs := flag.NewFlagSet("simulate", flag.ContinueOnError)
	target := targetFlags(fs)
	rate := fs.Float64("rate", 1000, "events per second of the whole fleet; 0 sends each batch after the response to the one before")
	duration := fs.Duration("duration", 0, "how long to send; 0 means until interrupted")
	prefix := fs.String("prefix", "gw", "prefix of the gateways' names")
	asJSON := fs.Bool("json", false, "print the result as JSON")
	quiet := fs.Bool("quiet", false, "do not print the progress")
	check := fs.Bool("verify", false,
		"afterwards compare the acknowledged events with the stored ones; fails if an event is lost or duplicated")
	truth := fs.String("truth", "", "file to write the faults of the machines to, as JSON")
	described := fs.Bool("describe", true, "create the site and set the metrics' units through the API, as the first account")
	live := fs.Bool("live", true, "show the fleet live, if the stack has a signaling service and -rate is not 0")
	signaling := fs.String("signaling", "", "URL of the signaling service; by default that of the stack")
	withVideo := fs.Bool("video", true, "with -live, show a test pattern as the camera of each machine")
	fc := fleetFlags(fs, 2, 10)
	if err := fs.Parse(args); err != nil {
		return err
	}
	stack, tokens, err := target()
	if err != nil {
		return err
	}
	length := cmp.Or(*duration, 24*time.Hour)
	fc.Prefix, fc.Start, fc.Horizon = *prefix, time.Now(), length
	gateways, err := fleet.New(*fc)
	if err != nil {
		return err
	}
	if *truth != "" {
		if err := writeTruth(*truth, fc.Start, gateways); err != nil {
			return err
		}
	}
	fmt.Fprintf(stdout, "%d gateways of %d machines send %.0f events/s to %s\n", fc.Gateways, fc.Machines, *rate, stack.HTTP)
	cfg := drive.Config{
		URL: stack.HTTP + "/v1/telemetry", Rate: *rate, Duration: length, Grace: 10 * time.Second,
		Token: tokens.Get,
	}
	if !*quiet {
		cfg.Progress = func(elapsed time.Duration, c drive.Counts) {
			if s := int(elapsed.Seconds()); s <= 3 || s%10 == 0 {
				fmt.Fprintf(stdout, "%6d s: %d events accepted, %d rejected, %d retries\n", s, c.Accepted, c.Rejected, c.Retries)
			}
		}
	}
	if url := cmp.Or(*signaling, stack.Signaling); *live && url != "" && *rate > 0 {
		shown, err := publish.Start(publish.Config{ //nolint:contextcheck // it runs until Close, after ctx, so that viewers are told
			URL: url, Site: telemetry.SiteID(fc.Site), Token: tokens.Get, Network: gateway.Network{Loopback: true},
			Video:  *withVideo,
			Logger: slog.New(slog.NewJSONHandler(stdout, &slog.HandlerOptions{Level: slog.LevelWarn})),
		}, gateways)
		if err != nil {
			return err
		}
		defer shown.Close() //nolint:errcheck // its connections end in any case
		cfg.Live = shown.Live
	}
	var describing sync.WaitGroup
	background, stop := context.WithCancel(ctx)
	if *described {
		describing.Go(func() {
			if err := describeFleet(background, stack, fc.Site, gateways); err != nil && background.Err() == nil {
				fmt.Fprintf(stdout, "The site and the units of the fleet are not complete: %v\n", err)
			}
		})
	}
	res, err := drive.Run(ctx, cfg, gateways, fc.EventsPerBatch())
	stop()
	describing.Wait()
	if err != nil && (!errors.Is(err, context.Canceled) || *duration != 0) {
		return err
	}
	if *asJSON {
		if err := json.NewEncoder(stdout).Encode(res); err != nil {
			return err
		}
	} else {
		printResult(stdout, res)
	}
	if !*check {
		return nil
	}
	return verifyStored(context.WithoutCancel(ctx), stdout, stack.Database, fc, gateways)
}

// describeFleet creates the fleet's site, and sets the units of its metrics once their
// first events are stored.
func describeFleet(ctx context.Context, stack stackfile.Info, site string, gateways []*fleet.Gateway) error {
	d, err := describe.LogIn(ctx, describe.Config{
		URL: stack.HTTP, Name: stack.AdminName, Password: stack.AdminPassword,
		Client: &http.Client{Timeout: 10 * time.Second}, Interval: time.Second,
	})
	if err != nil {
		return err
	}
	if err := d.Site(ctx, site, "Simulated plant"); err != nil {
		return err
	}
	for _, g := range gateways {
		if err := d.Units(ctx, site, g.ID, fleet.Units()); err != nil {
			return err
		}
	}
	return nil
}

// verifyStored waits until all acknowledged events are stored, or the number of stored
// events no longer grows, and prints the comparison.
func verifyStored(ctx context.Context, stdout io.Writer, database string, fc *fleet.Config, gateways []*fleet.Gateway) error {
	db, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer db.Close(ctx) //nolint:errcheck // nothing to lose
	acked := verify.Acknowledged(gateways)
	var f verify.Finding
	for idle := 0; idle < 15; idle++ {
		stored, err := verify.Stored(ctx, db, fc.Prefix, fc.Start)
		if err != nil {
			return err
		}
		before := f.Stored
		if f = verify.Compare(acked, stored); f.Lost == 0 {
			break
		}
		if f.Stored > before {
			idle = 0
		}
		time.Sleep(time.Second)
	}
	if f.Doubled, err = verify.Doubled(ctx, db); err != nil {
		return err
	}
	fmt.Fprintf(stdout, `events acknowledged  %d in %d series
events stored        %d, %d of them not acknowledged
events lost          %d
events duplicated    %d
series that differ   %d
`, f.Acknowledged, f.Series, f.Stored, f.Unacknowledged, f.Lost, f.Doubled, f.Different)
	if f.Lost+f.Doubled+f.Different > 0 {
		return fmt.Errorf("%w: the stored events differ from the acknowledged ones", telemetry.ErrConflict)
	}
	return nil
}

func printResult(w io.Writer, r drive.Result) {
	fmt.Fprintf(w, `
events accepted      %d
events rejected      %d
events in doubt      %d (no response)
requests             %d
retries              %d
events per second    %.0f
acknowledgement ms   p50 %.2f  p95 %.2f  p99 %.2f  max %.1f   (from the time at which each batch was due)
`, r.Accepted, r.Rejected, r.Unknown, r.Requests, r.Retries, r.EventsPerSecond, r.Ack.P50, r.Ack.P95, r.Ack.P99, r.Ack.Max)
	if r.FirstError != "" {
		fmt.Fprintln(w, "first error          ", r.FirstError)
	}
}

// writeTruth writes the faults to come, by gateway and device.
func writeTruth(path string, start time.Time, gateways []*fleet.Gateway) error {
	type fault struct {
		Gateway string          `json:"gateway"`
		Device  string          `json:"device"`
		Kind    fleet.FaultKind `json:"kind"`
		Begin   time.Time       `json:"begin"`
		End     time.Time       `json:"end"`
	}
	var out []fault
	for _, g := range gateways {
		for _, m := range g.Machines {
			for _, f := range m.Faults() {
				out = append(out, fault{g.ID, f.Device, f.Kind, start.Add(f.Begin), start.Add(f.End)})
			}
		}
	}
	raw, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, raw, 0o644) //nolint:gosec // not a secret
}

func replayFiles(ctx context.Context, args []string, stdout io.Writer) error {
	fs := flag.NewFlagSet("replay", flag.ContinueOnError)
	target := targetFlags(fs)
	fs.String("site", "plant-1", "site of the gateway")
	gateway := fs.String("gateway", "replay", "gateway to send as")
	device := fs.String("device", "", "device name; by default the file's folder and name")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() == 0 {
		return errors.New("got no file, want at least one: loadtest replay FILE …")
	}
	stack, tokens, err := target()
	if err != nil {
		return err
	}
	sender := replay.Sender{
		URL:    stack.HTTP + "/v1/telemetry",
		Token:  func(ctx context.Context) (string, error) { return tokens.Get(ctx, *gateway) },
		Client: &http.Client{Timeout: 30 * time.Second}, BatchEvents: 1000, Attempts: 10,
	}
	for _, path := range fs.Args() {
		if err := replayFile(ctx, stdout, &sender, path, *gateway, telemetry.DeviceName(*device)); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

func replayFile(ctx context.Context, stdout io.Writer, sender *replay.Sender, path, gateway string, device telemetry.DeviceName) error {
	in, err := os.Open(path) //nolint:gosec // the user named it
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // read only
	if device == "" {
		device = replay.DeviceOf(path)
	}
	f, err := replay.Read(in, device)
	if err != nil {
		return err
	}
	last := time.Now()
	sum, err := sender.Send(ctx, f.Events, func(sent int) {
		if time.Since(last) > 2*time.Second {
			last = time.Now()
			fmt.Fprintf(stdout, "  %d of %d events\n", sent, len(f.Events))
		}
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: %d rows × %d columns, %d empty cells: %d events sent as gateway %s, device %s; %d accepted, %d rejected\n",
		path, f.Rows, len(f.Columns), f.Gaps, len(f.Events), gateway, f.Device, sum.Accepted, sum.Rejected)
	if sum.Rejected > 0 {
		return fmt.Errorf("%w: %d events were rejected", telemetry.ErrInvalid, sum.Rejected)
	}
	return nil
}

func benchPipeline(ctx context.Context, args []string, stdout io.Writer) error {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	cfg := bench.Config{Stdout: stdout}
	cfg.Stack.Flags(fs)
	fs.StringVar(&cfg.Yardstick, "yardstick", "build/local/yardstick", "program of the yardstick")
	fs.StringVar(&cfg.Out, "out", "build/bench", "folder for pipeline.json")
	fs.Float64Var(&cfg.FixedRate, "rate", 100_000, "fixed rate in events/s")
	fs.Float64Var(&cfg.StartRate, "start-rate", 0, "rate at which the search for the held rate begins; 0 finds it in a closed loop")
	fs.DurationVar(&cfg.Duration, "duration", time.Minute, "length of the fixed and the held phase")
	fs.BoolVar(&cfg.KPIs, "kpis", false, "also run the bridge, and measure when its KPIs become visible")
	fs.BoolVar(&cfg.SkipYardstick, "skip-yardstick", false, "measure the pipeline only")
	fs.BoolVar(&cfg.FixedOnly, "fixed-only", false, "measure at the fixed rate only")
	fc := fleetFlags(fs, 50, 10)
	if err := fs.Parse(args); err != nil {
		return err
	}
	cfg.Fleet = *fc
	return bench.Run(ctx, cfg)
}

func printToken(ctx context.Context, args []string, stdout io.Writer) error {
	fs := flag.NewFlagSet("token", flag.ContinueOnError)
	target := targetFlags(fs)
	fs.String("site", "plant-1", "site of the gateway")
	gateway := fs.String("gateway", "demo", "gateway that the token is for")
	if err := fs.Parse(args); err != nil {
		return err
	}
	_, tokens, err := target()
	if err != nil {
		return err
	}
	text, err := tokens.Mint(ctx, *gateway, token.MaxLifetime)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, text)
	return nil
}
