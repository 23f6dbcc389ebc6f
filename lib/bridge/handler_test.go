package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/shardstate"
	"github.com/insighthub/insighthub/lib/shardstate/shardstatetest"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// textSource decodes payloads of lines "shard sequence second messages", where
// messages are those of textDecoder, joined by "+".
type textSource struct{}

func (textSource) Records(dst []telemetry.Record, payload []byte) ([]telemetry.Record, error) {
	if string(payload) == "broken" {
		return dst, telemetry.ErrInvalid
	}
	for line := range bytes.Lines(payload) {
		f := bytes.Fields(line)
		second, err := strconv.Atoi(string(f[2]))
		if err != nil {
			return dst, err
		}
		dst = append(dst, telemetry.Record{
			Shard: telemetry.ShardID(f[0]), SequenceNumber: telemetry.Sequence(f[1]),
			Arrival: time.Unix(int64(second), 0), Data: f[3],
		})
	}
	return dst, nil
}

func (textSource) Messages(dst [][]byte, data []byte) ([][]byte, error) {
	if string(data) == "unpackable" {
		return dst, fmt.Errorf("%w: unpackable", telemetry.ErrInvalid)
	}
	return append(dst, bytes.Split(data, []byte("+"))...), nil
}

func (textSource) Response(telemetry.Sequence) []byte { return []byte("done") }

// textDecoder decodes "gateway:second:value".
type textDecoder struct{}

func (textDecoder) Decode(message []byte, into *telemetry.Batch) error {
	into.Reset()
	f := strings.Split(string(message), ":")
	if len(f) != 3 {
		return fmt.Errorf("%w: %s", telemetry.ErrInvalid, message)
	}
	second, _ := strconv.Atoi(f[1])
	value, _ := strconv.ParseFloat(f[2], 64)
	into.Gateway, into.Site, into.Received = telemetry.GatewayID(f[0]), "plant", telemetry.Micros(second)*1e6+1000
	into.Append(telemetry.Event{Device: "d", Metric: "m", Time: telemetry.Micros(second) * 1e6, Value: value})
	return nil
}

// recorder is a receiver that records the last values of series.
type recorder struct {
	got      []string
	err      error
	left     int // writes before err, unless that is nil
	rejected []Rejection
	lags     uint64
	deadline time.Time
}

func (n *recorder) Write(ctx context.Context, samples []kpi.Sample) (Written, error) {
	n.deadline, _ = ctx.Deadline()
	if n.left--; n.err != nil && n.left < 0 {
		return Written{}, n.err
	}
	for _, s := range samples {
		if s.Name == kpi.SeriesLast {
			n.got = append(n.got, fmt.Sprintf("%s@%d=%v", s.Gateway, s.Time/1e6, s.Value))
		}
		if s.Lags != nil {
			n.lags += s.Lags.Count
			if uint64(s.Value) != s.Lags.Count {
				return Written{}, errors.New("histogram of another window")
			}
		}
	}
	return Written{Samples: len(samples), Settled: len(samples), Rejected: n.rejected}, nil
}

type fixture struct {
	*Handler
	t        *testing.T
	receiver *recorder
	objects  shardstate.Objects
	states   *shardstate.Store[*State]
	log      bytes.Buffer
	slog     *slog.Logger
	machines *Machines
}

func newFixture(t *testing.T, family shardstatetest.Lineage) *fixture {
	t.Helper()
	f := &fixture{t: t, receiver: &recorder{}, objects: &shardstatetest.Memory{}}
	f.restart(family)
	return f
}

func (f *fixture) restart(family shardstatetest.Lineage) {
	f.t.Helper()
	log := slog.New(slog.NewTextHandler(&f.log, nil))
	machines := NewMachines(MachinesConfig{Rules: &table{rules: DefaultRules()}, Log: log, Now: time.Now})
	codec, err := NewCodec(kpi.Config{Machines: machines, Limits: kpi.Limits{Gateways: 4}})
	if err != nil {
		f.t.Fatal(err)
	}
	f.states, err = shardstate.New(shardstate.Config[*State]{
		Objects: f.objects, Lineage: family, Codec: codec, Consumer: "bridge", Stream: "s",
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.machines, f.slog = machines, log
	f.Handler = f.with(f.receiver)
}

// with returns a handler with another receiver.
func (f *fixture) with(receiver Receiver) *Handler {
	f.t.Helper()
	h, err := New(Config{
		Source: textSource{}, Decoder: textDecoder{}, States: f.states, Receiver: receiver, Machines: f.machines,
		Metrics: prometheus.NewRegistry(), Log: f.slog, Now: time.Now,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return h
}

// invoke expects that the invocation succeeds and writes the values.
func (f *fixture) invoke(payload string, want ...string) {
	f.t.Helper()
	f.receiver.got = nil
	response, err := f.Invoke(f.t.Context(), []byte(payload))
	if err != nil || string(response) != "done" {
		f.t.Errorf("%s: got response %q, %v", payload, response, err)
	}
	if got := fmt.Sprint(f.receiver.got); got != fmt.Sprint(want) {
		f.t.Errorf("%s: got written %s, want %s", payload, got, want)
	}
}

func (f *fixture) fail(payload string, want error) {
	f.t.Helper()
	if _, err := f.Invoke(f.t.Context(), []byte(payload)); !errors.Is(err, want) {
		f.t.Errorf("%s: got error %v, want %v", payload, err, want)
	}
}

func TestWindowsAreWrittenOnce(t *testing.T) {
	f := newFixture(t, nil)
	f.invoke("s 1 101 a:101:1")
	f.invoke("s 2 102 a:102:2+b:103:9")
	f.invoke("s 2 102 a:102:2\ns 3 107 a:106:3", "a@105=2", "b@105=9")
	f.invoke("s 3 107 a:106:3") // a redelivery
	f.invoke("")
	f.restart(nil)
	f.invoke("s 4 112 a:111:4", "a@110=3")
	if f.receiver.lags != 4 { // those of the three events before 105, and of the one before 110
		t.Errorf("got %d lags, want 4", f.receiver.lags)
	}
}

func TestPoisonRecordAdvancesTheClock(t *testing.T) {
	f := newFixture(t, nil)
	f.invoke("s 1 101 a:101:1\ns 2 106 rubbish+a:104:5\ns 3 107 unpackable", "a@105=5")
	if log := f.log.String(); strings.Count(log, "record skipped") != 2 ||
		!strings.Contains(log, "poison=2") || !strings.Contains(log, "sequence=3") {
		t.Errorf("log lacks 2 skipped records, poison=2 or sequence=3: %s", log)
	}
}

// TestTicksCloseWindows expects the windows of a shard that receives nothing but ticks, in
// each invocation or in one.
func TestTicksCloseWindows(t *testing.T) {
	f := newFixture(t, nil)
	f.invoke("s 1 101 a:101:1")
	f.invoke("s 2 106 T")
	f.invoke("s 3 107 T", "a@105=1")
	f.invoke("s 4 111 a:108:2\ns 5 112 T", "a@110=2")
	f.invoke("s 6 130 T")
	if log := f.log.String(); strings.Contains(log, "record skipped") || !strings.Contains(log, "poison=0") {
		t.Errorf("a tick is poison: %s", log)
	}
}

func TestReceiverUnavailable(t *testing.T) {
	f := newFixture(t, nil)
	f.invoke("s 1 101 a:101:1")
	f.receiver.err = telemetry.ErrUnavailable
	for range 3 {
		f.fail("s 2 107 a:106:2\ns 3 112 a:111:3", telemetry.ErrUnavailable)
	}
	f.receiver.err = nil
	f.invoke("s 2 107 a:106:2", "a@105=1")
	f.invoke("s 3 112 a:111:3\ns 4 117 a:116:4", "a@110=2", "a@115=3")
}

// TestWindowsBeforeAFailedWriteAreNotRepeated fails the third write of an
// invocation that closes three windows.
func TestWindowsBeforeAFailedWriteAreNotRepeated(t *testing.T) {
	const three = "s 2 107 a:106:2\ns 3 112 a:111:3\ns 4 117 a:116:4"
	f := newFixture(t, nil)
	f.invoke("s 1 101 a:101:1")
	f.receiver.err, f.receiver.left = telemetry.ErrUnavailable, 2 // the window that ends at 100 has no events
	f.receiver.got = nil
	f.fail(three, telemetry.ErrUnavailable)
	if got := fmt.Sprint(f.receiver.got); got != "[a@105=1]" {
		t.Errorf("before the failure: got written %s, want [a@105=1]", got)
	}
	f.receiver.got = nil
	f.fail(three, telemetry.ErrUnavailable) // the process remembers what the previous attempt has written
	if got := fmt.Sprint(f.receiver.got); got != "[]" {
		t.Errorf("while the receiver is unavailable: got written %s, want []", got)
	}
	f.receiver.err = nil
	f.invoke("s 2 107 a:106:2\ns 3 112 a:111:3", "a@110=2")
	f.invoke("s 4 117 a:116:4\ns 5 122 a:121:5", "a@115=3", "a@120=4")
}

// flaky is objects whose next write fails and is not applied.
type flaky struct {
	shardstatetest.Memory
	fail bool
}

func (f *flaky) PutIf(ctx context.Context, key string, body []byte, etag string) (string, error) {
	if f.fail {
		f.fail = false
		return "", telemetry.ErrUnavailable
	}
	return f.Memory.PutIf(ctx, key, body, etag)
}

func TestSameProcessDoesNotRepeatWrittenWindows(t *testing.T) {
	f := newFixture(t, nil)
	objects := &flaky{}
	f.objects = objects
	f.restart(nil)
	f.invoke("s 1 101 a:101:1")
	objects.fail = true
	f.fail("s 2 107 a:106:2\ns 3 112 a:111:3", telemetry.ErrUnavailable)
	f.invoke("s 2 107 a:106:2") // the samples are written already, but the state was not saved
	f.invoke("s 3 112 a:111:3\ns 4 117 a:116:4", "a@110=2", "a@115=3")
	objects.fail = true
	f.fail("s 5 122 a:121:5", telemetry.ErrUnavailable)
	f.restart(nil)
	f.invoke("s 5 122 a:121:5", "a@120=4") // another process repeats them
}

func TestZombie(t *testing.T) {
	one := newFixture(t, nil)
	two := newFixture(t, nil)
	two.objects = one.objects
	two.restart(nil)
	one.invoke("s 1 101 a:101:1")
	lease, err := two.states.Load(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	one.invoke("s 2 107 a:106:2", "a@105=1")
	if err := lease.Save(t.Context(), "2"); !errors.Is(err, telemetry.ErrConflict) {
		t.Errorf("save of the zombie: got %v, want telemetry.ErrConflict", err)
	}
	two.invoke("s 2 107 a:106:2\ns 3 112 a:111:3", "a@110=2")
	one.invoke("s 4 117 a:116:4", "a@115=3")
}

func TestRejectedSeries(t *testing.T) {
	f := newFixture(t, nil)
	f.receiver.rejected = []Rejection{
		{Series: "{bad}", Reason: "label too long", Samples: 2},
		{Series: "{old}", Reason: "out of order", Samples: 3, Duplicate: true},
	}
	f.invoke("s 1 101 a:101:1\ns 2 107 a:107:2", "a@105=1") // in two writes: the window that ends at 100 is empty
	log := f.log.String()
	for _, want := range []string{"series={bad}", "label too long", "rejected=4", "duplicate_samples=6"} {
		if !strings.Contains(log, want) {
			t.Errorf("log lacks %s: %s", want, log)
		}
	}
	if strings.Contains(log, "series={old}") {
		t.Error("duplicate samples are logged as rejected")
	}
	f.receiver.rejected = make([]Rejection, 3*maxLogged)
	f.log.Reset()
	f.invoke("s 3 112 a:112:2", "a@110=2")
	if n := strings.Count(f.log.String(), "sample rejected"); n != maxLogged {
		t.Errorf("got %d log lines for %d rejected series, want %d", n, 3*maxLogged, maxLogged)
	}
}

func TestInvalidPayloads(t *testing.T) {
	f := newFixture(t, nil)
	f.fail("broken", telemetry.ErrInvalid)
	f.fail("s 1 101 a:101:1\nz 2 101 a:101:1", telemetry.ErrInvalid)
	f.fail("s 2 101 a:101:1\ns 1 101 a:101:1", telemetry.ErrInvalid)
}

func TestLimits(t *testing.T) {
	f := newFixture(t, nil)
	f.invoke("s 1 101 a:101:1+b:101:1+c:101:1+d:101:1+e:101:1+f:101:1")
	if log := f.log.String(); !strings.Contains(log, "at a limit of the state") || !strings.Contains(log, "refused=2") {
		t.Errorf("log lacks the warning or refused=2: %s", log)
	}
}

func TestInvokeLeavesTimeForTheState(t *testing.T) {
	f := newFixture(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if _, err := f.Invoke(ctx, []byte("s 1 101 a:101:1\ns 2 107 a:107:2")); err != nil {
		t.Fatal(err)
	}
	end, _ := ctx.Deadline()
	if left := end.Sub(f.receiver.deadline); left < 5*time.Minute || left > 7*time.Minute {
		t.Errorf("got %s left for the state, want about 6m, a tenth of the hour", left)
	}
}

func TestSplit(t *testing.T) {
	family := shardstatetest.Lineage{"low": {"s"}, "high": {"s"}}
	f := newFixture(t, family)
	f.invoke("s 1 101 a:101:1+b:101:2")
	f.invoke("low 2 107 a:107:3", "a@105=1")
	f.invoke("high 3 108 b:108:4", "b@105=2")
}

func TestMerge(t *testing.T) {
	f := newFixture(t, shardstatetest.Lineage{"s": {"low", "high"}})
	f.invoke("low 1 101 a:101:1\nlow 2 108 a:108:2", "a@105=1")
	f.invoke("high 3 103 b:103:7")
	// The clock of high is before the end of the window that low has closed.
	f.invoke("s 5 109 a:109:3", "b@105=7")
	f.invoke("s 6 112 b:112:8", "a@110=3")
}
