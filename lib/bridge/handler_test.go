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

// textSource reads payloads of lines "shard sequence second messages", where
// messages are values joined by "+".
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

// textDecoder reads "gateway:second:value".
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

// notes is a receiver that notes the last values of series.
type notes struct {
	got      []string
	err      error
	left     int // writes before err, unless that is nil
	rejected []Rejection
	lags     uint64
	deadline time.Time
}

func (n *notes) Write(ctx context.Context, samples []kpi.Sample) (Written, error) {
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
				return Written{}, errors.New("a histogram of another window")
			}
		}
	}
	return Written{Samples: len(samples), Rejected: n.rejected}, nil
}

type lineage map[string][]string // parents

func (l lineage) Shard(_ context.Context, id string) (parents []string, firstHash, lastHash string, err error) {
	ranges := map[string][2]string{ // MD5 of "a" begins with 0c, of "b" with 92
		"low":  {"0", "170141183460469231731687303715884105727"},
		"high": {"170141183460469231731687303715884105728", "340282366920938463463374607431768211455"},
	}
	if r, ok := ranges[id]; ok {
		return l[id], r[0], r[1], nil
	}
	return l[id], "0", "340282366920938463463374607431768211455", nil
}

type bench struct {
	*Handler
	t        *testing.T
	receiver *notes
	objects  shardstate.Objects
	states   *shardstate.Store[*State]
	log      bytes.Buffer
}

func newBench(t *testing.T, family lineage) *bench {
	t.Helper()
	b := &bench{t: t, receiver: &notes{}, objects: &shardstatetest.Memory{}}
	b.cold(family)
	return b
}

func (b *bench) cold(family lineage) {
	b.t.Helper()
	log := slog.New(slog.NewTextHandler(&b.log, nil))
	machines, err := NewMachines(MachinesConfig{Rules: &table{rules: DefaultRules()}, Log: log, Now: time.Now})
	if err != nil {
		b.t.Fatal(err)
	}
	codec, err := NewCodec(kpi.Config{Machines: machines, Limits: kpi.Limits{Gateways: 4}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.states, err = shardstate.New(shardstate.Config[*State]{Objects: b.objects, Lineage: family, Codec: codec, Consumer: "bridge", Stream: "s"})
	if err != nil {
		b.t.Fatal(err)
	}
	b.Handler, err = New(Config{
		Source: textSource{}, Decoder: textDecoder{}, States: b.states, Receiver: b.receiver, Machines: machines,
		Metrics: prometheus.NewRegistry(), Log: log, Now: time.Now,
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// invoke expects that the invocation ends well, and that the values are written in it.
func (b *bench) invoke(payload string, want ...string) {
	b.t.Helper()
	b.receiver.got = nil
	answer, err := b.Invoke(b.t.Context(), []byte(payload))
	if err != nil || string(answer) != "done" {
		b.t.Errorf("%s: %s, %v", payload, answer, err)
	}
	if got := fmt.Sprint(b.receiver.got); got != fmt.Sprint(want) {
		b.t.Errorf("%s: wrote %s, want %s", payload, got, want)
	}
}

func (b *bench) fail(payload string, want error) {
	b.t.Helper()
	if _, err := b.Invoke(b.t.Context(), []byte(payload)); !errors.Is(err, want) {
		b.t.Errorf("%s: error %v, want %v", payload, err, want)
	}
}

func TestWindowsAreWrittenOnce(t *testing.T) {
	b := newBench(t, nil)
	b.invoke("s 1 101 a:101:1")
	b.invoke("s 2 102 a:102:2+b:103:9")
	b.invoke("s 2 102 a:102:2\ns 3 107 a:106:3", "a@105=2", "b@105=9")
	b.invoke("s 3 107 a:106:3") // all of it again
	b.invoke("")
	b.cold(nil)
	b.invoke("s 4 112 a:111:4", "a@110=3")
	if b.receiver.lags != 4 { // those of the three events before 105, and of the one before 110
		t.Errorf("%d lags, want 4", b.receiver.lags)
	}
}

func TestRubbishMovesTheClock(t *testing.T) {
	b := newBench(t, nil)
	b.invoke("s 1 101 a:101:1\ns 2 106 rubbish+a:104:5\ns 3 107 unpackable", "a@105=5")
	if log := b.log.String(); strings.Count(log, "record skipped") != 2 || !strings.Contains(log, "poison=2") || !strings.Contains(log, "sequence=3") {
		t.Errorf("log %s", log)
	}
}

func TestReceiverAway(t *testing.T) {
	b := newBench(t, nil)
	b.invoke("s 1 101 a:101:1")
	b.receiver.err = telemetry.ErrUnavailable
	for range 3 {
		b.fail("s 2 107 a:106:2\ns 3 112 a:111:3", telemetry.ErrUnavailable)
	}
	b.receiver.err = nil
	b.invoke("s 2 107 a:106:2", "a@105=1")
	b.invoke("s 3 112 a:111:3\ns 4 117 a:116:4", "a@110=2", "a@115=3")
}

// TestWindowsBeforeAFailedWriteAreNotWrittenAgain fails the third write of an
// invocation that closes three windows.
func TestWindowsBeforeAFailedWriteAreNotWrittenAgain(t *testing.T) {
	const three = "s 2 107 a:106:2\ns 3 112 a:111:3\ns 4 117 a:116:4"
	b := newBench(t, nil)
	b.invoke("s 1 101 a:101:1")
	b.receiver.err, b.receiver.left = telemetry.ErrUnavailable, 2 // the window of 100 is without events
	b.receiver.got = nil
	b.fail(three, telemetry.ErrUnavailable)
	if got := fmt.Sprint(b.receiver.got); got != "[a@105=1]" {
		t.Errorf("before the failure: wrote %s, want [a@105=1]", got)
	}
	b.receiver.got = nil
	b.fail(three, telemetry.ErrUnavailable) // what the attempts before have written is not forgotten
	if got := fmt.Sprint(b.receiver.got); got != "[]" {
		t.Errorf("while the receiver is unavailable: wrote %s", got)
	}
	b.receiver.err = nil
	b.invoke("s 2 107 a:106:2\ns 3 112 a:111:3", "a@110=2")
	b.invoke("s 4 117 a:116:4\ns 5 122 a:121:5", "a@115=3", "a@120=4")
}

// flaky is objects whose next write fails, before or after it was applied.
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

func TestWhatWasWrittenIsNotWrittenAgainByTheSameProcess(t *testing.T) {
	b := newBench(t, nil)
	objects := &flaky{}
	b.objects = objects
	b.cold(nil)
	b.invoke("s 1 101 a:101:1")
	objects.fail = true
	b.fail("s 2 107 a:106:2\ns 3 112 a:111:3", telemetry.ErrUnavailable)
	b.invoke("s 2 107 a:106:2") // written, and not saved
	b.invoke("s 3 112 a:111:3\ns 4 117 a:116:4", "a@110=2", "a@115=3")
	objects.fail = true
	b.fail("s 5 122 a:121:5", telemetry.ErrUnavailable)
	b.cold(nil)
	b.invoke("s 5 122 a:121:5", "a@120=4") // another process does not know
}

func TestZombie(t *testing.T) {
	one := newBench(t, nil)
	two := newBench(t, nil)
	two.objects = one.objects
	two.cold(nil)
	one.invoke("s 1 101 a:101:1")
	lease, err := two.states.Load(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	one.invoke("s 2 107 a:106:2", "a@105=1")
	if err := lease.Save(t.Context(), "2"); !errors.Is(err, telemetry.ErrConflict) {
		t.Errorf("the zombie has saved: %v", err)
	}
	two.invoke("s 2 107 a:106:2\ns 3 112 a:111:3", "a@110=2")
	one.invoke("s 4 117 a:116:4", "a@115=3")
}

func TestOneBadSeries(t *testing.T) {
	b := newBench(t, nil)
	b.receiver.rejected = []Rejection{{Series: "{bad}", Reason: "not to my taste", Samples: 2}, {Series: "{old}", Reason: "out of order", Samples: 3, Duplicate: true}}
	b.invoke("s 1 101 a:101:1\ns 2 107 a:107:2", "a@105=1") // in two writes: the window of 100 was empty
	log := b.log.String()
	for _, want := range []string{"series={bad}", "not to my taste", "rejected=4", "duplicate_samples=6"} {
		if !strings.Contains(log, want) {
			t.Errorf("log without %s: %s", want, log)
		}
	}
	if strings.Contains(log, "series={old}") {
		t.Error("what is known is named as if it were a fault")
	}
	b.receiver.rejected = make([]Rejection, 3*maxNamed)
	b.log.Reset()
	b.invoke("s 3 112 a:112:2", "a@110=2")
	if n := strings.Count(b.log.String(), "sample rejected"); n != maxNamed {
		t.Errorf("%d lines for %d refused series", n, 3*maxNamed)
	}
}

func TestPayloads(t *testing.T) {
	b := newBench(t, nil)
	b.fail("broken", telemetry.ErrInvalid)
	b.fail("s 1 101 a:101:1\nz 2 101 a:101:1", telemetry.ErrInvalid)
	b.fail("s 2 101 a:101:1\ns 1 101 a:101:1", telemetry.ErrInvalid)
}

func TestLimits(t *testing.T) {
	b := newBench(t, nil)
	b.invoke("s 1 101 a:101:1+b:101:1+c:101:1+d:101:1+e:101:1+f:101:1")
	if log := b.log.String(); !strings.Contains(log, "at a limit of the state") || !strings.Contains(log, "refused=2") {
		t.Errorf("log %s", log)
	}
}

func TestTimeIsLeftForTheState(t *testing.T) {
	b := newBench(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if _, err := b.Invoke(ctx, []byte("s 1 101 a:101:1\ns 2 107 a:107:2")); err != nil {
		t.Fatal(err)
	}
	end, _ := ctx.Deadline()
	if left := end.Sub(b.receiver.deadline); left < 5*time.Minute || left > 7*time.Minute {
		t.Errorf("%s are left for the state, want a tenth of the hour", left)
	}
}

func TestSplit(t *testing.T) {
	family := lineage{"low": {"s"}, "high": {"s"}}
	b := newBench(t, family)
	b.invoke("s 1 101 a:101:1+b:101:2")
	b.invoke("low 2 107 a:107:3", "a@105=1")
	b.invoke("high 3 108 b:108:4", "b@105=2")
}

func TestMerge(t *testing.T) {
	b := newBench(t, lineage{"s": {"low", "high"}})
	b.invoke("low 1 101 a:101:1\nlow 2 108 a:108:2", "a@105=1")
	b.invoke("high 3 103 b:103:7")
	// high stands before the end of the window that low has closed.
	b.invoke("s 5 109 a:109:3", "b@105=7")
	b.invoke("s 6 112 b:112:8", "a@110=3")
}
