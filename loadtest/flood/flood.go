package flood

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/insighthub/insighthub/loadtest/benchfile"
	"github.com/insighthub/insighthub/loadtest/localstack"
)

// Config of a run.
type Config struct {
	Stack localstack.Config
	// Out is the folder of flood.json and flood.md, the logs and, during the run, the stack's state.
	Out string
	// Rate of a flood, in requests/s, from Sources addresses.
	Rate    float64
	Sources int
	// Duration is that of each flood, and of each quiet phase before and after it.
	Duration time.Duration
	// Only is a part of the name of the endpoints that are flooded; empty floods all.
	Only string
	// Gateways send a batch of ten events each, all together IngestRate batches a second.
	Gateways   int
	IngestRate float64
	// ChangeEvery is the time between two changes.
	ChangeEvery time.Duration
	Stdout      io.Writer
}

// The goals, docs/adr/0041.
const (
	maxTrailBytesPerSecond = 1024
	maxSlower              = 1.2
	// minTrailSeconds is the length of a flood from which the growth of the trail counts.
	minTrailSeconds = 20
)

// Run measures and writes flood.json and flood.md. It fails if the trail grows faster than it
// may, or an accepted event has no response; latencies depend on the machine and are reported.
func Run(ctx context.Context, cfg Config) (err error) {
	if err := os.MkdirAll(cfg.Out, 0o755); err != nil { //nolint:gosec // the database's user must pass through
		return err
	}
	fmt.Fprintln(cfg.Stdout, "Starting the local stack on an empty state folder ...")
	proc, stack, err := cfg.Stack.Start(ctx, cfg.Out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, proc.Stop()) }()
	p, err := newPlatform(ctx, cfg, stack)
	if err != nil {
		return err
	}
	defer p.close(context.WithoutCancel(ctx))
	endpoints, err := p.endpoints(ctx)
	if err != nil {
		return err
	}
	endpoints = slices.DeleteFunc(endpoints, func(e Endpoint) bool { return !strings.Contains(e.Name, cfg.Only) })
	report := &Report{
		Machine: benchfile.Machine(), Cores: runtime.NumCPU(), Commit: benchfile.Commit(ctx), Date: time.Now().UTC().Format(time.DateOnly),
		Rate: cfg.Rate, Sources: cfg.Sources, Seconds: cfg.Duration.Seconds(), IngestRate: cfg.IngestRate,
		ChangesPerSecond: time.Second.Seconds() / cfg.ChangeEvery.Seconds(),
	}
	if err := p.measure(ctx, report, endpoints); err != nil {
		return err
	}
	report.Print(cfg.Stdout)
	if err := benchfile.Write(filepath.Join(cfg.Out, "flood.json"), report); err != nil {
		return err
	}
	if err := report.writeMarkdown(filepath.Join(cfg.Out, "flood.md")); err != nil {
		return err
	}
	return report.Err()
}

// measure alternates quiet phases and floods. The first phase warms up and is not counted.
func (p *platform) measure(ctx context.Context, report *Report, endpoints []Endpoint) error {
	fmt.Fprintf(p.cfg.Stdout, "Warming up, then %d floods of %v and as long quiet phases in between\n", len(endpoints)+1, p.cfg.Duration)
	if _, err := p.phase(ctx, min(p.cfg.Duration, warmUp), nil); err != nil {
		return err
	}
	idle, closeIdle, err := idleServer(ctx)
	if err != nil {
		return err
	}
	defer closeIdle()
	streams := []Stream{p.stream(idle, Endpoint{Name: generatorAlone, append: endpoints[0].append})}
	for _, e := range endpoints {
		streams = append(streams, p.stream(p.address, e))
	}
	quiet, err := p.phase(ctx, p.cfg.Duration, nil)
	if err != nil {
		return err
	}
	for _, s := range streams {
		before, err := p.growth(ctx)
		if err != nil {
			return err
		}
		flooded, err := p.phase(ctx, p.cfg.Duration, &s)
		if err != nil {
			return err
		}
		after, err := p.phase(ctx, p.cfg.Duration, nil)
		if err != nil {
			return err
		}
		// What is added up during a flood is written some time later.
		grown, err := p.growth(ctx)
		if err != nil {
			return err
		}
		row := Row{
			Endpoint: s.Endpoint.Name, Flooded: flooded, Quiet: [2]Phase{quiet, after},
			TrailBytesPerSecond: float64(grown.trailBytes-before.trailBytes) / p.cfg.Duration.Seconds(),
			RowsPerSecond:       float64(grown.rows-before.rows) / p.cfg.Duration.Seconds(),
		}
		report.Rows = append(report.Rows, row)
		fmt.Fprintln(p.cfg.Stdout, " ", row.line())
		quiet = after
	}
	return nil
}

const (
	warmUp         = 10 * time.Second
	generatorAlone = "a server that does nothing"
)

func (p *platform) stream(address string, e Endpoint) Stream {
	return Stream{Address: address, Rate: p.cfg.Rate, Duration: p.cfg.Duration, Connections: p.cfg.Sources, Endpoint: e}
}

// idleServer rejects every request as a throttle does.
func idleServer(ctx context.Context) (address string, stop func(), err error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"message":"Too Many Requests"}`)
	})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(l) // until stop
	}()
	return l.Addr().String(), func() {
		_ = server.Close()
		<-ended
	}, nil
}
