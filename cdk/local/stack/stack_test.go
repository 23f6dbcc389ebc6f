package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/cdk/local/kinesis"
	"github.com/insighthub/insighthub/cdk/local/process/processtest"
	"github.com/insighthub/insighthub/cdk/local/stackfile"
	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
)

// logWriter passes the stack's output on to the test's log.
type logWriter struct {
	t    *testing.T
	done atomic.Bool
}

func (w *logWriter) Write(p []byte) (int, error) {
	if !w.done.Load() {
		w.t.Log(strings.TrimRight(string(p), "\n"))
	}
	return len(p), nil
}

// ownRoles returns a copy of the assembly whose database roles have the name of the database:
// roles belong to the server, which the tests share.
func ownRoles(t *testing.T, cfg Config) string {
	t.Helper()
	dsn, err := pgx.ParseConfig(cfg.Database)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(cfg.Assembly)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "Data.template.json")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	raw = bytes.ReplaceAll(raw, []byte("insighthub_dev_"), []byte(dsn.Database+"_"))
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func startTest(t *testing.T, cfg Config) *Stack {
	t.Helper()
	needPrometheus(t)
	out := &logWriter{t: t}
	t.Cleanup(func() { out.done.Store(true) })
	cfg.Out, cfg.Now = out, time.Now
	if cfg.Assembly == "" {
		cfg.Assembly = filepath.Join("testdata", "assembly")
	}
	cfg.Assembly = ownRoles(t, cfg)
	cfg.Stage, cfg.HTTP = "dev", "127.0.0.1:0"
	cfg.PrometheusHTTP = "127.0.0.1:0"
	if cfg.Prometheus == "" {
		cfg.Prometheus = prometheusTree
	}
	cfg.Concurrency = 4
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // for a test that fails; a second Close does nothing
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// gateway posts batches as a real one does: it retries until they are accepted.
type gateway struct {
	name  string
	token string
}

func newGateway(t *testing.T, s *Stack, name string) gateway {
	t.Helper()
	bearer, err := gatewayToken(t.Context(), s.Info(), telemetry.GatewayID(name), "plant-1", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return gateway{name: name, token: bearer}
}

const eventsPerBatch = 50

// body returns the n-th batch. Each event of all batches has a different time.
func body(start time.Time, n int) []byte {
	type event struct {
		Device string  `json:"device"`
		Metric string  `json:"metric"`
		Time   int64   `json:"time"`
		Value  float64 `json:"value"`
	}
	var events []event
	for i := range eventsPerBatch {
		k := n*eventsPerBatch + i
		events = append(events, event{"press-1", "temperature", start.Add(time.Duration(k) * time.Millisecond).UnixMicro(), float64(k)})
	}
	raw, _ := json.Marshal(map[string]any{"events": events}) // numbers and strings only
	return raw
}

// post retries until the response is 202.
func (g gateway) post(ctx context.Context, url string, batch []byte) error {
	for {
		status, response, err := g.try(ctx, url, batch)
		switch {
		case status == http.StatusAccepted:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && status < 500 && status != http.StatusTooManyRequests:
			return fmt.Errorf("%s: got %d %s, want 202", g.name, status, response)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (g gateway) try(ctx context.Context, url string, batch []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/telemetry", bytes.NewReader(batch))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+g.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return resp.StatusCode, raw, err
}

// load posts the batches from to to-1 of each gateway, all gateways concurrently.
func load(t *testing.T, s *Stack, gateways []gateway, start time.Time, from, to int) {
	t.Helper()
	var all sync.WaitGroup
	for _, g := range gateways {
		all.Go(func() {
			for n := from; n < to; n++ {
				if err := g.post(t.Context(), s.Info().HTTP, body(start, n)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// allStored waits until each event of the stream is stored, once.
func allStored(t *testing.T, s *Stack, conn *pgx.Conn, events int) {
	t.Helper()
	var stored int
	eventually.NoError(t, fmt.Sprintf("%d stored events and an idle stream", events), func() error {
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM event").Scan(&stored); err != nil {
			t.Fatal(err)
		}
		if stored < events || !s.Idle() {
			return fmt.Errorf("%d events, lag %d", stored, s.Lag())
		}
		return nil
	})
	var distinct, conflicts int
	const count = "SELECT count(DISTINCT (gateway, value)), (SELECT count(*) FROM conflict) FROM reading"
	if err := conn.QueryRow(t.Context(), count).Scan(&distinct, &conflicts); err != nil {
		t.Fatal(err)
	}
	if stored != events || distinct != events || conflicts != 0 {
		t.Fatalf("got %d rows, %d distinct events, %d conflicts; want %d, %d, 0; lag %d", stored, distinct, conflicts, events, events,
			s.Lag())
	}
}

func program(t *testing.T, s *Stack, name string) *function {
	t.Helper()
	for _, f := range s.functions {
		if f.plan.Program == name {
			return f
		}
	}
	t.Fatalf("function %s does not exist", name)
	return nil
}

// chaos kills processes of store and terminates its database connections.
type chaos struct {
	killed, cut atomic.Int64
	end, ended  chan struct{}
}

func startChaos(t *testing.T, s *Stack, conn *pgx.Conn) *chaos {
	t.Helper()
	c := &chaos{end: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(c.ended)
		// The processes are killed after connections were terminated twice, or when there were none for
		// a while: on a slow machine, processes that are killed sooner might never connect.
		for cuts, ticks := 0, 0; ; {
			select {
			case <-c.end:
				return
			case <-time.After(30 * time.Millisecond):
			}
			var n int64
			err := conn.QueryRow(context.Background(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
				WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'insighthub-store'`).Scan(&n)
			if err != nil {
				t.Error(err)
				return
			}
			c.cut.Add(n)
			if n > 0 {
				cuts++
			}
			if ticks++; cuts < 2 && ticks < 30 {
				continue
			}
			cuts, ticks = 0, 0
			for _, pid := range program(t, s, "store").Stats().PIDs {
				if syscall.Kill(pid, syscall.SIGKILL) == nil {
					c.killed.Add(1)
				}
			}
		}
	}()
	return c
}

func (c *chaos) enough() bool { return c.killed.Load() >= 5 && c.cut.Load() >= 3 }

func (c *chaos) stop() {
	close(c.end)
	<-c.ended
}

// onlyObject returns the only object of the failure bucket.
func onlyObject(t *testing.T, s *Stack) (key, text string) {
	t.Helper()
	bucket := aws.String("data-failures")
	list, err := s.objects.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: bucket})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Contents) != 1 {
		t.Fatalf("failure bucket: got %d objects, want 1", len(list.Contents))
	}
	got, err := s.objects.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: bucket, Key: list.Contents[0].Key})
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	raw, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return *list.Contents[0].Key, string(raw)
}

func stateFileOf(t *testing.T, cfg Config, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(cfg.State, name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestExactlyOnce: accepted events are stored once, even if processes and connections of the
// store end at any time, and the stack is restarted.
func TestExactlyOnce(t *testing.T) {
	t.Parallel()
	cfg := Config{State: t.TempDir(), Database: pgtest.NewDatabase(t), Functions: build(t).functions}
	s := startTest(t, cfg)
	conn, err := pgx.Connect(t.Context(), cfg.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var gateways []gateway
	for i := range 6 {
		gateways = append(gateways, newGateway(t, s, fmt.Sprintf("gw-%d", i)))
	}
	start := time.Now().Add(-time.Hour).Truncate(time.Second)
	events := func(batches int) int { return len(gateways) * batches * eventsPerBatch }

	load(t, s, gateways, start, 0, 5)
	allStored(t, s, conn, events(5))

	// Under load, kill the store's processes and terminate its database connections several times.
	done := 5
	chaos := startChaos(t, s, conn)
	for giveUp := time.Now().Add(2 * time.Minute); done < 20 || !chaos.enough() && time.Now().Before(giveUp); {
		load(t, s, gateways, start, done, done+5)
		done += 5
	}
	chaos.stop()
	if !chaos.enough() {
		t.Fatalf("killed %d processes and terminated %d connections, want at least 5 and 3", chaos.killed.Load(), chaos.cut.Load())
	}
	t.Logf("%d batches per gateway, %d processes killed, %d connections terminated", done, chaos.killed.Load(), chaos.cut.Load())
	allStored(t, s, conn, events(done))

	// A poison record is dead-lettered with its reason; the records around it are stored.
	poison, err := s.stream.PutRecords("Flow-Stream", []kinesis.PutEntry{kinesis.NewPutEntry("gw-0", []byte("not a record"))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	load(t, s, gateways, start, done, done+1)
	done++
	allStored(t, s, conn, events(done))
	if key, text := onlyObject(t, s); !strings.HasPrefix(key, "poison/") || !strings.Contains(text, poison[0].SequenceNumber) {
		t.Errorf("dead letter: got %s: %s, want poison/… with the sequence number", key, text)
	}

	// The stack is stopped with a backlog, and restarted.
	load(t, s, gateways, start, done, done+30)
	pids := program(t, s, "store").Stats().PIDs
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(cfg.State, stackfile.Name)); !os.IsNotExist(err) {
		t.Errorf("stack.json after the end: got %v, want that it does not exist", err)
	}
	for _, pid := range pids {
		if processtest.Alive(pid) {
			t.Errorf("process %d still runs", pid)
		}
	}
	keys := stateFileOf(t, cfg, "kms.json")
	s = startTest(t, cfg)
	if !bytes.Equal(keys, stateFileOf(t, cfg, "kms.json")) {
		t.Error("the signing key changed at the restart")
	}
	for i := range gateways { // the API has another port, which is part of the issuer
		gateways[i] = newGateway(t, s, gateways[i].name)
	}
	load(t, s, gateways, start, done+20, done+40) // ten of them are duplicates
	allStored(t, s, conn, events(done+40))
	onlyObject(t, s) // no batch was discarded
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
