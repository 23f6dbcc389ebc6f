package flood

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Row compares a flood of one endpoint with the quiet phases before and after it.
type Row struct {
	Endpoint string   `json:"endpoint"`
	Flooded  Phase    `json:"flooded"`
	Quiet    [2]Phase `json:"quiet"`
	// TrailBytesPerSecond is the growth of the audit trail by the flood, RowsPerSecond that
	// of the tables of attempts, sessions and assertions, until the end of the quiet phase
	// after it, for each second of the flood.
	TrailBytesPerSecond float64 `json:"trail_bytes_per_s"`
	RowsPerSecond       float64 `json:"rows_per_s"`
}

// Report is the content of flood.json.
type Report struct {
	Machine string  `json:"machine"`
	Cores   int     `json:"cores"`
	Commit  string  `json:"commit"`
	Date    string  `json:"date"`
	Rate    float64 `json:"rate_rps"`
	Sources int     `json:"sources"`
	Seconds float64 `json:"seconds"`
	// IngestRate is in batches/s.
	IngestRate       float64 `json:"ingest_rps"`
	ChangesPerSecond float64 `json:"changes_per_s"`
	Rows             []Row   `json:"rows"`
}

// change returns the p95 of changes during the flood, and its mean of the quiet phases around
// it; ingest the same of the p99 of batches.
func (r Row) change() (flooded, quiet float64) {
	return r.Flooded.Change.P95, (r.Quiet[0].Change.P95 + r.Quiet[1].Change.P95) / 2
}

func (r Row) ingest() (flooded, quiet float64) {
	return r.Flooded.Ingest.P99, (r.Quiet[0].Ingest.P99 + r.Quiet[1].Ingest.P99) / 2
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func (r Row) statuses() string {
	var parts []string
	out := r.Flooded.Flood
	for _, status := range slices.Sorted(maps.Keys(out.Statuses)) {
		parts = append(parts, fmt.Sprintf("%d × %d", out.Statuses[status], status))
	}
	if out.Failed > 0 {
		parts = append(parts, fmt.Sprintf("%d × no response", out.Failed))
	}
	return strings.Join(parts, ", ")
}

// line is a short form for the progress.
func (r Row) line() string {
	change, quietChange := r.change()
	ingest, quietIngest := r.ingest()
	return fmt.Sprintf("%s: %s; trail %.0f B/s; change p95 %.2f × %.1f ms; ingest p99 %.2f × %.1f ms; retries %d",
		r.Endpoint, r.statuses(), r.TrailBytesPerSecond, ratio(change, quietChange), quietChange,
		ratio(ingest, quietIngest), quietIngest, r.Flooded.Retries)
}

// missed names the goals that the row misses. The generator's own row has none.
func (r Row) missed() (goals []string) {
	if r.Endpoint == generatorAlone {
		return nil
	}
	if r.TrailBytesPerSecond > maxTrailBytesPerSecond {
		goals = append(goals, "trail")
	}
	if p95, quiet := r.change(); ratio(p95, quiet) > maxSlower {
		goals = append(goals, "change p95")
	}
	if p99, quiet := r.ingest(); ratio(p99, quiet) > maxSlower {
		goals = append(goals, "ingest p99")
	}
	return goals
}

// Err returns what no machine excuses: a trail that grows too fast, and events without a
// response.
func (r *Report) Err() error {
	var problems []error
	for _, row := range r.Rows {
		// What is refused is added up by the minute: a short flood says nothing about a rate.
		if r.Seconds >= minTrailSeconds && slices.Contains(row.missed(), "trail") {
			problems = append(problems, fmt.Errorf("%s: the audit trail grows by %.0f bytes/s, want at most %d",
				row.Endpoint, row.TrailBytesPerSecond, maxTrailBytesPerSecond))
		}
		if row.Flooded.Unknown > 0 {
			problems = append(problems, fmt.Errorf("%s: %d events were not accepted", row.Endpoint, row.Flooded.Unknown))
		}
	}
	return errors.Join(problems...)
}

// columns are the headings of the table, cells the values of a row.
func columns() []string {
	return []string{
		"endpoint", "responses", "trail B/s", "rows/s", "change p50 ms", "p95 ms", "p95 ×", "ingest p50 ms", "p99 ms", "p99 ×",
		"retries", "processors", "missed",
	}
}

func (r Row) cells() []string {
	change95, quiet95 := r.change()
	ingest99, quiet99 := r.ingest()
	flooded, quiet := 0.0, 0.0
	for _, cpu := range r.Flooded.CPU {
		flooded += cpu
	}
	for _, phase := range r.Quiet {
		for _, cpu := range phase.CPU {
			quiet += cpu / float64(len(r.Quiet))
		}
	}
	return []string{
		r.Endpoint, r.statuses(), fmt.Sprintf("%.0f", r.TrailBytesPerSecond), fmt.Sprintf("%.1f", r.RowsPerSecond),
		fmt.Sprintf("%.1f", r.Flooded.Change.P50),
		fmt.Sprintf("%.1f (%.1f)", change95, quiet95), fmt.Sprintf("%.2f", ratio(change95, quiet95)),
		fmt.Sprintf("%.2f", r.Flooded.Ingest.P50),
		fmt.Sprintf("%.2f (%.2f)", ingest99, quiet99), fmt.Sprintf("%.2f", ratio(ingest99, quiet99)),
		strconv.FormatInt(r.Flooded.Retries, 10), fmt.Sprintf("%.2f (%.2f)", flooded, quiet), strings.Join(r.missed(), ", "),
	}
}

func (r *Report) heading() string {
	return fmt.Sprintf("%s, %d cores, commit %s, %s. %.0f requests/s from %d addresses to each endpoint for %.0f s, in alternation "+
		"with quiet phases as long; meanwhile %.0f batches/s of telemetry and %.0f changes/s. "+
		"In parentheses: the mean of the quiet phases before and after.",
		r.Machine, r.Cores, r.Commit, r.Date, r.Rate, r.Sources, r.Seconds, r.IngestRate, r.ChangesPerSecond)
}

// Print writes the report as a table, and where the processor time went.
func (r *Report) Print(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n\n", r.heading())
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(columns(), "\t"))
	for _, row := range r.Rows {
		fmt.Fprintln(t, strings.Join(row.cells(), "\t"))
	}
	_ = t.Flush()
	fmt.Fprintln(w, "\nProcessors taken by each part, flooded (quiet)")
	for _, row := range r.Rows {
		fmt.Fprintf(t, "%s\t%s\n", row.Endpoint, row.parts())
	}
	_ = t.Flush()
}

// parts lists the processor time of the parts that take more than a hundredth of a processor.
func (r Row) parts() string {
	var parts []string
	for _, part := range slices.Sorted(maps.Keys(r.Flooded.CPU)) {
		quiet := (r.Quiet[0].CPU[part] + r.Quiet[1].CPU[part]) / 2
		if flooded := r.Flooded.CPU[part]; max(flooded, quiet) >= 0.01 {
			parts = append(parts, fmt.Sprintf("%s %.2f (%.2f)", part, flooded, quiet))
		}
	}
	return strings.Join(parts, ", ")
}

// writeMarkdown writes the tables for docs/bench/flood.md.
func (r *Report) writeMarkdown(path string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", r.heading())
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(columns())
	line(slices.Repeat([]string{"---"}, len(columns())))
	for _, row := range r.Rows {
		line(row.cells())
	}
	b.WriteString("\nProcessors taken by each part, flooded (quiet):\n\n| endpoint | processors |\n| --- | --- |\n")
	for _, row := range r.Rows {
		line([]string{row.Endpoint, row.parts()})
	}
	return os.WriteFile(path, []byte(b.String()), 0o644) //nolint:gosec // not a secret
}
