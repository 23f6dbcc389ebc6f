package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/loadtest/drive"
	"github.com/insighthub/insighthub/loadtest/storelog"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }

func micros(ms int) int64 { return at(ms).UnixMicro() }

func equal(ms float64) drive.Percentiles {
	return drive.Percentiles{P50: ms, P95: ms, P99: ms, Max: ms}
}

// Three batches of one sample: the second is stored together with the first, the third alone,
// and delivered twice. The API is read at 30 and 52 ms.
func TestCloudStages(t *testing.T) {
	batches := []batch{
		{newest: at(20), samples: 1, series: 5, sent: at(21), acked: at(26)},
		{newest: at(0), samples: 1, series: 5, sent: at(1), acked: at(6)},
		{newest: at(10), samples: 1, series: 5, sent: at(11), acked: at(16)},
	}
	lines := []storelog.Line{
		{Oldest: micros(-10), Taken: micros(-5), Committed: micros(-4)},
		{Oldest: micros(20), Taken: micros(40), Committed: micros(48)},
		{Oldest: micros(0), Taken: micros(15), Committed: micros(23)},
		{Oldest: micros(20), Taken: micros(90), Committed: micros(99)}, // again
	}
	seen := []sighting{{at(10), at(30)}, {at(20), at(52)}}
	stages, err := cloudStages(batches, lines, seen)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]drive.Percentiles{}
	for _, s := range stages {
		got[s.Name] = s.Percentiles
	}
	if diff := cmp.Diff(map[string]drive.Percentiles{
		"read → sent":               equal(1),
		"sent → acknowledged (202)": equal(5),
		// 15 − 6, 15 − 16, 40 − 26
		"acknowledged → taken from the stream": {P50: 9, P95: 14, P99: 14, Max: 14},
		"taken → committed":                    equal(8),
		"committed → visible in the API":       {P50: 7, P95: 7, P99: 7, Max: 7},
		"**read → committed**":                 {P50: 23, P95: 28, P99: 28, Max: 28},
		"**read → visible in the API**":        {P50: 30, P95: 32, P99: 32, Max: 32},
	}, got); diff != "" {
		t.Errorf("stages differ (-want +got):\n%s", diff)
	}
}

// A batch of several samples counts with each sample's own time.
func TestCloudStagesOfSamples(t *testing.T) {
	b := batch{newest: at(100), period: 10 * time.Millisecond, samples: 4, series: 25, sent: at(101), acked: at(105)}
	stages, err := cloudStages([]batch{b}, []storelog.Line{{Oldest: micros(100), Taken: micros(106), Committed: micros(110)}},
		[]sighting{{at(100), at(111)}})
	if err != nil {
		t.Fatal(err)
	}
	if want := (drive.Percentiles{P50: 11, P95: 31, P99: 31, Max: 31}); stages[0].Percentiles != want {
		t.Errorf("read → sent: got %+v, want %+v, of samples 1, 11, 21 and 31 ms old", stages[0].Percentiles, want)
	}
	if b.events() != 100 {
		t.Errorf("got %d events, want 100", b.events())
	}
}

func TestCloudStagesIncomplete(t *testing.T) {
	b := batch{newest: at(100), samples: 1, series: 1, sent: at(101), acked: at(105)}
	stored := []storelog.Line{{Oldest: micros(100), Taken: 1, Committed: 2}}
	for name, c := range map[string]struct {
		lines []storelog.Line
		seen  []sighting
	}{
		"not stored":  {[]storelog.Line{{Oldest: micros(101)}}, []sighting{{at(100), at(111)}}},
		"not visible": {stored, []sighting{{at(99), at(111)}}},
	} {
		if _, err := cloudStages([]batch{b}, c.lines, c.seen); !errors.Is(err, errIncomplete) {
			t.Errorf("%s: got error %v, want %v", name, err, errIncomplete)
		}
	}
}

// The modelled lines come last and are marked; the sums contain them once.
func TestModelledLines(t *testing.T) {
	p := Path{
		Title: "T", Load: "1 event/s", Events: 3, Notes: []string{"a note"},
		Stages: modelled([]Stage{{Name: "whole", By: "us", Percentiles: equal(30)}}),
	}
	var out bytes.Buffer
	p.Print(&out)
	want := `
## T
1 event/s; 3 events.

| stage | p50 ms | p95 ms | p99 ms | maximum ms | times by |
| --- | ---: | ---: | ---: | ---: | --- |
| whole | 30.00 | 30.00 | 30.00 | 30.00 | us |
| *Kinesis's propagation with enhanced fan-out* | *70* | | | | AWS, published mean |
| *read → visible in the API, with enhanced fan-out* | *100* | | | | measured p50 + published mean |
| *Kinesis's propagation with shared throughput* | *200* | | | | AWS, published mean |
| *read → visible in the API, with shared throughput* | *230* | | | | measured p50 + published mean |

- a note
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("table differs (-want +got):\n%s", diff)
	}
}

// The reader notes when a newer reading is first seen, and waits for the last one.
func TestReader(t *testing.T) {
	var reads atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.String(); got != "/v1/sites/plant-1/latest?device=press-01&gateway=g&metric=temperature" {
			t.Errorf("got %s", got)
		}
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"items":[{"time":%d}]}`, micros(int(reads.Add(1)/3))) // each time for three reads
	}))
	defer server.Close()
	r := newReader(server.URL, "secret", "plant-1", "g", "press-01", "temperature")
	if err := r.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "some reads", func() bool { return reads.Load() > 4 })
	seen, err := r.stop(t.Context(), at(3))
	if err != nil || len(seen) < 4 {
		t.Fatalf("got %d sightings, %v; want one for each of 0 to 3 ms", len(seen), err)
	}
	for i := range seen[:4] {
		if !seen[i].newest.Equal(at(i)) || i > 0 && !seen[i].at.After(seen[i-1].at) {
			t.Errorf("sighting %d: got %v at %v, want that of %v, later than the one before", i, seen[i].newest, seen[i].at, at(i))
		}
	}
	wrong := newReader(server.URL, "other", "plant-1", "g", "press-01", "temperature")
	if err := wrong.start(t.Context()); err == nil || !strings.Contains(err.Error(), "401") || strings.Contains(err.Error(), "other") {
		t.Errorf("got error %v, want one with the status and without the token", err)
	}
}
