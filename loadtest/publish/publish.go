// Package publish shows a simulated fleet live: each gateway joins its site's room and publishes
// its machines to the viewers there, past the cloud.
package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/insighthub/insighthub/lib/gateway"
	"github.com/insighthub/insighthub/lib/gateway/signal"
	"github.com/insighthub/insighthub/lib/gateway/testpattern"
	"github.com/insighthub/insighthub/lib/gateway/video"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/loadtest/fleet"
)

// historyBytes bounds the history of each gateway: a minute of 2,000 events/s, and many gateways are in
// this process.
const historyBytes = 5 << 20

// Config configures Start.
type Config struct {
	// URL of the signaling service.
	URL  string
	Site telemetry.SiteID
	// Token returns the access token of a gateway.
	Token   func(ctx context.Context, gateway string) (string, error)
	Network gateway.Network
	// Video also shows the test pattern of each machine as its camera.
	Video  bool
	Logger *slog.Logger
}

// Fleet publishes gateways.
type Fleet struct {
	log   *slog.Logger
	parts map[*fleet.Gateway]*part
}

// part publishes one gateway. Its batch is reused: one goroutine calls Live for a gateway.
type part struct {
	client    *signal.Client
	publisher *gateway.Publisher
	cameras   *video.Cameras
	states    []atomic.Uint32 // of the machines, for the pictures
	batch     telemetry.Batch
	read      []telemetry.Micros
}

// Start connects the gateways in the background: a signaling service that is not there yet is retried.
func Start(c Config, gateways []*fleet.Gateway) (*Fleet, error) {
	f := &Fleet{log: c.Logger, parts: make(map[*fleet.Gateway]*part, len(gateways))}
	for _, g := range gateways {
		p, err := start(c, g)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		f.parts[g] = p
	}
	return f, nil
}

func start(c Config, g *fleet.Gateway) (*part, error) {
	client, err := signal.New(signal.Config{
		URL: c.URL, Sites: []telemetry.SiteID{c.Site}, Logger: c.Logger.With("gateway", g.ID),
		Token: func(ctx context.Context) (string, error) { return c.Token(ctx, g.ID) },
	})
	if err != nil {
		return nil, err
	}
	p := &part{client: client, cameras: video.NewCameras(video.Config{Logger: c.Logger}), states: make([]atomic.Uint32, len(g.Machines))}
	if c.Video {
		err = p.addCameras(g)
	}
	if err == nil {
		p.publisher, err = gateway.New(gateway.Config{
			Gateway: telemetry.GatewayID(g.ID), Signaling: client, Network: c.Network, Cameras: p.cameras, Logger: c.Logger,
			HistoryBytes: historyBytes,
		})
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// addCameras makes each machine's test pattern a camera of its name. It is encoded while it is watched.
func (p *part) addCameras(g *fleet.Gateway) error {
	for i, m := range g.Machines {
		source, err := testpattern.NewSource(testpattern.Config{
			Name: m.Name(), State: func() string { return fleet.State(p.states[i].Load()).String() },
		})
		if err == nil {
			err = p.cameras.Add(source)
		}
		if err != nil {
			return fmt.Errorf("camera of %s: %w", m.Name(), err)
		}
	}
	return nil
}

func (p *part) close() error {
	var err error
	if p.publisher != nil {
		err = p.publisher.Close()
	}
	return errors.Join(err, p.cameras.Close(), p.client.Close())
}

// Live publishes a gateway's samples of a time; it is drive.Config's Live.
func (f *Fleet) Live(g *fleet.Gateway, at time.Time, values []int64) {
	p, now := f.parts[g], telemetry.MicrosOf(time.Now())
	if p == nil {
		return
	}
	metrics := fleet.MetricNames()
	p.batch.Reset()
	p.read = p.read[:0]
	for i, milli := range values {
		if i%len(metrics) == int(fleet.StateCode) {
			p.states[i/len(metrics)].Store(uint32(milli / 1000))
		}
		p.batch.Append(telemetry.Event{
			Device: telemetry.DeviceName(g.Machines[i/len(metrics)].Name()), Metric: telemetry.MetricName(metrics[i%len(metrics)]),
			Time: telemetry.MicrosOf(at), Value: float64(milli) / 1000,
		})
		p.read = append(p.read, now)
	}
	if err := p.publisher.Publish(&p.batch, p.read); err != nil {
		f.log.Error("publish", "gateway", g.ID, "error", err)
	}
}

// Stats returns the counters of all viewers, by gateway.
func (f *Fleet) Stats() map[string]map[string]gateway.Stats {
	out := make(map[string]map[string]gateway.Stats, len(f.parts))
	for g, p := range f.parts {
		out[g.ID] = p.publisher.Stats()
	}
	return out
}

// Close ends all connections.
func (f *Fleet) Close() error {
	var errs []error
	for _, p := range f.parts {
		errs = append(errs, p.close())
	}
	return errors.Join(errs...)
}
