package conformance_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/local/kinesis"
	"github.com/insighthub/insighthub/cdk/local/kinesis/conformance"
)

func TestInsightHub(t *testing.T) {
	t.Parallel()
	// GetRecords is not throttled here: the cases poll. Its limits have tests of their own.
	s := kinesis.New(kinesis.Config{Limits: kinesis.Limits{ReadCallsPerSecond: -1, ReadBytesPerSecond: -1}})
	web := httptest.NewServer(s.Handler())
	defer web.Close()
	conformance.Run(t, web.URL, conformance.Options{Implementation: conformance.InsightHub})
}

// The cases also pass when streams change their state with a delay.
func TestInsightHubWithTransitions(t *testing.T) {
	t.Parallel()
	s := kinesis.New(kinesis.Config{
		Limits:     kinesis.Limits{ReadCallsPerSecond: -1, ReadBytesPerSecond: -1},
		Transition: 20 * time.Millisecond,
	})
	web := httptest.NewServer(s.Handler())
	defer web.Close()
	conformance.Run(t, web.URL, conformance.Options{Implementation: conformance.InsightHub})
}

func TestKinesalite(t *testing.T) {
	t.Parallel()
	conformance.Run(t, startKinesalite(t, binary(t)), conformance.Options{Implementation: conformance.Kinesalite})
}

// binary returns the path of kinesalite.
func binary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("INSIGHTHUB_KINESALITE")
	if path == "" {
		path = filepath.Join("..", "..", "..", "node_modules", ".bin", "kinesalite")
	}
	if _, err := os.Stat(path); err != nil {
		const how = "kinesalite is missing (%v): run `make tools`, or set INSIGHTHUB_KINESALITE to its path"
		if os.Getenv("CI") == "true" || os.Getenv("INSIGHTHUB_TEST_REQUIRED") == "1" {
			t.Fatalf(how, err)
		}
		t.Skipf(how, err)
	}
	return path
}

// startKinesalite runs kinesalite on a free port until the test ends.
func startKinesalite(t *testing.T, path string) (endpoint string) {
	t.Helper()
	for range 5 { // another process may take the port before it does
		if endpoint = tryKinesalite(t, path); endpoint != "" {
			return endpoint
		}
	}
	t.Fatalf("%s ends without listening", path)
	return ""
}

// tryKinesalite starts kinesalite and returns "" if it ended.
func tryKinesalite(t *testing.T, path string) (endpoint string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port // it listens on TCP
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// The context of the test is over before its cleanups are, so the process gets one of its own.
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, path, "--port", fmt.Sprint(port),
		"--createStreamMs", "0", "--deleteStreamMs", "0", "--updateStreamMs", "0", "--shardLimit", "50")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	t.Cleanup(func() {
		cancel()       // kills it
		_ = cmd.Wait() // it was killed, and says so
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "Listening") {
			return fmt.Sprintf("http://127.0.0.1:%d", port)
		}
	}
	t.Logf("%s ended without listening: %v", path, lines.Err())
	return ""
}
