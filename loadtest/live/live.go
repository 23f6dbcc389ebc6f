// Package live measures the live path: events from a gateway in this process to the detector
// in a real browser, over a peer connection and, for comparison, through a WebSocket relay;
// how long it takes to connect; and what becomes of a view whose network or gateway fails.
package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/gateway"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/loadtest/benchfile"
	"github.com/insighthub/insighthub/loadtest/live/chromium"
	"github.com/insighthub/insighthub/loadtest/live/page"
	"github.com/insighthub/insighthub/loadtest/live/turnserver"
	"github.com/insighthub/insighthub/loadtest/localsignaling"
)

// Config of a run.
type Config struct {
	Page string // folder of the built page
	// Programs; without a Turnserver nothing is relayed. Self is this one, which runs the relay, and the gateway that is killed, as
	// processes of their own.
	Chromium, Signaling, Turnserver, Self string
	// Out is the folder of live.json; Logs that of everything else.
	Out, Logs string
	Seed      uint64
	Machines  int // ten series each, which are read together
	Rate      int // events/s
	// Each is the delay of each way to the cloud, in the comparison.
	Each time.Duration
	// In a round the page views once over each way: for Phase, after Warm.
	Rounds      int
	Warm, Phase time.Duration
	// Connects of each kind.
	Connects int
	// LossFor is how long a view loses a fifth of its packets; 0 leaves out all faults.
	LossFor time.Duration
	// Video is how long the video is measured; 0 leaves it out.
	Video time.Duration
	// Drift is the length of one long view; 0 leaves it out.
	Drift time.Duration
	// SignalingResults is the signaling.json of loadtest signaling; it may be missing.
	SignalingResults string
	// Check makes a missed goal an error.
	Check  bool
	Stdout io.Writer
}

// gatewayName is that of the gateway in this process.
const gatewayName telemetry.GatewayID = "bench-001"

// bench is the state of a run.
type bench struct {
	cfg       Config
	page      *page.Server
	source    *source
	signaling *localsignaling.Server
	turn      *turnserver.Server
	browser   *chromium.Browser
	publisher *publisher
	ends      []func() error
	report    Report
}

// Run measures and writes live.json, and live.md beside the logs.
func Run(ctx context.Context, cfg Config) (err error) {
	b := &bench{cfg: cfg}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.start(ctx); err != nil {
		return err
	}
	if err := b.measure(ctx); err != nil {
		return err
	}
	if err := benchfile.Write(filepath.Join(cfg.Out, "live.json"), b.report.Results); err != nil {
		return err
	}
	b.report.Print(cfg.Stdout)
	f, err := os.Create(filepath.Join(cfg.Logs, "live.md"))
	if err != nil {
		return err
	}
	b.report.Print(f)
	if err := f.Close(); err != nil {
		return err
	}
	if missed := b.report.missed(); cfg.Check && len(missed) > 0 {
		return fmt.Errorf("%d goals are missed: %s", len(missed), strings.Join(missed, "; "))
	}
	return nil
}

func (b *bench) measure(ctx context.Context) error {
	if err := b.describe(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{b.compare, b.connect, b.video, b.faults, b.drift, b.signalingLoad} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// start starts everything that all measurements need.
func (b *bench) start(ctx context.Context) error {
	c := b.cfg
	for _, dir := range []string{c.Out, c.Logs} {
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // results
			return err
		}
	}
	var err error
	if b.page, err = page.Serve(ctx, c.Page); err != nil {
		return err
	}
	b.later(b.page.Close)
	environment := make(map[string]string)
	if c.Turnserver != "" {
		if b.turn, err = turnserver.Start(ctx, c.Turnserver, c.Logs); err != nil {
			return err
		}
		b.later(b.turn.Stop)
		environment["TURN_URLS"], environment["TURN_SECRET"] = b.turn.URL(), b.turn.Secret
	}
	log, err := os.Create(filepath.Join(c.Logs, "signaling.log"))
	if err != nil {
		return err
	}
	b.later(log.Close)
	if b.signaling, err = localsignaling.Start(ctx, localsignaling.Config{
		Binary: c.Signaling, Origins: []string{b.page.Origin()}, Logs: log,
		Environment: environment,
	}); err != nil {
		return err
	}
	b.later(b.signaling.Stop)
	if b.source, err = newSource(ctx, string(gatewayName), c.Seed, c.Machines, c.Rate); err != nil {
		return err
	}
	b.later(func() error { b.source.close(); return nil })
	if b.publisher, err = newPublisher(GatewayConfig{ //nolint:contextcheck // it ends with close
		Name: gatewayName, Signaling: b.signaling.URL(), Token: b.gatewayToken(gatewayName), Network: gateway.Network{},
	}); err != nil {
		return err
	}
	b.later(b.publisher.close)
	b.browser, err = chromium.Start(ctx, chromium.Config{Binary: c.Chromium, Dir: c.Logs, URL: b.page.Origin() + "/"})
	if err != nil {
		return err
	}
	b.later(b.browser.Stop)
	return nil
}

// later remembers what is to be ended, in reverse order.
func (b *bench) later(end func() error) { b.ends = append(b.ends, end) }

func (b *bench) close() error {
	var problems []error
	for _, end := range slices.Backward(b.ends) {
		problems = append(problems, end())
	}
	return errors.Join(problems...)
}

func (b *bench) gatewayToken(name telemetry.GatewayID) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		who := token.Identity{Subject: string(name), Gateway: name, Site: site, Role: token.Gateway}
		return b.signaling.Token(ctx, who, token.MaxLifetime)
	}
}

// peer returns how the page reaches a gateway.
func (b *bench) peer(ctx context.Context, name telemetry.GatewayID) (transport, error) {
	who := token.Identity{Subject: "bench", Grants: map[telemetry.SiteID]token.Role{site: token.Viewer}}
	text, err := b.signaling.Token(ctx, who, token.MaxLifetime)
	return transport{Kind: "peer", Signaling: b.signaling.URL(), Token: text, Site: string(site), Gateway: string(name)}, err
}

// describe says where the run is, and what the browser's clock can.
func (b *bench) describe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var clock struct {
		Resolution float64 // ms
		Isolated   bool
		Agent      string
	}
	if err := b.page.Do(ctx, "clock", struct{}{}, &clock); err != nil {
		return err
	}
	r := &b.report
	r.Config, r.Machine = b.cfg, fmt.Sprintf("%s, %d cores", benchfile.Machine(), runtime.NumCPU())
	r.Commit, r.Date, r.Browser = benchfile.Commit(ctx), time.Now().UTC().Format(time.DateOnly), browserName(clock.Agent)
	r.note("The browser's clock has steps of %.3f ms (cross-origin isolated: %t).", clock.Resolution, clock.Isolated)
	return nil
}

// logf prints the progress.
func (b *bench) logf(format string, args ...any) { fmt.Fprintf(b.cfg.Stdout, format+"\n", args...) }

func (r *Report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}
