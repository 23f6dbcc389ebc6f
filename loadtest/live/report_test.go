package live

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/loadtest/drive"
	"github.com/insighthub/insighthub/loadtest/live/latency"
)

// The keys of live.json are read by others.
func TestResultsKeys(t *testing.T) {
	p := drive.Percentiles{P50: 1, P95: 2, P99: 3, Max: 4}
	got, err := json.Marshal(Results{
		Scored: p, RelayScored: p, Connect: Connect{Half{1, 2}, Half{3, 4}}, ConnectsTried: 100, ConnectsOK: 99, VideoAdded: &p,
		Signaling: &Signaling{Connections: 20_000, BytesEach: 11_000, Relay: p},
	})
	if err != nil {
		t.Fatal(err)
	}
	const four = `{"p50":1,"p95":2,"p99":3,"max":4}`
	want := `{"scored_ms":` + four + `,"relay_scored_ms":` + four + `,"connect_ms":{"host":{"p50":1,"p95":2},"relay":{"p50":3,"p95":4}},` +
		`"connects_tried":100,"connects_ok":99,"video_added_ms":` + four + `,` +
		`"signaling":{"connections":20000,"bytes_each":11000,"relay_ms":` + four + `}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("live.json differs (-want +got):\n%s", diff)
	}
}

// totalsOf are those of a view in which every event took the given time in each stage.
func totalsOf(t *testing.T, micros float64) *totals {
	t.Helper()
	total := newTotals()
	zero, one := 0.0, 1.0
	r := viewReport{Events: 100, Frames: 1, Offset: &zero, Error: &one, Stages: make(map[string]latency.Counts)}
	for _, name := range stageNames() {
		r.Stages[name] = latency.Counts{Cells: [][2]int64{{int64(micros / 10), 100}}, Min: micros, Max: micros}
	}
	if err := total.add(&r); err != nil {
		t.Fatal(err)
	}
	return total
}

// Each goal is met up to its limit, and missed beyond.
func TestGoals(t *testing.T) {
	p := func(ms float64) drive.Percentiles { return drive.Percentiles{P50: ms, P95: ms, P99: ms, Max: ms} }
	video, signaling := p(40), Signaling{20_000, 12_000, p(4.9)}
	r := Report{Results: Results{
		Scored: p(2.4), RelayScored: p(4.8), Connect: Connect{Half{1, 699}, Half{1, 1999}}, ConnectsTried: 100, ConnectsOK: 100,
		VideoAdded: &video, Signaling: &signaling,
	}, Near: totalsOf(t, 2000), Faults: []fault{{"a fault", "≤ 5s", "1 s", true}}}
	for _, g := range r.goals() {
		if !g.met {
			t.Errorf("%s: %s, missed, want it met: the goal is %s", g.what, g.got, g.want)
		}
	}
	video, signaling = p(40.1), Signaling{19_999, 12_001, p(5)}
	r.Scored, r.RelayScored, r.Connect, r.ConnectsOK = p(15), p(29.9), Connect{Half{1, 700}, Half{1, 2000}}, 99
	r.Near, r.Faults[0].met = totalsOf(t, 12_000), false
	if missed := r.missed(); len(missed) != len(r.goals()) || !strings.Contains(missed[0], "15.00 ms, want < 3 ms") {
		t.Errorf("got missed goals %q, want all", missed)
	}
	for _, g := range r.goals() {
		if g.met {
			t.Errorf("%s: %s, met, want it missed: the goal is %s", g.what, g.got, g.want)
		}
	}
}

// A view that measured nothing, or frames that are not valid, are errors.
func TestTotalsRejectBadViews(t *testing.T) {
	zero := 0.0
	for name, r := range map[string]viewReport{
		"no events":     {Offset: &zero, Error: &zero},
		"no clock":      {Events: 1},
		"bad frames":    {Events: 1, Offset: &zero, Error: &zero, Invalid: 1},
		"bad histogram": {Events: 1, Offset: &zero, Error: &zero, Stages: map[string]latency.Counts{"total": {Cells: [][2]int64{{0, 0}}}}},
	} {
		if err := newTotals().add(&r); err == nil {
			t.Errorf("%s: want an error", name)
		}
	}
}

func TestPrint(t *testing.T) {
	v := func(f float64) *float64 { return &f }
	r := Report{
		Machine: "M", Commit: "c", Date: "d", Browser: "b",
		Config: Config{Rate: 10_000, Machines: 10, Rounds: 3, Phase: time.Second, Each: time.Millisecond},
		Peer:   totalsOf(t, 1000), Near: totalsOf(t, 2000), Far: totalsOf(t, 3000), Notes: []string{"a note"},
		CPU:     map[string]map[string]float64{"relay": {"chromium": 0.5, "relay": 0.1}, "peer connection": {"chromium": 0.4}},
		Results: Results{ConnectsTried: 2, ConnectsOK: 1}, Paths: map[string]int{"host/host": 1}, Problems: []string{"attempt 2: why"},
		// Half a millisecond more each minute, of the clocks a quarter.
		Minutes: []minute{{P50: v(1000), Offset: v(0)}, {P50: v(1500), Offset: v(250)}, {P50: v(2000), Offset: v(500)}},
	}
	var out bytes.Buffer
	r.Print(&out)
	for _, want := range []string{
		"M, commit c, d, b", "10000 events/s of 100 series, which are read together every 10ms; 3 rounds of 1s",
		"| peer connection | **read → scored** | 1.00 | 1.00 | 1.00 | 1.00 |", "| relay, 1ms each way | sent → received | 3.00 |",
		"| chromium | 0.40 | 0.50 |", "1 of 2 succeeded. Candidates in use: 1 × host/host.", "- failed: attempt 2: why", "- a note",
		"slope +30.000 ± 0.000 ms an hour", "slope +15.000 ± 0.000 ms an hour", "| 2 | 0 | 1.50 | ? | 0.25 | ? |",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got\n%s\nwant %q in it", out.String(), want)
		}
	}
}

func TestSlope(t *testing.T) {
	for _, c := range []struct {
		y                   []float64
		want, standardError float64
	}{
		{nil, 0, 0},
		{[]float64{5}, 0, 0},
		{[]float64{5, 7}, 2, 0},
		{[]float64{5, 5, 5}, 0, 0},
		{[]float64{1, 3, 5}, 2, 0},
		{[]float64{0, 1, 0, 1}, 0.2, math.Sqrt(0.08)}, // residuals −0.2, 0.6, −0.6, 0.2: 0.8 / 2 / 5
	} {
		got, standardError := slope(c.y)
		if math.Abs(got-c.want) > 1e-12 || math.Abs(standardError-c.standardError) > 1e-12 {
			t.Errorf("%v: got %v ± %v, want %v ± %v", c.y, got, standardError, c.want, c.standardError)
		}
	}
}
