package stream_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/stream"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// words reads payloads of records "shard/messages" and messages that are gateways'
// names, joined by "+". Sequence numbers count from 1, unless "=number" follows the
// messages; "@second" after both is the arrival.
type words struct{}

func (words) Records(dst []telemetry.Record, payload []byte) ([]telemetry.Record, error) {
	for i, f := range strings.Fields(string(payload)) {
		shard, data, ok := strings.Cut(f, "/")
		if !ok {
			return dst, fmt.Errorf("%w: not a record", telemetry.ErrInvalid)
		}
		var arrival time.Time
		data, second, ok := strings.Cut(data, "@")
		if ok {
			n, err := strconv.Atoi(second)
			if err != nil {
				return dst, err
			}
			arrival = time.Unix(int64(n), 0)
		}
		data, sequence, ok := strings.Cut(data, "=")
		if !ok {
			sequence = fmt.Sprint(i + 1)
		}
		dst = append(dst, telemetry.Record{
			Shard: telemetry.ShardID(shard), SequenceNumber: telemetry.Sequence(sequence), Arrival: arrival, Data: []byte(data),
		})
	}
	return dst, nil
}

func (words) Messages(dst [][]byte, data []byte) ([][]byte, error) {
	if string(data) == "rubbish" {
		return dst, telemetry.ErrInvalid
	}
	return append(dst, bytes.Split(data, []byte("+"))...), nil
}

func (words) Response(from telemetry.Sequence) []byte { return []byte("from " + from) }

func (words) Decode(message []byte, into *telemetry.Batch) error {
	into.Reset()
	if string(message) == "" {
		return telemetry.ErrInvalid
	}
	into.Gateway, into.Received = telemetry.GatewayID(message), 7
	return nil
}

var (
	_ stream.Source  = words{}
	_ stream.Decoder = words{}
)

func TestReader(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	r := stream.Reader{Source: words{}, Decoder: words{}, Log: slog.New(slog.NewTextHandler(&log, nil))}
	records, err := r.Records([]byte("s/a+b s/rubbish s/c++T+d s/T"))
	if err != nil || len(records) != 4 {
		t.Fatal(records, err)
	}
	records[2].Arrival = time.UnixMicro(9)
	var got []string
	poison := 0
	for i := range records {
		poison += r.Batches(t.Context(), &records[i], func(b *telemetry.Batch, arrival telemetry.Micros) {
			got = append(got, fmt.Sprint(b.Gateway, arrival))
		})
	}
	if diff := cmp.Diff([]string{"a7", "b7", "c9", "d9"}, got); diff != "" {
		t.Errorf("batches differ (-want +got):\n%s", diff)
	}
	if text := log.String(); poison != 2 || strings.Count(text, "record skipped") != 2 ||
		!strings.Contains(text, "shard=s sequence=2") || !strings.Contains(text, "sequence=3") {
		t.Errorf("got %d poison parts, want 2, and the log %s", poison, text)
	}
	if got := string(r.Done()); got != "from " {
		t.Errorf("response: got %q, want %q", got, "from ")
	}
	for _, payload := range []string{"s/a t/b", "no-record"} {
		if records, err := r.Records([]byte(payload)); !errors.Is(err, telemetry.ErrInvalid) || len(records) > 0 {
			t.Errorf("%s: got %v, %v, want telemetry.ErrInvalid", payload, records, err)
		}
	}
	if records, err := r.Records(nil); err != nil || len(records) > 0 {
		t.Errorf("empty payload: got %v, %v, want no records", records, err)
	}
}

func TestLevelOf(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]slog.Level{
		telemetry.ErrUnavailable: slog.LevelWarn, telemetry.ErrConflict: slog.LevelWarn,
		telemetry.ErrInvalid: slog.LevelError, errors.New("a bug"): slog.LevelError,
	} {
		if got := stream.LevelOf(fmt.Errorf("wrapped: %w", err)); got != want {
			t.Errorf("%v: got %v, want %v", err, got, want)
		}
	}
}

// fixed decodes at no cost.
type fixed struct{ message [1][]byte }

func (*fixed) Records(dst []telemetry.Record, _ []byte) ([]telemetry.Record, error) {
	return append(dst, telemetry.Record{Shard: "s", SequenceNumber: "1"}), nil
}

func (f *fixed) Messages(dst [][]byte, _ []byte) ([][]byte, error) {
	return append(dst, f.message[:]...), nil
}
func (*fixed) Response(telemetry.Sequence) []byte    { return nil }
func (*fixed) Decode([]byte, *telemetry.Batch) error { return nil }

// BenchmarkReader measures the reader without decoding: it makes no allocation.
func BenchmarkReader(b *testing.B) {
	f := &fixed{}
	r := stream.Reader{Source: f, Decoder: f, Log: slog.New(slog.DiscardHandler)}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		records, err := r.Records(nil)
		if err != nil {
			b.Fatal(err)
		}
		for i := range records {
			r.Batches(b.Context(), &records[i], func(*telemetry.Batch, telemetry.Micros) { n++ })
		}
	}
	if n == 0 {
		b.Fatal("nothing was read")
	}
}
