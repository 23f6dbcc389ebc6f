package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// recorder is a RecordPutter that stores a copy of the records.
type recorder struct {
	err     error
	key     string
	records [][]byte
}

func (s *recorder) PutRecords(_ context.Context, key string, records [][]byte) error {
	s.key, s.records = key, nil
	for _, r := range records {
		s.records = append(s.records, bytes.Clone(r))
	}
	return s.err
}

func (s *recorder) events(tb testing.TB) []telemetry.Event {
	tb.Helper()
	decoder, err := telemetry.NewDecoder(telemetry.DefaultLimits())
	if err != nil {
		tb.Fatal(err)
	}
	var events []telemetry.Event
	for _, r := range s.records {
		var b telemetry.Batch
		if err := decoder.Decode(r, &b); err != nil {
			tb.Fatal(err)
		}
		if b.Gateway != "gw-1" || b.Site != "plant-1" || b.Received != telemetry.MicrosOf(testNow()) {
			tb.Errorf("a record of %+v", b)
		}
		for i := range b.Len() {
			events = append(events, b.Event(i))
		}
	}
	return events
}

func TestStreamPublisher(t *testing.T) {
	t.Parallel()
	for _, compression := range []telemetry.Compression{telemetry.NoCompression, telemetry.Zstd} {
		s := &recorder{}
		p, err := NewStreamPublisher(s, compression, prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		h := newTestHandler(t, p)
		for _, n := range []int{1, 1000, telemetry.MaxBatchEvents, 2} {
			want := fleetEvents(n)
			if a := invoke(t, h, recordRequest(fleetRecord(t, want)).payload(t)); a.StatusCode != 202 {
				t.Fatalf("%d events: got %d %s", n, a.StatusCode, a.Body)
			}
			if s.key != "gw-1" {
				t.Errorf("got partition key %q, want gw-1", s.key)
			}
			for i, r := range s.records {
				if len(r) > RecordBytes {
					t.Errorf("record %d: got %d bytes, want at most %d", i, len(r), RecordBytes)
				}
			}
			if compression == telemetry.NoCompression && n == telemetry.MaxBatchEvents && len(s.records) < 2 {
				t.Errorf("%d events in %d record: the test shows little", n, len(s.records))
			}
			if diff := cmp.Diff(want, s.events(t)); diff != "" {
				t.Errorf("%d events (-want +got):\n%s", n, diff)
			}
		}
	}
}

// throttled is an error of the stream that says how long to wait.
type throttled struct{ wait time.Duration }

func (r throttled) Error() string             { return "throttled" }
func (r throttled) Unwrap() error             { return telemetry.ErrUnavailable }
func (r throttled) RetryAfter() time.Duration { return r.wait }

func TestStreamUnavailable(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"1": fmt.Errorf("2 of 3 records: %w", telemetry.ErrUnavailable),
		"5": throttled{4100 * time.Millisecond},
	} {
		p, newErr := NewStreamPublisher(&recorder{err: err}, telemetry.NoCompression, prometheus.NewRegistry())
		if newErr != nil {
			t.Fatal(newErr)
		}
		a := invoke(t, newTestHandler(t, p), jsonRequest(document(goodEvent)).payload(t))
		if a.StatusCode != 503 || a.Headers["retry-after"] != want {
			t.Errorf("%v: got %d %v, want 503 with Retry-After %s", err, a.StatusCode, a.Headers, want)
		}
	}
}

func TestUnencodableBatch(t *testing.T) {
	t.Parallel()
	p, err := NewStreamPublisher(&recorder{}, telemetry.NoCompression, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	b := telemetry.Batch{Gateway: "gw-1"}
	b.Append(telemetry.Event{Device: "", Metric: "m"})
	if err := p.Publish(t.Context(), &b); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("got %v, want telemetry.ErrInvalid", err)
	}
}
