package outage

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/insighthub/insighthub/loadtest/benchfile"
	"github.com/insighthub/insighthub/loadtest/kpicheck"
)

// Phase counts the samples of the windows that end in one phase of the run.
type Phase struct {
	Name    string `json:"name"`
	Windows int    `json:"windows"`
	// Expected are the samples computed by the database, Present those of them that
	// Prometheus has.
	Expected  int `json:"expected"`
	Present   int `json:"present"`
	Missing   int `json:"missing"`
	Differing int `json:"differing"`
	// Surplus are those that only Prometheus has; LeftOut those that count events which no
	// KPI includes, such as late ones.
	Surplus int `json:"surplus"`
	LeftOut int `json:"left_out"`
}

// Report is the content of outage.json.
type Report struct {
	Machine  string  `json:"machine"`
	Commit   string  `json:"commit"`
	Date     string  `json:"date"`
	Server   string  `json:"server"` // Prometheus's version
	Rate     float64 `json:"rate_eps"`
	Window   float64 `json:"window_s"`
	Accepted int64   `json:"accepted_events"`
	Repeated int64   `json:"repeated_requests"`
	// Down and Up are the times at which the server ended and was ready again, in s since the epoch.
	Down            int64   `json:"down"`
	Up              int64   `json:"up"`
	OutageSeconds   float64 `json:"outage_s"`
	CaughtUpSeconds float64 `json:"caught_up_s"`
	Phases          []Phase `json:"phases"`
	// OutOfOrder are samples older than the newest of their series, and Refused those that
	// the server rejected, since it is ready again.
	OutOfOrder float64 `json:"samples_out_of_order"`
	Refused    float64 `json:"samples_refused"`
	// Invocations of the bridge; Failed are those that Lambda retried. Rejected are the
	// samples that the bridge logged as rejected.
	Invocations int `json:"bridge_invocations"`
	Failed      int `json:"bridge_invocations_failed"`
	Rejected    int `json:"samples_rejected"`

	differences []kpicheck.Difference
}

// count counts the samples by phase.
func (r *Report) count(database, prometheus kpicheck.Samples) {
	r.Phases = []Phase{{Name: "before"}, {Name: "in the outage"}, {Name: "after"}}
	phase := func(end int64) *Phase {
		switch {
		case end < r.Down:
			return &r.Phases[0]
		case end <= r.Up:
			return &r.Phases[1]
		}
		return &r.Phases[2]
	}
	windows := make(map[int64]bool)
	for f := range database {
		p := phase(f.End)
		p.Expected++
		if _, ok := prometheus[f]; ok {
			p.Present++
		}
		if !windows[f.End] {
			windows[f.End] = true
			p.Windows++
		}
	}
	r.differences = kpicheck.Compare(database, prometheus)
	for _, d := range r.differences {
		p := phase(d.End)
		switch d.Kind {
		case kpicheck.Missing:
			p.Missing++
		case kpicheck.Differing:
			p.Differing++
		case kpicheck.Surplus:
			p.Surplus++
		case kpicheck.LeftOut:
			p.LeftOut++
		}
	}
}

// readServer reads the server's own metrics, which count since its start.
func (r *Report) readServer(ctx context.Context, server kpicheck.Server) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, string(server)+"/metrics", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	seen := false
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), " ")
		name, labels, _ := strings.Cut(name, "{")
		value, err := strconv.ParseFloat(rest, 64)
		switch {
		case name == "prometheus_build_info":
			if _, after, ok := strings.Cut(labels, `,version="`); ok {
				r.Server, _, _ = strings.Cut(after, `"`)
			}
		case err != nil:
		case name == "prometheus_tsdb_head_out_of_order_samples_appended_total":
			r.OutOfOrder += value
			seen = true
		case slices.Contains([]string{
			"prometheus_tsdb_out_of_order_samples_total", "prometheus_tsdb_out_of_bound_samples_total",
			"prometheus_tsdb_too_old_samples_total",
		}, name):
			r.Refused += value
		}
	}
	if !seen {
		return errors.New("prometheus has no metric of samples out of order")
	}
	return nil
}

// readLog counts failed invocations and rejected samples in the bridge's log.
func (r *Report) readLog(path string) error {
	f, err := os.Open(path) //nolint:gosec // the stack's own folder
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			Msg        string
			Rejected   int
			Duplicates int `json:"duplicate_samples"`
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil { // a line of the Lambda emulator
			continue
		}
		switch line.Msg {
		case "not bridged":
			r.Failed++
			fallthrough
		case "bridged":
			r.Invocations++
			r.Rejected += line.Rejected + line.Duplicates
		}
	}
	return lines.Err()
}

// problem returns the reason for which the run failed, or nil.
func (r *Report) problem() error {
	if n := len(r.differences); n > 0 {
		return fmt.Errorf("%d samples differ from those of the database", n)
	}
	if during := r.Phases[1]; during.Windows == 0 || during.Expected == 0 {
		return errors.New("no window ended in the outage, so nothing was tested")
	}
	if r.OutOfOrder+r.Refused+float64(r.Rejected) > 0 {
		return fmt.Errorf("%g samples out of order, %g rejected by the server, %d rejected according to the bridge",
			r.OutOfOrder, r.Refused, r.Rejected)
	}
	return nil
}

// write prints the report and writes outage.json.
func (r *Report) write(ctx context.Context, cfg Config) error {
	r.Machine = fmt.Sprintf("%s, %d cores", benchfile.Machine(), runtime.NumCPU())
	r.Commit, r.Date, r.Rate = benchfile.Commit(ctx), time.Now().UTC().Format(time.DateOnly), cfg.Rate
	path := filepath.Join(cfg.Out, "outage.json")
	if err := benchfile.Write(path, r); err != nil {
		return err
	}
	if err := r.print(cfg.Stdout); err != nil {
		return err
	}
	_, err := fmt.Fprintln(cfg.Stdout, "\nWritten to", path)
	return err
}

func (r *Report) print(w io.Writer) error {
	fmt.Fprintf(w, `
%s, commit %s, %s, Prometheus %s
%.0f events/s, windows of %g s; %d events accepted, %d retries

`, r.Machine, r.Commit, r.Date, r.Server, r.Rate, r.Window, r.Accepted, r.Repeated)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "windows that end\twindows\tsamples expected\tpresent\tmissing\tdiffering\tsurplus\tleft out\t")
	for _, p := range r.Phases {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n",
			p.Name, p.Windows, p.Expected, p.Present, p.Missing, p.Differing, p.Surplus, p.LeftOut)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, d := range r.differences[:min(10, len(r.differences))] {
		fmt.Fprintf(w, "%s: %+v is %v in Prometheus, %v computed by the database\n", d.Kind, d.Key, d.Prometheus, d.Database)
	}
	_, err := fmt.Fprintf(w, `
Prometheus unavailable  %.1f s
caught up               %.1f s after it was ready
samples out of order    %g
samples rejected        %g by the server, %d according to the bridge
bridge invocations      %d, %d of them failed and retried
`, r.OutageSeconds, r.CaughtUpSeconds, r.OutOfOrder, r.Refused, r.Rejected, r.Invocations, r.Failed)
	return err
}
