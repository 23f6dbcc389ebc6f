package live

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/insighthub/insighthub/loadtest/drive"
)

// Results is the content of live.json. Times are in ms; what was not measured is left out.
type Results struct {
	// Scored is from the reading of a value to its score in the browser, over the peer
	// connection; RelayScored through the relay in the cloud, Each away.
	Scored      drive.Percentiles `json:"scored_ms"`
	RelayScored drive.Percentiles `json:"relay_scored_ms"`
	// Connect is from the start of signaling to the first live frame.
	Connect       Connect            `json:"connect_ms"`
	ConnectsTried int                `json:"connects_tried"`
	ConnectsOK    int                `json:"connects_ok"`
	VideoAdded    *drive.Percentiles `json:"video_added_ms,omitempty"`
	Signaling     *Signaling         `json:"signaling,omitempty"`
}

// Connect are the times to connect with host candidates, and through TURN alone.
type Connect struct {
	Host  Half `json:"host"`
	Relay Half `json:"relay"`
}

// Half are two percentiles.
type Half struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
}

// Signaling is one task of the signaling service with many connections.
type Signaling struct {
	Connections int               `json:"connections"`
	BytesEach   float64           `json:"bytes_each"`
	Relay       drive.Percentiles `json:"relay_ms"`
}

// half returns the percentiles of the durations.
func half(all []time.Duration) Half {
	samples := make([]drive.Sample, len(all))
	for i, d := range all {
		samples[i] = drive.Sample{Latency: d, Weight: 1}
	}
	p := drive.PercentilesOf(samples)
	return Half{p.P50, p.P95}
}

// goal is a line of the table of goals.
type goal struct {
	what, want, got string
	met             bool
}

// Report is what live.md shows.
type Report struct {
	Results
	Machine, Commit, Date, Browser string
	Config                         Config
	Peer, Near, Far                *totals
	CPU                            map[string]map[string]float64 // by kind of phase and process, in processors
	Paths                          map[string]int                // of the connects, by candidate types
	Problems                       []string                      // connects that failed
	Minutes                        []minute
	Notes                          []string
	Faults                         []fault
}

// fault is what was done to a running view, and what became of it.
type fault struct {
	what, want, got string
	met             bool
}

func (r *Report) goals() []goal {
	s := r.Scored
	goals := []goal{
		{"read → scored, p50", "< 3 ms", ms(s.P50), s.P50 < 3},
		{"read → scored, p99", "< 15 ms", ms(s.P99), s.P99 < 15},
		ratio("read → scored, p99, to that of the relay with the delay", s.P99, r.RelayScored.P99, 0.5),
	}
	if r.Near != nil {
		goals = append(goals, ratio("read → scored, p99, to that of the relay without delay", s.P99,
			r.Near.stages["total"].Percentiles().P99, 1.2))
	}
	if r.ConnectsTried > 0 {
		c := r.Connect
		goals = append(
			goals, goal{"connect, host candidates, p95", "< 700 ms", ms(c.Host.P95), c.Host.P95 < 700},
			goal{"connect, relay only, p95", "< 2000 ms", ms(c.Relay.P95), c.Relay.P95 < 2000},
			goal{
				"connects that succeed", "all", fmt.Sprintf("%d of %d", r.ConnectsOK, r.ConnectsTried),
				r.ConnectsOK == r.ConnectsTried,
			})
	}
	if v := r.VideoAdded; v != nil {
		goals = append(goals, goal{"video: frame in → frame decoded, p99", "≤ 40 ms", ms(v.P99), v.P99 <= 40})
	}
	if r := r.Signaling; r != nil {
		goals = append(
			goals, goal{
				"signaling: connections in one task", "20,000", strconv.Itoa(r.Connections), r.Connections >= 20_000,
			},
			goal{"signaling: memory of each", "≤ 12 KB", fmt.Sprintf("%.0f B", r.BytesEach), r.BytesEach <= 12_000},
			goal{"signaling: relay, p99", "< 5 ms", ms(r.Relay.P99), r.Relay.P99 < 5})
	}
	for _, f := range r.Faults {
		goals = append(goals, goal(f))
	}
	return goals
}

func ratio(what string, ours, theirs, most float64) goal {
	if theirs <= 0 {
		return goal{what, fmt.Sprintf("≤ %g ×", most), "not measured", false}
	}
	return goal{what, fmt.Sprintf("≤ %g ×", most), fmt.Sprintf("%.2f ×", ours/theirs), ours <= most*theirs}
}

func ms(v float64) string { return fmt.Sprintf("%.2f ms", v) }

// Print writes the report in Markdown.
func (r *Report) Print(w io.Writer) {
	fmt.Fprintf(w, "%s, commit %s, %s, %s\n\n", r.Machine, r.Commit, r.Date, r.Browser)
	fmt.Fprintf(w, "%d events/s of %d series, which are read together every %v; %d rounds of %v for each way, in turn.\n",
		r.Config.Rate, r.Config.Machines*10, time.Duration(r.Config.Machines*10)*time.Second/time.Duration(r.Config.Rate),
		r.Config.Rounds, r.Config.Phase)
	fmt.Fprint(w, "\n## Goals\n\n| what | goal | measured | |\n| --- | ---: | ---: | --- |\n")
	for _, g := range r.goals() {
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", g.what, g.want, g.got, map[bool]string{true: "met", false: "**missed**"}[g.met])
	}
	r.printStages(w)
	r.printConnects(w)
	r.printCPU(w)
	r.printMinutes(w)
	if len(r.Notes) > 0 {
		fmt.Fprintln(w)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "- %s\n", note)
	}
}

func (r *Report) printStages(w io.Writer) {
	names := map[string]string{
		"gateway": "read → sent", "network": "sent → received", "scoring": "received → scored", "total": "**read → scored**",
		"drawing": "scored → drawn",
	}
	fmt.Fprint(w, "\n## Stages\n\n| way | stage | p50 ms | p95 ms | p99 ms | maximum ms |\n| --- | --- | ---: | ---: | ---: | ---: |\n")
	for _, way := range []struct {
		name string
		t    *totals
	}{
		{"peer connection", r.Peer},
		{"relay, no delay", r.Near},
		{fmt.Sprintf("relay, %v each way", r.Config.Each), r.Far},
	} {
		if way.t == nil {
			continue
		}
		for _, stage := range stageNames() {
			p := way.t.stages[stage].Percentiles()
			fmt.Fprintf(w, "| %s | %s | %.2f | %.2f | %.2f | %.2f |\n", way.name, names[stage], p.P50, p.P95, p.P99, p.Max)
		}
	}
	fmt.Fprint(w, "\n| way | events | frames | frames lost | late | not scored | error of the clock ms |\n"+
		"| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, way := range []struct {
		name string
		t    *totals
	}{{"peer connection", r.Peer}, {"relay, no delay", r.Near}, {"relay, delayed", r.Far}} {
		if t := way.t; t != nil {
			fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %d | %.2f |\n",
				way.name, t.Events, t.Frames, t.Lost, t.Late, t.Unscored, t.offsetError/1000)
		}
	}
}

func (r *Report) printConnects(w io.Writer) {
	if r.ConnectsTried == 0 {
		return
	}
	c := r.Connect
	fmt.Fprintf(w, `
## Connecting
From the start of signaling to the first live frame, each with a new socket and a new session.

| candidates | p50 ms | p95 ms |
| --- | ---: | ---: |
| host | %.0f | %.0f |
| relay only | %.0f | %.0f |

%d of %d succeeded. Candidates in use: %s.
`, c.Host.P50, c.Host.P95, c.Relay.P50, c.Relay.P95, r.ConnectsOK, r.ConnectsTried, counted(r.Paths))
	for _, p := range r.Problems {
		fmt.Fprintf(w, "- failed: %s\n", p)
	}
}

func counted(all map[string]int) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, fmt.Sprintf("%d × %s", all[name], cmp.Or(name, "?")))
	}
	return strings.Join(out, ", ")
}

func (r *Report) printCPU(w io.Writer) {
	if len(r.CPU) == 0 {
		return
	}
	parts := map[string]bool{}
	ways := slices.Sorted(maps.Keys(r.CPU))
	for _, way := range ways {
		for part := range r.CPU[way] {
			parts[part] = true
		}
	}
	fmt.Fprintf(w, "\n## Processors in use\n\n| process | %s |\n| --- |%s\n",
		strings.Join(ways, " | "), strings.Repeat(" ---: |", len(ways)))
	for _, part := range slices.Sorted(maps.Keys(parts)) {
		fmt.Fprintf(w, "| %s |", part)
		for _, way := range ways {
			fmt.Fprintf(w, " %.2f |", r.CPU[way][part])
		}
		fmt.Fprintln(w)
	}
}

func (r *Report) printMinutes(w io.Writer) {
	if len(r.Minutes) == 0 {
		return
	}
	var p50, offset []float64
	for _, m := range r.Minutes {
		if m.P50 != nil && m.Offset != nil {
			p50, offset = append(p50, *m.P50/1000), append(offset, *m.Offset/1000)
		}
	}
	if len(p50) == 0 {
		return
	}
	medians, mediansError := slope(p50)
	offsets, offsetsError := slope(offset)
	fmt.Fprintf(w, `
## Drift
One view of %d minutes. Median of each minute, read → scored: %.2f to %.2f ms, slope %+.3f ± %.3f ms an hour; offset of the browser's clock
to the gateway's: %.2f to %.2f ms, slope %+.3f ± %.3f ms an hour (± one standard error).

| minute | events | p50 ms | p99 ms | offset ms | its error |
| ---: | ---: | ---: | ---: | ---: | ---: |
`, len(p50), slices.Min(p50), slices.Max(p50), 60*medians, 60*mediansError,
		slices.Min(offset), slices.Max(offset), 60*offsets, 60*offsetsError)
	for i, m := range r.Minutes {
		fmt.Fprintf(w, "| %d | %d | %s | %s | %s | %s |\n", i+1, m.Events, milli(m.P50), milli(m.P99), milli(m.Offset), milli(m.Error))
	}
}

// milli writes µs, if they are known, as ms.
func milli(micros *float64) string {
	if micros == nil {
		return "?"
	}
	return fmt.Sprintf("%.2f", *micros/1000)
}

// missed returns the goals that were not met.
func (r *Report) missed() []string {
	var out []string
	for _, g := range r.goals() {
		if !g.met {
			out = append(out, fmt.Sprintf("%s: %s, want %s", g.what, g.got, g.want))
		}
	}
	return out
}

// slope is that of the least-squares line, for each step, with its standard error; 0 for less than
// two values, and an error of 0 for less than three.
func slope(y []float64) (b, standardError float64) {
	n := float64(len(y))
	var sx, sy, sxx, sxy float64
	for i, v := range y {
		x := float64(i)
		sx, sy, sxx, sxy = sx+x, sy+v, sxx+x*x, sxy+x*v
	}
	d := n*sxx - sx*sx
	if d == 0 || math.IsNaN(d) {
		return 0, 0
	}
	b = (n*sxy - sx*sy) / d
	if n < 3 {
		return b, 0
	}
	a, rest := (sy-b*sx)/n, 0.0
	for i, v := range y {
		e := v - a - b*float64(i)
		rest += e * e
	}
	return b, math.Sqrt(rest / (n - 2) * n / d)
}
