package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/store"
	"github.com/insighthub/insighthub/lib/telemetry"
)

var arrival = time.Date(2026, 11, 23, 9, 8, 33, 123_000_000, time.UTC)

// textSource reads payloads of lines: one record a line, its messages separated
// by "+". A line "unpackable" is an aggregated record that is broken.
type textSource struct{}

func (textSource) Records(dst []telemetry.Record, payload []byte) ([]telemetry.Record, error) {
	if string(payload) == "broken" {
		return dst, fmt.Errorf("%w: broken payload", telemetry.ErrInvalid)
	}
	for i, line := range bytes.Split(payload, []byte("\n")) {
		dst = append(dst, telemetry.Record{
			Stream: "arn:stream", Shard: "shard-0", SequenceNumber: telemetry.Sequence(fmt.Sprint(100 + i)), PartitionKey: "g", Arrival: arrival, Data: line,
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

func (textSource) Answer(from telemetry.Sequence) []byte { return []byte(from) }

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

// scriptedWriter stores what it is given, except that batches named in invalid
// are, that a write with one named in down fails, and one in odd oddly.
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
		return store.Outcome{}, fmt.Errorf("%w: refused", telemetry.ErrInvalid)
	}
	w.stored = append(w.stored, names...)
	return store.Outcome{Stored: len(names), Committed: 7}, nil
}

type letters struct {
	put  map[string]string
	down bool
}

func (l *letters) Put(_ context.Context, key string, body []byte, contentType string) error {
	if l.down {
		return telemetry.ErrUnavailable
	}
	if contentType != "application/json" {
		return fmt.Errorf("content type %q", contentType)
	}
	l.put[key] = string(body)
	return nil
}

type bench struct {
	handler *store.Handler
	writer  *scriptedWriter
	letters *letters
	log     bytes.Buffer
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{writer: &scriptedWriter{}, letters: &letters{put: map[string]string{}}}
	var err error
	b.handler, err = store.New(store.Config{
		Source: textSource{}, Decoder: textDecoder{}, Writer: b.writer, DeadLetters: b.letters,
		Metrics: prometheus.NewRegistry(), Log: slog.New(slog.NewJSONHandler(&b.log, nil)), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestInvoke(t *testing.T) {
	const prefix = "poison/2026/11/23/shard-0-"
	for name, c := range map[string]struct {
		payload string
		arrange func(*bench)
		answer  string
		stored  []string
		buried  []string
	}{
		"all good":                    {payload: "a\nb+c\nd", stored: []string{"a", "b", "c", "d"}},
		"poison beside good":          {payload: "a\ngarbage\nc", stored: []string{"a", "c"}, buried: []string{"101"}},
		"poison part of an aggregate": {payload: "a+garbage+c\nd", stored: []string{"a", "c", "d"}, buried: []string{"100-1"}},
		"broken aggregate":            {payload: "unpackable\nb", stored: []string{"b"}, buried: []string{"100"}},
		"nothing but poison":          {payload: "garbage\ngarbage", buried: []string{"100", "101"}},
		"future and past":             {payload: "future\npast\nc", stored: []string{"c"}, buried: []string{"100", "101"}},
		"refused by the database":     {payload: "a\nbad\nc+bad+d", arrange: func(b *bench) { b.writer.invalid = "bad" }, stored: []string{"a", "c", "d"}, buried: []string{"101", "102-1"}},
		"database down":               {payload: "a\nb", arrange: func(b *bench) { b.writer.down = "b" }, answer: "100"},
		"database down, poison first": {payload: "garbage\nb\ngarbage", arrange: func(b *bench) { b.writer.down = "b" }, answer: "101", buried: []string{"100"}},
		"database goes down while one by one": {
			payload: "a\nbad\nc\nd", arrange: func(b *bench) { b.writer.invalid, b.writer.down = "bad", "c" }, answer: "100",
		},
		"unknown failure":         {payload: "a\nb", arrange: func(b *bench) { b.writer.odd = "a" }, answer: "100"},
		"dead letters down":       {payload: "a\ngarbage\nc", arrange: func(b *bench) { b.letters.down = true }, answer: "101", stored: []string{"a", "c"}},
		"no dead letters, no one": {payload: "garbage\ngarbage", arrange: func(b *bench) { b.letters.down = true }, answer: "100"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			if c.arrange != nil {
				c.arrange(b)
			}
			answer, err := b.handler.Invoke(t.Context(), []byte(c.payload))
			if err != nil {
				t.Fatal(err)
			}
			if string(answer) != c.answer {
				t.Errorf("retry from %q, want %q", answer, c.answer)
			}
			if diff := cmp.Diff(c.stored, b.writer.stored); diff != "" {
				t.Errorf("stored differs (-want +got):\n%s", diff)
			}
			var buried []string
			for key := range b.letters.put {
				buried = append(buried, strings.TrimSuffix(strings.TrimPrefix(key, prefix), ".json"))
			}
			slices.Sort(buried)
			if diff := cmp.Diff(c.buried, buried); diff != "" {
				t.Errorf("buried differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInvokeIsolatesOnlyUntilDown(t *testing.T) {
	b := newBench(t)
	b.writer.invalid = "bad"
	calls := 0
	b.handler = remake(t, b, writerFunc(func(ctx context.Context, batches []*telemetry.Batch) (store.Outcome, error) {
		if calls++; calls == 4 {
			return store.Outcome{}, telemetry.ErrUnavailable
		}
		return b.writer.Write(ctx, batches)
	}))
	answer, err := b.handler.Invoke(t.Context(), []byte("a\nbad\nc\nd"))
	if err != nil || string(answer) != "102" {
		t.Errorf("answer = %q, %v, want a retry from 102", answer, err)
	}
	if diff := cmp.Diff([]string{"a"}, b.writer.stored); diff != "" || len(b.letters.put) != 1 {
		t.Errorf("stored %v and %d letters, want a and one", b.writer.stored, len(b.letters.put))
	}
}

type writerFunc func(context.Context, []*telemetry.Batch) (store.Outcome, error)

func (f writerFunc) Write(ctx context.Context, batches []*telemetry.Batch) (store.Outcome, error) {
	return f(ctx, batches)
}

func remake(t *testing.T, b *bench, w store.Writer) *store.Handler {
	t.Helper()
	h, err := store.New(store.Config{
		Source: textSource{}, Decoder: textDecoder{}, Writer: w, DeadLetters: b.letters,
		Metrics: prometheus.NewRegistry(), Log: slog.New(slog.NewJSONHandler(&b.log, nil)), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestInvokeBrokenPayload(t *testing.T) {
	if _, err := newBench(t).handler.Invoke(t.Context(), []byte("broken")); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("error = %v, want ErrInvalid", err)
	}
}

func TestInvokeLeavesTimeToAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.writer.block = true
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		deadline, _ := ctx.Deadline()
		answer, err := b.handler.Invoke(ctx, []byte("a"))
		if err != nil || string(answer) != "100" {
			t.Errorf("answer = %q, %v, want a retry from 100", answer, err)
		}
		if left := deadline.Sub(b.writer.deadline); left != 20*time.Millisecond {
			t.Errorf("%v left to answer, want a tenth of what there was", left)
		}
	})
}

func TestInvokeReusesMemory(t *testing.T) {
	b := newBench(t)
	for range 3 {
		if answer, err := b.handler.Invoke(t.Context(), []byte("a\ngarbage\nb+garbage+c")); err != nil || len(answer) > 0 {
			t.Fatalf("answer = %q, %v", answer, err)
		}
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "a", "b", "c", "a", "b", "c"}, b.writer.stored); diff != "" {
		t.Errorf("stored differs (-want +got):\n%s", diff)
	}
	if len(b.letters.put) != 2 {
		t.Errorf("%d dead letters, want the same 2 each time", len(b.letters.put))
	}
}

func TestLetterAndLogLine(t *testing.T) {
	b := newBench(t)
	if _, err := b.handler.Invoke(t.Context(), []byte("a\ngarbage")); err != nil {
		t.Fatal(err)
	}
	want := `{"reason":"invalid: garbage","stream":"arn:stream","shard":"shard-0","sequence_number":"101","partition_key":"g","arrival":"2026-11-23T09:08:33.123Z","data":"Z2FyYmFnZQ=="}`
	if got := b.letters.put["poison/2026/11/23/shard-0-101.json"]; got != want {
		t.Errorf("letter = %s\nwant %s", got, want)
	}
	lines := strings.Split(strings.TrimSpace(b.log.String()), "\n")
	var line map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &line); err != nil {
		t.Fatal(err)
	}
	delete(line, "time")
	at := float64(telemetry.MicrosOf(arrival))
	if diff := cmp.Diff(map[string]any{
		"level": "INFO", "msg": "stored", "records": 2.0, "bytes": 8.0, "events": 1.0, "duplicates": 0.0, "conflicts": 0.0, "poison": 1.0,
		"oldest": at, "received": at - 10, "committed": 7.0,
	}, line); diff != "" {
		t.Errorf("line differs (-want +got):\n%s", diff)
	}
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	_, err := store.New(store.Config{})
	for _, name := range []string{"Source", "Decoder", "Writer", "DeadLetters", "Metrics", "Log", "Now"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v does not name %s", err, name)
		}
	}
}
