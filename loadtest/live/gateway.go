package live

import (
	"context"
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/gateway"
	"github.com/insighthub/insighthub/lib/gateway/signal"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// site is the room of the gateways and the page.
const site telemetry.SiteID = "bench"

// publisher is a gateway that is connected to signaling and publishes live.
type publisher struct {
	*gateway.Publisher

	client *signal.Client
}

// GatewayConfig configures a gateway of the bench.
type GatewayConfig struct {
	Name      telemetry.GatewayID
	Signaling string // URL
	Token     func(context.Context) (string, error)
	Network   gateway.Network
	Log       *slog.Logger
}

// newPublisher starts one.
func newPublisher(c GatewayConfig) (*publisher, error) {
	client, err := signal.New(signal.Config{URL: c.Signaling, Token: c.Token, Sites: []telemetry.SiteID{site}, Logger: c.Log})
	if err != nil {
		return nil, err
	}
	p, err := gateway.New(gateway.Config{
		Gateway: c.Name, Signaling: client, Network: c.Network, Logger: c.Log, Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return &publisher{p, client}, nil
}

// close ends the gateway.
func (p *publisher) close() error { return errors.Join(p.Close(), p.client.Close()) }

// RunGateway runs a gateway with a source of its own until ctx ends: as a process that can be
// killed.
func RunGateway(ctx context.Context, c GatewayConfig, seed uint64, machines, rate int) error {
	p, err := newPublisher(c) //nolint:contextcheck // it ends with close
	if err != nil {
		return err
	}
	s, err := newSource(ctx, string(c.Name), seed, machines, rate)
	if err != nil {
		return errors.Join(err, p.close())
	}
	s.direct(p.Publish)
	<-ctx.Done()
	s.close()
	return p.close()
}
