package flood

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/loadtest/drive"
)

func phaseOf(change95, ingest99 float64, flood *Outcome) Phase {
	return Phase{
		Change: drive.Percentiles{P50: change95 / 2, P95: change95}, Ingest: drive.Percentiles{P50: ingest99 / 2, P99: ingest99},
		Flood: flood, CPU: map[string]float64{"local": 0.25, "idle": 0.001},
	}
}

// TestGoals: a flood is compared with the mean of the quiet phases around it.
func TestGoals(t *testing.T) {
	out := &Outcome{Sent: 3, Failed: 1, Statuses: map[int]int64{429: 1, 401: 1}}
	row := func(name string, change95, ingest99, trail float64) Row {
		return Row{
			Endpoint: name, Flooded: phaseOf(change95, ingest99, out), TrailBytesPerSecond: trail,
			Quiet: [2]Phase{phaseOf(8, 4, nil), phaseOf(12, 6, nil)},
		}
	}
	lost := row("lost", 10, 5, 0)
	lost.Flooded.Unknown = 3
	report := Report{Seconds: minTrailSeconds, Rows: []Row{
		row("POST /v1/login", 12, 6, 1024), row("slow changes", 12.1, 6, 0), row("slow ingest", 12, 6.1, 0), row("trail", 12, 6, 1025),
		row(generatorAlone, 100, 100, 0), lost,
	}}
	var got []string
	for _, r := range report.Rows {
		got = append(got, strings.Join(r.missed(), ", "))
	}
	if diff := cmp.Diff([]string{"", "change p95", "ingest p99", "trail", "", ""}, got); diff != "" {
		t.Errorf("missed (-want +got):\n%s", diff)
	}
	want := "trail: the audit trail grows by 1025 bytes/s, want at most 1024\nlost: 3 events were not accepted"
	if err := report.Err(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	report.Seconds = 2
	if err := report.Err(); err == nil || strings.Contains(err.Error(), "trail") {
		t.Errorf("a short flood: got %v, want no problem of the trail", err)
	}
	path := filepath.Join(t.TempDir(), "flood.md")
	if err := report.writeMarkdown(path); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"| POST /v1/login | 1 × 401, 1 × 429, 1 × no response | 1024 | 0.0 | 6.0 | " +
			"12.0 (10.0) | 1.20 | 3.00 | 6.00 (5.00) | 1.20 | 0 | 0.25 (0.25) |  |",
		"| slow ingest | local 0.25 (0.25) |",
	} {
		if !strings.Contains(string(raw), line) {
			t.Errorf("flood.md lacks the line %s:\n%s", line, raw)
		}
	}
}
