package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/accessrecord"
	"github.com/insighthub/insighthub/lib/api"
	"github.com/insighthub/insighthub/lib/api/apitest"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
)

// BenchmarkRecorded is a read of one gateway with and without the access record: a repeated
// one, and one of another caller each time, whose line is new. cpu-us/op is the processor time of this
// process; that of the database is not in it.
func BenchmarkRecorded(b *testing.B) {
	pool, dsn := timescaletest.Open(b)
	recorder, err := accessrecord.New(accessrecord.Config{
		Store: pool, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now,
	})
	if err != nil {
		b.Fatal(err)
	}
	timescaletest.Exec(b, dsn, "INSERT INTO site (name) VALUES ('plant-1')")
	timescaletest.Exec(b, dsn, "INSERT INTO gateway (name, site, site_since) VALUES ('gw-1', 'plant-1', now())")
	recorders := map[string]api.Recorder{"without": api.Unrecorded{}, "with": recorder}
	n := 0
	for _, selection := range []string{"repeated", "distinct"} {
		for _, name := range []string{"without", "with"} {
			b.Run(selection+"/"+name, func(b *testing.B) {
				handler := wire(pool, slog.New(slog.DiscardHandler), services{recorder: recorders[name]})
				before := processorTime(b)
				for b.Loop() {
					if selection == "distinct" {
						n++
					}
					caller := apitest.Person(fmt.Sprint("eve-", n), "plant-1=viewer")
					event := map[string]any{
						"version": "2.0", "rawPath": "/v1/sites/plant-1/gateways",
						"requestContext": map[string]any{
							"requestId":  fmt.Sprint("r-", n),
							"http":       map[string]string{"method": "GET", "sourceIp": "192.0.2.1"},
							"authorizer": map[string]any{"lambda": caller},
						},
					}
					raw, err := json.Marshal(event)
					if err != nil {
						b.Fatal(err)
					}
					if response, err := handler.Invoke(b.Context(), raw); err != nil || string(response[:18]) != `{"statusCode":200,` {
						b.Fatalf("got %s, %v", response, err)
					}
				}
				b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
			})
		}
	}
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
