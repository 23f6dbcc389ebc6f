package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/insighthub/insighthub/lib/gateway"
	"github.com/insighthub/insighthub/lib/gateway/signal"
	"github.com/insighthub/insighthub/lib/gateway/testpattern"
	"github.com/insighthub/insighthub/lib/gateway/video"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// What the gateway measures: machines with metrics, each every interval.
const (
	site        = telemetry.SiteID("plant-1")
	gatewayName = telemetry.GatewayID("gw-0")
	machines    = 4
	interval    = 20 * time.Millisecond
)

func metrics() [4]telemetry.MetricName {
	return [4]telemetry.MetricName{"temperature", "pressure", "current", "vibration"}
}

func machine(i int) telemetry.DeviceName {
	return telemetry.DeviceName("press-0" + strconv.Itoa(i+1))
}

// publish runs the gateway until ctx ends. The environment has its URL and token.
func publish(ctx context.Context, getenv func(string) string) (err error) {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	client, err := signal.New(signal.Config{ //nolint:contextcheck // it lives until Close
		URL:    getenv("SIGNALING"),
		Token:  func(context.Context) (string, error) { return getenv("TOKEN"), nil },
		Sites:  []telemetry.SiteID{site},
		Logger: log,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	cameras := video.NewCameras(video.Config{Logger: log})
	defer func() { err = errors.Join(err, cameras.Close()) }()
	source, err := testpattern.NewSource(testpattern.Config{Name: string(machine(0))})
	if err != nil {
		return err
	}
	if err := cameras.Add(source); err != nil {
		return err
	}
	publisher, err := gateway.New(gateway.Config{ //nolint:contextcheck // it lives until Close
		Gateway: gatewayName, Signaling: client, Network: gateway.Network{Loopback: true}, Cameras: cameras, Logger: log,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, publisher.Close()) }()
	return measure(ctx, publisher)
}

// measure reads and publishes all series every interval.
func measure(ctx context.Context, publisher *gateway.Publisher) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var b telemetry.Batch
	var read []telemetry.Micros
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		b.Reset()
		read = read[:0]
		for i := range machines {
			for k, metric := range metrics() {
				at := telemetry.MicrosOf(time.Now())
				b.Append(telemetry.Event{Device: machine(i), Metric: metric, Time: at, Value: value(n, i, k)})
				read = append(read, at)
			}
		}
		if err := publisher.Publish(&b, read); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
}

// value is a wave with a peak every three seconds, each higher than those before, which is an anomaly.
func value(n, machine, metric int) float64 {
	v := 20*float64(metric+1) + math.Sin(float64(n)/float64(11+3*machine+metric)) + float64((n*7919)%100)/200
	if n%150 == 149 {
		v += float64(n) / 20
	}
	return math.Round(v*1000) / 1000
}
