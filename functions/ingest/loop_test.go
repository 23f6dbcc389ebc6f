package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"

	"github.com/insighthub/insighthub/docs/contracttest"
	"github.com/insighthub/insighthub/lib/lambda/metrics"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// TestMain runs main itself in the process that TestFunction starts.
func TestMain(m *testing.M) {
	if os.Getenv("INSIGHTHUB_FUNCTION") == "ingest" {
		main()
		return
	}
	os.Exit(m.Run())
}

// bench is a fake of Lambda's Runtime API, of Kinesis and of Prometheus.
type bench struct {
	*httptest.Server
	payloads  chan string
	responses chan string // "response …" or "error …"
	records   chan []byte
	stop      chan struct{}

	mu      sync.Mutex
	samples map[string][]float64 // by name, code and bucket, in the order of the writes
}

// write records the samples of a remote write 1.0 request.
func (b *bench) write(w http.ResponseWriter, r *http.Request) {
	packed, _ := io.ReadAll(r.Body)
	raw, err := snappy.Decode(nil, packed)
	m := new(prompb.WriteRequest)
	if err != nil || m.Unmarshal(raw) != nil || !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ") {
		http.Error(w, "not a signed request", http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range m.Timeseries {
		labels := make(map[string]string)
		for _, l := range s.Labels {
			labels[l.Name] = l.Value
		}
		if labels["job"] == "insighthub" && labels["function"] == "ingest" && labels["instance"] == "stream-1" {
			key := labels["__name__"] + labels["code"] + labels["le"]
			b.samples[key] = append(b.samples[key], s.Samples[0].Value)
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{
		payloads: make(chan string), responses: make(chan string), records: make(chan []byte, 10),
		stop: make(chan struct{}), samples: make(map[string][]float64),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(w http.ResponseWriter, r *http.Request) {
		select {
		case payload := <-b.payloads:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "invocation-1")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(2*time.Minute).UnixMilli()))
			_, _ = io.WriteString(w, payload)
		case <-b.stop:
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/invocation-1/{kind}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		b.responses <- r.PathValue("kind") + " " + string(body)
	})
	mux.HandleFunc("POST /2020-01-01/extension/register", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Lambda-Extension-Identifier", "1")
	})
	mux.HandleFunc("GET /2020-01-01/extension/event/next", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("POST /api/v1/write", b.write)
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		var call struct {
			StreamName string
			Records    []struct {
				PartitionKey string
				Data         []byte
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&call); err != nil || call.StreamName != "telemetry" || len(call.Records) != 1 ||
			call.Records[0].PartitionKey != "gw-1" || r.Header.Get("X-Amz-Target") != "Kinesis_20131202.PutRecords" {
			t.Errorf("call %s: %+v, %v", r.Header.Get("X-Amz-Target"), call, err)
		}
		b.records <- call.Records[0].Data
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = io.WriteString(w, `{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1","ShardId":"shardId-000000000000"}]}`)
	})
	b.Server = httptest.NewServer(mux)
	return b
}

func (b *bench) invoke(t *testing.T, payload string) string {
	t.Helper()
	timeout := time.After(2 * time.Minute)
	select {
	case b.payloads <- payload:
	case <-timeout:
		t.Fatal("the function did not request an invocation within two minutes")
	}
	select {
	case result := <-b.responses:
		if response, ok := strings.CutPrefix(result, "response "); ok {
			var event struct {
				Headers map[string]string
				Body    string
			}
			if err := json.Unmarshal([]byte(payload), &event); err != nil {
				t.Fatal(err)
			}
			checkContract(t, contracttest.Open(t), event.Headers, []byte(event.Body), []byte(response))
		}
		return result
	case <-timeout:
		t.Fatal("the function did not respond within two minutes")
		return ""
	}
}

// TestFunction runs the function as Lambda does: in its own process with the real runtime
// loop, its environment variables, and the SDK's client over HTTP.
func TestFunction(t *testing.T) {
	t.Parallel()
	// The first flush of metrics has a timeout of a second, the last one of a quarter. A
	// machine that is busy for as long cuts them off, which is not tested here: run again.
	for giveUp := time.Now().Add(2 * time.Minute); ; {
		wrong, inTime := runFunction(t)
		if len(wrong) == 0 || t.Failed() {
			return
		}
		if inTime || time.Now().After(giveUp) {
			t.Fatal(strings.Join(wrong, "\n"))
		}
	}
}

// runFunction returns what is wrong with the exported metrics, and whether the run was so
// short that no flush can have been cut off.
func runFunction(t *testing.T) (wrong []string, inTime bool) {
	t.Helper()
	b := newBench(t)
	defer b.Close()
	function := exec.CommandContext(t.Context(), os.Args[0])
	function.Env = []string{
		"INSIGHTHUB_FUNCTION=ingest", "STREAM_NAME=telemetry", "AWS_LAMBDA_LOG_STREAM_NAME=stream-1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512",
		"REMOTE_WRITE_URL=" + b.URL + "/api/v1/write", "REMOTE_WRITE_SIGV4=true", "METRICS_INTERVAL_SECONDS=300",
		"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(b.URL, "http://"), "AWS_ENDPOINT_URL_KINESIS=" + b.URL,
		"AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=none", "AWS_SECRET_ACCESS_KEY=none",
	}
	var log strings.Builder
	function.Stdout, function.Stderr = &log, &log
	if err := function.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = function.Process.Kill()
		_ = function.Wait()
		if t.Failed() {
			t.Logf("the function's log:\n%s", log.String())
		}
	}()

	at := time.Now().Add(-time.Second).UTC().Truncate(time.Microsecond)
	body, err := json.Marshal(fmt.Sprintf(`{"events":[{"device":"press-1","metric":"temperature","time":%q,"value":71.25}]}`,
		at.Format(time.RFC3339Nano)))
	if err != nil {
		t.Fatal(err)
	}
	event := func(body string) string {
		return `{"version":"2.0","headers":{"content-type":"application/json"},"requestContext":{"requestId":"r","authorizer":` +
			`{"lambda":{"gateway":"gw-1","site":"plant-1","role":"gateway","expires":4102444800}}},` +
			`"body":` + body + `,"isBase64Encoded":false}`
	}
	want := `response {"statusCode":202,"headers":{"cache-control":"no-store",` +
		`"content-security-policy":"default-src 'none'; frame-ancestors 'none'","content-type":"application/json",` +
		`"referrer-policy":"no-referrer","strict-transport-security":"max-age=63072000","x-content-type-options":"nosniff"},` +
		`"body":"{\"accepted\":1,\"rejected\":0,\"errors\":[]}"}`
	start := time.Now()
	if got := b.invoke(t, event(string(body))); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	decoder, err := telemetry.NewDecoder(telemetry.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	var batch telemetry.Batch
	if err := decoder.Decode(<-b.records, &batch); err != nil {
		t.Fatal(err)
	}
	sent := telemetry.Event{Device: "press-1", Metric: "temperature", Time: telemetry.MicrosOf(at), Value: 71.25}
	if diff := cmp.Diff(sent, batch.Event(0)); diff != "" || batch.Gateway != "gw-1" || batch.Len() != 1 {
		t.Errorf("on the stream (-want +got):\n%s", diff)
	}

	if got := b.invoke(t, event(`"hello"`)); !strings.HasPrefix(got, `response {"statusCode":400,`) {
		t.Errorf("not JSON: got %s", got)
	}
	if got := b.invoke(t, `{"Records":[]}`); !strings.HasPrefix(got, "error ") {
		t.Errorf("another service's event: got %s", got)
	}
	if got := b.invoke(t, event(string(body))); got != want {
		t.Errorf("after an error: got %s", got)
	}

	// Lambda shuts the execution environment down: the last flush has all samples.
	if err := function.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := function.Wait(); err != nil {
		t.Errorf("shutdown: got %v, want exit code 0", err)
	}
	inTime = time.Since(start) < 250*time.Millisecond
	close(b.stop)
	return b.checkMetrics(), inTime
}

// checkMetrics returns what is wrong with the samples that Prometheus got: first zeros, and
// the counts at the end.
func (b *bench) checkMetrics() (wrong []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, want := range map[string]float64{
		"insighthub_invocations_total": 4, "insighthub_invocation_errors_total": 1, "insighthub_invocation_duration_seconds_count": 4,
		"insighthub_ingest_requests_total202": 2, "insighthub_ingest_requests_total400": 1, "insighthub_ingest_requests_total500": 1,
		"insighthub_ingest_requests_total503":              0,
		"insighthub_ingest_request_duration_seconds_count": 4, "insighthub_ingest_records_total": 2,
	} {
		got := b.samples[key]
		if len(got) != 2 || got[0] != 0 || got[1] != want {
			wrong = append(wrong, fmt.Sprintf("%s: got %v, want 0 and %v", key, got, want))
		}
	}
	if got := b.samples["insighthub_function_memory_bytes"]; len(got) != 2 || got[0] != 512<<20 {
		wrong = append(wrong, fmt.Sprintf("insighthub_function_memory_bytes: got %v, want 512 MiB twice", got))
	}
	if n := len(b.samples); n > metrics.SeriesPerInstance {
		wrong = append(wrong, fmt.Sprintf("got %d series of one environment, want at most %d", n, metrics.SeriesPerInstance))
	}
	return wrong
}
