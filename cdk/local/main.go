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
	context.AfterFunc(ctx, dieOnTheNext)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// dieOnTheNext ends this process, and with it its children, on a further signal. The
// first one often comes twice, from the terminal and from make.
func dieOnTheNext() {
	time.Sleep(time.Second)
	again := make(chan os.Signal, 1)
	signal.Notify(again, os.Interrupt, syscall.SIGTERM)
	<-again
	os.Exit(130)
}

func run(ctx context.Context, args []string) error {
	cfg := stack.Config{Out: os.Stdout, Now: time.Now}
	flags := flag.NewFlagSet("insighthub-local", flag.ContinueOnError)
	flags.StringVar(&cfg.Assembly, "assembly", "cdk.out", "folder of the synthesised CDK app")
	flags.StringVar(&cfg.Stage, "stage", "dev", "stage to run")
	flags.StringVar(&cfg.State, "state", ".local", "folder for what is kept between runs")
	flags.StringVar(&cfg.HTTP, "http", "127.0.0.1:8080", "address of the HTTP API; port 0 takes a free one")
	flags.StringVar(&cfg.Database, "database", "", "DSN of a running TimescaleDB or PostgreSQL; empty starts one")
	flags.StringVar(&cfg.Timescale, "timescale", ".local/timescale", "folder of the unpacked PostgreSQL to start")
	flags.StringVar(&cfg.Prometheus, "prometheus", ".local/prometheus", "folder of the unpacked Prometheus to start")
	flags.StringVar(&cfg.PrometheusHTTP, "prometheus-http", "", "address of Prometheus; empty is 127.0.0.1:9090, or a free port when that is taken")
	flags.StringVar(&cfg.Functions, "functions", "build/local/functions", "folder of the functions' binaries, NAME/bootstrap")
	flags.IntVar(&cfg.Concurrency, "concurrency", 0, "processes of a function behind the API; 0 is two for each processor")
	flags.DurationVar(&cfg.Drain, "drain", 0, "most to wait at the end for what is in flight; 0 is 10s")
	flags.Func("without", "`function` whose event source mapping or schedule is left out, such as bridge; may be repeated", cfg.LeaveOut)
	flags.StringVar(&cfg.And, "and", "", "command to start when everything answers, and to stop first")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return stack.Run(ctx, cfg)
}
