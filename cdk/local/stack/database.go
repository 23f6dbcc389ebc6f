package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"sync"
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

// database is a server of the stack's own. It is started again, on the same port, when
// it ends by itself; the functions reconnect and their batches are tried again meanwhile.
type database struct {
	config postgres.Config
	dsn    string
	say    func(format string, args ...any)

	cancel context.CancelFunc // ends tend
	ended  chan struct{}

	mu     sync.Mutex
	server *postgres.Server
}

func startDatabase(ctx context.Context, cfg Config, logs io.Writer, say func(string, ...any)) (*database, error) {
	d := &database{
		config: postgres.Config{
			Tree: cfg.Timescale, DataDir: cfg.path("postgres"), Database: databaseName, Logs: logs,
			// As after some days of running: making a log file under load holds up
			// the commits of that moment by 15 ms.
			PreallocateWAL: walFiles,
		},
		say: say, ended: make(chan struct{}),
	}
	start, stop := context.WithTimeout(ctx, databaseStart)
	defer stop()
	server, err := postgres.Start(start, d.config)
	if err != nil {
		return nil, err
	}
	d.server, d.dsn = server, server.DSN()
	if d.config.Port, err = portOf(d.dsn); err != nil {
		return nil, errors.Join(err, server.Stop(ctx))
	}
	tending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d.cancel = cancel
	go d.tend(tending)
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

// tend restarts the server whenever it ends.
func (d *database) tend(ctx context.Context) {
	defer close(d.ended)
	restarts := restarts{}
	for {
		started := time.Now()
		select {
		case <-ctx.Done():
			return
		case <-d.current().Exited():
		}
		if ctx.Err() != nil {
			return
		}
		d.say("database   ended by itself; starting it again (its log: logs/postgres.log)")
		if !restarts.until(ctx, time.Since(started), d.restart) {
			return
		}
		d.say("database   is back")
	}
}

func (d *database) restart(ctx context.Context) bool {
	start, cancel := context.WithTimeout(ctx, databaseStart)
	defer cancel()
	server, err := postgres.Start(start, d.config)
	if err != nil {
		if ctx.Err() == nil {
			d.say("database   %v", err)
		}
		return false
	}
	d.mu.Lock()
	d.server = server
	d.mu.Unlock()
	return true
}

func (d *database) current() *postgres.Server {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.server
}

func (d *database) pid() int { return d.current().PID() }

func (d *database) close(ctx context.Context) error {
	d.cancel()
	<-d.ended
	ctx, cancel := context.WithTimeout(ctx, databaseStop)
	defer cancel()
	return d.current().Stop(ctx)
}
