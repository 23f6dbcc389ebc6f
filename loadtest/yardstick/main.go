// Command yardstick is a plain server with which the pipeline is compared. It decodes each
// request with encoding/json, stores it with one INSERT … SELECT unnest(…) ON CONFLICT DO
// NOTHING into the same kind of hypertable, and responds after the commit. It has no
// stream, no authorizer (the bearer token is the gateway's name) and no validation, all of
// which makes it faster.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	database := flag.String("database", "", "connection string of an empty database with TimescaleDB")
	connections := flag.Int("connections", 4, "database connections")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *database, *connections); err != nil {
		fmt.Fprintln(os.Stderr, "yardstick:", err)
		os.Exit(1) //nolint:gocritic // stop is not needed any more
	}
}

func run(ctx context.Context, listen, database string, connections int) error {
	cfg, err := pgxpool.ParseConfig(database)
	if err != nil {
		return err
	}
	cfg.MaxConns = int32(connections)
	db, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.Exec(ctx, schema); err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	fmt.Printf("http://%s/v1/telemetry\n", ln.Addr())
	s := &server{db: db, ids: map[name]int32{}}
	srv := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = srv.Close()
	}()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
