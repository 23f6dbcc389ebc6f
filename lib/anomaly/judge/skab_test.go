package judge

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"
)

// skabFile generates a file of SKAB's form: two sensors that stand still, of
// which the second one is off by shift from row 600 to row 900, which are
// labelled, of 1,000.
func skabFile(seed uint64, shift float64, labelled bool) *fstest.MapFile {
	random := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	b.WriteString("datetime;flow;pressure")
	if labelled {
		b.WriteString(";anomaly;changepoint")
	}
	b.WriteString("\n")
	for i := range 1000 {
		fault := i >= 600 && i < 900
		pressure := 5 + random.NormFloat64()
		if fault {
			pressure += shift
		}
		fmt.Fprintf(&b, "2026-03-01 12:%02d:%02d;%g;%g", i/60, i%60, 32+random.NormFloat64(), pressure)
		if labelled {
			label := 0.0
			if fault {
				label = 1
			}
			fmt.Fprintf(&b, ";%.1f;0.0", label)
		}
		b.WriteString("\n")
	}
	return &fstest.MapFile{Data: []byte(b.String())}
}

// marked puts a byte order mark before a file.
func marked(f *fstest.MapFile) *fstest.MapFile {
	return &fstest.MapFile{Data: append([]byte("\ufeff"), f.Data...)}
}

func TestReportSKABPrintsTheTable(t *testing.T) {
	t.Parallel()
	corpus := fstest.MapFS{
		"valve/0.csv": skabFile(1, 6, true),
		"valve/1.csv": skabFile(2, 6, true),
		"other/0.csv": marked(skabFile(3, 6, true)),
		"free/0.csv":  skabFile(4, 0, false),
		"nab.csv":     {Data: []byte("timestamp,value\n2026-03-01 12:00:00,1\n")},
		"README.md":   {Data: []byte("datetime")},
		"wide/17.csv": {Data: []byte("datetime" + strings.Repeat(";s", 17) + ";anomaly\n" +
			"2026-03-01 12:00:00" + strings.Repeat(";1", 17) + ";0\n")},
		"empty/no.csv": {},
	}
	var out strings.Builder
	if err := reportSKAB(corpus, &out); err != nil {
		t.Fatal(err)
	}
	table := out.String()
	t.Log("\n" + table)
	for _, want := range []string{
		"machine (released)", "  other, 1 files", "  valve, 2 files", "detectors, combined", "always after row 400",
		"without labels: free/0.csv: 1000 rows, 0 alarms, 0.00 % of rows flagged",
		"skipped: read wide/17.csv", "skipped: read nab.csv", "skipped: read empty/no.csv",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in the table", want)
		}
	}
	var again strings.Builder
	if err := reportSKAB(corpus, &again); err != nil || again.String() != table {
		t.Errorf("the second table differs: %v", err)
	}
	if err := reportSKAB(fstest.MapFS{"a.txt": {}}, io.Discard); err == nil {
		t.Error("no error without any file")
	}
	if err := ReportSKAB(t.TempDir()+"/none", io.Discard); err == nil {
		t.Error("no error without a directory")
	}
}

func TestMachineFindsTheGeneratedFault(t *testing.T) {
	t.Parallel()
	files, err := readCorpus(fstest.MapFS{"a.csv": skabFile(5, 6, true)}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	judged := judgeCorpus(files, ReleasedMachine)
	if got := judged[0].whole.F1(); got < 0.9 {
		t.Errorf("F1 %.3f, want at least 0.9: %+v", got, judged[0].whole)
	}
	if judged[0].whole.TrueNegative-judged[0].strict.TrueNegative != skabTraining {
		t.Errorf("strict counts differ by %d rows, want those for training", judged[0].whole.TrueNegative-judged[0].strict.TrueNegative)
	}
}

// Detectors are never given labels.
func TestJudgeHidesTheLabels(t *testing.T) {
	t.Parallel()
	files, err := readCorpus(fstest.MapFS{"a.csv": skabFile(6, 6, true)}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	judgeCorpus(files, func(f Frames) []bool {
		if f.Labels != nil || len(f.Sensors) != 2 || len(f.Values[0]) != 2 {
			t.Error("the labels are visible")
		}
		return make([]bool, len(f.Values))
	})
}

func TestConfusionRates(t *testing.T) {
	t.Parallel()
	var c Confusion
	labels := []bool{true, true, true, false, false, false, false, false}
	flags := []bool{true, true, false, true, false, false, false, false}
	c.Count(labels, flags)
	if c != (Confusion{TruePositive: 2, FalsePositive: 1, TrueNegative: 4, FalseNegative: 1}) {
		t.Fatalf("counts %+v", c)
	}
	for name, pair := range map[string][2]float64{
		"F1":  {c.F1(), 2. / 3},
		"FAR": {c.FalseAlarmRate(), 1. / 5},
		"MAR": {c.MissingAlarmRate(), 1. / 3},
	} {
		if math.Abs(pair[0]-pair[1]) > 1e-12 {
			t.Errorf("%s = %v, want %v", name, pair[0], pair[1])
		}
	}
	var none Confusion
	if none.F1() != 0 || none.FalseAlarmRate() != 0 || none.MissingAlarmRate() != 0 {
		t.Error("rates of nothing are not 0")
	}
}

func TestReadFramesRejectsOtherFormats(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty":          "",
		"other header":   "time;a;anomaly\n",
		"no sensors":     "datetime;anomaly;changepoint\n",
		"short row":      "datetime;a\n2026-03-01 12:00:00\n",
		"no time":        "datetime;a\nyesterday;1\n",
		"no number":      "datetime;a\n2026-03-01 12:00:00;one\n",
		"no label":       "datetime;a;anomaly\n2026-03-01 12:00:00;1;yes\n",
		"stray quotes":   "datetime;a\n2026-03-01 12:00:00;\"1\n",
		"comma, not ; ":  "datetime,a\n2026-03-01 12:00:00,1\n",
		"a row too long": "datetime;a\n2026-03-01 12:00:00;1;2\n",
	} {
		if _, err := ReadFrames(name, strings.NewReader(text)); !errors.Is(err, ErrForm) {
			t.Errorf("%s: error %v, want one of form", name, err)
		}
	}
	f, err := ReadFrames("gaps", strings.NewReader("datetime;a;b;anomaly\n2026-03-01 12:00:00;;1e999;1.0\n"))
	if err != nil || !math.IsNaN(f.Values[0][0]) || !math.IsInf(f.Values[0][1], 1) || !f.Labels[0] {
		t.Errorf("gaps: %+v, %v", f, err)
	}
	broken := errors.New("broken disk")
	_, err = ReadFrames("x", io.MultiReader(strings.NewReader("datetime;a\n"), failing{broken}))
	if !errors.Is(err, broken) || errors.Is(err, ErrForm) {
		t.Errorf("reader that fails: got error %v, want %v", err, broken)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func FuzzReadFrames(f *testing.F) {
	f.Add("datetime;a;anomaly;changepoint\n2026-03-01 12:00:00;1;0.0;1.0\n")
	f.Add("datetime;a\n2026-03-01 12:00:00;\n")
	f.Add("datetime;anomaly")
	f.Fuzz(func(t *testing.T, text string) {
		frames, err := ReadFrames("fuzz", strings.NewReader(text))
		if err != nil {
			if !errors.Is(err, ErrForm) {
				t.Fatal(err)
			}
			return
		}
		if len(frames.Values) != len(frames.Micros) || frames.Labels != nil && len(frames.Labels) != len(frames.Micros) {
			t.Fatalf("columns of different length: %+v", frames)
		}
		for _, flag := range []Flagger{ReleasedMachine, CombinedDetectors, AlwaysAfterTraining} {
			if flags := flag(frames); len(flags) != len(frames.Values) {
				t.Fatalf("%d flags for %d rows", len(flags), len(frames.Values))
			}
		}
	})
}
