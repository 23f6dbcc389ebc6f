package postgres_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/local/postgres"
	"github.com/insighthub/insighthub/cdk/local/process/processtest"
)

const tree = "../../../.local/timescale"

// TestMain lets the test binary play a host that is killed before it stops its server.
func TestMain(m *testing.M) {
	if dir := os.Getenv(processtest.Folder); dir != "" {
		processtest.Host(func() (int, error) {
			server, err := postgres.Start(context.Background(), postgres.Config{Tree: tree, DataDir: dir, SharedBuffersMB: 16})
			if err != nil {
				return 0, err
			}
			return server.PID(), nil
		})
	}
	os.Exit(m.Run())
}

func needTree(t *testing.T) {
	t.Helper()
	processtest.NeedFile(t, filepath.Join(tree, "bin", "postgres"), "run cdk/local/postgres/install.sh .local/timescale")
}

// dataDir returns a folder that the server's account can enter; as root it cannot enter t.TempDir.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "insighthub-postgres-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "data")
}

func start(t *testing.T, dir string) *postgres.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	s, err := postgres.Start(ctx, postgres.Config{
		Tree: tree, DataDir: dir, Database: "insighthub", SharedBuffersMB: 16,
		PreallocateWAL: 4, Logs: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	return s
}

func sql(t *testing.T, s *postgres.Server, statement string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), tree+"/bin/psql", s.DSN(), "-XAtqc", statement).CombinedOutput()
	if err != nil {
		t.Fatalf("psql: %v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestKeepsDataOverStopAndCrash(t *testing.T) {
	needTree(t)
	dir := dataDir(t)
	s := start(t, dir)
	if got := sql(t, s, "CREATE EXTENSION timescaledb; CREATE TABLE kept (n int); SELECT current_database()"); got != "insighthub" {
		t.Errorf("database = %q, want insighthub", got)
	}
	if got := sql(t, s, "SHOW fsync") + sql(t, s, "SHOW synchronous_commit"); got != "onon" {
		t.Errorf("fsync and synchronous_commit = %q, want on and on", got)
	}
	ahead, err := os.Stat(filepath.Join(dir, "pg_wal", "000000010000000000000003"))
	if err != nil {
		t.Fatal(err)
	}
	// Through the prepared files and beyond.
	for range 6 {
		sql(t, s, "CREATE TABLE IF NOT EXISTS filler (n int); INSERT INTO filler VALUES (1); SELECT pg_switch_wal()")
	}
	if now, err := os.Stat(filepath.Join(dir, "pg_wal", "000000010000000000000003")); err != nil || !os.SameFile(ahead, now) {
		t.Errorf("the server created its own log file (%v), want that it uses the prepared one", err)
	}
	sql(t, s, "INSERT INTO kept VALUES (1)")
	if err := s.Stop(t.Context()); err != nil {
		t.Fatalf("Stop: %v", err)
	}

	s = start(t, dir)
	sql(t, s, "INSERT INTO kept VALUES (2)")
	if err := syscall.Kill(s.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.Exited()

	s = start(t, dir)
	if got := sql(t, s, "SELECT count(*) FROM kept"); got != "2" {
		t.Errorf("after a crash: got %s rows, want 2", got)
	}
}

func TestEndsWithItsHost(t *testing.T) {
	needTree(t)
	processtest.Gone(t, processtest.Orphan(t, dataDir(t)))
}

func TestStartErrors(t *testing.T) {
	needTree(t)
	for name, config := range map[string]postgres.Config{
		"no tree":       {Tree: t.TempDir(), DataDir: dataDir(t)},
		"another thing": {Tree: tree, DataDir: filepath.Dir(dataDir(t))},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "another thing" {
				if err := os.WriteFile(filepath.Join(config.DataDir, "file"), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if s, err := postgres.Start(t.Context(), config); err == nil {
				_ = s.Stop(t.Context())
				t.Error("Start succeeded, want an error")
			}
		})
	}
}
