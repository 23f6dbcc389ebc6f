package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/insighthub/insighthub/cdk/local/postgres"
)

const (
	databaseName  = "insighthub"
	databaseStart = time.Minute
	databaseStop  = 30 * time.Second
	// walFiles of 16 MB hold what the database logs in 80 s at 100,000 events/s.
	walFiles = 64
)

// database is a server of the stack's own. It is kept on its port; the functions
// reconnect and their batches are tried again meanwhile.
type database struct {
	keeper[*postgres.Server]
	dsn string
}

func startDatabase(ctx context.Context, cfg Config, logs io.Writer, say func(string, ...any)) (*database, error) {
	config := postgres.Config{
		Tree: cfg.Timescale, DataDir: cfg.path("postgres"), Database: databaseName, Logs: logs,
		// As after some days of running: making a log file under load holds up
		// the commits of that moment by 15 ms.
		PreallocateWAL: walFiles,
	}
	start, stop := context.WithTimeout(ctx, databaseStart)
	defer stop()
	running, err := postgres.Start(start, config)
	if err != nil {
		return nil, err
	}
	d := &database{dsn: running.DSN()}
	if config.Port, err = portOf(d.dsn); err != nil {
		return nil, errors.Join(err, running.Stop(ctx))
	}
	d.name, d.log, d.say = "database", "postgres", say
	d.startTime, d.stopTime = databaseStart, databaseStop
	d.start = func(ctx context.Context) (*postgres.Server, error) { return postgres.Start(ctx, config) }
	d.keep(ctx, running)
	return d, nil
}

func portOf(dsn string) (int, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return 0, fmt.Errorf("database address: %w", err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		return 0, fmt.Errorf("database address: %w", err)
	}
	return port, nil
}
