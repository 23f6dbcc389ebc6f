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

// serverLink is a folder with a symlink to a Prometheus, which can be removed.
type serverLink struct{ dir, server string }

// newServerLink creates the folder dir with a link to the server in tree.
func newServerLink(tree, dir string) (serverLink, error) {
	server, err := filepath.EvalSymlinks(filepath.Join(tree, "bin", "prometheus"))
	if err != nil {
		return serverLink{}, fmt.Errorf("find Prometheus: %w", err)
	}
	if server, err = filepath.Abs(server); err != nil {
		return serverLink{}, err
	}
	l := serverLink{dir: dir, server: server}
	if err := os.RemoveAll(dir); err != nil {
		return l, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil { //nolint:gosec // programs are for all
		return l, err
	}
	return l, l.restore()
}

func (l serverLink) path() string { return filepath.Join(l.dir, "bin", "prometheus") }

// restore creates the link, so that the next start succeeds.
func (l serverLink) restore() error { return os.Symlink(l.server, l.path()) }

// stopServer removes the link, terminates the process and waits until the server is down.
func (l serverLink) stopServer(ctx context.Context, pid int, server kpicheck.Server) error {
	if err := os.Remove(l.path()); err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("terminate Prometheus, process %d: %w", pid, err)
	}
	for range 300 {
		if !isReady(ctx, server) {
			return nil
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return err
		}
	}
	return errors.New("prometheus is still running 30 s after SIGTERM")
}

// isReady reports whether the server accepts writes and queries.
func isReady(ctx context.Context, server kpicheck.Server) bool {
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
