package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/insighthub/insighthub/lib/gateway"
	signaling "github.com/insighthub/insighthub/lib/gateway/signal"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// publishTemperature shows one sensor live until ctx ends. The token is that of POST /v1/token.
func publishTemperature(ctx context.Context, token func(context.Context) (string, error), read func() float64) error {
	client, err := signaling.New(signaling.Config{
		URL: "wss://signaling.example.com/v1/signaling", Token: token, Sites: []telemetry.SiteID{"plant-1"},
	})
	if err != nil {
		return err
	}
	publisher, err := gateway.New(gateway.Config{Gateway: "gw-0", Signaling: client})
	for err == nil && ctx.Err() == nil {
		var b telemetry.Batch
		now := telemetry.MicrosOf(time.Now())
		b.Append(telemetry.Event{Device: "oven", Metric: "temperature", Time: now, Value: read()})
		err = publisher.Publish(&b, []telemetry.Micros{now})
		time.Sleep(10 * time.Millisecond)
	}
	if publisher != nil {
		err = errors.Join(err, publisher.Close())
	}
	return errors.Join(err, client.Close())
}

func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	token := func(context.Context) (string, error) {
		text, err := os.ReadFile("/run/gateway/token")
		return string(text), err
	}
	if err := publishTemperature(ctx, token, func() float64 { return 20.5 }); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
