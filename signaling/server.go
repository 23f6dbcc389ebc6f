package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/insighthub/insighthub/lib/lambda/metrics"
	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/signaling/hub"
)

const (
	headerTimeout  = 5 * time.Second
	maxHeaderBytes = 16 << 10
)

// run runs the service until ctx ends; then it drains. undo takes back what made ctx end, so
// that a second signal ends the process.
func run(ctx context.Context, undo func(), getenv func(string) string, log *slog.Logger) error {
	c, err := parse(getenv)
	if err != nil {
		return err
	}
	registry := metrics.NewRegistry()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.listen)
	if err != nil {
		return fmt.Errorf("LISTEN: %w", err)
	}
	h, err := build(ctx, c, getenv, log, registry)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	server := &http.Server{
		Handler: handler(h, registry), ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: maxHeaderBytes, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	log.Info("listening", "address", listener.Addr().String(), "path", rtc.Path, "several_tasks", c.redisURL != "")
	select {
	case err = <-failed:
	case <-ctx.Done():
		undo()
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.drain)
		h.Drain(drain)
		cancel()
	}
	err = errors.Join(err, h.Close(), server.Close())
	log.Info("stopped")
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// handler serves the protocol and what operators need.
func handler(h *hub.Hub, registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(rtc.Path, h)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { respond(w, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { respond(w, h.Ready()) })
	exported := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		// The load balancer adds this header: strangers see no metrics.
		if r.Header.Get("X-Forwarded-For") != "" {
			http.NotFound(w, r)
			return
		}
		exported.ServeHTTP(w, r)
	})
	return mux
}

func respond(w http.ResponseWriter, problem error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if problem != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, problem)
		return
	}
	fmt.Fprintln(w, "ok")
}
