package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/insighthub/insighthub/loadtest/drive"
)

// Summary is the result of one system: the latencies at the fixed rate, the CPU time at
// the held rate, and the losses of both.
type Summary struct {
	RateHeld  float64           `json:"rate_held_eps"`
	FixedRate float64           `json:"fixed_rate_eps"`
	Lost      int64             `json:"lost"`
	Doubled   int64             `json:"doubled"`
	Ack       drive.Percentiles `json:"ack_ms"`
	Stored    drive.Percentiles `json:"stored_ms"`
	// KPIVisible is from the end of a window to its KPIs in Prometheus.
	KPIVisible *drive.Percentiles `json:"kpi_visible_ms,omitempty"`
	// KPIAfterEvent is from an event to the KPIs of its window.
	KPIAfterEvent *drive.Percentiles `json:"kpi_after_event_ms,omitempty"`
	CPU           map[string]float64 `json:"cpu_s_per_million"`
	BytesPerEvent float64            `json:"bytes_per_event"`
}

// Report is the content of pipeline.json.
type Report struct {
	Summary
	Yardstick        *Summary `json:"yardstick,omitempty"`
	Machine          string   `json:"machine"`
	Cores            int      `json:"cores"`
	Commit           string   `json:"commit"`
	Date             string   `json:"date"`
	Gateways         int      `json:"gateways"`
	SeriesPerGateway int      `json:"series_per_gateway"`
	EventsPerBatch   int      `json:"events_per_batch"`
	Seconds          float64  `json:"seconds"`
	// StartSeconds is from the start of the stack to the first stored event.
	StartSeconds float64 `json:"start_to_first_stored_s"`
	// KPIs says whether the bridge ran too.
	KPIs   bool    `json:"kpis"`
	Phases []Phase `json:"phases"`
}

func (r *Report) add(p Phase) {
	f := &r.Summary
	if p.System == "yardstick" {
		if r.Yardstick == nil {
			r.Yardstick = &Summary{}
		}
		f = r.Yardstick
	}
	r.Phases = append(r.Phases, p)
	f.Lost += p.Lost
	f.Doubled += p.Doubled
	if p.Name == "fixed" {
		f.KPIVisible, f.KPIAfterEvent = p.KPIVisible, p.KPIAfterEvent
		f.FixedRate, f.Ack, f.Stored, f.BytesPerEvent = p.EventsPerSecond, p.Ack, p.Stored, p.BytesPerEvent
		return
	}
	f.CPU = p.CPU
	if p.NotHeld == "" {
		f.RateHeld = p.EventsPerSecond
	}
}

// Print writes the report as a table.
func (r *Report) Print(w io.Writer) {
	consumers := "the store only"
	if r.KPIs {
		consumers = "the store and the bridge"
	}
	fmt.Fprintf(w, `
%s, %d cores, commit %s, %s
%d gateways of %d series, batches of %d events, phases of %.0f s; generator and database on the same machine
consumers of the stream: %s; %.1f s from the stack's start to the first stored event

`, r.Machine, r.Cores, r.Commit, r.Date, r.Gateways, r.SeriesPerGateway, r.EventsPerBatch, r.Seconds, consumers, r.StartSeconds)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "system\tphase\tevents/s\tack ms p50\tp95\tp99\tmax\tstored ms p50\tp95\tp99\tmax\tB/event\tlost\tduplicated\tretries")
	for _, p := range r.Phases {
		fmt.Fprintf(t, "%s\t%s\t%.0f\t%.2f\t%.2f\t%.2f\t%.1f\t%.2f\t%.2f\t%.2f\t%.1f\t%.2f\t%d\t%d\t%d\n",
			p.System, p.Name, p.EventsPerSecond, p.Ack.P50, p.Ack.P95, p.Ack.P99, p.Ack.Max,
			p.Stored.P50, p.Stored.P95, p.Stored.P99, p.Stored.Max, p.BytesPerEvent, p.Lost, p.Doubled, p.Retries)
	}
	flush(t)
	if r.KPIs {
		fmt.Fprintln(w, "\nKPIs visible in Prometheus, ms after")
		for _, p := range r.Phases {
			for _, from := range []struct {
				name string
				p    *drive.Percentiles
			}{{"the window's end", p.KPIVisible}, {"the event", p.KPIAfterEvent}} {
				if from.p != nil {
					fmt.Fprintf(t, "%s\t%s\t%s\tp50 %.0f\tp95 %.0f\tp99 %.0f\tmax %.0f\n",
						p.System, p.Name, from.name, from.p.P50, from.p.P95, from.p.P99, from.p.Max)
				}
			}
		}
		flush(t)
	}
	fmt.Fprintln(w, "\nCPU-seconds per million events")
	for _, p := range r.Phases {
		fmt.Fprintf(t, "%s\t%s\t%s\n", p.System, p.Name, cpuLine(p.CPU))
	}
	flush(t)
	if y := r.Yardstick; y != nil && y.RateHeld > 0 && y.CPU["total"] > 0 {
		fmt.Fprintf(w, "\npipeline / yardstick: %.2f × the held rate, %.2f × the CPU time\n",
			r.RateHeld/y.RateHeld, r.CPU["total"]/y.CPU["total"])
	}
}

func flush(t *tabwriter.Writer) { _ = t.Flush() }

func cpuLine(cpu map[string]float64) string {
	var parts []string
	for k, v := range cpu {
		if k != "total" && v >= 0.005 {
			parts = append(parts, fmt.Sprintf("%s %.2f", k, v))
		}
	}
	slices.Sort(parts)
	return fmt.Sprintf("total %.2f\t%s", cpu["total"], strings.Join(parts, ", "))
}
