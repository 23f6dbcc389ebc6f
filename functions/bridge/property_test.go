package main

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
	"github.com/insighthub/insighthub/lib/shardstate/shardstatetest"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/loadtest/fleet/fleettest"
)

// stream generates the records of a small fleet for a minute and a half: gateways are
// silent for a while, send late events and duplicate batches, and some records are poison.
func stream(tb testing.TB, t *rapid.T) []fleettest.Record {
	tb.Helper()
	p := fleettest.New(tb, 2, 2, 2, noon)
	silent := rapid.IntRange(0, 80).Draw(t, "silent from")
	var out []fleettest.Record
	for s := range 90 {
		at := noon.Add(time.Duration(s+1) * time.Second)
		for g := range p.Gateways {
			b := p.Batch(g, at) // also advances the machines of a silent gateway
			if g == 1 && s >= silent && s < silent+rapid.SampledFrom([]int{0, 5, 70}).Draw(t, "silence") {
				continue
			}
			arrival := at.Add(time.Duration(20+g) * time.Millisecond)
			switch rapid.IntRange(0, 30).Draw(t, "kind") {
			case 0: // some or all events are late
				b = late(b)
			case 1:
				out = append(out, p.Poison(arrival))
			case 2:
				out = append(out, p.Record(b, arrival))
			}
			out = append(out, p.Record(b, arrival))
		}
	}
	return out
}

// late returns a batch with its events moved 6.5 s back, to times that no other event has.
func late(b *telemetry.Batch) *telemetry.Batch {
	out := &telemetry.Batch{Gateway: b.Gateway, Site: b.Site, Received: b.Received}
	for i := range b.Len() {
		e := b.Event(i)
		e.Time -= 6_500_000 + 7
		out.Append(e)
	}
	return out
}

// TestFaultsChangeNothing delivers a stream in random batches, with redeliveries, a
// receiver that fails in the middle of a write, and processes that die between the
// write and the save. The samples must equal those of a recomputation.
func TestFaultsChangeNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		records := stream(t, rt)
		s, objects := newSink(), &shardstatetest.Crashing{}
		f := &fixture{objects: objects, sink: s}
		f.restart(t)
		cold := 0
		for done := 0; done < len(records); {
			next := min(len(records), done+rapid.IntRange(1, 60).Draw(rt, "records"))
			from := max(0, done-rapid.SampledFrom([]int{0, 0, 3, 30}).Draw(rt, "redelivered"))
			fault := rapid.IntRange(0, 6).Draw(rt, "fault")
			left := rapid.IntRange(0, 300).Draw(rt, "series before the fault")
			s.down = func(int) int { return -1 }
			switch fault {
			case 0:
				objects.Before = true
			case 1:
				objects.After = true
			case 2:
				s.down = func(n int) int { // a fault in the first write or a later one
					if left -= n; left < 0 {
						return left + n
					}
					return -1
				}
			}
			_, err := f.handler.Invoke(t.Context(), fleettest.Payload(records[from:next]))
			if err == nil {
				done = next
			} else if fault > 2 {
				rt.Fatal(err)
			}
			if objects.Crashed || rapid.IntRange(0, 9).Draw(rt, "cold") == 0 {
				f.restart(t)
				cold++
			}
			objects.Before, objects.After, objects.Crashed = false, false, false
		}
		if log := f.log.String(); strings.Contains(log, "sample rejected") {
			i := strings.Index(log, "sample rejected")
			rt.Errorf("a sample was rejected: %s", log[i:min(len(log), i+300)])
		}
		if cold == 0 && s.outOfOrder > 0 {
			rt.Errorf("got %d samples again from the process that had written them, want 0", s.outOfOrder)
		}
		compare(rt, recompute(records), s)
	})
}

// compare compares the sink's samples with the recomputation, except for metrics that
// the recomputation leaves out.
func compare(t rapid.TB, want map[string][]remotewrite.Sample, s *sink) {
	t.Helper()
	metrics := map[string]bool{}
	metric := func(key string) string { return strings.SplitN(key, `"`, 3)[1] }
	wrong := 0
	for key, samples := range want {
		metrics[metric(key)] = true
		if have := s.stored[key]; !slices.EqualFunc(samples, have, same) {
			if wrong++; wrong <= 3 {
				t.Errorf("%s:\ngot %v\nwant %v", key, have, samples)
			}
		}
	}
	for key := range s.stored {
		if _, ok := want[key]; !ok && metrics[metric(key)] {
			t.Errorf("%s: got samples, want none", key)
		}
	}
	// Each accepted event has a lag.
	for key, samples := range want {
		if metric(key) != "insighthub_window_events" || s.lags == nil {
			continue
		}
		samples = slices.DeleteFunc(slices.Clone(samples), func(s remotewrite.Sample) bool { return s.Value == 0 })
		lags := s.lags[strings.Replace(key, "insighthub_window_events", "insighthub_ingest_lag_seconds", 1)]
		if !slices.EqualFunc(samples, lags, func(s remotewrite.Sample, h remotewrite.Histogram) bool {
			return s.Timestamp == h.Timestamp && s.Value == float64(h.Count) && consistent(h)
		}) {
			t.Errorf("%s: got lags %v, want those of %v events", key, lags, samples)
		}
	}
	if len(want) == 0 {
		t.Error("nothing to compare")
	}
}

func same(a, b remotewrite.Sample) bool {
	return a.Timestamp == b.Timestamp && math.Abs(a.Value-b.Value) <= 1e-12*math.Abs(a.Value)
}

// consistent reports whether the classic and the native form of a histogram have the
// same counts; the upper bounds of the classic buckets are also native ones.
func consistent(h remotewrite.Histogram) bool {
	n := h.Native
	cumulative := func(bound float64) uint64 {
		total, at, index, count := n.ZeroCount, 0, int32(0), int64(0)
		for i, span := range n.PositiveSpans {
			if index += span.Offset; i == 0 {
				index = span.Offset
			}
			for range span.Length {
				count += n.PositiveDeltas[at]
				if math.Exp2(float64(index)/4) <= bound*1.000001 {
					total += uint64(count)
				}
				at++
				index++
			}
		}
		return total
	}
	for _, b := range h.Buckets {
		if b.CumulativeCount != cumulative(b.UpperBound) {
			return false
		}
	}
	return cumulative(math.Inf(1)) == h.Count && h.Sum > 0
}
