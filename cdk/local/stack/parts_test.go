package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insighthub/insighthub/cdk/local/eventsource"
	"github.com/insighthub/insighthub/cdk/local/kinesis"
	"github.com/insighthub/insighthub/lib/eventually"
)

func TestLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	first, err := takeLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := takeLock(path); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "process ") {
		t.Errorf("second lock: got %v, want %v", err, ErrBusy)
	}
	if err := first.release(); err != nil {
		t.Fatal(err)
	}
	second, err := takeLock(path)
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	if err := second.release(); err != nil {
		t.Error(err)
	}
}

func newStream(t *testing.T) *kinesis.Server {
	t.Helper()
	return kinesis.New(kinesis.Config{Now: time.Now})
}

func TestStateSurvives(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), stateFile)
	stream, saved := newStream(t), &eventsource.Memory{}
	if err := stream.CreateStream("telemetry", 1); err != nil {
		t.Fatal(err)
	}
	put, err := stream.PutRecords("telemetry", []kinesis.PutEntry{
		kinesis.NewPutEntry("gw-1", []byte("one")), kinesis.NewPutEntry("gw-1", []byte("two")),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	at := eventsource.Checkpoint{Sequence: put[0].SequenceNumber}
	saved.Save("m", "shardId-000000000000", at)
	if err := save(path, stream, saved); err != nil {
		t.Fatal(err)
	}

	again, checkpoints := newStream(t), &eventsource.Memory{}
	if err := restore(path, again, checkpoints); err != nil {
		t.Fatal(err)
	}
	if got, _ := checkpoints.Load("m", "shardId-000000000000"); got != at {
		t.Errorf("checkpoint: got %+v, want %+v", got, at)
	}
	records, _, err := source{again}.Read("telemetry", "shardId-000000000000", at.Sequence, 10, 1<<20)
	if err != nil || len(records) != 1 || string(records[0].Data) != "two" {
		t.Errorf("records after the checkpoint: got %v, %v; want one", records, err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("state file after restore: got %v, want %v", err, os.ErrNotExist)
	}
	if err := restore(path, newStream(t), checkpoints); err != nil {
		t.Errorf("without a state: %v", err)
	}
	for _, damaged := range [][]byte{{}, {1}, bytes.Repeat([]byte{255}, 64), append(make([]byte, 8), "nonsense"...)} {
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := restore(path, newStream(t), &eventsource.Memory{}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("damaged state: got %v, want an error with the path", err)
		}
	}
}

// lines collects the output.
type lines struct {
	mu   sync.Mutex
	text []string
}

func (l *lines) printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (l *lines) has(part string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(strings.Join(l.text, "\n"), part)
}

func TestChild(t *testing.T) {
	t.Parallel()
	var output lines
	c, err := startChild(t.Context(), `sh -c 'echo hello; trap "echo bye; exit 0" TERM; while :; do sleep 0.01; done'`, output.printf)
	if err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the output hello", func() bool { return output.has("hello") })
	if err := c.stop(t.Context()); err != nil {
		t.Error(err)
	}
	eventually.True(t, "the output bye", func() bool { return output.has("bye") })
	// A command that ignores SIGTERM is killed when the context ends.
	c, err = startChild(t.Context(), `sh -c 'trap "" TERM; echo deaf; while :; do sleep 0.01; done'`, output.printf)
	if err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the output deaf", func() bool { return output.has("deaf") })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.stop(ctx); err != nil {
		t.Error(err)
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b backoff
		// took returns the time to start a server that fails some times, after it had run for a while.
		took := func(ran time.Duration, failures int) time.Duration {
			begin := time.Now()
			if !b.retry(t.Context(), ran, func(context.Context) bool { failures--; return failures < 0 }) {
				t.Error("retry: got false, want true")
			}
			return time.Since(begin)
		}
		for i, c := range []struct {
			ran      time.Duration
			failures int
			want     time.Duration
		}{
			{time.Hour, 0, 0},
			{0, 2, 600 * time.Millisecond},
			{0, 1, 800 * time.Millisecond}, // the pause continues to double
			{0, 4, (1600 + 3200 + 5000 + 5000) * time.Millisecond},
			{time.Hour, 1, 200 * time.Millisecond},
		} {
			if got := took(c.ran, c.failures); got != c.want {
				t.Errorf("case %d: got %v, want %v", i, got, c.want)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if b.retry(ctx, 0, func(context.Context) bool { return false }) {
			t.Error("retry after the end of its context: got true, want false")
		}
	})
}

func TestStartErrors(t *testing.T) {
	t.Parallel()
	needPrometheus(t)
	good := func() Config {
		return Config{
			Assembly: filepath.Join("testdata", "assembly"), Stage: "dev", State: t.TempDir(), HTTP: "127.0.0.1:0",
			Database: "postgres://nobody@127.0.0.1:1/none", Prometheus: prometheusTree, Functions: t.TempDir(), Out: &bytes.Buffer{},
			Now: time.Now,
		}
	}
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no assembly":    {func(c *Config) { c.Assembly = t.TempDir() }, "make synth"},
		"no binaries":    {func(*Config) {}, "make build"},
		"another stage":  {func(c *Config) { c.Stage = "prod" }, `stage "prod"`},
		"nothing at all": {func(c *Config) { *c = Config{} }, "-stage is empty"},
		"no prometheus":  {func(c *Config) { c.Prometheus = t.TempDir() }, "make tools"},
		"no database":    {func(c *Config) { c.Database = "" }, "-timescale"},
	} {
		cfg := good()
		c.change(&cfg)
		if _, err := Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}
