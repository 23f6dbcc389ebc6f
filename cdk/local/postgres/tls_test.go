package postgres_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/cdk/local/postgres"
)

// TestTLS: the server shows a certificate that a client of libpq verifies, the same one
// after a restart.
func TestTLS(t *testing.T) {
	needTree(t)
	config := postgres.Config{Tree: tree, DataDir: dataDir(t) + "/data", SharedBuffersMB: 16, TLS: true}
	var before string
	for range 2 {
		server, err := postgres.Start(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		stop := func() { _ = server.Stop(context.WithoutCancel(t.Context())) }
		t.Cleanup(stop)
		ca, err := server.Authority()
		if err != nil || before != "" && before != string(ca) {
			t.Fatalf("%v, authority %s, want that of before %s", err, ca, before)
		}
		before = string(ca)
		dsn := server.DSN()
		if !strings.Contains(dsn, "sslmode=verify-full") {
			t.Errorf("DSN %s, want verify-full", dsn)
		}
		const query = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
		out, err := exec.CommandContext(t.Context(), filepath.Join(tree, "bin", "psql"), "-XAtq", dsn, "-c", query).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != "TLSv1.3" {
			t.Errorf("got %s, %v, want TLSv1.3", out, err)
		}
		stop()
	}
}
