package outage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/insighthub/insighthub/loadtest/kpicheck"
)

// plug is a folder with a link to a Prometheus, which can be pulled.
type plug struct{ dir, server string }

// newPlug makes the folder dir with a link to the server of another one.
func newPlug(tree, dir string) (plug, error) {
	server, err := filepath.EvalSymlinks(filepath.Join(tree, "bin", "prometheus"))
	if err != nil {
		return plug{}, fmt.Errorf("no Prometheus to take away: %w", err)
	}
	if server, err = filepath.Abs(server); err != nil {
		return plug{}, err
	}
	p := plug{dir: dir, server: server}
	if err := os.RemoveAll(dir); err != nil {
		return p, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil { //nolint:gosec // programs are for all
		return p, err
	}
	return p, p.push()
}

func (p plug) link() string { return filepath.Join(p.dir, "bin", "prometheus") }

// push makes the next start succeed.
func (p plug) push() error { return os.Symlink(p.server, p.link()) }

// pull ends the process and lets no other start. It returns when nobody answers.
func (p plug) pull(ctx context.Context, pid int, server kpicheck.Server) error {
	if err := os.Remove(p.link()); err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("end Prometheus, process %d: %w", pid, err)
	}
	for range 300 {
		if !p.answers(ctx, server) {
			return nil
		}
		if err := sleep(ctx, pollEvery); err != nil {
			return err
		}
	}
	return errors.New("prometheus does not end")
}

// answers reports whether the server takes writes and answers queries.
func (plug) answers(ctx context.Context, server kpicheck.Server) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, string(server)+"/-/ready", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}
