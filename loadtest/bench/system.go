package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/cdk/local/stackfile"
	"github.com/insighthub/insighthub/loadtest/localstack"
)

// startStack starts the local stack without the consumers that are not measured.
func startStack(ctx context.Context, cfg Config) (*localstack.Process, stackfile.Info, error) {
	args := []string{"-without", "detect"} // the detector has a benchmark of its own
	if !cfg.KPIs {
		args = append(args, "-without", "bridge")
	}
	return cfg.Stack.Start(ctx, cfg.Out, args...)
}

// startYardstick starts the yardstick on a database of its own in the stack's server.
func startYardstick(ctx context.Context, cfg Config, stack stackfile.Info) (p *localstack.Process, url, dsn string, err error) {
	conn, err := pgx.Connect(ctx, stack.Database)
	if err != nil {
		return nil, "", "", err
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing to lose
	if _, err := conn.Exec(ctx, "CREATE DATABASE yardstick"); err != nil {
		return nil, "", "", err
	}
	pc := conn.Config()
	dsn = fmt.Sprintf("postgres://%s:%s@%s:%d/yardstick?sslmode=disable", pc.User, pc.Password, pc.Host, pc.Port)
	log := filepath.Join(cfg.Out, "yardstick.log")
	if p, err = localstack.StartProgram(ctx, log, cfg.Yardstick, "-database", dsn); err != nil {
		return nil, "", "", err
	}
	for range 200 {
		if url = firstLine(log); strings.HasPrefix(url, "http://") {
			return p, url, dsn, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, "", "", errors.Join(fmt.Errorf("the yardstick was not ready within 10 s; see %s", log), p.Stop())
}

func firstLine(path string) string {
	f, err := os.Open(path) //nolint:gosec // the bench's own folder
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // read only
	line, err := bufio.NewReader(f).ReadString('\n')
	if err != nil {
		return ""
	}
	return strings.TrimSpace(line)
}
