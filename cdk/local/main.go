// Command local runs a synthesised stage of IoT InsightHub on this machine.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/insighthub/insighthub/cdk/local/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, exitOnNextSignal)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// exitOnNextSignal ends this process, and with it its children, on a second signal. For a
// second it ignores them: the terminal and make often both send the first one.
func exitOnNextSignal() {
	time.Sleep(time.Second)
	next := make(chan os.Signal, 1)
	signal.Notify(next, os.Interrupt, syscall.SIGTERM)
	<-next
	os.Exit(130)
}

func run(ctx context.Context, args []string) error {
	cfg := stack.Config{Out: os.Stdout, Now: time.Now}
	flags := flag.NewFlagSet("insighthub-local", flag.ContinueOnError)
	flags.StringVar(&cfg.Assembly, "assembly", "cdk.out", "folder of the synthesised CDK app")
	flags.StringVar(&cfg.Stage, "stage", "dev", "stage to run")
	flags.StringVar(&cfg.State, "state", ".local", "folder of the stack's data")
	flags.StringVar(&cfg.HTTP, "http", "127.0.0.1:8080", "address of the HTTP API; port 0 selects a free one")
	flags.StringVar(&cfg.Database, "database", "", "DSN of a running TimescaleDB or PostgreSQL; if empty, the stack starts one")
	flags.StringVar(&cfg.Timescale, "timescale", ".local/timescale", "folder of the unpacked PostgreSQL")
	flags.StringVar(&cfg.Prometheus, "prometheus", ".local/prometheus", "folder of the unpacked Prometheus")
	flags.StringVar(&cfg.Coturn, "coturn", ".local/coturn", "folder of the unpacked coturn")
	flags.StringVar(&cfg.Redis, "redis", ".local/redis", "folder of the unpacked redis-server")
	flags.StringVar(&cfg.Live, "live", "build/local/web/live", "folder of the built page of the live path, served under /live/")
	flags.StringVar(&cfg.PrometheusHTTP, "prometheus-http", "",
		"address of Prometheus (default 127.0.0.1:9090, or a free port if that is in use)")
	flags.StringVar(&cfg.Functions, "functions", "build/local/functions", "folder of the functions' binaries, NAME/bootstrap")
	flags.IntVar(&cfg.Concurrency, "concurrency", 0, "most processes of a function behind the API (default two per processor)")
	flags.BoolVar(&cfg.Unthrottled, "unthrottled", false, "ignore the throttles of the API's routes")
	flags.DurationVar(&cfg.Drain, "drain", 0, "longest wait for requests and invocations in flight at the end (default 10s)")
	flags.Func("without", "`function` whose event source mapping, schedule or rule is disabled, such as bridge; may be repeated",
		cfg.Disable)
	flags.StringVar(&cfg.And, "and", "", "command to start when the stack is ready, and to stop first")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return stack.Run(ctx, cfg)
}
