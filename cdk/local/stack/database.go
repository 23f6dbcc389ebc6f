package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/insighthub/insighthub/cdk/local/postgres"
)

const (
	databaseName  = "insighthub"
	databaseStart = time.Minute
	databaseStop  = 30 * time.Second
	// walFiles of 16 MB hold 80 s of write-ahead log at 100,000 events/s.
	walFiles = 64
)

// database is the stack's own server. It is restarted on its port; until then the
// functions reconnect, and their batches are retried.
type database struct {
	supervisor[*postgres.Server]
	dsn string
	ca  []byte // of the server's certificate
}

func startDatabase(ctx context.Context, cfg Config, logs io.Writer, printf func(string, ...any)) (*database, error) {
	config := postgres.Config{
		Tree: cfg.Timescale, DataDir: cfg.path("postgres"), Database: databaseName, Logs: logs,
		// As after some days of running: the creation of a log file under load delays
		// the commits of that moment by 15 ms.
		PreallocateWAL: walFiles,
		TLS:            true,
	}
	start, stop := context.WithTimeout(ctx, databaseStart)
	defer stop()
	running, err := postgres.Start(start, config)
	if err != nil {
		return nil, err
	}
	d := &database{dsn: running.DSN()}
	if config.Port, err = portOf(d.dsn); err == nil {
		d.ca, err = running.Authority()
	}
	if err != nil {
		return nil, errors.Join(err, running.Stop(ctx))
	}
	d.name, d.log, d.printf = "database", "postgres", printf
	d.startTimeout, d.stopTimeout = databaseStart, databaseStop
	d.start = func(ctx context.Context) (*postgres.Server, error) { return postgres.Start(ctx, config) }
	d.supervise(ctx, running)
	return d, nil
}

// secret returns the value of the owner's secret, in the form that a deployed one has.
func (d *database) secret() (map[string]any, error) {
	u, err := url.Parse(d.dsn)
	if err != nil {
		return nil, fmt.Errorf("database address: %w", err)
	}
	port, err := portOf(d.dsn)
	password, _ := u.User.Password()
	return map[string]any{
		"host": u.Hostname(), "port": port, "username": u.User.Username(), "password": password,
		"dbname": strings.TrimPrefix(u.Path, "/"), "ca": string(d.ca),
	}, err
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
