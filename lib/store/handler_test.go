package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/store"
	"github.com/insighthub/insighthub/lib/telemetry"
)

var arrival = time.Date(2026, 11, 23, 9, 8, 33, 123_000_000, time.UTC)

// textSource decodes payloads of lines: one record a line, its messages separated
// by "+". A line "unpackable" is an aggregated record that cannot be decoded.
type textSource struct{}

func (textSource) Records(dst []telemetry.Record, payload []byte) ([]telemetry.Record, error) {
	if string(payload) == "broken" {
		return dst, fmt.Errorf("%w: broken payload", telemetry.ErrInvalid)
	}
	for i, line := range bytes.Split(payload, []byte("\n")) {
		dst = append(dst, telemetry.Record{
			Stream: "arn:stream", Shard: "shard-0", SequenceNumber: telemetry.Sequence(fmt.Sprint(100 + i)), PartitionKey: "g",
			Arrival: arrival, Data: line,
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

func (textSource) Response(from telemetry.Sequence) []byte { return []byte(from) }

// textDecoder makes a message's text the batch's gateway, with one event.
type textDecoder struct{}

func (textDecoder) Decode(message []byte, into *telemetry.Batch) error {
	into.Reset()
	text := string(message)
	if strings.HasPrefix(text, "garbage") {
		return fmt.Errorf("%w: %s", telemetry.ErrInvalid, text)
	}
	into.Gateway, into.Received = telemetry.GatewayID(text), telemetry.MicrosOf(arrival)-10
	at := telemetry.MicrosOf(arrival)
	switch text {
	case "future":
		at += 2 * 86400_000_000
	case "past":
		at -= 3655 * 86400_000_000
	}
	into.Append(telemetry.Event{Device: "d", Metric: "m", Time: at})
	return nil
}

// scriptedWriter remembers the gateways of the batches that it stored. A write fails if
// one of its batches is of the gateway invalid, down (unavailable) or odd (unknown error).
type scriptedWriter struct {
	stored             []string
	invalid, down, odd string
	block              bool
	deadline           time.Time
}

func (w *scriptedWriter) Write(ctx context.Context, batches []*telemetry.Batch) (store.Outcome, error) {
	w.deadline, _ = ctx.Deadline()
	if w.block {
		<-ctx.Done()
		return store.Outcome{}, ctx.Err()
	}
	var names []string
	for _, b := range batches {
		names = append(names, string(b.Gateway))
	}
	switch {
	case slices.Contains(names, w.down):
		return store.Outcome{}, fmt.Errorf("%w: down", telemetry.ErrUnavailable)
	case slices.Contains(names, w.odd):
		return store.Outcome{}, errors.New("odd")
	case slices.Contains(names, w.invalid):
		return store.Outcome{}, fmt.Errorf("%w: rejected", telemetry.ErrInvalid)
	}
	w.stored = append(w.stored, names...)
	return store.Outcome{Stored: len(names), Committed: 7}, nil
}

type deadLetters struct {
	put  map[string]string
	down bool
}

func (l *deadLetters) Put(_ context.Context, key string, body []byte, contentType string) error {
	if l.down {
		return telemetry.ErrUnavailable
	}
	if contentType != "application/json" {
		return fmt.Errorf("content type %q", contentType)
	}
	l.put[key] = string(body)
	return nil
}

type fixture struct {
	handler     *store.Handler
	writer      *scriptedWriter
	deadLetters *deadLetters
	log         bytes.Buffer
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{writer: &scriptedWriter{}, deadLetters: &deadLetters{put: map[string]string{}}}
	f.handler = newHandler(t, f, f.writer)
	return f
}

func TestInvoke(t *testing.T) {
	const prefix = "poison/2026/11/23/shard-0-"
	for name, c := range map[string]struct {
		payload      string
		arrange      func(*fixture)
		response     string
		stored       []string
		deadLettered []string
	}{
		"all good":                           {payload: "a\nb+c\nd", stored: []string{"a", "b", "c", "d"}},
		"poison between good records":        {payload: "a\ngarbage\nc", stored: []string{"a", "c"}, deadLettered: []string{"101"}},
		"poison part of an aggregate":        {payload: "a+garbage+c\nd", stored: []string{"a", "c", "d"}, deadLettered: []string{"100-1"}},
		"aggregate that cannot be decoded":   {payload: "unpackable\nb", stored: []string{"b"}, deadLettered: []string{"100"}},
		"ticks are skipped":                  {payload: "T\nT\x00+a\nT\x00more\nb", stored: []string{"a", "b"}},
		"nothing but ticks":                  {payload: "T\x00\nT\x00"},
		"nothing but poison":                 {payload: "garbage\ngarbage", deadLettered: []string{"100", "101"}},
		"event times too late and too early": {payload: "future\npast\nc", stored: []string{"c"}, deadLettered: []string{"100", "101"}},
		"rejected by the database": {
			payload: "a\nbad\nc+bad+d", arrange: func(f *fixture) { f.writer.invalid = "bad" },
			stored: []string{"a", "c", "d"}, deadLettered: []string{"101", "102-1"},
		},
		"database unavailable": {payload: "a\nb", arrange: func(f *fixture) { f.writer.down = "b" }, response: "100"},
		"database unavailable, poison first": {
			payload: "garbage\nb\ngarbage", arrange: func(f *fixture) { f.writer.down = "b" },
			response: "101", deadLettered: []string{"100"},
		},
		"database unavailable, invalid batch first": {
			payload: "a\nbad\nc\nd", arrange: func(f *fixture) { f.writer.invalid, f.writer.down = "bad", "c" }, response: "100",
		},
		"unknown failure": {payload: "a\nb", arrange: func(f *fixture) { f.writer.odd = "a" }, response: "100"},
		"dead letters unavailable": {
			payload: "a\ngarbage\nc", arrange: func(f *fixture) { f.deadLetters.down = true },
			response: "101", stored: []string{"a", "c"},
		},
		"dead letters unavailable, only poison": {
			payload: "garbage\ngarbage", arrange: func(f *fixture) { f.deadLetters.down = true }, response: "100",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			if c.arrange != nil {
				c.arrange(f)
			}
			response, err := f.handler.Invoke(t.Context(), []byte(c.payload))
			if err != nil {
				t.Fatal(err)
			}
			if string(response) != c.response {
				t.Errorf("response: got retry from %q, want %q", response, c.response)
			}
			if diff := cmp.Diff(c.stored, f.writer.stored); diff != "" {
				t.Errorf("stored differs (-want +got):\n%s", diff)
			}
			var deadLettered []string
			for key := range f.deadLetters.put {
				deadLettered = append(deadLettered, strings.TrimSuffix(strings.TrimPrefix(key, prefix), ".json"))
			}
			slices.Sort(deadLettered)
			if diff := cmp.Diff(c.deadLettered, deadLettered); diff != "" {
				t.Errorf("deadLettered differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInvokeStopsWhenUnavailable(t *testing.T) {
	f := newFixture(t)
	f.writer.invalid = "bad"
	calls := 0
	f.handler = newHandler(t, f, writerFunc(func(ctx context.Context, batches []*telemetry.Batch) (store.Outcome, error) {
		if calls++; calls == 4 {
			return store.Outcome{}, telemetry.ErrUnavailable
		}
		return f.writer.Write(ctx, batches)
	}))
	response, err := f.handler.Invoke(t.Context(), []byte("a\nbad\nc\nd"))
	if err != nil || string(response) != "102" {
		t.Errorf("response: got %q, %v, want a retry from 102", response, err)
	}
	if diff := cmp.Diff([]string{"a"}, f.writer.stored); diff != "" || len(f.deadLetters.put) != 1 {
		t.Errorf("got %v stored and %d dead letters, want [a] and 1", f.writer.stored, len(f.deadLetters.put))
	}
}

type writerFunc func(context.Context, []*telemetry.Batch) (store.Outcome, error)

func (f writerFunc) Write(ctx context.Context, batches []*telemetry.Batch) (store.Outcome, error) {
	return f(ctx, batches)
}

func newHandler(t *testing.T, f *fixture, w store.Writer) *store.Handler {
	t.Helper()
	h, err := store.New(store.Config{
		Source: textSource{}, Decoder: textDecoder{}, Writer: w, DeadLetters: f.deadLetters,
		Metrics: prometheus.NewRegistry(), Log: slog.New(slog.NewJSONHandler(&f.log, nil)), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestOneEventDoesNotTakeItsBatchAlong: some events are rejected before the write, some by
// the database. The dead letter has their indexes in the record.
func TestOneEventDoesNotTakeItsBatchAlong(t *testing.T) {
	at := telemetry.MicrosOf(arrival)
	record := telemetry.Batch{Gateway: "gw-1"}
	for i, value := range []float64{0, math.NaN(), 2, 3, math.Inf(1), 5, 6, 7} {
		record.Append(telemetry.Event{Device: "d", Metric: "m", Time: at + telemetry.Micros(i), Value: value})
	}
	record.Time[0] = at / 1000 // milliseconds
	record.Quality[6], record.Value[6] = telemetry.Bad, math.NaN()
	var written []float64
	f := newFixture(t)
	var names publishedNames
	h, err := store.New(store.Config{
		Source: textSource{}, Decoder: fixedDecoder{&record}, DeadLetters: f.deadLetters, Names: &names,
		Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return arrival },
		Writer: writerFunc(func(_ context.Context, batches []*telemetry.Batch) (store.Outcome, error) {
			written = slices.Clone(batches[0].Value)
			return store.Outcome{Stored: 2, Crowded: []telemetry.GatewayID{"gw-2"}, Rejected: []telemetry.RejectedEvent{
				{Batch: 0, Event: 1, Reason: "no room"}, {Batch: 0, Event: 4, Reason: "no room"},
			}}, nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if response, err := h.Invoke(t.Context(), []byte("x")); err != nil || len(response) > 0 {
			t.Fatalf("got %q, %v", response, err)
		}
	}
	if diff := cmp.Diff([]float64{2, 3, 5, math.NaN(), 7}, written, cmpopts.EquateNaNs()); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
	var letter struct {
		Reason   string
		Data     []byte
		Rejected []struct {
			Event  int
			Reason string
		}
	}
	if err := json.Unmarshal([]byte(f.deadLetters.put["poison/2026/11/23/shard-0-100.json"]), &letter); err != nil {
		t.Fatal(err)
	}
	var events []int
	for _, r := range letter.Rejected {
		events = append(events, r.Event)
	}
	if !slices.Equal(events, []int{0, 1, 3, 4, 7}) || letter.Rejected[2].Reason != "no room" || string(letter.Data) != "x" {
		t.Errorf("got %+v, want the events 0, 1, 3, 4 and 7", letter)
	}
	if !strings.HasPrefix(letter.Reason, "invalid: 5 of 8 events, the first is event 0: time 1795424913123 is too old") ||
		!strings.HasSuffix(letter.Reason, "it looks like milliseconds: microseconds would be 1795424913123000") {
		t.Errorf("got reason %q", letter.Reason)
	}
	// gw-1 once, since ingest should know by now.
	if want := []telemetry.GatewayID{"gw-1", "gw-2", "gw-2"}; !slices.Equal(names, want) {
		t.Errorf("published %v, want %v", names, want)
	}
}

type publishedNames []telemetry.GatewayID

func (p *publishedNames) Publish(_ context.Context, gateway telemetry.GatewayID) error {
	*p = append(*p, gateway)
	return nil
}

// fixedDecoder decodes every message to the same batch.
type fixedDecoder struct{ batch *telemetry.Batch }

func (d fixedDecoder) Decode(_ []byte, into *telemetry.Batch) error {
	into.Reset()
	into.Gateway = d.batch.Gateway
	for i := range d.batch.Len() {
		into.Append(d.batch.Event(i))
	}
	return nil
}

// TestEventsThatTheDecoderLeavesOut are in the dead letter, in the order of the record.
func TestEventsThatTheDecoderLeavesOut(t *testing.T) {
	at := telemetry.MicrosOf(arrival)
	record := telemetry.Batch{Gateway: "gw-1", Site: "s"}
	for i, device := range []telemetry.DeviceName{"a#b", "d", "d", "a%b", "d", "a#b"} {
		record.Append(telemetry.Event{Device: device, Metric: "m", Time: at + telemetry.Micros(i), Value: float64(i)})
	}
	record.Value[2] = math.Inf(1)
	encoder, err := telemetry.NewEncoder(telemetry.NoCompression)
	if err != nil {
		t.Fatal(err)
	}
	data, err := encoder.AppendRecord(nil, &record)
	if err != nil {
		t.Fatal(err)
	}
	// The encoder refuses such names; without its checksum the record can be changed.
	data = bytes.ReplaceAll(bytes.ReplaceAll(data[:len(data)-4], []byte("a#b"), []byte("a\nb")), []byte("a%b"), []byte("a\xffb"))
	data[1] &^= 2
	decoder, err := telemetry.NewDecoder(telemetry.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	h, err := store.New(store.Config{
		Source: wholeSource{data: data}, Decoder: decoder, DeadLetters: f.deadLetters,
		Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return arrival },
		Writer: writerFunc(func(_ context.Context, batches []*telemetry.Batch) (store.Outcome, error) {
			if diff := cmp.Diff([]float64{1, 4}, batches[0].Value); diff != "" || batches[0].Event(1).Device != "d" {
				t.Errorf("written (-want +got):\n%s", diff)
			}
			return store.Outcome{Stored: 1, Rejected: []telemetry.RejectedEvent{{Event: 1, Reason: "no room"}}}, nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if response, err := h.Invoke(t.Context(), []byte("x")); err != nil || len(response) > 0 {
		t.Fatalf("got %q, %v", response, err)
	}
	const want = `"rejected":[{"event":0,"reason":"device: name: control character U+000A at byte 1"},` +
		`{"event":2,"reason":"value +Inf is not finite; only a bad reading may be NaN, which is no value"},` +
		`{"event":3,"reason":"device: name: byte 1 is not UTF-8"},{"event":4,"reason":"no room"},` +
		`{"event":5,"reason":"device: name: control character U+000A at byte 1"}]}`
	if got := f.deadLetters.put["poison/2026/11/23/shard-0-100.json"]; !strings.HasSuffix(got, want) {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// wholeSource has one record, whatever the payload is.
type wholeSource struct {
	textSource

	data []byte
}

func (s wholeSource) Messages(dst [][]byte, _ []byte) ([][]byte, error) {
	return append(dst, s.data), nil
}

func TestInvokeBrokenPayload(t *testing.T) {
	if _, err := newFixture(t).handler.Invoke(t.Context(), []byte("broken")); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("got error %v, want ErrInvalid", err)
	}
}

func TestInvokeLeavesTimeForTheResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.writer.block = true
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		deadline, _ := ctx.Deadline()
		response, err := f.handler.Invoke(ctx, []byte("a"))
		if err != nil || string(response) != "100" {
			t.Errorf("response: got %q, %v, want a retry from 100", response, err)
		}
		if left := deadline.Sub(f.writer.deadline); left != 20*time.Millisecond {
			t.Errorf("got %v left for the response, want 20ms, a tenth of the time", left)
		}
	})
}

func TestInvokeReusesMemory(t *testing.T) {
	f := newFixture(t)
	for range 3 {
		if response, err := f.handler.Invoke(t.Context(), []byte("a\ngarbage\nb+garbage+c")); err != nil || len(response) > 0 {
			t.Fatalf("response: got %q, %v, want none to retry", response, err)
		}
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "a", "b", "c", "a", "b", "c"}, f.writer.stored); diff != "" {
		t.Errorf("stored differs (-want +got):\n%s", diff)
	}
	if len(f.deadLetters.put) != 2 {
		t.Errorf("got %d dead letters, want the same 2 each time", len(f.deadLetters.put))
	}
}

func TestDeadLetterAndLogLine(t *testing.T) {
	f, started := newFixture(t), time.Now()
	if _, err := f.handler.Invoke(t.Context(), []byte("a\ngarbage")); err != nil {
		t.Fatal(err)
	}
	want := `{"reason":"invalid: garbage","stream":"arn:stream","shard":"shard-0","sequence_number":"101",` +
		`"partition_key":"g","arrival":"2026-11-23T09:08:33.123Z","data":"Z2FyYmFnZQ=="}`
	if got := f.deadLetters.put["poison/2026/11/23/shard-0-101.json"]; got != want {
		t.Errorf("dead letter: got %s\nwant %s", got, want)
	}
	lines := strings.Split(strings.TrimSpace(f.log.String()), "\n")
	var line map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &line); err != nil {
		t.Fatal(err)
	}
	delete(line, "time")
	taken, _ := line["taken"].(float64)
	if taken < float64(telemetry.MicrosOf(started)) || taken > float64(telemetry.MicrosOf(time.Now())) {
		t.Errorf("taken: got %v, want a time during the test", line["taken"])
	}
	delete(line, "taken")
	at := float64(telemetry.MicrosOf(arrival))
	if diff := cmp.Diff(map[string]any{
		"level": "INFO", "msg": "stored", "records": 2.0, "bytes": 8.0, "events": 1.0, "duplicates": 0.0, "conflicts": 0.0,
		"poison": 1.0, "rejected": 0.0,
		"oldest": at, "received": at - 10, "arrived": at, "committed": 7.0,
	}, line); diff != "" {
		t.Errorf("line differs (-want +got):\n%s", diff)
	}
}
