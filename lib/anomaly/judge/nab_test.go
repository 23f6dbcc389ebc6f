package judge

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/anomaly"
)

var nearly = cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-9 })

// scoresAt are n zeros but for ones at the given rows.
func scoresAt(n int, rows ...int) []float64 {
	scores := make([]float64, n)
	for _, row := range rows {
		scores[row] = 1
	}
	return scores
}

func TestProbation(t *testing.T) {
	for rows, want := range map[int]int{0: 0, 10: 1, 100: 15, 4032: 604, 5000: 750, 22695: 750} {
		if got := Probation(rows); got != want {
			t.Errorf("of %d rows %d, want %d", rows, got, want)
		}
	}
}

// TestWorth checks places by hand: sigma(x) = 2/(1+e^(5x)) - 1.
func TestWorth(t *testing.T) {
	sigma := func(x float64) float64 { return 2/(1+math.Exp(5*x)) - 1 }
	windows := []Window{{First: 40, Last: 49}, {First: 60, Last: 60}}
	points := Points(windows, scoresAt(100))
	at := func(row int) Point { return points[row-15] }
	if len(points) != 85 {
		t.Fatalf("%d points, want those after the probation of 15", len(points))
	}
	want := map[int]Point{
		15: {Worth: -1, Window: -1},
		39: {Worth: -1, Window: -1},
		40: {Worth: 1, Window: 0},
		44: {Worth: sigma(-0.6) / sigma(-1), Window: 0},
		49: {Worth: sigma(-0.1) / sigma(-1), Window: 0},
		50: {Worth: sigma(1. / 9), Window: -1},
		58: {Worth: sigma(1), Window: -1},
		60: {Worth: 1, Window: 1},
		// A window of a single row has no width to measure a distance in.
		61: {Worth: -1, Window: -1},
		99: {Worth: -1, Window: -1},
	}
	for row, p := range want {
		if diff := cmp.Diff(p, at(row), nearly); diff != "" {
			t.Errorf("row %d (-want +got):\n%s", row, diff)
		}
	}
}

// TestScoreByHand: one of two windows found in its first row, another detection
// of it, and two false alarms far away.
func TestScoreByHand(t *testing.T) {
	windows := []Window{{First: 400, Last: 409}, {First: 600, Last: 609}}
	points := [][]Point{Points(windows, scoresAt(1000, 10, 200, 400, 405, 900))}
	want := map[string]float64{
		"standard":           100 * (1 - 0.22 - 1 + 2) / 4,
		"reward_low_FP_rate": 100 * (1 - 0.44 - 1 + 2) / 4,
		"reward_low_FN_rate": 100 * (1 - 0.22 - 2 + 4) / 6,
	}
	for _, profile := range Profiles() {
		o := At(profile, 0.5, points)
		if math.Abs(o.Score-want[profile.Name]) > 1e-9 {
			t.Errorf("%s: %v, want %v", profile.Name, o.Score, want[profile.Name])
		}
		if o.Windows != 2 || o.Detected != 1 || o.FalseAlarms != 2 {
			t.Errorf("%s: %+v", profile.Name, o)
		}
	}
}

func TestNullAndPerfect(t *testing.T) {
	windows := []Window{{First: 400, Last: 450}, {First: 600, Last: 640}}
	for _, profile := range Profiles() {
		nothing := [][]Point{Points(windows, null(Series{Values: make([]float64, 1000)}))}
		if o := Best(profile, nothing); o.Score != 0 || o.Raw != -2*profile.FN || o.Threshold != 1.1 {
			t.Errorf("%s: the null detector gets %+v", profile.Name, o)
		}
		perfect := [][]Point{Points(windows, scoresAt(1000, 400, 600)), Points(nil, scoresAt(500))}
		if o := Best(profile, perfect); math.Abs(o.Score-100) > 1e-9 || o.Detected != 2 {
			t.Errorf("%s: the perfect detector gets %+v", profile.Name, o)
		}
	}
}

// TestBestIsTheBestOfAll compares the sweep with trying each score as threshold.
func TestBestIsTheBestOfAll(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	var files [][]Point
	for range 3 {
		scores := make([]float64, 300)
		for i := range scores {
			scores[i] = float64(random.IntN(20)) / 20
		}
		files = append(files, Points([]Window{{100, 120}, {200, 230}}, scores))
	}
	for _, profile := range Profiles() {
		want := math.Inf(-1)
		for i := range 20 {
			want = max(want, At(profile, float64(i)/20, files).Raw)
		}
		want = max(want, At(profile, 1.1, files).Raw)
		got := Best(profile, files)
		if math.Abs(got.Raw-want) > 1e-9 {
			t.Errorf("%s: best %v, want %v", profile.Name, got.Raw, want)
		}
		if again := At(profile, got.Threshold, files); again.Raw != got.Raw {
			t.Errorf("%s: %v at its threshold, want %v", profile.Name, again.Raw, got.Raw)
		}
	}
}

// nabFile generates a file in NAB's format: noise with a spike at row 500.
func nabFile(seed uint64, rows int) *fstest.MapFile {
	random := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	b.WriteString("timestamp,value\n")
	for i := range rows {
		value := 50 + random.NormFloat64()
		if i == 500 {
			value = 90
		}
		fmt.Fprintf(&b, "%s,%.3f\n", stampOf(i), value)
	}
	return &fstest.MapFile{Data: []byte(b.String())}
}

func stampOf(row int) string {
	return time.Date(2026, 3, 1, 0, 5*row, 0, 0, time.UTC).Format(time.DateTime)
}

func smallNAB() fstest.MapFS {
	return fstest.MapFS{
		"data/machines/a.csv": nabFile(1, 800),
		"data/machines/b.csv": nabFile(2, 900),
		"data/quiet/c.csv":    nabFile(3, 450),
		"data/README.md":      {Data: []byte("no data")},
		"labels/combined_windows.json": {Data: fmt.Appendf(nil,
			`{"machines/a.csv": [["%s.000000", "%s.000000"]], "machines/b.csv": [["%s", "%s"]], "quiet/c.csv": [], `+
				`"gone.csv": [["x", "y"]]}`,
			stampOf(490), stampOf(530), stampOf(495), stampOf(510))},
	}
}

func TestLoadNAB(t *testing.T) {
	files, err := LoadNAB(smallNAB())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]Window{}
	for _, f := range files {
		got[f.Path] = f.Windows
		if f.Stamps[1] != stampOf(1) || f.Micros[1]-f.Micros[0] != 300_000_000 || len(f.Texts) != len(f.Values) {
			t.Errorf("%s: %s at %d", f.Path, f.Stamps[1], f.Micros[1])
		}
	}
	want := map[string][]Window{"machines/a.csv": {{490, 530}}, "machines/b.csv": {{495, 510}}, "quiet/c.csv": nil}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("windows (-want +got):\n%s", diff)
	}
}

func TestLoadNABRejects(t *testing.T) {
	for name, windows := range map[string]string{
		"a window without its row":  `{"machines/a.csv": [["2020-01-01 00:00:00", "2020-01-02 00:00:00"]]}`,
		"a window the wrong way":    fmt.Sprintf(`{"machines/a.csv": [["%s", "%s"]]}`, stampOf(50), stampOf(40)),
		"an invalid limit":          `{"machines/a.csv": [["then", "now"]]}`,
		"windows that are not JSON": `{`,
	} {
		corpus := smallNAB()
		corpus["labels/combined_windows.json"] = &fstest.MapFile{Data: []byte(windows)}
		if _, err := LoadNAB(corpus); !errors.Is(err, ErrForm) {
			t.Errorf("%s: error %v, want ErrForm", name, err)
		}
	}
	if _, err := LoadNAB(fstest.MapFS{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no labels: error %v, want fs.ErrNotExist", err)
	}
}

func TestReportNABPrintsTheTable(t *testing.T) {
	var out strings.Builder
	if err := reportNAB(smallNAB(), &out); err != nil {
		t.Fatal(err)
	}
	table := out.String()
	for _, want := range []string{
		"NAB: 3 files, 2150 rows, 2 windows.",
		"| null | 0.00 | 0.00 | 0.00 | 1.1, 1.1, 1.1 |",
		"| machines | 2 | 2 | 2 | ",
		"| quiet | 1 | 0 | 0 | ",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
}

func TestWindowedGaussianIsTheTail(t *testing.T) {
	values := []float64{1, -1, 1, -1, 2}
	scores := windowedGaussian(Series{Values: values})
	// Mean 0 and deviation 1 before the last: two deviations off.
	if want := 1 - 0.5*math.Erfc(2/math.Sqrt2); math.Abs(scores[4]-want) > 1e-12 || scores[0] != 0 {
		t.Errorf("scores %v, want the last %v", scores, want)
	}
}

func TestScoreTree(t *testing.T) {
	in, out := t.TempDir(), filepath.Join(t.TempDir(), "new")
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(in, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	original := string(nabFile(1, 600).Data)
	original = strings.Replace(original, stampOf(0)+",", stampOf(0)+".000000,+0", 1)
	write("deep/er/a.csv", "\ufeff"+original)
	write("other.csv", "a,b\n1,2\n")
	var report strings.Builder
	if err := ScoreTree(in, out, &report); err != nil {
		t.Fatal(err)
	}
	if want := "skipped: read other.csv"; !strings.Contains(report.String(), want) {
		t.Errorf("report %q, want %q in it", report.String(), want)
	}
	written, err := os.ReadFile(filepath.Join(out, "deep", "er", "a.csv"))
	if err != nil {
		t.Fatal(err)
	}
	wantLines, lines := strings.Split(original, "\n"), strings.Split(string(written), "\n")
	if lines[0] != "timestamp,value,anomaly_score" || len(lines) != len(wantLines) {
		t.Fatalf("%d lines from %q, want %d", len(lines), lines[0], len(wantLines))
	}
	series, err := ReadSeries(strings.NewReader(original))
	if err != nil {
		t.Fatal(err)
	}
	for i, score := range Released(series) {
		if want := fmt.Sprintf("%s,%v", wantLines[i+1], score); lines[i+1] != want {
			t.Fatalf("row %d is %q, want %q", i, lines[i+1], want)
		}
	}
	if Released(series)[500] < anomaly.Threshold {
		t.Error("the spike is not found")
	}
	for _, to := range []string{in, filepath.Join(in, "scores")} {
		if err := ScoreTree(in, to, &report); err == nil {
			t.Errorf("output %s: got no error, want one", to)
		}
	}
	if err := ScoreTree(t.TempDir(), out, &report); !errors.Is(err, ErrForm) {
		t.Errorf("nothing to score: error %v, want ErrForm", err)
	}
}

func TestReadSeriesRejects(t *testing.T) {
	for _, text := range []string{
		"", "value,timestamp\n", "timestamp\n", "timestamp,value\n2026-01-01 00:00:00\n",
		"timestamp,value\nnow,1\n", "timestamp,value\n2026-01-01 00:00:00,one\n", "timestamp,value\n\"",
	} {
		if _, err := ReadSeries(strings.NewReader(text)); !errors.Is(err, ErrForm) {
			t.Errorf("%q: error %v, want ErrForm", text, err)
		}
	}
}

func TestReadSeriesAcceptsUnusualValues(t *testing.T) {
	const file = "timestamp,value,more\n2026-01-01 00:00,\n2026-01-01T00:00:00,1e999,x\n2026-01-01T00:00:00Z,NaN\n"
	s, err := ReadSeries(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if !math.IsNaN(s.Values[0]) || !math.IsInf(s.Values[1], 1) || !math.IsNaN(s.Values[2]) {
		t.Errorf("values %v", s.Values)
	}
	if s.Micros[0] != s.Micros[1] || s.Micros[1] != s.Micros[2] {
		t.Errorf("times %v", s.Micros)
	}
}

func FuzzReadSeries(f *testing.F) {
	f.Add("timestamp,value\n2026-01-01 00:00:00,1\n2026-01-01 00:05:00.5,NaN\n")
	f.Add("timestamp,value\n\"2026-01-01 00:00:00\",1e999,\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ReadSeries(strings.NewReader(text))
		if err != nil {
			if !errors.Is(err, ErrForm) {
				t.Fatalf("error %v, want ErrForm", err)
			}
			return
		}
		if n := len(s.Values); len(s.Stamps) != n || len(s.Texts) != n || len(s.Micros) != n {
			t.Fatalf("columns of %d, %d, %d and %d rows", len(s.Stamps), len(s.Texts), len(s.Micros), n)
		}
		for i, score := range Released(s) {
			if !(score >= 0 && score <= 1) {
				t.Fatalf("row %d scores %v", i, score)
			}
		}
	})
}
