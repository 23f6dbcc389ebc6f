package stream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/shardstate/shardstatetest"
	"github.com/insighthub/insighthub/lib/stream"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// files is the state of the archive: gateways that are not in a file yet.
type files struct{ open []string }

// archive is a small consumer that writes a file for every two batches.
type archive struct {
	files    []string // that were written, in order
	err      error    // of writes
	deadline time.Time
	running  atomic.Int32
	overlap  bool
	written  int // in this attempt
}

func (a *archive) Begin(context.Context, shardstate.ShardID) { a.written = 0 }

func (a *archive) Fold(ctx context.Context, at *stream.Attempt[*files]) error {
	if a.running.Add(1) > 1 {
		a.overlap = true
	}
	defer a.running.Add(-1)
	return at.Each(ctx, func(b *telemetry.Batch, _ telemetry.Micros) {
		at.State.open = append(at.State.open, string(b.Gateway))
	}, func(*telemetry.Record) error {
		for len(at.State.open) >= 2 {
			file := strings.Join(at.State.open[:2], "&")
			if err := at.Perform(ctx, func(ctx context.Context) error { return a.write(ctx, file) }); err != nil {
				return err
			}
			at.State.open = at.State.open[2:]
		}
		return nil
	})
}

func (a *archive) write(ctx context.Context, file string) error {
	time.Sleep(time.Millisecond)
	a.deadline, _ = ctx.Deadline()
	if a.err != nil {
		return a.err
	}
	a.written++
	a.files = append(a.files, file)
	return nil
}

func (a *archive) Report(attrs []slog.Attr, at *stream.Attempt[*files], _ error) []slog.Attr {
	open := -1
	if at.State != nil {
		open = len(at.State.open)
	}
	return append(attrs, slog.Int("files", a.written), slog.Int("open", open))
}

type filesCodec struct{}

func (filesCodec) Append(dst []byte, s *files) ([]byte, error) {
	return append(dst, strings.Join(s.open, " ")...), nil
}

func (filesCodec) Decode(encoded []byte) (*files, error) {
	return &files{open: strings.Fields(string(encoded))}, nil
}

func (filesCodec) Inherit(shardstate.Shard, []shardstate.Parent[*files]) (*files, error) {
	return &files{}, nil
}

type oneShard struct{}

func (oneShard) Shard(context.Context, string) (parents []string, firstHash, lastHash string, err error) {
	return nil, "0", "340282366920938463463374607431768211455", nil
}

// objects is an object store that can fail, and counts requests.
type objects struct {
	shardstatetest.Memory
	getErr, putErr error
	gets, puts     int
}

func (o *objects) GetTagged(ctx context.Context, key, known string) ([]byte, string, error) {
	if o.gets++; o.getErr != nil {
		return nil, "", o.getErr
	}
	return o.Memory.GetTagged(ctx, key, known)
}

func (o *objects) PutIf(ctx context.Context, key string, body []byte, etag string) (string, error) {
	if o.puts++; o.putErr != nil {
		return "", o.putErr
	}
	return o.Memory.PutIf(ctx, key, body, etag)
}

// fixture is the archive with objects in memory; its payloads are those of words.
type fixture struct {
	*stream.Runner[*files]
	archive  *archive
	objects  *objects
	log      *bytes.Buffer
	registry *prometheus.Registry
	now      func() time.Time
}

func newFixture(t *testing.T, recall bool, over *objects) *fixture {
	t.Helper()
	f := &fixture{archive: &archive{}, objects: over, log: &bytes.Buffer{}, registry: prometheus.NewRegistry(), now: time.Now}
	states, err := shardstate.New(shardstate.Config[*files]{
		Objects: over, Lineage: oneShard{}, Codec: filesCodec{}, Consumer: "archive", Stream: "s",
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Runner, err = stream.NewRunner(stream.RunnerConfig[*files]{
		Name: "archive", Done: "archived", Consumer: f.archive, Source: words{}, Decoder: words{}, States: states, Recall: recall,
		Metrics: f.registry, Log: slog.New(slog.NewTextHandler(f.log, nil)), Now: func() time.Time { return f.now() },
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// invoke expects an invocation to return the error want and to log attrs.
func (f *fixture) invoke(t *testing.T, payload string, want error, attrs ...string) {
	t.Helper()
	f.log.Reset()
	response, err := f.Invoke(t.Context(), []byte(payload))
	if !errors.Is(err, want) || (err == nil) != (want == nil) {
		t.Fatalf("%s: got error %v, want %v", payload, err, want)
	}
	if err == nil && string(response) != "from " {
		t.Errorf("%s: got response %q, want %q", payload, response, "from ")
	}
	for _, attr := range attrs {
		if !strings.Contains(f.log.String(), attr) {
			t.Errorf("%s: log %q lacks %q", payload, f.log, attr)
		}
	}
}

// counted expects the value of a series.
func (f *fixture) counted(t *testing.T, series string, want float64) {
	t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, l := range m.GetLabel() {
				name += "{" + l.GetName() + "=" + l.GetValue() + "}"
			}
			if name == series {
				if got := m.GetCounter().GetValue() + m.GetGauge().GetValue(); got != want {
					t.Errorf("%s: got %v, want %v", series, got, want)
				}
				return
			}
		}
	}
	t.Errorf("no series %s", series)
}

func (f *fixture) wrote(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, f.archive.files); diff != "" {
		t.Errorf("files differ (-want +got):\n%s", diff)
	}
	f.archive.files = nil
}

func TestRunner(t *testing.T) {
	t.Parallel()
	for _, recall := range []bool{false, true} {
		t.Run(fmt.Sprint("recall=", recall), func(t *testing.T) {
			f := newFixture(t, recall, &objects{})
			f.invoke(t, "", nil)
			f.invoke(t, "s/a", nil, "level=INFO msg=archived shard=s records=1 skipped=0 poison=0 events=0 stale=false state_bytes=1",
				"watermark=1", "files=0 open=1")
			f.invoke(t, "s/a s/b+c s/rubbish s/d", nil, "records=4 skipped=1 poison=1", "watermark=4", "files=2 open=0")
			f.wrote(t, "a&b", "c&d")
			puts := f.objects.puts
			f.invoke(t, "s/a s/b+c s/rubbish s/d", nil, "records=4 skipped=4 poison=0", "watermark=4", "files=0 open=0")
			if f.objects.puts != puts {
				t.Errorf("got %d writes of the state when all records were in it, want 0", f.objects.puts-puts)
			}
			f.wrote(t)
			f.invoke(t, "no-record", telemetry.ErrInvalid)
			f.invoke(t, "s/a t/b", telemetry.ErrInvalid)
			f.invoke(t, "s/1 s/2 s/3 s/4 s/late=7 s/early=5", telemetry.ErrInvalid, "msg=\"not archived\"")
			f.wrote(t)
		})
	}
}

// TestRunnerFailures redelivers records after failures before, in and after the effects.
func TestRunnerFailures(t *testing.T) {
	t.Parallel()
	unavailable := fmt.Errorf("%w: on purpose", telemetry.ErrUnavailable)
	f := newFixture(t, false, &objects{})
	f.objects.getErr = unavailable
	f.invoke(t, "s/a s/b", telemetry.ErrUnavailable, "level=WARN msg=\"not archived\" shard=s records=2 skipped=0", "open=-1", "on purpose")
	f.objects.getErr = nil
	f.archive.err = errors.New("disk full")
	f.invoke(t, "s/a s/b", f.archive.err, "level=ERROR", "files=0")
	f.archive.err = nil
	f.objects.putErr = unavailable
	f.invoke(t, "s/a s/b", telemetry.ErrUnavailable, "level=WARN", "files=1")
	f.wrote(t, "a&b")
	f.objects.putErr = nil
	f.invoke(t, "s/a s/b s/c", nil, "files=1 open=1")
	f.wrote(t, "a&b") // repeated: the state of the failed invocation was not saved, and not reused
	f.invoke(t, "s/a s/b s/c s/d", nil, "skipped=3")
	f.wrote(t, "c&d")
	f.counted(t, "insighthub_archive_invocations_total{outcome=done}", 2)
	f.counted(t, "insighthub_archive_invocations_total{outcome=failed}", 3)
}

// TestRunnerStale runs the invocations of a shard in two processes in turn.
func TestRunnerStale(t *testing.T) {
	t.Parallel()
	over := &objects{}
	one, two := newFixture(t, true, over), newFixture(t, true, over)
	one.invoke(t, "s/a", nil, "stale=false")
	two.invoke(t, "s/a s/b", nil, "skipped=1", "files=1")
	two.wrote(t, "a&b")
	over.gets = 0
	one.invoke(t, "s/a s/b s/c", nil, "stale=true", "skipped=2", "files=0 open=1")
	one.wrote(t) // not "a&b" again, which follows from its stale state
	over.getErr = telemetry.ErrUnavailable
	two.invoke(t, "s/a s/b s/c", telemetry.ErrUnavailable) // nothing to do, but that is not confirmed
	one.invoke(t, "s/a s/b s/c s/d", telemetry.ErrUnavailable)
	one.wrote(t)
	over.getErr = nil
	one.invoke(t, "s/a s/b s/c s/d", nil)
	one.wrote(t, "c&d")
}

// TestRunnerConfirmsBeforeItSkips: skipping all records depends on the state, too.
func TestRunnerConfirmsBeforeItSkips(t *testing.T) {
	t.Parallel()
	f := newFixture(t, true, &objects{})
	f.invoke(t, "s/a", nil)
	f.objects.getErr = telemetry.ErrUnavailable
	f.invoke(t, "s/a", telemetry.ErrUnavailable)
}

func TestRunnerLeavesTimeForTheState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, false, &objects{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		if _, err := f.Invoke(ctx, []byte("s/a s/b")); err != nil {
			t.Fatal(err)
		}
		if left := start.Add(time.Hour).Sub(f.archive.deadline); left != 6*time.Minute {
			t.Errorf("got %v left for the state, want 6m, a tenth of the hour", left)
		}
		// The clock of the test advances by the millisecond of the write alone.
		if log := f.log.String(); !strings.Contains(log, "load_us=0 fold_us=0 write_us=1000 save_us=0") {
			t.Errorf("phases: got %s, want only write_us=1000", log)
		}
	})
}

func TestRunnerRunsOneInvocationAtATime(t *testing.T) {
	t.Parallel()
	f := newFixture(t, false, &objects{})
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			if _, err := f.Invoke(t.Context(), fmt.Appendf(nil, "shard-%d/a shard-%d/b", i, i)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if f.archive.overlap || len(f.archive.files) != 8 {
		t.Errorf("got %d files, overlap=%t; want 8, one after the other", len(f.archive.files), f.archive.overlap)
	}
}

func TestRunnerMetrics(t *testing.T) {
	t.Parallel()
	f := newFixture(t, false, &objects{})
	f.now = func() time.Time { return time.Unix(12, 0) }
	f.invoke(t, "s/a@8 s/rubbish@9", nil)
	f.counted(t, "insighthub_archive_handled_timestamp_seconds{shard=s}", 12)
	f.counted(t, "insighthub_archive_poison_records_total", 1)
	f.counted(t, "insighthub_archive_state_bytes", 1)
	f.counted(t, "insighthub_archive_arrival_timestamp_seconds{shard=s}", 9)
	for _, phase := range []string{"load", "fold", "write", "save"} {
		f.counted(t, "insighthub_archive_phase_seconds_total{phase="+phase+"}", 0)
	}
	if _, err := stream.NewRunner(stream.RunnerConfig[*files]{Name: "archive", Metrics: f.registry}); err == nil {
		t.Error("two consumers of one name in a registry: want an error")
	}
}
