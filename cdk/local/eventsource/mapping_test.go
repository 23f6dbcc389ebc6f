package eventsource

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestInvokesAtOnceWithoutWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(nil)
		r.fn.takes = 50 * time.Millisecond
		m := r.start(t, nil)
		r.stream.put(shard0, "a")
		synctest.Wait()
		r.stream.put(shard0, "b", "c")
		r.stream.put(shard0, "d")
		settle(200 * time.Millisecond)
		// The first is delivered immediately; the others gather while it is in flight.
		if diff := cmp.Diff([]int{1, 3}, r.fn.sizes()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got := r.checkpoint(t); got != "104" || !m.Idle() || m.Lag() != 0 {
			t.Errorf("checkpoint %s, idle %v, lag %d, want 104, true, 0", got, m.Idle(), m.Lag())
		}
		mustClose(t, m)
	})
}

func TestWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(nil)
		m := r.start(t, func(s *Settings) { s.Window, s.BatchSize = time.Second, 5 })
		defer m.Close(t.Context())
		r.stream.put(shard0, "a")
		settle(600 * time.Millisecond)
		r.stream.put(shard0, "a")
		settle(399 * time.Millisecond)
		if n := r.fn.sizes(); n != nil {
			t.Errorf("batches of %v before the end of the window, want none", n)
		}
		settle(2 * time.Millisecond)
		if diff := cmp.Diff([]int{2}, r.fn.sizes()); diff != "" {
			t.Errorf("batches at the end of the window (-want +got):\n%s", diff)
		}
		r.stream.put(shard0, oneKey(7)...)
		synctest.Wait()
		if diff := cmp.Diff([]int{2, 5}, r.fn.sizes()); diff != "" {
			t.Errorf("batches at the batch size (-want +got):\n%s", diff)
		}
		settle(1001 * time.Millisecond)
		if diff := cmp.Diff([]int{2, 5, 2}, r.fn.sizes()); diff != "" {
			t.Errorf("batches at the end (-want +got):\n%s", diff)
		}
	})
}

func TestPayloadLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(nil)
		r.stream.put(shard0, oneKey(10)...)
		for i := range r.stream.shards[shard0].records {
			r.stream.shards[shard0].records[i].Data = make([]byte, 1<<20)
		}
		m := r.start(t, nil)
		settle(time.Second)
		if diff := cmp.Diff([]int{4, 4, 2}, r.fn.sizes()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if bytes, calls := m.Stats().PayloadBytes, int64(3); bytes > calls*payloadBytes {
			t.Errorf("%d bytes in %d invocations, want at most %d each", bytes, calls, payloadBytes)
		}
		mustClose(t, m)
	})
}

func TestPartialResponseRetriesFromFirstFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(func(call int, s []string) (Response, error) {
			if call == 1 {
				return failure(s[3], s[2]), nil
			}
			return Response{Payload: []byte("null")}, nil
		})
		r.stream.put(shard0, oneKey(5)...)
		m := r.start(t, nil)
		synctest.Wait()
		if got := r.checkpoint(t); got != "102" {
			t.Errorf("checkpoint %s before the retry, want 102", got)
		}
		settle(time.Second)
		if diff := cmp.Diff([]int{5, 3}, r.fn.sizes()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got := r.checkpoint(t); got != "105" {
			t.Errorf("checkpoint %s, want 105", got)
		}
		mustClose(t, m)
	})
}

func TestBisectIsolatesPoison(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		poison := fmt.Sprintf("%056d", 103)
		r := newRig(func(_ int, s []string) (Response, error) {
			if slices.Contains(s, poison) {
				return Response{FunctionError: "Unhandled"}, nil
			}
			return Response{}, nil
		})
		r.stream.put(shard0, oneKey(8)...)
		m := r.start(t, func(s *Settings) { s.BisectOnError, s.MaxRetries = true, 1 })
		settle(10 * time.Minute)
		if diff := cmp.Diff(map[string]int{poison: 1}, r.sink.sequences(t)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		// 8 → 4 → 2 → (101,102 done) 103,104 → 103, its retry, discarded → 104 → 105..108
		if diff := cmp.Diff([]int{8, 4, 2, 2, 1, 1, 1, 4}, r.fn.sizes()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got := r.checkpoint(t); got != "108" {
			t.Errorf("checkpoint %s, want 108", got)
		}
		mustClose(t, m)
	})
}

func TestFailureObject(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(func(int, []string) (Response, error) { return Response{FunctionError: "Unhandled"}, nil })
		r.sink.broken = 2
		r.stream.put(shard0, "a", "b")
		m := r.start(t, func(s *Settings) { s.MaxRetries = 2 })
		settle(time.Minute)
		if len(r.sink.all()) != 1 {
			t.Fatalf("%d objects, want 1", len(r.sink.all()))
		}
		for key, data := range r.sink.all() {
			want := "aws/lambda/7f0c2d0e-0000-4000-8000-000000000001/shardId-000000000000/2000/01/01/2000-01-01T00.00.00-id-6"
			if key != want {
				t.Errorf("key %s, want %s", key, want)
			}
			var got map[string]any
			if err := json.Unmarshal(data, &got); err != nil {
				t.Fatal(err)
			}
			payload, _ := got["payload"].(string)
			if !strings.HasPrefix(payload, `{"Records":[{"kinesis":`) {
				t.Errorf("payload %q, want an event of records", payload)
			}
			delete(got, "payload")
			delete(got["requestContext"].(map[string]any), "requestId")
			wantBody := map[string]any{
				"requestContext": map[string]any{
					"functionArn": testSettings().FunctionARN, "condition": "RetryAttemptsExhausted",
					"approximateInvokeCount": 3.0,
				},
				"responseContext": map[string]any{
					"statusCode": 200.0, "executedVersion": "$LATEST", "functionError": "Unhandled",
				},
				"version": "1.0", "timestamp": "2000-01-01T00:00:00.600Z",
				"KinesisBatchInfo": map[string]any{
					"shardId": shard0, "startSequenceNumber": fmt.Sprintf("%056d", 101),
					"endSequenceNumber":               fmt.Sprintf("%056d", 102),
					"approximateArrivalOfFirstRecord": "2000-01-01T00:00:00.000Z",
					"approximateArrivalOfLastRecord":  "2000-01-01T00:00:00.000Z",
					"batchSize":                       2.0, "streamArn": testSettings().StreamARN,
				},
			}
			if diff := cmp.Diff(wantBody, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		if m.Stats().Discarded != 2 || r.checkpoint(t) != "102" {
			t.Errorf("stats %+v, checkpoint %s, want 2 discarded and 102", m.Stats(), r.checkpoint(t))
		}
		mustClose(t, m)
	})
}

func TestThrottlingIsNotAnAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(func(call int, _ []string) (Response, error) {
			if call <= 20 {
				return Response{}, ErrThrottled
			}
			return Response{}, nil
		})
		r.stream.put(shard0, "a")
		m := r.start(t, func(s *Settings) { s.MaxRetries, s.MaxRecordAge = 0, Infinite })
		settle(time.Hour)
		if s := m.Stats(); s.NotInvoked != 20 || s.Invocations != 1 || s.Discarded != 0 || s.Records != 1 {
			t.Errorf("stats %+v, want 20 not invoked, 1 invocation, 1 record", s)
		}
		mustClose(t, m)
	})
}

func TestRecordAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(func(int, []string) (Response, error) { return Response{}, ErrThrottled })
		r.stream.put(shard0, "a", "b")
		settle(40 * time.Second)
		r.stream.put(shard0, "a")
		m := r.start(t, func(s *Settings) { s.MaxRetries, s.MaxRecordAge = Infinite, time.Minute })
		settle(55 * time.Second)
		if got := len(r.sink.sequences(t)); got != 2 {
			t.Errorf("%d records discarded after 95 s, want the 2 older than a minute", got)
		}
		for _, data := range r.sink.all() {
			if !bytes.Contains(data, []byte(`"condition":"RecordAgeExceeded"`)) ||
				bytes.Contains(data, []byte("responseContext")) {
				t.Errorf("object %s, want the condition RecordAgeExceeded and no responseContext", data)
			}
		}
		settle(time.Minute)
		if got := len(r.sink.sequences(t)); got != 3 {
			t.Errorf("%d records discarded in the end, want 3", got)
		}
		mustClose(t, m)
	})
}

func TestChildrenWaitForTheirParents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var stuck atomic.Bool
		stuck.Store(true)
		r := newRig(func(int, []string) (Response, error) {
			if stuck.Load() {
				return Response{FunctionError: "Unhandled"}, nil
			}
			return Response{}, nil
		})
		const left, right, merged = "shardId-000000000001", "shardId-000000000002", "shardId-000000000003"
		r.stream.put(shard0, "a", "a")
		r.stream.end(shard0)
		r.stream.open(Shard{ID: left, ParentID: shard0})
		r.stream.open(Shard{ID: right, ParentID: shard0})
		r.stream.open(Shard{ID: merged, ParentID: left, AdjacentParentID: right})
		r.stream.put(merged, "a")
		r.stream.put(left, "a")
		r.stream.end(left)
		r.stream.put(right, "z")
		m := r.start(t, func(s *Settings) { s.MaxRetries = Infinite })
		settle(10 * time.Second)
		if got := len(r.fn.seen); got != 2 {
			t.Fatalf("%d records delivered while the parent is stuck, want its 2", got)
		}
		stuck.Store(false)
		settle(time.Minute)
		if got := len(r.fn.done); got != 4 {
			t.Fatalf("%d records done, want all but the merged shard's", got)
		}
		r.stream.end(right)
		settle(time.Minute)
		if got := len(r.fn.done); got != 5 {
			t.Fatalf("%d records done, want 5", got)
		}
		mustClose(t, m)
		// A restart does not read finished shards again.
		before := r.fn.invoked
		m = r.start(t, nil)
		settle(10 * time.Second)
		if r.fn.invoked != before {
			t.Errorf("%d invocations after a restart, want 0", r.fn.invoked-before)
		}
		mustClose(t, m)
	})
}

func TestParallelLanes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(nil)
		r.fn.takes = time.Second
		for i := range 40 {
			r.stream.put(shard0, fmt.Sprintf("gw-%d", i/2))
		}
		m := r.start(t, func(s *Settings) { s.Parallelization, s.BatchSize = 4, 3 })
		settle(time.Minute)
		if r.fn.maxAt != 4 || r.fn.overlap != "" || len(r.fn.done) != 40 {
			t.Errorf("%d invocations at once, overlap %q, %d records done, want 4, none, 40", r.fn.maxAt, r.fn.overlap, len(r.fn.done))
		}
		mustClose(t, m)
	})
}

func TestStartingPositions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for position, want := range map[Position]int{TrimHorizon: 3, AtTimestamp: 2, Latest: 1} {
			r := newRig(nil)
			r.stream.put(shard0, "a")
			settle(time.Second)
			at := time.Now()
			r.stream.put(shard0, "a")
			settle(time.Second)
			m := r.start(t, func(s *Settings) { s.StartingPosition, s.StartingTimestamp = position, at })
			r.stream.put(shard0, "a")
			settle(time.Second)
			if got := len(r.fn.done); got != want {
				t.Errorf("%s: %d records, want %d", position, got, want)
			}
			mustClose(t, m)
			// If there is a checkpoint, the starting position is not used.
			r.stream.put(shard0, "a")
			settle(time.Second)
			m = r.start(t, func(s *Settings) { s.StartingPosition, s.StartingTimestamp = position, at })
			settle(time.Second)
			if got := len(r.fn.done); got != want+1 {
				t.Errorf("%s: %d records after a restart, want %d", position, got, want+1)
			}
			mustClose(t, m)
		}
	})
}

func TestCloseDrainsAndAborts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(nil)
		r.fn.takes = 5 * time.Second
		r.stream.put(shard0, oneKey(250)...)
		m := r.start(t, nil)
		settle(time.Second)
		mustClose(t, m)
		if got := r.checkpoint(t); got != "200" || len(r.fn.sizes()) != 1 {
			t.Errorf("checkpoint %s after batches %v, want 200 after one", got, r.fn.sizes())
		}
		m = r.start(t, nil)
		settle(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := m.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close after its deadline: %v, want %v", err, context.DeadlineExceeded)
		}
		if got := r.checkpoint(t); got != "200" {
			t.Errorf("checkpoint %s after an aborted invocation, want 200", got)
		}
	})
}

func TestReadErrorsAreRetried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(nil)
		r.stream.broken = 5
		r.stream.put(shard0, "a")
		m := r.start(t, nil)
		settle(time.Minute)
		if len(r.fn.done) != 1 {
			t.Errorf("%d records delivered, want 1", len(r.fn.done))
		}
		mustClose(t, m)
	})
}

func TestStartRejects(t *testing.T) {
	t.Parallel()
	s := testSettings()
	s.TumblingWindow = time.Minute
	c := Config{Settings: s, Stream: newFakeStream(), Log: slog.New(slog.DiscardHandler), Now: time.Now}
	if _, err := Start(t.Context(), c); !errors.Is(err, ErrSettings) {
		t.Errorf("with a tumbling window: %v, want %v", err, ErrSettings)
	}
	c.Settings = testSettings()
	if _, err := Start(t.Context(), c); err == nil {
		t.Error("without a shard: got nil, want an error")
	}
}

func TestMemorySnapshot(t *testing.T) {
	t.Parallel()
	var a, b Memory
	a.Save("m", "s", Checkpoint{Sequence: "7"})
	a.Save("m", "done", Checkpoint{Sequence: "9", Finished: true})
	var buf bytes.Buffer
	if err := a.Snapshot(&buf); err != nil {
		t.Fatal(err)
	}
	if err := b.Restore(&buf); err != nil {
		t.Fatal(err)
	}
	if c, ok := b.Load("m", "done"); !ok || c != (Checkpoint{Sequence: "9", Finished: true}) {
		t.Errorf("restored %+v, %v, want sequence 9, finished", c, ok)
	}
	if _, ok := b.Load("m", "other"); ok {
		t.Error("Load returned a checkpoint that was never saved")
	}
	if err := b.Restore(strings.NewReader("{")); err == nil {
		t.Error("Restore of a truncated snapshot: got nil, want an error")
	}
}
